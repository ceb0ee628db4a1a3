//! Calls at zero seats whose agent will be free when they arrive, through the whole server.

use super::{fast_path::Caller, watching::Client, *};
use crate::{
    budget::Witness as _,
    clock::VirtualClock,
    cluster::{
        engine::Engine,
        message::{Answer as Answered, Question, Said},
        model::Exchange,
        node::{Node, Settings as NodeSettings},
    },
    decision::{
        Reason, decide_with,
        reservations::Reserved,
        soon::{
            outlook::Outlook,
            report::{AccountReport, QueueReport, State},
            rule::{Off, Terms},
            week::{Calls, Tenths},
        },
    },
    fixtures::{agent, available},
    server::state::{
        seats::{self, SeatRequest},
        watch_task,
    },
};

const PATH: &str = "/v1/queues/sales/decision";

/// A queue without a seat, some of whose agents will be free within 10 s with these probabilities, which grow a bit each second.
fn publish(board: &Board, queue: &str, now: crate::clock::Moment, chances: &[f64]) {
    let begin = Terms::DEFAULT.until(now);
    let grown = |until: Duration| {
        let more = (until - begin).as_secs_f64() / 100.0;
        chances
            .iter()
            .map(|chance| (chance + more).min(1.0))
            .collect()
    };
    let mut agents = vec![agent("ann", "Ann", "Post Call")];
    let expected = 1..=chances.len();
    agents.extend(
        expected
            .clone()
            .map(|n| agent(&format!("agent-{n}"), &format!("Agent {n}"), "Post Call")),
    );
    let likeliest = expected.map(|n| {
        let free_by = now.boot + Duration::from_secs(n as u64);
        (n, (n < 3).then_some(free_by))
    });
    let outlook = Outlook::new(Terms::DEFAULT, 1.0, now, grown);
    let mut snapshot = snapshot(now, agents);
    snapshot.outlook = Some(outlook.naming(&snapshot.agents, likeliest));
    board.publish(&key(queue), snapshot, now);
}

impl World {
    fn soon(&self, queue: &str, chances: &[f64]) {
        publish(&self.board, queue, self.clock.now(), chances);
    }
}

#[tokio::test]
async fn every_format_accepts_and_count_stays_zero() {
    let world = World::with(&["main/sales"]);
    world.soon("main/sales", &[0.83]);
    let server = world.serve().await;
    let json = server.get(PATH).await.json();
    for (member, value) in [
        ("accept", Value::from(true)),
        ("reason", "soon".into()),
        ("count", 0.into()),
        ("capacity", 1.into()),
        ("likely", 0.83.into()),
        ("needed", 0.67.into()),
    ] {
        assert_eq!(json[member], value, "{member}: {json}");
    }
    let ask = async |query: &str| server.get(&format!("{PATH}?{query}")).await;
    assert_eq!(ask("format=text").await.body, "accept\n");
    assert_eq!(ask("format=status").await.status, 204);
    assert_eq!(ask("format=count").await.body, "1");
    // The rule applies at the requested threshold, and only there.
    assert_eq!(ask("threshold=1&format=text").await.body, "reject\n");
    let queue = server.get("/v1/queues/sales").await.json();
    assert_eq!(
        (&queue["reason"], &queue["count"]),
        (&"soon".into(), &0.into())
    );
    let text = metrics_text(&server.app.metrics);
    assert!(
        text.contains("result=\"accept\",reason=\"soon\"} 4"),
        "{text}"
    );
    assert_eq!(
        server
            .app
            .metrics
            .queue(&key("main/sales"))
            .unwrap()
            .at_zero_seats(),
        (1, 4)
    );
}

