//! How likely an answer from the board is wrong by now, as far as waiting for a fresh one could mend it. Pure.
//!
//! Only answers at the edge are in doubt: with *k* seats above the threshold, one change of one agent turns the answer only for *k* = 1
//! (the last seat may be gone) and *k* = 0 (a seat may have come). The terms are the simplest that work: statuses hold for about a
//! minute, log-in flags for about two hours.

use std::time::Duration;

use crate::{
    decision::{
        Decision, Patience,
        criteria::{Comparison, Verdict},
        snapshot::Snapshot,
    },
    model::quantity::Quantity,
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
    /// No answer rests on anything: only a poll of the queue itself can tell, since a sweep tells nothing of a queue without members.
    pub const WHOLE: Doubt = Doubt {
        chance: 1.0,
        of_membership: 1.0,
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

/// Whether one agent who logs in to the queue or out of it, unseen, could turn the answer: the last seat may have gone, or somebody who
/// is available may have come. With seats in plenty, or with nobody available, it could not.
pub fn hangs_on_membership(snapshot: &Snapshot, threshold: Option<Quantity>) -> bool {
    let (Ok(measured), Some(threshold)) = (&snapshot.measured, threshold) else {
        return true;
    };
    let above = measured.count.get() - threshold.get();
    let somebody_may_come = || {
        snapshot
            .agents
            .iter()
            .any(|agent| agent.available == Some(true) && !agent.queue_logged_in)
    };
    above == 1.0 || (above == 0.0 && somebody_may_come())
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
        // Thresholds may lie between two whole numbers.
        Verdict::Compare(Comparison::GreaterThan | Comparison::LessOrEqual) => {
            above > -1.0 && above <= 1.0
        }
        Verdict::Compare(Comparison::GreaterOrEqual | Comparison::LessThan) => {
            (-1.0..1.0).contains(&above)
        }
        Verdict::Compare(Comparison::Equals | Comparison::NotEquals) => above.abs() <= 1.0,
        // Texts and truth values have no edge to be near to: any change may turn them.
        Verdict::Holds(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::Moment,
        decision::{
            OnUnknown, Policy,
            board::QueueState,
            criteria::{Measured, Mismatch},
            decide,
        },
        model::quantity::Quantity,
    };

    const NOW: Moment = Moment {
        boot: Duration::from_secs(100_000),
        wall: Duration::from_secs(1_795_341_600),
    };

    fn quantity(value: f64) -> Quantity {
        value.to_string().parse().unwrap()
    }

    fn measured(count: f64, comparison: Comparison) -> Result<Measured, Mismatch> {
        Ok(Measured {
            count: quantity(count),
            verdict: Verdict::Compare(comparison),
        })
    }

    /// The doubt about an answer from a snapshot whose statuses and membership are so old.
    fn doubt(
        measured: Result<Measured, Mismatch>,
        threshold: f64,
        age: Duration,
        members: Duration,
    ) -> Doubt {
        let snapshot = std::sync::Arc::new(Snapshot {
            as_of: NOW.earlier(age),
            members_as_of: NOW.earlier(members),
            took: Duration::ZERO,
            complete: true,
            agents: Vec::new(),
            measured,
        });
        let state = QueueState {
            snapshot: Some(snapshot.clone()),
            ..QueueState::default()
        };
        let policy = Policy {
            threshold: Some(quantity(threshold)),
            max_age: Some(Duration::from_secs(10_000)),
            on_unknown: OnUnknown::Reject,
        };
        Doubt::of(&decide(&state, &policy, 0, NOW), Some(&*snapshot))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_answers_that_one_seat_could_turn_are_in_doubt() {
        use Comparison::*;
        let edges: [(Comparison, f64, &[f64]); 9] = [
            (GreaterThan, 0.0, &[0.0, 1.0]),
            (GreaterThan, 2.0, &[2.0, 3.0]),
            (GreaterThan, 2.5, &[2.0, 3.0]),
            (LessOrEqual, 2.0, &[2.0, 3.0]),
            (GreaterOrEqual, 2.0, &[1.0, 2.0]),
            (GreaterOrEqual, 1.5, &[1.0, 2.0]),
            (LessThan, 2.0, &[1.0, 2.0]),
            (Equals, 2.0, &[1.0, 2.0, 3.0]),
            (NotEquals, 2.0, &[1.0, 2.0, 3.0]),
        ];
        for (comparison, threshold, edge) in edges {
            for count in [0.0, 1.0, 2.0, 3.0, 4.0, 7.0] {
                let doubt = doubt(measured(count, comparison), threshold, secs(30), secs(30));
                let is_edge = edge.contains(&count);
                assert_eq!(
                    doubt != Doubt::NONE,
                    is_edge,
                    "{count} {comparison:?} {threshold}"
                );
                // Whether one seat more or less turns it is the very meaning.
                let holds = |count| comparison.holds(quantity(count), quantity(threshold));
                let turns =
                    holds(count + 1.0) != holds(count) || holds(count - 1.0) != holds(count);
                assert_eq!(is_edge, turns, "{count} {comparison:?} {threshold}");
            }
        }
    }

    #[test]
    fn what_is_unknown_is_wholly_in_doubt_and_a_poll_of_the_queue_tells() {
        let misfit = Err(Mismatch("`count` is text".to_owned()));
        assert_eq!(doubt(misfit, 0.0, secs(1), secs(1)), Doubt::WHOLE);
        let old = doubt(
            measured(9.0, Comparison::GreaterThan),
            0.0,
            secs(20_000),
            secs(1),
        );
        assert_eq!(old, Doubt::WHOLE);
        assert!(!Doubt::WHOLE.is_about_statuses());
        assert!(Doubt::WHOLE.is_worth_a_permit(0.0));
    }

    #[test]
    fn rules_that_compare_with_no_number_have_no_edge_to_be_near_to() {
        let yes = Ok(Measured {
            count: quantity(5.0),
            verdict: Verdict::Holds(true),
        });
        let snapshot_doubt = doubt(yes, 0.0, secs(30), secs(30));
        assert!(snapshot_doubt.chance > 0.0);
    }

    #[test]
    fn what_is_old_decides_what_would_mend_it() {
        let at_edge =
            |age, members| doubt(measured(1.0, Comparison::GreaterThan), 0.0, age, members);
        assert!(at_edge(secs(30), secs(300)).is_about_statuses());
        assert!(!at_edge(secs(2), secs(3_600)).is_about_statuses());
    }

    #[test]
    fn a_full_bucket_pays_for_any_doubt_and_an_empty_one_for_a_great_one() {
        let of = |chance| Doubt {
            chance,
            of_membership: 0.0,
        };
        assert!(of(1e-9).is_worth_a_permit(1.0));
        assert!(!Doubt::NONE.is_worth_a_permit(1.0));
        assert!(!of(0.3).is_worth_a_permit(0.0) && of(0.301).is_worth_a_permit(0.0));
        assert!(!of(0.075).is_worth_a_permit(0.5) && of(0.076).is_worth_a_permit(0.5));
    }

    #[test]
    fn a_question_waits_for_what_is_older_than_it_would_have_it() {
        let patience = Patience::USUAL;
        let ask = |age| {
            let snapshot = Snapshot {
                as_of: NOW.earlier(age),
                members_as_of: NOW.earlier(age),
                took: Duration::ZERO,
                complete: true,
                agents: Vec::new(),
                measured: measured(1.0, Comparison::GreaterThan),
            };
            let snapshot = std::sync::Arc::new(snapshot);
            let state = QueueState {
                snapshot: Some(snapshot.clone()),
                planned_max_age: secs(60),
                ..QueueState::default()
            };
            let policy = Policy {
                threshold: Some(Quantity::ZERO),
                max_age: None,
                on_unknown: OnUnknown::Reject,
            };
            patience.doubts(&decide(&state, &policy, 0, NOW), Some(&*snapshot))
        };
        assert_eq!(ask(patience.fresh), None);
        assert!(ask(patience.fresh + Duration::from_millis(1)).is_some());
    }

    proptest! {
        #[test]
        fn doubt_grows_with_age_and_is_a_chance(
            age in 0u64..9_000,
            members in 0u64..9_000,
            more in 0u64..900,
            fill in 0.0f64..=1.0,
        ) {
            let at = |age, members| doubt(measured(1.0, Comparison::GreaterThan), 0.0, secs(age), secs(members));
            let (now, older, older_members) = (at(age, members), at(age + more, members), at(age, members + more));
            prop_assert!((0.0..=1.0).contains(&now.chance));
            prop_assert!(now.of_membership <= now.chance);
            prop_assert!(older.chance >= now.chance && older_members.chance >= now.chance);
            prop_assert!(!now.is_worth_a_permit(fill) || older.is_worth_a_permit(fill));
            prop_assert!(!now.is_worth_a_permit(fill) || now.is_worth_a_permit(1.0));
        }
    }
}
