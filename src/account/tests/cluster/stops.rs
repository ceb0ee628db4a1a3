//! Tests what the next leader knows of seats, above all if a leader is stopped properly.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use tokio::time::timeout;

use super::*;
use crate::{
    cluster::entry::{Entry, HeldSeat},
    decision::reservations::{Reservation, ReservationId, Reserved},
};

/// As long as a call's router waits for its seat.
const PATIENCE: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_hands_over_at_once() {
    // At any moment between two looks of the follower.
    for later in 0..5 {
        let (fixture, exchange) = fixture(2, 20);
        let (leader, follower) = pair(&fixture, &exchange).await;
        sleep(SECOND * later / 5).await;
        leader.stop.cancel();
        let _ = fixture.sent();
        let took = follower.until_it_leads().await;
        // The bell tells the follower that the lease is free, and it looks ten times a second at most.
        assert!(took <= SECOND / 5, "{took:?}");
        sleep(SECOND).await;
        assert!(!fixture.sent().is_empty(), "polls go on within a second");
    }
}

#[tokio::test(start_paused = true)]
async fn no_reservation_fails_while_the_leader_stops() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let third = Running::start(&fixture, &exchange, "three");
    sleep(MINUTE).await;
    // The others know the next leader before it knows that it leads.
    *exchange.confirms_after.lock().unwrap() = Duration::from_millis(20);
    let mut asked = Vec::new();
    for call in 0..300 {
        if call == 100 {
            leader.stop.cancel();
        }
        // Also those that the leader was asked itself before it closed its door.
        let node = [&leader, &follower, &third][call % 3];
        let what = node.reserve(&fixture, &format!("call-{call}"));
        let member = Arc::clone(&node.member);
        let is_its_own = member.leads();
        asked.push(tokio::spawn(async move {
            is_its_own || member.ask(what, PATIENCE).await.is_some()
        }));
        sleep(Duration::from_millis(5)).await;
    }
    assert!(follower.member.leads() || third.member.leads());
    let answered = join_all(asked).await;
    let failed = answered
        .iter()
        .enumerate()
        .filter(|(_, one)| !one.as_ref().unwrap());
    assert_eq!(failed.map(|(call, _)| call).collect::<Vec<_>>(), [0; 0]);
}

