//! Accept or reject: a pure function of what the board knows, the queue's policy and the time.

pub mod board;
pub mod criteria;
pub mod doubt;
pub mod reservations;
pub mod snapshot;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    clock::Moment,
    decision::{
        board::QueueState,
        criteria::{Comparison, Measured, Verdict},
        snapshot::Snapshot,
    },
    model::{fault::Fault, quantity::Quantity},
};

/// Why a decision is what it is. The words are part of the interface: JSON, metrics and docs share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Known: the criteria hold.
    Seats,
    /// Known: the criteria do not hold.
    BelowThreshold,
    /// Known: there are seats, but not without those that are held for calls on their way.
    Reserved,
    /// Unknown: the snapshot is older than `max_age`, and no fault explains why.
    TooOld,
    /// Unknown: no poll of this queue has succeeded yet, and none has failed.
    NeverPolled,
    /// Unknown: CallTools does not accept the token.
    BadToken,
    /// Unknown: the token's user may not read the queue.
    NoPermission,
    /// Unknown: the account has no such queue.
    NoSuchQueue,
    /// Unknown: the hour's requests are spent.
    BudgetSpent,
    /// Unknown: others spend from the account, so CallTools refuses our requests.
    Throttled,
    /// Unknown: CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
}

impl From<&Fault> for Reason {
    /// The reason that a decision gives once its snapshot is too old and this is why.
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::BadToken => Reason::BadToken,
            Fault::NoPermission => Reason::NoPermission,
            Fault::NoSuchQueue(_) => Reason::NoSuchQueue,
            Fault::Throttled { .. } => Reason::Throttled,
            Fault::BudgetSpent { .. } => Reason::BudgetSpent,
            Fault::UpstreamDown { .. } => Reason::UpstreamDown,
        }
    }
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Reason; 11] = [
        Reason::Seats,
        Reason::BelowThreshold,
        Reason::Reserved,
        Reason::TooOld,
        Reason::NeverPolled,
        Reason::BadToken,
        Reason::NoPermission,
        Reason::NoSuchQueue,
        Reason::BudgetSpent,
        Reason::Throttled,
        Reason::UpstreamDown,
    ];

    /// The word for JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Seats => "seats",
            Reason::BelowThreshold => "below_threshold",
            Reason::Reserved => "reserved",
            Reason::TooOld => "too_old",
            Reason::NeverPolled => "never_polled",
            Reason::BadToken => "bad_token",
            Reason::NoPermission => "no_permission",
            Reason::NoSuchQueue => "no_such_queue",
            Reason::BudgetSpent => "budget_spent",
            Reason::Throttled => "throttled",
            Reason::UpstreamDown => "upstream_down",
        }
    }

    /// Whether the decision rests on knowledge. The others follow [`OnUnknown`].
    pub fn is_known(self) -> bool {
        matches!(
            self,
            Reason::Seats | Reason::BelowThreshold | Reason::Reserved
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What to answer when nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Send the call elsewhere: the default, since a call that meets no agent is lost.
    #[default]
    Reject,
    /// Send the call all the same.
    Accept,
    /// What the last known snapshot would have answered; reject where there never was one.
    Last,
}

/// The part of a queue's settings that a decision needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Accept while the count compares so with this; `None` for criteria that compare with no number.
    pub threshold: Option<Quantity>,
    /// Knowledge older than this is unknown; `None`: as the [plan](QueueState::planned_max_age) has it.
    pub max_age: Option<Duration>,
    /// What to answer then.
    pub on_unknown: OnUnknown,
}

impl Policy {
    /// Knowledge older than this is unknown.
    pub fn max_age(&self, state: &QueueState) -> Duration {
        self.max_age.unwrap_or(state.planned_max_age)
    }

    /// A membership older than this is unknown.
    pub(crate) fn members_max_age(&self, state: &QueueState) -> Duration {
        let max_age = self.max_age(state);
        (max_age * MEMBERS_LIVE_LONGER)
            .max(MEMBERS_LIVE)
            .max(state.planned_members_max_age)
            .min(MEMBERS_LONGEST.max(max_age))
    }
}

