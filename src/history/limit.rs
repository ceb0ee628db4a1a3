//! How long somebody looks back: whoever asks for much gets an end, and whoever has gone is not read for.

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
    /// So long from now on, and not after the reader is `gone`.
    pub fn new(clock: Arc<dyn Clock>, longest: Duration, gone: CancellationToken) -> Self {
        Self {
            ends: clock.boot() + longest,
            clock,
            longest,
            gone,
        }
    }

    /// To be asked between two pieces of work.
    ///
    /// # Errors
    /// The time is over, or nobody waits any more.
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
