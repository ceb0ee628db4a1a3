//! What was: seats and agents of each queue over time, and the decisions given, for whoever looks back.
//!
//! Nothing is asked of those who poll and decide: a [task](Recorder::watch) looks at the board and at the counters every few seconds, and
//! a thread writes down what has changed. Losing the file harms nobody; it has nothing to do with the others.
//!
//! - Counts per status and seats: at each poll of the queue and whenever they change, at most every 15 s; 70 bytes each, so 100 to
//!   400 kB a day for a queue. All queues together write at most four a second, 24 MB a day. They tell what another threshold would have answered.
//! - Decisions by result and reason: one row a minute for each that was given; 30 bytes, so up to 130 kB a day for a queue that is asked at
//!   all times.
//! - The agents' rows, packed: every 5 min, for a day; 25 agents take some 3 kB, so 0.9 MB for a queue. All queues together write one in 5 s at
//!   most, 52 MB a day. They tell what other criteria would have answered.
//!
//! What is older than `history_days` goes by itself, and so does the older half where the file holds more than [`LARGEST`].
//!
//! [`record`] looks, `write` writes, [`read`] reads, within a `limit`.

#[cfg(test)]
pub(crate) mod fixtures;
mod limit;
mod note;
mod read;
mod record;
mod schema;
mod series;
#[cfg(test)]
mod tests;
mod write;

use std::{io, path::Path, sync::Arc, time::Duration};

pub use self::{
    limit::{HistoryError, Limit},
    read::{Decided, History, Rows},
    record::Watched,
    series::{Bucket, HOLDS_MS, Range, Sample},
};
use self::{note::Note, schema::SCHEMA};
use crate::{
    clock::Clock,
    sqlite::{Condition, File, writer::Writer},
};

/// The file holds at most so much: a disk with room for openseat has room for this.
pub const LARGEST: u64 = 1024 * 1024 * 1024;

/// Looks that may wait to be written: a minute of them.
const LINE: usize = 12;

/// Writes history down. See the [module](self).
#[derive(Debug)]
pub struct Recorder {
    history: History,
    writer: Writer<Vec<Note>>,
    condition: Arc<Condition>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// Starts to keep so many days of history in a file, which is opened or made when it is first used.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn start(path: &Path, days: u32, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let condition = Arc::new(Condition::new(
            "history",
            "what happens meanwhile is not recorded",
        ));
        let mut file = File::new(&SCHEMA, path, Arc::clone(&condition), Arc::clone(&clock));
        let keep = Duration::from_secs(u64::from(days) * 86_400);
        let (mut trimmed, now) = (None, Arc::clone(&clock));
        let writer = Writer::start("openseat-history", LINE, move |looks: Vec<Vec<Note>>| {
            let now = now.now();
            file.with(|connection| write::write(connection, looks.iter().flatten()));
            if trimmed.is_none_or(|at| now.longest_since(at) >= write::TRIM_EVERY) {
                trimmed = Some(now);
                file.with(|connection| write::trim(connection, now, keep, LARGEST));
            }
        })?;
        Ok(Self {
            history: History::new(path),
            writer,
            condition,
            clock,
        })
    }

    /// What it has written so far, to look at.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How many looks were not written, since the disk was too slow.
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
            tracing::warn!("the last moments of history could not be written in time");
        }
    }
}
