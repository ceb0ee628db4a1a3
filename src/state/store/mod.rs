//! What survives a restart beside the budget's ledger: the names of queues and statuses, the last poll of every queue, the newest
//! statuses, and the seats that are held.
//!
//! Losing this file costs a few requests and the first seconds' answers, so every failure here is a line in the log and the daemon goes
//! on. The ledger, which must not be lost, has a file of its own. Seats that are held are written whole, from memory, each time the file
//! is opened: one that was locked, full, deleted or replaced for a while has them all as soon as it works, and none that ended meanwhile.
//!
//! Names are read in place, once for each task. What changes while the daemon runs goes through [`Writer`]s, in batches: nothing that
//! polls or decides waits for them, and a call that reserves waits a moment at most.

mod names;
mod reservations;
mod schema;
mod snapshots;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use rusqlite::Connection;

pub use self::snapshots::Note;
use self::{reservations::Seats, schema::SCHEMA};
use crate::{
    clock::Clock,
    sqlite::{Condition, File, writer::Writer},
};

/// Polls that may wait to be written: those of a minute, were there a poll for each of an account's requests, and CallTools' limit four times
/// as high.
const LINE: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub struct Store {
    shelf: Arc<Shelf>,
    writer: Writer<Note>,
    condition: Arc<Condition>,
    clock: Arc<dyn Clock>,
}

impl Store {
    /// The store in a file, which is opened or made when it is first used. One that is damaged is set aside.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let condition = Arc::new(Condition::new(
            "store",
            "a restart would begin with older answers or with none, and without the seats that are held",
        ));
        let file = File::new(&SCHEMA, path, Arc::clone(&condition), Arc::clone(&clock));
        let shelf = Arc::new(Shelf {
            file: Mutex::new(file),
            seats: OnceLock::new(),
        });
        let (written, now) = (Arc::clone(&shelf), Arc::clone(&clock));
        let writer = Writer::start("openseat-store", LINE, move |notes: Vec<Note>| {
            written.with(|connection| snapshots::write(connection, &notes, now.as_ref()));
        })?;
        Ok(Self {
            shelf,
            writer,
            condition,
            clock,
        })
    }

    /// Hands over what is to be kept, without waiting.
    pub fn keep(&self, note: Note) {
        self.writer.send(note);
    }

    /// How much was not kept, since the disk was too slow.
    pub fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// Whether it can be written, for metrics.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.condition)
    }

    /// Writes what waits, and nothing after that; takes at most so long.
    pub fn finish(&self, longest: Duration) {
        if !self.writer.finish(longest) {
            tracing::warn!("the newest statuses could not be stored in time");
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        self.shelf.with(work)
    }
}

/// The file, and what must be in it whenever it is used.
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

    /// A panic drops its transaction, and SQLite rolls that back: what is behind the lock is whole.
    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
