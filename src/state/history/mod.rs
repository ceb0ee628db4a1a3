//! The history: seats and agents of each queue over time, and the decisions given.
//!
//! Polling and deciding do no work for it: a [task](Recorder::watch) reads the board and the counters every few seconds, and a thread writes
//! what has changed. Losing the file harms nothing else.
//!
//! - Seats, and agents by status: at each poll of the queue and whenever they change, at most every 15 s; and
//!   when they become too old for a decision. At 70 bytes each that is 100 to
//!   400 kB a day for a queue. All queues together write at most four a second, 24 MB a day. They show what another threshold would have
//!   answered.
//! - Decisions by result and reason: one row a minute for each kind. At 30 bytes that is up to 130 kB a day for a queue that is always busy.
//! - The agents' rows, packed: every 5 min, kept for a day. 25 agents take some 3 kB, so 0.9 MB for a queue. All queues together write at most
//!   one every 5 s, 52 MB a day. They show what other criteria would have answered.
//! - Who is logged in to a queue, and whether they are free: when it changes, at most once a minute, kept for a week. 25 agents take some 100
//!   bytes, so up to 150 kB a day for a queue. All queues together write at most two a second, 17 MB a day.
//!
//! Entries older than `history_days` are removed, if the wall clock has been [steady](SteadyWall). If the file uses more than [`MAX_BYTES`],
//! its oldest days are removed too.
//!
//! `record` watches and creates `note`s, `write` stores them, `trim` removes them, `read` reads them within a `limit`, and `series` turns samples
//! into means.

#[cfg(test)]
pub(crate) mod fixtures;
mod limit;
mod note;
mod presence;
mod read;
mod record;
pub(super) mod schema;
mod series;
#[cfg(test)]
mod tests;
mod trim;
mod write;

use std::{io, path::Path, sync::Arc, time::Duration};

pub use self::{
    limit::{HistoryError, Limit},
    presence::{Attendance, Attended, Presence},
    read::{Decided, History, Rows},
    record::Watched,
    series::{Bucket, HOLDS_MS, Range, Sample},
};
use self::{note::Note, schema::SCHEMA};
use crate::{
    clock::Clock,
    sqlite::{Condition, File, writer::Writer},
    state::steady::SteadyWall,
};

/// The most bytes the file may use: a disk with room for openseat has room for this.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// How many looks can wait to be written: those of a minute.
const MAX_WAITING: usize = 12;

/// How often a file that cannot be used is tried again, also if there is nothing to write, as while all queues are closed.
const RETRY: Duration = Duration::from_secs(1);

/// Records the history. See the [module](self).
#[derive(Debug)]
pub struct Recorder {
    history: History,
    writer: Writer<Vec<Note>>,
    condition: Arc<Condition>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// Starts to keep this many days of history in a file, which is opened or created on first use.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(path: &Path, days: u32, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let condition = Arc::new(Condition::new(
            "history",
            "the history has a gap until it can",
        ));
        let mut file = File::new(&SCHEMA, path, Arc::clone(&condition), Arc::clone(&clock));
        let keep = Duration::from_secs(u64::from(days) * 86_400);
        let mut wall = SteadyWall::new(clock.now());
        let (mut trimmed, now, state) = (None, Arc::clone(&clock), Arc::clone(&condition));
        let write = move |looks: Vec<Vec<Note>>| {
            if looks.is_empty() && !state.is_degraded() {
                return;
            }
            let now = now.now();
            file.with(|connection| write::write(connection, looks.iter().flatten()));
            let trusted = wall.trusted(now);
            if trimmed.is_none_or(|at| now.boot_since(at) >= trim::TRIM_EVERY) {
                trimmed = Some(now);
                file.with(|connection| trim::trim(connection, trusted, keep, MAX_BYTES));
            }
        };
        let writer = Writer::start_with_rounds("history", MAX_WAITING, RETRY, write)?;
        Ok(Self {
            history: History::new(path),
            writer,
            condition,
            clock,
        })
    }

    /// Returns the history written so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns how many looks were dropped because the disk was too slow.
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
            tracing::warn!("the last moments of the history could not be written in time");
        }
    }
}