#[tokio::test]
async fn a_second_call_does_not_count_on_the_same_agent() {
    let world = World::with(&["main/sales"]);
    world.soon("main/sales", &[0.83, 0.2]);
    let server = world.serve().await;
    let reserve = async |call: &str| {
        let path = format!("{PATH}?call_id={call}&reserve=45s");
        server.get(&path).await.json()
    };
    let first = reserve("a").await;
    assert_eq!(
        (&first["reason"], &first["likely"]),
        (&"soon".into(), &0.86.into())
    );
    assert!(first["reservation"]["id"].is_string());
    let second = reserve("b").await;
    assert_eq!(
        (&second["accept"], second.get("likely")),
        (&false.into(), None)
    );
    // A call that only asks does not get this agent either.
    assert_eq!(server.get(PATH).await.json()["accept"], false);
    // The same call gets the same seat again.
    server.clock.pass(Duration::from_secs(3));
    let again = reserve("a").await;
    assert_eq!(again["reservation"], first["reservation"]);
    assert_eq!(again["reason"], "soon");
    // The agent is free now, but held for the first call.
    let now = server.clock.now();
    server
        .board
        .publish(&key("main/sales"), snapshot(now, available(1)), now);
    assert_eq!(reserve("b").await["reason"], "reserved");
    let id = first["reservation"]["id"].as_str().unwrap();
    let released = server
        .ask("DELETE", &format!("/v1/reservations/{id}"), "")
        .await;
    assert_eq!(released.status, 204);
    assert_eq!(reserve("b").await["reason"], "seats");
}

