//! Tests nodes whose configs have different rules for a queue.

use super::*;
use crate::{cluster::model::Mishap, fixtures::opening_hours};

/// Reserves through a node as one of an earlier version, which does not send its rule.
fn without_rule(mut what: What) -> What {
    if let What::Reserve { rule, .. } = &mut what {
        *rule = None;
    }
    what
}

#[tokio::test(start_paused = true)]
async fn each_node_counts_a_queue_and_holds_its_seats_by_its_own_rule() {
    let (fixture, exchange) = frozen(1);
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let mut queues = fixture.queues.clone();
    queues[0].rule = custom("$.results[*]");
    let follower = Running::configured(&fixture, &exchange, "two", Known::default(), queues, 1000);
    let third = Running::start(&fixture, &exchange, "three");
    sleep(MINUTE).await;
    let count = |node: &Running| node.decide(&fixture, 0).count.unwrap().get() as usize;
    let (seats, all) = (count(&leader), count(&follower));
    assert_eq!(seats, fixture.seats(0).get() as usize);
    assert!(all > seats, "{all} agents are listed, {seats} have a seat");
    let mut made = 0;
    for call in 0..=all {
        let what = follower.reserve(&fixture, &format!("call-{call}"));
        // The leader has its wish, which is enough.
        let what = if call % 2 == 0 {
            what
        } else {
            without_rule(what)
        };
        let said = follower.member.ask(what, SECOND).await;
        made += usize::from(matches!(said, Some(Said::Made { .. })));
    }
    assert_eq!(made, all, "by the rule of the node that asks");
    let what = leader.reserve(&fixture, "another call");
    let said = third.member.ask(what, SECOND).await;
    assert!(matches!(said, Some(Said::Rejected(_))), "{said:?}");
    // The follower goes on with its own rule when it leads.
    drop((leader, third));
    follower.until_it_leads().await;
    sleep(MINUTE).await;
    assert_eq!(count(&follower), all);
}

/// Asks the leader through this node for a seat, as long as a call's router waits.
async fn asks(node: &Running, what: What) -> Said {
    let said = node.member.ask(what, SECOND / 4).await;
    said.expect("an answer in time")
}

