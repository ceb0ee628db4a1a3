//! What the rule learns from stays, what it predicts, and when it may act.

mod bets;
mod deciding;
mod lengths;
mod words;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    calibration::{AtZero, Calibration, Free, tenth},
    learnt::{Learnt, MAX_NAME, MAX_STATUSES},
    rule::{BadCost, Held, HeldSince, Off, Prediction, Seats, Terms, likely, may_act},
    stay::{AsOf, Ended, Passed, Stay, follow},
    week::Calls,
};
use crate::{clock::Moment, model::known::Presence};

const START: u64 = 1_795_341_000;
const HOUR: f64 = 3_600.0;

fn moment(seconds: f64) -> Moment {
    let boot = Duration::from_secs_f64(200_000.0 + seconds);
    let wall = boot + Duration::from_secs(START - 200_000);
    Moment { boot, wall }
}

fn date(seconds: f64) -> Timestamp {
    moment(seconds).timestamp()
}

/// A look at `at`; `since` is the date that CallTools gives.
fn look(status: &str, since: Option<f64>, at: f64) -> Presence {
    Presence {
        available: status == "Available",
        status: Some(status.into()),
        since: since.map(date),
        at: moment(at),
        stored: false,
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn terms(lead: f64, patience: f64) -> Terms {
    Terms::new(seconds(lead), seconds(patience), 2.0).expect("a cost of 2 is valid")
}

/// The ends of stays that looks at one agent reveal.
fn ends(looks: impl IntoIterator<Item = Presence>) -> Vec<Ended> {
    let mut stay = None;
    let passed = looks
        .into_iter()
        .filter_map(|look| follow(&mut stay, &look));
    passed.filter_map(|passed| passed.ended).collect()
}

fn ended(lasted: f64, available: bool) -> Ended {
    Ended {
        lasted: Some(seconds(lasted)),
        available,
    }
}

fn passed(status: &str, lasted: f64, available: bool) -> Passed {
    Passed {
        status: status.into(),
        time: seconds(lasted),
        ended: Some(ended(lasted, available)),
    }
}

/// An account in which wrap-ups of these lengths were seen.
fn learnt(wrap_ups: &[f64]) -> Learnt {
    let mut learnt = Learnt::new(moment(-2.0 * HOUR));
    for lasted in wrap_ups {
        learnt.learn(&passed("Wrap-up", *lasted, true));
    }
    learnt
}

fn stay(status: &str, since: f64, seen: f64) -> Stay {
    let mut stay = None;
    follow(&mut stay, &look(status, Some(since), seen));
    stay.expect("a look begins a stay")
}

/// A day of an agent: a call, then exactly 20 s of wrap-up, then a moment available. Returns the changes.
fn day(dice: &mut fastrand::Rng, until: f64) -> Vec<(f64, &'static str)> {
    let (mut at, mut changes) = (-300.0 * dice.f64(), Vec::new());
    while at < until {
        changes.push((at, "On call"));
        at += 1.0 - 90.0 * (1.0 - dice.f64()).ln();
        changes.push((at, "Wrap-up"));
        at += 20.0;
        changes.push((at, "Available"));
        at += 1.0 + 20.0 * dice.f64();
    }
    changes
}

fn status_at<'a>(day: &[(f64, &'a str)], at: f64) -> (f64, &'a str) {
    let place = day.partition_point(|(start, _)| *start <= at);
    day[place.saturating_sub(1)]
}

