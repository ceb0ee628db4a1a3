//! Tests which queue is polled: demand, urgency and failures.

use super::*;

#[test]
fn queues_are_polled_in_proportion_to_the_root_of_their_demand() {
    let demand = [1, 1, 1, 9, 9, 9];
    let mut play = Play::warm([(SHARED, 1); 6], POLLS).demand(&demand);
    play.go(10 * HOUR);
    let polls = |queue| play.times(|job| job == Job::Poll(queue)).len() as f64;
    let floor = 5.0 * DEMAND_FLOOR;
    let ratio = ((9.0 + floor) / (1.0 + floor)).sqrt();
    assert!(
        (polls(3) / polls(0) / ratio - 1.0).abs() < 0.1,
        "{} : {}",
        polls(0),
        polls(3)
    );
    assert!((polls(5) / polls(1) / ratio - 1.0).abs() < 0.1);
}

#[test]
fn a_queue_without_questions_stays_within_three_even_rounds() {
    for (queues, asked) in [(10, 1), (50, 1), (50, 10), (100, 50)] {
        let demand: Vec<u64> = (0..queues)
            .map(|queue| if queue < asked { 1_000 } else { 0 })
            .collect();
        let mut play = Play::warm(vec![(SHARED, 1); queues], POLLS).demand(&demand);
        play.go(5 * HOUR);
        let even = PERIOD.as_secs_f64() * queues as f64;
        let waits = gaps(&play.times(|job| job == Job::Poll(queues - 1)));
        assert!(longest(&waits) < 3.0 * even, "{queues}/{asked}: {waits:?}");
    }
}

#[test]
fn a_queue_whose_agents_came_online_is_polled_sooner_but_once() {
    let mut play = Play::warm([(SHARED, 1); 10], POLLS);
    play.go(PERIOD * 5);
    play.log.clear();
    play.schedule.hurry(1);
    play.go(PERIOD * 10);
    let turns: Vec<_> = play.log.iter().map(|(_, job)| *job).collect();
    let place = turns.iter().position(|job| *job == Job::Poll(1)).unwrap();
    assert!(place < 6, "too late: {turns:?}");
    assert_eq!(turns.iter().filter(|job| **job == Job::Poll(1)).count(), 1);
}

#[test]
fn a_queue_with_a_missing_member_gets_the_next_queue_slot() {
    let mut play = Play::warm([(SHARED, 1); 10], LIVELY);
    play.go(PERIOD * 8);
    let last = play.times(|job| matches!(job, Job::Poll(_))).len();
    play.log.clear();
    let just_polled = (0..10)
        .max_by_key(|queue| play.schedule.queues[*queue].attempts.last_start)
        .unwrap();
    play.schedule.look_for_missing(just_polled);
    play.go(PERIOD * TURN * 2);
    assert!(last > 0);
    let polls: Vec<_> = play.log.iter().filter(|(_, job)| !is_sweep(*job)).collect();
    assert_eq!(polls[0].1, Job::Poll(just_polled));
    assert_ne!(polls[1].1, Job::Poll(just_polled), "once");
}

#[test]
fn a_poll_that_failed_once_is_soon_retried() {
    let mut play = Play::warm([(SHARED, 1); 50], LIVELY);
    play.go(HOUR);
    let down = Fault::down(Down::ServerError, "502");
    let job = loop {
        match play.schedule.next(play.now) {
            Next::Start {
                job: job @ Job::Poll(_),
                ..
            } => break job,
            Next::Start { job, .. } => play.perform(job),
            Next::Wait(wait) => play.now += wait,
        }
    };
    play.schedule.started(job, play.now, PERIOD);
    play.schedule
        .ended(job, Ending::Badly(&down), play.now, 0.0);
    let failed = play.now;
    play.log.clear();
    play.go(PERIOD * TURN * 3);
    let again = play.times(|other| other == job);
    assert!(
        again[0] - failed <= FIRST_BACKOFF + PERIOD * TURN,
        "{again:?}"
    );
}

