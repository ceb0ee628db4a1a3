//! Bounds a reading of the history: it ends at a deadline, and when its client has gone.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// As many buckets as a wide screen has columns.
pub const MAX_BUCKETS: u64 = 2_000;

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite's word.
    #[error("the history cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The range makes no sense.
    #[error("a range ends after it begins, and has 1 to {MAX_BUCKETS} buckets of a second or more")]
    Range,
    /// The [`Limit`] is reached.
    #[error("reading it took longer than {} s and was stopped", .0.as_secs_f64())]
    TooLong(Duration),
    /// The client has gone.
    #[error("nobody waits for it any more")]
    Abandoned,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Limit {
    clock: Arc<dyn Clock>,
    /// In boot time.
    ends: Duration,
    longest: Duration,
    gone: CancellationToken,
}

impl Limit {
    /// Ends after `longest`, or as soon as `gone` is cancelled.
    pub fn new(clock: Arc<dyn Clock>, longest: Duration, gone: CancellationToken) -> Self {
        Self {
            ends: clock.boot() + longest,
            clock,
            longest,
            gone,
        }
    }

    /// Readers call this between two pieces of work.
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
