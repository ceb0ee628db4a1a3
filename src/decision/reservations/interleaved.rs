//! Threads that share the seats of a queue, in every order that shuttle thinks of.
//!
//! `cargo test --features shuttle --lib interleaved` runs these alone: the others need real threads.

use shuttle::{sync::Arc, thread};

use super::*;
use crate::{
    clock::Clock,
    decision::{OnUnknown, Policy, board::QueueState, decide},
    fixtures::{Still, available, snapshot},
    model::quantity::Quantity,
};

/// Enough to find a lost update within the first hundred; a second or two of time.
const SCHEDULES: usize = 5_000;

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    max_age: Some(Duration::from_secs(3_600)),
    on_unknown: OnUnknown::Reject,
};

/// A queue with this many seats.
struct Queue {
    holds: Holds,
    state: QueueState,
    now: Moment,
}

impl Queue {
    fn with(seats: usize) -> Arc<Self> {
        let now = Still::new().now();
        Arc::new(Self {
            holds: Holds::default(),
            state: QueueState {
                snapshot: Some(std::sync::Arc::new(snapshot(now, available(seats)))),
                ..QueueState::default()
            },
            now,
        })
    }

    fn reserve(&self, call: &str) -> Reserved {
        let decision = |held| {
            thread::yield_now();
            decide(&self.state, &POLICY, held, self.now)
        };
        self.holds.reserve(call, DEFAULT_TTL, self.now, decision)
    }
}

fn made(reserved: &Reserved) -> bool {
    matches!(reserved, Reserved::Made(..))
}

#[test]
fn no_seat_is_given_twice() {
    let race = || {
        let queue = Queue::with(2);
        let calls = ["a", "b", "c", "d"].map(|call| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || made(&queue.reserve(call)))
        });
        let succeeded = calls.map(|call| call.join().unwrap());
        assert_eq!(succeeded.into_iter().filter(|made| *made).count(), 2);
        assert_eq!(queue.holds.held(queue.now), 2);
    };
    shuttle::check_random(race, SCHEDULES);
}

#[test]
fn one_call_that_asks_twice_at_once_holds_one_seat() {
    let race = || {
        let queue = Queue::with(2);
        let asks = [(); 3].map(|()| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || made(&queue.reserve("a")))
        });
        let succeeded = asks.map(|ask| ask.join().unwrap());
        assert_eq!(succeeded.into_iter().filter(|made| *made).count(), 1);
        assert_eq!(queue.holds.held(queue.now), 1);
    };
    shuttle::check_random(race, SCHEDULES);
}

#[test]
fn a_seat_that_is_given_back_is_taken_at_most_once_and_readers_never_see_too_many() {
    let race = || {
        let queue = Queue::with(1);
        let Reserved::Made(first, _) = queue.reserve("first") else {
            panic!("there is a seat");
        };
        let release = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.holds.release(&first.id, queue.now).is_some())
        };
        let calls = ["a", "b"].map(|call| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || made(&queue.reserve(call)))
        });
        assert!(queue.holds.held(queue.now) <= 1);
        assert!(release.join().unwrap());
        let succeeded = calls.map(|call| call.join().unwrap());
        let succeeded = succeeded.into_iter().filter(|made| *made).count();
        assert!(succeeded <= 1);
        assert_eq!(queue.holds.held(queue.now) as usize, succeeded);
        assert_eq!(queue.holds.counts().1[End::Released as usize], 1);
    };
    shuttle::check_random(race, SCHEDULES);
}