#[tokio::test(start_paused = true)]
async fn the_leader_holds_a_seat_by_the_threshold_the_age_and_the_hours_of_the_node_that_asks() {
    let (fixture, exchange) = frozen(1);
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::start(&fixture, &exchange, "two");
    let mut queues = fixture.queues.clone();
    // The test begins on a Sunday.
    queues[0].hours = opening_hours(&["Mon 10:00-11:00"], "UTC");
    let closed = Running::configured(&fixture, &exchange, "three", Known::default(), queues, 1000);
    sleep(MINUTE).await;
    let with = |call: &str, threshold: f64, max_age: Option<u64>| {
        let mut what = follower.reserve(&fixture, call);
        let What::Reserve {
            threshold: asked,
            max_age_ms,
            ..
        } = &mut what
        else {
            unreachable!("it reserves")
        };
        (*asked, *max_age_ms) = (Some(threshold), max_age);
        what
    };
    let rejected = |reason: Reason| Said::Rejected(reason.as_str().to_owned());
    let said = asks(&closed, closed.reserve(&fixture, "closed")).await;
    assert_eq!(said, rejected(Reason::Closed));
    let said = asks(&follower, with("old", 0.0, Some(1))).await;
    assert_eq!(said, rejected(Reason::TooOld));
    let mut said = Vec::new();
    for call in 0..4 {
        said.push(asks(&follower, with(&format!("call-{call}"), 3.0, None)).await);
    }
    // Five seats are open.
    let made = said.iter().filter(|said| matches!(said, Said::Made { .. }));
    assert_eq!(made.count(), 2, "{said:?}");
    assert_eq!(
        said[2..],
        [Reason::Reserved, Reason::Reserved].map(rejected)
    );
    let said = asks(&follower, with("another", 0.0, None)).await;
    assert!(matches!(said, Said::Made { .. }), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn the_leader_holds_a_seat_by_the_rule_of_the_node_that_asks_even_if_it_lost_that_nodes_wish()
{
    let (fixture, exchange) = frozen(1);
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    *exchange.mishaps.lock().unwrap() = [Mishap::Lost; 1_000].into();
    let mut queues = fixture.queues.clone();
    queues[0].rule = custom("$.results[*]");
    let many = Running::configured(&fixture, &exchange, "two", Known::default(), queues, 1000);
    let mut queues = fixture.queues.clone();
    queues[0].hours = opening_hours(&["Mon 10:00-11:00"], "UTC");
    let closed = Running::configured(&fixture, &exchange, "three", Known::default(), queues, 1000);
    // Their next wishes come in half a minute.
    sleep(10 * SECOND).await;
    exchange.mishaps.lock().unwrap().clear();
    let (seats, all) = (fixture.seats(0).get() as usize, many.decide(&fixture, 0));
    let all = all.count.unwrap().get() as usize;
    assert!(all > seats, "{all} agents are listed, {seats} have a seat");
    let said = asks(&closed, closed.reserve(&fixture, "closed")).await;
    assert_eq!(said, Said::Rejected(Reason::Closed.as_str().to_owned()));
    for call in 0..all {
        let said = asks(&many, many.reserve(&fixture, &format!("call-{call}"))).await;
        assert!(matches!(said, Said::Made { .. }), "{call}: {said:?}");
    }
    // What the leader cannot read is no rule to decide by.
    let mut what = many.reserve(&fixture, "another");
    if let What::Reserve { rule, .. } = &mut what {
        *rule = Some("accept = 3".to_owned());
    }
    assert_eq!(asks(&many, what).await, Said::Unlogged);
}

#[tokio::test(start_paused = true)]
async fn a_reload_on_a_follower_keeps_what_the_leader_says_about_ages_and_faults() {
    let (mut fixture, exchange) = frozen(20);
    fixture.options.sweep = false;
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 2, 1000);
    sleep(3 * MINUTE).await;
    let state = |node: &Running| node.board.get(&fixture.keys[0]).unwrap();
    let planned = |node: &Running| state(node).planned_max_age.as_millis();
    assert!(planned(&leader) > 2 * 60 * 1000);
    assert_eq!(planned(&follower), planned(&leader));
    fixture
        .simulator
        .inject(usize::MAX, None, InjectedFault::Forbidden);
    sleep(5 * MINUTE).await;
    let mut queues = fixture.queues[..2].to_vec();
    queues[0].threshold = Some(Quantity::from(3_u32));
    follower.take(&fixture, &queues).await;
    assert_eq!(planned(&follower), planned(&leader));
    assert_eq!(state(&follower).fault, state(&leader).fault);
    assert!(state(&follower).fault.is_some());
    fixture.simulator.clear_faults();
    sleep(10 * MINUTE).await;
    assert_eq!(
        (&state(&leader).fault, &state(&follower).fault),
        (&None, &None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_name_means_another_keeps_its_ages_on_a_follower() {
    let mut setting = still(2, 20);
    setting.by_name = true;
    let (fixture, exchange) = (setting.start(), Exchange::new());
    fixture.task.abort();
    let (leader, follower) = pair(&fixture, &exchange).await;
    let state = |node: &Running| node.board.get(&fixture.keys[0]).unwrap();
    let id = state(&follower).id;
    fixture.swap_names();
    sleep(40 * MINUTE).await;
    assert_ne!(state(&follower).id, id);
    assert_eq!(state(&follower).id, state(&leader).id);
    assert_eq!(
        state(&follower).planned_max_age,
        state(&leader).planned_max_age
    );
    let decision = follower.decide(&fixture, 0);
    assert!(decision.reason.is_known(), "{decision:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_a_reload_adds_on_a_follower_is_known_at_once() {
    let (mut fixture, exchange) = frozen(20);
    fixture.options.sweep = false;
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 1, 1000);
    sleep(3 * MINUTE).await;
    fixture.sent();
    follower.take(&fixture, &fixture.queues[..2]).await;
    sleep(SECOND / 10).await;
    let (one, other) = (leader.decide(&fixture, 1), follower.decide(&fixture, 1));
    assert!(other.reason.is_known(), "{other:?}");
    assert_eq!(one.count, other.count);
    let state = |node: &Running| node.board.get(&fixture.keys[1]).unwrap();
    let planned = |node: &Running| state(node).planned_max_age.as_millis();
    assert_eq!(planned(&follower), planned(&leader));
    assert!(fixture.sent().len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_own_polls_fail_is_renewed_on_no_node_and_by_no_rule() {
    let (fixture, exchange) = frozen(10);
    let ready = fixture.status("Available");
    fixture.simulator.world(|world| world.set_everyone(ready));
    let mut with_seats = fixture
        .places()
        .filter(|one| fixture.seats(*one) > Quantity::ZERO);
    let (place, other) = (with_seats.next().unwrap(), with_seats.next().unwrap());
    let (leader, follower) = pair(&fixture, &exchange).await;
    let mut queues = fixture.queues.clone();
    // It counts rows of any list.
    queues[place].rule = custom("$.results[?@.status=='Available' && @.queue_logged_in==true]");
    let (known, same) = (Known::default(), queues.clone());
    let third = Running::configured(&fixture, &exchange, "three", known, same, 1000);
    sleep(MINUTE).await;
    assert!(leader.health.borrow().sweeps);
    for node in [&leader, &follower, &third] {
        let decision = node.decide(&fixture, place);
        assert!(decision.accept, "{decision:?}");
    }
    let gone = fixture.ids[place];
    assert!(fixture.simulator.world(|world| world.remove_queue(gone)));
    // A turn of the queue, and its `max_age` of a minute. The membership may be half an hour old.
    sleep(5 * MINUTE).await;
    let late = Running::start(&fixture, &exchange, "four");
    follower.take(&fixture, &queues).await;
    sleep(MINUTE / 2).await;
    assert!(leader.member.leads());
    let nodes = [&leader, &follower, &third, &late];
    let reasons = nodes.map(|node| node.decide(&fixture, place).reason);
    let said = asks(&third, third.reserve_in(&fixture, place, "call")).await;
    let why = Reason::NoSuchQueue;
    let rejected = Said::Rejected(why.as_str().to_owned());
    assert_eq!((reasons, said), ([why; 4], rejected));
    for node in nodes {
        let decision = node.decide(&fixture, other);
        assert!(decision.age.unwrap() < MINUTE / 2, "{decision:?}");
    }
    // The next leader takes the last one's word for it.
    drop(leader);
    let nodes = [&follower, &third, &late];
    for _ in 0..1_200 {
        sleep(SECOND / 10).await;
        for node in nodes {
            let decision = node.decide(&fixture, place);
            assert!(!decision.reason.is_known(), "{decision:?}");
        }
    }
    assert!(nodes.iter().any(|node| node.member.leads()));
    for node in nodes {
        let decision = node.decide(&fixture, other);
        assert!(decision.age.unwrap() < MINUTE / 2, "{decision:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_own_polls_fail_is_not_renewed_by_a_leader_that_learns_of_it_later() {
    let (fixture, exchange) = frozen(10);
    let ready = fixture.status("Available");
    fixture.simulator.world(|world| world.set_everyone(ready));
    let mut places = fixture.places();
    let place = places
        .find(|one| fixture.seats(*one) > Quantity::ZERO)
        .unwrap();
    let (leader, follower) = pair(&fixture, &exchange).await;
    follower.node.lead_last();
    let mut others = fixture.queues.clone();
    others.remove(place);
    let heir = Running::configured(&fixture, &exchange, "heir", Known::default(), others, 1000);
    sleep(MINUTE).await;
    assert!(leader.health.borrow().sweeps);
    let decision = follower.decide(&fixture, place);
    assert!(decision.accept, "{decision:?}");
    let gone = fixture.ids[place];
    assert!(fixture.simulator.world(|world| world.remove_queue(gone)));
    // A turn of the queue, and its `max_age` of a minute.
    sleep(5 * MINUTE).await;
    let decision = follower.decide(&fixture, place);
    assert_eq!(decision.reason, Reason::NoSuchQueue);
    // A sweep comes before the next leader's own poll of the queue.
    *fixture.wire.polls_take.lock().unwrap() = 10 * SECOND;
    leader.stop.cancel();
    for _ in 0..600 {
        sleep(SECOND / 10).await;
        let decision = follower.decide(&fixture, place);
        assert!(!decision.reason.is_known(), "{decision:?}");
    }
    assert!(heir.member.leads());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_the_config_has_twice_is_published_once() {
    let (fixture, exchange) = frozen(1);
    let mut queues = fixture.queues.clone();
    let name = fixture
        .simulator
        .world(|world| world.queues()[0].name.clone());
    queues.push(QueueSettings {
        key: QueueKey::new("main", name.as_str()),
        reference: QueueRef::Name(name),
        ..queues[0].clone()
    });
    let leader = Running::configured(&fixture, &exchange, "one", Known::default(), queues, 1000);
    leader.until_it_leads().await;
    sleep(MINUTE).await;
    let _ = fixture.sent();
    let published = published(&fixture, &exchange).await;
    let polls = published.iter().map(|entry| entry.polls.len());
    let polls: Vec<_> = polls.filter(|polls| *polls > 0).collect();
    assert!(polls.iter().all(|polls| *polls == 1), "{polls:?}");
    // The last poll of before may be published after.
    let sent = fixture.sent().len();
    assert!(
        polls.len() > 1 && polls.len() <= sent + 1,
        "{sent}: {polls:?}"
    );
}
