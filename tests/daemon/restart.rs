//! What a daemon knows when it starts again, after a crash and after a stop.

use std::time::Duration;

use openseat::simulator::{Endpoint, TOKEN};
use serde_json::Value;

use crate::support::{
    CallTools, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, account, known, soon,
};

/// Waits until the daemon counts what CallTools got, no more and no less. A request counts before it arrives, so one may be between the two.
async fn counts_all(daemon: &TestDaemon, calltools: &CallTools) {
    soon("all requests", async || {
        daemon.used().await == calltools.simulator.requests() as f64
    })
    .await;
}

#[tokio::test]
async fn spent_requests_are_remembered_and_names_are_not_looked_up_again() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let first = calltools.daemon(&home, &time).await;
    first.ready().await;
    assert!(first.used().await >= 4.0);
    first.stop().await;
    for run in 2..=4 {
        let daemon = calltools.daemon(&home, &time).await;
        // Each later start asks only for its two queues, and on a slow machine a second time.
        let spent = 2 + 2 * run;
        soon("two polls", async || {
            calltools.simulator.requests() >= spent
        })
        .await;
        daemon.decides("sales", known).await;
        daemon.decides("support", known).await;
        counts_all(&daemon, &calltools).await;
        daemon.stop().await;
    }
    assert_eq!(calltools.simulator.requests_to(Endpoint::Queues), 1);
    assert_eq!(calltools.simulator.requests_to(Endpoint::Statuses), 1);
}

#[tokio::test]
async fn any_number_of_restarts_does_not_overspend_the_hour() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    let lines = calltools.account_with("requests_per_hour = 12\nreserve = 2", "max_age = \"25m\"");
    let config = [lines];
    for _ in 0..10 {
        let daemon: TestDaemon = home.start(&time, &config).await;
        daemon.ready().await;
        drop(daemon);
    }
    assert!(calltools.simulator.worst_sliding_hour() <= 10);
    // Names, statuses and two queues once, plus polls that were due anyway.
    assert!(calltools.simulator.requests() <= 6);
    let daemon = home.start(&time, &config).await;
    let decision = daemon.decision("sales").await;
    assert_eq!(decision["reason"], "seats", "{decision}");
    let mut refreshes = 0;
    while daemon.post("/v1/queues/sales/refresh").await.status == 200 {
        refreshes += 1;
        assert!(refreshes <= 12, "the hour has an end");
    }
    drop(daemon);
    // A spent hour stays spent.
    let daemon = home.start(&time, &config).await;
    time.pass_by(Duration::from_secs(1_600), Duration::from_secs(5))
        .await;
    assert!(calltools.simulator.worst_sliding_hour() <= 12);
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "budget_spent")
        .await;
    let detail = decision["detail"]
        .as_str()
        .expect("an unknown is explained");
    assert!(
        detail.contains("requests for this hour are spent"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_requested_pause_survives_a_restart() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let wait = Duration::from_secs(600);
    calltools.simulator.inject(
        1,
        None,
        openseat::simulator::InjectedFault::Throttled(Some(wait)),
    );
    let throttled = async || daemon.outcomes("throttled").await > 0.0;
    time.until("a 429", throttled).await;
    drop(daemon);
    let before = calltools.simulator.requests();
    let daemon = calltools.daemon(&home, &time).await;
    daemon
        .decides("sales", |decision| decision["reason"] == "throttled")
        .await;
    time.pass_by(Duration::from_secs(500), Duration::from_secs(5))
        .await;
    assert_eq!(calltools.simulator.requests(), before);
    daemon.comes_to(&time, "sales", "seats").await;
}

#[tokio::test]
async fn another_token_is_another_account_and_its_names_are_read_again() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    drop(daemon);
    let token = "rotated0token0of0another0account00000000";
    calltools.simulator.set_token(token);
    home.set_token("main", token);
    let lines = account(
        "main",
        &calltools.serving.base_url(),
        LONG_TIMEOUTS,
        &["queue = \"sales\""],
    );
    let daemon = home.start(&time, &[lines]).await;
    daemon.decides("sales", known).await;
    assert_eq!(calltools.simulator.requests_to(Endpoint::Queues), 2);
    // But the requests under this name count: the token may be a new one of the same account.
    assert!(daemon.used().await >= 7.0);
    counts_all(&daemon, &calltools).await;
}

