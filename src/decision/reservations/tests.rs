use std::{
    collections::HashSet,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;

use super::*;
use crate::{
    clock::Clock,
    decision::{
        Decision, OnUnknown, Policy, Reason,
        board::QueueState,
        decide, decide_with,
        soon::rule::{Held, Prediction, Terms},
    },
    fixtures::{Still, available, snapshot},
    model::quantity::Quantity,
};

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: Some(Duration::from_secs(3_600)),
    on_unknown: OnUnknown::Reject,
    hours: None,
};

fn seats(count: usize, now: Moment) -> QueueState {
    QueueState {
        snapshot: Some(Arc::new(snapshot(now, available(count)))),
        ..QueueState::default()
    }
}

fn reserve(holds: &Holds, state: &QueueState, call: &str, now: Moment) -> Reserved {
    let decision = |held: Held<'_>| decide_with(state, &POLICY, held, now);
    holds.reserve(call, DEFAULT_TTL, now, decision)
}

fn made(reserved: Reserved) -> Reservation {
    match reserved {
        Reserved::Made(reservation, _) => reservation,
        other => panic!("not made: {other:?}"),
    }
}

/// An agent whom no call counts on.
fn agent() -> AgentId {
    AgentId("ann".into())
}

fn key(queue: &str) -> QueueKey {
    QueueKey::new("main", queue)
}

#[test]
fn seats_are_held_until_none_is_left() {
    let now = Still::new().now();
    let (holds, state) = (Holds::default(), seats(2, now));
    for (call, held) in [("a", 1), ("b", 2)] {
        made(reserve(&holds, &state, call, now));
        assert_eq!(holds.held(now).all, held);
    }
    let Reserved::Refused(decision) = reserve(&holds, &state, "c", now) else {
        panic!("there are two seats");
    };
    assert_eq!(decision.reason.as_str(), "reserved");
    assert_eq!(holds.counts(), (2, [0, 0, 0]));
}

#[test]
fn a_call_holds_one_seat_even_if_it_asks_again() {
    let clock = Still::new();
    let (holds, state) = (Holds::default(), seats(2, clock.now()));
    let first = made(reserve(&holds, &state, "a", clock.now()));
    clock.pass(Duration::from_secs(10));
    assert_eq!(
        reserve(&holds, &state, "a", clock.now()),
        Reserved::AlreadyHeld(first),
        "and its time is not extended"
    );
    assert_eq!(holds.held(clock.now()).all, 1);
}

#[test]
fn a_reservation_expires_on_the_first_clock_that_says_so() {
    let now = Still::new().now();
    for (boot, wall) in [(45, 45), (45, 0), (0, 45)] {
        let (holds, state) = (Holds::default(), seats(1, now));
        made(reserve(&holds, &state, "a", now));
        let at = |less: u64| Moment {
            boot: now.boot + Duration::from_secs(boot) - Duration::from_millis(less.min(boot)),
            wall: now.wall + Duration::from_secs(wall) - Duration::from_millis(less.min(wall)),
        };
        assert_eq!((holds.held(at(1)).all, holds.held(at(0)).all), (1, 0));
        assert_eq!(holds.counts(), (1, [0, 0, 1]), "expired");
    }
}

#[test]
fn released_seats_are_open_again_and_only_once() {
    let now = Still::new().now();
    let reservations = Reservations::new();
    let holds = reservations.queue(&key("sales"));
    let reservation = made(reserve(&holds, &seats(1, now), "a", now));
    let other = ReservationId::from_text("0123");
    assert_eq!(reservations.release(&other, now), None);
    assert_eq!(
        reservations.release(&reservation.id, now),
        Some((key("sales"), reservation.clone()))
    );
    assert_eq!(reservations.release(&reservation.id, now), None);
    assert_eq!(
        (holds.held(now).all, holds.counts()),
        (0, (1, [0, 1, 0])),
        "released"
    );
}

#[test]
fn a_reservation_that_expires_by_the_wall_clock_alone_is_not_known_to_have_ended() {
    let clock = Still::new();
    let reservations = Reservations::new();
    let holds = reservations.queue(&key("sales"));
    let now = clock.now();
    let id = made(reserve(&holds, &seats(9, now), "call", now)).id;
    let now = Moment {
        wall: now.wall + DEFAULT_TTL,
        ..now
    };
    assert_eq!(reservations.list(now), []);
    assert!(!reservations.has_ended(&id), "another node may hold it");
}