#[tokio::test]
async fn a_reservation_by_post_counts_on_an_agent_too() {
    let world = World::with(&["main/sales"]);
    world.soon("main/sales", &[0.83]);
    let server = world.serve().await;
    let path = "/v1/queues/sales/reservations";
    let made = server.post_json(path, r#"{"call_id":"a"}"#).await;
    assert_eq!((made.status, &made.json()["capacity"]), (201, &0.into()));
    assert_eq!(
        server.post_json(path, r#"{"call_id":"b"}"#).await.status,
        409
    );
}

#[tokio::test]
async fn of_several_queues_one_with_a_seat_is_the_best() {
    let world = World::with(&["main/soon", "main/sales", "main/none"]);
    world.soon("main/soon", &[0.9]);
    world.publish("main/sales", available(1));
    world.publish("main/none", Vec::new());
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    let (fast, routed) = caller
        .asks_for_many("queue=soon&queue=none&queue=sales")
        .await;
    assert_eq!(fast, routed);
    assert_eq!(fast.json()["best"]["queue"], "sales");
    let (fast, routed) = caller.asks_for_many("queue=none&queue=soon").await;
    assert_eq!(fast, routed);
    assert_eq!(fast.json()["best"]["reason"], "soon");
}

#[tokio::test]
async fn the_fast_path_answers_as_the_router_does_while_time_passes() {
    let world = World::with(&["main/sales"]);
    world.soon("main/sales", &[0.54]);
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    let mut answers = Vec::new();
    for second in 0..100 {
        let (fast, routed) = caller.asks_both(PATH).await;
        assert_eq!(fast, routed, "after {second} s");
        let json = fast.json();
        answers.push((json["reason"].clone(), json["valid_until"].clone()));
        if second == 40 {
            // New data, and another second to count from.
            publish(&server.board, "main/sales", server.clock.now(), &[0.1, 0.6]);
        }
        server.clock.pass(Duration::from_secs(1));
    }
    // From 0.54, the hundredth above two thirds is 0.67.
    let first = answers.iter().position(|(reason, _)| reason == "soon");
    assert_eq!(first, Some(13));
    let opens = crate::clock::Moment::rfc3339(server.clock.now().earlier(Duration::from_secs(87)));
    assert_eq!(
        answers[3].1, opens,
        "a rejection is valid until the rule accepts"
    );
    assert_ne!(answers[20].1, opens);
}

#[tokio::test]
async fn a_stream_sends_an_event_when_time_alone_changes_the_answer() {
    let mut world = World::with(&["main/sales"]);
    world.limits.watch.look = Duration::from_secs(3600);
    world.soon("main/sales", &[0.66]);
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    let first = client.event().await;
    assert_eq!(first.data["decisions"][0]["accept"], false, "{first:?}");
    let due = Duration::from_millis(1_001);
    assert_eq!(watch_task::look(&server.app), due);
    server.clock.pass(due);
    // The task looks after the same time has passed in real time.
    let second = client.event().await;
    assert_eq!(
        (&second.data["accept"], &second.data["reason"]),
        (&true.into(), &"soon".into())
    );
}

#[tokio::test]
async fn the_record_of_a_call_names_who_was_expected_and_when() {
    let mut world = World::with(&["main/sales"]);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let state = crate::state::State::open(None, 0, &clock);
    let state = state.await.expect("memory");
    world.state = Some(Arc::new(state));
    world.soon("main/sales", &[0.83, 0.8, 0.2]);
    let now = world.clock.now();
    let server = world.serve().await;
    let record = async |call: &str| server.call(call).await[0].clone();
    let names = |answer: &Value| -> Vec<String> {
        let expected = answer["expected"].as_array().unwrap().iter();
        let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
        expected.map(name).collect()
    };
    for (call, who) in [
        ("a", &["Agent 1", "Agent 2", "Agent 3"][..]),
        ("b", &["Agent 2", "Agent 3"]),
    ] {
        let path = format!("{PATH}?call_id={call}&reserve=45s");
        let decision = server.get(&path).await.json();
        let answer = record(call).await;
        assert_eq!(answer["reason"], "soon", "{answer}");
        assert_eq!(answer["likely"], decision["likely"]);
        assert_eq!(answer["needed"], 0.67);
        assert_eq!(names(&answer), who, "without the agents of other calls");
    }
    let first = &record("a").await["expected"];
    assert_eq!(
        (&first[0]["id"], &first[0]["status"]),
        (&"agent-1".into(), &"Post Call".into())
    );
    let by = crate::clock::Moment::rfc3339(now.later(Duration::from_secs(1)));
    assert_eq!(first[0]["free_by"], by);
    assert!(first[2]["free_by"].is_null());
    server.get(&format!("{PATH}?call_id=c")).await;
    let rejected = record("c").await;
    assert_eq!(
        (&rejected["accept"], rejected.get("expected")),
        (&false.into(), None)
    );
}

/// An account's report on its queue.
fn report(state: State) -> AccountReport {
    let mut tenths = Tenths::default();
    tenths[8] = [16, 84];
    let calls = Calls {
        came: 412,
        accepted: 0,
        would: 131,
        judged: 131,
        found: 110,
    };
    AccountReport {
        tenths,
        factor: 0.97,
        queues: vec![QueueReport {
            queue: "sales".into(),
            terms: Terms::DEFAULT,
            state,
            calls: Some(calls),
            arrives_within: Some(Duration::from_secs(3)),
        }],
    }
}

#[tokio::test]
async fn the_measurement_is_shown_in_words_and_figures() {
    let mut world = World::with(&["main/sales"]);
    let ends = world.account("main", TOKEN);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let before = server.get("/v1/queues/sales").await.json();
    assert!(before["soon"].is_null(), "{before}");
    let tell = |state| {
        ends.health
            .send_modify(|health| health.soon = Some(Arc::new(report(state))));
    };
    tell(State::Measured(Ok(())));
    let soon = server.get("/v1/queues").await.json()["queues"][0]["soon"].clone();
    assert_eq!(
        soon["outcome"],
        "in the last 7 days 412 calls were rejected at zero seats (equal answers within 4 s count once); soon would have accepted 131, of which 84 % found an agent within 10 s"
    );
    assert_eq!((&soon["on"], &soon["acts"]), (&false.into(), &false.into()));
    assert_eq!(
        (&soon["calls"], &soon["would_accept"]),
        (&412.into(), &131.into())
    );
    let accounts = server.get("/v1/accounts").await.json();
    let tenth = &accounts["accounts"][0]["soon"]["situations"][8];
    assert_eq!(
        (&tenth["foretold"], &tenth["count"], &tenth["seen"]),
        (&0.8.into(), &100.into(), &84.into())
    );
    for (state, words) in [
        (State::Measured(Ok(())), "could be turned on"),
        (
            State::Measured(Err(Off::NoShortStatus(412))),
            "learnt 412 stays, but no status is known to be short",
        ),
        (State::Measured(Err(Off::NoStays)), "not yet seen how long"),
        (State::Measured(Err(Off::FewStays(12))), "12 of 100 stays"),
        (
            State::Asked(Err(Off::BadlyCalibrated(0.41))),
            "only 0.41 of the predicted agents",
        ),
        (State::Asked(Err(Off::FeedNotProven)), "not proven"),
        (State::Asked(Ok(())), "soon is on"),
        (State::OtherRule, "criteria do not count agents"),
    ] {
        tell(state);
        let soon = server.get("/v1/queues").await.json()["queues"][0]["soon"].clone();
        let standing = soon["standing"].as_str().unwrap();
        assert!(standing.contains(words), "{standing}");
        assert_eq!(soon["acts"], state.acts());
    }
}

#[tokio::test]
async fn a_gauge_shows_whether_it_acts_where_it_is_on() {
    let mut world = World::with(&["main/sales", "main/support"]);
    let ends = world.account("main", TOKEN);
    world.rules("main/sales").soon.is_on = true;
    let server = world.serve().await;
    let gauges = async || {
        let metrics = server.get("/metrics").await.body;
        let lines = metrics.lines();
        let lines = lines.filter(|line| line.starts_with("openseat_soon_acts"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let gauge =
        |acts: u8| format!("openseat_soon_acts{{account=\"main\",queue=\"sales\"}} {acts}.0");
    assert_eq!(gauges().await, [gauge(0)], "before the first report");
    for (state, acts) in [
        (State::Asked(Ok(())), 1),
        (State::Asked(Err(Off::QueueUnread)), 0),
    ] {
        let health = |health: &mut Health| health.soon = Some(Arc::new(report(state)));
        ends.health.send_modify(health);
        assert_eq!(gauges().await, [gauge(acts)], "{state:?}");
    }
}

#[tokio::test]
async fn a_queues_page_shows_the_plot_with_its_explanation() {
    let mut world = World::with(&["main/sales"]);
    let ends = world.account("main", TOKEN);
    world.publish("main/sales", available(1));
    ends.health
        .send_modify(|health| health.soon = Some(Arc::new(report(State::Asked(Ok(()))))));
    let server = world.serve().await;
    let page = server.get("/queues/main/sales").await.body;
    for words in [
        "Calls at zero seats",
        "412 calls were rejected at zero seats",
        "predicted 80 to 90 %: seen in 84 of 100",
        "shorten it",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_lead_says_that_soon_acts_on_the_leader() {
    let exchange = Exchange::new();
    let settings = NodeSettings {
        name: "two".to_owned(),
        lease: Duration::from_secs(10),
        alone: None,
    };
    let engine = Arc::clone(&exchange) as Arc<dyn Engine>;
    let node = Node::new(engine, settings, Arc::new(Still::new()));
    let (member, _seat) = node.member(&"main".into(), "origin", "identity");
    let mut world = World::with(&["main/sales", "main/support"]);
    let ends = world.account("main", TOKEN);
    world.accounts[0].member = Some(member);
    world.rules("main/sales").soon.is_on = true;
    let server = world.serve().await;
    let queues = server.get("/v1/queues").await.json();
    let [sales, support] = [0, 1].map(|place| &queues["queues"][place]["soon"]);
    assert_eq!(
        (&sales["on"], &sales["acts"]),
        (&true.into(), &false.into())
    );
    let words = "soon is on, but acts only on the account's leader";
    assert_eq!(sales["standing"], words);
    assert!(support.is_null(), "{support}");
    let page = server.get("/queues/main/sales").await.body;
    assert!(
        page.contains("but acts only on the account's leader"),
        "{page}"
    );
    let metrics = server.get("/metrics").await.body;
    let gauge = "openseat_soon_acts{account=\"main\",queue=\"sales\"} 0.0";
    assert!(metrics.contains(gauge), "{metrics}");
    // Once it leads, it has a report of its own.
    let health = |health: &mut Health| health.soon = Some(Arc::new(report(State::Asked(Ok(())))));
    ends.health.send_modify(health);
    let queues = server.get("/v1/queues").await.json();
    assert_eq!(queues["queues"][0]["soon"]["acts"], true);
}

/// Three queues without a seat: two of an account whose agents are in both, and one of another account.
fn sharing() -> World {
    let world = World::with(&["main/sales", "main/support", "other/extra"]);
    world.soon("main/sales", &[0.83]);
    world.soon("main/support", &[0.83, 0.8]);
    world.soon("other/extra", &[0.83]);
    world
}

#[tokio::test]
async fn a_call_of_another_queue_does_not_count_on_the_same_agent() {
    let mut world = sharing();
    let clock: Arc<dyn Clock> = world.clock.clone();
    let state = crate::state::State::open(None, 0, &clock).await;
    world.state = Some(Arc::new(state.expect("memory")));
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    let mut ask = async |queue: &str| {
        let path = format!("/v1/queues/{queue}/decision");
        let (fast, routed) = caller.asks_both(&path).await;
        assert_eq!(fast, routed, "{queue}");
        fast.json()
    };
    let reserve = async |queue: &str, call: &str| {
        let path = format!("/v1/queues/{queue}/decision?call_id={call}&reserve=45s");
        server.get(&path).await.json()
    };
    assert_eq!(ask("support").await["likely"], 0.96);
    let first = reserve("sales", "a").await;
    assert_eq!(first["likely"], 0.83);
    // Without Agent 1, who is held for the other queue's call.
    assert_eq!(ask("support").await["likely"], 0.8);
    assert_eq!(reserve("support", "b").await["likely"], 0.8);
    for (call, agent) in [("a", "Agent 1"), ("b", "Agent 2")] {
        let expected = &server.call(call).await[0]["expected"];
        assert_eq!(expected.as_array().unwrap().len(), 1, "{expected}");
        assert_eq!(expected[0]["name"], agent);
    }
    for (queue, reason) in [
        ("sales", "below_threshold"),
        ("support", "below_threshold"),
        ("extra", "soon"),
    ] {
        assert_eq!(ask(queue).await["reason"], reason, "{queue}");
    }
    // The call of the other queue gets its agent: the seat is no longer held.
    let id = first["reservation"]["id"].as_str().unwrap();
    let path = format!("/v1/reservations/{id}");
    assert_eq!(server.ask("DELETE", &path, "").await.status, 204);
    assert_eq!(ask("support").await["likely"], 0.8);
    assert_eq!(ask("sales").await["reason"], "soon");
}

#[tokio::test]
async fn a_stream_shows_what_a_call_of_another_queue_changes() {
    let mut world = World::with(&["main/sales", "main/support"]);
    world.limits.watch.look = Duration::from_secs(3600);
    world.soon("main/sales", &[0.83]);
    world.soon("main/support", &[0.83]);
    let server = world.serve().await;
    let mut client = Client::connect(&server, "?queue=support").await;
    let first = client.event().await;
    assert_eq!(first.data["decisions"][0]["reason"], "soon", "{first:?}");
    // Pushes have the same.
    let pushed = || -> Value {
        let (_, json) = server.app.last_decision(&key("main/support")).unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    assert_eq!(
        (&pushed()["reason"], &pushed()["likely"]),
        (&"soon".into(), &0.83.into())
    );
    let path = format!("{PATH}?call_id=a&reserve=20s");
    assert_eq!(server.get(&path).await.json()["reason"], "soon");
    let second = client.event().await;
    assert_eq!(second.data["accept"], false, "{second:?}");
    assert_eq!(pushed()["accept"], false);
    // It looks again when that seat expires.
    assert_eq!(watch_task::look(&server.app), Duration::from_secs(20));
    server.clock.pass(Duration::from_secs(20));
    watch_task::look(&server.app);
    let third = client.event().await;
    assert_eq!(third.data["reason"], "soon", "{third:?}");
}

#[tokio::test]
async fn lists_counts_and_metrics_stay_the_plain_truth() {
    let answers = async |is_on: bool| {
        let mut world = World::with(&["main/sales"]);
        let _ends = world.account("main", TOKEN);
        world
            .board
            .identify(&key("main/sales"), 5450, Some("sales".into()));
        match is_on {
            true => world.soon("main/sales", &[0.83]),
            false => {
                let agents = [("ann", "Ann"), ("agent-1", "Agent 1")];
                let agents = agents.map(|(id, name)| agent(id, name, "Post Call"));
                world.publish("main/sales", agents.into());
            }
        }
        let server = world.serve().await;
        let token = format!("Authorization: Token {TOKEN}\r\n");
        let mut truth = Vec::new();
        for reserve in ["", "&reserve=45s"] {
            let path = format!("{PATH}?call_id=a{reserve}");
            let decision = server.get(&path).await.json();
            assert_eq!(decision["accept"], is_on);
            truth.push(decision["count"].to_string());
            for list in [
                "?queue=5450",
                "?queue=5450&page_size=1",
                "?queue=5450&status=Available",
                "",
            ] {
                let target = format!("/api/agentstatuses/{list}");
                let listed = server.ask("GET", &target, &token).await;
                assert_eq!(listed.status, 200, "{listed:?}");
                truth.push(listed.body);
            }
            let metrics = server.get("/metrics").await.body;
            let plain = ["openseat_queue_seats{", "openseat_queue_agents{"];
            let lines = metrics.lines();
            let lines = lines.filter(|line| plain.iter().any(|name| line.starts_with(name)));
            truth.extend(lines.map(str::to_owned));
            let queue = server.get("/v1/queues/sales").await.json();
            truth.extend([queue["count"].to_string(), queue["agents"].to_string()]);
        }
        truth
    };
    let (on, off) = (answers(true).await, answers(false).await);
    assert!(on.iter().any(|one| one.contains("Post Call")), "{on:?}");
    assert_eq!(on, off);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_asks_again_on_a_follower_keeps_its_seat_and_its_reason() {
    let clock = Arc::new(VirtualClock::default());
    let exchange = Exchange::new();
    let node = |name: &str| {
        let settings = NodeSettings {
            name: name.to_owned(),
            lease: Duration::from_secs(10),
            alone: None,
        };
        let engine = Arc::clone(&exchange) as Arc<dyn Engine>;
        let node = Arc::new(Node::new(engine, settings, clock.clone()));
        exchange.introduce(&node);
        let (member, seat) = node.member(&"main".into(), "origin", "identity");
        let mut membership = node.membership(seat.unwrap(), None);
        let task = membership.task.take().unwrap();
        tokio::spawn(task.run(CancellationToken::new()));
        (node, member, membership)
    };
    let (_one, leader, mut leads) = node("one");
    while !leader.leads() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (_two, follower, _follows) = node("two");
    tokio::time::sleep(Duration::from_secs(10)).await;
    tokio::spawn(async move {
        while let Some(question) = leads.questions.recv().await {
            let Question { id, node, .. } = serde_json::from_slice(&question.question).unwrap();
            let said = Said::AlreadyHeld {
                id: "r".to_owned(),
                age_ms: 3_000,
                ttl_ms: 45_000,
                soon: Some((83, 0.67)),
            };
            leader.answer(node, Answered { id, said }).await;
        }
    });
    let mut world = World::with(&["main/sales"]);
    let _ends = world.account("main", TOKEN);
    world.accounts[0].member = Some(follower);
    world.publish("main/sales", Vec::new());
    let app = world.app();
    let queue = app.find(None, "sales").unwrap();
    let seat = SeatRequest {
        queue: &queue,
        policy: &queue.rules.policy,
        call_id: "a",
        ttl: Duration::from_secs(45),
    };
    let Ok(Reserved::AlreadyHeld(found)) = seats::reserve(&app, &seat).await else {
        panic!("the leader has its seat");
    };
    assert_eq!(found.id.as_str(), "r");
    let (now, state) = (app.clock.now(), app.state(&queue));
    let others = queue.holds.held_beside(&found, now);
    let decision = decide_with(&state, &queue.rules.policy, others, now);
    let decision = decision.held(found.prediction, found.expires());
    let likely = decision.prediction.map(|one| one.likely());
    assert_eq!(
        (decision.accept, decision.reason, likely),
        (true, Reason::Soon, Some(0.83))
    );
}

#[tokio::test]
async fn a_report_that_comes_and_goes_moves_no_other_part_of_the_page() {
    let mut world = World::with(&["main/sales"]);
    let ends = world.account("main", TOKEN);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let places = async || {
        server.clock.pass(Duration::from_secs(2));
        let page = server.get("/queues/main/sales").await.body;
        let empty = page.matches(r#"<div class="place"></div>"#).count();
        let report = page.contains(r#"<div class="place"><section class="soon""#);
        (empty, report)
    };
    // Nothing is wrong, nobody was recorded, and nothing of the week.
    assert_eq!(places().await, (4, false));
    let health = |soon| ends.health.send_modify(|health| health.soon = soon);
    health(Some(Arc::new(report(State::Measured(Ok(()))))));
    assert_eq!(places().await, (3, true));
    health(None);
    assert_eq!(places().await, (4, false));
}
