//! A file that may be lost or replaced while the program runs.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;

use super::{
    intact::{Damage, Intact, close_without_the_log},
    quarantine::{COMPANIONS, quarantine, quarantine_orphan_wal, with_suffix},
    schema::{OpenError, Schema},
};
use crate::clock::{self, Clock};

/// How long work with a file takes at most, unless its disk hangs. SQLite waits 5 s for another program's lock, which is a failure of its own.
pub(super) const LONGEST: Duration = Duration::from_secs(6);

/// A file that may be lost. A damaged one is replaced by a new one, and while it cannot be used, its owner works without it. A file that
/// was deleted, replaced or damaged while open is opened or created again: anything written to a file without a name is lost.
#[derive(Debug)]
pub struct File {
    schema: &'static Schema,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    condition: Arc<Condition>,
    opened: Option<Opened>,
    /// Whether it was damaged while it was open.
    is_damaged: bool,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    /// The file at the path when it was opened.
    file: Option<FileId>,
    /// The same for the WAL beside it, which may be created later.
    log: Option<FileId>,
    /// `None` if the file cannot be watched. Dropped after the connection.
    intact: Option<Intact>,
}

/// Tells files with the same name apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// `None` if there is no such file, or it cannot be read.
    fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

impl File {
    /// Creates the file at this path, opened or created on first use.
    pub fn new(
        schema: &'static Schema,
        path: &Path,
        condition: Arc<Condition>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            schema,
            path: path.to_owned(),
            clock,
            condition,
            opened: None,
            is_damaged: false,
        }
    }

    /// Does something with the file; `None` if that is not possible now, which is logged.
    pub fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        self.with_begun(|_| Ok(()), work)
    }

    /// Does something with the file, with `begin` first if it was just opened. After a failure the file is opened again, so whenever `work` has run,
    /// the file contains what `begin` writes.
    pub fn with_begun<T>(
        &mut self,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        self.condition.begins();
        let done = self
            .opened(begin)
            .and_then(|connection| work(connection).map_err(OpenError::from_sqlite));
        match done {
            Ok(value) => {
                self.condition.works();
                Some(value)
            }
            Err(error) => {
                // The next opening finds out what is wrong, and repairs it if possible.
                self.close();
                self.condition
                    .fails(&format_args!("{}: {error}", self.path.display()));
                None
            }
        }
    }

    /// Closes the file; the next use opens it again.
    pub fn close(&mut self) {
        self.close_if_damaged();
        self.opened = None;
    }

    fn opened(
        &mut self,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<&mut Connection, OpenError> {
        self.close_if_replaced();
        self.close_if_damaged();
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => {
                let mut connection = self.open()?;
                begin(&mut connection).map_err(OpenError::from_sqlite)?;
                Opened {
                    connection,
                    file: FileId::at(&self.path),
                    log: FileId::at(&self.log_path()),
                    intact: Intact::of(&self.path).ok(),
                }
            }
        };
        Ok(&mut self.opened.insert(opened).connection)
    }

    /// Checks that the names still mean the open files.
    fn close_if_replaced(&mut self) {
        let log_path = self.log_path();
        let Some(opened) = &mut self.opened else {
            return;
        };
        let log = FileId::at(&log_path);
        opened.log = opened.log.or(log);
        // It may have been deleted before its identity was read. Then it has none, and a missing file must not compare as equal.
        let is_same = opened.file.is_some() && opened.file == FileId::at(&self.path);
        if is_same && opened.log == log {
            return;
        }
        self.close();
        self.condition.fails(&format_args!(
            "{}: the file, or the log beside it, was deleted or replaced",
            self.path.display()
        ));
    }

    /// Checks that nobody else wrote to the open files.
    fn close_if_damaged(&mut self) {
        let Some(opened) = &mut self.opened else {
            return;
        };
        let damage = match &mut opened.intact {
            Some(intact) => intact.damage(&opened.connection),
            None => None,
        };
        let Some(damage) = damage else { return };
        self.is_damaged = damage == Damage::File;
        if let Some(opened) = self.opened.take() {
            close_without_the_log(opened.connection);
        }
        self.condition.fails(&format_args!(
            "{}: the file, or the log beside it, was emptied or overwritten by another program",
            self.path.display()
        ));
    }

    fn log_path(&self) -> PathBuf {
        with_suffix(&self.path, COMPANIONS[0])
    }

    fn open(&mut self) -> Result<Connection, OpenError> {
        quarantine_orphan_wal(&self.path, self.clock.now()).map_err(OpenError::Folder)?;
        // An emptied file would open as a new one, with what is left in its log.
        let opened = match std::mem::take(&mut self.is_damaged) && self.path.exists() {
            true => Err(OpenError::Damaged(
                "it was emptied or overwritten while it was open".to_owned(),
            )),
            false => self.schema.open(&self.path),
        };
        match opened {
            Err(OpenError::Damaged(why)) => {
                let aside = quarantine(&self.path, self.clock.now()).map_err(OpenError::Folder)?;
                tracing::error!(path = %self.path.display(), aside = %aside.display(), why, "a file was damaged or not openseat's; it was renamed, and a new one started");
                self.schema.open(&self.path)
            }
            opened => opened,
        }
    }
}

/// Whether a file can be written now. Changes are logged; metrics read it at any time.
#[derive(Debug)]
pub struct Condition {
    /// The value of the label `part`.
    pub part: &'static str,
    /// What a failure means, for the log.
    means: &'static str,
    degraded: AtomicBool,
    /// When the attempt began that has not succeeded yet, on the steady clock.
    begun: Mutex<Option<Duration>>,
}

impl Condition {
    /// Creates a condition that is healthy until something fails.
    pub fn new(part: &'static str, means: &'static str) -> Self {
        Self {
            part,
            means,
            degraded: AtomicBool::new(false),
            begun: Mutex::new(None),
        }
    }

    /// Returns whether the last attempt failed, or hangs.
    pub fn is_degraded(&self) -> bool {
        self.is_degraded_at(clock::steady())
    }

    pub(super) fn is_degraded_at(&self, now: Duration) -> bool {
        // Locked until the failure is recorded, so that the attempt does not succeed in between.
        let begun = self.begun();
        if begun.is_some_and(|begun| now.saturating_sub(begun) >= LONGEST) {
            self.fails(&format_args!(
                "the disk has not answered within {} s",
                LONGEST.as_secs()
            ));
        }
        self.degraded.load(Ordering::Relaxed)
    }

    fn begins(&self) {
        *self.begun() = Some(clock::steady());
    }

    fn begun(&self) -> MutexGuard<'_, Option<Duration>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failed attempt.
    pub fn fails(&self, error: &dyn fmt::Display) {
        if !self.degraded.swap(true, Ordering::Relaxed) {
            tracing::error!(part = self.part, %error, "the state folder cannot be used: {}", self.means);
        }
    }

    /// Records a successful attempt.
    pub fn works(&self) {
        *self.begun() = None;
        if self.degraded.swap(false, Ordering::Relaxed) {
            tracing::info!(part = self.part, "the state folder can be used again");
        }
    }
}
