//! Tests when the account is swept, and the resulting times between readings.

use super::*;

#[test]
fn lists_that_are_read_again_take_queue_slots_and_delay_no_sweep() {
    let by_name = Need {
        id: true,
        statuses: true,
        alone: false,
        undated: false,
    };
    for (queues, of_sweep) in [(3, 1), (30, 1), (30, 4)] {
        let mut play = Play::new(vec![(by_name, 1); queues], LIVELY);
        play.sweep = of_sweep;
        play.go(Duration::ZERO);
        assert_eq!(play.log[0].1, Job::Queues);
        (0..queues).for_each(|queue| play.schedule.id_known(queue));
        play.go(3 * HOUR);
        let turn = PERIOD.as_secs_f64() * f64::from(TURN);
        let sweeps = gaps(&play.times(is_sweep));
        let between = turn / f64::from(SWEEPS_IN_TURN);
        assert!(longest(&sweeps) < between + 1e-6, "{}", longest(&sweeps));
        for list in [Job::Queues, Job::Statuses] {
            let read = gaps(&play.times(|job| job == list));
            assert!((5..=6).contains(&read.len()), "{list:?}: {read:?}");
            let half_an_hour = NAMES_LIVE.as_secs_f64();
            assert!(longest(&read) < half_an_hour + 2.0 * turn, "{read:?}");
        }
        let lists = play.times(|job| matches!(job, Job::Queues | Job::Statuses));
        let apart = gaps(&lists[2..]).into_iter().fold(f64::MAX, f64::min);
        assert!(apart >= turn - 1e-6, "{apart}");
    }
}

#[test]
fn a_sweep_pays_while_it_costs_less_than_half_of_the_polls() {
    let cases: [(&[u32], &[u64], u32, bool); 10] = [
        (&[1], &[], 1, false),
        (&[1; 2], &[], 1, false),
        (&[1; 3], &[], 1, true),
        (&[1; 4], &[], 2, false),
        (&[1; 5], &[], 2, true),
        (&[1; 50], &[], 25, false),
        (&[1; 50], &[], 24, true),
        // Queues of two pages cost twice as much.
        (&[2; 3], &[], 2, true),
        (&[2; 2], &[], 2, false),
        // Three queues, one with nearly all of the demand, count like a single queue.
        (&[1; 3], &[1_000, 0, 0], 1, false),
    ];
    for (pages, demand, sweep, pays) in cases {
        let queues = pages.iter().map(|pages| (SHARED, *pages));
        let mut play = Play::warm(queues, LIVELY).demand(demand);
        play.schedule.sweeping.pages = sweep;
        assert_eq!(
            play.schedule.sweep_pays(),
            pays,
            "{pages:?} {demand:?} {sweep}"
        );
        play.sweep = sweep;
        play.go(PERIOD * 20);
        assert_eq!(play.has_swept(), pays, "{pages:?} {demand:?} {sweep}");
    }
}

#[test]
fn a_roster_that_turns_out_too_large_is_swept_once() {
    let mut play = Play::warm([(SHARED, 1); 10], LIVELY);
    play.sweep = 8;
    play.go(HOUR);
    let swept = play.times(is_sweep);
    assert_eq!(swept.len(), 4, "until it is known that it is too large");
    assert!(!is_sweep(play.log.last().unwrap().1));
}

#[test]
fn queues_that_are_polled_alone_get_their_share() {
    let mut queues = vec![(SHARED, 1); 8];
    queues.extend([(ALONE, 1); 2]);
    let mut play = Play::warm(queues, LIVELY);
    play.go(10 * HOUR);
    let alone = play.times(|job| matches!(job, Job::Poll(8 | 9))).len() as f64;
    let share = alone / play.log.len() as f64;
    assert!((share - 0.2).abs() < 0.01, "two of ten queues: {share}");
    assert!(play.has_swept());
}

#[test]
fn an_account_whose_queues_are_all_polled_alone_is_never_swept() {
    let mut play = Play::warm([(ALONE, 1); 8], LIVELY);
    play.go(HOUR);
    assert!(!play.has_swept());
    assert_eq!(play.log.len() as u64, HOUR.as_secs() / PERIOD.as_secs());
}

