//! Tests which job comes next, in short tables.

use super::*;
use crate::{
    config::ScheduleOptions,
    model::fault::{Down, NoSuchQueue, QueueListing},
};

const BY_NAME: Need = Need {
    id: true,
    statuses: true,
    alone: false,
    undated: false,
};
const BY_ID: Need = Need {
    id: false,
    statuses: true,
    alone: false,
    undated: false,
};
/// Without sweeps.
const POLLS: ScheduleOptions = ScheduleOptions {
    sweep: false,
    idle_pace: 1.0,
};
const PERIOD: Duration = Duration::from_secs(4);

fn s(seconds: u64) -> Duration {
    // Some time after the boot, so that zero is in the past.
    Duration::from_secs(1_000 + seconds)
}

/// Starts all jobs that are due at `now`, lets them succeed, and returns them.
fn run(schedule: &mut Schedule, now: Duration) -> Vec<(Job, bool)> {
    let mut done = Vec::new();
    while let Next::Start { job, cold } = schedule.next(now) {
        schedule.started(job, now, PERIOD);
        schedule.ended(job, Ending::Well { requests: 1 }, now, 0.0);
        if job == Job::Queues {
            (0..schedule.queues.len()).for_each(|queue| schedule.id_known(queue));
        }
        done.push((job, cold));
    }
    done
}

fn start(schedule: &mut Schedule, now: Duration) -> Job {
    match schedule.next(now) {
        Next::Start { job, .. } => {
            schedule.started(job, now, PERIOD);
            job
        }
        Next::Wait(wait) => panic!("nothing to start for {wait:?}"),
    }
}

#[test]
fn a_cold_start_reads_names_and_statuses_and_each_queue_once() {
    let mut schedule = Schedule::new([BY_NAME, BY_ID, BY_NAME], POLLS, RATION);
    let cold = |job| (job, true);
    let expected = [
        Job::Queues,
        Job::Statuses,
        Job::Poll(0),
        Job::Poll(1),
        Job::Poll(2),
    ]
    .map(cold);
    assert_eq!(run(&mut schedule, s(0)), expected);
    assert_eq!(schedule.next(s(0)), Next::Wait(PERIOD));
}

#[test]
fn a_queue_with_an_id_and_custom_criteria_needs_no_lists_first() {
    let mut schedule = Schedule::new(
        [Need {
            id: false,
            statuses: false,
            alone: false,
            undated: false,
        }],
        POLLS,
        RATION,
    );
    assert_eq!(run(&mut schedule, s(0)), [(Job::Poll(0), true)]);
}

#[test]
fn after_the_start_each_queue_takes_a_slot_in_turn() {
    let mut schedule = Schedule::new([BY_ID; 3], POLLS, RATION);
    run(&mut schedule, s(0));
    let turns: Vec<_> = (1..=6)
        .flat_map(|slot| run(&mut schedule, s(4 * slot)))
        .collect();
    assert_eq!(
        turns,
        [0, 1, 2, 0, 1, 2].map(|queue| (Job::Poll(queue), false))
    );
}

#[test]
fn a_queue_of_three_pages_takes_three_slots() {
    let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    let job = start(&mut schedule, s(4));
    schedule.ended(job, Ending::Well { requests: 3 }, s(5), 0.0);
    start(&mut schedule, s(8));
    assert_eq!(schedule.slot, s(8) + 3 * PERIOD);
}

#[test]
fn only_a_few_polls_run_at_the_same_time() {
    let mut schedule = Schedule::new(
        [Need {
            id: false,
            statuses: false,
            alone: false,
            undated: false,
        }; 20],
        POLLS,
        RATION,
    );
    for _ in 0..AT_ONCE {
        start(&mut schedule, s(0));
    }
    assert_eq!(schedule.next(s(0)), Next::Wait(Duration::MAX));
}

#[test]
fn a_hanging_poll_does_not_block_other_queues() {
    let mut schedule = Schedule::new([BY_ID; 2], POLLS, RATION);
    run(&mut schedule, s(0));
    assert_eq!(start(&mut schedule, s(4)), Job::Poll(0));
    assert_eq!(start(&mut schedule, s(8)), Job::Poll(1));
    schedule.ended(Job::Poll(1), Ending::Well { requests: 1 }, s(8), 0.0);
    assert_eq!(start(&mut schedule, s(12)), Job::Poll(1));
}

