//! `soon` in the whole daemon: it learns how long wrap-ups take, and then accepts calls at zero seats for agents who will be free in time.

use std::time::Duration;

use openseat::{
    clock::Moment,
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};
use serde_json::Value;

use crate::support::{CallTools, TestDaemon, TestFolder, Time, ask};

/// How long each wrap-up takes.
const WRAP_UP: Duration = Duration::from_secs(60);

/// A call is on its way for half a wrap-up, so that calls are accepted for an agent for as long: far longer than a machine pauses. A lost call costs as
/// much as a rejected one: on a slow machine, less comes true in this world, and one agent alone would be just too unlikely for a higher cost.
const TERMS: &str = "lead = \"10s\"\npatience = \"20s\"\ncost = 1\nmax_age = \"2m\"";

/// The probability from which a call is accepted at this cost.
const NEEDED: f64 = 0.5;

/// How long the daemon may take to learn enough. An hour is the least; a slow machine misses wrap-ups.
const LEARNS_AT_MOST: Duration = Duration::from_secs(6 * 3_600);

/// The step while it learns. Statuses are dated, so looks need not be frequent.
const LONG_STEP: Duration = Duration::from_secs(2);

/// The step while a wrap-up lasts: a poll takes milliseconds of real time, and so some of these steps.
const SHORT_STEP: Duration = Duration::from_millis(200);

/// What the daemon has learnt is stored every ten minutes.
const STORED: Duration = Duration::from_secs(11 * 60);

/// How many wrap-ups a test waits for. One may pass without a poll at the right time, because the machine paused.
const WRAP_UPS: usize = 5;

const QUESTION: &str = "/v1/queues/sales/decision";

/// An account at work. Its queue `sales` has eight agents; `support` has Sue.
async fn account_at_work(time: &Time) -> CallTools {
    let world = WorldSettings {
        queues: 0,
        agents: 0,
        shifts: false,
        // So long that looks see nearly all agents available after their wrap-up, also on a slow machine.
        mean_idle: 2 * WRAP_UP,
        mean_call: WRAP_UP / 2,
        mean_wrap_up: WRAP_UP,
        wrap_up_parts: 0,
        ..WorldSettings::lively()
    };
    let simulator = Simulator::new(Settings::new(world), time.clock());
    simulator.world(|world| {
        let (sales, support) = (world.add_queue("sales"), world.add_queue("support"));
        for name in ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gil", "Hal"] {
            world.add_agent(name, &[sales]);
        }
        world.add_agent("Sue", &[support]);
    });
    CallTools::serve(simulator).await
}

impl CallTools {
    /// Stops everything that happens by itself, with everybody logged in and on a call, and waits until a daemon has seen it.
    async fn stop_with_everyone_on_a_call(&self, daemon: &TestDaemon, time: &Time) {
        self.simulator.world(|world| {
            world.freeze();
            let status = world.status_named("On a Call").expect("the status exists");
            assert!(world.set_everyone(status));
            let queues: Vec<u64> = world.queues().iter().map(|queue| queue.id).collect();
            for queue in queues {
                for agent in world.agents_of(queue) {
                    assert!(world.set_logged_in(queue, &agent, true));
                }
            }
        });
        nobody_is_expected(daemon, time).await;
    }

    /// Puts people into a status.
    fn put(&self, people: &[&str], status: &str) {
        self.simulator.world(|world| {
            let status = world.status_named(status).expect("the status exists");
            for id in world.agents() {
                let name = world.agent(&id).expect("they exist").name;
                if people.contains(&&*name) {
                    assert!(world.set_status(&id, status));
                }
            }
        });
    }

    /// Lets people become available, and take calls once a daemon has seen that.
    async fn end_wrap_up(&self, people: &[&str], daemon: &TestDaemon, time: &Time) {
        self.put(people, "Available");
        daemon.comes_to(time, "sales", "seats").await;
        self.put(people, "On a Call");
        nobody_is_expected(daemon, time).await;
    }

    /// The config of a daemon that acts, or only measures.
    fn config(&self, home: &TestFolder, acts: bool) -> std::path::PathBuf {
        home.set_token("main", TOKEN);
        let lines = format!("{TERMS}\nsoon = {acts}");
        home.config(&[self.account_with("", &lines)])
    }

