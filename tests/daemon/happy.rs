//! A good day without faults.

use std::{collections::BTreeSet, time::Duration};

use openseat::simulator::{Endpoint, Settings, Simulator, TOKEN, WorldSettings};

use crate::support::{
    CallTools, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, account, ask, known, post,
};

#[tokio::test]
async fn a_decision_has_these_keys_in_this_order() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let answer = daemon.get("/v1/queues/sales/decision").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let decision = answer.json();
    let as_of = decision["as_of"].as_str().expect("the queue is known");
    let valid_until = decision["valid_until"]
        .as_str()
        .expect("the queue is known");
    let age_ms = decision["age_ms"].as_u64().expect("the queue is known");
    let expected = format!(
        "{{\"queue\":\"sales\",\"queue_id\":1,\"account\":\"main\",\"accept\":true,\"reason\":\"seats\",\"count\":2,\"threshold\":0,\
         \"as_of\":\"{as_of}\",\"age_ms\":{age_ms},\"membership_age_ms\":{age_ms},\"valid_until\":\"{valid_until}\",\"capacity\":2}}"
    );
    assert_eq!(answer.body, expected);
    let as_of: jiff::Timestamp = as_of.parse().expect("RFC 3339");
    let valid_until: jiff::Timestamp = valid_until.parse().expect("RFC 3339");
    assert_eq!(
        valid_until.as_millisecond() - as_of.as_millisecond(),
        20_000
    );
    daemon.stop().await;
}

#[tokio::test]
async fn the_count_follows_what_agents_do() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    assert_eq!(daemon.decision("sales").await["count"], 2);
    assert_eq!(daemon.decision("support").await["count"], 1);

    calltools.set_status(0, "On a Call");
    time.until("one seat", async || {
        daemon.decision("sales").await["count"] == 1
    })
    .await;
    calltools.set_status(1, "On a Call");
    let decision = daemon.comes_to(&time, "sales", "below_threshold").await;
    assert_eq!(
        (&decision["count"], &decision["accept"]),
        (&0.into(), &false.into())
    );
    daemon.comes_to(&time, "support", "below_threshold").await;
    assert_eq!(
        daemon
            .get("/v1/queues/sales/decision?format=text")
            .await
            .body,
        "reject\n"
    );
    assert_eq!(
        daemon
            .get("/v1/queues/sales/decision?format=status")
            .await
            .status,
        403
    );

    calltools.set_status(0, "Available");
    daemon.comes_to(&time, "sales", "seats").await;
    assert_eq!(
        daemon
            .get("/v1/queues/sales/decision?format=text")
            .await
            .body,
        "accept\n"
    );
    let two = daemon
        .get("/v1/queues/sales/decision?threshold=1")
        .await
        .json();
    assert_eq!((&two["accept"], &two["count"]), (&false.into(), &1.into()));
}

#[tokio::test]
async fn everything_that_callers_may_ask_is_answered_from_the_same_board() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    // A budget so small that the next poll is due minutes later.
    let slow = "requests_per_hour = 20\nreserve = 2";
    let account = calltools.account_with(slow, "max_age = \"25m\"");
    let daemon = home.start(&time, &[account]).await;
    daemon.ready().await;

    let many = daemon
        .get("/v1/decisions?queue=support&queue=sales")
        .await
        .json();
    assert_eq!(many["decisions"][0]["queue"], "support");
    assert_eq!(many["best"]["queue"], "sales", "{many}");
    let whole = daemon.get("/v1/queues/sales").await.json();
    assert_eq!(whole["agents"].as_array().map(Vec::len), Some(2));
    assert_eq!(whole["complete"], true);
    let header = format!("Authorization: Token {TOKEN}\r\n");
    let rows = ask(
        daemon.address,
        "GET",
        "/api/agentstatuses/?queue=1",
        &header,
    )
    .await;
    assert_eq!(rows.json()["count"], 2, "{rows:?}");
    let strangers = daemon.get("/api/agentstatuses/?queue=1").await;
    assert_eq!(strangers.status, 401);
    assert_eq!(
        daemon
            .metric("openseat_queue_seats{account=\"main\",queue=\"sales\"}")
            .await,
        Some(2.0)
    );
    assert_eq!(daemon.get("/livez").await.status, 200);
    // None of it sent a request to CallTools.
    assert_eq!(calltools.simulator.requests(), 4);
}

