//! The pace while nobody asks, and while permits are saved up for those who wait.

use super::*;

#[test]
fn without_questions_the_pace_is_slower_after_a_while_and_the_first_wakes_it() {
    let mut play = Play::warm([(SHARED, 1); 20], idle(0.25)).demand(&[1; 20]);
    play.go(IDLE_AFTER);
    let lively = play.log.len() as f64 / IDLE_AFTER.as_secs_f64();
    play.log.clear();
    play.go(HOUR);
    let slow = play.log.len() as f64 / HOUR.as_secs_f64();
    assert!(
        (slow / lively / 0.25 - 1.0).abs() < 0.05,
        "{lively} then {slow}"
    );
    // In the midst of a long wait.
    while let Next::Start { job, .. } = play.schedule.next(play.now) {
        play.perform(job);
    }
    play.now += Duration::from_millis(100);
    assert!(matches!(play.schedule.next(play.now), Next::Wait(_)));
    play.schedule.asked(&[1; 20], play.now);
    assert!(
        matches!(play.schedule.next(play.now), Next::Start { .. }),
        "at once"
    );
    play.log.clear();
    play.go(IDLE_AFTER);
    let awake = play.log.len() as f64 / IDLE_AFTER.as_secs_f64();
    assert!((awake / lively - 1.0).abs() < 0.02);
}

#[test]
fn an_idle_account_stays_fresh_enough_for_the_first_question() {
    for (queues, max_age) in [(20, 30), (20, 60), (2, 20), (2, 100)] {
        let mut play = Play::warm(vec![(SHARED, 1); queues], idle(0.01)).demand(&vec![1; queues]);
        play.schedule.bounded_by(Duration::from_secs(max_age), HOUR);
        play.go(IDLE_AFTER + Duration::from_secs(60));
        play.log.clear();
        play.go(HOUR);
        let swept = play.times(is_sweep);
        let looks = if queues > 2 {
            swept
        } else {
            play.times(|job| job == Job::Poll(0))
        };
        let bound = max_age as f64 * IDLE_AGE;
        let seen = longest(&gaps(&looks));
        assert!(seen <= bound * 1.01, "{queues} queues, {max_age} s: {seen}");
        assert!(seen > bound * 0.8, "and no more often than needed: {seen}");
    }
}

#[test]
fn an_idle_account_keeps_its_memberships_alive() {
    let mut play = Play::warm([(SHARED, 1); 50], idle(0.01)).demand(&[1; 50]);
    play.schedule.bounded_by(HOUR, HOUR);
    play.go(IDLE_AFTER + HOUR);
    play.log.clear();
    play.go(10 * HOUR);
    let waits = gaps(&play.times(|job| job == Job::Poll(7)));
    assert!(
        longest(&waits) <= HOUR.as_secs_f64() * IDLE_MEMBERS_AGE * 1.1,
        "{waits:?}"
    );
}

/// Plays an hour in which somebody would wait for a fresh answer every minute, and gets none.
fn save_for_an_hour(play: &mut Play) {
    for _ in 0..60 {
        play.schedule.asked_to_wait(play.now);
        play.go(Duration::from_secs(60));
    }
}

#[test]
fn half_of_the_budget_is_left_to_those_who_wait() {
    for queues in [1, 2, 20, 100] {
        let mut play = Play::warm(vec![(SHARED, 1); queues], LIVELY);
        save_for_an_hour(&mut play);
        let whole = HOUR.as_secs_f64() / PERIOD.as_secs_f64();
        let part = f64::from(play.spent()) / whole;
        assert!((0.4..=0.6).contains(&part), "{queues} queues: {part}");
        // And no longer than somebody asks.
        play.go(SAVING_FOR);
        play.log.clear();
        play.go(HOUR);
        assert!(f64::from(play.spent()) / whole > 0.99);
    }
}

#[test]
fn saving_spaces_sweeps_and_polls_as_it_says() {
    let mut play = Play::warm([(SHARED, 1); 20], LIVELY);
    save_for_an_hour(&mut play);
    let periods = |times: &[Duration]| mean(&gaps(times)) / PERIOD.as_secs_f64();
    let sweeps = periods(&play.times(is_sweep));
    let polls = periods(&play.times(|job| !is_sweep(job)));
    assert!(
        (sweeps - f64::from(SAVING_SWEEP_PERIODS)).abs() < 0.5,
        "{sweeps}"
    );
    assert!(
        (polls - f64::from(SAVING_POLL_PERIODS)).abs() < 0.5,
        "{polls}"
    );
}

#[test]
fn queues_that_are_polled_by_themselves_keep_their_pace_while_others_save() {
    let mut queues = vec![(SHARED, 1); 19];
    queues.push((ALONE, 1));
    let mut play = Play::warm(queues, LIVELY);
    let expected = play.schedule.expected(PERIOD)[19].members.as_secs_f64();
    save_for_an_hour(&mut play);
    let waits = gaps(&play.times(|job| job == Job::Poll(19)));
    assert!(
        (mean(&waits) / expected - 1.0).abs() < 0.1,
        "{expected}: {waits:?}"
    );
}
