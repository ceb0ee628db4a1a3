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
    fixtures,
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

/// The staleness of an answer from a snapshot whose statuses and membership have these ages.
fn staleness(
    measured: Result<Measured, Mismatch>,
    threshold: f64,
    age: Duration,
    members: Duration,
) -> Staleness {
    let snapshot = std::sync::Arc::new(Snapshot {
        threshold: None,
        outlook: None,
        as_of: NOW.earlier(age),
        rows_as_of: NOW.earlier(age),
        members_as_of: NOW.earlier(members),
        took: Duration::ZERO,
        complete: true,
        agents: Vec::new().into(),
        measured,
    });
    let state = QueueState {
        snapshot: Some(snapshot.clone()),
        ..QueueState::default()
    };
    let policy = Policy {
        threshold: Some(quantity(threshold)),
        asks_threshold: false,
        max_age: Some(Duration::from_secs(10_000)),
        on_unknown: OnUnknown::Reject,
        hours: None,
    };
    Staleness::new(&decide(&state, &policy, 0, NOW), Some(&*snapshot))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn only_answers_that_one_seat_could_change_are_stale() {
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
            let staleness = staleness(measured(count, comparison), threshold, secs(30), secs(30));
            let is_edge = edge.contains(&count);
            assert_eq!(
                staleness != Staleness::NONE,
                is_edge,
                "{count} {comparison:?} {threshold}"
            );
            // At the edge: one seat more or less changes the answer.
            let holds = |count| comparison.holds(quantity(count), quantity(threshold));
            let turns = holds(count + 1.0) != holds(count) || holds(count - 1.0) != holds(count);
            assert_eq!(is_edge, turns, "{count} {comparison:?} {threshold}");
        }
    }
}

#[test]
fn an_unknown_answer_is_entirely_stale_and_needs_a_poll_of_the_queue() {
    let misfit = Err(Mismatch("`count` is text".to_owned()));
    assert_eq!(staleness(misfit, 0.0, secs(1), secs(1)), Staleness::UNKNOWN);
    let old = staleness(
        measured(9.0, Comparison::GreaterThan),
        0.0,
        secs(20_000),
        secs(1),
    );
    assert_eq!(old, Staleness::UNKNOWN);
    assert!(!Staleness::UNKNOWN.is_about_statuses());
    assert!(Staleness::UNKNOWN.is_worth_a_permit(0.0));
}

#[test]
fn rules_without_a_number_to_compare_are_always_at_the_edge() {
    let yes = Ok(Measured {
        count: quantity(5.0),
        verdict: Verdict::Holds(true),
    });
    let found = staleness(yes, 0.0, secs(30), secs(30));
    assert!(found.chance > 0.0);
}

#[test]
fn the_older_part_decides_what_to_poll() {
    let at_edge =
        |age, members| staleness(measured(1.0, Comparison::GreaterThan), 0.0, age, members);
    assert!(at_edge(secs(30), secs(300)).is_about_statuses());
    assert!(!at_edge(secs(2), secs(3_600)).is_about_statuses());
}

#[test]
fn a_full_bucket_pays_for_any_staleness_and_an_empty_one_only_for_much() {
    let of = |chance| Staleness {
        chance,
        of_membership: 0.0,
    };
    assert!(of(1e-9).is_worth_a_permit(1.0));
    assert!(!Staleness::NONE.is_worth_a_permit(1.0));
    assert!(!of(0.3).is_worth_a_permit(0.0) && of(0.301).is_worth_a_permit(0.0));
    // A quarter of the chance at half of nine tenths.
    assert!(!of(0.074).is_worth_a_permit(0.45) && of(0.076).is_worth_a_permit(0.45));
    assert!(of(1e-9).is_worth_a_permit(0.9) && !of(1e-9).is_worth_a_permit(0.89));
}

#[test]
fn a_caller_waits_only_for_answers_older_than_it_accepts() {
    let patience = Patience::USUAL;
    let ask = |seats, age, on_demand| {
        let snapshot = Snapshot {
            threshold: None,
            outlook: None,
            as_of: NOW.earlier(age),
            rows_as_of: NOW.earlier(age),
            members_as_of: NOW.earlier(age),
            took: Duration::ZERO,
            complete: true,
            agents: Vec::new().into(),
            measured: measured(seats, Comparison::GreaterThan),
        };
        let state = QueueState {
            snapshot: Some(std::sync::Arc::new(snapshot)),
            on_demand,
            planned_max_age: secs(60),
            ..QueueState::default()
        };
        let policy = fixtures::policy();
        patience.staleness(&decide(&state, &policy, 0, NOW), &state)
    };
    let longer = patience.fresh + Duration::from_millis(1);
    assert_eq!(ask(1.0, patience.fresh, false), None);
    assert!(ask(1.0, longer, false).is_some());
    assert_eq!(ask(5.0, longer, false), None, "no single change turns it");
    assert!(ask(5.0, longer, true).is_some(), "the caller waits");
    assert_eq!(ask(5.0, patience.fresh, true), None);
}

#[test]
fn one_login_turns_an_answer_also_if_the_threshold_lies_between_two_numbers() {
    let hangs = |count: f64, threshold: f64, may_join: bool| {
        let measured = measured(count, Comparison::GreaterThan);
        hangs_on_membership(&measured, Some(quantity(threshold)), || may_join)
    };
    for threshold in [1.0, 1.5] {
        let at_edge = [0.0, 1.0, 2.0, 3.0].map(|count| hangs(count, threshold, true));
        assert_eq!(at_edge, [false, true, true, false], "{threshold}");
        assert!(!hangs(1.0, threshold, false), "nobody could join");
    }
}

proptest! {
    #[test]
    fn staleness_grows_with_age_and_stays_a_probability(
        age in 0u64..9_000,
        members in 0u64..9_000,
        more in 0u64..900,
        fill in 0.0f64..=1.0,
    ) {
        let at = |age, members| staleness(measured(1.0, Comparison::GreaterThan), 0.0, secs(age), secs(members));
        let (now, older, older_members) = (at(age, members), at(age + more, members), at(age, members + more));
        prop_assert!((0.0..=1.0).contains(&now.chance));
        prop_assert!(now.of_membership <= now.chance);
        prop_assert!(older.chance >= now.chance && older_members.chance >= now.chance);
        prop_assert!(!now.is_worth_a_permit(fill) || older.is_worth_a_permit(fill));
        prop_assert!(!now.is_worth_a_permit(fill) || now.is_worth_a_permit(1.0));
    }
}
