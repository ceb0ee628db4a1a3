//! Tests on which agents an account counts at zero seats, in a world in which nothing happens by itself.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::{
    feeds::{edit, lie},
    *,
};
use crate::{
    account::{
        roster::StayPassed,
        schedule::{BusyHours, TRUST_AGAIN},
    },
    config::Soon,
    decision::{
        Choice, decide_with,
        reservations::Reserved,
        soon::{
            report::State,
            rule::{Off, Prediction, Terms},
            stay::{Ended, Passed},
        },
    },
    logged::listen,
    simulator::World,
};

const ON: Soon = Soon {
    is_on: true,
    terms: Terms::DEFAULT,
};

/// How long wrap-ups took that were learnt.
const WRAP_UP: Duration = Duration::from_secs(20);

/// What an account knows that has seen two hundred wrap-ups in two hours.
pub(super) fn learnt(now: Moment) -> Known {
    let mut foresight = Foresight::new(1, now.earlier(120 * MINUTE));
    for _ in 0..200 {
        let passed = Passed {
            status: "Post Call".into(),
            time: WRAP_UP,
            ended: Some(Ended {
                lasted: Some(WRAP_UP),
                available: true,
            }),
        };
        let stay = StayPassed {
            agent: AgentId("somebody".into()),
            passed,
            onto_call: false,
            at: now.boot,
        };
        foresight.learn(stay, Vec::new);
    }
    Known {
        learnt: Some(foresight.to_stored(BusyHours::default(), now)),
        ..Known::default()
    }
}

/// Starts an account with so many queues without agents.
fn account(queues: usize, rules: Vec<Rule>) -> Fixture {
    let mut fixture = Setting {
        soon: ON,
        rules,
        ..still(queues, 0)
    }
    .start();
    fixture.start_task(learnt(fixture.clock.now()));
    fixture
}

impl Fixture {
    /// Adds an agent of these queues, in this status.
    fn hire(&self, name: &str, places: &[usize], status: &str) -> AgentId {
        let queues: Vec<_> = places.iter().map(|place| self.ids[*place]).collect();
        let agent = self.simulator.world(|world| world.add_agent(name, &queues));
        self.put(&agent, status);
        agent
    }

    fn put(&self, agent: &AgentId, status: &str) {
        let status = self.status(status);
        let put = |world: &mut World| world.set_status(agent, status);
        assert!(self.simulator.world(put));
    }

    /// The names of the agents that a queue's prediction counts on; `None` without a prediction.
    fn counted(&self, place: usize) -> Option<BTreeSet<String>> {
        let snapshot = self.state(place).snapshot.clone()?;
        let any = Prediction::from_percent(0, Terms::DEFAULT);
        let expected = snapshot
            .outlook
            .as_ref()?
            .expected(&snapshot.agents, any, |_| false);
        Some(
            expected
                .iter()
                .map(|one| one.agent.name.to_string())
                .collect(),
        )
    }

    /// Decides about a call to a queue, as callers do.
    fn call(&self, place: usize) -> Decision {
        let holds = self.reservations.queue(&self.keys[place]);
        let (now, held) = (self.clock.now(), holds.held(self.clock.now()));
        decide_with(&self.state(place), &POLICY, held, now)
    }

    /// Makes the task continue with the queues of the fixture, as a reload does.
    async fn reload(&self) {
        let (reply, taken) = oneshot::channel();
        let terms = crate::account::Terms {
            queues: self.queues.clone(),
            options: self.options,
            way: None,
            reply,
        };
        self.asks.send(Ask::Take(Box::new(terms))).await.unwrap();
        taken.await.unwrap();
    }
}

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: None,
    on_unknown: OnUnknown::Reject,
    hours: None,
};

fn names(names: &[&str]) -> Option<BTreeSet<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Changes the rows of an agent in every list of agents.
fn edit_rows(
    of: &str,
    (path, answer): (&str, &mut Result<Reply, Fault>),
    change: impl Fn(&mut Value),
) {
    if path.starts_with("agentstatuses/") {
        edit(answer, |body| {
            let rows = body["results"].as_array_mut().unwrap().iter_mut();
            rows.filter(|row| row["full_name"] == of).for_each(change);
        });
    }
}

/// Puts Bob on a call, whatever his status.
fn bob_is_on_a_call(path: &str, answer: &mut Result<Reply, Fault>) {
    edit_rows("Bob", (path, answer), |row| {
        row["live_calls_count"] = 1.into();
    });
}

/// Shows Fay in a status that is not on the list of statuses.
fn fay_is_in_an_unknown_status(path: &str, answer: &mut Result<Reply, Fault>) {
    edit_rows("Fay", (path, answer), |row| {
        row["agent_status"] = 999_999.into();
        row["status"] = Value::Null;
    });
}

