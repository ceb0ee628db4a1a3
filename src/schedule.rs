//! What is the best next request? Pure: state and time in, the next job out.
//!
//! - **Cold start**: what names and statuses the queues need, then each queue once, at once.
//! - **After that** one job a slot, slots evenly spread: the queue whose last poll is longest ago.
//! - **Faults** push a queue back, with doubled waits and jitter; a bad token pushes the whole account back. The first success ends it.
//!
//! The schedule knows nothing of the network, the budget's ledger or the board; [`crate::account`] performs what it says.

use std::time::Duration;

use crate::calltools::Fault;

/// Polls of one account under way together: enough that a cold start of a large account takes seconds and one hanging poll does not hold up the
/// others, few enough that CallTools does not take us for an attack.
const AT_ONCE: usize = 8;

/// The first wait after a fault.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// The longest wait after faults of one queue.
const LONGEST_QUEUE_BACKOFF: Duration = Duration::from_secs(60);

/// The longest wait with a bad token: somebody has to do something first, and hammering gets accounts locked.
const LONGEST_ACCOUNT_BACKOFF: Duration = Duration::from_secs(300);

/// Names and statuses are read again after this long: people rename things, and two requests a day are nothing.
const NAMES_LIVE: Duration = Duration::from_secs(24 * 3600);

/// An unknown status asks for a new reading of `statuses/`, but not more often than this: some may stay unknown.
const STATUSES_AGAIN: Duration = Duration::from_secs(600);

/// So many readings of `statuses/` may fail before the queues are polled without it. Until then, none is better than a guess.
const STATUSES_TRIES: u32 = 3;

/// A request, or the pages of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Read `queues/`: the ids behind names.
    Queues,
    /// Read `statuses/`: what makes an agent available.
    Statuses,
    /// Poll a queue, by its place in the account's config.
    Poll(usize),
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start this now; `cold`: outside the pace.
    Start {
        /// What to do.
        job: Job,
        /// Part of a cold start, which does not wait for its slot.
        cold: bool,
    },
    /// Nothing before this long, unless a job ends.
    Wait(Duration),
}

/// How a job ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// As it should, after so many requests.
    Well {
        /// Pages read.
        requests: u32,
    },
    /// With a fault.
    Badly(&'a Fault),
    /// The budget ran out on the way: nothing was learnt, about the queue or CallTools.
    Unpaid,
}

/// What an account's queues need besides being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The queue is configured by a name whose id is not known yet.
    pub id: bool,
    /// The queue's rule asks whether agents are available.
    pub statuses: bool,
}

/// How something that is read again and again is doing. Times are boot times.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    in_flight: bool,
    last_start: Option<Duration>,
    last_success: Option<Duration>,
    failures: u32,
    not_before: Duration,
}

impl Reading {
    fn start(&mut self, now: Duration) {
        self.in_flight = true;
        self.last_start = Some(now);
    }

    fn succeed(&mut self, now: Duration) {
        *self = Self {
            in_flight: false,
            last_success: Some(now),
            failures: 0,
            not_before: Duration::ZERO,
            ..*self
        };
    }

    fn fail(&mut self, now: Duration, longest: Duration, jitter: f64) {
        self.in_flight = false;
        self.failures += 1;
        self.not_before = now + backoff(self.failures, longest, jitter);
    }
}

/// The wait after `failures` in a row: doubled each time, up to `longest`; `jitter` in 0..1 takes up to half of it away, so that what
/// failed together does not come back together.
fn backoff(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(longest).mul_f64(1.0 - jitter / 2.0)
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    need: Need,
    reading: Reading,
    /// Requests that its last poll took.
    pages: u32,
}

/// One account's schedule.
#[derive(Debug)]
pub struct Schedule {
    queues: Vec<Queue>,
    names: Reading,
    statuses: Reading,
    /// `statuses/` cannot be read: queues are polled without it.
    statuses_given_up: bool,
    /// A status was seen that the last reading did not have.
    unknown_status: bool,
    /// Account-wide faults.
    token_failures: u32,
    not_before: Duration,
    /// The start of the next slot.
    slot: Duration,
    in_flight: usize,
}