#[test]
fn distrust_leaves_only_polls_until_the_next_try() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    play.go(HOUR);
    play.schedule.suspend(play.now, TRUST_AGAIN);
    play.log.clear();
    let distrusted = play.now;
    play.go(TRUST_AGAIN + PERIOD * TURN * 2);
    let again = play.times(is_sweep);
    assert!(!again.is_empty(), "tried again");
    assert!(again[0] >= distrusted + TRUST_AGAIN, "and not before");
    let polls = gaps(&play.times(|job| job == Job::Poll(0)));
    assert!(
        (mean(&polls) / (8.0 * PERIOD.as_secs_f64()) - 1.0).abs() < 0.1,
        "{polls:?}"
    );
}

#[test]
fn a_sweep_that_is_switched_off_is_never_sent() {
    let mut play = Play::warm([(SHARED, 1); 50], POLLS);
    play.go(HOUR);
    assert!(!play.has_swept());
}

#[test]
fn expected_times_come_true() {
    let skewed: Vec<u64> = (1..=20).map(|n| 10_000 / n).collect();
    let mixed = |place: usize| {
        (
            if place.is_multiple_of(5) {
                ALONE
            } else {
                SHARED
            },
            1 + place as u32 % 3,
        )
    };
    let cases: [Case; 9] = [
        (vec![(SHARED, 1); 1], &[], 1, LIVELY),
        (vec![(SHARED, 1); 5], &[], 1, LIVELY),
        (vec![(SHARED, 1); 20], &skewed, 1, LIVELY),
        (vec![(SHARED, 1); 20], &skewed, 3, LIVELY),
        (vec![(SHARED, 1); 20], &skewed, 1, POLLS),
        (vec![(SHARED, 3); 20], &skewed, 4, LIVELY),
        // Statuses keep two fifths of their pace.
        (vec![(SHARED, 12); 20], &[], 1, LIVELY),
        ((0..20).map(mixed).collect(), &[], 3, LIVELY),
        ((0..20).map(mixed).collect(), &skewed, 1, LIVELY),
    ];
    for (case, (queues, demand, sweep, options)) in cases.into_iter().enumerate() {
        let mut play = Play::warm(queues, options).demand(demand);
        play.sweep = sweep;
        // Until the numbers of all pages are known.
        play.go(2 * HOUR);
        play.log.clear();
        let expected = play.schedule.expected(PERIOD);
        play.go(10 * HOUR);
        let close = |what: &str, expected: Duration, times: &[Duration], by: f64| {
            let seen = mean(&gaps(times));
            let expected = expected.as_secs_f64();
            assert!(
                (seen / expected - 1.0).abs() < by,
                "case {case}, {what}: {seen} for {expected}"
            );
        };
        for (queue, expected) in expected.iter().enumerate() {
            close(
                &format!("queue {queue}"),
                expected.members,
                &play.times(|job| job == Job::Poll(queue)),
                // Slots are whole, so among few queues none can come much more often than another.
                0.35,
            );
            if play.has_swept() && !play.schedule.is_polled_alone(queue) {
                close(
                    "sweep",
                    expected.statuses,
                    &play.times(|job| job == Job::Sweep(1)),
                    0.1,
                );
            } else {
                assert_eq!(expected.statuses, expected.members);
            }
        }
        let earned = 10.0 * HOUR.as_secs_f64() / PERIOD.as_secs_f64();
        let spent = f64::from(play.spent());
        assert!(
            (spent / earned - 1.0).abs() < 0.01,
            "case {case}: {spent} of {earned}"
        );
    }
}

#[test]
fn an_even_expectation_ignores_demand_but_keeps_sweeps() {
    let mut play = Play::warm([(SHARED, 1); 4], LIVELY).demand(&[1_000, 0, 0, 0]);
    let even = play.schedule.expected_evenly(PERIOD);
    assert!(even.iter().all(|queue| *queue == even[0]));
    play.schedule.suspend(play.now, TRUST_AGAIN);
    let polls = play.schedule.expected_evenly(PERIOD);
    assert_eq!(polls[0].statuses, PERIOD * 4);
}