    /// Puts people into wrap-up until a call is accepted for one of them. Returns when the wrap-up began, and the answer.
    async fn wrap_up_until_soon(
        &self,
        people: &[&str],
        daemon: &TestDaemon,
        time: &Time,
    ) -> (Moment, Value) {
        for _ in 0..WRAP_UPS {
            self.put(people, "Post Call");
            let began = time.clock().now();
            let mut before = Value::Null;
            while time.clock().now().boot_since(began) < WRAP_UP {
                let decision = daemon.decision("sales").await;
                if decision["reason"] == "soon" {
                    assert_eq!(before["accept"], false, "too early: {decision}");
                    return (began, decision);
                }
                assert_eq!(decision["accept"], false, "{decision}");
                before = decision;
                time.pass_by(SHORT_STEP, SHORT_STEP).await;
            }
            self.end_wrap_up(people, daemon, time).await;
        }
        panic!("no call was accepted: {}", measured(daemon).await);
    }

    /// The same, until each of two people is likely enough without the other: together they are so a little earlier.
    async fn wrap_up_until_two_may_come(
        &self,
        people: [&str; 2],
        daemon: &TestDaemon,
        time: &Time,
    ) -> (Moment, Value) {
        for _ in 0..WRAP_UPS {
            let (began, decision) = self.wrap_up_until_soon(&people, daemon, time).await;
            assert_eq!(decision["accept"], true, "{decision}");
            while time.clock().now().boot_since(began) < WRAP_UP {
                time.pass_by(LONG_STEP, SHORT_STEP).await;
                let mut held = Vec::new();
                for call in ["one", "two"] {
                    let target = format!("{QUESTION}?call_id={call}&reserve=45s");
                    let id = daemon.get(&target).await.json()["reservation"]["id"].clone();
                    held.extend(id.as_str().map(str::to_owned));
                }
                for id in &held {
                    let target = format!("/v1/reservations/{id}/release");
                    assert_eq!(daemon.post(&target).await.status, 204);
                }
                if held.len() == 2 {
                    return (began, daemon.decision("sales").await);
                }
            }
            // No poll came at the right time.
            self.end_wrap_up(&people, daemon, time).await;
        }
        panic!("one was never likely enough: {}", measured(daemon).await);
    }
}

/// Waits until the daemon has seen all agents of `sales` on a call.
async fn nobody_is_expected(daemon: &TestDaemon, time: &Time) {
    time.until("everyone on a call", async || {
        let queue = daemon.get("/v1/queues/sales").await.json();
        let all = |agents: &Vec<Value>| agents.iter().all(|one| one["status"] == "On a Call");
        queue["agents"].as_array().is_some_and(all) && queue["reason"] == "below_threshold"
    })
    .await;
}

/// What the daemon says about calls at zero seats of `sales`.
async fn measured(daemon: &TestDaemon) -> Value {
    let queue = daemon.get("/v1/queues/sales").await.json();
    queue["soon"].clone()
}

/// Lets people work, and asks about calls, until the daemon says this about `sales`.
async fn learn(daemon: &TestDaemon, time: &Time, standing: &str) {
    let begun = time.clock().now();
    loop {
        time.pass_by(Duration::from_secs(30), LONG_STEP).await;
        daemon.decision("sales").await;
        let now = measured(daemon).await;
        if now["standing"] == standing {
            break;
        }
        let passed = time.clock().now().boot_since(begun);
        assert!(passed < LEARNS_AT_MOST, "{now}");
    }
    let took = time.clock().now().boot_since(begun);
    assert!(took > Duration::from_secs(59 * 60), "{took:?}");
}

/// How many situations of `sales` with a prediction of at least 0.7 ended with a free agent.
async fn came_true(daemon: &TestDaemon) -> f64 {
    let text = daemon.get("/metrics").await.body;
    let name = "openseat_soon_total{account=\"main\",queue=\"sales\",foretold=\"";
    let likely = text.lines().filter_map(|line| {
        let (foretold, rest) = line.strip_prefix(name)?.split_once('"')?;
        let is_likely = foretold.parse::<f64>().expect("a number") >= 0.7;
        let number = rest.strip_prefix(",seen=\"true\"} ")?;
        is_likely.then(|| number.parse::<f64>().expect("a number"))
    });
    likely.sum()
}