/// How long a question would wait for a fresher answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// An answer that is no older than this needs no waiting.
    pub fresh: Duration,
    /// The longest wait.
    pub wait: Duration,
}

impl Patience {
    /// What is usual where only one of the two is given. CallTools usually answers in less than half a second; who gives up
    /// before that has spent the request for others only.
    pub const USUAL: Patience = Patience {
        fresh: Duration::from_secs(2),
        wait: Duration::from_millis(800),
    };

    /// Nobody holds a ringing call for longer.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(5);
}

/// Who belongs to a queue changes over hours while statuses change over minutes, so a membership may be this many times as old, …
const MEMBERS_LIVE_LONGER: u32 = 20;

/// … and in any case this old: flags of log-in last for hours. Where the queues are so many that their turns come more seldom, the
/// [plan](QueueState::planned_members_max_age) allows for it.
pub(crate) const MEMBERS_LIVE: Duration = Duration::from_secs(30 * 60);

/// A membership is never answered from when it is older than this, unless the operator allows even statuses to be as old: people log in and
/// out over hours.
pub(crate) const MEMBERS_LONGEST: Duration = Duration::from_secs(2 * 3600);

/// The answer to one question about one queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether to send the call to the queue.
    pub accept: bool,
    /// Why.
    pub reason: Reason,
    /// Seats open to this call; `None` when unknown.
    pub count: Option<Quantity>,
    /// What the count was compared with; `None` for criteria that compare with no number.
    pub threshold: Option<Quantity>,
    /// What the answer rests on was true at this moment; `None` when nothing was ever known.
    pub as_of: Option<Moment>,
    /// How old that is: the oldest status that the count rests on.
    pub age: Option<Duration>,
    /// How long ago the queue itself was asked who belongs to it.
    pub membership_age: Option<Duration>,
    /// Until when the snapshot may be answered from.
    pub valid_until: Option<Moment>,
    /// Whether that is still to come.
    pub is_fresh: bool,
}

impl Decision {
    /// Everything but the ages: what stays the same from one moment to the next, until something happens.
    pub fn without_ages(self) -> Self {
        Self {
            age: None,
            membership_age: None,
            ..self
        }
    }
}

/// Decides about one queue at one moment.
///
/// `held` is the number of seats that reservations hold. While the snapshot is no older than `max_age` it answers, whatever
/// happens to the polls; after that the reason is the cause, and [`Reason::TooOld`] only where no fault explains it. A snapshot
/// that its criteria could not measure answers nothing, however young it is.
pub fn decide(state: &QueueState, policy: &Policy, held: u32, now: Moment) -> Decision {
    Grounds::of(state, policy).decide(held, now)
}

/// All that a decision rests on beside the time and what is held: a state and a policy, read once. Who is asked again and again keeps
/// these rather than the state, and with it no snapshot that has had its day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grounds {
    policy: Policy,
    max_age: Duration,
    members_max_age: Duration,
    fault: Option<Reason>,
    known: Option<Known>,
}

/// What a snapshot adds to the grounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    as_of: Moment,
    members_as_of: Moment,
    /// `None` where the criteria could not measure it.
    measured: Option<Measured>,
}

impl Grounds {
    /// Reads a state under a policy.
    pub fn of(state: &QueueState, policy: &Policy) -> Self {
        let known = |snapshot: &Snapshot| Known {
            as_of: snapshot.as_of,
            members_as_of: snapshot.members_as_of,
            measured: snapshot.measured.as_ref().ok().copied(),
        };
        Self {
            policy: *policy,
            max_age: policy.max_age(state),
            members_max_age: policy.members_max_age(state),
            fault: state.fault.as_deref().map(Reason::from),
            known: state.snapshot.as_deref().map(known),
        }
    }

