use super::*;

fn at(seconds: u64) -> Time {
    Duration::from_secs(seconds)
}

/// Returns the remaining silence, in seconds.
fn silence(throttle: &Throttle, now: u64) -> u64 {
    let until = throttle.silence(at(now));
    until.map_or(0, |until| (until - at(now)).as_secs())
}

#[test]
fn a_429_causes_silence_and_a_lower_share_that_recovers() {
    let mut throttle = Throttle::default();
    throttle.refused(Some(at(30)), at(100), 0.0);
    assert_eq!((silence(&throttle, 100), silence(&throttle, 131)), (30, 0));
    assert!((throttle.factor(at(100)) - 0.7).abs() < 1e-9);
    assert!((throttle.factor(at(100 + 1_080)) - 0.85).abs() < 1e-9);
    assert_eq!(throttle.factor(at(100 + 2_160)), 1.0);
}

#[test]
fn requests_refused_together_lower_the_share_once() {
    let mut throttle = Throttle::default();
    throttle.refused(Some(at(30)), at(100), 0.0);
    throttle.refused(Some(at(90)), at(100), 0.0);
    assert!((throttle.factor(at(100)) - 0.7).abs() < 1e-9);
    assert_eq!(silence(&throttle, 100), 90);
}

#[test]
fn without_a_given_wait_the_silence_doubles_up_to_an_hour() {
    let mut throttle = Throttle::default();
    let mut now = 100;
    let mut silences = Vec::new();
    for _ in 0..8 {
        throttle.refused(None, at(now), 0.0);
        silences.push(silence(&throttle, now));
        now += silence(&throttle, now) + 1;
    }
    assert_eq!(silences, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    throttle.refused(None, at(now + 3600), 0.0);
    assert_eq!(silence(&throttle, now + 3600), 60, "it starts again");
}

#[test]
fn the_share_never_falls_to_zero() {
    let mut throttle = Throttle::default();
    for i in 1..100 {
        throttle.refused(Some(at(1)), at(i * 2), 0.0);
    }
    assert!(throttle.factor(at(200)) >= FLOOR);
}

#[test]
fn a_pause_is_silence_at_the_same_share() {
    let mut throttle = Throttle::default();
    throttle.pause(at(120), at(100), 0.0);
    assert_eq!(
        (throttle.pause_end(at(100)), throttle.factor(at(100))),
        (Some(at(220)), 1.0)
    );
    assert_eq!(throttle.silence(at(100)), None, "others are not to blame");
    throttle.pause(at(5), at(110), 0.0);
    assert_eq!(
        throttle.pause_end(at(110)),
        Some(at(220)),
        "a shorter pause does not cut a longer one short"
    );
    throttle.pause(at(999_999), at(300), 0.0);
    assert_eq!(
        throttle.pause_end(at(300)),
        Some(at(3_900)),
        "no pause is longer than an hour"
    );
}

#[test]
fn joined_throttles_keep_the_lower_share_and_the_longer_silence() {
    let (mut lowered, mut silent) = (Throttle::default(), Throttle::default());
    lowered.refused(Some(at(1)), at(100), 0.0);
    silent.pause(at(500), at(100), 0.0);
    let now = at(200);
    for (mut one, other) in [(lowered, silent), (silent, lowered)] {
        one.join(other, now);
        assert_eq!(one.factor(now), lowered.factor(now));
        assert_eq!(one.silent_until, lowered.silent_until);
        assert_eq!(one.paused_until, silent.paused_until);
    }
}

#[test]
fn a_very_short_wait_is_believed_only_once() {
    let mut throttle = Throttle::default();
    throttle.refused(Some(at(1)), at(100), 0.0);
    // Another request that was under way.
    throttle.refused(Some(at(1)), at(100), 0.0);
    assert_eq!(silence(&throttle, 100), 1);
    throttle.refused(Some(at(1)), at(102), 0.0);
    assert_eq!(silence(&throttle, 102), 60);
    throttle.refused(Some(at(1)), at(163), 0.0);
    assert_eq!(silence(&throttle, 163), 120);
    // A longer wait is believed, and long after the last 429 so is a short one.
    throttle.refused(Some(at(30)), at(300), 0.0);
    assert_eq!(silence(&throttle, 300), 30);
    throttle.refused(Some(at(1)), at(5_000), 0.0);
    assert_eq!(silence(&throttle, 5_000), 1);
}
