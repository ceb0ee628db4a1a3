//! What the schedule makes of hours of slots: sweeps, demand, idleness and saving, played through without a network.

use proptest::prelude::*;

use super::{reading::FIRST_BACKOFF, *};
use crate::{config::ScheduleOptions, model::fault::Down};

const PERIOD: Duration = Duration::from_secs(4);
const HOUR: Duration = Duration::from_secs(3600);
const START: Duration = Duration::from_secs(1_000);

/// A queue with a rule of its own that sweeps renew, configured by its id.
const SHARED: Need = Need {
    id: false,
    statuses: false,
    alone: false,
};
const ALONE: Need = Need {
    alone: true,
    ..SHARED
};
/// Sweeps, and never idle.
const LIVELY: ScheduleOptions = ScheduleOptions {
    sweep: true,
    idle_pace: 1.0,
};
const POLLS: ScheduleOptions = ScheduleOptions {
    sweep: false,
    ..LIVELY
};

/// An account played through: every request is answered at once.
struct Play {
    schedule: Schedule,
    now: Duration,
    /// Requests of a poll of each queue.
    pages: Vec<u32>,
    /// Pages of a sweep.
    sweep: u32,
    log: Vec<(Duration, Job)>,
}

impl Play {
    fn new(queues: impl IntoIterator<Item = (Need, u32)>, options: ScheduleOptions) -> Self {
        let queues: Vec<_> = queues.into_iter().collect();
        Self {
            pages: queues.iter().map(|(_, pages)| *pages).collect(),
            schedule: Schedule::new(queues.into_iter().map(|(need, _)| need), options, RATION),
            now: START,
            sweep: 1,
            log: Vec::new(),
        }
    }

    /// Through its cold start, with sweeps that proved true.
    fn warm(queues: impl IntoIterator<Item = (Need, u32)>, options: ScheduleOptions) -> Self {
        let mut play = Self::new(queues, options);
        play.go(Duration::ZERO);
        play.schedule.trust();
        play.log.clear();
        play
    }

    /// Demand in these proportions.
    fn demand(mut self, demand: &[u64]) -> Self {
        self.schedule.asked(demand, self.now);
        self
    }

    fn go(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            match self.schedule.next(self.now) {
                Next::Start { job, .. } => self.perform(job),
                Next::Wait(_) if self.now >= end => return,
                Next::Wait(wait) => {
                    self.now = end.min(self.now + wait.max(Duration::from_millis(1)))
                }
            }
        }
    }

    fn perform(&mut self, job: Job) {
        self.log.push((self.now, job));
        self.schedule.started(job, self.now, PERIOD);
        let requests = self.requests(job);
        if let Job::Sweep(page) = job {
            let next = (page < self.sweep).then_some(page + 1);
            self.schedule.swept(page, next);
        }
        self.schedule
            .ended(job, Ending::Well { requests }, self.now, 0.0);
    }

    fn requests(&self, job: Job) -> u32 {
        match job {
            Job::Poll(queue) => self.pages[queue],
            _ => 1,
        }
    }

    fn times(&self, of: impl Fn(Job) -> bool) -> Vec<Duration> {
        let log = self.log.iter().filter(|(_, job)| of(*job));
        log.map(|(at, _)| *at).collect()
    }

    fn spent(&self) -> u32 {
        self.log.iter().map(|(_, job)| self.requests(*job)).sum()
    }

    fn has_swept(&self) -> bool {
        self.log.iter().any(|(_, job)| matches!(job, Job::Sweep(_)))
    }
}

fn is_sweep(job: Job) -> bool {
    matches!(job, Job::Sweep(_))
}

