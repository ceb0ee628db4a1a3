//! Whether the two feeds, sweeps and queue polls, answer. Sweeps that fail while polls succeed are of no use.

/// So many sweeps may fail in a row while queues can be polled, with the waits in between for about half a minute: longer, and the answers
/// are too old for what sweeps have promised.
const SWEEP_FAILURES: u32 = 3;

/// Counts failed sweeps.
#[derive(Debug, Default)]
pub(super) struct FeedHealth {
    /// Sweeps that failed in a row, each with a successful poll since the one before.
    failed_alone: u32,
    polled_since_failure: bool,
}

impl FeedHealth {
    /// A queue was polled with success.
    pub fn polled(&mut self) {
        self.polled_since_failure = true;
    }

    /// A sweep was read, or sweeps were given up: counting starts again.
    pub fn recovered(&mut self) {
        self.failed_alone = 0;
    }

    /// A sweep failed. Returns whether it is time to give sweeps up. In an outage polls fail too, so that says nothing about sweeps.
    pub fn sweep_failed(&mut self) -> bool {
        self.failed_alone = match std::mem::take(&mut self.polled_since_failure) {
            true => self.failed_alone + 1,
            false => 0,
        };
        self.failed_alone > SWEEP_FAILURES
    }
}
