//! Reloading the config while calls arrive.

use std::time::Duration;

use openseat::simulator::Endpoint;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    CallTools, LONG_TIMEOUTS, Program, TestDaemon, TestFolder, Time, account, get, known, soon,
};

impl TestDaemon {
    /// Reloads; returns the answer's status and body.
    async fn reload(&self) -> (u16, Value) {
        let answer = self.post("/v1/reload").await;
        (answer.status, answer.json())
    }

    async fn config_is_newest(&self) -> Option<f64> {
        self.metric("openseat_config_last_reload_successful").await
    }
}

/// The account with other lines for its queues.
fn with_queues(calltools: &CallTools, lines: &str) -> String {
    calltools.account_with("", lines)
}

#[tokio::test]
async fn the_same_config_again_changes_nothing_and_costs_nothing() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.decides("support", known).await;
    let before = calltools.simulator.requests_to(Endpoint::Queues);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    let file = home.path().join("openseat.toml");
    let nothing = json!({
        "file": file, "queues_added": [], "queues_removed": [], "accounts_started": [], "accounts_renamed": [],
        "accounts_removed": [], "warnings": [],
    });
    assert_eq!(body, nothing);
    assert!(known(&daemon.decision("sales").await));
    assert_eq!(calltools.simulator.requests_to(Endpoint::Queues), before);
    assert_eq!(daemon.config_is_newest().await, Some(1.0));
}

#[tokio::test]
async fn queues_are_added_and_removed_and_the_others_keep_their_data() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.decides("support", known).await;
    let answered = "openseat_decisions_total{account=\"main\",queue=\"sales\",result=\"accept\",reason=\"seats\"}";
    let decisions = daemon.metric(answered).await;
    let billing = calltools.simulator.world(|world| {
        let billing = world.add_queue("billing");
        world.add_agent("Cy", &[billing]);
        billing
    });
    // CallTools does not answer from now on, so the data stays what it was.
    calltools.simulator.inject(
        usize::MAX,
        None,
        openseat::simulator::InjectedFault::WebPage(503),
    );
    let lines = with_queues(&calltools, "").replace("\"support\"", &billing.to_string());
    home.config(&[lines]);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["queues_added"], json!([format!("main/{billing}")]));
    assert_eq!(body["queues_removed"], json!(["main/support"]));
    assert_eq!(body["accounts_started"], json!(["main"]));
    let sales = daemon.decision("sales").await;
    assert!(known(&sales), "{sales}");
    assert!(
        daemon.metric(answered).await > decisions,
        "and keeps counting"
    );
    let gone = daemon.get("/v1/queues/support/decision").await;
    assert_eq!(gone.status, 404);
    let seats = "openseat_queue_seats{account=\"main\",queue=\"support\"}";
    assert_eq!(
        daemon.metric(seats).await,
        None,
        "its metrics are gone, too"
    );
    calltools.simulator.clear_faults();
    daemon.comes_to(&time, &billing.to_string(), "seats").await;
}

#[tokio::test]
async fn a_new_threshold_applies_at_once_and_a_new_rule_measures_known_rows() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    let before = daemon.decides("sales", known).await;
    assert_eq!(
        (&before["accept"], &before["count"]),
        (&json!(true), &json!(2))
    );
    home.config(&[with_queues(&calltools, "threshold = 2")]);
    assert_eq!(daemon.reload().await.0, 200);
    let after = daemon.decision("sales").await;
    assert_eq!(
        (&after["accept"], &after["threshold"], &after["count"]),
        (&json!(false), &json!(2), &json!(2))
    );
    let rule = "[account.queue.accept]\nfield = \"$.results[?@.full_name == 'Ann']\"\ncondition = \"greater_than\"\nvalue = 0";
    home.config(&[with_queues(&calltools, rule)]);
    assert_eq!(daemon.reload().await.0, 200);
    let ann = daemon.decision("sales").await;
    assert_eq!(
        (&ann["accept"], &ann["count"]),
        (&json!(true), &json!(1)),
        "{ann}"
    );
}

