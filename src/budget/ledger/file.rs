//! The ledger's file: what is in it, how it is written, and whether what is read can be believed.

use std::{
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
    rows::{Contents, clear, read, write_book, write_owners, write_request},
    schema::SCHEMA,
    witness::{Testimony, Witness},
};
use crate::{
    budget::book::{Batch, Stored},
    clock::Clock,
    sqlite::{self, OpenError},
};

/// Nobody else writes this file, so whoever holds its lock is a stranger, and not waited for longer than a slow disk may take.
const BUSY: Duration = Duration::from_millis(250);

/// Bytes that the file and its log get before anybody needs them, so that they can be written on a disk that is full: an hour
/// of some 4,000 requests. After the first hour the file has what it needs by itself.
const ROOM: u32 = 512 * 1024;

/// The log is written back and begun anew after so many pages: half of the room that it has.
const LOG_PAGES: u32 = 64;

/// What the file says at the start.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: the folder is new.
    Nothing,
    /// Everything that was sent.
    All(Stored),
    /// Not everything, and perhaps nothing: why that is known, and what can be read.
    Lost(String, Option<Stored>),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    /// `None` while another process has it, or it cannot be made.
    folder: Option<Folder>,
    open: Option<Open>,
    witness: Witness,
    /// The number of the last transaction, whether it could be written or not.
    change: u64,
    /// Rows in the file.
    requests: u64,
    owners: u64,
    /// Whether the log was told that there is no room in advance.
    told_of_room: bool,
    /// Why the file cannot be used, although it opens: its tables are not ours.
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
    /// The ledger at this path, which is not looked at yet.
    pub fn new(path: &Path) -> Self {
        Self {
            folder: None,
            path: path.to_owned(),
            open: None,
            witness: Witness::beside(path),
            change: 0,
            requests: 0,
            owners: 0,
            told_of_room: false,
            unfit: None,
        }
    }

    /// Takes the folder for this process, and reads what an earlier one has left.
    ///
    /// # Errors
    /// Only what people have to mend before a start.
    pub fn read(&mut self, clock: &dyn Clock) -> Result<Found, LedgerError> {
        let prepared = self.prepare(clock);
        // Read behind the lock, so that no predecessor writes to it any more.
        let said = self.witness.testimony();
        self.change = said.map_or(0, |said| said.change);
        let contents = match prepared.and_then(|_| self.contents(clock)) {
            Err(error) if error.is_final() => return Err(error),
            // Nothing can be left for the next process either, so each one that starts here has to be careful.
            Err(error) => return Ok(Found::Lost(error.to_string(), None)),
            Ok(None) if self.had_a_life() => {
                let why = "it is gone from a folder that was in use, or was damaged";
                return Ok(Found::Lost(why.to_owned(), None));
            }
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(contents)) => contents,
        };
        let inode = self.open.as_ref().map(|open| open.file.ino());
        self.change = self.change.max(contents.change);
        let flaw = match said {
            _ if contents.flaw.is_some() => contents.flaw,
            // There was no witness then.
            _ if contents.is_of_an_older_layout => None,
            None => Some("its witness is gone or damaged"),
            Some(said) if contents.change < said.change => {
                Some("its end is missing, or it is an older copy")
            }
            Some(said) if Some(said.inode) != inode => Some("it is a copy"),
            Some(_) => None,
        };
        Ok(match flaw {
            Some(flaw) => Found::Lost(flaw.to_owned(), Some(contents.stored)),
            None => Found::All(contents.stored),
        })
    }

    fn contents(&self, clock: &dyn Clock) -> Result<Option<Contents>, LedgerError> {
        let open = self.open.as_ref().expect("it was prepared");
        Ok(read(&open.connection, clock)?)
    }

    /// Whether openseat has been at work in the folder before, as far as anything there tells. Where nobody can look, it has.
    fn had_a_life(&self) -> bool {
        match fs::read_dir(parent(&self.path)) {
            Ok(entries) => entries.flatten().any(|entry| {
                let name = entry.file_name();
                let name = name.as_encoded_bytes();
                let has = |prefix: &str| name.starts_with(prefix.as_bytes());
                // The ledger itself says nothing: it was made just now, if there was none.
                has("state.sqlite3")
                    || has("history.sqlite3")
                    || has("budget.sqlite3-witness")
                    || has("budget.sqlite3.")
            }),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Makes sure that the file is there and can be written to. Returns whether it or its witness is another one than before, so that all of it
    /// has to be written.
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
        Ok(true)
    }

    /// Writes a batch, and has the witness say so. The witness is told of a batch that cannot be written, too.
    pub fn write(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        self.change += 1;
        let written = self.write_rows(batch);
        self.unfit = written
            .as_ref()
            .err()
            .and_then(LedgerError::of_foreign_tables);
        if written.as_ref().is_err_and(|error| !error.is_busy()) {
            // What is wrong with it is seen, and put right where it can be, when it is opened the next time.
            self.open = None;
        }
        let witnessed = self.have_it_witnessed();
        written.and(witnessed)
    }

    /// Has the witness say that there is more than the file has.
    pub fn fall_behind(&mut self) {
        self.change += 1;
        // Where that fails as well, nothing can be left for the next process.
        let _ = self.have_it_witnessed();
    }

    fn have_it_witnessed(&mut self) -> Result<(), LedgerError> {
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
                tracing::error!(path = %self.path.display(), aside = %aside.display(), why, "the budget ledger is damaged or not openseat's, and was set aside");
                SCHEMA.open(&self.path)
            }
            opened => opened,
        }?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        if let Err(error) = make_room(&connection)
            && !std::mem::replace(&mut self.told_of_room, true)
        {
            tracing::warn!(%error, "there is no room in advance for the budget ledger; a full disk will stop it");
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
        let open = self.open.as_mut().expect("it was prepared");
        let behaviour = TransactionBehavior::Immediate;
        let transaction = open.connection.transaction_with_behavior(behaviour)?;
        if batch.whole {
            clear(&transaction)?;
            self.requests = 0;
        } else if batch.tidy {
            let left = transaction.execute(
                "DELETE FROM request WHERE leaves_ms <= ?1",
                [ms(batch.time)],
            )?;
            self.requests = self.requests.saturating_sub(left as u64);
        }
        for request in &batch.requests {
            let is_new = request.id >= batch.new_from;
            write_request(&transaction, request, is_new)?;
            self.requests += u64::from(is_new);
        }
        if let Some(owners) = &batch.owners {
            write_owners(&transaction, owners)?;
            self.owners = owners.len() as u64;
        }
        write_book(
            &transaction,
            batch,
            [self.change, self.requests, self.owners],
        )?;
        transaction.commit()?;
        // The log is made by the first transaction.
        if open.log.is_none() {
            open.log = fs::metadata(log(&self.path)).ok();
        }
        Ok(())
    }
}

impl Open {
    /// Whether the file is still the one of that name, and its log as well: what is written to one that was removed, the next process does
    /// not find.
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

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Writes nothing in particular, and gives its place back to the file: pages that are there can be written whatever the disk says, but
/// for file systems that write each page to a new place.
fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS room; BEGIN IMMEDIATE; CREATE TABLE room (filler BLOB); INSERT INTO room VALUES (zeroblob({ROOM})); COMMIT;
         DROP TABLE room;"
    ))
}