/// The agents whom the answer to a call counted on, likeliest first.
async fn expected(daemon: &TestDaemon, call: &str) -> Vec<Value> {
    let record = daemon.get(&format!("/v1/calls/{call}")).await.json();
    let answer = &record["answers"][0];
    assert_eq!(answer["reason"], "soon", "{record}");
    assert_eq!(
        (&answer["count"], &answer["needed"]),
        (&0.into(), &NEEDED.into()),
        "{record}"
    );
    answer["expected"].as_array().expect("a list").clone()
}

fn names(expected: &[Value]) -> Vec<&str> {
    let names = expected.iter().map(|one| one["name"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

#[tokio::test]
async fn a_call_at_zero_seats_is_accepted_for_an_agent_who_will_be_free() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = account_at_work(&time).await;
    let daemon = TestDaemon::start(&calltools.config(&home, true), &time).await;
    learn(&daemon, &time, "soon is on").await;
    calltools.stop_with_everyone_on_a_call(&daemon, &time).await;
    calltools.put(&["Sue"], "Available");
    daemon.comes_to(&time, "support", "seats").await;
    let before = came_true(&daemon).await;

    let (began, decision) = calltools
        .wrap_up_until_two_may_come(["Ann", "Bob"], &daemon, &time)
        .await;
    assert_eq!(decision["reason"], "soon", "{decision}");
    assert_eq!(
        (&decision["count"], &decision["capacity"]),
        (&0.into(), &1.into()),
        "{decision}"
    );
    assert_eq!(decision["needed"], NEEDED);
    let likely = decision["likely"].as_f64().expect("a probability");
    assert!((NEEDED..=1.0).contains(&likely), "{decision}");
    let ask_for = async |query: &str| daemon.get(&format!("{QUESTION}?{query}")).await;
    assert_eq!(ask_for("format=count").await.body, "1");
    assert_eq!(ask_for("format=text").await.body, "accept\n");
    assert_eq!(ask_for("format=status").await.status, 204);
    // A real seat is better, and none is better than nothing.
    let both = "/v1/decisions?queue=sales&queue=support";
    let many = daemon.get(both).await.json();
    assert_eq!(many["decisions"][0]["reason"], "soon", "{many}");
    assert_eq!(many["best"]["queue"], "support", "{many}");
    let one = daemon.get("/v1/decisions?queue=sales").await.json();
    assert_eq!(one["best"]["reason"], "soon", "{one}");
    // The drop-in says what is.
    let token = format!("Authorization: Token {TOKEN}\r\n");
    let list = "/api/agentstatuses/?queue=1";
    let rows = ask(daemon.address, "GET", list, &token).await.json();
    let rows = rows["results"].as_array().expect("rows");
    let with = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
    assert_eq!(
        (rows.len(), with("Available"), with("Post Call")),
        (8, 0, 2),
        "{rows:?}"
    );

    // Each call counts on another agent.
    let first = ask_for("call_id=a&reserve=45s").await.json();
    let second = ask_for("call_id=b&reserve=45s").await.json();
    for held in [&first, &second] {
        assert_eq!(held["reason"], "soon", "{held}");
        assert!(held["reservation"]["id"].is_string(), "{held}");
    }
    for query in ["call_id=c&reserve=45s", "call_id=d", ""] {
        let none = ask_for(query).await.json();
        assert_eq!(none["accept"], false, "{query}: {none}");
        assert_eq!(none.get("likely"), None, "{query}: {none}");
    }
    let (of_first, of_second) = (expected(&daemon, "a").await, expected(&daemon, "b").await);
    assert_eq!(names(&of_first).len(), 2, "{of_first:?}");
    assert_eq!(names(&of_second), names(&of_first)[1..]);
    for one in &of_first {
        assert_eq!(one["status"], "Post Call");
        let by = one["free_by"].as_str().expect("a time");
        let by: jiff::Timestamp = by.parse().expect("RFC 3339");
        let ends = began.later(WRAP_UP).timestamp().as_millisecond();
        // Stays are learnt in whole seconds.
        let early = by.as_millisecond().abs_diff(ends);
        assert!(early <= 3_000, "{one}: {early} ms from the true end");
    }
    let accepted = "openseat_decisions_total{account=\"main\",queue=\"sales\",result=\"accept\",reason=\"soon\"}";
    assert!(daemon.metric(accepted).await >= Some(5.0));

    // They come while the calls are on their way.
    let left = Duration::from_secs(50).saturating_sub(time.clock().now().boot_since(began));
    time.pass_by(left, SHORT_STEP).await;
    calltools.put(&["Ann", "Bob"], "Available");
    time.until("a prediction that came true", async || {
        came_true(&daemon).await > before
    })
    .await;
}

/// Writes the config again, and reloads it.
async fn reload(daemon: &TestDaemon, calltools: &CallTools, home: &TestFolder, acts: bool) {
    calltools.config(home, acts);
    let answer = daemon.post("/v1/reload").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_daemon_that_has_only_measured_acts_at_once_when_it_is_turned_on() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = account_at_work(&time).await;
    let daemon = TestDaemon::start(&calltools.config(&home, false), &time).await;
    let could = "soon is off; it is measured, and could be turned on";
    learn(&daemon, &time, could).await;
    calltools.stop_with_everyone_on_a_call(&daemon, &time).await;

    // Turned off, it rejects throughout a wrap-up.
    calltools.put(&["Ann"], "Post Call");
    let began = time.clock().now();
    while time.clock().now().boot_since(began) < WRAP_UP {
        let decision = daemon.decision("sales").await;
        assert_eq!(decision["reason"], "below_threshold", "{decision}");
        time.pass_by(SHORT_STEP, SHORT_STEP).await;
    }
    calltools.end_wrap_up(&["Ann"], &daemon, &time).await;
    let shadow = measured(&daemon).await;
    let shown = (&shadow["on"], &shadow["acts"], &shadow["accepted"]);
    assert_eq!(shown, (&false.into(), &false.into(), &0.into()), "{shadow}");
    assert!(shadow["would_accept"].as_u64() > Some(0), "{shadow}");

    reload(&daemon, &calltools, &home, true).await;
    let turned_on = time.clock().now();
    calltools.wrap_up_until_soon(&["Ann"], &daemon, &time).await;
    let passed = time.clock().now().boot_since(turned_on);
    let learns = Duration::from_secs(3_600);
    assert!(passed < learns, "without learning again: {passed:?}");
    let acting = measured(&daemon).await;
    assert_eq!(
        (&acting["on"], &acting["acts"]),
        (&true.into(), &true.into())
    );

    // Turned off in the same wrap-up, it rejects.
    reload(&daemon, &calltools, &home, false).await;
    let decision = daemon.decision("sales").await;
    assert_eq!(
        (&decision["accept"], &decision["reason"]),
        (&false.into(), &"below_threshold".into()),
        "{decision}"
    );
}

#[tokio::test]
async fn what_was_learnt_survives_a_crash_and_a_stop() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = account_at_work(&time).await;
    let config = calltools.config(&home, true);
    let daemon = TestDaemon::start(&config, &time).await;
    learn(&daemon, &time, "soon is on").await;
    time.pass_by(STORED, LONG_STEP).await;
    calltools.stop_with_everyone_on_a_call(&daemon, &time).await;
    drop(daemon);

    let daemon = TestDaemon::start(&config, &time).await;
    nobody_is_expected(&daemon, &time).await;
    calltools.wrap_up_until_soon(&["Ann"], &daemon, &time).await;
    // Calls are counted every second, and told of every five.
    let accepted = async |daemon: &TestDaemon| measured(daemon).await["accepted"].as_u64();
    time.until("the accepted call in the report", async || {
        accepted(&daemon).await > Some(0)
    })
    .await;
    calltools.put(&["Ann"], "On a Call");
    nobody_is_expected(&daemon, &time).await;
    let before = accepted(&daemon).await;
    if !daemon.stop().await {
        return;
    }

    let daemon = TestDaemon::start(&config, &time).await;
    time.until("the report", async || accepted(&daemon).await == before)
        .await;
    nobody_is_expected(&daemon, &time).await;
    calltools.wrap_up_until_soon(&["Ann"], &daemon, &time).await;
}