#[tokio::test]
async fn a_bad_config_changes_nothing_and_says_what_is_wrong() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    let path = home.config(&[with_queues(&calltools, "treshold = 2")]);
    let good = std::fs::read_to_string(&path).expect("a config");
    for (text, kind, words) in [
        (good.clone(), "bad-config", "treshold"),
        ("rubbish \u{1}".to_owned(), "bad-config", "openseat.toml"),
        (
            good.replace("treshold = 2", "")
                .replace("127.0.0.1:0", "127.0.0.1:1"),
            "needs-restart",
            "listen cannot change while openseat runs",
        ),
        (
            good.replace("treshold", "threshold")
                .replace("./main.token", "./nowhere.token"),
            "unusable-config",
            "account \"main\"",
        ),
    ] {
        std::fs::write(&path, text).expect("a config");
        let (status, problem) = daemon.reload().await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["type"], format!("urn:openseat:problem:{kind}"));
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(words), "{detail}");
        assert_eq!(daemon.config_is_newest().await, Some(0.0));
        let sales = daemon.decision("sales").await;
        assert_eq!((&sales["threshold"], known(&sales)), (&json!(0), true));
    }
    home.config(&[with_queues(&calltools, "threshold = 1")]);
    assert_eq!(daemon.reload().await.0, 200);
    assert_eq!(daemon.config_is_newest().await, Some(1.0));
    assert_eq!(daemon.decision("sales").await["threshold"], 1);
}

#[tokio::test]
async fn seats_stay_held_and_the_budget_stays_spent_across_any_number_of_configs() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    let lines = |threshold: usize| {
        calltools.account_with(
            "requests_per_hour = 20\nreserve = 2",
            &format!("max_age = \"25m\"\nthreshold = {threshold}"),
        )
    };
    let daemon = home.start(&time, &[lines(0)]).await;
    daemon.decides("sales", known).await;
    let target = "/v1/queues/sales/reservations";
    let held = daemon
        .post_json(target, r#"{"call_id":"a","ttl":"10m"}"#)
        .await;
    assert_eq!(held.status, 201);
    for round in 1..=12 {
        home.config(&[lines(round % 2)]);
        let (status, body) = daemon.reload().await;
        assert_eq!((status, &body["accounts_started"]), (200, &json!(["main"])));
        time.pass(Duration::from_secs(2)).await;
    }
    assert!(calltools.simulator.worst_sliding_hour() <= 18);
    let held = daemon.get("/v1/reservations").await.json();
    assert_eq!(held["reservations"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn edits_that_need_no_request_send_none() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.decides("support", known).await;
    time.pass(Duration::from_secs(60)).await;
    let (begun, before) = (Instant::now(), calltools.simulator.requests());
    let rule = "[account.queue.accept]\nfield = \"$.results[?@.full_name == 'Ann']\"\ncondition = \"greater_than\"\nvalue = 0";
    for lines in [
        "threshold = 2",
        "threshold = 1\non_unknown = \"accept\"",
        "max_age = \"25s\"",
        rule,
        "",
    ] {
        home.config(&[with_queues(&calltools, lines)]);
        let (status, body) = daemon.reload().await;
        assert_eq!(status, 200, "{body}");
        assert!(known(&daemon.decision("sales").await));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sent = calltools.simulator.requests() - before;
    // The polls that are due anyway, one every 3.8 s.
    let due = 1 + begun.elapsed().as_secs() / 3;
    assert!(sent <= due, "{sent} requests, and {due} may have been due");
}

#[tokio::test]
async fn a_renamed_account_keeps_its_board_its_seats_and_its_hour_and_says_so() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.decides("support", known).await;
    let held = daemon
        .post_json(
            "/v1/queues/sales/reservations",
            r#"{"call_id":"a","ttl":"10m"}"#,
        )
        .await;
    assert_eq!(held.status, 201);
    time.pass(Duration::from_secs(60)).await;
    let (before, names) = (
        calltools.simulator.requests(),
        calltools.simulator.requests_to(Endpoint::Queues),
    );
    let begun = Instant::now();
    let acme = calltools
        .account()
        .replace("name = \"main\"", "name = \"acme\"");
    home.config(&[acme]);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    let renamed = json!([{"from": "main", "to": "acme"}]);
    assert_eq!(body["accounts_renamed"], renamed);
    assert_eq!(body["accounts_removed"], json!([]));
    for target in [
        "/v1/queues/acme/sales/decision",
        "/v1/queues/sales/decision",
    ] {
        let sales = daemon.get(target).await.json();
        assert_eq!(
            (&sales["account"], &sales["count"]),
            (&json!("acme"), &json!(1)),
            "{sales}"
        );
    }
    let gone = daemon.get("/v1/queues/main/sales/decision").await;
    assert_eq!(gone.status, 404);
    let held = daemon.get("/v1/reservations").await.json();
    assert_eq!(held["reservations"].as_array().map(Vec::len), Some(1));
    assert_eq!(held["reservations"][0]["account"], "acme");
    time.pass(Duration::from_secs(10)).await;
    let sent = calltools.simulator.requests() - before;
    // One every 3.8 s, and two more for a rename that polls at once.
    let due = 2 + begun.elapsed().as_secs() / 3;
    assert!(sent <= due, "{sent} requests, but the pace allows {due}");
    assert_eq!(calltools.simulator.requests_to(Endpoint::Queues), names);
    let used = "openseat_budget_used_requests{account=\"acme\"}";
    // A request counts before it arrives, so one may be between the two.
    time.until("the same hour to continue", async || {
        let used = daemon.metric(used).await.expect("a metric");
        used == calltools.simulator.requests() as f64
    })
    .await;
    // The old name again, and polling continues.
    home.config(&[calltools.account()]);
    let (_, body) = daemon.reload().await;
    let back = json!([{"from": "acme", "to": "main"}]);
    assert_eq!(body["accounts_renamed"], back);
    assert!(known(&daemon.decision("sales").await));
    calltools.set_status(0, "Not Available");
    calltools.set_status(1, "Not Available");
    let busy = async || daemon.decision("main/sales").await["count"] == 0;
    time.until("a change is seen", busy).await;
}

#[tokio::test]
async fn an_account_is_added_and_another_removed() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (one, other) = (CallTools::start(&time).await, CallTools::start(&time).await);
    let daemon = one.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    home.set_token("lab", openseat::simulator::TOKEN);
    let lab = other
        .account()
        .replace("\"main\"", "\"lab\"")
        .replace("main.token", "lab.token");
    home.config(&[one.account(), lab.clone()]);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["accounts_started"],
        json!(["lab"]),
        "and main continues"
    );
    daemon.comes_to(&time, "lab/sales", "seats").await;
    home.config(&[lab]);
    let (_, body) = daemon.reload().await;
    assert_eq!(body["accounts_removed"], json!(["main"]));
    assert_eq!(
        daemon.get("/v1/queues/main/sales/decision").await.status,
        404
    );
    assert!(
        known(&daemon.decision("sales").await),
        "there is only one of that name now"
    );
    let before = one.simulator.requests();
    time.pass(Duration::from_secs(60)).await;
    assert_eq!(one.simulator.requests(), before, "main is still polled");
}

