//! Tests the pace without questions, and while requests are saved up for callers that wait.

use super::*;
use crate::decision::staleness::Staleness;

#[test]
fn the_pace_slows_down_without_questions_until_the_next_one() {
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
    // In the middle of a long wait.
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

/// Plays an hour in which a caller would wait for a fresh answer every minute, and gets none.
fn save_for_an_hour(play: &mut Play) {
    for _ in 0..60 {
        play.schedule.asked_to_wait(play.now);
        play.go(Duration::from_secs(60));
    }
}

/// Lets a question with a possibly wrong answer wait, and sends the request that it is worth.
fn ask(play: &mut Play, queue: usize, of_membership: f64) -> Option<Job> {
    play.schedule.asked_to_wait(play.now);
    let staleness = Staleness {
        chance: 1.0,
        of_membership,
    };
    let job = play.schedule.worth(queue, staleness, play.now)?;
    let job = play.schedule.may_ask(job, play.now).then_some(job)?;
    play.log.push((play.now, job));
    play.schedule.begun(job, play.now);
    play.end(job, play.requests(job));
    Some(job)
}

#[test]
fn requests_that_no_question_takes_are_not_lost() {
    for queues in [1, 2, 20, 100] {
        let mut play = Play::warm(vec![(SHARED, 1); queues], LIVELY);
        save_for_an_hour(&mut play);
        let whole = HOUR.as_secs_f64() / PERIOD.as_secs_f64();
        let part = f64::from(play.spent()) / whole;
        // 40 of 900 requests are saved up.
        assert!((0.93..=1.0).contains(&part), "{queues} queues: {part}");
        play.log.clear();
        save_for_an_hour(&mut play);
        let part = f64::from(play.spent()) / whole;
        assert!((0.98..=1.01).contains(&part), "{queues} queues: {part}");
    }
}

#[test]
fn questions_slow_the_background_but_do_not_stop_it() {
    for (queues, of_membership) in [(1, 1.0), (20, 0.0), (20, 1.0), (100, 0.0), (100, 1.0)] {
        let mut play = Play::warm(vec![(SHARED, 1); queues], LIVELY);
        for second in 0..3_600 {
            ask(&mut play, second % queues, of_membership);
            play.go(Duration::from_secs(1));
        }
        let whole = HOUR.as_secs_f64() / PERIOD.as_secs_f64();
        let part = f64::from(play.spent()) / whole;
        assert!((0.9..=1.02).contains(&part), "{queues} queues: {part}");
        let of = |job| is_sweep(job) || queues == 1;
        let longest = longest(&gaps(&play.times(of))) / PERIOD.as_secs_f64();
        assert!(
            longest < 1.0 / (0.4 * 0.7) + 0.5,
            "{queues} queues: {longest} periods"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_waits_statuses_keep_two_fifths_of_their_pace(
        // The requests of a poll of each queue.
        pages in prop::collection::vec(prop_oneof![3 => Just(1_u32), 1 => 1..9_u32], 2..60),
        // Half of the accounts are fed by the list of changes.
        is_delta in any::<bool>(),
        failing in 0..3_usize,
        questions in prop::collection::vec((0..60_usize, 0.0..=1.0, 0..15_000_u64), 100..600),
    ) {
        let queues = pages.iter().map(|pages| (SHARED, *pages));
        let mut play = Play::warm(queues, LIVELY);
        play.failing = failing;
        if is_delta {
            play.schedule.ask_next(Request::Delta(1), false, Some(1));
        }
        for (queue, of_membership, pause_ms) in questions {
            ask(&mut play, queue % pages.len(), of_membership);
            play.go(Duration::from_millis(pause_ms));
        }
        let of = |job| match is_delta {
            true => matches!(job, Job::Delta(_)),
            false => is_sweep(job),
        };
        let longest = longest(&gaps(&play.times(of))) / PERIOD.as_secs_f64();
        // These queues need no names or statuses, which would take a period each. The buckets are looked at every eighth of a period.
        prop_assert!(longest < 1.0 / (0.4 * 0.7) + 0.5, "{} periods", longest);
    }
}

#[test]
fn questions_about_some_queues_do_not_keep_the_others_from_being_polled() {
    const QUEUES: usize = 20;
    for of_membership in [0.0, 1.0] {
        let mut play = Play::warm(vec![(SHARED, 1); QUEUES], LIVELY);
        let begun = play.now;
        while play.now < begun + 2 * HOUR {
            for queue in 0..3 {
                ask(&mut play, queue, of_membership);
            }
            play.go(Duration::from_secs(1));
        }
        // The background keeps two fifths of three tenths of the pace; the three queues have most of the demand.
        let longest_turn = PERIOD.mul_f64(QUEUES as f64 / (0.4 * 0.3));
        for queue in 3..QUEUES {
            let polls = play.times(|job| job == Job::Poll(queue)).into_iter();
            let polls = polls.filter(|at| *at > begun);
            let times: Vec<_> = [begun].into_iter().chain(polls).chain([play.now]).collect();
            let longest = longest(&gaps(&times));
            assert!(
                longest < 2.0 * longest_turn.as_secs_f64(),
                "{queue}: {longest} s"
            );
        }
    }
}

#[test]
fn an_idle_account_goes_on_while_all_queues_rest_that_are_polled_alone() {
    let queues = [(SHARED, 1), (SHARED, 1), (SHARED, 1), (ALONE, 1)];
    let mut play = Play::warm(queues, idle(0.25)).demand(&[1; 4]);
    play.schedule.rest(3, true);
    play.go(IDLE_AFTER + HOUR);
    assert!(play.log.iter().all(|(_, job)| *job != Job::Poll(3)));
    play.schedule.rest(3, false);
    play.go(HOUR);
    assert!(play.log.iter().any(|(_, job)| *job == Job::Poll(3)));
}

#[test]
fn a_poll_for_a_question_is_the_backgrounds_if_the_queue_was_next_in_turn() {
    let mut play = Play::warm([(SHARED, 1); 20], LIVELY);
    save_for_an_hour(&mut play);
    let next = match play.schedule.most_overdue(play.now, |_| true) {
        Some(Job::Poll(place)) => place,
        other => panic!("{other:?}"),
    };
    let in_turn = play.schedule.last_poll_in_turn;
    let other = (next + 1) % 20;
    assert_eq!(ask(&mut play, other, 1.0), Some(Job::Poll(other)));
    assert_eq!(play.schedule.last_poll_in_turn, in_turn);
    assert_eq!(ask(&mut play, next, 1.0), Some(Job::Poll(next)));
    assert_eq!(play.schedule.last_poll_in_turn, Some((play.now, 1.0)));
}

#[test]
fn a_doubt_about_statuses_is_settled_by_a_poll_only_with_plenty_saved() {
    let mut play = Play::warm([(SHARED, 1); 20], LIVELY);
    save_for_an_hour(&mut play);
    assert_eq!(
        ask(&mut play, 7, 0.0),
        Some(Job::Poll(7)),
        "the buckets are full"
    );
    let jobs: Vec<_> = (0..60)
        .filter_map(|n| ask(&mut play, n % 20, 0.0))
        .collect();
    let first_statuses = jobs.iter().position(|job| is_sweep(*job)).unwrap();
    assert!(
        jobs[first_statuses..].iter().all(|job| is_sweep(*job)),
        "{jobs:?}"
    );
    assert!(
        (36..=41).contains(&jobs.len()),
        "{} of 40 were saved",
        jobs.len()
    );
    // Only polls show the queue's members, but they do not use up the requests for statuses.
    let mut play = Play::warm([(SHARED, 1); 20], LIVELY);
    save_for_an_hour(&mut play);
    let jobs: Vec<_> = (0..60)
        .filter_map(|n| ask(&mut play, n % 20, 1.0))
        .collect();
    assert!(jobs.iter().all(|job| !is_sweep(*job)));
    assert!(
        (14..=19).contains(&jobs.len()),
        "{} of twelve and a fifth of 28",
        jobs.len()
    );
}

#[test]
fn queues_that_are_polled_alone_keep_their_pace_while_others_save() {
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
