//! Decisions at zero seats: what is accepted, what is not, and for how long it is valid.

use std::sync::Arc;

use super::*;
use crate::{
    decision::{
        Decision, OnUnknown, Patience, Policy, Reason,
        board::QueueState,
        criteria::{Comparison, Measured, Mismatch, Verdict},
        decide_with,
        reservations::{Holds, Reserved},
        snapshot::Snapshot,
        soon::{outlook::Outlook, rule::Held},
    },
    fixtures::{self, snapshot},
    model::quantity::Quantity,
};

pub(super) const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: Some(Duration::from_secs(90)),
    on_unknown: OnUnknown::Reject,
    hours: None,
};

/// A queue with this many seats, whose other agents are free in time with these probabilities.
pub(super) fn queue(count: u32, outlook: Outlook) -> QueueState {
    let measured = Measured {
        count: Quantity::from(count),
        verdict: Verdict::Compare(Comparison::GreaterThan),
    };
    QueueState {
        snapshot: Some(Arc::new(Snapshot {
            measured: Ok(measured),
            outlook: Some(outlook),
            ..snapshot(moment(0.0), Vec::new())
        })),
        ..QueueState::default()
    }
}

/// Probabilities that do not change.
pub(super) fn steady(chances: &[f64]) -> Outlook {
    Outlook::new(terms(5.0, 5.0), 1.0, moment(0.0), |_| chances.to_vec())
}

/// One agent, whose probability grows from 0 to 1 within 10 s.
fn growing() -> Outlook {
    let begin = terms(5.0, 5.0).until(moment(0.0));
    let chance = move |until: Duration| (until - begin).as_secs_f64() / 10.0;
    Outlook::new(terms(5.0, 5.0), 1.0, moment(0.0), move |until| {
        vec![chance(until).min(1.0)]
    })
}

fn decide(state: &QueueState, held: Held, at: f64) -> Decision {
    decide_with(state, &POLICY, held, moment(at))
}

#[test]
fn a_call_at_zero_seats_is_accepted_if_an_agent_is_likely_to_be_free() {
    let decision = decide(&queue(0, steady(&[0.5, 0.679])), Held::default(), 1.0);
    assert_eq!(
        (decision.accept, decision.reason, decision.capacity),
        (true, Reason::Soon, 1)
    );
    assert_eq!(decision.count, Some(Quantity::ZERO), "there is no seat");
    let prediction = decision.prediction.expect("the reason has a prediction");
    assert_eq!((prediction.likely(), prediction.needed), (0.83, 2.0 / 3.0));
    // 0.669 is shown as 0.66, and 0.66 is not enough.
    let decision = decide(&queue(0, steady(&[0.669])), Held::default(), 1.0);
    assert_eq!(
        (decision.accept, decision.reason, decision.capacity),
        (false, Reason::BelowThreshold, 0)
    );
    assert_eq!((decision.prediction, decision.opens_at), (None, None));
}

#[test]
fn an_acceptance_ends_when_a_status_that_it_counts_on_becomes_too_old() {
    let ends = |outlook: Outlook, at: f64| queue(0, outlook.ending(Some(moment(at))));
    let state = ends(steady(&[0.9]), 40.0);
    let decision = decide(&state, Held::default(), 40.0);
    assert_eq!(decision.reason, Reason::Soon);
    assert_eq!(decision.valid_until, Some(moment(40.0)));
    let decision = decide(&state, Held::default(), 40.1);
    assert_eq!(decision.reason, Reason::BelowThreshold);
    assert_eq!(decision.valid_until, Some(moment(90.0)));
    // It would accept 7 s later.
    let opens_at = |end| decide(&ends(growing(), end), Held::default(), 1.0).opens_at;
    assert_eq!(opens_at(8.0), Some(moment(7.0)));
    assert_eq!(opens_at(6.0), None);
}

#[test]
fn an_outlook_that_is_kept_for_longer_than_its_snapshot_keeps_no_agent() {
    let agents = vec![fixtures::agent("ann", "", "Wrap-up")];
    let mut snapshot = fixtures::snapshot(moment(0.0), agents);
    let outlook = steady(&[0.9]).naming(&snapshot.agents, [(0, None)]);
    let named = outlook.expected(&snapshot.agents, prediction(90), |_| false);
    assert_eq!(named.len(), 1);
    drop(named);
    snapshot.outlook = Some(outlook);
    let (kept, ann) = (
        snapshot.outlook.clone().expect("it has one"),
        Arc::downgrade(&snapshot.agents[0]),
    );
    drop(snapshot);
    assert!(ann.upgrade().is_none());
    assert_eq!(kept.end(), None);
}