/// What another leader logs about the seat of a call.
fn held(fixture: &Fixture, call: &str) -> Entry {
    let reservation = Reservation {
        id: ReservationId::from_text(call),
        call_id: call.into(),
        made: fixture.clock.now(),
        ttl: 45 * SECOND,
        prediction: None,
        counts_on: None,
    };
    Entry {
        held: vec![HeldSeat {
            queue: fixture.keys[0].queue.clone(),
            reservation,
        }],
        ..Entry::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_gives_seats_once_it_knows_those_that_are_held() {
    let (fixture, exchange) = frozen(1);
    let (node, mut task) = Running::without_task(&fixture, &exchange);
    sleep(SECOND).await;
    let calls = || {
        let held = node.reservations.list(fixture.clock.now()).into_iter();
        held.map(|(_, one)| one.call_id.to_string())
            .collect::<Vec<_>>()
    };
    task.lead_after(held(&fixture, "first"));
    // Its account's task has not run since, but the threads that serve HTTP may.
    assert!(node.member.leads() && !node.member.gives_seats());
    let _ = timeout(SECOND, task.refuse_orders()).await;
    assert!(node.member.gives_seats());
    assert_eq!(calls(), ["first"]);
    // Another node leads for so short a time that the account's task does not notice.
    task.follow();
    task.lead_after(held(&fixture, "second"));
    assert!(node.member.leads() && !node.member.gives_seats());
    let _ = timeout(SECOND, task.refuse_orders()).await;
    assert!(node.member.gives_seats());
    assert_eq!(calls(), ["first", "second"]);
    // A leader also reads the mirrors of nodes that appear.
    task.hear(held(&fixture, "third"));
    let _ = timeout(SECOND, task.refuse_orders()).await;
    assert_eq!(calls(), ["first", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_asks_the_next_leader_until_its_end() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    leader.stop.cancel();
    let said = leader
        .member
        .ask(leader.reserve(&fixture, "call"), PATIENCE)
        .await;
    assert!(matches!(said, Some(Said::Made { .. })), "{said:?}");
    follower.until_it_leads().await;
    sleep(LEASE * 2).await;
    assert!(!leader.task.is_finished() && !leader.member.leads());
    leader.node.end();
    sleep(SECOND).await;
    assert!(leader.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_has_ended_stays_so_although_an_older_mirror_has_it() {
    let (fixture, exchange) = frozen(1);
    let one = Running::start(&fixture, &exchange, "one");
    one.until_it_leads().await;
    let others = ["two", "three"].map(|name| Running::start(&fixture, &exchange, name));
    sleep(MINUTE).await;
    let mut what = one.reserve(&fixture, "call");
    if let What::Reserve { ttl_ms, .. } = &mut what {
        *ttl_ms = 600_000;
    }
    let made = others[0].member.ask(what, SECOND).await;
    assert!(matches!(made, Some(Said::Made { .. })), "{made:?}");
    let held = |node: &Running| node.reservations.list(fixture.clock.now());
    let id = held(&one)[0].1.id.to_string();
    // The others write their mirrors now.
    one.stop.cancel();
    sleep(LEASE).await;
    let mut followers = others.iter().filter(|node| !node.member.leads());
    let asked = &followers.next().unwrap().member;
    let released = asked.ask(What::Release { id }, SECOND).await;
    assert_eq!(released, Some(Said::Released(true)));
    // The leader reads all mirrors, since there is a new node.
    let fourth = Running::start(&fixture, &exchange, "four");
    sleep(LEASE * 3).await;
    for node in others.iter().chain([&fourth]) {
        assert_eq!(held(node).len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_has_ended_stays_so_although_the_engine_goes_back() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let held = |node: &Running| node.reservations.list(fixture.clock.now());
    let what = follower.reserve(&fixture, "call");
    let made = follower.member.ask(what, SECOND).await;
    assert!(matches!(made, Some(Said::Made { .. })), "{made:?}");
    let id = held(&leader)[0].1.id.to_string();
    let earlier = exchange.model.lock().unwrap().clone();
    let released = follower.member.ask(What::Release { id }, SECOND).await;
    assert_eq!(released, Some(Said::Released(true)));
    sleep(SECOND).await;
    assert_eq!(held(&follower).len(), 0);
    // A fail-over loses that, and the leader with it.
    drop(leader);
    *exchange.model.lock().unwrap() = earlier;
    for _ in 0..60 {
        sleep(SECOND / 2).await;
        assert_eq!(held(&follower).len(), 0);
    }
    assert!(follower.member.leads());
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_was_decided_in_an_earlier_tenure_is_given_to_no_call() {
    let (fixture, exchange) = frozen(1);
    let node = Running::start(&fixture, &exchange, "one");
    node.until_it_leads().await;
    sleep(MINUTE).await;
    let (key, seats) = (&fixture.keys[0], &node.reservations);
    let decided = |call: &str| {
        let tenure = node.member.gives_seats_in().expect("it leads");
        let (accepts, now) = (node.decide(&fixture, 0), fixture.clock.now());
        let reserved = seats
            .queue(key)
            .reserve(call, 10 * MINUTE, now, |_| accepts);
        let Reserved::Made(made, _) = reserved else {
            panic!("{reserved:?}")
        };
        (tenure, made)
    };
    let (tenure, made) = decided("paused");
    // The thread that decided is paused. Meanwhile other nodes could have led, and given the seat to another call.
    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(LEASE).await;
    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    node.until_it_leads().await;
    sleep(SECOND).await;
    assert!(!node.member.log_made(tenure, seats, key, &made).await);
    assert_eq!(seats.list(fixture.clock.now()).len(), 0);
    let (tenure, made) = decided("awake");
    assert!(node.member.log_made(tenure, seats, key, &made).await);
    assert_eq!(seats.list(fixture.clock.now()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_departure_and_the_reservation_that_it_ends_are_in_the_same_entry() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    follower.hold_seat(&fixture, "call").await;
    let held = || leader.reservations.list(fixture.clock.now());
    let id = held()[0].1.id.to_string();
    let seats = fixture.seats(0).get();
    fixture.simulator.world(|world| world.set_seats(4));
    while !held().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    // Before the next checkpoint replaces it.
    sleep(SECOND / 10).await;
    assert!(fixture.seats(0).get() < seats, "an agent left");
    let entries: Vec<Value> = {
        let model = exchange.model.lock().unwrap();
        let entries = model.log.values().map(|(_, packed)| {
            let mut json = Vec::new();
            ZlibDecoder::new(&packed[..])
                .read_to_end(&mut json)
                .unwrap();
            serde_json::from_slice(&json).unwrap()
        });
        entries.collect()
    };
    let ends = |entry: &&Value| entry["ended"] == json!([id]);
    let ended: Vec<_> = entries.iter().filter(ends).collect();
    assert_eq!(ended.len(), 1, "{entries:?}");
    // A leader that dies before it leaves the seat held and the agent available, and one that dies after it neither.
    assert!(
        ended[0]["polls"].is_array() || ended[0]["seen"].is_array(),
        "{ended:?}"
    );
    sleep(SECOND).await;
    assert_eq!(follower.reservations.list(fixture.clock.now()).len(), 0);
    assert_eq!(
        follower.decide(&fixture, 0).count,
        leader.decide(&fixture, 0).count
    );
}

#[tokio::test(start_paused = true)]
async fn a_release_that_meets_a_silent_engine_ends_the_seat_on_all_nodes_or_can_be_repeated() {
    for silent in [SECOND, LEASE * 2] {
        let (fixture, exchange) = frozen(1);
        let (leader, follower) = pair(&fixture, &exchange).await;
        follower.hold_seat(&fixture, "call").await;
        sleep(SECOND).await;
        let held = |node: &Running| node.reservations.list(fixture.clock.now());
        let id = held(&leader)[0].1.id.clone();
        assert_eq!(held(&follower).len(), 1);
        let tenure = leader.member.gives_seats_in().expect("it leads");
        let cut_off = |is_cut_off| {
            let engine = &leader.engine.is_cut_off;
            engine.store(is_cut_off, AtomicOrdering::Relaxed);
        };
        cut_off(true);
        let released = leader
            .member
            .release(tenure, &leader.reservations, &id)
            .await;
        assert!(!released);
        sleep(silent).await;
        cut_off(false);
        sleep(LEASE).await;
        assert_eq!(leader.member.leads(), silent == SECOND);
        // Nobody knows it, or the node that leads now, which is then asked.
        assert!(held(&leader).is_empty() && !leader.reservations.has_ended(&id));
        let other = held(&follower).len();
        assert_eq!(other, usize::from(follower.member.leads()));
        if other > 0 {
            let id = id.to_string();
            let said = leader.member.ask(What::Release { id }, SECOND).await;
            assert_eq!(said, Some(Said::Released(true)));
            assert!(held(&follower).is_empty());
        }
    }
}