#[test]
fn queues_that_keep_failing_do_not_starve_others() {
    let mut schedule = Schedule::new([SHARED; 20], POLLS, RATION);
    let mut now = START;
    let mut polls = [0u32; 20];
    while now < START + HOUR {
        match schedule.next(now) {
            Next::Start {
                job: job @ Job::Poll(queue),
                ..
            } => {
                schedule.started(job, now, PERIOD);
                let well = Ending::Well { requests: 1 };
                let ending = if queue < 10 {
                    Ending::Badly(&Fault::NoPermission)
                } else {
                    well
                };
                schedule.ended(job, ending, now, 0.0);
                polls[queue] += 1;
            }
            Next::Start { .. } => schedule.hurry(0),
            Next::Wait(wait) => now += wait.max(Duration::from_millis(1)),
        }
        if schedule.sweeps(now) {
            unreachable!("polls alone");
        }
    }
    let even = (HOUR.as_secs() / PERIOD.as_secs() / 20) as u32;
    assert!(
        polls[10..].iter().all(|polls| *polls >= even * 8 / 10),
        "{polls:?}"
    );
}

#[test]
fn requests_out_of_turn_respect_faults_and_running_jobs() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    let (now, poll, sweep) = (play.now, Job::Poll(3), Job::Sweep(1));
    play.perform(sweep);
    assert!(play.schedule.may_ask(poll, now) && play.schedule.may_ask(sweep, now));
    assert!(play.schedule.statuses_at_once(3, now).is_some());
    play.schedule.begun(poll, now);
    assert!(!play.schedule.may_ask(poll, now), "under way");
    play.schedule
        .ended(poll, Ending::Badly(&Fault::NoPermission), now, 0.0);
    assert!(
        !play.schedule.may_ask(poll, now),
        "the poll has just failed"
    );
    assert!(play.schedule.may_ask(poll, now + FIRST_BACKOFF));
    // The first of two pages was read, so a whole sweep takes more than one request.
    play.schedule.swept(1, Some(2));
    assert_eq!(play.schedule.statuses_at_once(3, now), None);
    play.schedule.begun(Job::Poll(4), now);
    play.schedule
        .ended(Job::Poll(4), Ending::Badly(&Fault::BadToken), now, 0.0);
    let later = now + FIRST_BACKOFF;
    assert!(!play.schedule.may_ask(Job::Poll(5), now));
    play.schedule.begun(Job::Poll(4), later);
    assert!(!play.schedule.may_ask(Job::Poll(5), later), "one at a time");
}

#[test]
fn a_queue_with_an_unknown_id_cannot_be_polled_on_demand() {
    let by_name = Need { id: true, ..SHARED };
    let seats = Need {
        statuses: true,
        ..SHARED
    };
    let mut schedule = Schedule::new([by_name, seats], LIVELY, RATION);
    assert!(!schedule.may_ask(Job::Poll(0), START) && !schedule.may_ask(Job::Poll(1), START));
    schedule.id_known(0);
    schedule.statuses_known(Duration::ZERO, START);
    assert!(schedule.may_ask(Job::Poll(0), START) && schedule.may_ask(Job::Poll(1), START));
}

#[test]
fn no_membership_expires_while_there_are_polls_enough() {
    // Polls take a quarter of 900 requests an hour. Each of 300 queues needs one in two hours.
    let demand: Vec<u64> = (1..=300).map(|n| 1_000_000 / n).collect();
    let mut play = Play::warm([(SHARED, 1); 300], LIVELY).demand(&demand);
    let two_hours = 2 * HOUR;
    play.schedule.bounded_by(HOUR, two_hours);
    (0..150).for_each(|queue| play.schedule.at_edge(queue, true));
    play.go(8 * HOUR);
    for queue in 0..300 {
        let polls = play.times(|job| job == Job::Poll(queue));
        let gap = longest(&gaps(&polls));
        assert!(gap < two_hours.as_secs_f64(), "{queue}: {gap} s");
    }
    let polls = |queue| play.times(|job| job == Job::Poll(queue)).len();
    assert!(polls(0) > 4 * polls(299), "{} {}", polls(0), polls(299));
}