#[test]
fn agents_with_exact_wrap_ups_are_predicted_after_an_hour_with_and_without_dates() {
    for is_dated in [true, false] {
        let mut dice = fastrand::Rng::with_seed(7);
        let days: Vec<_> = (0..12).map(|_| day(&mut dice, 3.0 * HOUR)).collect();
        let mut stays: Vec<Option<Stay>> = vec![None; days.len()];
        let mut learnt = Learnt::new(moment(0.0));
        let terms = terms(5.0, 5.0);
        // In tenths: the sum of predictions, how many came true, and their number.
        let mut tenths = [(0.0, 0.0, 0_u32); 10];
        for tick in 0..3_600 {
            let at = f64::from(tick) * 2.0;
            for (day, known) in days.iter().zip(&mut stays) {
                let (start, status) = status_at(day, at);
                let look = look(status, is_dated.then_some(start), at);
                if let Some(passed) = follow(known, &look) {
                    learnt.learn(&passed);
                }
                let Some(stay) = known.as_ref().filter(|stay| !stay.is_available()) else {
                    continue;
                };
                if at < HOUR || status != "Wrap-up" {
                    continue;
                }
                let chance = learnt.chance(stay, terms.until(moment(at)));
                let came = start + 20.0 <= at + 10.0;
                let tenth = &mut tenths[((chance * 10.0) as usize).min(9)];
                tenth.0 += chance;
                tenth.1 += f64::from(u8::from(came));
                tenth.2 += 1;
            }
        }
        assert!(learnt.short_statuses().eq(["Wrap-up"]), "{is_dated}");
        let counted: u32 = tenths.iter().map(|tenth| tenth.2).sum();
        assert!(counted > 1_000, "{counted}");
        for (predicted, came, times) in tenths.iter().filter(|tenth| tenth.2 > counted / 20) {
            let times = f64::from(*times);
            let error = (predicted - came) / times;
            // Without dates a change is known only to the interval between looks, so a tenth of the wrap-ups is at the edge.
            let allowed = if is_dated { 0.05 } else { 0.15 };
            assert!(error.abs() <= allowed, "{is_dated}: {tenths:?}");
        }
        let predicted: f64 = tenths.iter().map(|tenth| tenth.0).sum();
        let came: f64 = tenths.iter().map(|tenth| tenth.1).sum();
        assert!(
            (predicted - came).abs() <= 0.05 * f64::from(counted),
            "{is_dated}: {tenths:?}"
        );
    }
}

#[test]
fn a_stay_is_measured_by_its_dates_or_else_between_looks() {
    let dated = [
        look("Wrap-up", Some(0.0), 3.0),
        look("Wrap-up", Some(0.0), 9.0),
        look("Available", Some(20.0), 24.0),
    ];
    assert_eq!(ends(dated), [ended(20.0, true)]);
    let undated = [
        look("On call", None, 0.0),
        look("Wrap-up", None, 4.0),
        look("Wrap-up", None, 20.0),
        look("Available", None, 24.0),
    ];
    assert_eq!(ends(undated)[1..], [ended(20.0, true)]);
    let too_far_apart = [
        look("On call", None, 0.0),
        look("Wrap-up", None, 60.0),
        look("Available", None, 120.0),
    ];
    assert_eq!(ends(too_far_apart)[1].lasted, None);
}

#[test]
fn an_unseen_change_does_not_end_a_stay() {
    let looks = [
        look("Wrap-up", Some(0.0), 3.0),
        look("Wrap-up", Some(50.0), 60.0),
    ];
    assert_eq!(ends(looks), []);
}

#[test]
fn a_stay_from_a_file_is_never_counted_again() {
    let mut stored = look("Wrap-up", Some(0.0), 3.0);
    stored.stored = true;
    let looks = [
        stored,
        look("Wrap-up", Some(0.0), 9.0),
        look("Available", Some(20.0), 24.0),
        look("Wrap-up", Some(30.0), 31.0),
        look("Available", Some(50.0), 51.0),
    ];
    assert_eq!(ends(looks), [ended(20.0, true)]);
}