fn gaps(times: &[Duration]) -> Vec<f64> {
    let pairs = times.windows(2);
    pairs
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn longest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[test]
fn a_cold_start_is_followed_by_three_sweeps_and_a_queue_in_turn() {
    let mut play = Play::new([(SHARED, 1); 8], LIVELY);
    play.go(HOUR);
    let cold: Vec<_> = play.log.iter().take(8).map(|(_, job)| *job).collect();
    assert_eq!(cold, (0..8).map(Job::Poll).collect::<Vec<_>>());
    assert!(play.log[..8].iter().all(|(at, _)| *at == START), "at once");
    let sweeps = play.times(is_sweep);
    let polls = play.log.len() - 8 - sweeps.len();
    assert!(sweeps.len().abs_diff(polls * SWEEPS_IN_TURN as usize) <= 3);
    let between = PERIOD.as_secs_f64() * f64::from(TURN) / f64::from(SWEEPS_IN_TURN);
    assert!(
        gaps(&sweeps)
            .iter()
            .all(|gap| (gap / between - 1.0).abs() < 1e-6),
        "evenly: {:?}",
        gaps(&sweeps)
    );
}

#[test]
fn lists_that_are_read_again_take_slots_of_queues_and_put_no_sweep_off() {
    let by_name = Need {
        id: true,
        statuses: true,
        alone: false,
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
fn queues_are_polled_by_the_root_of_their_demand() {
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
fn a_queue_that_nobody_asks_about_keeps_within_three_even_rounds() {
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
fn a_queue_whose_people_came_online_is_polled_sooner_and_once() {
    let mut play = Play::warm([(SHARED, 1); 10], POLLS);
    play.go(PERIOD * 5);
    play.log.clear();
    play.schedule.hurry(1);
    play.go(PERIOD * 10);
    let turns: Vec<_> = play.log.iter().map(|(_, job)| *job).collect();
    let place = turns.iter().position(|job| *job == Job::Poll(1)).unwrap();
    assert!(place < 6, "it was the seventh: {turns:?}");
    assert_eq!(turns.iter().filter(|job| **job == Job::Poll(1)).count(), 1);
}

#[test]
fn a_queue_with_a_missing_member_has_the_next_slot_for_queues() {
    let mut play = Play::warm([(SHARED, 1); 10], LIVELY);
    play.go(PERIOD * 8);
    let last = play.times(|job| matches!(job, Job::Poll(_))).len();
    play.log.clear();
    let just_polled = (0..10)
        .max_by_key(|queue| play.schedule.queues[*queue].reading.last_start)
        .unwrap();
    play.schedule.look_for_missing(just_polled);
    play.go(PERIOD * TURN * 2);
    assert!(last > 0);
    let polls: Vec<_> = play.log.iter().filter(|(_, job)| !is_sweep(*job)).collect();
    assert_eq!(polls[0].1, Job::Poll(just_polled));
    assert_ne!(polls[1].1, Job::Poll(just_polled), "once");
}

#[test]
fn a_sweep_pays_while_it_costs_less_than_half_of_the_queues() {
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
        // Three queues, nearly all of the demand with one: as good as one alone.
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
fn queues_that_are_polled_by_themselves_get_their_share() {
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
fn queues_that_all_go_by_themselves_are_never_swept() {
    let mut play = Play::warm([(ALONE, 1); 8], LIVELY);
    play.go(HOUR);
    assert!(!play.has_swept());
    assert_eq!(play.log.len() as u64, HOUR.as_secs() / PERIOD.as_secs());
}

#[test]
fn distrust_means_polls_alone_until_it_is_time_to_try_again() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    play.go(HOUR);
    play.schedule.distrust(play.now);
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

fn idle(idle_pace: f64) -> ScheduleOptions {
    ScheduleOptions {
        idle_pace,
        ..LIVELY
    }
}

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

/// Queues, their demand, the pages of a sweep, and what the operator says.
type Case<'a> = (Vec<(Need, u32)>, &'a [u64], u32, ScheduleOptions);

#[test]
fn what_is_expected_is_what_comes() {
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
    let cases: [Case; 8] = [
        (vec![(SHARED, 1); 1], &[], 1, LIVELY),
        (vec![(SHARED, 1); 5], &[], 1, LIVELY),
        (vec![(SHARED, 1); 20], &skewed, 1, LIVELY),
        (vec![(SHARED, 1); 20], &skewed, 3, LIVELY),
        (vec![(SHARED, 1); 20], &skewed, 1, POLLS),
        (vec![(SHARED, 3); 20], &skewed, 4, LIVELY),
        ((0..20).map(mixed).collect(), &[], 3, LIVELY),
        ((0..20).map(mixed).collect(), &skewed, 1, LIVELY),
    ];
    for (case, (queues, demand, sweep, options)) in cases.into_iter().enumerate() {
        let mut play = Play::warm(queues, options).demand(demand);
        play.sweep = sweep;
        // Until it is known how many pages everything has.
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
                // Slots are whole: among a few queues none comes much more often than another.
                0.35,
            );
            if play.has_swept() && !play.schedule.queues[queue].need.alone {
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
fn an_even_expectation_forgets_demand_and_keeps_the_way_of_working() {
    let mut play = Play::warm([(SHARED, 1); 4], LIVELY).demand(&[1_000, 0, 0, 0]);
    let even = play.schedule.expected_evenly(PERIOD);
    assert!(even.iter().all(|queue| *queue == even[0]));
    play.schedule.distrust(play.now);
    let polls = play.schedule.expected_evenly(PERIOD);
    assert_eq!(polls[0].statuses, PERIOD * 4);
}

#[test]
fn a_poll_that_failed_once_is_tried_again_soon() {
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
fn queues_that_fail_for_good_starve_nobody() {
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
fn what_is_asked_out_of_turn_heeds_faults_and_what_is_under_way() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    let (now, poll, sweep) = (play.now, Job::Poll(3), Job::Sweep(1));
    play.perform(sweep);
    assert!(play.schedule.may_ask(poll, now) && play.schedule.may_ask(sweep, now));
    assert!(play.schedule.sweep_tells(3, now));
    play.schedule.begun(poll, now);
    assert!(!play.schedule.may_ask(poll, now), "under way");
    play.schedule
        .ended(poll, Ending::Badly(&Fault::NoPermission), now, 0.0);
    assert!(!play.schedule.may_ask(poll, now), "it just failed");
    assert!(play.schedule.may_ask(poll, now + FIRST_BACKOFF));
    // The first of two pages was read: a whole sweep is more than one request.
    play.schedule.swept(1, Some(2));
    assert!(!play.schedule.sweep_tells(3, now));
    play.schedule.begun(Job::Poll(4), now);
    play.schedule
        .ended(Job::Poll(4), Ending::Badly(&Fault::BadToken), now, 0.0);
    let later = now + FIRST_BACKOFF;
    assert!(!play.schedule.may_ask(Job::Poll(5), now));
    play.schedule.begun(Job::Poll(4), later);
    assert!(!play.schedule.may_ask(Job::Poll(5), later), "one at a time");
}

#[test]
fn a_queue_whose_id_is_not_known_cannot_be_asked_for() {
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

/// Something that happens to a schedule.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Start,
    EndWell(usize, u32),
    EndBadly(usize, usize),
    Ask(Vec<u64>),
    WillWait,
    Fresh(usize),
    Hurry(usize),
    Distrust,
    Trust,
    Refused(u64),
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop_oneof![
        4 => (0u64..20_000).prop_map(Pass),
        1 => (0u64..4_000_000).prop_map(Pass),
        8 => Just(Start),
        6 => (any::<usize>(), 0u32..4).prop_map(|(which, pages)| EndWell(which, pages)),
        2 => (any::<usize>(), 0usize..6).prop_map(|(which, fault)| EndBadly(which, fault)),
        1 => prop::collection::vec(0u64..50, 6).prop_map(Ask),
        1 => Just(WillWait),
        1 => (0usize..7).prop_map(Fresh),
        1 => (0usize..6).prop_map(Hurry),
        1 => Just(Distrust),
        1 => Just(Trust),
        1 => (0u64..100).prop_map(Refused),
    ]
}

fn faults() -> [Fault; 5] {
    [
        Fault::BadToken,
        Fault::NoPermission,
        Fault::Throttled { until: None },
        Fault::BudgetSpent {
            until: crate::clock::Moment {
                boot: PERIOD,
                wall: PERIOD,
            },
        },
        Fault::down(Down::TimeOut, "no answer"),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_no_job_is_begun_twice_and_nothing_panics(
        events in prop::collection::vec(event(), 1..300),
        alone in prop::collection::vec(any::<bool>(), 6),
        by_name in any::<bool>(),
        sweep in any::<bool>(),
    ) {
        let need = |alone| Need { id: by_name, statuses: by_name, alone };
        let mut schedule = Schedule::new(alone.into_iter().map(need), idle(0.3), RATION);
        schedule.options.sweep = sweep;
        let (mut now, mut under_way) = (START, Vec::new());
        for event in events {
            match event {
                Event::Pass(ms) => now += Duration::from_millis(ms),
                Event::Start => if let Next::Start { job, .. } = schedule.next(now) {
                    prop_assert!(!under_way.contains(&job), "{job:?} twice");
                    prop_assert!(!is_sweep(job) || !under_way.iter().any(|job| is_sweep(*job)));
                    schedule.started(job, now, PERIOD);
                    prop_assert!(schedule.is_under_way(job));
                    under_way.push(job);
                },
                Event::Fresh(queue) => {
                    let job = if queue < 6 { Job::Poll(queue) } else { Job::Sweep(1) };
                    if (queue < 6 || schedule.sweep_tells(0, now)) && schedule.may_ask(job, now) {
                        prop_assert!(!under_way.contains(&job), "{job:?} twice");
                        schedule.begun(job, now);
                        under_way.push(job);
                    }
                }
                Event::EndWell(which, pages) if !under_way.is_empty() => {
                    let job = under_way.swap_remove(which % under_way.len());
                    match job {
                        Job::Queues => (0..6).for_each(|queue| schedule.id_known(queue)),
                        Job::Sweep(page) => schedule.swept(page, (pages > 0).then_some(page + 1)),
                        _ => {}
                    }
                    schedule.ended(job, Ending::Well { requests: pages }, now, 0.5);
                }
                Event::EndBadly(which, fault) if !under_way.is_empty() => {
                    let job = under_way.swap_remove(which % under_way.len());
                    let faults = faults();
                    let ending = faults.get(fault).map_or(Ending::Unpaid, Ending::Badly);
                    schedule.ended(job, ending, now, 0.5);
                }
                Event::EndWell(..) | Event::EndBadly(..) => {}
                Event::Ask(questions) => schedule.asked(&questions, now),
                Event::WillWait => schedule.asked_to_wait(now),
                Event::Hurry(queue) => schedule.hurry(queue),
                Event::Distrust => schedule.distrust(now),
                Event::Trust => schedule.trust(),
                Event::Refused(seconds) => schedule.refused(Duration::from_secs(seconds), now),
            }
            prop_assert_eq!(schedule.in_flight, under_way.len());
            prop_assert!(schedule.in_flight <= AT_ONCE);
        }
    }

    #[test]
    fn an_hour_never_takes_more_than_it_earns(
        pages in prop::collection::vec(1u32..4, 1..30),
        alone in prop::collection::vec(any::<bool>(), 30),
        demand in prop::collection::vec(0u64..1_000, 30),
        sweep in 1u32..6,
        will_wait in any::<bool>(),
    ) {
        let queues: Vec<_> = pages.iter().zip(alone).map(|(pages, alone)| (if alone { ALONE } else { SHARED }, *pages)).collect();
        let most: u32 = pages.iter().copied().max().unwrap_or(1) + 1;
        let mut play = Play::warm(queues, idle(0.5)).demand(&demand[..pages.len()]);
        play.sweep = sweep;
        play.log.clear();
        for _ in 0..60 {
            if will_wait {
                play.schedule.asked_to_wait(play.now);
            }
            play.go(Duration::from_secs(60));
        }
        let earned = (HOUR.as_secs() / PERIOD.as_secs()) as u32;
        prop_assert!(play.spent() <= earned + most, "{} of {earned}", play.spent());
    }
}

/// Starts with so many queues and a ration, and no request is answered before the next is sent.
fn cold(queues: usize, ration: u32, options: ScheduleOptions) -> Play {
    let mut play = Play::new(vec![(SHARED, 1); queues], options);
    play.schedule.ration = ration;
    play
}

#[test]
fn a_cold_start_polls_its_ration_at_once_and_the_others_at_the_pace() {
    for (queues, ration, options) in [(1_000, 38, LIVELY), (60, 38, LIVELY), (60, 38, POLLS)] {
        let mut play = cold(queues, ration, options);
        play.go(Duration::ZERO);
        assert_eq!(play.log.len() as u32, ration, "at once");
        play.log.clear();
        play.go(PERIOD * 20);
        assert!(play.log.len() <= 21, "then at the pace");
        let polls = play.times(|job| !is_sweep(job)).len();
        let share = if options.sweep { 9..=11 } else { 20..=21 };
        assert!(share.contains(&polls), "{polls} of 20 slots");
    }
}

#[test]
fn a_few_queues_are_all_polled_at_once() {
    for queues in [1, 5, 38] {
        let mut play = cold(queues, 38, LIVELY);
        play.go(Duration::ZERO);
        assert_eq!(play.log.len(), queues);
    }
}

#[test]
fn lists_of_many_pages_use_the_ration_up_sooner() {
    let mut play = Play::new(vec![(SHARED, 4); 60], LIVELY);
    play.schedule.ration = 38;
    play.go(Duration::ZERO);
    assert!((38..=41).contains(&play.spent()), "{}", play.spent());
}

#[test]
fn a_whole_sweep_comes_before_the_queues_that_are_left() {
    let mut play = cold(200, 38, LIVELY);
    play.sweep = 12;
    play.go(PERIOD * 13);
    let sweeps = play.log[38..50].iter().filter(|(_, job)| is_sweep(*job));
    assert_eq!(sweeps.count(), 12);
}

#[test]
fn queues_that_are_asked_about_are_known_first() {
    let mut play = cold(300, 38, LIVELY);
    play.go(PERIOD * 2);
    let mut demand = vec![0; 300];
    demand[250] = 20;
    demand[299] = 40;
    play.schedule.asked(&demand, play.now);
    play.log.clear();
    play.go(PERIOD * 6);
    let polls: Vec<_> = play.log.iter().filter(|(_, job)| !is_sweep(*job)).collect();
    assert_eq!((polls[0].1, polls[1].1), (Job::Poll(299), Job::Poll(250)));
}

#[test]
fn every_queue_is_known_in_the_end_and_then_sweeps_have_their_slots_again() {
    let mut play = cold(200, 38, LIVELY);
    play.go(PERIOD * (2 * 162 + 10));
    let mut polled: Vec<_> = play.log.iter().map(|(_, job)| *job).collect();
    polled.retain(|job| !is_sweep(*job));
    polled.sort_by_key(|job| match job {
        Job::Poll(queue) => *queue,
        _ => unreachable!("polls alone are left"),
    });
    polled.dedup();
    assert_eq!(polled.len(), 200);
    play.log.clear();
    play.go(PERIOD * 40);
    let sweeps = play.times(is_sweep).len();
    assert!((29..=31).contains(&sweeps), "{sweeps} of 40");
}

#[test]
fn what_was_polled_before_a_restart_waits_for_its_turn() {
    let mut play = cold(60, 38, LIVELY);
    let round = PERIOD * 4 * 60;
    for queue in 0..60 {
        let ago = Duration::from_secs(10 * queue as u64);
        play.schedule
            .polled_before(queue, START - ago, round, START);
    }
    play.schedule.trusted_before(3);
    play.go(Duration::ZERO);
    assert_eq!(play.log.len(), 1, "a sweep in its slot: {:?}", play.log);
    assert!(play.schedule.is_swept());
    let polls = |play: &Play| play.times(|job| !is_sweep(job)).len();
    play.go(PERIOD * 8);
    assert_eq!(polls(&play), 2);
    // What is older than a round is polled at once.
    play.schedule
        .polled_before(7, play.now - round - PERIOD, round, play.now);
    play.go(Duration::ZERO);
    assert_eq!(play.log.last().unwrap().1, Job::Poll(7));
}

#[test]
fn a_new_list_of_queues_keeps_what_is_known_and_polls_what_is_new() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    play.go(HOUR);
    let before = play.schedule.clone();
    // The third is gone, the last is new, and the order is another.
    let places = [
        Some(7),
        Some(0),
        Some(1),
        Some(3),
        Some(4),
        Some(5),
        Some(6),
        None,
    ];
    play.schedule.rearrange(&[SHARED; 8], &places, LIVELY, 38);
    for (place, was) in places.iter().enumerate().take(7) {
        let (is, was) = (&play.schedule.queues[place], &before.queues[was.unwrap()]);
        assert_eq!(is.reading.last_start, was.reading.last_start);
    }
    play.log.clear();
    play.go(Duration::ZERO);
    assert_eq!(play.log.first().map(|(_, job)| *job), Some(Job::Poll(7)));
    let cost = play.log.len();
    assert!(cost <= 2, "one poll, and what was due: {:?}", play.log);
    assert!(play.schedule.is_swept());
}

#[test]
fn what_is_under_way_for_a_queue_that_is_gone_holds_up_nothing() {
    let mut play = Play::warm([(SHARED, 1); 8], LIVELY);
    play.schedule.begun(Job::Poll(2), play.now);
    play.schedule.begun(Job::Poll(3), play.now);
    let places = [Some(0), Some(3)];
    play.schedule.rearrange(&[SHARED; 2], &places, LIVELY, 38);
    assert_eq!(play.schedule.in_flight, 1);
    assert!(play.schedule.is_under_way(Job::Poll(1)));
}

#[test]
fn max_age_follows_neither_demand_nor_whether_sweeps_have_proved_true_yet() {
    for (queues, sweep) in [(3, 1), (60, 1), (60, 10)] {
        let mut play = Play::new(vec![(SHARED, 1); queues], LIVELY);
        play.schedule.sweeping.pages = sweep;
        let planned = play.schedule.expected_evenly(PERIOD);
        play.schedule.trust();
        assert_eq!(play.schedule.expected_evenly(PERIOD), planned);
        let mut demand = vec![0; queues];
        demand[0] = 10_000;
        play.schedule.asked(&demand, play.now);
        assert_eq!(play.schedule.expected_evenly(PERIOD), planned);
        play.schedule.distrust(play.now);
        assert!(play.schedule.expected_evenly(PERIOD)[0].statuses > planned[0].statuses);
    }
}

#[test]
fn queues_that_nobody_asks_about_stay_within_the_max_age_that_was_planned_with_sweeps() {
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
