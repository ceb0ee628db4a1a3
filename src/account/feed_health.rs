//! Compares requests for statuses with queue polls: a feed whose requests fail while polls succeed is useless.

/// How many requests for statuses may fail in a row while polls succeed. With the waits in between, that takes about half a minute. After that,
/// answers are older than the plan with such a feed allows.
const MAX_FAILURES: u32 = 3;

/// Counts failed requests for statuses.
#[derive(Debug, Default)]
pub(super) struct FeedHealth {
    /// Requests for statuses that failed in a row, each with a successful poll since the last failure.
    failed_alone: u32,
    polled_since_failure: bool,
    /// Readings of the full list in a row that found fewer rows than it says.
    cut_short: u32,
}

impl FeedHealth {
    /// Records that a poll succeeded.
    pub fn polled(&mut self) {
        self.polled_since_failure = true;
    }

    /// Restarts the count, because statuses were read or their feed was suspended.
    pub fn recovered(&mut self) {
        self.failed_alone = 0;
    }

    /// Records that a full list was read to its end.
    pub fn full_list_read(&mut self) {
        self.cut_short = 0;
    }

    /// Records that the full list had fewer rows than it says, which only its last page shows. Returns whether to suspend sweeps.
    pub fn was_cut_short(&mut self) -> bool {
        self.cut_short += 1;
        self.cut_short > MAX_FAILURES
    }

    /// Records that a request for statuses failed. Returns whether to suspend its feed. In an outage polls fail as well, which says nothing about feeds.
    pub fn failed(&mut self) -> bool {
        self.failed_alone = match std::mem::take(&mut self.polled_since_failure) {
            true => self.failed_alone + 1,
            false => 0,
        };
        self.failed_alone > MAX_FAILURES
    }
}
