//! Clocks that are changed, and machines that are suspended.

use std::time::Duration;

use crate::support::{CallTools, TestFolder, Time, known};

#[tokio::test]
async fn after_a_suspend_stale_data_does_not_look_fresh() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    assert!(known(&daemon.decision("sales").await));
    calltools.set_status(0, "Not Available");
    // Timers stop during a suspend, so polls do not notice it; the clocks do.
    time.0.suspend(Duration::from_secs(3_000));
    let woken = daemon.decision("sales").await;
    assert_eq!(woken["reason"], "too_old", "{woken}");
    assert!(woken["age_ms"].as_u64() >= Some(3_000_000), "{woken}");
    let fresh = daemon.comes_to(&time, "sales", "seats").await;
    assert_eq!(fresh["count"], 1);
}

#[tokio::test]
async fn a_wall_clock_set_forward_ages_answers_and_one_set_back_keeps_none_fresh() {
    for hours in [1, -1] {
        let (time, home) = (Time::new(), TestFolder::new());
        let calltools = CallTools::start(&time).await;
        let daemon = calltools.daemon(&home, &time).await;
        daemon.ready().await;
        let used = daemon.used().await;
        time.0.step_wall(hours * 3_600_000);
        let stepped = daemon.decision("sales").await;
        assert_eq!(known(&stepped), hours < 0, "{stepped}");
        // What was spent stays spent, at any wall clock time.
        assert_eq!(daemon.used().await, used);
        calltools.simulator.inject(
            usize::MAX,
            None,
            openseat::simulator::InjectedFault::WebPage(503),
        );
        time.pass(Duration::from_secs(25)).await;
        let old = daemon.decision("sales").await;
        assert_eq!(old["reason"], "upstream_down", "{old}");
        calltools.simulator.clear_faults();
        let healed = daemon.comes_to(&time, "sales", "seats").await;
        assert!(known(&healed), "{healed}");
    }
}

#[tokio::test]
async fn c04_a_stalled_process_knows_the_age_of_its_answers_and_does_not_catch_up() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    time.pass(Duration::from_secs(30)).await;
    let simulator = &calltools.simulator;
    simulator.inject(
        usize::MAX,
        None,
        openseat::simulator::InjectedFault::WebPage(503),
    );
    let before = simulator.requests();
    // Ten minutes in one step, as for a process that was not scheduled: all its timers are due at once.
    time.pass_by(Duration::from_secs(600), Duration::from_secs(600))
        .await;
    let decision = daemon.decision("sales").await;
    assert!(!known(&decision), "{decision}");
    assert!(decision["age_ms"].as_u64() >= Some(600_000), "{decision}");
    simulator.clear_faults();
    let healed = daemon.comes_to(&time, "sales", "seats").await;
    assert!(healed["age_ms"].as_u64() < Some(20_000), "{healed}");
    // Ten minutes have about 150 turns; missed turns are not caught up.
    let requests = simulator.requests() - before;
    assert!(requests <= 45, "{requests} requests after the stall");
}