impl Schedule {
    /// A schedule for queues with these needs, in the order of the config.
    pub fn new(needs: impl IntoIterator<Item = Need>) -> Self {
        let queue = |need| Queue {
            need,
            reading: Reading::default(),
            pages: 1,
        };
        Self {
            queues: needs.into_iter().map(queue).collect(),
            names: Reading::default(),
            statuses: Reading::default(),
            statuses_given_up: false,
            unknown_status: false,
            token_failures: 0,
            not_before: Duration::ZERO,
            slot: Duration::ZERO,
            in_flight: 0,
        }
    }

    /// The statuses are known from an earlier run, and were read this long ago.
    pub fn statuses_known(&mut self, age: Duration, now: Duration) {
        self.statuses.last_success = Some(now.saturating_sub(age));
    }

    /// The id behind a queue's name is known.
    pub fn id_known(&mut self, queue: usize) {
        self.queues[queue].need.id = false;
    }

    /// CallTools refused the id behind a queue's name: the name may have got another.
    pub fn id_refused(&mut self, queue: usize) {
        self.queues[queue].need.id = true;
    }

    /// A poll saw a status that is not in the list.
    pub fn saw_unknown_status(&mut self) {
        self.unknown_status = true;
    }

    /// Whether queues are polled without knowing what the account's statuses do.
    pub fn statuses_given_up(&self) -> bool {
        self.statuses_given_up
    }

    /// What to do at `now`. The same answer until something starts, ends or becomes due.
    pub fn next(&self, now: Duration) -> Next {
        if now < self.not_before {
            return Next::Wait(self.not_before - now);
        }
        // With a token in doubt, one request at a time tries whether it works again.
        let at_once = if self.token_failures > 0 { 1 } else { AT_ONCE };
        if self.in_flight >= at_once {
            return Next::Wait(Duration::MAX);
        }
        if let Some(job) = self.first_reading(now) {
            return Next::Start { job, cold: true };
        }
        if now < self.slot {
            return Next::Wait(self.slot - now);
        }
        match self.again(now) {
            Some(job) => Next::Start { job, cold: false },
            None => Next::Wait(self.earliest().saturating_sub(now)),
        }
    }

    /// A job was begun. The next slot comes when what it will probably cost has been earned at one request a `period`.
    pub fn started(&mut self, job: Job, now: Duration, period: Duration) {
        self.in_flight += 1;
        self.reading(job).start(now);
        let requests = match job {
            Job::Poll(queue) => self.queues[queue].pages,
            Job::Queues | Job::Statuses => 1,
        };
        self.slot = now + period * requests;
        if job == Job::Statuses {
            self.unknown_status = false;
        }
    }

    /// A job ended. `jitter` in 0..1.
    pub fn ended(&mut self, job: Job, ending: Ending<'_>, now: Duration, jitter: f64) {
        self.in_flight -= 1;
        match ending {
            Ending::Well { requests } => {
                self.token_failures = 0;
                self.reading(job).succeed(now);
                match job {
                    Job::Poll(queue) => self.queues[queue].pages = requests.max(1),
                    Job::Statuses => self.statuses_given_up = false,
                    Job::Queues => {}
                }
            }
            Ending::Unpaid => self.reading(job).in_flight = false,
            Ending::Badly(Fault::BadToken) => {
                self.reading(job).in_flight = false;
                self.token_failures += 1;
                self.not_before =
                    now + backoff(self.token_failures, LONGEST_ACCOUNT_BACKOFF, jitter);
            }
            // The budget keeps the silence, and asking it again tells how long.
            Ending::Badly(Fault::Throttled { .. } | Fault::BudgetSpent { .. }) => {
                self.reading(job).in_flight = false
            }
            Ending::Badly(fault) => {
                self.token_failures = 0;
                self.reading(job).fail(now, LONGEST_QUEUE_BACKOFF, jitter);
                if job == Job::Statuses {
                    self.statuses_failed(fault);
                }
            }
        }
    }

    fn statuses_failed(&mut self, fault: &Fault) {
        let hopeless =
            matches!(fault, Fault::NoPermission) || self.statuses.failures >= STATUSES_TRIES;
        self.statuses_given_up |= hopeless && self.statuses.last_success.is_none();
    }

    /// There is no permit before this long.
    pub fn refused(&mut self, wait: Duration, now: Duration) {
        self.not_before = now + wait;
    }

