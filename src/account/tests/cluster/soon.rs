//! Tests seats that count on agents who were not free yet, as the other nodes know them.

use super::*;
use crate::{
    decision::{
        Choice, choose,
        reservations::{Reservation, Reserved},
        soon::outlook::Outlook,
    },
    fixtures::{agent, snapshot},
};

const CALL: &str = "call-1";

/// Accepts a call that counts on this agent.
fn on(agent: AgentId, decision: Decision) -> Choice {
    Choice {
        decision: Decision {
            accept: true,
            prediction: Some(Prediction::from_percent(83, Terms::DEFAULT)),
            ..decision
        },
        counts_on: Some(agent),
    }
}

fn ann() -> AgentId {
    AgentId("ann".into())
}

fn bob() -> AgentId {
    AgentId("bob".into())
}

/// A queue without a seat, in which Ann and Bob will probably be free in time.
fn ann_and_bob(fixture: &Fixture) -> QueueState {
    let now = fixture.clock.now();
    let agents = ["ann", "bob"].map(|id| agent(id, "", "Post Call"));
    let outlook = Outlook::new(Terms::DEFAULT, 1.0, now, |_| vec![0.9, 0.8]);
    let mut snapshot = snapshot(now, agents.into());
    let likeliest = [(0, None), (1, None)];
    snapshot.outlook = Some(outlook.naming(&snapshot.agents, likeliest));
    QueueState {
        snapshot: Some(Arc::new(snapshot)),
        planned_max_age: MINUTE,
        planned_members_max_age: MINUTE,
        ..QueueState::default()
    }
}

