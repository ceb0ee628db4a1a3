//! The ledger's file: writes it, and checks at startup whether it is complete.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior};

use super::{
    LedgerError,
    columns::ms,
    folder::{Folder, same},
    rows::{
        Contents, Seals, clear, read, remove_requests, write_book, write_owners, write_request,
    },
    schema::SCHEMA,
    witness::{Testimony, Witness},
};
use crate::{
    budget::book::{Batch, Stored},
    clock::Clock,
    process::state_folder::is_ours,
    sqlite::{self, OpenError},
};

/// How long to wait for the file's lock. No other openseat writes this file, so only another program can hold it.
const BUSY: Duration = Duration::from_millis(250);

/// The size in bytes that the file and its log get in advance, so that they can be written when the disk is full: room for about 4,000
/// requests. After the first hour, the file has grown to the size that it needs.
const ROOM: u32 = 512 * 1024;

/// The log is written back and starts again after this many pages: half of its room.
const LOG_PAGES: u32 = 64;

/// The endings of the files that SQLite keeps beside it.
const ITS_COMPANIONS: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// What was found at startup.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: the folder is new.
    Nothing,
    /// A complete file.
    All(Stored),
    /// Something is missing: the reason, and the part that can be read.
    Lost(String, Option<Stored>),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    /// `None` while another process has it locked, or if it cannot be created.
    folder: Option<Folder>,
    open: Option<Open>,
    witness: Witness,
    /// The number of the last transaction, written or not.
    change: u64,
    /// How many rows the file has.
    requests: u64,
    owners: u64,
    /// The sums of their seals.
    request_seals: Seals,
    owner_seals: Seals,
    /// Whether it was logged that no room can be reserved.
    logged_no_room: bool,
    /// Why the file cannot be used although it opens: its tables are not openseat's.
    unfit: Option<String>,
}

/// The file, open.
#[derive(Debug)]
struct Open {
    connection: Connection,
    file: fs::Metadata,
    log: Option<fs::Metadata>,
}

impl LedgerFile {
    /// Creates the ledger at this path, without opening the file.
    pub fn new(path: &Path) -> Self {
        Self {
            folder: None,
            path: path.to_owned(),
            open: None,
            witness: Witness::beside(path),
            change: 0,
            requests: 0,
            owners: 0,
            request_seals: Seals::default(),
            owner_seals: Seals::default(),
            logged_no_room: false,
            unfit: None,
        }
    }