    /// As [`decide`] does.
    pub fn decide(&self, held: u32, now: Moment) -> Decision {
        let membership_age = self
            .known
            .map(|known| now.longest_since(known.members_as_of));
        let are_members_known = membership_age.is_some_and(|age| age <= self.members_max_age);
        // Of people who may not belong to the queue any more, new statuses tell nothing: the answer is as old as the membership.
        let as_of = self.known.map(|known| match are_members_known {
            true => known.as_of,
            false => known.members_as_of,
        });
        let age = as_of.map(|as_of| now.longest_since(as_of));
        let is_fresh = are_members_known && age.is_some_and(|age| age <= self.max_age);
        let last = self
            .known
            .and_then(|known| answer(known.measured?, self.policy.threshold, held));
        let (accept, reason, count) = match last {
            Some(answer) if is_fresh => (answer.accepts(), answer.reason, Some(answer.open)),
            last => {
                let accept = accepts_unknown(self.policy.on_unknown, last);
                (accept, self.why_unknown(is_fresh), None)
            }
        };
        Decision {
            accept,
            reason,
            count,
            threshold: self.policy.threshold,
            as_of,
            age,
            membership_age,
            valid_until: self.known.map(|known| {
                let statuses = known.as_of.later(self.max_age);
                let members = known.members_as_of.later(self.members_max_age);
                if statuses.wall < members.wall {
                    statuses
                } else {
                    members
                }
            }),
            is_fresh,
        }
    }

    /// Why there is no answer.
    fn why_unknown(&self, is_fresh: bool) -> Reason {
        // What CallTools sent does not fit the criteria: whatever was measured, it was not seats.
        let misfit = Reason::UpstreamDown;
        match (self.fault, self.known) {
            (_, Some(_)) if is_fresh => misfit,
            (Some(fault), _) => fault,
            (None, Some(known)) if known.measured.is_none() => misfit,
            (None, Some(_)) => Reason::TooOld,
            (None, None) => Reason::NeverPolled,
        }
    }
}

/// What a snapshot says, whatever its age.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// A known one.
    reason: Reason,
    /// The count, less what reservations hold.
    open: Quantity,
}

impl Answer {
    fn accepts(self) -> bool {
        self.reason == Reason::Seats
    }
}

/// Reads a snapshot's measurement; `None` where there is no threshold to compare it with.
fn answer(measured: Measured, threshold: Option<Quantity>, held: u32) -> Option<Answer> {
    let Measured { count, verdict } = measured;
    match verdict {
        Verdict::Compare(comparison) => Some(compare(count, comparison, threshold?, held)),
        // No seats were measured, so none can be held.
        Verdict::Holds(true) => Some(Answer {
            reason: Reason::Seats,
            open: count,
        }),
        Verdict::Holds(false) => Some(Answer {
            reason: Reason::BelowThreshold,
            open: count,
        }),
    }
}

/// Compares a count with its threshold before and after reservations: under *less than* or *equals* a reservation could
/// otherwise open what the count itself does not.
fn compare(count: Quantity, comparison: Comparison, threshold: Quantity, held: u32) -> Answer {
    let open = open(count, held);
    let reason = if !comparison.holds(count, threshold) {
        Reason::BelowThreshold
    } else if !downwards(comparison, count, threshold).holds(open, threshold) {
        Reason::Reserved
    } else {
        Reason::Seats
    };
    Answer { reason, open }
}

/// The comparison for a count that reservations lower: one that lies above the only number it must not equal stays above it,
/// lest one reservation close the queue and the next open it again.
fn downwards(comparison: Comparison, count: Quantity, threshold: Quantity) -> Comparison {
    match comparison {
        Comparison::NotEquals if count > threshold => Comparison::GreaterThan,
        other => other,
    }
}

