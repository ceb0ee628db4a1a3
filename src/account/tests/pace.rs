//! Tests how often an account and its queues are polled.

use super::*;
use crate::account::feeds::Feed;

#[tokio::test(start_paused = true)]
async fn a_row_seen_in_one_queue_counts_in_the_others_at_once() {
    let mut setting = still(20, 60);
    setting.options.sweep = false;
    let fixture = setting.start();
    sleep(2 * MINUTE).await;
    let (agent, places) = fixture.busy_agent();
    let was = fixture.shows(places[0], &agent).unwrap();
    let status = fixture.status(if was { "Not Available" } else { "Available" });
    fixture
        .simulator
        .world(|world| world.set_status(&agent, status));
    let before: Vec<_> = places
        .iter()
        .map(|place| fixture.state(*place).last_success)
        .collect();
    while fixture.shows(places[0], &agent) == Some(was) {
        sleep(Duration::from_millis(50)).await;
    }
    let polled = places
        .iter()
        .zip(before)
        .filter(|(place, before)| fixture.state(**place).last_success != *before);
    assert_eq!(polled.count(), 1, "one of its queues was polled");
    assert!(
        places
            .iter()
            .all(|place| fixture.shows(*place, &agent) == Some(!was))
    );
    assert_eq!(fixture.sweeps_sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn max_age_follows_from_how_the_account_is_polled() {
    let fixture = still(30, 60).start();
    sleep(MINUTE * 5).await;
    let period = fixture.budget.usual_period();
    assert_eq!(fixture.state(3).planned_max_age, MINUTE, "while swept");
    assert!(fixture.state(3).planned_members_max_age >= period * 4 * 30 * 3);
    let mut setting = still(30, 60);
    setting.options.sweep = false;
    let fixture = setting.start();
    sleep(MINUTE * 5).await;
    assert_eq!(
        fixture.state(3).planned_max_age,
        period * 30 * 3,
        "three rounds"
    );
}

#[tokio::test(start_paused = true)]
async fn max_age_allows_for_agents_whom_a_reading_hides() {
    let mut setting = feeds::six_pages(WorldSettings {
        queues: 40,
        // Each queue has a page of members.
        skew: 0.0,
        ..WorldSettings::study()
    });
    // About 80 of them are available: two pages.
    setting.world.agents = 400;
    setting.requests_per_hour = 200;
    let fixture = setting.start();
    fixture
        .simulator
        .quirks(|quirks| quirks.ordering = crate::simulator::Ordering::Off);
    sleep(40 * MINUTE).await;
    let health = fixture.health.borrow().clone();
    let requests = health.feeds.iter().find(|one| one.feed == health.feed);
    let requests = requests.unwrap().requests;
    assert_eq!((health.feed, requests), (Feed::Available, Some(2)));
    let reading = fixture.budget.usual_period() * 2 * 4 / 3;
    let planned = fixture.state(3).planned_max_age;
    let difference = planned.abs_diff(4 * reading);
    assert!(difference < Duration::from_millis(10), "{planned:?}");
}

#[tokio::test(start_paused = true)]
async fn a_small_budget_with_one_queue_in_demand_keeps_all_queues_known() {
    for sweep in [true, false] {
        let mut setting = still(20, 30);
        setting.requests_per_hour = 200;
        setting.options.sweep = sweep;
        let fixture = setting.start();
        sleep(20 * MINUTE).await;
        fixture
            .watch(100 * MINUTE, |fixture| {
                fixture.question(3);
                fixture.assert_all_known();
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_account_is_polled_slowly_and_wakes_on_the_first_question() {
    let mut setting = still(20, 60);
    setting.options.idle_pace = 0.25;
    let fixture = setting.start();
    sleep(20 * MINUTE).await;
    fixture.sent();
    fixture.watch(10 * MINUTE, Fixture::assert_all_known).await;
    let slow = fixture.sent().len();
    let earned = (10 * MINUTE).as_secs_f64() / fixture.budget.usual_period().as_secs_f64();
    assert!((slow as f64) < earned * 0.3, "{slow} of {earned}");
    let shown = || fixture.health.borrow().idle;
    let stretch = shown().expect("the account is shown as idle");
    let foretold = earned / stretch;
    assert!(
        (slow as f64 - foretold).abs() < 3.0,
        "{slow}, not {foretold}"
    );
    // In the middle of a wait.
    while fixture.sent().is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
    fixture.question(0);
    sleep(2 * SECOND).await;
    assert!(!fixture.sent().is_empty(), "awake");
    assert_eq!(shown(), None);
}

/// CallTools has a problem of its own, and says for how long.
fn pause(path: &str, answer: &mut Result<Reply, Fault>) {
    if path.starts_with("agentstatuses/") {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", http::HeaderValue::from_static("600"));
        *answer = Ok(Reply {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers,
            body: "later".into(),
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_after_a_503_is_shown_with_its_end_as_long_as_it_lasts() {
    let fixture = still(1, 3).start();
    sleep(MINUTE).await;
    feeds::lie(&fixture, Some(pause));
    sleep(10 * SECOND).await;
    feeds::lie(&fixture, None);
    let _ = fixture.sent();
    for _ in 0..9 {
        sleep(MINUTE).await;
        let fault = fixture.health.borrow().fault.clone().unwrap().fault;
        let said = fault.message(fixture.clock.now());
        assert!(
            said.contains("asked for a pause until") && said.ends_with(" UTC"),
            "{said}"
        );
    }
    assert_eq!(fixture.sent(), Vec::<String>::new());
    sleep(2 * MINUTE).await;
    assert!(fixture.health.borrow().fault.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_next_request_comes_nearer_while_the_hour_is_spent() {
    let mut setting = still(1, 3);
    setting.requests_per_hour = 60;
    let fixture = setting.start();
    sleep(SECOND).await;
    spend_the_hour(&fixture.budget).await;
    let until = || {
        let fault = fixture.health.borrow().fault.clone();
        match &*fault.expect("the hour is spent").fault {
            Fault::BudgetSpent { until } => *until,
            other => panic!("{other:?}"),
        }
    };
    sleep(2 * MINUTE).await;
    let told = until();
    for _ in 0..5 {
        sleep(MINUTE).await;
        assert_eq!(until(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_was_told_is_corrected_if_the_pace_becomes_much_slower() {
    let mut setting = still(1, 3);
    setting.requests_per_hour = 60;
    let fixture = setting.start();
    sleep(SECOND).await;
    let until = || {
        let fault = fixture.health.borrow().fault.clone()?;
        match &*fault.fault {
            Fault::BudgetSpent { until } => Some(*until),
            other => panic!("{other:?}"),
        }
    };
    while until().is_none() {
        let permit = fixture.budget.permit(Purpose::OnDemand).await;
        drop(permit.expect("a slow pace is reported before the hour is spent"));
        sleep(SECOND).await;
    }
    spend_the_hour(&fixture.budget).await;
    sleep(2 * SECOND).await;
    let left = until().unwrap().boot - fixture.clock.now().boot;
    let period = fixture.budget.period();
    assert!(left.abs_diff(period) < 5 * SECOND, "{left:?} of {period:?}");
}
