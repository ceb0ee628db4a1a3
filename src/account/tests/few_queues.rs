//! Tests accounts with so few queues, or so long a full list, that polling the queues one by one costs less than reading it.

use super::{
    feeds::{feed, feed_lines},
    *,
};
use crate::{
    account::feeds::{Feed, Standing},
    logged::listen,
    simulator::Ordering,
};

/// Returns an account of 2,000 agents whose config has so many of its queues, each of one page.
fn large(configured: usize) -> Setting {
    Setting {
        configured,
        ..Setting::new(WorldSettings {
            agents: 2_000,
            queues: 120,
            skew: 0.0,
            ..WorldSettings::study()
        })
    }
}

/// The same with 300 agents, which are as many pages.
fn long(configured: usize) -> Setting {
    let setting = large(configured);
    Setting {
        page_limit: NonZeroUsize::new(38),
        world: WorldSettings {
            agents: 300,
            queues: 60,
            ..setting.world
        },
        ..setting
    }
}

/// Returns the mean and the greatest age of the answers in this time.
async fn ages(fixture: &Fixture, time: Duration) -> [Duration; 2] {
    let (mut sum, mut oldest, mut answers) = (Duration::ZERO, Duration::ZERO, 0);
    fixture
        .watch(time, |fixture| {
            for place in fixture.places() {
                let decision = fixture.decide(place);
                assert!(decision.reason.is_known(), "{place}: {decision:?}");
                let age = decision.age.unwrap();
                (sum, oldest, answers) = (sum + age, oldest.max(age), answers + 1);
            }
        })
        .await;
    [sum / answers, oldest]
}

/// Counts the requests for lists of the whole account since the last call.
fn lists(fixture: &Fixture) -> usize {
    let sent = fixture.sent();
    sent.iter().filter(|path| is_sweep(path)).count()
}

#[tokio::test(start_paused = true)]
async fn a_large_roster_with_few_queues_is_as_fresh_as_one_with_many() {
    let (logged, _guard) = listen();
    let fixture = large(10).start();
    sleep(MINUTE).await;
    // The full list is read once, at half of the pace.
    let [mean, oldest] = ages(&fixture, 4 * MINUTE).await;
    let turn = fixture.budget.usual_period() * 10;
    assert!(mean < turn && oldest < 4 * turn, "{mean:?} {oldest:?}");
    assert_eq!(feed(&fixture), Feed::Delta, "{:?}", logged.lines());
    let [mean, oldest] = ages(&fixture, 20 * MINUTE).await;
    let period = fixture.budget.usual_period();
    assert!(mean < period && oldest < 4 * period, "{mean:?} {oldest:?}");
    assert_eq!((feed(&fixture), fixture.distrusted()), (Feed::Delta, 0));
    assert_eq!(feed_lines(&logged).len(), 1, "{:?}", feed_lines(&logged));
    assert!(fixture.simulator.worst_sliding_hour() <= 1000);
}

