//! A file that may be lost while the program runs.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;

use super::{
    quarantine::{COMPANIONS, clear_the_way, set_aside, with_suffix},
    schema::{Layout, OpenError},
};
use crate::clock::Clock;

/// A file that may be lost: where it is damaged a new one takes its place, and while it cannot be used it is done without. One that
/// was deleted or replaced while it was open is opened, or made, again: what is written to a file without a name is lost.
#[derive(Debug)]
pub struct File {
    layout: &'static Layout,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    condition: Arc<Condition>,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    /// What the path named when it was opened.
    file: Option<FileId>,
    /// The same of the log beside it, which may come into being later.
    log: Option<FileId>,
}

/// Tells a file from another that has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// `None` where there is no file of this name, or it cannot be told.
    fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

impl File {
    /// The file at this path, which is opened, or made, when it is first used.
    pub fn new(
        layout: &'static Layout,
        path: &Path,
        condition: Arc<Condition>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            layout,
            path: path.to_owned(),
            clock,
            condition,
            opened: None,
        }
    }

    /// Does something with it; `None` where that cannot be done now, which the log has been told.
    pub fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        self.with_begun(|_| Ok(()), work)
    }

    /// The same; a file that has just been opened gets `begin` first. After a failure the file is opened anew, so whatever `begin`
    /// writes is in the file whenever `work` has been done.
    pub fn with_begun<T>(
        &mut self,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let done = self
            .opened(begin)
            .and_then(|connection| work(connection).map_err(OpenError::of));
        match done {
            Ok(value) => {
                self.condition.works();
                Some(value)
            }
            Err(error) => {
                // What is wrong with it is seen, and put right where it can be, when it is opened the next time.
                self.close();
                self.condition
                    .fails(&format_args!("{}: {error}", self.path.display()));
                None
            }
        }
    }

    /// The next use opens it anew.
    pub fn close(&mut self) {
        self.opened = None;
    }

    fn opened(
        &mut self,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<&mut Connection, OpenError> {
        self.close_if_replaced();
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => {
                let mut connection = self.open()?;
                begin(&mut connection).map_err(OpenError::of)?;
                Opened {
                    connection,
                    file: FileId::at(&self.path),
                    log: FileId::at(&self.log_path()),
                }
            }
        };
        Ok(&mut self.opened.insert(opened).connection)
    }

    /// Looks whether the names still mean the files that are open.
    fn close_if_replaced(&mut self) {
        let log_path = self.log_path();
        let Some(opened) = &mut self.opened else {
            return;
        };
        let log = FileId::at(&log_path);
        opened.log = opened.log.or(log);
        if opened.file == FileId::at(&self.path) && opened.log == log {
            return;
        }
        self.close();
        self.condition.fails(&format_args!(
            "{}: the file, or the log beside it, was deleted or replaced",
            self.path.display()
        ));
    }

    fn log_path(&self) -> PathBuf {
        with_suffix(&self.path, COMPANIONS[0])
    }

    fn open(&self) -> Result<Connection, OpenError> {
        clear_the_way(&self.path, self.clock.now()).map_err(OpenError::Folder)?;
        match self.layout.open(&self.path) {
            Err(OpenError::Damaged(why)) => {
                let aside = set_aside(&self.path, self.clock.now()).map_err(OpenError::Folder)?;
                tracing::error!(path = %self.path.display(), aside = %aside.display(), why, "a file is damaged or not openseat's, was set aside, and begins anew");
                self.layout.open(&self.path)
            }
            opened => opened,
        }
    }
}

/// Whether a file can be written now. Says so in the log when that changes, and to metrics at any time.
#[derive(Debug)]
pub struct Condition {
    /// The value of the label `part`.
    pub part: &'static str,
    /// What its failing means, for the log.
    means: &'static str,
    degraded: AtomicBool,
}

impl Condition {
    /// All is well until something fails.
    pub fn new(part: &'static str, means: &'static str) -> Self {
        Self {
            part,
            means,
            degraded: AtomicBool::new(false),
        }
    }

    /// Whether the last attempt failed.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// An attempt failed.
    pub fn fails(&self, error: &dyn fmt::Display) {
        if !self.degraded.swap(true, Ordering::Relaxed) {
            tracing::error!(part = self.part, %error, "the state folder cannot be used: {}", self.means);
        }
    }

    /// An attempt went well.
    pub fn works(&self) {
        if self.degraded.swap(false, Ordering::Relaxed) {
            tracing::info!(part = self.part, "the state folder can be used again");
        }
    }
}