    fn reading(&mut self, job: Job) -> &mut Reading {
        match job {
            Job::Queues => &mut self.names,
            Job::Statuses => &mut self.statuses,
            Job::Poll(queue) => &mut self.queues[queue].reading,
        }
    }

    /// What was never read and can be: names, statuses, then every queue.
    fn first_reading(&self, now: Duration) -> Option<Job> {
        let ready = |reading: &Reading| {
            !reading.in_flight && reading.last_start.is_none() && now >= reading.not_before
        };
        if self.needs_names() && ready(&self.names) {
            return Some(Job::Queues);
        }
        if self.needs_statuses() && self.statuses.last_success.is_none() && ready(&self.statuses) {
            return Some(Job::Statuses);
        }
        let mut queues = self.queues.iter();
        let queue = queues.position(|queue| self.can_be_polled(queue) && ready(&queue.reading))?;
        Some(Job::Poll(queue))
    }

    /// What to read again, or again after it failed.
    fn again(&self, now: Duration) -> Option<Job> {
        let ready = |reading: &Reading| !reading.in_flight && now >= reading.not_before;
        if self.needs_names() && ready(&self.names) {
            return Some(Job::Queues);
        }
        if self.needs_statuses() && self.statuses_due() <= now && ready(&self.statuses) {
            return Some(Job::Statuses);
        }
        let due = self.queues.iter().enumerate();
        let due = due.filter(|(_, queue)| self.can_be_polled(queue) && ready(&queue.reading));
        due.min_by_key(|(_, queue)| queue.reading.last_start)
            .map(|(queue, _)| Job::Poll(queue))
    }

    fn needs_names(&self) -> bool {
        self.queues.iter().any(|queue| queue.need.id)
    }

    fn needs_statuses(&self) -> bool {
        self.queues.iter().any(|queue| queue.need.statuses)
    }

    fn can_be_polled(&self, queue: &Queue) -> bool {
        let statuses_known = self.statuses.last_success.is_some() || self.statuses_given_up;
        !queue.need.id && (statuses_known || !queue.need.statuses)
    }

    /// When `statuses/` should be read again.
    fn statuses_due(&self) -> Duration {
        match (self.statuses.last_success, self.statuses.last_start) {
            (Some(success), Some(start)) if self.unknown_status => {
                start.max(success) + STATUSES_AGAIN
            }
            (Some(_), None) if self.unknown_status => Duration::ZERO,
            (Some(success), _) => success + NAMES_LIVE,
            (None, Some(start)) if self.statuses_given_up => start + STATUSES_AGAIN,
            (None, _) => Duration::ZERO,
        }
    }