#[test]
fn an_agent_who_logs_off_in_wrap_up_did_not_return() {
    let looks = [
        look("Wrap-up", Some(0.0), 3.0),
        look("Offline", Some(15.0), 18.0),
    ];
    assert_eq!(ends(looks), [ended(15.0, false)]);
    let mut learnt = learnt(&[20.0; 100]);
    let before = learnt.chance(&stay("Wrap-up", 0.0, 10.0), moment(25.0).boot);
    for _ in 0..100 {
        learnt.learn(&passed("Wrap-up", 15.0, false));
    }
    let after = learnt.chance(&stay("Wrap-up", 0.0, 10.0), moment(25.0).boot);
    assert!(after < 0.6 && before > 0.9, "{before} {after}");
    // An agent who went home in wrap-up is not predicted to return.
    assert!(learnt.chance(&stay("Wrap-up", -HOUR, 10.0), moment(25.0).boot) < 0.4);
}

#[test]
fn a_renamed_status_keeps_what_was_learnt_and_does_not_end_a_stay() {
    let looks = [
        look("Wrap-up", Some(0.0), 3.0),
        look("After call", Some(0.0), 6.0),
        look("Available", Some(20.0), 24.0),
    ];
    assert_eq!(ends(looks), [ended(20.0, true)]);
    let mut learnt = learnt(&[20.0; 100]);
    let (was, until) = (stay("Wrap-up", 0.0, 10.0), moment(25.0).boot);
    let before = learnt.chance(&was, until);
    learnt.rename(&[("Wrap-up".into(), "After call".into())]);
    assert_eq!(learnt.chance(&was, until), 0.0);
    assert_eq!(learnt.chance(&stay("After call", 0.0, 10.0), until), before);
}

#[test]
fn rows_that_show_a_new_name_before_the_list_of_statuses_lose_nothing() {
    let mut learnt = learnt(&[20.0; 100]);
    let until = moment(25.0).boot;
    let chance = |learnt: &Learnt, status| learnt.chance(&stay(status, 0.0, 10.0), until);
    let before = chance(&learnt, "Wrap-up");
    for _ in 0..3 {
        learnt.learn(&passed("After call", 20.0, true));
    }
    assert!(learnt.short_statuses().eq(["Wrap-up"]));
    learnt.rename(&[("Wrap-up".into(), "After call".into())]);
    assert_eq!(learnt.short_stays(), 103);
    assert!(learnt.short_statuses().eq(["After call"]));
    assert_eq!(chance(&learnt, "Wrap-up"), 0.0);
    let after = chance(&learnt, "After call");
    assert!(after >= before && after < 1.0, "{before} {after}");

    // The same as if the name had been the new one all along.
    let mut renamed_before = self::learnt(&[20.0; 100]);
    renamed_before.rename(&[("Wrap-up".into(), "After call".into())]);
    for _ in 0..3 {
        renamed_before.learn(&passed("After call", 20.0, true));
    }
    let as_one = chance(&renamed_before, "After call");
    assert!((after - as_one).abs() < 1e-4, "{after} {as_one}");
}

#[test]
fn the_first_return_from_a_rare_status_predicts_little() {
    let mut learnt = learnt(&[20.0; 100]);
    learnt.learn(&passed("Meeting", 3.0, true));
    let until = moment(25.0).boot;
    let chance = learnt.chance(&stay("Meeting", 0.0, 10.0), until);
    assert!(chance > 0.0 && chance < 0.05, "{chance}");
}

#[test]
fn two_statuses_can_swap_their_names() {
    let mut learnt = learnt(&[20.0; 100]);
    for _ in 0..40 {
        learnt.learn(&passed("Pause", 90.0, true));
    }
    let (wrap_up, pause) = ("Wrap-up".into(), "Pause".into());
    learnt.rename(&[(Arc::clone(&wrap_up), Arc::clone(&pause)), (pause, wrap_up)]);
    assert_eq!(learnt.short_stays(), 140);
    let until = moment(25.0).boot;
    let chance = |status| learnt.chance(&stay(status, 0.0, 10.0), until);
    assert!(chance("Pause") > 0.8 && chance("Wrap-up") < 0.3);
}

