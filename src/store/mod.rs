//! What survives a restart beside the budget's ledger: the names of queues and statuses, the last poll of every queue, the newest
//! statuses, and the seats that are held.
//!
//! Losing this file costs a few requests, the first seconds' answers and a minute's reservations, nothing else, so every failure here is a line in the log and the
//! daemon goes on. The ledger, which must not be lost, has a file of its own.
//!
//! Names are read and written in place, a few times a day; reservations have a thread of their own, for whom answers wait a moment. The rest changes every few seconds, so it goes through a [`Writer`], in
//! batches: nothing that polls or decides waits for it.

mod layout;
mod names;
mod reservations;
mod snapshots;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::layout::LAYOUT;
pub use self::{reservations::KeptReservation, snapshots::Note};
use crate::{
    clock::Clock,
    sqlite::{Condition, File},
    writer::Writer,
};

/// Polls that may wait to be written: those of a minute, were there a poll for each of an account's requests, and CallTools' limit four times
/// as high.
const LINE: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub struct Store {
    file: Arc<Mutex<File>>,
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
            "snapshots",
            "a restart would begin with older answers, or with none",
        ));
        let file = File::new(&LAYOUT, path, Arc::clone(&condition), Arc::clone(&clock));
        let file = Arc::new(Mutex::new(file));
        let (written, now) = (Arc::clone(&file), Arc::clone(&clock));
        let writer = Writer::start("openseat-store", LINE, move |notes: Vec<Note>| {
            lock(&written).with(|connection| snapshots::write(connection, &notes, now.as_ref()));
        })?;
        Ok(Self {
            file,
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

    fn lock(&self) -> MutexGuard<'_, File> {
        lock(&self.file)
    }
}

/// A panic drops its transaction, and SQLite rolls that back: what is behind the lock is whole.
fn lock(file: &Mutex<File>) -> MutexGuard<'_, File> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
