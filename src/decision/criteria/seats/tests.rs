use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::model::agent::AgentId;

const NOW: Moment = Moment {
    boot: Duration::from_secs(5_000),
    wall: Duration::from_secs(1_795_341_600),
};

fn agent(available: Option<bool>, queue_logged_in: bool, since_s: Option<i64>) -> Agent {
    Agent {
        id: AgentId("a".into()),
        name: "".into(),
        status: None,
        available,
        logged_in: true,
        queue_logged_in,
        on_call: false,
        ready: None,
        status_since: since_s.map(|ago| NOW.timestamp() - SignedDuration::from_secs(ago)),
        raw: RawValue::from_string("{}".to_owned()).expect("JSON").into(),
    }
}

fn count(agents: &[Agent], forgotten_after_s: Option<u64>) -> Quantity {
    let rule = SeatRule {
        forgotten_after: forgotten_after_s.map(Duration::from_secs),
        count_on_call: false,
    };
    let measured = seats(agents, rule, NOW);
    measured.expect("every status is known").count
}

#[test]
fn a_seat_is_available_and_logged_in() {
    let agents = [
        agent(Some(true), true, None),
        agent(Some(true), false, None),
        agent(Some(false), true, None),
        agent(Some(false), false, None),
        agent(Some(true), true, Some(10)),
    ];
    assert_eq!(count(&agents, None), Quantity::from(2_u32));
    assert_eq!(count(&[], None), Quantity::ZERO);
}

#[test]
fn an_agent_on_a_call_is_not_a_seat_unless_the_config_counts_them() {
    let on_call = |available, queue_logged_in| Agent {
        on_call: true,
        ..agent(available, queue_logged_in, None)
    };
    let agents = [
        agent(Some(true), true, None),
        on_call(Some(true), true),
        on_call(Some(true), false),
        on_call(Some(false), true),
    ];
    for (count_on_call, expected) in [(false, 1_u32), (true, 2)] {
        let rule = SeatRule {
            count_on_call,
            ..SeatRule::default()
        };
        let measured = seats(&agents, rule, NOW).expect("every status is known");
        assert_eq!(measured.count, Quantity::from(expected));
    }
    assert_eq!(seat(&agents[1], SeatRule::default(), NOW), Seat::OnCall);
    let unclear = on_call(None, true);
    assert!(
        seats(&[unclear], SeatRule::default(), NOW).is_err(),
        "a status without a meaning stays unknown"
    );
}

proptest! {
    #[test]
    fn a_tally_counts_what_a_walk_counts(
        states in prop::collection::vec((any::<Option<bool>>(), any::<bool>(), any::<bool>()), 0..6),
        gone in 0..6_usize,
        count_on_call: bool,
    ) {
        let agents: Vec<_> = states.into_iter().map(|(available, queue_logged_in, on_call)| Agent {
            on_call,
            ..agent(available, queue_logged_in, Some(10))
        }).collect();
        let (gone, left) = agents.split_at(gone.min(agents.len()));
        let mut tally = Tally::of(&agents);
        gone.iter().for_each(|agent| tally.remove(agent));
        let rule = SeatRule { count_on_call, ..SeatRule::default() };
        prop_assert_eq!(tally.seats(rule), Some(seats(left, rule, NOW)));
        let joins = |agent: &Agent| agent.available == Some(true) && !agent.queue_logged_in;
        prop_assert_eq!(tally.may_grow(), left.iter().any(joins));
        let dated = SeatRule { forgotten_after: Some(Duration::from_secs(5)), ..rule };
        prop_assert_eq!(tally.seats(dated), None);
    }
}

#[test]
fn the_built_in_rule_accepts_above_the_threshold() {
    let measured = seats::<Agent>(&[], SeatRule::default(), NOW).expect("every status is known");
    assert_eq!(measured.verdict, Verdict::Compare(Comparison::GreaterThan));
}

#[test]
fn agents_who_forgot_to_log_off_are_not_counted() {
    for (since_s, counts) in [
        (Some(3_599), 1_u32),
        (Some(3_600), 1),
        (Some(3_601), 0),
        // CallTools' clock is ahead of ours.
        (Some(-60), 1),
        (None, 1),
    ] {
        let agents = [agent(Some(true), true, since_s)];
        assert_eq!(
            count(&agents, Some(3_600)),
            Quantity::from(counts),
            "{since_s:?}"
        );
        assert_eq!(count(&agents, None), Quantity::from(1_u32));
        assert_eq!(count(&agents, Some(u64::MAX)), Quantity::from(1_u32));
    }
}

#[test]
fn an_unknown_status_of_a_logged_in_agent_makes_the_count_unknown() {
    let known = agent(Some(true), true, None);
    let unknown = agent(None, true, None);
    let absent = agent(None, false, None);
    let error = seats(&[known.clone(), unknown], SeatRule::default(), NOW).expect_err("a guess");
    assert!(error.0.contains("statuses/ does not explain"), "{error}");
    assert_eq!(count(&[known, absent], None), Quantity::from(1_u32));
}
