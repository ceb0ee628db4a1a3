//! Compares requests for statuses with all other requests: a list whose requests fail while CallTools answers others is useless.

use std::time::Duration;

use super::{feeds::FAILURE_LASTS, schedule::TRUST_AGAIN};
use crate::clock::Moment;

/// After this many failures in a row, a list that replaces the full list rests. One request in a hundred may fail by accident.
const MAX_FAILURES: u32 = 2;

/// The same for the full list. With the waits in between, that takes about half a minute. After that, answers are older than the plan with such a
/// list allows. It is not less, because polls of the queues alone take many more requests.
const MAX_FAILURES_OF_SWEEPS: u32 = 4;

/// Counts failed requests for statuses.
#[derive(Debug, Default)]
pub(super) struct FeedHealth {
    /// Requests to the list in use that failed in a row. Between any two, CallTools answered another request.
    failed_alone: u32,
    /// When the last of them failed, …
    failed_at: Option<Moment>,
    /// … and when another request was answered that began after that.
    answered_at: Option<Moment>,
    /// Readings of the full list in a row that found fewer rows than it says.
    cut_short: u32,
    /// When the full list last began to rest because of its failures.
    rested: Option<Moment>,
}

impl FeedHealth {
    /// Records that CallTools answered another request, which began at `begun`.
    pub fn others_answered(&mut self, begun: Moment, now: Moment) {
        if self.failed_at.is_some_and(|at| begun.boot >= at.boot) {
            self.answered_at.get_or_insert(now);
        }
    }

    /// Restarts the count, because statuses were read or their list was suspended.
    pub fn recovered(&mut self) {
        let (cut_short, rested) = (self.cut_short, self.rested);
        *self = Self {
            cut_short,
            rested,
            ..Self::default()
        };
    }

    /// Restarts all counts, because sweeps were suspended.
    pub fn suspended(&mut self) {
        self.cut_short = 0;
        self.recovered();
    }

    /// Returns how long the full list rests from now on, because its requests fail. If it has done so within the last hour, they keep failing
    /// now and then: then it rests for an hour, so that it does not come and go.
    pub fn rests(&mut self, now: Moment) -> Duration {
        let before = self.rested.replace(now);
        match before.is_some_and(|before| now.boot_since(before) < TRUST_AGAIN) {
            true => TRUST_AGAIN,
            false => FAILURE_LASTS,
        }
    }

    /// Records that a full list was read to its end.
    pub fn full_list_read(&mut self) {
        self.cut_short = 0;
    }

    /// Records that the full list had fewer rows than it says, which only its last page shows. Returns whether to suspend sweeps.
    pub fn was_cut_short(&mut self) -> bool {
        self.cut_short += 1;
        self.cut_short >= MAX_FAILURES_OF_SWEEPS
    }

    /// Records that a request to the list in use, which began at `begun`, failed. Returns whether to suspend the list. In an outage all requests fail,
    /// which says nothing about lists.
    pub fn failed(&mut self, is_sweep: bool, begun: Moment, now: Moment) -> bool {
        let answered = self.answered_at.take();
        let is_alone = answered.is_some_and(|at| at.boot <= begun.boot);
        self.failed_alone = if is_alone { self.failed_alone + 1 } else { 1 };
        self.failed_at = Some(now);
        let most = match is_sweep {
            true => MAX_FAILURES_OF_SWEEPS,
            false => MAX_FAILURES,
        };
        self.failed_alone >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    #[test]
    fn a_list_is_suspended_once_it_failed_again_although_others_were_answered() {
        for (is_sweep, failures) in [(false, 2), (true, 4)] {
            let mut health = FeedHealth::default();
            for n in 0..failures - 1 {
                assert!(!health.failed(is_sweep, at(10 * n), at(10 * n + 1)));
                health.others_answered(at(10 * n + 2), at(10 * n + 3));
            }
            let last = 10 * (failures - 1);
            assert!(health.failed(is_sweep, at(last), at(last + 1)));
        }
    }

    #[test]
    fn a_full_list_that_fails_again_within_an_hour_rests_for_an_hour() {
        let mut health = FeedHealth::default();
        assert_eq!(health.rests(at(0)), FAILURE_LASTS);
        health.suspended();
        assert_eq!(health.rests(at(3_599)), TRUST_AGAIN);
        assert_eq!(health.rests(at(2 * 3_600)), FAILURE_LASTS);
    }

    #[test]
    fn failures_in_an_outage_do_not_count() {
        let mut health = FeedHealth::default();
        // It was sent before the outage.
        assert!(!health.failed(false, at(0), at(5)));
        health.others_answered(at(4), at(6));
        for n in 1..20 {
            assert!(!health.failed(false, at(10 * n), at(10 * n + 5)));
        }
        // The outage ends while a request waits for its time-out.
        health.others_answered(at(206), at(207));
        assert!(!health.failed(false, at(200), at(215)));
        health.recovered();
        assert!(!health.failed(false, at(220), at(221)), "much later");
    }
}