#[test]
fn the_longer_an_agent_is_known_not_to_have_come_the_less_likely_they_come() {
    let learnt = learnt(&[20.0; 100]);
    // Seen in wrap-up 10 s after it began, and not on a list of available agents since.
    let stay = stay("Wrap-up", 0.0, 10.0);
    let as_of = |away: f64| AsOf {
        lasted: stay.seen(),
        away: moment(away).boot,
    };
    let chance = |away: f64| learnt.chance_as_of(&stay, as_of(away), moment(away + 10.0).boot);
    assert_eq!(chance(10.0), learnt.chance(&stay, moment(20.0).boot));
    let (soon, late, later) = (chance(15.0), chance(60.0), chance(250.0));
    assert!(soon > 0.8, "{soon}");
    assert!(late < 0.3 && later < 0.05, "{late} {later}");
    assert_eq!(chance(300.0), 0.0, "in wrap-up for five minutes or gone");
    assert_eq!(learnt.free_by(&stay, as_of(250.0)), None);
    assert!(learnt.free_by(&stay, as_of(12.0)).is_some());
}

#[test]
fn an_agent_is_expected_when_half_of_such_stays_have_ended() {
    let learnt = learnt(&[20.0; 100]);
    let free_by = |stay: &Stay| learnt.free_by(stay, stay.as_seen());
    let by = free_by(&stay("Wrap-up", 0.0, 10.0)).expect("within five minutes");
    let by = by.abs_diff(moment(20.5).boot);
    assert!(by <= seconds(0.5), "{by:?}");
    assert_eq!(free_by(&stay("Never seen", 0.0, 10.0)), None);
}

#[test]
fn of_a_thousand_statuses_the_busiest_are_kept() {
    let mut learnt = learnt(&[20.0; 100]);
    for n in 0..1_000 {
        learnt.learn(&passed(&format!("Status {n}"), 10.0, true));
    }
    learnt.learn(&passed(&"x".repeat(MAX_NAME + 1), 10.0, true));
    assert_eq!(learnt.short_stays(), 100, "the busiest status stays");
    let stored = learnt.to_stored(moment(0.0));
    let mut stored = serde_json::to_value(&stored).expect("numbers and texts");
    let statuses = stored["statuses"].as_array_mut().expect("a list");
    assert_eq!(statuses.len(), MAX_STATUSES);
    // An earlier version kept more.
    let rare = statuses.iter().find(|one| one["stays"] == 1).expect("rare");
    let mut all = vec![rare.clone(); 24];
    all.append(statuses);
    *statuses = all;
    let stored = serde_json::from_value(stored).expect("the same form");
    let kept = Learnt::from_stored(stored, moment(0.0)).expect("it is valid");
    assert_eq!(kept.short_stays(), 100, "the busiest status stays");
}

#[test]
fn the_rule_acts_after_an_hour_and_a_hundred_stays_in_a_short_status() {
    let now = moment(0.0);
    let enough = learnt(&[20.0; 100]);
    assert_eq!(may_act(&enough, 1.0, true, now), Ok(()));
    assert_eq!(may_act(&enough, 1.0, false, now), Err(Off::FeedNotProven));
    assert_eq!(
        may_act(&enough, 0.59, true, now),
        Err(Off::BadlyCalibrated(0.59))
    );
    assert_eq!(
        may_act(&learnt(&[20.0; 99]), 1.0, true, now),
        Err(Off::FewStays(99))
    );
    // That no status is short is never said where too little was seen to tell, however long that takes.
    for later in [0.0, 22.0 * HOUR, 100.0 * HOUR] {
        for (stays, off) in [
            (0, Off::NoStays),
            (1, Off::TooFewToTell(1)),
            (19, Off::TooFewToTell(19)),
            (20, Off::NoShortStatus(20)),
            (200, Off::NoShortStatus(200)),
        ] {
            let long = learnt(&vec![250.0; stays]);
            assert_eq!(may_act(&long, 1.0, true, moment(later)), Err(off));
        }
    }
    let soon = moment(-2.0 * HOUR + 3_599.0);
    assert_eq!(
        may_act(&enough, 1.0, true, soon),
        Err(Off::TooNew(seconds(3_599.0)))
    );
    // A wall clock that is set neither makes an hour nor takes one away.
    let set_forward = Moment {
        wall: now.wall,
        ..soon
    };
    assert!(may_act(&enough, 1.0, true, set_forward).is_err());
    let set_back = Moment {
        wall: now.wall - seconds(5.0 * HOUR),
        ..now
    };
    assert_eq!(may_act(&enough, 1.0, true, set_back), Ok(()));
}