#[tokio::test]
async fn sighup_reloads_the_config_and_a_broken_one_does_no_harm() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    let path = home.config(&[with_queues(&calltools, "")]);
    let mut program = Program::run(&home, &path);
    let address = program.address().await;
    let threshold = async || {
        let answer = get(address, "/v1/queues/sales/decision").await;
        answer.json()["threshold"].clone()
    };
    assert_eq!(threshold().await, 0);
    home.config(&[with_queues(&calltools, "threshold = 3")]);
    program.signal(Signal::HUP);
    soon("the new threshold", async || threshold().await == 3).await;
    std::fs::write(&path, [0xff, 0x00, b'[']).expect("a config");
    program.signal(Signal::HUP);
    program.logs("the old one stays in force").await;
    assert_eq!(threshold().await, 3);
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

/// The account under another name, with a token file of that name.
fn named(calltools: &CallTools, name: &str) -> String {
    let account = calltools.account();
    let account = account.replace("name = \"main\"", &format!("name = \"{name}\""));
    account.replace("main.token", &format!("{name}.token"))
}

#[tokio::test]
async fn an_account_with_the_old_name_of_another_shows_nothing_of_that_one() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (one, other) = (CallTools::start(&time).await, CallTools::start(&time).await);
    let daemon = one.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    let (target, body) = (
        "/v1/queues/sales/reservations",
        r#"{"call_id":"a","ttl":"10m"}"#,
    );
    assert_eq!(daemon.post_json(target, body).await.status, 201);
    // "main" becomes "acme", and another account, whose token CallTools refuses, becomes "main".
    home.set_token("acme", openseat::simulator::TOKEN);
    home.set_token("main", "refused0refused0refused0refused0refused0");
    home.config(&[named(&other, "main"), named(&one, "acme")]);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    let renamed = json!([{"from": "main", "to": "acme"}]);
    assert_eq!(body["accounts_renamed"], renamed);
    let sales = daemon.decision("main/sales").await;
    assert_eq!(sales["count"], Value::Null, "{sales}");
    assert_eq!(daemon.decision("acme/sales").await["count"], 1);
    let held = daemon.get("/v1/reservations").await.json();
    assert_eq!(held["reservations"].as_array().map(Vec::len), Some(1));
    assert_eq!(held["reservations"][0]["account"], "acme");
    let sales = daemon.comes_to(&time, "main/sales", "bad_token").await;
    assert_eq!(sales["count"], Value::Null, "{sales}");
    assert!(known(&daemon.decision("acme/support").await));
}