#[tokio::test]
async fn seven_hundred_agents_are_three_pages_and_one_snapshot() {
    let (time, home) = (Time::new(), TestFolder::new());
    let world = WorldSettings {
        queues: 1,
        agents: 700,
        ..WorldSettings::still(1, 700)
    };
    let simulator = Simulator::new(Settings::new(world), time.clock());
    let (id, name, available) = simulator.world(|world| {
        let queue = world.queues()[0].clone();
        let available = world.status_named("Available").expect("the status exists");
        world.set_everyone(available);
        for agent in world.agents() {
            world.set_logged_in(queue.id, &agent, true);
        }
        (queue.id, queue.name, world.seats(queue.id))
    });
    let calltools = CallTools::serve(simulator).await;
    home.set_token("main", TOKEN);
    let queue = format!("queue = {id}");
    let account = account(
        "main",
        &calltools.serving.base_url(),
        LONG_TIMEOUTS,
        &[&queue],
    );
    let daemon = home.start(&time, &[account]).await;
    daemon.ready().await;
    let decision = daemon.decision(&id.to_string()).await;
    assert_eq!(decision["count"], 700, "{decision}");
    assert_eq!(available, 700);
    let whole = daemon.get(&format!("/v1/queues/{id}")).await.json();
    assert_eq!(whole["agents"].as_array().map(Vec::len), Some(700));
    assert_eq!(whole["complete"], true, "{name}");
    assert_eq!(calltools.simulator.requests_to(Endpoint::AgentStatuses), 3);
}

/// The names by which a large account, whose API sorts by `modified`, was asked to sort until this feed was in use.
async fn names_until(wanted: &str, account_lines: &str) -> BTreeSet<String> {
    let (time, home) = (Time::new(), TestFolder::new());
    let world = WorldSettings {
        queues: 40,
        agents: 1_300,
        ..WorldSettings::study()
    };
    let simulator = Simulator::new(Settings::new(world), time.clock());
    simulator.quirks(|quirks| {
        quirks.ordering_name = Some("modified".to_owned());
        quirks.status_filter_ignored = true;
    });
    let ids: Vec<_> = simulator.world(|world| {
        let queues = world.queues().iter();
        queues
            .map(|queue| format!("queue = {}", queue.id))
            .collect()
    });
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let calltools = CallTools::serve(simulator).await;
    home.set_token("main", TOKEN);
    let lines = format!("{LONG_TIMEOUTS}\n{account_lines}");
    let account = account("main", &calltools.serving.base_url(), &lines, &ids);
    let daemon = home.start(&time, &[account]).await;
    time.until("a feed that has been chosen", async || {
        let decided = ["delta", "available", "sweep"];
        let names = orderings(&calltools.simulator);
        !names.is_empty() && decided.contains(&feed(&daemon).await.as_str())
    })
    .await;
    time.pass(Duration::from_secs(120)).await;
    // On a busy machine a feed proves itself later.
    time.until(wanted, async || feed(&daemon).await == wanted)
        .await;
    orderings(&calltools.simulator)
}

async fn feed(daemon: &TestDaemon) -> String {
    let accounts = daemon.get("/v1/accounts").await.json();
    let feed = accounts["accounts"][0]["feed"].as_str();
    feed.expect("a feed").to_owned()
}

/// The values of `ordering=` in all requests.
fn orderings(simulator: &Simulator) -> BTreeSet<String> {
    let received = simulator.received().into_iter();
    let names = received.filter_map(|request| {
        let (_, rest) = request.target.split_once("ordering=")?;
        Some(rest.split('&').next().unwrap_or_default().to_owned())
    });
    names.collect()
}

#[tokio::test]
async fn an_account_that_sorts_by_another_name_uses_the_feed_of_changes_if_configured() {
    let names = names_until("delta", "ordering_field = \"modified\"").await;
    assert_eq!(names, ["-modified".to_owned()].into());
    let names = names_until("sweep", "").await;
    assert_eq!(names, ["-agent_status_modified_on".to_owned()].into());
}

#[tokio::test]
async fn a_bad_token_of_one_account_leaves_the_other_alone() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    home.set_token("other", "revoked0token0of0another0account");
    let queue = ["queue = \"sales\""];
    let url = calltools.serving.base_url();
    let accounts = ["main", "other"].map(|name| account(name, &url, LONG_TIMEOUTS, &queue));
    let daemon = home.start(&time, &accounts).await;
    daemon.ready().await;
    daemon.decides("main/sales", known).await;
    let other = daemon
        .decides("other/sales", |decision| decision["reason"] == "bad_token")
        .await;
    assert_eq!(other["count"], serde_json::Value::Null);
    let detail = other["detail"].as_str().expect("an unknown is explained");
    assert!(
        detail.contains("does not accept the token") && detail.contains("silo"),
        "{detail}"
    );
    time.pass(Duration::from_secs(120)).await;
    // One request every 3.8 s for one queue, unless the machine is busy just now.
    time.until("a fresh answer", async || {
        let main = daemon.decision("main/sales").await;
        assert_eq!(main["reason"], "seats");
        main["age_ms"].as_u64().expect("the queue is known") < 10_000
    })
    .await;
    let both = daemon.get("/v1/queues/sales/decision").await;
    assert_eq!(both.status, 409, "{both:?}");
}

#[tokio::test]
async fn a_refresh_returns_what_polling_has_not_seen_yet() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    calltools.set_status(0, "Post Call");
    let answer = post(daemon.address, "/v1/queues/sales/refresh").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["count"], 1);
}