#[test]
fn only_costs_that_leave_a_gain_are_accepted() {
    for cost in [0.0, -1.0, 3.1, f64::NAN, f64::INFINITY] {
        let refused = Terms::new(seconds(5.0), seconds(5.0), cost).map_err(|BadCost(cost)| cost);
        assert!(refused.is_err(), "{cost}");
    }
    assert_eq!(terms(5.0, 5.0).needed(), 2.0 / 3.0);
}

#[test]
fn the_rule_applies_only_if_no_agent_is_free_and_none_is_missing() {
    let bets = |count: u32, threshold: f64, all, bets| {
        let seats = Seats {
            count: count.into(),
            threshold,
            held: Held {
                all,
                bets,
                ..Held::default()
            },
        };
        seats.bets_at_threshold()
    };
    // More than half an agent is at least one.
    for part in [0.0, 0.5, 0.999] {
        let bets = |count, whole: f64, all, held| bets(count, whole + part, all, held);
        assert_eq!(bets(0, 0.0, 0, 0), Some(0));
        assert_eq!(bets(3, 2.0, 1, 0), Some(0));
        assert_eq!(bets(1, 0.0, 0, 0), None, "an agent is free");
        assert_eq!(bets(0, 0.0, 1, 0), None, "an agent is missing");
        assert_eq!(bets(0, 0.0, 1, 1), Some(1), "a call counts on a wrap-up");
        assert_eq!(bets(1, 0.0, 1, 1), Some(0), "that wrap-up has ended");
        assert_eq!(bets(2, 0.0, 1, 1), None);
        assert_eq!(bets(0, 1.0, 1, 1), None, "another agent is missing");
        assert_eq!(bets(0, f64::from(u32::MAX), u32::MAX, 0), None);
    }
}

#[test]
fn a_call_on_its_way_uses_up_the_likeliest_wrap_up() {
    let chances = [0.2, 0.9, 0.5];
    assert!((likely(chances, 0) - 0.96).abs() < 1e-9);
    assert!((likely(chances, 1) - 0.6).abs() < 1e-9);
    assert_eq!(likely(chances, 3), 0.0);
    assert_eq!(likely([], 0), 0.0);
}

/// A prediction without the agents who take calls that were accepted by `before`.
fn at_zero(likely: f64, before: f64) -> AtZero {
    AtZero {
        likely,
        terms: terms(5.0, 5.0),
        before: moment(before).boot,
    }
}

/// One agent is free since then.
fn free(since: Option<f64>) -> Free {
    Free {
        since: since.into_iter().map(|since| moment(since).boot).collect(),
        ..Free::default()
    }
}