#[test]
fn a_seat_that_has_ended_on_another_node_is_not_held_by_an_answer_that_comes_late() {
    let clock = Still::new();
    let (reservations, queue) = (Reservations::new(), key("sales"));
    let leader = Holds::default();
    let made = made(reserve(
        &leader,
        &seats(9, clock.now()),
        "call",
        clock.now(),
    ));
    reservations.held_elsewhere(&queue, made.clone());
    reservations.ended_elsewhere(std::slice::from_ref(&made.id), clock.now());
    reservations.held_elsewhere(&queue, made.clone());
    assert_eq!(reservations.list(clock.now()), []);
    // If this node is not sure of the end, another one may still hold it.
    reservations.release_unsure(&made.id, clock.now());
    reservations.held_elsewhere(&queue, made.clone());
    assert_eq!(reservations.list(clock.now()), [(queue, made)]);
}

#[test]
fn however_a_reservation_ends_it_is_known_to_have_ended() {
    let clock = Still::new();
    let reservations = Reservations::new();
    let holds = reservations.queue(&key("sales"));
    let reserve = |call| made(reserve(&holds, &seats(9, clock.now()), call, clock.now())).id;
    let [answered, released, forgotten, expired, held] =
        ["answered", "released", "forgotten", "expired", "held"].map(reserve);
    clock.pass(Duration::from_secs(1));
    let queues = [key("sales")];
    reservations.departed(&agent(), &queues, clock.now(), clock.now());
    reservations.release(&released, clock.now());
    reservations.ended_elsewhere(std::slice::from_ref(&forgotten), clock.now());
    let have_ended = || {
        let ids = [&answered, &released, &forgotten, &expired, &held];
        ids.map(|id| reservations.has_ended(id))
    };
    assert_eq!(have_ended(), [true, true, true, false, false]);
    reservations.release(&held, clock.now());
    clock.pass(DEFAULT_TTL);
    assert_eq!(reservations.list(clock.now()), []);
    assert_eq!(have_ended(), [true; 5]);
}

#[test]
fn an_agent_who_goes_straight_onto_a_call_ends_the_oldest_reservation_that_counts_on_one() {
    let clock = Still::new();
    let reservations = Reservations::new();
    let reserve = |call: &str, prediction| {
        clock.pass(Duration::from_secs(1));
        let now = clock.now();
        let decide = |held: Held<'_>| Decision {
            prediction,
            ..decide_with(&seats(9, now), &POLICY, held, now)
        };
        let holds = reservations.queue(&key("sales"));
        made(holds.reserve(call, DEFAULT_TTL, now, decide))
    };
    reserve("a seat", None);
    let bet = Some(Prediction::from_percent(90, Terms::DEFAULT));
    let (first, second) = (reserve("first", bet), reserve("second", bet));
    let took_call = |queue, at: Moment| {
        let ended = reservations.took_call(&agent(), &[key(queue)], at.boot, clock.now());
        ended.map(|(_, made)| made)
    };
    let before = first.made.earlier(Duration::from_millis(1));
    assert_eq!(took_call("sales", before), None);
    assert_eq!(took_call("support", clock.now()), None);
    assert_eq!(took_call("sales", clock.now()), Some(first.made));
    assert_eq!(took_call("sales", clock.now()), Some(second.made));
    assert_eq!(took_call("sales", clock.now()), None, "a seat stays held");
    let counts = reservations.queue(&key("sales")).counts();
    assert_eq!(counts, (3, [2, 0, 0]), "two are answered");
}