#[test]
fn a_failing_queue_waits_up_to_a_minute_while_others_are_polled() {
    let mut schedule = Schedule::new([BY_ID; 2], POLLS, RATION);
    run(&mut schedule, s(0));
    let down = Fault::down(Down::TimeOut, "no answer");
    let mut failed_at = Vec::new();
    for second in 4..400 {
        if let Next::Start { job, .. } = schedule.next(s(second)) {
            schedule.started(job, s(second), PERIOD);
            let ending = match job {
                Job::Poll(0) => Ending::Badly(&down),
                _ => Ending::Well { requests: 1 },
            };
            schedule.ended(job, ending, s(second), 0.0);
            if job == Job::Poll(0) {
                failed_at.push(second);
            }
        }
    }
    let waits: Vec<_> = failed_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(
        (waits[0], waits[1]),
        (8, 12),
        "5 s and 10 s, at the next slot"
    );
    assert!(waits.iter().all(|wait| *wait <= 64), "{waits:?}");
    assert!(waits.len() >= 7, "{waits:?}");
}

#[test]
fn the_first_success_ends_a_backoff() {
    let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    for second in [4, 12, 24] {
        let job = start(&mut schedule, s(second));
        schedule.ended(job, Ending::Badly(&Fault::NoPermission), s(second), 0.0);
    }
    assert_eq!(schedule.next(s(30)), Next::Wait(s(44) - s(30)));
    assert_eq!(run(&mut schedule, s(44)), [(Job::Poll(0), false)]);
    assert_eq!(schedule.next(s(44)), Next::Wait(PERIOD));
}

#[test]
fn a_bad_token_stops_the_account_except_for_one_try_at_a_time() {
    let mut schedule = Schedule::new(
        [Need {
            id: false,
            statuses: false,
            alone: false,
            undated: false,
        }; 5],
        POLLS,
        RATION,
    );
    for (second, wait) in [
        (0, 5),
        (5, 10),
        (15, 20),
        (35, 40),
        (75, 80),
        (155, 160),
        (315, 300),
        (615, 300),
    ] {
        let job = start(&mut schedule, s(second));
        if second > 0 {
            assert_eq!(
                schedule.next(s(second)),
                Next::Wait(Duration::MAX),
                "one at a time"
            );
        }
        schedule.ended(job, Ending::Badly(&Fault::BadToken), s(second), 0.0);
        assert_eq!(
            schedule.next(s(second)),
            Next::Wait(Duration::from_secs(wait))
        );
    }
    let job = start(&mut schedule, s(915));
    schedule.ended(job, Ending::Well { requests: 1 }, s(915), 0.0);
    assert_eq!(
        run(&mut schedule, s(919)).len(),
        1,
        "as if nothing had happened"
    );
}

#[test]
fn jitter_removes_up_to_half_of_a_wait() {
    assert_eq!(backoff(1, MAX_QUEUE_BACKOFF, 0.0), Duration::from_secs(5));
    assert_eq!(
        backoff(1, MAX_QUEUE_BACKOFF, 1.0),
        Duration::from_millis(2_500)
    );
    assert_eq!(backoff(u32::MAX, MAX_QUEUE_BACKOFF, 0.0), MAX_QUEUE_BACKOFF);
}

#[test]
fn a_missing_name_is_looked_up_again_while_other_queues_are_polled() {
    let mut schedule = Schedule::new([BY_NAME, BY_NAME], POLLS, RATION);
    let fault = Fault::NoSuchQueue(NoSuchQueue::Name {
        asked: "x".to_owned(),
        nearest: Vec::new(),
        there: QueueListing::default(),
    });
    assert_eq!(start(&mut schedule, s(0)), Job::Queues);
    schedule.ended(Job::Queues, Ending::Badly(&fault), s(0), 0.0);
    schedule.id_known(1);
    assert_eq!(
        run(&mut schedule, s(0)),
        [(Job::Statuses, true), (Job::Poll(1), true)]
    );
    for second in (4..32).step_by(4) {
        assert_eq!(run(&mut schedule, s(second)), [(Job::Poll(1), false)]);
    }
    assert_eq!(run(&mut schedule, s(32))[0], (Job::Queues, false));
}