#[tokio::test(start_paused = true)]
async fn an_account_with_short_pages_uses_the_list_of_changes() {
    let mut setting = large(20);
    let world = &mut setting.world;
    (world.agents, world.mean_idle, world.mean_call) = (400, 5 * MINUTE, 10 * MINUTE);
    setting.page_limit = NonZeroUsize::new(25);
    let fixture = setting.start();
    sleep(20 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    let [mean, oldest] = ages(&fixture, 20 * MINUTE).await;
    let period = fixture.budget.usual_period();
    assert!(
        mean < 2 * period && oldest < 8 * period,
        "{mean:?} {oldest:?}"
    );
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_trial_of_lists_that_fail_costs_next_to_nothing() {
    let fixture = long(6).start();
    fixture.simulator.quirks(|quirks| {
        quirks.ordering = Ordering::Off;
        quirks.status_filter_ignored = true;
    });
    sleep(5 * MINUTE).await;
    // The whole list, a page of each other list, and the try of the full list in one piece.
    let tried = lists(&fixture);
    assert!((8..=14).contains(&tried), "{tried}");
    let [mean, _] = ages(&fixture, 50 * MINUTE).await;
    let turn = fixture.budget.usual_period() * 6;
    assert!(mean < turn * 2 / 3, "{mean:?}");
    assert_eq!((lists(&fixture), feed(&fixture)), (0, Feed::Queues));
    // After an hour, the first page of each shows that nothing has changed.
    sleep(2 * 60 * MINUTE).await;
    let tried = lists(&fixture);
    assert!((2..=30).contains(&tried), "{tried}");
    let health = fixture.health.borrow().clone();
    assert!(health.sweeps, "the full list has agreed with the queues");
}

#[tokio::test(start_paused = true)]
async fn without_order_the_lists_of_available_agents_are_used_if_they_are_short() {
    let fixture = long(10).start();
    fixture
        .simulator
        .quirks(|quirks| quirks.ordering = Ordering::Off);
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Available);
    let [mean, oldest] = ages(&fixture, 20 * MINUTE).await;
    let period = fixture.budget.usual_period();
    assert!(
        mean < 2 * period && oldest < 8 * period,
        "{mean:?} {oldest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn with_two_queues_no_list_is_tried_and_the_reason_is_true() {
    let fixture = long(2).start();
    sleep(70 * MINUTE).await;
    assert!(lists(&fixture) <= 1);
    let health = fixture.health.borrow().clone();
    let standings: Vec<_> = health.feeds.iter().map(|feed| feed.standing).collect();
    let no_gain = Standing::NoGain;
    assert_eq!(standings, [no_gain, no_gain, no_gain, Standing::InUse]);
    assert_eq!(
        health.feeds[0].why,
        "polling the queues one by one is as fast"
    );
}

#[tokio::test(start_paused = true)]
async fn the_standing_says_what_is_tried_and_how_short_a_list_has_to_be() {
    use Standing::*;
    let fixture = long(6).start();
    let feeds = |fixture: &Fixture| fixture.health.borrow().feeds.clone();
    let standings = |fixture: &Fixture| {
        let feeds = feeds(fixture);
        feeds.iter().map(|feed| feed.standing).collect::<Vec<_>>()
    };
    sleep(MINUTE).await;
    assert_eq!(standings(&fixture), [Untried, Untried, NoGain, InUse]);
    let meanwhile = feeds(&fixture);
    assert!(meanwhile[0].why.contains("compared"), "{meanwhile:?}");
    assert!(meanwhile[2].why.contains("more than 2"), "{meanwhile:?}");
    assert!(meanwhile[3].why.contains("at most 2"), "{meanwhile:?}");
    sleep(10 * MINUTE).await;
    assert_eq!(standings(&fixture), [InUse, NoGain, NoGain, NoGain]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_continues_with_the_list_of_changes() {
    let mut fixture = long(6).start();
    sleep(10 * MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
    fixture.restart().await;
    sleep(MINUTE).await;
    assert_eq!(feed(&fixture), Feed::Delta);
}

#[tokio::test(start_paused = true)]
async fn with_a_tiny_budget_trials_are_rare() {
    let mut setting = long(4);
    setting.requests_per_hour = 110;
    let fixture = setting.start();
    sleep(60 * MINUTE).await;
    fixture.sent();
    sleep(10 * 60 * MINUTE).await;
    let sent = fixture.sent();
    let lists = sent.iter().filter(|path| is_sweep(path)).count();
    assert!(lists * 8 < sent.len(), "{lists} of {}", sent.len());
}

#[tokio::test(start_paused = true)]
async fn no_list_is_tried_where_polls_at_half_the_pace_would_be_too_rare() {
    let mut setting = large(10);
    setting.max_age = Some(MINUTE);
    let fixture = setting.start();
    sleep(5 * MINUTE).await;
    fixture.sent();
    let [_, oldest] = ages(&fixture, 15 * MINUTE).await;
    assert!(oldest < MINUTE, "{oldest:?}");
    assert_eq!(lists(&fixture), 0);
    let feeds = fixture.health.borrow().feeds.clone();
    assert!(feeds[0].why.contains("too rare for max_age"), "{feeds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_trial_does_not_change_the_planned_max_age() {
    let fixture = large(10).start();
    sleep(MINUTE).await;
    let turn = fixture.budget.usual_period() * 10;
    assert_eq!(fixture.state(3).planned_max_age, turn * 3);
    assert_eq!(feed(&fixture), Feed::Queues, "lists are being tried");
}

/// Returns an endless list of strangers.
fn endless(page: u32) -> Value {
    let next = format!("?page={}", page + 1);
    let row = json!({"app_user": page.to_string(), "status": "Available", "logged_in": true});
    json!({"count": i64::MAX, "next": next, "results": [row]})
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_list_without_end_is_as_long_as_after_one_with_an_end() {
    let fixture = long(10).start();
    *fixture.wire.sweeps.lock().unwrap() = Some(endless);
    sleep(20 * MINUTE).await;
    assert_eq!(fixture.distrusted(), 1);
    fixture.sent();
    sleep(90 * MINUTE).await;
    assert_eq!(lists(&fixture), 0);
}