#[test]
fn a_departure_ends_the_oldest_reservation_made_before_it_and_no_other() {
    let clock = Still::new();
    let reservations = Reservations::new();
    let state = seats(9, clock.now());
    let reserve_in = |queue: &str, call: &str| {
        clock.pass(Duration::from_secs(1));
        let holds = reservations.queue(&key(queue));
        made(reserve(&holds, &state, call, clock.now()));
        clock.now()
    };
    let before = reserve_in("support", "a");
    reserve_in("sales", "b");
    reserve_in("sales", "c");
    let (both, now) = ([key("sales"), key("support")], clock.now());
    let held = || {
        let list = reservations.list(now);
        let calls = list.into_iter().map(|(_, one)| one.call_id.into_string());
        calls.collect::<Vec<_>>()
    };
    // Seen before the call in "sales" was sent, so it cannot be that call.
    let departed = |queues: &[QueueKey], at| {
        let ended = reservations.departed(&agent(), queues, at, now);
        ended.map(|(queue, _)| queue)
    };
    assert_eq!(departed(&both[..1], before), None);
    assert_eq!(
        departed(&both, now),
        Some(key("support")),
        "the oldest in either queue"
    );
    assert_eq!(held(), ["b", "c"]);
    assert_eq!(departed(&both, now), Some(key("sales")));
    assert_eq!(held(), ["c"]);
    assert_eq!(departed(&[], now), None);
    assert_eq!(
        reservations.queue(&key("sales")).counts(),
        (2, [1, 0, 0]),
        "answered"
    );
}

#[test]
fn a_queue_holds_at_most_max_per_queue_seats() {
    let now = Still::new().now();
    let (holds, state) = (Holds::default(), seats(MAX_PER_QUEUE + 1, now));
    for call in 0..MAX_PER_QUEUE {
        made(reserve(&holds, &state, &call.to_string(), now));
    }
    let more = reserve(&holds, &state, "more", now);
    let Reserved::Full(decision) = more else {
        panic!("{more:?}");
    };
    assert_eq!(
        (decision.accept, decision.reason),
        (false, Reason::Reserved)
    );
}

#[test]
fn a_hundred_threads_get_exactly_the_available_seats() {
    let now = Still::new().now();
    for _ in 0..20 {
        let (holds, state) = (Holds::default(), seats(3, now));
        let start = Barrier::new(100);
        let succeeded: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..100)
                .map(|call| {
                    let (holds, state, start) = (&holds, &state, &start);
                    scope.spawn(move || {
                        start.wait();
                        let reserved = reserve(holds, state, &call.to_string(), now);
                        usize::from(matches!(reserved, Reserved::Made(..)))
                    })
                })
                .collect();
            let ended = threads.into_iter().map(|thread| thread.join().unwrap());
            ended.sum()
        });
        assert_eq!((succeeded, holds.held(now).all), (3, 3));
    }
}

#[test]
fn threads_that_reserve_and_release_never_hold_too_many_seats() {
    const SEATS: usize = 2;
    let now = Still::new().now();
    let (reservations, state) = (Reservations::new(), seats(SEATS, now));
    let holds = reservations.queue(&key("sales"));
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (reservations, holds, state, taken) = (&reservations, &holds, &state, &taken);
            scope.spawn(move || {
                for round in 0..500 {
                    let call = format!("{thread}-{round}");
                    if let Reserved::Made(one, _) = reserve(holds, state, &call, now) {
                        assert!(taken.fetch_add(1, Ordering::SeqCst) < SEATS);
                        std::thread::yield_now();
                        assert!(holds.held(now).all as usize <= SEATS);
                        taken.fetch_sub(1, Ordering::SeqCst);
                        assert!(reservations.release(&one.id, now).is_some());
                        assert!(reservations.release(&one.id, now).is_none());
                    }
                }
            });
        }
    });
    assert_eq!(holds.held(now).all, 0);
}

/// Something that may happen to a queue.
#[derive(Clone, Debug)]
enum Event {
    Reserve(u8),
    Release(usize),
    Depart(u64),
    Pass(u64),
    Seats(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_u8..12).prop_map(Event::Reserve),
        1 => (0_usize..6).prop_map(Event::Release),
        1 => (0_u64..30).prop_map(Event::Depart),
        2 => (0_u64..20).prop_map(Event::Pass),
        1 => (0_usize..5).prop_map(Event::Seats),
    ]
}