#[tokio::test]
async fn stored_data_answers_at_once_with_its_true_age() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let before = daemon.decision("sales").await;
    if !daemon.stop().await {
        return;
    }
    calltools
        .simulator
        .inject(usize::MAX, None, openseat::simulator::InjectedFault::Hang);
    // The daemon is down for a while: the clock advances, but no timer runs.
    time.0.suspend(Duration::from_secs(12));
    let daemon = calltools.daemon(&home, &time).await;
    let after = daemon.decision("sales").await;
    for same in ["accept", "count", "reason", "as_of"] {
        assert_eq!(after[same], before[same], "{after}");
    }
    let aged = after["age_ms"].as_u64().expect("an age");
    let was = before["age_ms"].as_u64().expect("an age");
    assert!(aged >= was + 12_000, "{after}");
    assert_eq!(daemon.get("/readyz").await.status, 200);
    let agents = daemon.get("/v1/queues/sales").await.json();
    assert_eq!(agents["agents"][0]["status"], "Available", "{agents}");
    drop(daemon);
    // And a restart does not make stale data fresh.
    time.0.suspend(Duration::from_secs(12));
    let daemon = calltools.daemon(&home, &time).await;
    let old = daemon.decision("sales").await;
    assert!(!known(&old), "{old}");
}

#[tokio::test]
async fn a_crash_loses_no_more_than_the_last_seconds_of_statuses() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    // Longer than what a slow poll or write may lose.
    let config = [calltools.account_with("", "max_age = \"2m\"")];
    let daemon = home.start(&time, &config).await;
    daemon.ready().await;
    calltools.set_status(0, "Not Available");
    time.until("a sweep that shows it", async || {
        daemon.decision("sales").await["count"] == 1
    })
    .await;
    // Statuses are stored every 20 s.
    time.pass(Duration::from_secs(40)).await;
    drop(daemon);
    calltools
        .simulator
        .inject(usize::MAX, None, openseat::simulator::InjectedFault::Hang);
    let daemon = home.start(&time, &config).await;
    let after = daemon.decision("sales").await;
    assert_eq!(
        (&after["count"], &after["reason"]),
        (&1.into(), &"seats".into()),
        "{after}"
    );
    // Half a minute on a fast machine; a poll or a write that waits lets more time pass.
    assert!(after["age_ms"].as_u64() <= Some(60_000), "{after}");
}

#[tokio::test]
async fn seats_stay_held_across_a_crash_until_their_call_is_answered() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let first = calltools.daemon(&home, &time).await;
    let before = first.decides("sales", known).await["count"].clone();
    let held = first
        .post_json(
            "/v1/queues/sales/reservations",
            r#"{"call_id":"a","ttl":"10m"}"#,
        )
        .await;
    assert_eq!(held.status, 201, "{held:?}");
    let open = held.json()["count"].as_u64();
    assert_eq!(open, before.as_u64().map(|seats| seats - 1));
    drop(first);
    let daemon = calltools.daemon(&home, &time).await;
    let after = daemon.decides("sales", known).await;
    assert_eq!(after["count"].as_u64(), open);
    // The old process may already have counted an agent who leaves before the first poll of the new one, so the test waits for that poll.
    time.until("polls of its own", async || {
        daemon.outcomes("ok").await >= 2.0
    })
    .await;
    time.pass(Duration::from_secs(5)).await;
    calltools.set_status(0, "On a Call");
    let answered =
        "openseat_reservations_ended_total{account=\"main\",queue=\"sales\",cause=\"answered\"}";
    time.until("the call to arrive", async || {
        daemon.metric(answered).await == Some(1.0)
    })
    .await;
    assert_eq!(
        daemon.decision("sales").await["count"].as_u64(),
        open,
        "one agent fewer, and no seat held"
    );
}

/// Asks about a call, and holds a seat for it. Returns the id of the reservation.
async fn held_by_a_decision(daemon: &TestDaemon) -> Value {
    daemon.decides("sales", known).await;
    let target = "/v1/queues/sales/decision?call_id=a&reserve=10m";
    let held = daemon.get(target).await.json();
    assert_eq!(held["accept"], true, "{held}");
    held["reservation"]["id"].clone()
}

