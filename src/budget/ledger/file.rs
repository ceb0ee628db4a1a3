//! The ledger's file: its layouts, its room in advance, and what is made of one that is damaged or gone.

use std::{
    fs::{self, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{LedgerError, stamp};
use crate::{
    clock::Clock,
    sqlite::{self, Layout, OpenError},
    stamp::Stamp,
};

/// Each number of the file's layout, in turn. What was released is never changed: a new step is added.
pub(super) const LAYOUT: Layout = Layout {
    application_id: 0x6f73_6c64, // "osld"
    unmarked: (1, "request"),
    steps: &[
        "
CREATE TABLE request (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT    NOT NULL, -- the name in the config
    identity TEXT    NOT NULL, -- of the origin and token, so that a new name is no new budget
    polling  INTEGER NOT NULL, -- 1: background polling; 0: somebody asked
    answered INTEGER NOT NULL, -- 1: the stamp is that of the answer; 0: that of the sending
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX request_by_account ON request (account);
CREATE INDEX request_by_identity ON request (identity);
CREATE TABLE throttle (
    account TEXT    PRIMARY KEY,
    wait_ms INTEGER NOT NULL, -- from the stamp on
    share   REAL    NOT NULL, -- of the allowed rate, at the stamp
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
",
        "
CREATE TABLE lost ( -- what was sent before each of these stamps nobody knows any more
    trusted INTEGER NOT NULL, -- 1: somebody does, and says that it was nothing
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
",
    ],
    // A request is on the disk before it is on the wire.
    synchronous: "FULL",
};

/// Tables whose rows bear a stamp.
const STAMPED: [&str; 3] = ["request", "throttle", "lost"];

/// Bytes that the file and its log get before anybody needs them, so that they can be written on a disk that is full: the requests of
/// some 1,200 rows with their indexes. After the first hour the file has what it needs by itself.
const ROOM: u32 = 512 * 1024;

/// The log is written back and begun anew after so many pages: half of the room that it has.
const LOG_PAGES: u32 = 64;

/// The file of a process that keeps a ledger for itself and others.
#[derive(Debug)]
pub(super) struct LedgerFile {
    pub path: PathBuf,
    /// Only the daemon puts right what is damaged, and sends what it cannot write down.
    pub keeper: bool,
    /// Held for as long as this lives: no second daemon may work in the folder.
    lock: Option<fs::File>,
    /// The file that this process had open last.
    had: Option<(u64, u64)>,
}

/// A ledger that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub connection: Connection,
    /// `None` in memory.
    inode: Option<(u64, u64)>,
}

impl LedgerFile {
    pub fn new(path: &Path, keeper: bool) -> Self {
        Self {
            path: path.to_owned(),
            keeper,
            lock: None,
            had: None,
        }
    }

    /// Whether this is the only daemon of its folder, for certain.
    pub fn is_alone(&self) -> bool {
        self.lock.is_some()
    }

    /// Takes the folder for this process.
    pub fn lock(&mut self) -> Result<(), LedgerError> {
        if self.lock.is_some() || !self.keeper {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| fs::File::open(folder))
            .map_err(|error| LedgerError::Folder(folder.to_owned(), error))
            .and_then(|file| match file.try_lock() {
                Ok(()) => {
                    self.lock = Some(file);
                    Ok(())
                }
                Err(TryLockError::WouldBlock) => Err(LedgerError::InUse(folder.to_owned())),
                Err(TryLockError::Error(error)) => {
                    Err(LedgerError::Folder(folder.to_owned(), error))
                }
            })
    }

    /// Opens it; `seen` is this process' last look at the clock.
    pub fn open(&mut self, clock: &dyn Clock, seen: &Stamp) -> Result<Open, LedgerError> {
        self.lock()?;
        let now = Stamp::now(clock);
        let mut connection = match self.open_or_begin_anew(clock) {
            Err(LedgerError::Open(OpenError::Damaged(why))) if self.keeper => {
                self.set_aside(&why, clock)?;
                self.open_or_begin_anew(clock)?
            }
            opened => opened?,
        };
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        if self.keeper
            && let Err(error) = make_room(&mut connection)
        {
            tracing::warn!(%error, "there is no room in advance for the budget ledger; a full disk will stop it");
        }
        restamp(&mut connection, |at| rebased(at, &now, seen))?;
        self.had = Some(inode(&self.path)?);
        Ok(Open {
            inode: self.had,
            connection,
        })
    }

    /// A file that was never written to is a first start, unless another was there before.
    fn open_or_begin_anew(&self, clock: &dyn Clock) -> Result<Connection, LedgerError> {
        if self.keeper {
            sqlite::clear_the_way(&self.path, clock.now()).map_err(|error| self.folder(error))?;
        }
        let connection = LAYOUT.open(&self.path)?;
        let replaces_ours = self.had.is_some() && self.had != inode(&self.path).ok();
        if replaces_ours || sqlite::was_set_aside(&self.path) {
            let now = Stamp::now(clock);
            connection.execute(
                "INSERT INTO lost (trusted, boot_id, boot_ms, wall_ms) SELECT 0, ?1, ?2, ?3
                 WHERE NOT EXISTS (SELECT * FROM sqlite_sequence WHERE name = 'request') AND NOT EXISTS (SELECT * FROM lost)",
                params![now.boot_id, now.boot_ms, now.wall_ms],
            )?;
        }
        Ok(connection)
    }

    fn set_aside(&self, why: &str, clock: &dyn Clock) -> Result<(), LedgerError> {
        let aside =
            sqlite::set_aside(&self.path, clock.now()).map_err(|error| self.folder(error))?;
        tracing::error!(
            path = %self.path.display(), aside = %aside.display(), why,
            "the budget ledger is damaged or not openseat's and was set aside; what was spent is unknown, so the whole hour counts as spent: \
             nothing is sent for an hour, unless `openseat trust-ledger` says that nothing was"
        );
        Ok(())
    }

    fn folder(&self, error: io::Error) -> LedgerError {
        LedgerError::Folder(self.path.clone(), error)
    }
}

impl Open {
    pub fn in_memory(connection: Connection) -> Self {
        Self {
            connection,
            inode: None,
        }
    }

    /// Whether the file is still the one of that name: what is written to one that was removed, the next process does not find.
    pub fn is_still_there(&self, path: &Path) -> bool {
        inode(path).is_ok_and(|inode| self.inode == Some(inode))
    }
}

fn inode(path: &Path) -> Result<(u64, u64), LedgerError> {
    let file = fs::metadata(path).map_err(|error| LedgerError::Folder(path.to_owned(), error))?;
    Ok((file.dev(), file.ino()))
}

/// Writes nothing in particular, and gives its place back to the file: pages that are there can be written whatever the disk says, but
/// for file systems that write each page to a new place.
fn make_room(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS room; BEGIN IMMEDIATE; CREATE TABLE room (filler BLOB); INSERT INTO room VALUES (zeroblob({ROOM})); COMMIT;
         DROP TABLE room;"
    ))
}

/// A stamp as our clock would have it, where it needs another; `seen` is an earlier look at our clock by this process.
///
/// Stamps of another boot or another clock become ages on ours: so a wall clock that is set right only later frees nothing, and one that
/// was set back holds nothing for longer than an hour. Since the earlier look, boot time tells how much has passed, however the wall was set.
fn rebased(at: &Stamp, now: &Stamp, seen: &Stamp) -> Option<Stamp> {
    let meanwhile = Duration::from_millis(now.boot_ms.saturating_sub(seen.boot_ms).max(0) as u64);
    (!now.shares_clock(at)).then(|| now.before(seen.since(at) + meanwhile))
}

/// Rewrites the stamps for which `change` has another.
pub(super) fn restamp(
    connection: &mut Connection,
    change: impl Fn(&Stamp) -> Option<Stamp>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in STAMPED {
        restamp_table(&transaction, table, &change)?;
    }
    transaction.commit()
}

fn restamp_table(
    transaction: &Transaction<'_>,
    table: &str,
    change: impl Fn(&Stamp) -> Option<Stamp>,
) -> rusqlite::Result<()> {
    let rows: Vec<(i64, Stamp)> = {
        let mut statement = transaction.prepare(&format!(
            "SELECT rowid, boot_id, boot_ms, wall_ms FROM {table}"
        ))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, stamp(row, 1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut update = transaction.prepare(&format!(
        "UPDATE {table} SET boot_id = ?2, boot_ms = ?3, wall_ms = ?4 WHERE rowid = ?1"
    ))?;
    for (rowid, at) in rows {
        if let Some(at) = change(&at) {
            update.execute(params![rowid, at.boot_id, at.boot_ms, at.wall_ms])?;
        }
    }
    Ok(())
}