/// Asserts that a node holds the seat, and that further calls do not count on Ann.
fn assert_held(fixture: &Fixture, node: &Running, was: &Reservation) {
    let now = fixture.clock.now();
    let holds = node.reservations.queue(&fixture.keys[0]);
    let held = holds.list(now);
    let seat = held.iter().find(|one| one.id == was.id).expect("held");
    let figures = |one: &Reservation| one.prediction.map(Prediction::figures);
    assert_eq!(figures(seat), figures(was));
    assert_eq!(seat.counts_on, Some(ann()));
    let (policy, state) = (crate::fixtures::policy(), ann_and_bob(fixture));
    for queue in 0..2 {
        let holds = node.reservations.queue(&fixture.keys[queue]);
        let next = choose(&state, &policy, holds.held(now), now);
        let likely = next.decision.prediction.map(|one| one.percent());
        assert_eq!(likely, Some(80), "{queue}: without the likeliest");
        assert_eq!(next.counts_on, Some(bob()), "{queue}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_counts_on_a_wrap_up_is_held_by_every_node_and_the_next_leader() {
    let (fixture, exchange) = frozen(2);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let (key, now) = (&fixture.keys[0], fixture.clock.now());
    let holds = leader.reservations.queue(key);
    let tenure = leader.member.tenures();
    let decision = leader.decide(&fixture, 0);
    let reserved = holds.reserve(CALL, MINUTE, now, |_| on(ann(), decision));
    let Reserved::Made(made, _) = reserved else {
        panic!("{reserved:?}");
    };
    let seats = &leader.reservations;
    assert!(leader.member.log_made(tenure, seats, key, &made).await);
    sleep(SECOND).await;
    assert_held(&fixture, &leader, &made);
    assert_held(&fixture, &follower, &made);
    // If asked again on a follower, the call gets its own seat, with what it was promised.
    let again = follower.reserve(&fixture, CALL);
    let again = follower.member.ask(again, SECOND).await;
    let Some(Said::AlreadyHeld { id, soon, .. }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(id, made.id.to_string());
    assert_eq!(soon, made.prediction.map(Prediction::figures));
    drop(leader);
    follower.until_it_leads().await;
    sleep(SECOND).await;
    assert_held(&fixture, &follower, &made);
    sleep(MINUTE).await;
    assert_eq!(follower.reservations.list(fixture.clock.now()), []);
}

/// Gives two calls a seat on this leader. The earlier one counts on Ann, and the later one on Bob. Returns the seat of the later one.
async fn two_calls(fixture: &Fixture, leader: &Running) -> Reservation {
    let key = &fixture.keys[0];
    let (holds, tenure) = (leader.reservations.queue(key), leader.member.tenures());
    let mut last = None;
    for (call, agent) in [("earlier", ann()), ("later", bob())] {
        let decision = leader.decide(fixture, 0);
        let now = fixture.clock.now();
        let reserved = holds.reserve(call, MINUTE * 5, now, |_| on(agent, decision));
        let Reserved::Made(made, _) = reserved else {
            panic!("{reserved:?}");
        };
        let seats = &leader.reservations;
        assert!(leader.member.log_made(tenure, seats, key, &made).await);
        sleep(SECOND).await;
        last = Some(made);
    }
    last.expect("two calls")
}

/// Bob takes the earlier call.
async fn bob_takes_a_call(fixture: &Fixture, leader: &Running) {
    let (key, now) = (&fixture.keys[0], fixture.clock.now());
    let queues = std::slice::from_ref(key);
    let ended = (leader.reservations).took_call(&bob(), queues, now.boot, now);
    assert!(ended.is_some());
    sleep(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_was_handed_another_agent_counts_on_that_one_on_every_node() {
    let (fixture, exchange) = frozen(2);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let later = two_calls(&fixture, &leader).await;
    bob_takes_a_call(&fixture, &leader).await;
    let ids = |node: &Running| {
        let held = node.reservations.list(fixture.clock.now()).into_iter();
        held.map(|(_, one)| one.id).collect::<Vec<_>>()
    };
    for node in [&leader, &follower] {
        assert_eq!(ids(node), std::slice::from_ref(&later.id));
        assert_held(&fixture, node, &later);
    }
    drop(leader);
    follower.until_it_leads().await;
    sleep(SECOND).await;
    assert_held(&fixture, &follower, &later);
    // A node that hears of it only now, from the checkpoint or the new leader.
    let third = Running::start(&fixture, &exchange, "three");
    sleep(SECOND).await;
    assert!(!third.member.leads());
    assert_held(&fixture, &third, &later);
}

#[tokio::test(start_paused = true)]
async fn a_seat_whose_agent_takes_another_queues_call_counts_on_nobody_on_every_node() {
    let (fixture, exchange) = frozen(2);
    let (leader, follower) = pair(&fixture, &exchange).await;
    two_calls(&fixture, &leader).await;
    let now = fixture.clock.now();
    assert!(leader.reservations.let_go("main", &bob(), now.boot));
    sleep(SECOND).await;
    let counts_on = |node: &Running| {
        let held = node.reservations.list(fixture.clock.now()).into_iter();
        held.map(|(_, one)| one.counts_on).collect::<Vec<_>>()
    };
    for node in [&leader, &follower] {
        assert_eq!(counts_on(node), [Some(ann()), None]);
    }
    drop(leader);
    follower.until_it_leads().await;
    sleep(SECOND).await;
    assert_eq!(counts_on(&follower), [Some(ann()), None]);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_from_before_a_seat_was_handed_another_agent_changes_nothing() {
    let (fixture, exchange) = frozen(2);
    let (first, second) = pair(&fixture, &exchange).await;
    let third = Running::start(&fixture, &exchange, "three");
    sleep(LEASE).await;
    let later = two_calls(&fixture, &first).await;
    drop(first);
    let others = [second, third];
    while !others.iter().any(|node| node.member.leads()) {
        sleep(SECOND / 10).await;
    }
    // The one that follows writes its mirror, and the new leader has read all mirrors.
    sleep(LEASE * 2).await;
    let is_leader = |node: &&Running| node.member.leads();
    let leader = others.iter().find(is_leader).expect("one leads");
    bob_takes_a_call(&fixture, leader).await;
    // The leader reads them again, because a node joins.
    let fourth = Running::start(&fixture, &exchange, "four");
    for _ in 0..LEASE.as_secs() * 2 {
        sleep(SECOND).await;
        for node in others.iter().chain([&fourth]) {
            assert_held(&fixture, node, &later);
        }
    }
    assert!(leader.member.leads() && !exchange.model.lock().unwrap().mirrors.is_empty());
}
