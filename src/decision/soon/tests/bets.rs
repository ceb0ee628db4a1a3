//! Calls of several queues of an account, whose agents are in more than one of them.

use std::sync::{Arc, Barrier};

use super::{
    deciding::{POLICY, steady},
    *,
};
use crate::{
    decision::{
        Decision, Reason,
        board::{QueueKey, QueueState},
        choose, decide_with,
        reservations::{Holds, Reservation, Reservations, Reserved},
        soon::{
            bets::{AgentKey, Places, QueueBets},
            outlook::Outlook,
        },
    },
    fixtures,
    model::agent::AgentId,
};

const TTL: Duration = Duration::from_secs(45);

fn key(name: &str) -> QueueKey {
    let (account, queue) = name.split_once('/').expect("account/queue");
    QueueKey::new(account, queue)
}

fn id(agent: &str) -> AgentId {
    AgentId(agent.into())
}

/// A queue without a seat, whose agents will be free in time with these probabilities, the likeliest first.
fn without_seats(agents: &[(&str, f64)]) -> QueueState {
    let chances: Vec<_> = agents.iter().map(|(_, chance)| *chance).collect();
    let agents = agents
        .iter()
        .map(|(id, _)| fixtures::agent(id, "", "Wrap-up"));
    let mut snapshot = fixtures::snapshot(moment(0.0), agents.collect());
    let likeliest = (0..chances.len()).map(|place| (place, None));
    snapshot.outlook = Some(steady(&chances).naming(&snapshot.agents, likeliest));
    QueueState {
        snapshot: Some(Arc::new(snapshot)),
        ..QueueState::default()
    }
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
            let (queues, now) = ([key("main/sales")], moment(2.0));
            let ended = reservations.took_call(&id("ann"), &queues, now.boot, now);
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

/// A way in which an agent leaves for a call.
type Leave = fn(&Reservations, &AgentId, &[QueueKey]) -> Option<(QueueKey, Moment)>;

const LEAVES: [(&str, Leave); 2] = [
    ("from wrap-up", |reservations, agent, queues| {
        let now = moment(9.0);
        reservations.took_call(agent, queues, now.boot, now)
    }),
    ("from available", |reservations, agent, queues| {
        reservations.departed(agent, queues, moment(9.0), moment(9.0))
    }),
];

/// The calls that hold a seat at the ninth second, and whom they count on.
fn held(reservations: &Reservations) -> Vec<(String, Option<String>)> {
    let held = reservations.list(moment(9.0)).into_iter();
    let call = |one: Reservation| {
        let agent = one.counts_on.map(|agent| agent.to_string());
        (one.call_id.into_string(), agent)
    };
    held.map(|(_, one)| call(one)).collect()
}

#[test]
fn the_call_that_counts_on_the_agent_who_leaves_ends_in_whichever_queue() {
    for (name, leave) in LEAVES {
        let reservations = Reservations::new();
        let queues = [key("main/sales"), key("main/support"), key("main/third")];
        let [sales, support, third] = queues.each_ref().map(|key| reservations.queue(key));
        let state = without_seats(&[("ann", 0.9), ("bob", 0.8)]);
        assert_eq!(agent(&reserve(&sales, &state, "a", 1.0)), Some("ann"));
        assert_eq!(agent(&reserve(&support, &state, "b", 2.0)), Some("bob"));
        let ended = leave(&reservations, &id("bob"), &queues);
        assert_eq!(ended, Some((queues[1].clone(), moment(2.0))), "{name}");
        let left = [("a".to_owned(), Some("ann".to_owned()))];
        assert_eq!(held(&reservations), left, "{name}");
        // Ann is still to come, for the first call, and Bob may be again.
        let state = without_seats(&[("ann", 0.9)]);
        assert!(!decide(&third, &state, 9.0).accept, "{name}");
        let state = without_seats(&[("bob", 0.9)]);
        assert!(decide(&third, &state, 9.0).accept, "{name}");
    }
}

#[test]
fn of_two_calls_of_a_queue_the_earlier_one_ends_and_the_later_one_counts_on_its_agent() {
    for (name, leave) in LEAVES {
        let reservations = Reservations::new();
        let queues = [key("main/sales"), key("main/support")];
        let [sales, support] = queues.each_ref().map(|key| reservations.queue(key));
        let state = without_seats(&[("ann", 0.9), ("bob", 0.8)]);
        assert_eq!(agent(&reserve(&sales, &state, "a", 1.0)), Some("ann"));
        assert_eq!(agent(&reserve(&sales, &state, "b", 2.0)), Some("bob"));
        let ended = leave(&reservations, &id("bob"), &queues);
        assert_eq!(ended, Some((queues[0].clone(), moment(1.0))), "{name}");
        let left = [("b".to_owned(), Some("ann".to_owned()))];
        assert_eq!(held(&reservations), left, "{name}");
        let state = without_seats(&[("ann", 0.9)]);
        assert!(!decide(&support, &state, 9.0).accept, "{name}");
        // She takes the later call.
        let ended = leave(&reservations, &id("ann"), &queues);
        assert_eq!(ended, Some((queues[0].clone(), moment(2.0))), "{name}");
        assert!(decide(&support, &state, 9.0).accept, "{name}");
    }
}

#[test]
fn an_agent_whom_no_call_counts_on_leaves_another_agent_for_a_call_that_counts_on_nobody() {
    let reservations = Reservations::new();
    let queues = [key("main/sales"), key("main/support")];
    let [sales, support] = queues.each_ref().map(|key| reservations.queue(key));
    let state = without_seats(&[("ann", 0.9)]);
    assert_eq!(agent(&reserve(&sales, &state, "a", 1.0)), Some("ann"));
    // More agents are likely to come than are named.
    let nameless = |held: Held<'_>| {
        let decision = decide_with(&state, &POLICY, Held::default(), moment(2.0));
        assert_eq!((held.all, decision.reason), (1, Reason::Soon));
        decision
    };
    let second = sales.reserve("b", TTL, moment(2.0), nameless);
    assert!(matches!(second, Reserved::Made(..)), "{second:?}");
    let (_, leave) = LEAVES[0];
    let ended = leave(&reservations, &id("dan"), &queues);
    assert_eq!(ended, Some((queues[0].clone(), moment(1.0))));
    let left = [("b".to_owned(), Some("ann".to_owned()))];
    assert_eq!(held(&reservations), left);
    assert!(!decide(&support, &state, 9.0).accept);
    // The last one passes nobody on.
    assert!(leave(&reservations, &id("dan"), &queues).is_some());
    assert!(decide(&support, &state, 9.0).accept);
}