#[tokio::test(start_paused = true)]
async fn nobody_is_counted_who_is_on_a_call_not_logged_in_forgotten_or_deleted() {
    let forgets = Rule::Seats(SeatRule {
        forgotten_after: Some(MINUTE),
        count_on_call: false,
    });
    let fixture = account(1, vec![forgets]);
    lie(&fixture, Some(bob_is_on_a_call));
    let [ann, bob, cid, _, eve] = [
        ("Ann", "Lunch"),
        ("Bob", "Lunch"),
        ("Cid", "Lunch"),
        ("Dan", "Available"),
        ("Eve", "Lunch"),
    ]
    .map(|(name, status)| fixture.hire(name, &[0], status));
    let queue = fixture.ids[0];
    fixture
        .simulator
        .world(|world| world.set_logged_in(queue, &cid, false));
    sleep(2 * MINUTE).await;
    assert_eq!(
        fixture.seats(0),
        Quantity::from(1_u32),
        "as CallTools counts"
    );
    assert_eq!(fixture.call(0).count, Some(Quantity::ZERO), "without Dan");
    // Wrap-ups of everybody, and then of everybody but Ann.
    for is_there in [true, false] {
        let all = [&ann, &bob, &cid, &eve];
        for agent in if is_there { &all[..] } else { &all[1..3] } {
            fixture.put(agent, "Post Call");
        }
        // A poll shows that, and the next one no longer lists Eve.
        sleep(4 * SECOND).await;
        fixture.simulator.world(|world| world.remove_agent(&eve));
        sleep(4 * SECOND).await;
        let mut accepted = 0;
        for _ in 0..30 {
            sleep(SECOND).await;
            let expected = if is_there { &["Ann"][..] } else { &[] };
            assert_eq!(fixture.counted(0), names(expected));
            accepted += u32::from(fixture.call(0).reason == Reason::Soon);
        }
        let is_right = if is_there {
            accepted > 3
        } else {
            accepted == 0
        };
        assert!(is_right, "{accepted}");
        for agent in [&ann, &bob, &cid] {
            fixture.put(agent, "Lunch");
        }
        sleep(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_in_an_unknown_status_is_not_counted_and_no_call_is_accepted_meanwhile() {
    let fixture = account(1, Vec::new());
    let [ann, fay] = ["Ann", "Fay"].map(|name| fixture.hire(name, &[0], "Lunch"));
    sleep(2 * MINUTE).await;
    for agent in [&ann, &fay] {
        fixture.put(agent, "Post Call");
    }
    fixture
        .until("both are counted", |fixture| {
            fixture.counted(0) == names(&["Ann", "Fay"])
        })
        .await;
    lie(&fixture, Some(fay_is_in_an_unknown_status));
    fixture
        .until("the status is unknown", |fixture| {
            fixture.call(0).count.is_none()
        })
        .await;
    for _ in 0..20 {
        assert_eq!(fixture.counted(0), names(&["Ann"]));
        assert!(!fixture.call(0).accept);
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_a_call_counts_on_is_not_counted_in_their_other_queues() {
    let fixture = account(2, Vec::new());
    let ann = fixture.hire("Ann", &[0, 1], "Lunch");
    let bob = fixture.hire("Bob", &[1], "Lunch");
    sleep(2 * MINUTE).await;
    for agent in [&ann, &bob] {
        fixture.put(agent, "Post Call");
    }
    fixture
        .until("both are counted", |fixture| {
            fixture.counted(1) == names(&["Ann", "Bob"])
        })
        .await;
    let holds = fixture.reservations.queue(&fixture.keys[0]);
    let now = fixture.clock.now();
    let soon = Choice {
        decision: Decision {
            accept: true,
            prediction: Some(Prediction::from_percent(83, Terms::DEFAULT)),
            ..fixture.decide(0)
        },
        counts_on: Some(ann.clone()),
    };
    let Reserved::Made(made, _) = holds.reserve("call", MINUTE, now, |_| soon) else {
        panic!("it accepts");
    };
    sleep(10 * SECOND).await;
    assert_eq!(fixture.counted(1), names(&["Bob"]));
    assert_eq!(
        fixture.counted(0),
        names(&["Ann"]),
        "its own queue counts bets"
    );
    assert!(fixture.reservations.release(&made.id, now).is_some());
    sleep(10 * SECOND).await;
    assert_eq!(fixture.counted(1), names(&["Ann", "Bob"]));
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_own_polls_fail_predicts_nothing_from_a_feed_in_doubt() {
    let (logged, _guard) = listen();
    let fixture = account(4, Vec::new());
    for place in fixture.places() {
        fixture.hire(&format!("Agent {place}"), &[place], "Lunch");
    }
    let has_outlook = |place| fixture.counted(place).is_some();
    let others_have = |is_so| (1..4).all(|place| has_outlook(place) == is_so);
    fixture
        .until("sweeps are trusted", |fixture| {
            fixture.health.borrow().sweeps
        })
        .await;
    fixture
        .until("every queue has a prediction", |_| {
            has_outlook(0) && others_have(true)
        })
        .await;
    let gone = fixture.ids[0];
    assert!(fixture.simulator.world(|world| world.remove_queue(gone)));
    fixture
        .until("the queue has a fault", |fixture| {
            fixture.state(0).fault.is_some()
        })
        .await;
    assert!(
        fixture.state(0).snapshot.is_some(),
        "it answers until it is too old"
    );
    assert!(!has_outlook(0) && others_have(true));
    // The next report says so.
    sleep(6 * SECOND).await;
    let report = fixture.health.borrow().soon.clone().unwrap();
    let states: Vec<_> = report.queues.iter().map(|queue| queue.state).collect();
    let acts = State::Asked(Ok(()));
    let unread = State::Asked(Err(Off::QueueUnread));
    assert_eq!(states, [unread, acts, acts, acts]);
    // The feed is distrusted …
    fixture.fail(is_sweep, Fault::down(Down::ServerError, "502"));
    fixture
        .until("sweeps are distrusted", |fixture| {
            !fixture.health.borrow().sweeps
        })
        .await;
    assert!(!has_outlook(0) && others_have(false));
    // … and then on trial.
    sleep(TRUST_AGAIN).await;
    assert!(!has_outlook(0) && others_have(false));
    fixture.fail(|_| false, Fault::NoPermission);
    // They failed twice, so they rest for an hour.
    sleep(TRUST_AGAIN).await;
    fixture
        .until("sweeps are trusted again", |fixture| {
            fixture.health.borrow().sweeps
        })
        .await;
    fixture
        .until("the others predict again", |_| others_have(true))
        .await;
    assert!(!has_outlook(0));
    sleep(6 * SECOND).await;
    let name = |place: usize| &*fixture.keys[place].queue;
    let all: Vec<_> = fixture.places().map(name).collect();
    let (unread, others) = (all[0], all[1..].join(", "));
    let lines = logged.lines().into_iter();
    let lines: Vec<_> = lines.filter(|line| line.contains("`soon`")).collect();
    let expected = [
        ("INFO", all.join(", "), "`soon` acts"),
        (
            "WARN",
            unread.to_owned(),
            "own list of agents cannot be read",
        ),
        ("WARN", others.clone(), "are not proven"),
        ("INFO", others, "`soon` acts"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (level, queues, words)) in lines.iter().zip(expected) {
        assert!(line.starts_with(level) && line.contains(words), "{lines:?}");
        assert!(line.contains(&format!("queues={queues:?}")), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_counted_while_too_few_of_the_predicted_agents_come() {
    let mut fixture = account(1, Vec::new());
    let mut known = learnt(fixture.clock.now());
    let mut stored: Value = serde_json::from_str(&known.learnt.unwrap()).unwrap();
    // 100 agents were predicted, and 10 of them seen. With 20 assumed ones, that is a quarter.
    stored["sums"] = json!([100.0, 10.0]);
    known.learnt = Some(stored.to_string());
    fixture.start_task(known);
    let ann = fixture.hire("Ann", &[0], "Lunch");
    sleep(2 * MINUTE).await;
    assert_eq!(fixture.call(0).count, Some(Quantity::ZERO));
    fixture.put(&ann, "Post Call");
    for _ in 0..30 {
        sleep(SECOND).await;
        assert_eq!(fixture.counted(0), None);
        assert!(!fixture.call(0).accept);
    }
    let state = fixture.health.borrow().soon.as_ref().unwrap().queues[0].state;
    let State::Asked(Err(Off::BadlyCalibrated(factor))) = state else {
        panic!("{state:?}");
    };
    assert!(factor < 0.3, "{factor}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_applies_to_predictions_at_once() {
    let mut fixture = account(1, Vec::new());
    let ann = fixture.hire("Ann", &[0], "Lunch");
    sleep(MINUTE).await;
    fixture.put(&ann, "Post Call");
    fixture
        .until("Ann is counted", |fixture| {
            fixture.counted(0) == names(&["Ann"])
        })
        .await;
    let end = |fixture: &Fixture| {
        let snapshot = fixture.state(0).snapshot.clone().unwrap();
        let end = snapshot.outlook.as_ref().unwrap().end().unwrap();
        (end, snapshot.as_of)
    };
    let (before, as_of) = end(&fixture);
    fixture.queues[0].max_age = Some(15 * SECOND);
    fixture.reload().await;
    let (after, same) = end(&fixture);
    assert_eq!(same, as_of, "no poll in between");
    assert!(before.boot > as_of.boot + 20 * SECOND, "{before:?}");
    assert!(after.boot <= as_of.boot + 15 * SECOND, "{after:?}");
    // Switched off and on again.
    fixture.queues[0].soon.is_on = false;
    fixture.reload().await;
    assert_eq!(fixture.counted(0), None);
    fixture.queues[0].soon.is_on = true;
    fixture.reload().await;
    assert_eq!(fixture.counted(0), names(&["Ann"]));
    let state = async |fixture: &Fixture| {
        sleep(6 * SECOND).await;
        let report = fixture.health.borrow().soon.clone().unwrap();
        report.queues[0].state
    };
    assert_eq!(state(&fixture).await, State::Asked(Ok(())));
    // More than half a seat is at least one.
    fixture.queues[0].threshold = Quantity::new(0.5);
    fixture.reload().await;
    assert_eq!(state(&fixture).await, State::Asked(Ok(())));
    assert_eq!(fixture.counted(0), names(&["Ann"]));
}
