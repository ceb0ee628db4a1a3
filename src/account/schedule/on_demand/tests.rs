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
