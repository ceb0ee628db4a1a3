//! The store: the names of queues and statuses, the last poll of every queue, the newest statuses, what was learnt about them, the held seats, and
//! the notifications sent.
//!
//! Losing this file costs a few requests and the answers of the first seconds. So every failure is a line in the log, and the daemon
//! keeps running. The ledger, which must not be lost, has a file of its own. Held seats are written from memory each time the file is opened.
//! So a file that was locked, full, deleted or replaced for a while has exactly the held seats as soon as it works again.
//!
//! Names are read in place, once per task. Changes go through [`Writer`]s, in batches: polls and decisions do not wait for them, and a call
//! that reserves a seat waits a moment at most.

mod learnt;
mod names;
mod notices;
mod renames;
mod reservations;
pub(super) mod schema;
mod snapshots;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use rusqlite::Connection;

use self::{renames::Configured, reservations::Seats, schema::SCHEMA, snapshots::FORGET_EVERY};
pub use self::{renames::ConfiguredAccount, snapshots::Note};
use crate::{
    clock::{Clock, Moment},
    sqlite::{Condition, File, writer::Writer},
};

/// How many notes can wait to be written: a minute of polls, if each request of four usual accounts were one.
const MAX_WAITING: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub struct Store {
    shelf: Arc<Shelf>,
    writer: Writer<Note>,
    condition: Arc<Condition>,
    clock: Arc<dyn Clock>,
    /// Shared with the seats, which may be restored later.
    configured: Arc<Configured>,
}

impl Store {
    /// Opens the store in a file, which is opened or created on first use. A damaged file is quarantined.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let condition = Arc::new(Condition::new(
            "store",
            "a restart would begin with older answers or none, and without the held seats",
        ));
        let file = File::new(&SCHEMA, path, Arc::clone(&condition), Arc::clone(&clock));
        let shelf = Arc::new(Shelf {
            file: Mutex::new(file),
            seats: OnceLock::new(),
        });
        let (written, time) = (Arc::clone(&shelf), Arc::clone(&clock));
        let mut forgot: Option<Moment> = None;
        let writer = Writer::start("store", MAX_WAITING, move |notes: Vec<Note>| {
            let now = time.now();
            let forgets = forgot.is_none_or(|at| now.longest_since(at) >= FORGET_EVERY);
            let write = |connection: &mut Connection| {
                snapshots::write(connection, &notes, forgets, time.as_ref())
            };
            if written.with(write).is_some() && forgets {
                forgot = Some(now);
            }
        })?;
        Ok(Self {
            shelf,
            writer,
            condition,
            clock,
            configured: Arc::default(),
        })
    }

    /// Queues something to store, without waiting.
    pub fn keep(&self, note: Note) {
        self.try_keep(note);
    }

    /// Queues something to store, without waiting. Returns whether there was room for it.
    pub fn try_keep(&self, note: Note) -> bool {
        self.writer.send(note)
    }

    /// Returns how many notes were dropped because the disk was too slow.
    pub fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// Returns whether it can be written, for metrics.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.condition)
    }

    /// Writes what is waiting, and nothing after that, within `longest`.
    pub fn finish(&self, longest: Duration) {
        if !self.writer.finish(longest) {
            tracing::warn!(
                "the newest statuses could not be stored in time; a restart begins with older ones"
            );
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        self.shelf.with(work)
    }
}

/// The file, and the seats that must be in it whenever it is used.
#[derive(Debug)]
struct Shelf {
    file: Mutex<File>,
    seats: OnceLock<Seats>,
}

impl Shelf {
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let begin = |connection: &mut Connection| match self.seats.get() {
            Some(seats) => seats.write_whole(connection),
            None => Ok(()),
        };
        self.file().with_begun(begin, work)
    }

    /// Locks the file. SQLite rolls back the transaction of a panic, so it is consistent.
    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
