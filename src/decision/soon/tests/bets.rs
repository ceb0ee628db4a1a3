//! Calls of several queues of an account, whose agents are in more than one of them.

use std::sync::{Arc, Barrier};

use super::{
    deciding::{POLICY, queue, steady},
    *,
};
use crate::{
    decision::{
        Decision, Reason,
        board::{QueueKey, QueueState},
        choose, decide_with,
        reservations::{Holds, Reservation, Reservations, Reserved},
        soon::outlook::Expected,
    },
    model::agent::AgentId,
};

const TTL: Duration = Duration::from_secs(45);

fn key(name: &str) -> QueueKey {
    let (account, queue) = name.split_once('/').expect("account/queue");
    QueueKey::new(account, queue)
}

/// A queue without a seat, whose agents will be free in time with these probabilities, the likeliest first.
fn without_seats(agents: &[(&str, f64)]) -> QueueState {
    let chances: Vec<_> = agents.iter().map(|(_, chance)| *chance).collect();
    let expected = agents.iter().map(|(id, _)| Expected {
        id: AgentId((*id).into()),
        name: "".into(),
        status: "Wrap-up".into(),
        free_by: None,
    });
    queue(0, steady(&chances).naming(expected.collect()))
}

fn reserve(holds: &Holds, state: &QueueState, call: &str, at: f64) -> Reserved {
    let now = moment(at);
    holds.reserve(call, TTL, now, |held| choose(state, &POLICY, held, now))
}

/// The agent that an accepted call counts on.
fn agent(reserved: &Reserved) -> Option<&str> {
    match reserved {
        Reserved::Made(made, _) => Some(&made.counts_on.as_ref().expect("an agent is named").0),
        _ => None,
    }
}

fn decide(holds: &Holds, state: &QueueState, at: f64) -> Decision {
    decide_with(state, &POLICY, holds.held(moment(at)), moment(at))
}

#[test]
fn calls_of_two_queues_never_count_on_the_same_agent() {
    let reservations = Reservations::new();
    let holds = |name: &str| reservations.queue(&key(name));
    let (sales, support) = (holds("main/sales"), holds("main/support"));
    let for_sales = without_seats(&[("ann", 0.9)]);
    let for_support = without_seats(&[("ann", 0.9), ("bob", 0.8), ("cid", 0.3)]);
    assert_eq!(
        decide(&support, &for_support, 1.0)
            .prediction
            .map(|one| one.percent()),
        Some(98)
    );
    assert_eq!(agent(&reserve(&sales, &for_sales, "a", 1.0)), Some("ann"));
    let without_ann = decide(&support, &for_support, 1.0);
    assert_eq!(without_ann.prediction.map(|one| one.percent()), Some(86));
    assert_eq!(
        agent(&reserve(&support, &for_support, "b", 1.0)),
        Some("bob"),
        "the likeliest whom nobody counts on"
    );
    // Cid is left for support, and nobody for sales.
    for (holds, state) in [(&support, &for_support), (&sales, &for_sales)] {
        assert!(matches!(
            reserve(holds, state, "c", 1.0),
            Reserved::Refused(_)
        ));
        assert!(!decide(holds, state, 1.0).accept);
    }
    // A queue whose agents are others, and one of an account where an agent has the same id.
    for name in ["main/other", "second/sales"] {
        let agents = if name == "main/other" { "dan" } else { "ann" };
        let state = without_seats(&[(agents, 0.9)]);
        assert_eq!(decide(&holds(name), &state, 1.0).reason, Reason::Soon);
    }
}

