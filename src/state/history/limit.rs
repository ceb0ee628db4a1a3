//! Bounds a reading of the history: it ends at a deadline, and when its client has gone.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::read::HistoryError;
use crate::clock::Clock;

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
