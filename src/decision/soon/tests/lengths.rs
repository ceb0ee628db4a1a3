//! How exactly the lengths of stays are kept, and the names of their statuses.

use super::*;

#[test]
fn stays_of_more_than_a_minute_are_predicted_too_also_from_a_file() {
    let lengths: Vec<_> = (0..2_000).map(|n| 100.0 + f64::from(n % 20)).collect();
    let learnt = learnt(&lengths);
    let stored = learnt.to_stored(moment(0.0));
    let read = Learnt::from_stored(stored, moment(0.0)).expect("it is sound");
    for learnt in [&learnt, &read] {
        // In wrap-up for 90 s. Half of the wrap-ups end in the middle of these 20 s.
        let stay = stay("Wrap-up", -90.0, 0.0);
        for (ahead, expected) in [(8.0, 0.0), (20.0, 0.5), (25.0, 0.75), (31.0, 1.0)] {
            let chance = learnt.chance(&stay, moment(ahead).boot);
            assert!((chance - expected).abs() < 0.05, "{ahead}: {chance}");
        }
    }
}

#[test]
fn no_stay_is_taken_to_end_before_it_does() {
    for tenth in 0..10 {
        let lasts = 91.0 + f64::from(tenth) / 10.0;
        let learnt = learnt(&vec![lasts; 2_000]);
        // In wrap-up for 60 s.
        let stay = stay("Wrap-up", -60.0, 0.0);
        let chance_after = |lasted: f64| learnt.chance(&stay, moment(lasted - 60.0).boot);
        let (early, late) = (chance_after(91.0), chance_after(92.0));
        assert!(early < 0.02, "{lasts}: {early}");
        assert!(late > 0.9, "{lasts}: {late}");
    }
}

#[test]
fn nothing_is_learnt_about_no_status_or_a_name_that_is_too_long() {
    let mut learnt = Learnt::new(moment(0.0));
    for name in ["", &"x".repeat(MAX_NAME + 1)] {
        learnt.learn(&passed(name, 20.0, true));
        assert_eq!(learnt.stays(), 0, "{name}");
    }
    learnt.learn(&passed(&"x".repeat(MAX_NAME), 20.0, true));
    assert_eq!(learnt.stays(), 1);
}

#[test]
fn what_was_learnt_has_the_text_of_current_stays_also_after_a_restart() {
    let stored = learnt(&[20.0; 100]).to_stored(moment(0.0));
    let mut learnt = Learnt::from_stored(stored, moment(0.0)).expect("it is sound");
    let kept = stay("Wrap-up", 0.0, 10.0);
    let passed = follow(&mut Some(kept.clone()), &look("Wrap-up", Some(0.0), 12.0));
    learnt.learn(&passed.expect("time has passed"));
    let name = learnt.short_statuses().next().expect("it is short");
    assert!(std::ptr::eq(name, kept.status()));
}

/// Returns the stay as it is after it was kept with this moment.
fn kept(stay: &Stay, at: Duration) -> Stay {
    let packed = stay.packed(at);
    packed.unpacked(stay.clone().into_status(), stay.since(), at)
}

/// Follows a stay that ends after `until`, with a look `every` so many seconds, and keeps it in between. The moment it is kept with is that of the look, or
/// later by `off`. Returns the time that looks saw pass, its length as learnt, and as it was.
fn followed(until: f64, every: f64, is_dated: bool, off: f64) -> [f64; 3] {
    let mut known = None;
    let mut see = |status: &str, since: f64, at: f64| {
        let passed = follow(&mut known, &look(status, is_dated.then_some(since), at));
        let stay = known.take().expect("a look begins a stay");
        known = Some(kept(&stay, stay.seen() + Duration::from_secs_f64(off)));
        passed
    };
    see("On call", -40.0, -0.004);
    let mut last = 0.003;
    see("Wrap-up", 0.0, last);
    let mut time = 0.003;
    while last < until {
        last += every;
        time += see("Wrap-up", 0.0, last).map_or(0.0, |passed| passed.time.as_secs_f64());
    }
    let ended = see("Available", last + 0.001, last + 0.007);
    let lasted = ended.and_then(|passed| passed.ended?.lasted);
    let lasted = lasted.expect("its length is known").as_secs_f64();
    [time, lasted, last]
}

#[test]
fn a_stay_that_is_kept_from_look_to_look_is_the_same_afterwards_however_long_it_lasts() {
    for every in [0.0173_f64, 5.003, 61.7] {
        for until in [2.0, 35.0, 90.0, 290.0, 640.0, 2_000.0] {
            for (is_dated, off) in [(true, 0.0), (false, 0.0), (true, 0.004), (true, 7.0)] {
                let [time, lasted, last] = followed(until, every, is_dated, off);
                let context = format!("{every} {until} {is_dated} {off}: {time} {lasted} {last}");
                // Kept with another moment, each look is known to a step of 10 ms.
                let is_exact = (time - last).abs() < 1e-6;
                assert!(is_exact || off > 0.0, "{context}");
                // Its beginning and its end are each known to a step. Longer ones are not told apart.
                let is_right = (lasted - last).abs() < 0.021 || lasted.min(last) > 600.0;
                assert!(is_right, "{context}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_chance_is_overstated(
        lengths in prop::collection::vec(20_u32..300, 1..20),
        lasted in 20_u32..250,
        ahead in 0_u32..60,
    ) {
        // So many that what was assumed has faded. Three quarters end early, so that the status is short.
        let all: Vec<_> = (0..4_000).map(|n| match n % 4 {
            0 => lengths[n / 4 % lengths.len()],
            _ => 20,
        }).collect();
        let fadings = |n: usize| 0.998_f64.powi((all.len() - n) as i32);
        let reached = |length: u32| -> f64 {
            let longer = all.iter().enumerate().filter(|(_, one)| **one >= length);
            longer.map(|(n, _)| fadings(n)).sum()
        };
        let (not_ended, left) = (reached(lasted), reached(lasted + ahead));
        // Those who stay for longer than all others are predicted otherwise.
        prop_assume!(not_ended > 0.01 * reached(0));
        let lengths: Vec<_> = all.iter().map(|length| f64::from(*length)).collect();
        let stay = stay("Wrap-up", -f64::from(lasted), 0.0);
        let chance = learnt(&lengths).chance(&stay, moment(ahead.into()).boot);
        let exact = 1.0 - left / not_ended;
        prop_assert!(chance <= exact + 0.02, "{chance} {exact}");
        if lasted + ahead <= 120 {
            prop_assert!(chance >= exact - 0.02, "{chance} {exact}");
        }
    }
}
