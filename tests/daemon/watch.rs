//! Decisions as they change, streamed to a client that disconnects and next_event back.

use std::time::Duration;

use openseat::simulator::{InjectedFault, TOKEN};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{CallTools, Event, Events, Program, TestFolder, Time, get, soon};

/// Advances time until an event arrives.
async fn next_event(time: &Time, events: &mut Events) -> Event {
    let mut event = None;
    time.until("an event", async || {
        event = events.try_next();
        event.is_some()
    })
    .await;
    event.expect("an event has arrived")
}

#[tokio::test]
async fn a_watch_resumes_with_what_changed_while_its_client_was_away() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    // Longer than a poll takes on a busy machine.
    let account = calltools.account_with("", "max_age = \"2m\"");
    let daemon = home.start(&time, &[account]).await;
    daemon.ready().await;
    let query = "?queue=sales&queue=support";
    let mut events = Events::watch(daemon.address, query, None).await;
    let snapshot = events.next().await.expect("a snapshot");
    assert_eq!(snapshot.counts(), [json!(2), json!(1)]);

    calltools.set_status(0, "On a Call");
    let one_less = next_event(&time, &mut events).await;
    assert_eq!(one_less.decision(), ("sales", "seats", &json!(1)));
    let last = events.last.clone();
    drop(events);

    calltools.set_status(1, "On a Call");
    daemon.comes_to(&time, "sales", "below_threshold").await;
    daemon.comes_to(&time, "support", "below_threshold").await;
    calltools.set_status(1, "Available");
    daemon.comes_to(&time, "sales", "seats").await;
    daemon.comes_to(&time, "support", "seats").await;
    let mut events = Events::watch(daemon.address, query, last.as_deref()).await;
    let mut missed = Vec::new();
    for _ in 0..4 {
        let event = events.next().await.expect("a missed event");
        let (queue, reason, _) = event.decision();
        missed.push(format!("{queue} {reason}"));
    }
    // The order of the queues depends on the polls.
    missed.sort();
    assert_eq!(
        missed,
        [
            "sales below_threshold",
            "sales seats",
            "support below_threshold",
            "support seats"
        ]
    );

    let last = events.last.clone();
    daemon.stop().await;
    let end = events.next().await.expect("an end");
    assert_eq!(
        (&*end.name, &end.data["reason"]),
        ("end", &json!("stopping"))
    );
    assert!(events.next().await.is_none());
    // The next process does not know this one's ids.
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let mut events = Events::watch(daemon.address, query, last.as_deref()).await;
    let snapshot = events.next().await.expect("a snapshot");
    assert_eq!(snapshot.counts(), [json!(1), json!(1)]);
}

#[tokio::test]
async fn a_watch_reports_when_data_becomes_unknown_and_known_again() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let mut events = Events::watch(daemon.address, "?queue=sales", None).await;
    events.next().await.expect("a snapshot");
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::WebPage(503));
    let event = next_event(&time, &mut events).await;
    let unknown = ("sales", "upstream_down", &Value::Null);
    assert_eq!(event.decision(), unknown);
    // Its snapshots are valid for 20 s, and the event follows at once. Time advances in steps of half a second; a pause is one more.
    let age = event.data["age_ms"]
        .as_u64()
        .expect("known data has an age");
    assert!((20_001..60_000).contains(&age), "{age}");
    calltools.simulator.clear_faults();
    let event = next_event(&time, &mut events).await;
    assert_eq!(event.decision(), ("sales", "seats", &json!(2)));
}

#[tokio::test]
async fn sigterm_ends_streams_cleanly_and_without_waiting() {
    let (calltools, home) = (CallTools::start(&Time::new()).await, TestFolder::new());
    home.set_token("main", TOKEN);
    let mut program = Program::run(&home, &home.config(&[calltools.account()]));
    let address = program.address().await;
    soon("ready", async || {
        get(address, "/readyz").await.status == 200
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut events = Events::watch(address, "", None).await;
        events.next().await.expect("a snapshot");
        streams.push(events);
    }
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    // Answers in progress would have had 2 s, and then been cut. A machine that pauses for so long cuts anything.
    let was_cut = program.log().contains("open connections were closed");
    assert!(!was_cut || begun.elapsed() > Duration::from_secs(2));
    for events in &mut streams {
        let end = events.next().await.expect("an end");
        assert_eq!(end.data["reason"], "stopping");
        assert!(events.next().await.is_none());
    }
}
