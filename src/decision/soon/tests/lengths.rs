//! How exactly the lengths of stays are kept, and the names of their statuses.

use super::*;
use crate::decision::soon::stay::Statuses;

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
fn a_long_name_takes_no_number_and_the_known_ones_stay_when_all_are_taken() {
    let mut statuses = Statuses::default();
    let mut is_kept = |name: &str| {
        let packed = stay(name, 0.0, 10.0).packed(&mut statuses);
        packed.is_some_and(|packed| packed.unpacked(&statuses).status() == name)
    };
    assert!(!is_kept(&"x".repeat(MAX_NAME + 1)));
    for n in 0..256 {
        assert!(is_kept(&format!("Status {n}")), "{n}");
    }
    assert!(!is_kept("Status 256"));
    assert!(is_kept("Status 0") && is_kept("Status 255"));
}

#[test]
fn what_was_learnt_has_the_text_of_current_stays_also_after_a_restart() {
    let stored = learnt(&[20.0; 100]).to_stored(moment(0.0));
    let mut learnt = Learnt::from_stored(stored, moment(0.0)).expect("it is sound");
    let mut statuses = Statuses::default();
    let packed = stay("Wrap-up", 0.0, 10.0).packed(&mut statuses);
    let kept = packed.expect("a number is left").unpacked(&statuses);
    let passed = follow(&mut Some(kept.clone()), &look("Wrap-up", Some(0.0), 12.0));
    learnt.learn(&passed.expect("time has passed"));
    let name = learnt.short_statuses().next().expect("it is short");
    assert!(std::ptr::eq(name, kept.status()));
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
