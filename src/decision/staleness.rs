//! How likely an answer from memory is wrong by now, in ways that waiting for a fresh one could correct. Pure functions.
//!
//! Only answers at the edge can be wrong because of one change: with *k* seats above the threshold, one change of one agent turns the answer
//! for *k* = 1 (the last seat may be gone) and *k* = 0 (a seat may have opened). The model is the simplest that works: a status holds for about
//! a minute, a log-in flag for about two hours.

use std::time::Duration;

use crate::{
    decision::{
        Decision, Patience,
        board::QueueState,
        criteria::{Comparison, Measured, Mismatch, Verdict},
        snapshot::Snapshot,
    },
    model::quantity::Quantity,
};

/// After this long a status has changed with probability 1 − 1/e: agents wait for calls, and write up calls, for about a minute.
const STATUS_HOLDS: Duration = Duration::from_secs(60);

/// As [`STATUS_HOLDS`], for the flag that says whether an agent is logged in to a queue: people stay in their queues for a good part of a shift.
const FLAG_HOLDS: Duration = Duration::from_secs(2 * 3600);

/// How stale an answer may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staleness {
    /// The chance that the answer is wrong, 0 to 1.
    pub chance: f64,
    /// The part of it that comes from the age of the membership, which only a poll of the queue renews.
    pub of_membership: f64,
}

impl Staleness {
    /// The answer is based on nothing. Only a poll of the queue itself helps: a sweep says nothing about a queue without members.
    pub const UNKNOWN: Staleness = Staleness {
        chance: 1.0,
        of_membership: 1.0,
    };

    /// Not stale: no single change could turn the answer.
    pub const NONE: Staleness = Staleness {
        chance: 0.0,
        of_membership: 0.0,
    };

    /// Returns the staleness of a decision based on `snapshot`.
    pub fn new(decision: &Decision, snapshot: Option<&Snapshot>) -> Self {
        if !decision.reason.is_known() {
            return Staleness::UNKNOWN;
        }
        let at_the_edge = snapshot.is_some_and(|snapshot| is_at_the_edge(decision, snapshot));
        match (decision.age, decision.membership_age) {
            (Some(age), Some(membership_age)) if at_the_edge => {
                let of_status = changed(age, STATUS_HOLDS);
                let of_membership = changed(membership_age, FLAG_HOLDS);
                Staleness {
                    chance: of_status.max(of_membership),
                    of_membership,
                }
            }
            _ => Staleness::NONE,
        }
    }

    /// Returns whether fresh statuses would remove most of it.
    pub fn is_about_statuses(&self) -> bool {
        self.of_membership < self.chance / 2.0
    }

    /// Whether removing it is worth a permit when the buckets of permits are `fill` full, 0 to 1. With nine tenths any chance of an error
    /// is worth one, with empty buckets only a good chance.
    pub fn is_worth_a_permit(&self, fill: f64) -> bool {
        self.chance > 0.3 * (1.0 - fill / 0.9).max(0.0).powi(2)
    }
}

/// Whether one agent who logged in to the queue or out of it, unseen, could turn the answer: the last seat may be gone, or an available
/// agent may have joined. With seats to spare, or with nobody available, it could not.
pub fn hangs_on_membership(
    measured: &Result<Measured, Mismatch>,
    threshold: Option<Quantity>,
    somebody_may_join: impl FnOnce() -> bool,
) -> bool {
    let (Ok(measured), Some(threshold)) = (measured, threshold) else {
        return true;
    };
    // Thresholds may lie between two whole numbers.
    let above = measured.count.get() - threshold.get();
    (above > 0.0 && above <= 1.0) || (above > -1.0 && above <= 0.0 && somebody_may_join())
}

impl Patience {
    /// Returns the staleness that is worth waiting for; `None` if the answer is fresh enough, or cannot be wrong and is not polled for on demand.
    pub fn staleness(&self, decision: &Decision, state: &QueueState) -> Option<Staleness> {
        if decision.age.is_some_and(|age| age <= self.fresh) {
            return None;
        }
        let staleness = Staleness::new(decision, state.snapshot.as_deref());
        (staleness.chance > 0.0 || state.on_demand).then_some(staleness)
    }
}

fn changed(age: Duration, holds: Duration) -> f64 {
    1.0 - (-age.as_secs_f64() / holds.as_secs_f64()).exp()
}

/// Returns whether one seat more or less could turn the answer.
fn is_at_the_edge(decision: &Decision, snapshot: &Snapshot) -> bool {
    let (Some(count), Some(threshold), Ok(measured)) =
        (decision.count, decision.threshold, &snapshot.measured)
    else {
        return false;
    };
    let above = count.get() - threshold.get();
    match measured.verdict {
        // Thresholds may lie between two whole numbers.
        Verdict::Compare(Comparison::GreaterThan | Comparison::LessOrEqual) => {
            above > -1.0 && above <= 1.0
        }
        Verdict::Compare(Comparison::GreaterOrEqual | Comparison::LessThan) => {
            (-1.0..1.0).contains(&above)
        }
        Verdict::Compare(Comparison::Equals | Comparison::NotEquals) => above.abs() <= 1.0,
        // Text and truth values have no edge: any change may turn the answer.
        Verdict::Holds(_) => true,
    }
}

#[cfg(test)]
mod tests;
