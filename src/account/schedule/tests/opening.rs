//! Tests queues that rest.

use super::*;

fn rest(play: &mut Play, places: &[usize], rests: bool) {
    for place in places {
        play.schedule.rest(*place, rests);
    }
}

fn polls(play: &Play, queue: usize) -> usize {
    play.times(|job| job == Job::Poll(queue)).len()
}

#[test]
fn nothing_is_due_if_all_queues_rest() {
    let mut play = Play::warm(vec![(SHARED, 1); 6], LIVELY);
    rest(&mut play, &[0, 1, 2, 3, 4, 5], true);
    play.go(24 * HOUR);
    assert_eq!(play.log, []);
    rest(&mut play, &[0, 1, 2, 3, 4, 5], false);
    // Three sweeps for each poll of a queue.
    play.go(PERIOD * 26);
    assert!(play.has_swept());
    for queue in 0..6 {
        assert!(polls(&play, queue) > 0, "{queue}");
    }
}

#[test]
fn a_sweep_does_not_pay_for_a_single_open_queue() {
    let mut play = Play::warm(vec![(SHARED, 1); 6], LIVELY);
    rest(&mut play, &[0, 1, 2, 3, 4], true);
    play.go(PERIOD * 40);
    assert!(!play.has_swept());
    assert!((38..=42).contains(&polls(&play, 5)), "{}", polls(&play, 5));
}

#[test]
fn the_plan_is_for_hours_in_which_all_queues_are_open() {
    let mut play = Play::warm(vec![(SHARED, 1); 6], LIVELY);
    let before = play.schedule.expected_evenly(PERIOD);
    rest(&mut play, &[0, 1, 2, 3, 4], true);
    assert_eq!(play.schedule.expected_evenly(PERIOD), before);
}

/// A queue that was never polled because it rested is polled as soon as it wakes, instead of in its turn.
#[test]
fn a_queue_that_wakes_for_the_first_time_is_polled_at_once() {
    let mut play = Play::new(vec![(SHARED, 1); 4], LIVELY);
    rest(&mut play, &[3], true);
    play.go(PERIOD * 8);
    assert_eq!(polls(&play, 3), 0);
    rest(&mut play, &[3], false);
    play.go(Duration::ZERO);
    assert_eq!(polls(&play, 3), 1);
}
