//! Opening hours, from the config to the wire: nothing is polled for a closed queue, and the wall clock decides when it opens.

use std::time::Duration;

use openseat::simulator::{Endpoint, TOKEN};
use serde_json::Value;

use crate::support::{
    CallTools, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, account, known, soon,
};

/// The tests' clock begins on a Sunday at 10:00 UTC.
const HOURS: &str = "open = \"Sun 10:10-10:14\"\ntime_zone = \"UTC\"";

const MINUTE: Duration = Duration::from_secs(60);

/// Steps for hours in which nothing may happen: short compared with the timeouts, so that a poll that was sent is noticed.
const LONG_STEP: Duration = Duration::from_secs(5);

/// `[[account]]` with the queue `sales` and these lines.
fn with_queue(calltools: &CallTools, lines: &str) -> String {
    let queue = format!("queue = \"sales\"\nmax_age = \"60s\"\n{lines}");
    account(
        "main",
        &calltools.serving.base_url(),
        LONG_TIMEOUTS,
        &[&queue],
    )
}

async fn start(calltools: &CallTools, home: &TestFolder, time: &Time, lines: &str) -> TestDaemon {
    home.set_token("main", TOKEN);
    home.start(time, &[with_queue(calltools, lines)]).await
}

impl TestDaemon {
    async fn reason(&self) -> Value {
        self.decision("sales").await["reason"].clone()
    }
}

#[tokio::test]
async fn a_closed_queue_is_not_polled_and_is_known_when_it_opens() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let polls = || calltools.simulator.requests_to(Endpoint::AgentStatuses);
    let daemon = start(&calltools, &home, &time, HOURS).await;
    daemon.ready().await;
    let closed = daemon.decision("sales").await;
    assert_eq!(
        (&closed["reason"], &closed["detail"]),
        (
            &"closed".into(),
            &"the queue is closed until Sun 10:10 in UTC".into()
        )
    );
    time.pass_by(7 * MINUTE, LONG_STEP).await;
    assert_eq!(polls(), 0);
    // Polls begin a minute before it opens. The clock waits for an answer, because a slow machine may need more real time for it than a minute takes
    // here.
    time.pass_by(2 * MINUTE + LONG_STEP, LONG_STEP).await;
    soon("a first answer", async || daemon.outcomes("ok").await > 0.0).await;

    // From one answer to the next, the queue is never unknown.
    time.until("an opening", async || daemon.reason().await != "closed")
        .await;
    let opened = calltools.simulator.now();
    let open = daemon.decision("sales").await;
    assert_eq!(
        (&open["reason"], &open["count"]),
        (&"seats".into(), &2.into()),
        "{open}"
    );
    let sample = "openseat_decisions_total{account=\"main\",queue=\"sales\",result=\"reject\",reason=\"closed\"}";
    assert!(daemon.metric(sample).await > Some(0.0));

    time.until("a closing", async || daemon.reason().await == "closed")
        .await;
    time.pass(LONG_STEP).await;
    // A poll that a slow disk holds up counts already, and arrives later.
    time.until("no poll under way", async || {
        daemon.used().await == calltools.simulator.requests() as f64
    })
    .await;
    let before = polls();
    // There are some 60 on a fast machine. Before the opening there were a few.
    let late = calltools.simulator.received().into_iter();
    let late = late.filter(|request| request.at > opened);
    assert!(late.count() > 0, "polls while it was open");
    time.pass_by(20 * MINUTE, LONG_STEP).await;
    assert_eq!(polls(), before);
    assert_eq!(daemon.reason().await, "closed");

    // A restart knows the opening hours before it knows the seats.
    daemon.stop().await;
    let daemon = start(&calltools, &home, &time, HOURS).await;
    daemon.ready().await;
    assert_eq!(daemon.reason().await, "closed");
    time.pass_by(MINUTE, LONG_STEP).await;
    assert_eq!(polls(), before);
}

#[tokio::test]
async fn a_reload_closes_and_opens_a_queue_at_once() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = start(&calltools, &home, &time, "").await;
    daemon.decides("sales", known).await;
    home.config(&[with_queue(&calltools, HOURS)]);
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    assert_eq!(daemon.reason().await, "closed");
    home.config(&[with_queue(
        &calltools,
        "open = \"Sun 09:00-11:00\"\ntime_zone = \"UTC\"",
    )]);
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    assert_eq!(daemon.reason().await, "seats");
}

#[tokio::test]
async fn c05_setting_the_wall_clock_opens_and_closes_a_queue_at_once() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = start(&calltools, &home, &time, HOURS).await;
    daemon.ready().await;
    assert_eq!(daemon.reason().await, "closed");
    let minutes = |minutes: i64| minutes * 60_000;
    time.0.step_wall(minutes(11));
    assert_ne!(daemon.reason().await, "closed");
    daemon.comes_to(&time, "sales", "seats").await;
    time.0.step_wall(minutes(-11));
    assert_eq!(daemon.reason().await, "closed");
    time.0.step_wall(minutes(60));
    assert_eq!(daemon.reason().await, "closed");
}