    /// Locks the folder for this process, and reads what an earlier process stored.
    ///
    /// # Errors
    /// Only those that people must fix before openseat can start.
    pub fn read(&mut self, clock: &dyn Clock) -> Result<Found, LedgerError> {
        let prepared = self.prepare(clock);
        // Read under the lock, so that no earlier process still writes it.
        let testimony = self.witness.testimony();
        self.change = testimony.map_or_else(|| first_number(clock), |testimony| testimony.change);
        let contents = match prepared.and_then(|_| self.contents(clock)) {
            Err(error) if error.is_final() => return Err(error),
            // Nothing can be stored for the next process either, so each process that starts here is cautious.
            Err(error) => return Ok(Found::Lost(error.to_string(), None)),
            Ok(None) if self.was_in_use() => {
                let why = "it is missing from a folder that was in use, or was damaged";
                return Ok(Found::Lost(why.to_owned(), None));
            }
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(contents)) => contents,
        };
        let inode = self.open.as_ref().map(|open| open.file.ino());
        self.change = self.change.max(contents.change);
        let flaw = match testimony {
            _ if contents.flaw.is_some() => contents.flaw,
            // Older layouts had no witness.
            _ if contents.is_of_an_older_layout => None,
            None => Some("its witness is missing or damaged"),
            Some(testimony) if contents.change < testimony.change => {
                Some("its end is missing, or it is an older copy")
            }
            // The witness is written after each transaction, so a killed process can leave it one behind.
            Some(testimony) if contents.change > testimony.change.saturating_add(1) => {
                Some("its witness belongs to another ledger")
            }
            Some(testimony) if Some(testimony.inode) != inode => Some("it is a copy"),
            Some(_) => None,
        };
        Ok(match flaw {
            Some(flaw) => Found::Lost(flaw.to_owned(), Some(contents.stored)),
            None => Found::All(contents.stored),
        })
    }

    fn contents(&self, clock: &dyn Clock) -> Result<Option<Contents>, LedgerError> {
        let open = self.open.as_ref().expect("the ledger is open");
        Ok(read(&open.connection, clock)?)
    }

    /// Returns whether openseat has used the folder before. A folder that cannot be read counts as used.
    fn was_in_use(&self) -> bool {
        let ledger = self.path.file_name().unwrap_or_default();
        // The ledger itself proves nothing, because it may have been created just now.
        let is_ledger = |name: &OsStr| {
            let rest = name.as_encoded_bytes();
            let rest = rest.strip_prefix(ledger.as_encoded_bytes());
            rest.is_some_and(|rest| rest.is_empty() || ITS_COMPANIONS.contains(&rest))
        };
        match fs::read_dir(parent(&self.path)) {
            Ok(entries) => entries.flatten().any(|entry| {
                let name = entry.file_name();
                is_ours(&name) && !is_ledger(&name)
            }),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Makes sure that the file exists and can be written. Returns whether everything has to be written, because the file or its witness is new.
    pub fn prepare(&mut self, clock: &dyn Clock) -> Result<bool, LedgerError> {
        if !self.folder.as_ref().is_some_and(Folder::is_still_there) {
            (self.folder, self.open) = (None, None);
            self.folder = Some(Folder::take(parent(&self.path))?);
        }
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.is_still_there(&self.path))
        {
            return Ok(self.witness.is_gone());
        }
        self.open = None;
        self.connect(clock)?;
        // A folder that comes back has numbers of its own. Ours must be later, or an older state of this file would look like the latest.
        if let Some(testimony) = self.witness.testimony() {
            self.change = self.change.max(testimony.change.saturating_add(1));
        }
        Ok(true)
    }

    /// Writes a batch. Records it in the witness even if that fails.
    pub fn write(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        self.change += 1;
        let written = self.write_rows(batch);
        self.unfit = written.as_ref().err().and_then(LedgerError::foreign_tables);
        if written.as_ref().is_err_and(|error| !error.is_busy()) {
            // Opening it again finds the problem, and repairs it if possible.
            self.open = None;
        }
        let witnessed = self.write_witness();
        written.and(witnessed)
    }

    /// Records in the witness that the file lacks a transaction.
    pub fn fall_behind(&mut self) {
        self.change += 1;
        // If this fails as well, nothing can be stored for the next process.
        let _ = self.write_witness();
    }

    fn write_witness(&mut self) -> Result<(), LedgerError> {
        let inode = fs::metadata(&self.path).map_or(0, |file| file.ino());
        let testimony = Testimony {
            change: self.change,
            inode,
        };
        let is_new = self.witness.write(testimony);
        let synced = is_new.and_then(|is_new| match &self.folder {
            Some(folder) if is_new => folder.sync(),
            _ => Ok(()),
        });
        synced.map_err(|error| LedgerError::Folder(self.witness.path().to_owned(), error))
    }

    fn connect(&mut self, clock: &dyn Clock) -> Result<(), LedgerError> {
        let folder = |error| LedgerError::Folder(self.path.clone(), error);
        sqlite::quarantine_orphan_wal(&self.path, clock.now()).map_err(folder)?;
        let opened = match self.unfit.take() {
            Some(why) => Err(OpenError::Damaged(why)),
            None => SCHEMA.open(&self.path),
        };
        let connection = match opened {
            Err(OpenError::Damaged(why)) => {
                let aside = sqlite::quarantine(&self.path, clock.now()).map_err(folder)?;
                tracing::error!(path = %self.path.display(), aside = %aside.display(), why, "the budget ledger was damaged or not openseat's; it was renamed, and a new one started");
                SCHEMA.open(&self.path)
            }
            opened => opened,
        }?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        if let Err(error) = make_room(&connection)
            && !std::mem::replace(&mut self.logged_no_room, true)
        {
            tracing::warn!(%error, "no room can be reserved for the budget ledger, so a full disk will stop it; free some space");
        }
        let file = fs::metadata(&self.path).map_err(folder)?;
        let log = fs::metadata(log(&self.path)).ok();
        self.open = Some(Open {
            connection,
            file,
            log,
        });
        Ok(())
    }

    fn write_rows(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        let open = self.open.as_mut().expect("the ledger is open");
        let behaviour = TransactionBehavior::Immediate;
        let transaction = open.connection.transaction_with_behavior(behaviour)?;
        if batch.whole {
            clear(&transaction)?;
            (self.requests, self.request_seals) = (0, Seals::default());
        } else if batch.tidy {
            let left = remove_requests(&transaction, batch.time, &mut self.request_seals)?;
            self.requests = self.requests.saturating_sub(left);
        }
        for request in &batch.requests {
            let is_new = request.id >= batch.new_from;
            write_request(&transaction, request, is_new, &mut self.request_seals)?;
            self.requests += u64::from(is_new);
        }
        if let Some(owners) = &batch.owners {
            self.owner_seals = write_owners(&transaction, owners)?;
            self.owners = owners.len() as u64;
        }
        write_book(
            &transaction,
            batch,
            [self.change, self.requests, self.owners],
            self.request_seals.with(self.owner_seals),
        )?;
        transaction.commit()?;
        // The first transaction creates the log.
        if open.log.is_none() {
            open.log = fs::metadata(log(&self.path)).ok();
        }
        Ok(())
    }
}

impl Open {
    /// Returns whether the file at the path is still the open one, and its log as well. The next process would not find what is written to a
    /// removed file.
    fn is_still_there(&self, path: &Path) -> bool {
        let is_there = |path: &Path, known: &fs::Metadata| {
            fs::metadata(path).is_ok_and(|found| same(known, &found))
        };
        is_there(path, &self.file)
            && self
                .log
                .as_ref()
                .is_none_or(|known| is_there(&log(path), known))
    }
}

/// Returns the first number of a transaction if the last one is unknown. It is later than those of a lost ledger, so that a copy of it never
/// matches: there is less than one transaction per millisecond.
fn first_number(clock: &dyn Clock) -> u64 {
    ms(clock.now().wall) as u64
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Writes a filler and frees its pages. Existing pages can be written even on a full disk, except on file systems that write each page to a
/// new place.
fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS room; BEGIN IMMEDIATE; CREATE TABLE room (filler BLOB); INSERT INTO room VALUES (zeroblob({ROOM})); COMMIT;
         DROP TABLE room;"
    ))
}