#[test]
fn max_age_depends_neither_on_demand_nor_on_what_lists_may_turn_out_to_be() {
    for (queues, sweep) in [(3, 1), (60, 1), (60, 10)] {
        let mut play = Play::new(vec![(SHARED, 1); queues], LIVELY);
        play.schedule.sweeping.pages = sweep;
        let planned = play.schedule.expected_evenly(PERIOD);
        // CallTools may refuse to give the list in one piece.
        play.schedule.ask_next(Request::Whole, false, None);
        assert_eq!(play.schedule.expected_evenly(PERIOD), planned);
        play.schedule.trust();
        assert_eq!(play.schedule.expected_evenly(PERIOD), planned);
        let mut demand = vec![0; queues];
        demand[0] = 10_000;
        play.schedule.asked(&demand, play.now);
        assert_eq!(play.schedule.expected_evenly(PERIOD), planned);
        play.schedule.suspend(play.now, TRUST_AGAIN);
        assert!(play.schedule.expected_evenly(PERIOD)[0].statuses > planned[0].statuses);
    }
}

#[test]
fn queues_without_questions_stay_within_their_planned_max_age() {
    let mut play = Play::warm(vec![(SHARED, 1); 60], LIVELY);
    play.sweep = 10;
    play.go(PERIOD * 20);
    let planned = play.schedule.expected_evenly(PERIOD)[0].statuses * 3;
    play.schedule.bounded_by(planned, HOUR);
    let mut demand = vec![0; 60];
    demand[0] = 100_000;
    play.schedule.asked(&demand, play.now);
    assert!(!play.schedule.sweep_pays());
    play.log.clear();
    play.go(HOUR);
    let swept = gaps(&play.times(|job| job == Job::Sweep(1)));
    assert!(longest(&swept) <= planned.as_secs_f64(), "{swept:?}");
}

#[test]
fn undated_fields_are_polled_alone_while_a_list_of_changes_is_used() {
    let undated = Need {
        undated: true,
        ..SHARED
    };
    let needs = (0..8).map(|_| (SHARED, 1)).chain([(undated, 1)]);
    let mut play = Play::warm(needs, LIVELY);
    let polls = |play: &mut Play| {
        play.log.clear();
        play.go(HOUR);
        play.times(|job| job == Job::Poll(8)).len()
    };
    let swept = polls(&mut play);
    assert!(!play.schedule.is_polled_alone(8));
    play.schedule.ask_next(Request::Delta(1), false, Some(1));
    let fed = polls(&mut play);
    assert!(play.schedule.is_polled_alone(8));
    assert!(
        fed as f64 > 2.5 * swept as f64,
        "{swept} polls beside sweeps, {fed} beside the list of changes"
    );
    let expected = play.schedule.expected(PERIOD);
    assert!(expected[8].statuses == expected[8].members && expected[0].statuses < PERIOD * 2);
    play.schedule.ask_next(Request::Full, false, None);
    assert!(!play.schedule.is_polled_alone(8));
}

#[test]
fn pages_that_are_read_at_once_leave_the_queues_their_share() {
    let of_queues = f64::from(TURN - SWEEPS_IN_TURN) / f64::from(TURN);
    for (pages, alone) in [(1, 0), (2, 0), (3, 0), (8, 0), (8, 12)] {
        let shared = vec![(SHARED, 1); 60 - alone];
        let queues = shared.into_iter().chain(vec![(ALONE, 1); alone]);
        let mut play = Play::warm(queues, LIVELY);
        play.go(PERIOD * TURN); // The first sweep.
        play.log.clear();
        play.feed = Some(pages);
        play.ask_for_available(1);
        play.go(10 * HOUR);
        let expected = play.schedule.expected(PERIOD)[0];
        let read = gaps(&play.times(|job| matches!(job, Job::Available(_, 1))));
        let seen = mean(&read) / expected.statuses.as_secs_f64();
        assert!((seen - 1.0).abs() < 0.01, "{pages} {alone}: {read:?}");
        assert!(
            longest(&read) < 1.2 * mean(&read) + PERIOD.as_secs_f64(),
            "{read:?}"
        );
        let polls = play.times(|job| matches!(job, Job::Poll(_))).len() as f64;
        let of_alone = alone as f64 / 60.0;
        let share = of_alone + (1.0 - of_alone) * of_queues;
        let seen = polls / play.log.len() as f64;
        assert!(
            (seen / share - 1.0).abs() < 0.02,
            "{pages} {alone}: {seen} for {share}"
        );
        let earned = 10.0 * HOUR.as_secs_f64() / PERIOD.as_secs_f64();
        let spent = f64::from(play.spent());
        assert!((spent / earned - 1.0).abs() < 0.01, "{spent} of {earned}");
    }
}