fn prediction(percent: u8) -> Prediction {
    Prediction::from_percent(percent, terms(5.0, 5.0))
}

#[test]
fn calibration_lowers_predictions() {
    let outlook = Outlook::new(terms(5.0, 5.0), 0.7, moment(0.0), |_| vec![0.9]);
    assert!(!decide(&queue(0, outlook), Held::default(), 1.0).accept);
}

#[test]
fn seats_come_first_and_the_rule_ignores_a_queue_below_its_threshold() {
    let certain = || steady(&[1.0, 1.0, 1.0]);
    let reason = |count, all| decide(&queue(count, certain()), Held::seats(all), 1.0).reason;
    assert_eq!(reason(1, 0), Reason::Seats);
    assert_eq!(reason(2, 1), Reason::Seats);
    assert_eq!(reason(1, 1), Reason::Soon);
    assert_eq!(reason(1, 2), Reason::Reserved, "an agent is missing");
    assert_eq!(reason(0, 1), Reason::BelowThreshold);
}

#[test]
fn nothing_is_accepted_in_doubt() {
    let certain = || queue(0, steady(&[1.0]));
    let late = decide(&certain(), Held::default(), 91.0);
    assert_eq!((late.accept, late.reason), (false, Reason::TooOld));
    let mut misfit = certain();
    misfit.snapshot = Some(Arc::new(Snapshot {
        measured: Err(Mismatch("no number".to_owned())),
        outlook: Some(steady(&[1.0])),
        ..snapshot(moment(0.0), Vec::new())
    }));
    let misfit = decide(&misfit, Held::default(), 1.0);
    assert_eq!(
        (misfit.accept, misfit.reason),
        (false, Reason::UpstreamDown)
    );
    let never = decide(&QueueState::default(), Held::default(), 1.0);
    assert_eq!(never.reason, Reason::NeverPolled);
    let nobody = decide(&queue(0, steady(&[])), Held::default(), 1.0);
    assert_eq!(nobody.reason, Reason::BelowThreshold);
}

#[test]
fn an_acceptance_at_zero_seats_is_as_much_in_doubt_as_a_rejection() {
    let patience = Patience {
        fresh: Duration::from_secs(1),
        wait: Duration::from_secs(1),
    };
    let staleness = |chances: &[f64], accept| {
        let state = queue(0, steady(chances));
        let decision = decide(&state, Held::default(), 10.0);
        assert_eq!(decision.accept, accept);
        patience.staleness(&decision, &state)
    };
    let soon = staleness(&[0.9], true);
    assert!(soon.is_some_and(|soon| soon.chance > 0.1), "{soon:?}");
    assert_eq!(soon, staleness(&[0.1], false));
}