#[test]
fn predictions_are_compared_with_looks_between_lead_and_patience() {
    let mut calibration = Calibration::default();
    let look_at = |calibration: &mut Calibration, at, seat: bool| {
        let settled = calibration.look(0, moment(at), || free(seat.then_some(at)));
        settled.iter().map(|one| one.seen()).collect::<Vec<_>>()
    };
    let none: [bool; 0] = [];
    let is_asked = || panic!("nothing waits for this look");
    assert_eq!(calibration.look(0, moment(0.0), is_asked), []);
    calibration.predict(0, at_zero(0.8, 0.0), (0, 0), moment(0.0));
    calibration.predict(0, at_zero(0.8, 0.0), (0, 0), moment(3.9)); // Nearly the same situation.
    assert_eq!(look_at(&mut calibration, 4.0, true), none); // Too early for the call.
    assert_eq!(look_at(&mut calibration, 7.0, true), none);
    assert_eq!(look_at(&mut calibration, 9.0, false), none); // The call has found its agent.
    assert_eq!(look_at(&mut calibration, 11.0, false), [true]);
    // No look in time, so the outcome is unknown.
    calibration.predict(0, at_zero(0.8, 0.0), (0, 0), moment(20.0));
    assert_eq!(look_at(&mut calibration, 40.0, true), none);
    let seat_since = Some(30.0);
    calibration.predict(0, at_zero(0.8, 0.0), (0, 0), moment(25.0));
    assert_eq!(calibration.look(0, moment(40.0), || free(seat_since)), []);
    assert_eq!(calibration.factor(), 1.0);
    for n in 0..200 {
        let at = 60.0 + 20.0 * f64::from(n);
        calibration.predict(0, at_zero(0.9, 0.0), (0, 0), moment(at));
        look_at(&mut calibration, at + 7.0, false);
        look_at(&mut calibration, at + 11.0, false);
    }
    assert!(calibration.factor() < 0.2, "{}", calibration.factor());
}

#[test]
fn a_look_after_the_call_gave_up_shows_whether_a_seat_came_in_time() {
    let mut calibration = Calibration::default();
    let (on_a_call_at_7, long_before) = (6.0, -500.0);
    for (n, came, seen) in [
        (0, 9.0, true),
        (1, 10.0, true),
        (2, 10.1, false),
        (3, on_a_call_at_7, false),
        (4, long_before, false),
    ] {
        let begin = 100.0 * f64::from(n);
        let seat_since = Some(begin + came);
        calibration.predict(0, at_zero(0.8, 0.0), (0, 0), moment(begin));
        assert_eq!(calibration.look(0, moment(begin + 7.0), || free(None)), []);
        let settled = calibration.look(0, moment(begin + 11.0), || free(seat_since));
        let settled: Vec<_> = settled.iter().map(|one| one.seen()).collect();
        assert_eq!(settled, [seen], "{came}");
    }
}

#[test]
fn a_situation_has_the_probability_that_callers_were_told() {
    let mut calibration = Calibration::default();
    let mut last = 10;
    for n in 0..100 {
        let begin = 20.0 * f64::from(n);
        let factor = calibration.factor();
        calibration.predict(0, at_zero(0.9, 0.0), (0, 0), moment(begin));
        calibration.look(0, moment(begin + 7.0), || free(None));
        for outcome in calibration.look(0, moment(begin + 11.0), || free(None)) {
            let told = tenth(0.9 * factor);
            assert_eq!((outcome.likely, outcome.tenth), (0.9, told));
            last = told;
        }
    }
    assert!(last < 3, "{last}");
}

#[test]
fn what_was_seen_counts_half_after_two_hours_and_only_if_it_was_likely() {
    let mut calibration = Calibration::default();
    let mut factors = Vec::new();
    for (likely, begin) in [(0.9, 0.0), (0.6, 600.0), (0.9, 2.0 * HOUR)] {
        calibration.predict(0, at_zero(likely, 0.0), (0, 0), moment(begin));
        calibration.look(0, moment(begin + 7.0), || free(None));
        assert_eq!(
            calibration
                .look(0, moment(begin + 11.0), || free(None))
                .len(),
            1
        );
        factors.push(calibration.factor());
    }
    // Nobody came. Twenty situations are assumed in which predictions were right.
    for (factor, predicted) in factors.iter().zip([0.9, 0.9, 0.45 + 0.9]) {
        assert!(
            (factor - 20.0 / (20.0 + predicted)).abs() < 1e-9,
            "{factors:?}"
        );
    }
}

