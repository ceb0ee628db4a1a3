//! How likely an answer from the board is wrong by now, as far as waiting for a fresh one could mend it. Pure.
//!
//! Only answers at the edge are in doubt: with *k* seats above the threshold, one change of one agent turns the answer only for *k* = 1
//! (the last seat may be gone) and *k* = 0 (a seat may have come). The terms are the simplest that work: statuses hold for about a
//! minute, log-in flags for about two hours.

use std::time::Duration;

use crate::{
    criteria::{Comparison, Verdict},
    decision::{Decision, Patience},
    snapshot::Snapshot,
};

/// After this long a status has changed with probability 1 − 1/e: agents wait for calls, and write up calls, for about a minute.
const STATUS_HOLDS: Duration = Duration::from_secs(60);

/// The same for the flag that says whether an agent is logged in to a queue: people stay in their queues for a good part of a shift.
const FLAG_HOLDS: Duration = Duration::from_secs(2 * 3600);

/// The doubt about an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubt {
    /// The chance that the answer is wrong, 0 to 1.
    pub chance: f64,
    /// The part of it that comes from the age of the membership, which only a poll of the queue renews.
    pub of_membership: f64,
}

impl Doubt {
    /// No answer rests on anything.
    pub const WHOLE: Doubt = Doubt {
        chance: 1.0,
        of_membership: 0.0,
    };

    /// None.
    pub const NONE: Doubt = Doubt {
        chance: 0.0,
        of_membership: 0.0,
    };

    /// The doubt about a decision that rests on `snapshot`.
    pub fn of(decision: &Decision, snapshot: Option<&Snapshot>) -> Self {
        if !decision.reason.is_known() {
            return Doubt::WHOLE;
        }
        let at_the_edge = snapshot.is_some_and(|snapshot| is_at_the_edge(decision, snapshot));
        match (decision.age, decision.membership_age) {
            (Some(age), Some(membership_age)) if at_the_edge => {
                let of_status = changed(age, STATUS_HOLDS);
                let of_membership = changed(membership_age, FLAG_HOLDS);
                Doubt {
                    chance: of_status.max(of_membership),
                    of_membership,
                }
            }
            _ => Doubt::NONE,
        }
    }

    /// Whether fresh statuses would mend most of it.
    pub fn is_about_statuses(&self) -> bool {
        self.of_membership < self.chance / 2.0
    }

    /// Whether it is worth a permit when the bucket of permits is `fill` full, 0 to 1: with a full one any doubt is, with an empty one only
    /// a good chance.
    pub fn is_worth_a_permit(&self, fill: f64) -> bool {
        self.chance > 0.3 * (1.0 - fill).powi(2)
    }
}

impl Patience {
    /// The doubt for which a question would wait; `None` where the answer is fresh enough, or beyond doubt.
    pub fn doubts(&self, decision: &Decision, snapshot: Option<&Snapshot>) -> Option<Doubt> {
        if decision.age.is_some_and(|age| age <= self.fresh) {
            return None;
        }
        let doubt = Doubt::of(decision, snapshot);
        (doubt.chance > 0.0).then_some(doubt)
    }
}

fn changed(age: Duration, holds: Duration) -> f64 {
    1.0 - (-age.as_secs_f64() / holds.as_secs_f64()).exp()
}

/// Whether one seat more or less could turn the answer.
fn is_at_the_edge(decision: &Decision, snapshot: &Snapshot) -> bool {
    let (Some(count), Some(threshold), Ok(measured)) =
        (decision.count, decision.threshold, &snapshot.measured)
    else {
        return false;
    };
    let above = count.get() - threshold.get();
    match measured.verdict {
        Verdict::Compare(Comparison::GreaterThan | Comparison::LessOrEqual) => {
            above == 0.0 || above == 1.0
        }
        Verdict::Compare(Comparison::GreaterOrEqual | Comparison::LessThan) => {
            above == 0.0 || above == -1.0
        }
        Verdict::Compare(Comparison::Equals | Comparison::NotEquals) => above.abs() <= 1.0,
        // Texts and truth values have no edge to be near to: any change may turn them.
        Verdict::Holds(_) => true,
    }
}
