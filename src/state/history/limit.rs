//! Limits reading the history: the number of buckets, a deadline, and the client's patience.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// The most buckets of a range: as many as a wide screen has columns.
pub const MAX_BUCKETS: u64 = 2_000;

/// Why the history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file does not exist yet, or is just being made.
    #[error("nothing has been recorded yet")]
    NotYet,
    /// SQLite's error.
    #[error("the history cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The range is empty or has too many parts.
    #[error(
        "a range must end after it begins, and have 1 to {MAX_BUCKETS} buckets of at least a second"
    )]
    Range,
    /// The [`Limit`] is reached.
    #[error("reading it took longer than {} s and was stopped", .0.as_secs_f64())]
    TooLong(Duration),
    /// The client has disconnected.
    #[error("the client no longer waits for it")]
    Abandoned,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Limit {
    clock: Arc<dyn Clock>,
    /// In time since boot.
    ends: Duration,
    longest: Duration,
    gone: CancellationToken,
}

impl Limit {
    /// Creates a limit that ends after `longest`, or when `gone` is cancelled.
    pub fn new(clock: Arc<dyn Clock>, longest: Duration, gone: CancellationToken) -> Self {
        Self {
            ends: clock.boot() + longest,
            clock,
            longest,
            gone,
        }
    }

    /// Returns the wall time in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().wall.as_millis() as i64
    }

    /// Checks the limit. Readers call this between two pieces of work.
    ///
    /// # Errors
    /// The deadline has passed, or the client has gone.
    pub fn check(&self) -> Result<(), HistoryError> {
        if self.gone.is_cancelled() {
            return Err(HistoryError::Abandoned);
        }
        if self.clock.boot() >= self.ends {
            return Err(HistoryError::TooLong(self.longest));
        }
        Ok(())
    }
}