#[test]
fn agents_who_take_calls_that_came_before_do_not_count() {
    let boot = |at: &[f64]| at.iter().map(|at| moment(*at).boot).collect::<Vec<_>>();
    // Since when agents are free, when calls on their way got a seat or counted on an agent, and how many agents are left for a call at 10.5 s.
    for (since, seats, bets, came) in [
        (&[16.0][..], &[][..], &[5.0, 10.5][..], 0),
        (&[16.0, 17.0], &[], &[5.0, 10.5], 1),
        // The call before has its agent.
        (&[16.0], &[], &[10.5], 1),
        (&[16.0, 17.0, 25.0], &[], &[5.0], 1),
        (&[16.0], &[9.0], &[10.5], 0),
        // A later call.
        (&[16.0], &[12.0], &[10.5], 1),
    ] {
        let mut calibration = Calibration::default();
        calibration.predict(0, at_zero(0.8, 10.0), (1, 1), moment(11.0));
        let free = || Free {
            since: boot(since),
            held: HeldSince {
                seats: boot(seats),
                bets: boot(bets),
            },
        };
        calibration.look(0, moment(18.0), free);
        let settled = calibration.look(0, moment(30.0), Free::default);
        assert_eq!(settled[0].came, came, "{since:?} {seats:?} {bets:?}");
    }
}

/// One agent's statuses, with the length of each.
fn life() -> impl Strategy<Value = Vec<(usize, f64)>> {
    prop::collection::vec((0..4_usize, 0.5..90.0_f64), 2..30)
}

fn changes(life: &[(usize, f64)]) -> Vec<(f64, &'static str)> {
    let mut at = 0.0;
    let change = |(status, lasts): &(usize, f64)| {
        let start = at;
        at += lasts;
        (start, ["On call", "Wrap-up", "Available", "Break"][*status])
    };
    let mut changes: Vec<_> = life.iter().map(change).collect();
    changes.dedup_by_key(|(_, status)| *status);
    changes
}