#[test]
fn queues_that_could_not_be_polled_do_not_displace_statuses_later() {
    let mut play = Play::warm([(SHARED, 1); 60], LIVELY);
    play.go(PERIOD * TURN); // The first sweep.
    play.feed = Some(8);
    play.ask_for_available(1);
    for queue in 0..60 {
        play.schedule.rest(queue, queue > 0);
    }
    play.schedule.queues[0].attempts.not_before = play.now + HOUR;
    play.go(HOUR);
    assert!(play.times(|job| matches!(job, Job::Poll(_))).len() < 10);
    (0..60).for_each(|queue| play.schedule.rest(queue, false));
    play.log.clear();
    play.go(HOUR);
    let read = gaps(&play.times(|job| matches!(job, Job::Available(_, 1))));
    assert!(longest(&read) < 3.0 * mean(&read), "{read:?}");
}

/// Statuses come from one of these lists.
#[derive(Clone, Copy, Debug)]
enum Fed {
    Sweeps,
    Changes,
    /// Lists of available agents of so many pages.
    Available(u32),
}

fn fed() -> impl Strategy<Value = Fed> {
    prop_oneof![
        Just(Fed::Sweeps),
        Just(Fed::Changes),
        (1..9_u32).prop_map(Fed::Available)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_polled_statuses_keep_two_fifths_of_their_pace(
        // The requests of a poll of each queue.
        pages in prop::collection::vec(prop_oneof![3 => Just(1_u32), 1 => 1..20_u32], 20..60),
        alone in 0..4_usize,
        fed in fed(),
        failing in 0..3_usize,
        changes in prop::collection::vec(1..4_u32, 0..200),
    ) {
        let need = |place| if place < alone { ALONE } else { SHARED };
        let queues = pages.iter().enumerate().map(|(place, pages)| (need(place), *pages));
        let mut play = Play::warm(queues, LIVELY);
        play.go(PERIOD * TURN); // The first sweep.
        (play.failing, play.changes) = (failing, changes.into());
        match fed {
            Fed::Sweeps => {}
            Fed::Changes => play.schedule.ask_next(Request::Delta(1), false, Some(1)),
            Fed::Available(pages) => {
                play.feed = Some(pages);
                play.ask_for_available(1);
            }
        }
        prop_assume!(play.schedule.sweeps(play.now));
        play.log.clear();
        play.go(HOUR);
        let most = play.feed.unwrap_or(1);
        let share = 1.0 - play.schedule.share_alone();
        // That of a usual turn, and two fifths of it.
        let usual = f64::from(TURN) / f64::from(SWEEPS_IN_TURN) * f64::from(most) / share;
        let longest = longest(&gaps(&play.times(Job::is_about_statuses))) / PERIOD.as_secs_f64();
        prop_assert!(longest < usual / 0.4 + 0.01, "{} of {} periods", longest, usual);
    }
}

#[test]
fn long_readings_of_the_list_of_changes_leave_the_queues_their_slots() {
    for (queue, pages, least) in [(1, 3, 0.25), (12, 1, 0.65), (12, 2, 0.38), (12, 3, 0.24)] {
        let mut play = Play::warm([(SHARED, queue); 60], LIVELY);
        play.go(PERIOD * TURN); // The first sweep.
        play.changes = vec![pages; 2_000].into();
        let ask = Request::Delta(1);
        play.schedule.ask_next(ask, false, Some(pages));
        play.go(PERIOD * 200);
        play.log.clear();
        play.go(4 * HOUR);
        let read = play.times(Job::is_about_statuses).len() as f64;
        let polls = play.times(|job| matches!(job, Job::Poll(_))).len() as f64 * f64::from(queue);
        let part = polls / (polls + read);
        assert!(part >= least, "{queue}, {pages}: {part}");
        // The pace is kept.
        let earned = 4.0 * HOUR.as_secs_f64() / PERIOD.as_secs_f64();
        assert!(
            ((polls + read) / earned - 1.0).abs() < 0.02,
            "{queue}, {pages}: {polls} and {read} of {earned}"
        );
        let expected = play.schedule.expected(PERIOD);
        let (turn, was) = (
            expected[0].members.as_secs_f64(),
            4.0 * HOUR.as_secs_f64() * 60.0 * f64::from(queue) / polls,
        );
        assert!(
            (turn / was - 1.0).abs() < 0.1,
            "{queue}, {pages}: {turn} s, not {was}"
        );
    }
}