proptest! {
    /// No seat stays held forever, no more seats are held than there are, and the counters add up.
    #[test]
    fn held_seats_stay_within_bounds_and_always_end(events in prop::collection::vec(any_event(), 0..80)) {
        let clock = Still::new();
        let reservations = Reservations::new();
        let holds = reservations.queue(&key("sales"));
        let mut state = seats(3, clock.now());
        for event in events {
            let now = clock.now();
            let before = holds.list(now);
            match event {
                Event::Reserve(call) => {
                    let call = call.to_string();
                    let is_known = before.iter().any(|one| *one.call_id == *call);
                    let open = decide(&state, &POLICY, before.len() as u32, now).accept;
                    match reserve(&holds, &state, &call, now) {
                        Reserved::AlreadyHeld(_) => prop_assert!(is_known),
                        Reserved::Made(..) => prop_assert!(!is_known && open),
                        Reserved::Refused(_) => prop_assert!(!is_known && !open),
                        Reserved::Full(_) => prop_assert!(false, "far from full"),
                    }
                }
                Event::Release(place) => if let Some(one) = before.get(place) {
                    prop_assert!(reservations.release(&one.id, now).is_some());
                },
                Event::Depart(ago) => {
                    let at = now.earlier(Duration::from_secs(ago));
                    let ended = reservations.departed(&agent(), &[key("sales")], at, now);
                    prop_assert_eq!(ended.is_some(), before.iter().any(|one| one.made.boot <= at.boot));
                }
                Event::Pass(seconds) => clock.pass(Duration::from_secs(seconds)),
                Event::Seats(count) => state = seats(count, now),
            }
            let now = clock.now();
            let held = holds.list(now);
            prop_assert_eq!(held.len() as u32, holds.held(now).all);
            prop_assert!(held.iter().all(|one| !one.is_over(now)));
            let calls: HashSet<_> = held.iter().map(|one| &one.call_id).collect();
            prop_assert_eq!(calls.len(), held.len(), "a call holds one seat");
            let (made, ended) = holds.counts();
            prop_assert_eq!(made, held.len() as u64 + ended.iter().sum::<u64>());
        }
        clock.pass(DEFAULT_TTL);
        prop_assert_eq!(holds.held(clock.now()).all, 0);
    }
}

#[test]
fn a_seat_that_two_threads_hear_of_is_held_once() {
    const SEATS: usize = 5_000;
    let (now, queue) = (Still::new().now(), key("sales"));
    let heard: Vec<_> = (0..SEATS)
        .map(|_| {
            let holds = Holds::default();
            made(reserve(&holds, &seats(1, now), "a", now))
        })
        .collect();
    let reservations: Vec<_> = heard.iter().map(|_| Reservations::new()).collect();
    // Each waits for the other at each seat, so that they hear of it at the same moment.
    let heard_by = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let hear = |thread: usize| {
        for (seat, (reservation, reservations)) in heard.iter().zip(&reservations).enumerate() {
            heard_by[thread].store(seat, Ordering::Release);
            while heard_by[1 - thread].load(Ordering::Acquire) < seat {
                std::thread::yield_now();
            }
            reservations.held_elsewhere(&queue, reservation.clone());
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| hear(0));
        scope.spawn(|| hear(1));
    });
    let held = reservations.iter().map(|one| one.list(now).len());
    assert_eq!(held.filter(|held| *held != 1).count(), 0);
}

#[test]
fn a_queue_that_is_asked_under_its_new_name_before_its_seats_move_keeps_them() {
    let now = Still::new().now();
    let reservations = Reservations::new();
    let (was, is) = (key("sales"), key("5450"));
    made(reserve(&reservations.queue(&was), &seats(2, now), "a", now));
    let asked = reservations.queue(&is);
    made(reserve(&asked, &seats(2, now), "b", now));
    reservations.carry(&[(was.clone(), is.clone())]);
    assert_eq!(asked.held(now).all, 2);
    assert_eq!(reservations.queue(&was).held(now).all, 0);
    let held = reservations.list(now);
    assert!(held.iter().all(|(queue, _)| *queue == is), "{held:?}");
}

#[test]
fn seats_stay_held_under_the_new_name_alone_once_the_old_one_is_dropped() {
    let now = Still::new().now();
    let reservations = Reservations::new();
    let (was, is) = (key("sales"), key("5450"));
    made(reserve(&reservations.queue(&was), &seats(1, now), "a", now));
    reservations.carry(&[(was.clone(), is.clone())]);
    reservations.drop_names(std::slice::from_ref(&was));
    let held = reservations.list(now);
    let queues: Vec<_> = held.iter().map(|(queue, _)| queue).collect();
    assert_eq!(queues, [&is]);
    // A request that began before knows only the old name.
    let found = reservations.held.find(&was, &held[0].1.id, now);
    assert_eq!(found, Some(held[0].clone()));
    assert_eq!(reservations.queue(&was).held(now).all, 0);
}