proptest! {
    #[test]
    fn a_probability_is_at_most_one_and_falls_with_a_shorter_lead(
        wrap_ups in prop::collection::vec(0.0..400.0_f64, 0..200),
        members in prop::collection::vec((0.0..600.0_f64, 0.0..60.0_f64, 0.0..1.0_f64), 0..20),
        mut leads in prop::collection::vec(0.0..120.0_f64, 2),
        taken in 0..4_usize,
    ) {
        let learnt = learnt(&wrap_ups);
        leads.sort_by(f64::total_cmp);
        let predicted = leads.iter().map(|lead| {
            let until = terms(*lead, 5.0).until(moment(0.0));
            let chance = |(elapsed, age, since): &(f64, f64, f64)| {
                let stay = stay("Wrap-up", -elapsed - age, -age);
                let away = moment(-age * since).boot;
                learnt.chance_as_of(&stay, AsOf { away, ..stay.as_seen() }, until)
            };
            likely(members.iter().map(chance), taken)
        });
        let predicted: Vec<f64> = predicted.collect();
        prop_assert!(predicted.iter().all(|likely| (0.0..=1.0).contains(likely)), "{predicted:?}");
        prop_assert!(predicted[0] <= predicted[1] + 1e-9, "{predicted:?}");
    }

    #[test]
    fn nothing_is_predicted_without_a_short_status_or_returns_from_it(
        lengths in prop::collection::vec(0.0..400.0_f64, 0..150),
        elapsed in 0.0..600.0_f64,
        lead in 0.0..120.0_f64,
    ) {
        let mut learnt = learnt(&[20.0; 50]);
        for lasted in lengths {
            learnt.learn(&passed("On call", lasted, false));
        }
        let until = terms(lead, 5.0).until(moment(0.0));
        for status in ["On call", "Never seen"] {
            let chance = learnt.chance(&stay(status, -elapsed, 0.0), until);
            prop_assert_eq!(chance, 0.0, "{}", status);
        }
    }

    #[test]
    fn lists_that_show_a_change_again_or_late_count_it_only_once(
        life in life(),
        every in 0.5..20.0_f64,
        is_dated in any::<bool>(),
        again in prop::collection::vec(0..40_usize, 0..60),
    ) {
        let changes = changes(&life);
        let last = life.iter().map(|(_, lasts)| lasts).sum::<f64>();
        let looks: Vec<Presence> = (0..(last / every) as u32).map(|n| {
            let at = f64::from(n) * every;
            let (start, status) = status_at(&changes, at);
            look(status, is_dated.then_some(start), at)
        }).collect();
        let once = ends(looks.iter().cloned());
        // Each look comes once in order; earlier looks come again, at their own moment or from a copy that lags.
        let mut all = Vec::new();
        for (n, look) in looks.iter().enumerate() {
            all.push(look.clone());
            for back in again.iter().skip(n).take(2) {
                let old = &looks[n.saturating_sub(*back)];
                all.push(old.clone());
                if is_dated {
                    all.push(Presence { at: look.at, ..old.clone() });
                }
            }
        }
        prop_assert_eq!(ends(all), once.clone());
        prop_assert!(once.len() < changes.len().max(1));
    }

    #[test]
    fn a_status_that_is_renamed_at_any_time_ends_no_stay_and_begins_none(
        life in life(),
        // So often that each stay is seen: one under a new name after an unseen change cannot be told from one in another status.
        every in 0.3..0.5_f64,
        from in 0.0..1.0_f64,
    ) {
        let changes = changes(&life);
        let last = life.iter().map(|(_, lasts)| lasts).sum::<f64>();
        let ends_if_renamed_at = |renamed: f64| ends((0..(last / every) as u32).map(|n| {
            let at = f64::from(n) * every;
            let (start, status) = status_at(&changes, at);
            let is_new = status == "Wrap-up" && at >= renamed;
            look(if is_new { "After call" } else { status }, Some(start), at)
        }));
        prop_assert_eq!(ends_if_renamed_at(from * last), ends_if_renamed_at(f64::MAX));
    }

    #[test]
    fn jumping_clocks_make_no_stay_longer_or_shorter_than_looks_allow(
        life in life(),
        is_dated in any::<bool>(),
        jumps in prop::collection::vec((-100_000.0..100_000.0_f64, -100_000.0..100_000.0_f64), 30),
    ) {
        let changes = changes(&life);
        let (mut known, every): (Option<Stay>, f64) = (None, 2.0);
        let last = life.iter().map(|(_, lasts)| lasts).sum::<f64>();
        // The last look before the current stay was shown, and the first that showed it.
        let (mut before, mut first, mut shown) = (None, 0.0, None);
        for n in 0..(last / every) as u32 {
            let at = f64::from(n) * every;
            let place = changes.partition_point(|(start, _)| *start <= at) - 1;
            let (start, status) = changes[place];
            let (theirs, ours) = jumps[place];
            let mut look = look(status, is_dated.then_some(start + theirs), at);
            look.at.wall = moment(at + ours).wall;
            let was = known.clone();
            let passed = follow(&mut known, &look);
            let seen = was.as_ref().map(|was| (was.seen() - moment(0.0).boot).as_secs_f64());
            if let Some(lasted) = passed.and_then(|passed| passed.ended?.lasted) {
                let (lasted, seen) = (lasted.as_secs_f64(), seen.unwrap_or_default());
                prop_assert!(lasted >= seen - first - 1e-6, "{lasted} s, shown from {first} to {seen}");
                if let Some(before) = before {
                    prop_assert!(lasted <= at - before + 1e-6, "{lasted} s, from {before} to {at}");
                }
            }
            let is_taken = known.as_ref().is_some_and(|stay| stay.seen() == look.at.boot);
            // Without a date, a stay goes on if another one in between was not seen.
            let stay = (is_dated.then_some(place), status);
            if is_taken && shown.replace(stay) != Some(stay) {
                (before, first) = (seen, at);
            }
        }
    }
}