/// What reservations leave of a count. They outlive a poll or two, so more may be held than there are; that is none open, and
/// not a negative number of seats.
fn open(count: Quantity, held: u32) -> Quantity {
    match count.less(held) {
        left if left >= Quantity::ZERO => left,
        _ if count >= Quantity::ZERO => Quantity::ZERO,
        // Criteria that measure something below zero measure no seats.
        _ => count,
    }
}

fn accepts_unknown(policy: OnUnknown, last: Option<Answer>) -> bool {
    match policy {
        OnUnknown::Reject => false,
        OnUnknown::Accept => true,
        OnUnknown::Last => last.is_some_and(Answer::accepts),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        decision::criteria::Mismatch,
        model::fault::{Down, NoSuchQueue},
    };

    const MAX_AGE: Duration = Duration::from_secs(60);
    const TOO_OLD: Duration = Duration::from_millis(60_001);
    const NOW: Moment = Moment {
        boot: Duration::from_secs(100_000),
        wall: Duration::from_secs(1_795_341_600),
    };

    const ON_UNKNOWN: [OnUnknown; 3] = [OnUnknown::Reject, OnUnknown::Accept, OnUnknown::Last];

    fn policy(threshold: u32, on_unknown: OnUnknown) -> Policy {
        Policy {
            threshold: Some(Quantity::from(threshold)),
            max_age: Some(MAX_AGE),
            on_unknown,
        }
    }

    fn compared(count: u32, comparison: Comparison) -> Result<Measured, Mismatch> {
        Ok(Measured {
            count: Quantity::from(count),
            verdict: Verdict::Compare(comparison),
        })
    }

    fn seats(count: u32) -> Result<Measured, Mismatch> {
        compared(count, Comparison::GreaterThan)
    }

    fn mismatch() -> Result<Measured, Mismatch> {
        Err(Mismatch(
            "`count` is text where a number is needed".to_owned(),
        ))
    }

    fn snapshot(measured: Result<Measured, Mismatch>, as_of: Moment) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            as_of,
            members_as_of: as_of,
            took: Duration::ZERO,
            complete: true,
            agents: Vec::new(),
            measured,
        })
    }

    /// A queue whose newest snapshot is this old at [`NOW`].
    fn polled(measured: Result<Measured, Mismatch>, age: Duration) -> QueueState {
        QueueState {
            snapshot: Some(snapshot(measured, NOW.earlier(age))),
            ..QueueState::default()
        }
    }

    fn faults() -> [(Fault, Reason); 6] {
        [
            (Fault::BadToken, Reason::BadToken),
            (Fault::NoPermission, Reason::NoPermission),
            (
                Fault::NoSuchQueue(NoSuchQueue::Id(5450)),
                Reason::NoSuchQueue,
            ),
            (Fault::Throttled { until: None }, Reason::Throttled),
            (Fault::BudgetSpent { until: NOW }, Reason::BudgetSpent),
            (
                Fault::down(Down::TimeOut, "no answer in 10 s"),
                Reason::UpstreamDown,
            ),
        ]
    }

    fn with_fault(state: &QueueState, fault: &Fault) -> QueueState {
        QueueState {
            fault: Some(Arc::new(fault.clone())),
            ..state.clone()
        }
    }

    /// Every state of a queue that knows no answer, with the reason to expect.
    fn unknowns() -> Vec<(QueueState, Reason)> {
        let never = QueueState::default();
        let old = polled(seats(3), TOO_OLD);
        let misfit = polled(mismatch(), Duration::ZERO);
        let old_misfit = polled(mismatch(), TOO_OLD);
        let mut unknowns = vec![
            (never.clone(), Reason::NeverPolled),
            (old.clone(), Reason::TooOld),
            (misfit.clone(), Reason::UpstreamDown),
            (old_misfit.clone(), Reason::UpstreamDown),
        ];
        for (fault, reason) in &faults() {
            unknowns.extend([
                (with_fault(&never, fault), *reason),
                (with_fault(&old, fault), *reason),
                // The young snapshot itself says what is wrong.
                (with_fault(&misfit, fault), Reason::UpstreamDown),
                (with_fault(&old_misfit, fault), *reason),
            ]);
        }
        unknowns
    }

    #[test]
    fn a_known_count_is_compared_strictly_and_without_what_is_held() {
        use Reason::*;
        for (count, threshold, held, reason, open) in [
            (0, 0, 0, BelowThreshold, 0),
            (1, 0, 0, Seats, 1),
            (2, 2, 0, BelowThreshold, 2),
            (3, 2, 0, Seats, 3),
            (0, 0, 1, BelowThreshold, 0),
            (1, 0, 1, Reserved, 0),
            (2, 0, 1, Seats, 1),
            (3, 2, 1, Reserved, 2),
            (4, 2, 1, Seats, 3),
            (2, 2, 1, BelowThreshold, 1),
            // More is held than there is.
            (3, 2, 9, Reserved, 0),
        ] {
            for on_unknown in ON_UNKNOWN {
                let state = polled(seats(count), Duration::ZERO);
                let decision = decide(&state, &policy(threshold, on_unknown), held, NOW);
                let case = format!("{count} > {threshold}, {held} held: {decision:?}");
                assert_eq!(decision.reason, reason, "{case}");
                assert_eq!(decision.accept, reason == Seats, "{case}");
                assert_eq!(decision.count, Some(Quantity::from(open as u32)), "{case}");
                assert_eq!(
                    decision.threshold,
                    Some(Quantity::from(threshold)),
                    "{case}"
                );
            }
        }
    }

    #[test]
    fn a_fault_changes_nothing_while_the_snapshot_is_young() {
        let state = polled(seats(3), MAX_AGE);
        for on_unknown in ON_UNKNOWN {
            let policy = policy(0, on_unknown);
            let expected = decide(&state, &policy, 0, NOW);
            assert_eq!(expected.reason, Reason::Seats);
            for (fault, _) in &faults() {
                assert_eq!(
                    decide(&with_fault(&state, fault), &policy, 0, NOW),
                    expected,
                    "{fault:?}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_names_its_cause_and_does_as_told() {
        for (state, reason) in unknowns() {
            for (held, threshold) in [(0, 0), (0, 2), (0, 3), (1, 0), (1, 2), (3, 0), (9, 0)] {
                // What the old snapshot of three seats says, where there is one.
                let measured = state.snapshot.as_ref().is_some_and(|s| s.measured.is_ok());
                let last = measured && 3_u32.saturating_sub(held) > threshold;
                for (on_unknown, accept) in ON_UNKNOWN.into_iter().zip([false, true, last]) {
                    let decision = decide(&state, &policy(threshold, on_unknown), held, NOW);
                    let case = format!("{on_unknown:?}, {held} held, above {threshold}: {state:?}");
                    assert_eq!(decision.reason, reason, "{case}");
                    assert_eq!(decision.accept, accept, "{case}");
                    assert_eq!(decision.count, None, "{case}");
                }
            }
        }
    }

    #[test]
    fn every_reason_is_given_by_some_state() {
        let knowns = [(1, 0), (0, 0), (1, 1)]
            .map(|(count, held)| (polled(seats(count), Duration::ZERO), held));
        let unknowns = unknowns().into_iter().map(|(state, _)| (state, 0));
        let policy = policy(0, OnUnknown::Reject);
        let given: HashSet<_> = knowns
            .into_iter()
            .chain(unknowns)
            .map(|(state, held)| decide(&state, &policy, held, NOW).reason)
            .collect();
        assert_eq!(given, HashSet::from(Reason::ALL));
    }

    #[test]
    fn a_snapshot_answers_up_to_its_last_millisecond() {
        for (age, reason) in [
            (Duration::ZERO, Reason::Seats),
            (MAX_AGE, Reason::Seats),
            (TOO_OLD, Reason::TooOld),
        ] {
            let decision = decide(
                &polled(seats(1), age),
                &policy(0, OnUnknown::Reject),
                0,
                NOW,
            );
            let as_of = NOW.earlier(age);
            assert_eq!(decision.reason, reason, "{age:?}");
            assert_eq!(decision.age, Some(age));
            assert_eq!(decision.as_of, Some(as_of));
            assert_eq!(decision.valid_until, Some(as_of.later(MAX_AGE)));
        }
    }

    #[test]
    fn nothing_known_has_no_age() {
        let decision = decide(
            &QueueState::default(),
            &policy(0, OnUnknown::Accept),
            0,
            NOW,
        );
        assert_eq!(
            (decision.as_of, decision.age, decision.valid_until),
            (None, None, None)
        );
    }

    #[test]
    fn criteria_that_measure_no_number_have_no_threshold_and_no_seats_to_hold() {
        for (holds, reason) in [(true, Reason::Seats), (false, Reason::BelowThreshold)] {
            let count = Quantity::from(u32::from(holds));
            let verdict = Verdict::Holds(holds);
            let state = polled(Ok(Measured { count, verdict }), Duration::ZERO);
            let policy = Policy {
                threshold: None,
                ..policy(0, OnUnknown::Reject)
            };
            let decision = decide(&state, &policy, 5, NOW);
            assert_eq!(decision.reason, reason);
            assert_eq!(decision.count, Some(count));
        }
    }

    #[test]
    fn a_comparison_without_a_threshold_is_an_unknown() {
        let policy = Policy {
            threshold: None,
            ..policy(0, OnUnknown::Reject)
        };
        let decision = decide(&polled(seats(3), Duration::ZERO), &policy, 0, NOW);
        assert_eq!(
            (decision.reason, decision.count),
            (Reason::UpstreamDown, None)
        );
    }

    #[test]
    fn a_reservation_opens_nothing_whatever_the_comparison() {
        for (count, comparison, threshold, held, reason) in [
            (5, Comparison::LessThan, 5, 1, Reason::BelowThreshold),
            (5, Comparison::Equals, 4, 1, Reason::BelowThreshold),
            (4, Comparison::Equals, 4, 1, Reason::Reserved),
            (2, Comparison::NotEquals, 1, 1, Reason::Reserved),
            // The next one must not open the queue again.
            (2, Comparison::NotEquals, 1, 2, Reason::Reserved),
            (1, Comparison::NotEquals, 2, 1, Reason::Seats),
        ] {
            let state = polled(compared(count, comparison), Duration::ZERO);
            let decision = decide(&state, &policy(threshold, OnUnknown::Reject), held, NOW);
            let case = format!("{count} {comparison:?} {threshold}, {held} held");
            assert_eq!(decision.reason, reason, "{case}");
        }
    }

    #[test]
    fn words_are_those_of_json() {
        for reason in Reason::ALL {
            let json = serde_json::to_value(reason).expect("words serialize");
            assert_eq!(json, reason.word());
        }
    }

    fn any_comparison() -> impl Strategy<Value = Comparison> {
        prop::sample::select(vec![
            Comparison::GreaterThan,
            Comparison::GreaterOrEqual,
            Comparison::LessThan,
            Comparison::LessOrEqual,
            Comparison::Equals,
            Comparison::NotEquals,
        ])
    }

    fn any_measured() -> impl Strategy<Value = Result<Measured, Mismatch>> {
        prop_oneof![
            4 => (0_u32..6, any_comparison()).prop_map(|(count, comparison)| compared(count, comparison)),
            1 => any::<bool>().prop_map(|holds| Ok(Measured {
                count: Quantity::from(u32::from(holds)),
                verdict: Verdict::Holds(holds),
            })),
            1 => Just(mismatch()),
        ]
    }

    /// A moment up to an hour before or after [`NOW`] on each clock, to the millisecond.
    fn any_moment() -> impl Strategy<Value = Moment> {
        let clock = || 0_u64..7_200_000;
        (clock(), clock()).prop_map(|(boot_ms, wall_ms)| {
            let hour_ago = NOW.earlier(Duration::from_secs(3600));
            Moment {
                boot: hour_ago.boot + Duration::from_millis(boot_ms),
                wall: hour_ago.wall + Duration::from_millis(wall_ms),
            }
        })
    }

    fn any_state() -> impl Strategy<Value = QueueState> {
        let fault = prop::option::of(prop::sample::select(
            faults().map(|(fault, _)| fault).to_vec(),
        ));
        let newest = prop::option::of((any_measured(), any_moment()));
        (newest, fault).prop_map(|(newest, fault)| QueueState {
            snapshot: newest.map(|(measured, as_of)| snapshot(measured, as_of)),
            fault: fault.map(Arc::new),
            ..QueueState::default()
        })
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let max_age_ms = prop_oneof![0_u64..200_000, 0_u64..7_200_000];
        (
            0_u32..6,
            max_age_ms,
            prop::sample::select(ON_UNKNOWN.to_vec()),
        )
            .prop_map(|(threshold, max_age_ms, on_unknown)| Policy {
                max_age: Some(Duration::from_millis(max_age_ms)),
                ..policy(threshold, on_unknown)
            })
    }

    proptest! {
        #[test]
        fn an_unknown_is_accepted_only_where_the_policy_says_so(
            state in any_state(), policy in any_policy(), held in 0_u32..8, now in any_moment(),
        ) {
            let decision = decide(&state, &policy, held, now);
            if decision.accept && !decision.reason.is_known() {
                prop_assert_ne!(policy.on_unknown, OnUnknown::Reject);
            }
            if decision.reason.is_known() {
                prop_assert_eq!(decision.accept, decision.reason == Reason::Seats);
            }
        }

        #[test]
        fn a_count_is_given_if_and_only_if_it_is_known(
            state in any_state(), policy in any_policy(), held in 0_u32..8, now in any_moment(),
        ) {
            let decision = decide(&state, &policy, held, now);
            prop_assert_eq!(decision.count.is_some(), decision.reason.is_known());
        }

        #[test]
        fn a_snapshot_answers_exactly_as_long_as_it_is_young(
            count in 0_u32..6, as_of in any_moment(), policy in any_policy(), now in any_moment(),
        ) {
            let state = QueueState { snapshot: Some(snapshot(seats(count), as_of)), ..QueueState::default() };
            let decision = decide(&state, &policy, 0, now);
            prop_assert_eq!(decision.reason.is_known(), now.longest_since(as_of) <= policy.max_age(&state));
        }

        #[test]
        fn seats_means_strictly_more_than_the_threshold(count in 0_u32..6, threshold in 0_u32..6, held in 0_u32..8) {
            let state = polled(seats(count), Duration::ZERO);
            let decision = decide(&state, &policy(threshold, OnUnknown::Reject), held, NOW);
            prop_assert_eq!(decision.accept, count.saturating_sub(held) > threshold);
        }

        #[test]
        fn a_reservation_only_lowers(
            state in any_state(), policy in any_policy(), held in 0_u32..8, now in any_moment(),
        ) {
            let before = decide(&state, &policy, held, now);
            let after = decide(&state, &policy, held + 1, now);
            prop_assert!(before.accept || !after.accept, "{before:?} {after:?}");
            prop_assert!(after.count <= before.count, "{before:?} {after:?}");
        }

        #[test]
        fn no_wall_clock_makes_old_data_fresh(
            measured in any_measured(), policy in any_policy(), over_ms in 1_u64..3_600_000, wall_s in any::<u32>(),
        ) {
            let state = QueueState { snapshot: Some(snapshot(measured, NOW)), ..QueueState::default() };
            let stepped = Moment {
                boot: NOW.boot + policy.max_age.unwrap() + Duration::from_millis(over_ms),
                wall: Duration::from_secs(wall_s.into()),
            };
            let decision = decide(&state, &policy, 0, stepped);
            prop_assert!(!decision.reason.is_known(), "{decision:?}");
        }
    }
}
