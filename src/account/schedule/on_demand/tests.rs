//! Tests when each question that waits gets a poll.

use super::*;

const PER_HOUR: f64 = 950.0;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(3_600 + 60 * minutes)
}

/// Counts this many questions in each of these minutes.
fn live(mode: &mut OnDemand, times: std::ops::Range<u64>, asked: u64, patient: u64) {
    for minute in times {
        mode.count(asked, patient, PER_HOUR, minutes(minute));
    }
}

#[test]
fn a_small_account_is_polled_on_demand_after_an_hour() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..60, 10, 10);
    assert!(!mode.is_on());
    live(&mut mode, 60..61, 10, 10);
    assert!(mode.is_on());
    // 600 questions, and a fifth more, leave 230 requests.
    assert!(
        (PER_HOUR / mode.stretch() - 230.0).abs() < 20.0,
        "{}",
        mode.stretch()
    );
}

#[test]
fn a_busier_hour_ends_it_for_a_week() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..120, 10, 10);
    assert!(mode.is_on());
    live(&mut mode, 120..180, 12, 12);
    assert!(mode.is_on(), "720 is below the limit of 743");
    live(&mut mode, 180..240, 13, 13);
    assert!(!mode.is_on());
    let week = 7 * 24 * 60;
    live(&mut mode, 240..week, 10, 10);
    assert!(!mode.is_on(), "the next Monday may be as busy");
    live(&mut mode, week..week + 300, 10, 10);
    assert!(mode.is_on());
}

#[test]
fn the_background_keeps_its_pace_if_some_questions_do_not_wait() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..100, 10, 8);
    assert!(!mode.is_on());
    live(&mut mode, 100..200, 10, 10);
    assert!(mode.is_on());
    live(&mut mode, 200..210, 10, 2);
    assert!(!mode.is_on());
}

#[test]
fn without_questions_the_mode_is_off() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..100, 0, 0);
    assert!(!mode.is_on());
}

#[test]
fn the_background_keeps_a_few_requests() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..100, 12, 12);
    live(&mut mode, 100..200, 40, 40);
    assert!((PER_HOUR / mode.stretch() - BACKGROUND).abs() < 1.0);
}

/// The wall time at a minute.
fn wall(minute: u64) -> Duration {
    Duration::from_secs(1_795_341_600) + minutes(minute)
}

/// Returns the mode in a process that starts at `minute` on a machine that has just booted.
fn restarted(mode: &OnDemand, minute: u64) -> OnDemand {
    let stored = mode.busy_hours(minutes(minute), wall(minute));
    let text = serde_json::to_string(&stored).unwrap();
    let mut next = OnDemand::default();
    next.recall(
        &serde_json::from_str(&text).unwrap(),
        minutes(0),
        wall(minute),
    );
    next
}

#[test]
fn the_busiest_hour_outlives_restarts() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..120, 10, 10);
    live(&mut mode, 120..180, 13, 13);
    live(&mut mode, 180..300, 10, 10);
    assert!(!mode.is_on());
    let stretch = mode.stretch();
    let mut next = restarted(&mode, 300);
    live(&mut next, 0..120, 10, 10);
    assert!(!next.is_on(), "780 questions may come again");
    assert!((next.stretch() - stretch).abs() < 0.01);
    // The busy hour began at 180 minutes.
    let week = 7 * 24 * 60;
    live(&mut next, 120..week - 130, 10, 10);
    assert!(!next.is_on());
    live(&mut next, week - 130..week - 50, 10, 10);
    assert!(next.is_on(), "it was a week ago");
}

#[test]
fn a_restart_need_not_wait_for_another_hour() {
    let mut mode = OnDemand::default();
    live(&mut mode, 0..30, 10, 10);
    let mut next = restarted(&mode, 29);
    live(&mut next, 0..30, 10, 10);
    assert!(!next.is_on(), "59 minutes");
    live(&mut next, 30..32, 10, 10);
    assert!(next.is_on());
    let mut third = restarted(&next, 600);
    live(&mut third, 0..1, 10, 10);
    assert!(third.is_on(), "the first question is enough");
    let mut late = restarted(&third, 8 * 24 * 60);
    live(&mut late, 0..1, 10, 10);
    assert_eq!(late.hours.len(), 1, "older hours are forgotten");
}

#[test]
fn restarts_within_an_hour_keep_one_number() {
    let mut mode = OnDemand::default();
    for _ in 0..50 {
        live(&mut mode, 0..1, 10, 10);
        mode = restarted(&mode, 1);
    }
    assert_eq!(mode.hours.len(), 1, "{:?}", mode.hours);
}