#[test]
fn two_calls_never_bet_on_the_same_wrap_up() {
    let holds = Holds::default();
    let state = queue(0, steady(&[0.9, 0.3, 0.8]));
    let reserve = |state: &QueueState, call: &str| {
        let decide = |held: Held<'_>| decide_with(state, &POLICY, held, moment(1.0));
        holds.reserve(call, Duration::from_secs(45), moment(1.0), decide)
    };
    let likely = |reserved| match reserved {
        Reserved::Made(reservation, decision) => {
            assert_eq!(reservation.prediction, decision.prediction);
            decision.prediction.map(|prediction| prediction.percent())
        }
        _ => None,
    };
    assert_eq!(likely(reserve(&state, "a")), Some(98));
    assert_eq!(
        likely(reserve(&state, "b")),
        Some(86),
        "without the likeliest"
    );
    assert!(
        matches!(reserve(&state, "c"), Reserved::Refused(_)),
        "0.3 is left"
    );
    // The first wrap-up has ended: its seat is for the first call, and no third call gets it.
    let state = queue(1, steady(&[0.3, 0.8]));
    assert!(matches!(reserve(&state, "c"), Reserved::Refused(_)));
    // Both have ended: a third agent would be a seat.
    assert!(matches!(
        reserve(&queue(2, steady(&[0.3])), "c"),
        Reserved::Refused(_)
    ));
    match reserve(&queue(3, steady(&[])), "c") {
        Reserved::Made(_, decision) => assert_eq!(decision.reason, Reason::Seats),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_seat_that_counts_on_a_wrap_up_is_held_until_the_call_gives_up() {
    let (holds, state) = (Holds::default(), queue(0, steady(&[0.9])));
    let reserve = |call: &str, ttl, at| {
        let decide = |held: Held<'_>| decide_with(&state, &POLICY, held, moment(at));
        holds.reserve(call, Duration::from_secs(ttl), moment(at), decide)
    };
    assert!(matches!(reserve("a", 1, 1.0), Reserved::Made(..)));
    assert!(matches!(reserve("b", 1, 10.9), Reserved::Refused(_)));
    let Reserved::Made(made, _) = reserve("b", 45, 11.0) else {
        panic!("the first call has given up");
    };
    assert_eq!(made.ttl, Duration::from_secs(45), "a longer time stays");
}

#[test]
fn a_rejection_says_when_it_ends() {
    let state = queue(0, growing());
    let before = decide(&state, Held::default(), 3.0);
    assert_eq!(
        (before.accept, before.reason),
        (false, Reason::BelowThreshold)
    );
    assert_eq!(
        before.usable_until(),
        Some(moment(7.0)),
        "0.70 is the first above 0.67"
    );
    assert_eq!(
        before.valid_until,
        Some(moment(90.0)),
        "the data is valid for longer"
    );
    let after = decide(&state, Held::default(), 7.0);
    assert_eq!(
        (after.accept, after.usable_until()),
        (true, Some(moment(90.0)))
    );
    assert_eq!(after.prediction.map(Prediction::likely), Some(0.7));
    let much_later = decide(&state, Held::default(), 80.0);
    assert_eq!(much_later.prediction.map(Prediction::likely), Some(1.0));
}

#[test]
fn a_held_seat_keeps_its_prediction() {
    let state = queue(0, steady(&[0.9]));
    let first = decide(&state, Held::default(), 1.0);
    let again = decide(&queue(0, steady(&[])), Held::default(), 5.0);
    let again = again.held(first.prediction, moment(60.0));
    assert_eq!(
        (again.accept, again.reason, again.prediction, again.capacity),
        (true, Reason::Soon, first.prediction, 1)
    );
}

#[test]
fn real_seats_are_better_than_agents_who_will_be_free() {
    let soon = decide(&queue(0, steady(&[0.9])), Held::default(), 1.0);
    let seat = decide(&queue(1, steady(&[])), Held::default(), 1.0);
    let more = decide(&queue(2, steady(&[])), Held::default(), 1.0);
    let high = Policy {
        threshold: Some(Quantity::from(3_u32)),
        ..POLICY
    };
    let soon_at_three = decide_with(
        &queue(3, steady(&[0.9])),
        &high,
        Held::default(),
        moment(1.0),
    );
    assert_eq!(soon_at_three.reason, Reason::Soon);
    assert!(seat.is_better_than(&soon) && !soon.is_better_than(&seat));
    assert!(more.is_better_than(&seat) && seat.is_better_than(&soon_at_three));
    // Of two that count on agents, a threshold that is higher says nothing.
    let likelier = decide(&queue(0, steady(&[0.95])), Held::default(), 1.0);
    assert!(likelier.is_better_than(&soon_at_three));
    assert!(!soon_at_three.is_better_than(&likelier) && !soon.is_better_than(&soon_at_three));
    let unknown = Decision {
        count: None,
        prediction: None,
        ..soon
    };
    assert!(soon.is_better_than(&unknown) && !unknown.is_better_than(&soon));
}

proptest! {
    #[test]
    fn an_outlook_never_exceeds_the_rule_at_that_moment(
        wrap_ups in prop::collection::vec(0.0..60.0_f64, 100),
        members in prop::collection::vec((0.0..80.0_f64, 0.0..10.0_f64), 0..8),
        factor in 0.6..1.0_f64,
        bets in 0..5_u32,
        at in 0.0..90.0_f64,
    ) {
        let learnt = learnt(&wrap_ups);
        let chances = |until: Duration| {
            let chance = |(elapsed, age): &(f64, f64)| {
                learnt.chance(&stay("Wrap-up", -elapsed - age, -age), until)
            };
            members.iter().map(chance).collect::<Vec<_>>()
        };
        let terms = terms(5.0, 5.0);
        let state = queue(0, Outlook::new(terms, factor, moment(0.0), chances));
        let held = Held { all: bets, bets, ..Held::default() };
        let now = decide(&state, held, at);
        let exact = factor * likely(chances(terms.until(moment(at))), bets as usize);
        if let Some(prediction) = now.prediction {
            prop_assert!(prediction.likely() <= exact + 1e-7 && prediction.accepts());
        }
        prop_assert_eq!(now.accept, now.prediction.is_some());
        // The decision stays the same until the moment that it names. If that is when the rule accepts, the rule accepts then.
        let until = now.usable_until().expect("the data is valid for some time");
        let left = until.wall.saturating_sub(moment(at).wall).as_secs_f64();
        let just_before = decide(&state, held, at + (left - 0.001).max(0.0));
        prop_assert_eq!(just_before.accept, now.accept);
        if now.opens_at.is_some() {
            prop_assert!(!now.accept && decide(&state, held, at + left + 0.001).accept);
        }
    }
}