#[test]
fn a_call_that_an_agent_cannot_have_taken_still_does_not_count_on_them() {
    // Bob went onto a call before the second call came, but that was seen later.
    let reservations = Reservations::new();
    let queues = [key("main/sales")];
    let sales = reservations.queue(&queues[0]);
    let state = without_seats(&[("ann", 0.9), ("bob", 0.8)]);
    assert!(agent(&reserve(&sales, &state, "a", 1.0)).is_some());
    assert_eq!(agent(&reserve(&sales, &state, "b", 3.0)), Some("bob"));
    let ended = reservations.took_call(&id("bob"), &queues, moment(2.0).boot, moment(9.0));
    assert_eq!(ended, Some((queues[0].clone(), moment(1.0))));
    let left = [("b".to_owned(), Some("ann".to_owned()))];
    assert_eq!(held(&reservations), left);
}

#[test]
fn a_call_of_another_queue_does_not_count_on_an_agent_who_is_on_a_call() {
    let queues = [key("main/sales"), key("main/support"), key("main/third")];
    // Whether another call ends. Bob went onto a call before the call that counts on him came, but that was seen later.
    for does_end in [true, false] {
        let reservations = Reservations::new();
        let [sales, support, third] = queues.each_ref().map(|key| reservations.queue(key));
        let second = reservations.queue(&key("second/sales"));
        let state = without_seats(&[("ann", 0.9), ("bob", 0.8)]);
        if does_end {
            assert_eq!(agent(&reserve(&sales, &state, "a", 1.0)), Some("ann"));
        }
        let state = without_seats(&[("bob", 0.8)]);
        assert!(agent(&reserve(&support, &state, "b", 3.0)).is_some());
        assert!(agent(&reserve(&second, &state, "another account", 3.0)).is_some());
        let bob = id("bob");
        let ended = reservations.took_call(&bob, &queues, moment(2.0).boot, moment(9.0));
        assert_eq!(ended.is_some(), does_end);
        assert!(!decide(&third, &state, 9.0).accept);
        let gone = |made_by| reservations.let_go("main", &bob, moment(made_by).boot);
        assert!(!gone(2.9), "it may count on his next wrap-up");
        assert!(gone(3.0));
        assert!(!gone(9.0), "nobody counts on him any more");
        let left = [
            ("b".to_owned(), None),
            ("another account".to_owned(), Some("bob".to_owned())),
        ];
        assert_eq!(held(&reservations), left, "both seats stay held");
        assert!(decide(&third, &state, 9.0).accept);
    }
}

