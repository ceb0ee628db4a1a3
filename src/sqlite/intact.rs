//! Notices that an open file was damaged in place: emptied, cut or overwritten by another program.
//!
//! SQLite would go on with what it has in memory and in its log, and the next process would find a damaged file, or an older one. The names and
//! inodes of the files tell nothing, so this looks at their sizes and first bytes.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, config::DbConfig};

use super::quarantine::{COMPANIONS, with_suffix};
use crate::process::file::{FileError, open};

/// The first bytes of a file.
const FILE_MARK: &[u8] = b"SQLite format 3\0";

/// The first bytes of a log; the last bit differs.
const LOG_MARK: &[u8] = b"\x37\x7f\x06";

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The file itself: it cannot be used any more.
    File,
    /// The log beside it: the file has an earlier state, if it has one.
    Log,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Intact {
    /// Stays open as long as the connection: closing it gives up the locks that the process has on the file.
    file: fs::File,
    log: PathBuf,
    /// The largest sizes seen. SQLite cuts no log, and a file only if its pages get fewer.
    largest_file: u64,
    largest_log: u64,
}

impl Intact {
    /// Begins to watch a file that is open.
    pub fn of(path: &Path) -> Result<Self, FileError> {
        let (file, log) = (open(path)?, with_suffix(path, COMPANIONS[0]));
        Ok(Self {
            largest_file: file.metadata()?.len(),
            largest_log: fs::metadata(&log).map_or(0, |found| found.len()),
            file,
            log,
        })
    }

    /// Returns what was damaged since the last look.
    pub fn damage(&mut self, connection: &Connection) -> Option<Damage> {
        if !self.file_is_intact(connection) {
            return Some(Damage::File);
        }
        (!self.log_is_intact()).then_some(Damage::Log)
    }

    fn file_is_intact(&mut self, connection: &Connection) -> bool {
        // What cannot be read now may be readable later.
        let Ok(size) = self.file.metadata().map(|found| found.len()) else {
            return true;
        };
        if size < self.largest_file {
            // After a VACUUM it has fewer pages, and SQLite knows that.
            let expected = pages_in_bytes(connection).unwrap_or(self.largest_file);
            if size < expected.min(self.largest_file) || size == 0 {
                return false;
            }
        }
        self.largest_file = size;
        size == 0 || begins_with(&self.file, FILE_MARK)
    }

    fn log_is_intact(&mut self) -> bool {
        // One that is missing or replaced is noticed by its name.
        let Ok(log) = open(&self.log) else {
            return true;
        };
        let size = log.metadata().map_or(self.largest_log, |found| found.len());
        if size < self.largest_log {
            return false;
        }
        self.largest_log = size;
        size == 0 || begins_with(&log, LOG_MARK)
    }
}

/// Closes a connection whose log may be damaged. Without this, SQLite would copy the log into the file, whatever is in it.
pub(super) fn close_without_the_log(connection: Connection) {
    // If this fails, the file is checked when it is opened again.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(connection);
}

fn begins_with(file: &fs::File, mark: &[u8]) -> bool {
    let mut found = vec![0; mark.len()];
    match file.read_exact_at(&mut found, 0) {
        Ok(()) => found == mark,
        Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
    }
}

fn pages_in_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    Ok((number("page_count")? * number("page_size")?).max(0) as u64)
}