    /// The earliest time at which anything could become due by itself.
    fn earliest(&self) -> Duration {
        let waiting = |reading: &Reading| (!reading.in_flight).then_some(reading.not_before);
        let queues = self.queues.iter().filter(|queue| self.can_be_polled(queue));
        let mut times: Vec<Duration> = queues.filter_map(|queue| waiting(&queue.reading)).collect();
        if self.needs_names() {
            times.extend(waiting(&self.names));
        }
        if self.needs_statuses() {
            times.extend(
                waiting(&self.statuses).map(|not_before| not_before.max(self.statuses_due())),
            );
        }
        times.into_iter().min().unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calltools::{Down, NoSuchQueue};

    const BY_NAME: Need = Need {
        id: true,
        statuses: true,
    };
    const BY_ID: Need = Need {
        id: false,
        statuses: true,
    };
    const PERIOD: Duration = Duration::from_secs(4);

    fn s(seconds: u64) -> Duration {
        // Some time after boot, so that zero is not now.
        Duration::from_secs(1_000 + seconds)
    }

    /// Starts and ends well whatever is to be started at `now`, and says what it was.
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
        let mut schedule = Schedule::new([BY_NAME, BY_ID, BY_NAME]);
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
    fn a_queue_with_an_id_and_a_rule_of_its_own_needs_nothing_first() {
        let mut schedule = Schedule::new([Need {
            id: false,
            statuses: false,
        }]);
        assert_eq!(run(&mut schedule, s(0)), [(Job::Poll(0), true)]);
    }

    #[test]
    fn afterwards_the_queues_take_turns_a_slot_each() {
        let mut schedule = Schedule::new([BY_ID; 3]);
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
        let mut schedule = Schedule::new([BY_ID]);
        run(&mut schedule, s(0));
        let job = start(&mut schedule, s(4));
        schedule.ended(job, Ending::Well { requests: 3 }, s(5), 0.0);
        start(&mut schedule, s(8));
        assert_eq!(schedule.slot, s(8) + 3 * PERIOD);
    }

    #[test]
    fn no_more_than_a_few_polls_are_under_way_together() {
        let mut schedule = Schedule::new(
            [Need {
                id: false,
                statuses: false,
            }; 20],
        );
        for _ in 0..AT_ONCE {
            start(&mut schedule, s(0));
        }
        assert_eq!(schedule.next(s(0)), Next::Wait(Duration::MAX));
    }

    #[test]
    fn a_hanging_poll_holds_up_no_other_queue() {
        let mut schedule = Schedule::new([BY_ID; 2]);
        run(&mut schedule, s(0));
        assert_eq!(start(&mut schedule, s(4)), Job::Poll(0));
        assert_eq!(start(&mut schedule, s(8)), Job::Poll(1));
        schedule.ended(Job::Poll(1), Ending::Well { requests: 1 }, s(8), 0.0);
        assert_eq!(start(&mut schedule, s(12)), Job::Poll(1));
    }

    #[test]
    fn a_queue_that_fails_waits_ever_longer_up_to_a_minute_and_the_others_go_on() {
        let mut schedule = Schedule::new([BY_ID; 2]);
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
        let mut schedule = Schedule::new([BY_ID]);
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
    fn a_bad_token_holds_the_whole_account_with_one_try_at_a_time() {
        let mut schedule = Schedule::new(
            [Need {
                id: false,
                statuses: false,
            }; 5],
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
            "as if nothing had been"
        );
    }

    #[test]
    fn jitter_takes_up_to_half_of_a_wait_away() {
        assert_eq!(
            backoff(1, LONGEST_QUEUE_BACKOFF, 0.0),
            Duration::from_secs(5)
        );
        assert_eq!(
            backoff(1, LONGEST_QUEUE_BACKOFF, 1.0),
            Duration::from_millis(2_500)
        );
        assert_eq!(
            backoff(u32::MAX, LONGEST_QUEUE_BACKOFF, 0.0),
            LONGEST_QUEUE_BACKOFF
        );
    }

    #[test]
    fn a_name_that_is_not_found_is_looked_up_again_and_the_others_are_polled() {
        let mut schedule = Schedule::new([BY_NAME, BY_NAME]);
        let fault = Fault::NoSuchQueue(NoSuchQueue::Name {
            asked: "x".to_owned(),
            nearest: Vec::new(),
        });
        assert_eq!(start(&mut schedule, s(0)), Job::Queues);
        schedule.ended(Job::Queues, Ending::Badly(&fault), s(0), 0.0);
        schedule.id_known(1);
        assert_eq!(
            run(&mut schedule, s(0)),
            [(Job::Statuses, true), (Job::Poll(1), true)]
        );
        assert_eq!(run(&mut schedule, s(5))[0].0, Job::Queues);
    }

    #[test]
    fn without_statuses_queues_wait_for_three_tries_or_a_clear_no() {
        let down = Fault::down(Down::ServerError, "503");
        for (fault, tries) in [(down, 3), (Fault::NoPermission, 1)] {
            let mut schedule = Schedule::new([BY_ID]);
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
        }
    }

    #[test]
    fn an_unknown_status_asks_for_the_list_again_but_not_all_the_time() {
        let mut schedule = Schedule::new([BY_ID]);
        run(&mut schedule, s(0));
        schedule.saw_unknown_status();
        assert_eq!(run(&mut schedule, s(4)), [(Job::Poll(0), false)]);
        assert_eq!(run(&mut schedule, s(604)), [(Job::Statuses, false)]);
        assert_eq!(run(&mut schedule, s(608)), [(Job::Poll(0), false)]);
    }

    #[test]
    fn statuses_are_read_again_after_a_day() {
        let mut schedule = Schedule::new([BY_ID]);
        run(&mut schedule, s(0));
        assert_eq!(run(&mut schedule, s(86_399)), [(Job::Poll(0), false)]);
        assert_eq!(run(&mut schedule, s(86_404)), [(Job::Statuses, false)]);
    }

    #[test]
    fn an_hour_of_slots_is_evenly_spread() {
        let mut schedule = Schedule::new([BY_ID; 7]);
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
}
