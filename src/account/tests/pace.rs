//! Tests how often an account and its queues are polled.

use super::*;

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
    // In the middle of a wait.
    while fixture.sent().is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
    fixture.question(0);
    sleep(2 * SECOND).await;
    assert!(!fixture.sent().is_empty(), "awake");
}