#[test]
fn an_agent_is_left_for_other_queues_once_the_seat_is_no_longer_held() {
    type End = fn(&Reservations, &Reservation) -> f64;
    let ends: [(&str, End); 4] = [
        ("released", |reservations, made| {
            reservations.release(&made.id, moment(2.0)).expect("held");
            2.0
        }),
        ("on a call", |reservations, _| {
            let queues = [key("main/sales")];
            let ended = reservations.took_call(&queues, moment(2.0).boot, moment(2.0));
            ended.expect("the call has its agent");
            2.0
        }),
        ("expired", |_, _| 1.0 + TTL.as_secs_f64()),
        ("the queue is gone", |reservations, _| {
            reservations.drop_names(&[key("main/sales")]);
            2.0
        }),
    ];
    for (name, end) in ends {
        let reservations = Reservations::new();
        let support = reservations.queue(&key("main/support"));
        let state = without_seats(&[("ann", 0.9)]);
        let sales = reservations.queue(&key("main/sales"));
        let Reserved::Made(made, _) = reserve(&sales, &state, "a", 1.0) else {
            panic!("ann is likely to come");
        };
        drop(sales);
        let due = support.next_end(moment(1.0));
        assert_eq!((support.matter(), due), (true, Some(TTL)), "{name}");
        assert!(!decide(&support, &state, 1.0).accept, "{name}");
        let at = end(&reservations, &made);
        assert!(decide(&support, &state, at).accept, "{name}");
        assert_eq!(agent(&reserve(&support, &state, "b", at)), Some("ann"));
    }
}

#[test]
fn of_simultaneous_calls_to_two_queues_one_gets_their_agent() {
    let state = without_seats(&[("ann", 0.9)]);
    for round in 0..50 {
        let reservations = Reservations::new();
        let together = Arc::new(Barrier::new(2));
        let call = |name: &str| {
            let (holds, together) = (reservations.queue(&key(name)), Arc::clone(&together));
            let state = state.clone();
            std::thread::spawn(move || {
                together.wait();
                let decide = |held: Held<'_>| {
                    let choice = choose(&state, &POLICY, held, moment(1.0));
                    // The other call decides meanwhile, unless it has to wait.
                    (0..100).for_each(|_| std::thread::yield_now());
                    choice
                };
                let reserved = holds.reserve("a", TTL, moment(1.0), decide);
                matches!(reserved, Reserved::Made(..))
            })
        };
        let calls = [call("main/sales"), call("main/support")];
        let made = calls.map(|call| call.join().expect("no panic"));
        assert_eq!(made.iter().filter(|made| **made).count(), 1, "{round}");
    }
}

#[test]
fn queues_of_an_account_that_is_renamed_know_each_others_calls() {
    let reservations = Reservations::new();
    let state = without_seats(&[("ann", 0.9)]);
    let sales = reservations.queue(&key("main/sales"));
    assert!(agent(&reserve(&sales, &state, "a", 1.0)).is_some());
    let moves = [(key("main/sales"), key("acme/sales"))];
    reservations.carry(&moves);
    reservations.drop_names(&[key("main/sales")]);
    let added = reservations.queue(&key("acme/support"));
    assert!(!decide(&added, &state, 1.0).accept);
    // Callers may use the new name before the seats are carried.
    let reservations = Reservations::new();
    let sales = reservations.queue(&key("main/sales"));
    assert!(agent(&reserve(&sales, &state, "a", 1.0)).is_some());
    let (_used, support) = (
        reservations.queue(&key("acme/sales")),
        reservations.queue(&key("acme/support")),
    );
    reservations.carry(&moves);
    assert!(!decide(&support, &state, 1.0).accept);
}

#[test]
fn agents_whom_other_calls_count_on_are_not_named_again() {
    let state = without_seats(&[("ann", 0.9), ("bob", 0.8), ("cid", 0.7), ("dan", 0.6)]);
    let snapshot = state.snapshot.expect("a snapshot");
    let outlook = snapshot.outlook.as_deref().expect("an outlook");
    let names = |taken: u8, by_name: &[&str]| -> Vec<String> {
        let prediction = Prediction {
            taken,
            ..Prediction::from_percent(90, terms(5.0, 5.0))
        };
        let expected = outlook.expected(prediction, |id| by_name.contains(&&*id.0));
        expected.iter().map(|one| one.id.to_string()).collect()
    };
    assert_eq!(names(0, &[]), ["ann", "bob", "cid"]);
    assert_eq!(
        names(0, &["ann"]),
        ["ann", "bob", "cid"],
        "the call that counted on Ann has another agent"
    );
    assert_eq!(names(1, &["bob"]), ["ann", "cid", "dan"]);
    assert_eq!(names(2, &["bob"]), ["cid", "dan"], "one call names nobody");
    assert_eq!(names(3, &[]), ["dan"]);
}
