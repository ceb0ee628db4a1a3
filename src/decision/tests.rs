use std::{collections::HashSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    decision::criteria::{Comparison, Mismatch, Verdict},
    fixtures::opening_hours,
    model::fault::{Down, Fault, NoSuchQueue},
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
        asks_threshold: false,
        max_age: Some(MAX_AGE),
        on_unknown,
        hours: None,
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
        threshold: None,
        outlook: None,
        as_of,
        rows_as_of: as_of,
        members_as_of: as_of,
        took: Duration::ZERO,
        complete: true,
        agents: Vec::new().into(),
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

fn faults() -> [(Fault, Reason); 7] {
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
        (Fault::ClusterDown(None), Reason::ClusterDown),
    ]
}

fn with_fault(state: &QueueState, fault: &Fault) -> QueueState {
    QueueState {
        fault: Some(Arc::new(fault.clone())),
        ..state.clone()
    }
}

/// Every state in which a queue has no known answer, with the expected reason.
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
fn a_known_count_without_held_seats_must_exceed_the_threshold() {
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
fn an_unknown_queue_gives_its_cause_and_follows_the_policy() {
    for (state, reason) in unknowns() {
        for (held, threshold) in [(0, 0), (0, 2), (0, 3), (1, 0), (1, 2), (3, 0), (9, 0)] {
            // What the old snapshot of three seats would answer, if there is one.
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
fn a_count_is_compared_with_the_threshold_of_its_config_or_of_the_request() {
    let mut snapshot = Snapshot::clone(&snapshot(seats(3), NOW));
    snapshot.threshold = Some(Quantity::from(5_u32));
    let state = QueueState {
        snapshot: Some(Arc::new(snapshot)),
        ..QueueState::default()
    };
    let decide = |policy: &Policy| {
        let decision = decide(&state, policy, 0, NOW);
        (decision.accept, decision.threshold)
    };
    let of_config = policy(1, OnUnknown::Reject);
    assert_eq!(decide(&of_config), (false, Some(Quantity::from(5_u32))));
    let without = Policy {
        threshold: None,
        ..of_config.clone()
    };
    assert_eq!(decide(&without), (false, Some(Quantity::from(5_u32))));
    let of_request = Policy {
        asks_threshold: true,
        ..of_config
    };
    assert_eq!(decide(&of_request), (true, Some(Quantity::from(1_u32))));
}

/// A queue that is open in the hour before [`NOW`] and in the hour after the next. It is Sunday, 10:00 UTC.
fn closed() -> Policy {
    Policy {
        hours: opening_hours(&["Sun 09:00-10:00,11:00-12:00"], "UTC"),
        ..policy(0, OnUnknown::Accept)
    }
}

#[test]
fn a_closed_queue_always_rejects() {
    let known = (polled(seats(3), Duration::ZERO), Reason::Seats);
    for (state, _) in unknowns().into_iter().chain([known]) {
        for on_unknown in ON_UNKNOWN {
            let policy = Policy {
                on_unknown,
                ..closed()
            };
            let decision = decide(&state, &policy, 0, NOW);
            assert!(!decision.accept, "{decision:?}");
            assert_eq!((decision.reason, decision.count), (Reason::Closed, None));
            assert_eq!((decision.as_of, decision.is_fresh), (None, false));
            let opens = NOW.later(Duration::from_secs(3600));
            assert_eq!(decision.valid_until, Some(opens));
            assert_eq!(decision.turns, Some(opens));
        }
    }
}

#[test]
fn one_read_of_a_state_decides_correctly_before_and_after_the_hours_change() {
    let policy = Policy {
        max_age: Some(Duration::from_secs(86_400)),
        ..closed()
    };
    let state = polled(seats(3), Duration::ZERO);
    let ms = Duration::from_millis(1);
    for read_at in [NOW.earlier(ms), NOW, NOW.later(Duration::from_secs(3600))] {
        let input = DecisionInput::new(&state, &policy, read_at);
        for (now, reason) in [
            (NOW.earlier(ms), Reason::Seats),
            (NOW, Reason::Closed),
            (NOW.later(Duration::from_secs(3600) - ms), Reason::Closed),
            (NOW.later(Duration::from_secs(3600)), Reason::Seats),
        ] {
            assert_eq!(
                input.decide(None, Held::default(), now).reason,
                reason,
                "{read_at:?} {now:?}"
            );
        }
    }
}

#[test]
fn every_reason_occurs_for_some_state() {
    let knowns =
        [(1, 0), (0, 0), (1, 1)].map(|(count, held)| (polled(seats(count), Duration::ZERO), held));
    let unknowns = unknowns().into_iter().map(|(state, _)| (state, 0));
    let policy = policy(0, OnUnknown::Reject);
    let given: HashSet<_> = knowns
        .into_iter()
        .chain(unknowns)
        .map(|(state, held)| decide(&state, &policy, held, NOW).reason)
        .chain([decide(&QueueState::default(), &closed(), 0, NOW).reason])
        .collect();
    // The tests of `soon` cover theirs.
    let all = Reason::ALL.iter().copied();
    assert_eq!(
        given,
        all.filter(|reason| *reason != Reason::Soon).collect()
    );
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
fn a_queue_without_data_has_no_age() {
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
fn criteria_without_a_number_have_no_threshold_and_ignore_reservations() {
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
fn a_reservation_never_opens_a_queue() {
    for (count, comparison, threshold, held, reason) in [
        (5, Comparison::LessThan, 5, 1, Reason::BelowThreshold),
        (5, Comparison::Equals, 4, 1, Reason::BelowThreshold),
        (4, Comparison::Equals, 4, 1, Reason::Reserved),
        (2, Comparison::NotEquals, 1, 1, Reason::Reserved),
        // The next reservation must not open the queue again.
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
fn reason_names_match_json() {
    for reason in Reason::ALL {
        let json = serde_json::to_value(reason).expect("a name serializes");
        assert_eq!(json, reason.as_str());
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

fn any_threshold() -> impl Strategy<Value = Option<Quantity>> {
    prop_oneof![
        1 => Just(None),
        4 => (-8_i32..32).prop_map(|quarters| Quantity::new(f64::from(quarters) / 4.0)),
        1 => prop::num::f64::ANY.prop_map(Quantity::new),
    ]
}

proptest! {
    #[test]
    fn an_unknown_queue_accepts_only_if_the_policy_says_so(
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
    fn a_snapshot_answers_until_max_age_and_not_after(
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
    fn capacity_is_above_zero_exactly_if_the_decision_accepts(
        state in any_state(), policy in any_policy(), threshold in any_threshold(), held in 0_u32..8, now in any_moment(),
    ) {
        let policy = Policy { threshold, ..policy };
        let decision = decide(&state, &policy, held, now);
        prop_assert_eq!(decision.capacity > 0, decision.accept, "{:?}", decision);
        if decision.accept && !decision.reason.is_known() {
            prop_assert_eq!(decision.capacity, 1);
        }
    }

    #[test]
    fn capacity_is_the_number_of_calls_that_are_still_accepted(
        count in 0_u32..9, held in 0_u32..9, threshold in (0_u32..36).prop_map(|quarters| f64::from(quarters) / 4.0), or_equal in any::<bool>(),
    ) {
        let comparison = if or_equal { Comparison::GreaterOrEqual } else { Comparison::GreaterThan };
        let state = polled(compared(count, comparison), Duration::ZERO);
        let policy = Policy { threshold: Quantity::new(threshold), ..policy(0, OnUnknown::Reject) };
        let accepted = (held..).take_while(|&held| held < 100 && decide(&state, &policy, held, NOW).accept).count();
        // With *at least 0*, no number of held seats closes the queue.
        prop_assume!(accepted < 50);
        prop_assert_eq!(decide(&state, &policy, held, NOW).capacity as usize, accepted);
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

#[test]
fn a_rejection_for_a_reason_that_is_not_known_has_no_count() {
    let state = polled(seats(3), Duration::ZERO);
    let decision = decide(&state, &policy(0, OnUnknown::Reject), 0, NOW);
    for reason in Reason::ALL {
        let rejected = decision.rejected_as(*reason);
        assert_eq!((rejected.accept, rejected.capacity), (false, 0));
        let has_count = reason.is_known() && *reason != Reason::Closed;
        assert_eq!(rejected.count.is_some(), has_count, "{reason}");
    }
}