#[tokio::test]
async fn a_seat_held_by_a_decision_stays_held_across_a_crash() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let first = calltools.daemon(&home, &time).await;
    let held = held_by_a_decision(&first).await;
    drop(first);
    let daemon = calltools.daemon(&home, &time).await;
    assert_eq!(held_by_a_decision(&daemon).await, held);
    let list = daemon.get("/v1/reservations").await.json();
    assert_eq!(list["reservations"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn calls_answered_before_a_restart_end_no_other_reservation_after_it() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    calltools.simulator.world(|world| {
        for name in ["Cid", "Dan", "Eve"] {
            world.add_agent(name, &[1]);
        }
    });
    let held = async |daemon: &TestDaemon| {
        let held = daemon.get("/v1/reservations").await.json();
        held["reservations"].as_array().expect("a list").len()
    };
    let first = calltools.daemon(&home, &time).await;
    first
        .decides("sales", |decision| decision["count"] == 5)
        .await;
    for call in 0..4 {
        let body = format!(r#"{{"call_id":"{call}","ttl":"10m"}}"#);
        let made = first
            .post_json("/v1/queues/sales/reservations", &body)
            .await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    calltools.set_status(0, "On a Call");
    calltools.set_status(1, "On a Call");
    time.until("two calls to arrive", async || held(&first).await == 2)
        .await;
    first.stop().await;
    let daemon = calltools.daemon(&home, &time).await;
    assert_eq!(held(&daemon).await, 2);
    time.pass(Duration::from_secs(60)).await;
    assert_eq!(held(&daemon).await, 2, "no other reservation has ended");
    // A reload keeps what was counted, too.
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    time.pass(Duration::from_secs(30)).await;
    assert_eq!(held(&daemon).await, 2, "a reload ends no reservation");
    calltools.set_status(2, "On a Call");
    time.until("the third call to arrive", async || {
        held(&daemon).await == 1
    })
    .await;
}

#[tokio::test]
async fn names_that_are_a_day_old_are_read_before_they_answer() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let first = calltools.daemon(&home, &time).await;
    first.ready().await;
    let id =
        async |daemon: &TestDaemon, queue: &str| daemon.decision(queue).await["queue_id"].clone();
    let before = [id(&first, "sales").await, id(&first, "support").await];
    first.stop().await;
    let [sales, support] = ["sales", "support"].map(|name| {
        let id = calltools.simulator.queue_id(name);
        id.expect("the queue exists")
    });
    calltools.simulator.world(|world| {
        world.rename_queue(sales, "support");
        world.rename_queue(support, "sales");
    });
    time.0.suspend(Duration::from_secs(86_400));
    let daemon = calltools.daemon(&home, &time).await;
    let early = id(&daemon, "sales").await;
    assert!(early.is_null() || early == before[1], "{early}");
    daemon.decides("sales", known).await;
    daemon.decides("support", known).await;
    assert_eq!(id(&daemon, "sales").await, before[1]);
    assert_eq!(id(&daemon, "support").await, before[0]);
    daemon.stop().await;
    // If the list cannot be read, old names are better than none.
    time.0.suspend(Duration::from_secs(86_400));
    calltools.simulator.inject(
        usize::MAX,
        Some(Endpoint::Queues),
        openseat::simulator::InjectedFault::WebPage(503),
    );
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    assert_eq!(id(&daemon, "sales").await, before[1]);
}

#[tokio::test]
async fn an_account_that_a_restart_renames_keeps_its_seats_and_its_board() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let first = calltools.daemon(&home, &time).await;
    let held = held_by_a_decision(&first).await;
    let open = first.decision("sales").await["count"].clone();
    let is_stored = first.stop().await;
    let acme = calltools
        .account()
        .replace("name = \"main\"", "name = \"acme\"");
    let daemon = home.start(&time, &[acme]).await;
    let list = daemon.get("/v1/reservations").await.json();
    assert_eq!(list["reservations"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["reservations"][0]["account"], "acme", "{list}");
    let after = daemon.decides("sales", known).await;
    assert_eq!(after["count"], open, "{after}");
    assert_eq!(held_by_a_decision(&daemon).await, held);
    // Its names were stored too, so they are not read again.
    let reads = calltools.simulator.requests_to(Endpoint::Queues);
    assert!(!is_stored || reads == 1, "{reads}");
}

#[tokio::test]
async fn a_queue_that_a_restart_spells_otherwise_keeps_its_seats() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    let config = |queue: &str| {
        let lines = format!("queue = {queue}\nmax_age = \"20s\"");
        let base = calltools.serving.base_url();
        account("main", &base, LONG_TIMEOUTS, &[lines.as_str()])
    };
    let mut first = None;
    // As long as the queue has no name in the config, its name is not looked up.
    for (spelling, queue) in [("1", "1"), ("\"sales\"", "sales"), ("1", "1")] {
        let daemon = home.start(&time, &[config(spelling)]).await;
        daemon.decides(queue, known).await;
        let target = format!("/v1/queues/{queue}/decision?call_id=a&reserve=10m");
        let held = daemon.get(&target).await.json();
        let id = held["reservation"]["id"].clone();
        assert!(id.is_string(), "{held}");
        assert_eq!(*first.get_or_insert(id.clone()), id, "{spelling}");
        let list = daemon.get("/v1/reservations").await.json();
        assert_eq!(list["reservations"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["reservations"][0]["queue"], queue, "{list}");
        let decision = daemon.decision(queue).await;
        assert_eq!(decision["count"], 1, "{decision}");
        daemon.stop().await;
    }
}