#[test]
fn a_name_that_cannot_be_found_costs_the_other_queues_hardly_a_poll() {
    let missing = Fault::NoSuchQueue(NoSuchQueue::Name {
        asked: "x".to_owned(),
        nearest: Vec::new(),
        there: QueueListing::default(),
    });
    let refused = Fault::NoPermission;
    // Requests an hour, and how many of them may read names: one in 24 in the end, and one in 8 if the list cannot be read.
    for (fault, rate, most) in [
        (&missing, 950, 45),
        (&missing, 57, 4),
        (&refused, 950, 125),
        (&refused, 57, 12),
    ] {
        let period = HOUR / rate;
        let mut schedule = Schedule::new([BY_NAME, BY_NAME, BY_ID, BY_ID], POLLS, RATION);
        let (mut look_ups, mut polled, mut longest) = (0, [s(0); 4], Duration::ZERO);
        for second in 0..3_600 {
            while let Next::Start { job, .. } = schedule.next(s(second)) {
                schedule.started(job, s(second), period);
                let ending = match job {
                    Job::Queues => Ending::Badly(fault),
                    _ => Ending::Well { requests: 1 },
                };
                schedule.ended(job, ending, s(second), 0.0);
                match job {
                    Job::Queues => {
                        look_ups += 1;
                        if matches!(fault, Fault::NoSuchQueue(_)) {
                            schedule.id_known(1);
                        }
                    }
                    Job::Poll(queue) => {
                        longest = longest.max(s(second) - polled[queue]);
                        polled[queue] = s(second);
                    }
                    _ => {}
                }
            }
        }
        assert!(look_ups <= most, "{rate}, {fault:?}: {look_ups}");
        // Two slots are taken by lists at worst, names and statuses. A slot begins at a whole second.
        let round = (period + Duration::from_secs(1)) * 5;
        assert!(longest <= round, "{rate}, {fault:?}: {longest:?}");
    }
}