#[tokio::test]
async fn an_account_that_takes_the_name_of_a_removed_one_shows_nothing_of_that_one() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (one, other) = (CallTools::start(&time).await, CallTools::start(&time).await);
    for name in ["main", "lab"] {
        home.set_token(name, openseat::simulator::TOKEN);
    }
    let lab = named(&other, "lab").replace("queue = \"support\"", "queue = \"billing\"");
    let daemon = home.start(&time, &[one.account(), lab]).await;
    for queue in ["main/sales", "main/support", "lab/sales"] {
        daemon.decides(queue, known).await;
    }
    let (target, body) = (
        "/v1/queues/main/sales/reservations",
        r#"{"call_id":"a","ttl":"10m"}"#,
    );
    assert_eq!(daemon.post_json(target, body).await.status, 201);
    other.set_status(0, "Not Available");
    daemon
        .decides("lab/sales", |sales| sales["count"] == 1)
        .await;
    // From now on the other CallTools has nothing new.
    let fault = openseat::simulator::InjectedFault::WebPage(503);
    other.simulator.inject(usize::MAX, None, fault);
    home.config(&[named(&other, "main")]);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["accounts_removed"], json!(["main"]));
    let renamed = json!([{"from": "lab", "to": "main"}]);
    assert_eq!(body["accounts_renamed"], renamed);
    assert_eq!(daemon.decision("main/sales").await["count"], 1);
    let support = daemon.decision("main/support").await;
    assert_eq!(support["count"], Value::Null, "{support}");
    let held = daemon.get("/v1/reservations").await.json();
    assert_eq!(held["reservations"], json!([]), "it was the other's seat");
}

#[tokio::test]
async fn calls_find_their_queue_while_configs_spell_it_in_another_way() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    home.set_token("acme", openseat::simulator::TOKEN);
    let sales = daemon.decides("sales", known).await;
    let id = sales["queue_id"].to_string();
    let by_id = calltools
        .account()
        .replace("queue = \"sales\"", &format!("queue = {id}"));
    let (address, stop) = (daemon.address, tokio_util::sync::CancellationToken::new());
    let calls = ["sales".to_owned(), id].map(|spelling| {
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut answers = 0;
            while !stop.is_cancelled() {
                let answer = get(address, &format!("/v1/queues/{spelling}/decision")).await;
                assert_eq!(answer.status, 200, "{spelling}: {answer:?}");
                answers += 1;
            }
            answers
        })
    });
    for _ in 0..4 {
        for next in [&by_id, &named(&calltools, "acme"), &calltools.account()] {
            home.config(std::slice::from_ref(next));
            assert_eq!(daemon.reload().await.0, 200);
        }
    }
    stop.cancel();
    for call in calls {
        assert!(call.await.expect("each call was answered") > 0);
    }
}

#[tokio::test]
async fn a_request_in_progress_is_answered_from_its_queue_although_a_reload_renames_the_account() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    home.set_token("acme", openseat::simulator::TOKEN);
    daemon.decides("sales", known).await;
    let hang = openseat::simulator::InjectedFault::Hang;
    calltools.simulator.inject(usize::MAX, None, hang);
    let polls = calltools.simulator.requests_to(Endpoint::AgentStatuses);
    let address = daemon.address;
    let waits = tokio::spawn(async move {
        get(
            address,
            "/v1/queues/sales/decision?fresh=1ms&wait=1s&threshold=1",
        )
        .await
    });
    soon("the poll that it waits for", async || {
        calltools.simulator.requests_to(Endpoint::AgentStatuses) > polls
    })
    .await;
    home.config(&[named(&calltools, "acme")]);
    assert_eq!(daemon.reload().await.0, 200);
    let answer = waits.await.expect("no panic").json();
    assert_eq!(answer["account"], "main", "{answer}");
    assert!(known(&answer), "{answer}");
}

#[tokio::test]
async fn a_queue_that_a_reload_spells_otherwise_keeps_its_seats() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    let config = |queue: &str| {
        let lines = format!("queue = {queue}\nmax_age = \"20s\"");
        let base = calltools.serving.base_url();
        account("main", &base, LONG_TIMEOUTS, &[lines.as_str()])
    };
    // No queue has a name in the config, so the reload does not know the names yet.
    let daemon = home.start(&time, &[config("1")]).await;
    daemon.decides("1", known).await;
    let target = "decision?call_id=a&reserve=10m";
    let held = daemon.get(&format!("/v1/queues/1/{target}")).await.json();
    assert_eq!(held["accept"], true, "{held}");
    home.config(&[config("\"sales\"")]);
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
    time.until("the queue under its name", async || {
        known(&daemon.decision("sales").await)
    })
    .await;
    let list = daemon.get("/v1/reservations").await.json();
    assert_eq!(list["reservations"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["reservations"][0]["queue"], "sales", "{list}");
    let again = daemon
        .get(&format!("/v1/queues/sales/{target}"))
        .await
        .json();
    assert_eq!(again["reservation"]["id"], held["reservation"]["id"]);
}