proptest! {
    /// What decisions read without a lock is what the bets say, whoever shares a place, and as time passes.
    #[test]
    fn decisions_see_every_bet_of_other_queues_and_no_other(
        steps in prop::collection::vec((0..3_usize, prop::collection::vec((0..150_u32, 1..40_u64), 0..40)), 1..8),
        asked in prop::collection::vec(0..150_u32, 0..=Outlook::MAX_EXPECTED),
        at in 0..50_u64,
    ) {
        let account = Arc::default();
        let queues: [QueueBets; 3] = std::array::from_fn(|_| QueueBets::of(&account));
        let mut made: [Vec<(AgentId, Duration)>; 3] = Default::default();
        for (queue, bets) in steps {
            let bets = bets.into_iter();
            let bet = |(agent, ttl): (u32, u64)| (id(&agent.to_string()), Duration::from_secs(ttl));
            made[queue] = bets.map(bet).collect();
            queues[queue].set(made[queue].iter().map(|(agent, ttl)| (agent, moment(0.0), *ttl)));
        }
        let now = moment(at as f64);
        let asked: Vec<_> = asked.iter().map(|agent| id(&agent.to_string())).collect();
        let mut keys = [AgentKey::default(); Outlook::MAX_EXPECTED];
        for (key, agent) in keys.iter_mut().zip(&asked) {
            *key = AgentKey::of(agent);
        }
        for (queue, bets) in queues.iter().enumerate() {
            let others = (0..3).filter(|other| *other != queue);
            let others: Vec<_> = others.flat_map(|other| &made[other]).collect();
            let is_taken = |agent: &&AgentId| {
                let mut others = others.iter();
                others.any(|(other, ttl)| other == *agent && *ttl > Duration::from_secs(at))
            };
            prop_assert_eq!(bets.elsewhere(Places::of(&keys), || &keys, now), asked.iter().filter(is_taken).count());
            let mut all = asked.iter();
            prop_assert!(all.all(|agent| bets.is_taken_elsewhere(agent, now) == is_taken(&agent)));
        }
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
    let outlook = snapshot.outlook.as_ref().expect("an outlook");
    let names = |taken: u8, by_name: &[&str]| -> Vec<String> {
        let prediction = Prediction {
            taken,
            ..Prediction::from_percent(90, terms(5.0, 5.0))
        };
        let is_taken = |id: &AgentId| by_name.contains(&&*id.0);
        let expected = outlook.expected(&snapshot.agents, prediction, is_taken);
        expected
            .iter()
            .map(|one| one.agent.id.to_string())
            .collect()
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