#[test]
fn a_broken_queue_is_forgiven_once_until_it_is_read() {
    let fault = Fault::down(Down::ServerError, "500");
    let mut schedule = Schedule::new([BY_ID, BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    let mut polls = 0;
    for second in 1..3_600 {
        while let Next::Start { job, .. } = schedule.next(s(second)) {
            schedule.started(job, s(second), PERIOD);
            if job != Job::Poll(0) {
                let well = Ending::Well { requests: 1 };
                schedule.ended(job, well, s(second), 0.0);
                continue;
            }
            polls += 1;
            schedule.ended(job, Ending::Badly(&fault), s(second), 0.0);
            // Each third failure looks like an outage that is over at once.
            if polls % 3 == 0 {
                schedule.failures_were_not_its_own(0);
            }
        }
    }
    assert!(
        (50..=75).contains(&polls),
        "one a minute, and a few more: {polls}"
    );
    let well = Ending::Well { requests: 1 };
    schedule.begun(Job::Poll(0), s(3_600));
    schedule.ended(Job::Poll(0), well, s(3_600), 0.0);
    schedule.begun(Job::Poll(0), s(3_700));
    schedule.ended(Job::Poll(0), Ending::Badly(&fault), s(3_700), 0.0);
    schedule.failures_were_not_its_own(0);
    assert!(schedule.may_ask(Job::Poll(0), s(3_700)), "it does not wait");
}

#[test]
fn a_doubtful_name_does_not_wait_for_a_misspelt_one() {
    let missing = Fault::NoSuchQueue(NoSuchQueue::Name {
        asked: "x".to_owned(),
        nearest: Vec::new(),
        there: QueueListing::default(),
    });
    let mut schedule = Schedule::new([BY_NAME, BY_NAME], POLLS, RATION);
    let mut look_ups = Vec::new();
    for second in 0..1_800 {
        if second == 1_700 {
            schedule.doubt_name(1);
        }
        while let Next::Start { job, .. } = schedule.next(s(second)) {
            schedule.started(job, s(second), PERIOD);
            let is_names = job == Job::Queues;
            let ending = match is_names {
                true => Ending::Badly(&missing),
                false => Ending::Well { requests: 1 },
            };
            schedule.ended(job, ending, s(second), 0.0);
            if is_names {
                look_ups.push(second);
                schedule.id_known(1);
            }
        }
    }
    let before = look_ups.iter().rev().find(|at| **at < 1_700).unwrap();
    let after = look_ups.iter().find(|at| **at >= 1_700).unwrap();
    let expected = 1_700.max(before + 15);
    assert!((expected..=expected + 4).contains(after), "{look_ups:?}");
}

#[test]
fn without_statuses_queues_wait_for_three_tries_or_a_refusal() {
    let down = Fault::down(Down::ServerError, "503");
    for (fault, tries) in [(down, 3), (Fault::NoPermission, 1)] {
        let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
        let mut now = 0;
        for _ in 0..tries {
            assert!(!schedule.statuses_given_up());
            while matches!(schedule.next(s(now)), Next::Wait(_)) {
                now += 1;
            }
            assert_eq!(start(&mut schedule, s(now)), Job::Statuses);
            schedule.ended(Job::Statuses, Ending::Badly(&fault), s(now), 0.0);
        }
        assert!(schedule.statuses_given_up());
        assert_eq!(start(&mut schedule, s(now)), Job::Poll(0));
        let well = Ending::Well { requests: 1 };
        schedule.ended(Job::Poll(0), well, s(now), 0.0);
        // An outage may have lasted for seconds; a missing right lasts longer.
        let given_up = now;
        loop {
            now += 1;
            if matches!(schedule.next(s(now)), Next::Wait(_)) {
                continue;
            }
            let job = start(&mut schedule, s(now));
            if job == Job::Statuses {
                break;
            }
            schedule.ended(job, well, s(now), 0.0);
        }
        let waited = now - given_up;
        let expected = if tries == 3 { 15..30 } else { 600..610 };
        assert!(expected.contains(&waited), "{waited} s after {fault}");
    }
}

fn saw(schedule: &mut Schedule, status: &str) {
    schedule.saw_unlisted(&BTreeSet::from([status.into()]));
}

#[test]
fn a_new_status_causes_a_reading_at_once_and_one_that_stays_unlisted_not_too_often() {
    let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    saw(&mut schedule, "98");
    assert_eq!(run(&mut schedule, s(4)), [(Job::Poll(0), false)]);
    assert_eq!(run(&mut schedule, s(100)), [(Job::Statuses, false)]);
    // The list lacks it.
    saw(&mut schedule, "98");
    assert_eq!(run(&mut schedule, s(104)), [(Job::Poll(0), false)]);
    assert_eq!(run(&mut schedule, s(200)), [(Job::Poll(0), false)]);
    saw(&mut schedule, "99");
    assert_eq!(run(&mut schedule, s(204)), [(Job::Statuses, false)]);
    saw(&mut schedule, "98");
    assert_eq!(run(&mut schedule, s(800)), [(Job::Poll(0), false)]);
    assert_eq!(run(&mut schedule, s(804)), [(Job::Statuses, false)]);
    assert_eq!(run(&mut schedule, s(808)), [(Job::Poll(0), false)]);
}

#[test]
fn ever_new_statuses_cost_few_readings() {
    let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    let mut readings = Vec::new();
    for second in 1..7_200 {
        saw(&mut schedule, &second.to_string());
        let jobs = run(&mut schedule, s(second));
        if jobs.contains(&(Job::Statuses, false)) {
            readings.push(second);
        }
    }
    let in_the_first_hour = readings.iter().filter(|second| **second < 3_600).count();
    assert!(in_the_first_hour <= 10, "{readings:?}");
    assert!(readings.len() - in_the_first_hour <= 6, "{readings:?}");
}

#[test]
fn a_reading_that_failed_leaves_a_status_new() {
    let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    saw(&mut schedule, "99");
    assert_eq!(start(&mut schedule, s(100)), Job::Statuses);
    let down = Fault::down(Down::ServerError, "503");
    schedule.ended(Job::Statuses, Ending::Badly(&down), s(100), 0.0);
    assert_eq!(run(&mut schedule, s(104)), [(Job::Poll(0), false)]);
    assert_eq!(run(&mut schedule, s(120)), [(Job::Statuses, false)]);
}

#[test]
fn names_and_statuses_are_read_again_every_half_hour() {
    let mut schedule = Schedule::new([BY_ID, BY_NAME], POLLS, RATION);
    run(&mut schedule, s(0));
    for begun in [0, 1_900, 3_800] {
        let quiet = run(&mut schedule, s(begun + 1_796));
        assert!(matches!(quiet[..], [(Job::Poll(_), false)]), "{quiet:?}");
        let slots = [1_900, 1_904, 1_908];
        let [names, between, statuses] =
            slots.map(|after| run(&mut schedule, s(begun + after))[0].0);
        assert_eq!((names, statuses), (Job::Queues, Job::Statuses));
        assert!(matches!(between, Job::Poll(_)), "{between:?}");
    }
}

#[test]
fn names_are_not_read_if_all_queues_have_ids() {
    let mut schedule = Schedule::new([BY_ID], POLLS, RATION);
    let jobs = (0..8_000)
        .step_by(4)
        .flat_map(|at| run(&mut schedule, s(at)));
    assert!(jobs.into_iter().all(|(job, _)| job != Job::Queues));
}

#[test]
fn old_lists_of_an_earlier_run_are_read_first() {
    for (age, expected) in [
        (1_799, [(Job::Poll(0), true), (Job::Poll(1), true)]),
        (1_800, [(Job::Queues, true), (Job::Statuses, true)]),
        (86_400, [(Job::Queues, true), (Job::Statuses, true)]),
    ] {
        let mut schedule = Schedule::new([BY_NAME, BY_ID], POLLS, RATION);
        let age = Duration::from_secs(age);
        schedule.names_known(age, s(0));
        schedule.statuses_known(age, s(0));
        if age < NAMES_LIVE {
            schedule.id_known(0);
        }
        assert_eq!(run(&mut schedule, s(0))[..2], expected, "{age:?}");
    }
}

#[test]
fn a_doubtful_name_is_looked_up_soon_and_then_less_often() {
    let mut schedule = Schedule::new([BY_NAME, BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    let mut look_ups = Vec::new();
    for at in (400..7_600).step_by(4) {
        schedule.doubt_name(0);
        let jobs = run(&mut schedule, s(at));
        if jobs.iter().any(|(job, _)| *job == Job::Queues) {
            look_ups.push(at);
        }
    }
    assert_eq!(look_ups[0], 400, "at once");
    let before = |end| look_ups.iter().filter(|at| **at < end).count();
    assert!((5..=8).contains(&before(400 + 1_800)), "{look_ups:?}");
    assert!(look_ups.len() <= 12, "{look_ups:?}");
    // A queue that is configured by its id has no name to look up.
    let mut schedule = Schedule::new([BY_NAME, BY_ID], POLLS, RATION);
    run(&mut schedule, s(0));
    schedule.doubt_name(1);
    let jobs = run(&mut schedule, s(400));
    assert!(jobs.iter().all(|(job, _)| *job != Job::Queues), "{jobs:?}");
}

#[test]
fn an_hour_of_slots_is_evenly_spread() {
    let mut schedule = Schedule::new([BY_ID; 7], POLLS, RATION);
    run(&mut schedule, s(0));
    let polls: Vec<u64> = (1..=3_600)
        .filter(|second| !run(&mut schedule, s(*second)).is_empty())
        .collect();
    assert!(
        polls
            .windows(2)
            .all(|pair| pair[1] - pair[0] == PERIOD.as_secs()),
        "a request each period"
    );
}

#[test]
fn any_success_ends_the_wait_for_a_refused_token() {
    let mut schedule = Schedule::new([BY_ID; 5], POLLS, RATION);
    run(&mut schedule, s(0));
    for second in [4, 9, 19] {
        let job = start(&mut schedule, s(second));
        schedule.ended(job, Ending::Badly(&Fault::BadToken), s(second), 0.0);
    }
    assert_eq!(schedule.next(s(20)), Next::Wait(s(39) - s(20)));
    // A poll on demand is answered.
    schedule.begun(Job::Poll(2), s(20));
    schedule.ended(Job::Poll(2), Ending::Well { requests: 1 }, s(20), 0.0);
    assert!(matches!(schedule.next(s(23)), Next::Start { .. }));
}

#[test]
fn a_token_that_may_have_changed_is_tried_at_once_but_only_once() {
    let mut schedule = Schedule::new([BY_ID; 5], POLLS, RATION);
    run(&mut schedule, s(0));
    for second in [4, 9, 19, 39] {
        let job = start(&mut schedule, s(second));
        schedule.ended(job, Ending::Badly(&Fault::BadToken), s(second), 0.0);
    }
    schedule.try_token();
    let job = start(&mut schedule, s(50));
    assert_eq!(schedule.next(s(50)), Next::Wait(Duration::MAX), "one");
    schedule.ended(job, Ending::Badly(&Fault::BadToken), s(50), 0.0);
    assert_eq!(schedule.next(s(50)), Next::Wait(Duration::from_secs(80)));
}
