//! What is the best next request? Pure: state and time in, the next job out.
//!
//! - **Cold start**: what names and statuses the queues need, then a ration of queues at once, the most that a burst may spend. The others
//!   follow at the pace: a whole sweep first, which tells all statuses, then a queue in every other slot until each is known. Queues that are
//!   known from before a restart wait for their turn.
//! - **After that** slots are evenly spread. An agent's status goes stale within seconds and is the same in every queue, so three slots of
//!   four read the next page of a *sweep* of the whole account, and the fourth polls the queue whose membership is most overdue.
//! - **Most overdue** is the greatest demand × (time since the last poll)². Served greedily this is the square-root rule: each queue is
//!   polled at a rate proportional to the root of its demand, which makes the age that questions meet least (Cho and
//!   Garcia-Molina, *Effective page refresh policies*, 2003; Azar et al., *Tractable near-optimal policies for crawling*, PNAS 2018).
//! - **A sweep pays** while its pages are fewer than half of what polling the queues would take; one queue alone is polled alone.
//!   A queue whose criteria read what a sweep does not tell is polled by itself, at its share.
//! - **Faults** push a queue back, with doubled waits and jitter; a bad token pushes the whole account back. The first success ends it.
//! - **Without questions** for a while the pace is slower, until the first one comes.
//!
//! The schedule knows nothing of the network, the budget's ledger or the board; [`crate::account`] performs what it says.

mod reading;
mod shares;

use std::time::Duration;

use self::reading::{Reading, backoff};

use crate::{
    config::{QueueRef, Rule, ScheduleOptions},
    model::fault::Fault,
};

/// Polls of one account under way together: enough that a cold start of a large account takes seconds and one hanging poll does not hold up the
/// others, few enough that CallTools does not take us for an attack.
const AT_ONCE: usize = 8;

/// The longest wait after faults of one queue.
const LONGEST_QUEUE_BACKOFF: Duration = Duration::from_secs(60);

/// The longest wait with a bad token: somebody has to do something first, and hammering gets accounts locked.
const LONGEST_ACCOUNT_BACKOFF: Duration = Duration::from_secs(300);

/// Names and statuses are read again after this long: people rename queues, and change what a status does. That is four requests an hour.
pub const NAMES_LIVE: Duration = Duration::from_secs(1_800);

/// Where a queue's id is in doubt, or the names could not be read, they are read again this long after the last time. Doubled while that
/// goes on, up to [`NAMES_LIVE`]: a queue that is gone for good costs seven requests in the first half hour, and two an hour after it.
const NAMES_AGAIN: Duration = Duration::from_secs(15);

/// An unknown status asks for a new reading of `statuses/`, but not more often than this: some may stay unknown.
const STATUSES_AGAIN: Duration = Duration::from_secs(600);

/// So many readings of `statuses/` may fail before the queues are polled without it. Until then, none is better than a guess.
const STATUSES_TRIES: u32 = 3;

/// Slots in a turn: three for the sweep and one for a queue. Simulations of accounts from 20 to 500 agents found no split that is better
/// in all of them, and a learned one no better.
const TURN: u32 = 4;
const SWEEPS_IN_TURN: u32 = 3;

/// The same while there are queues of which nothing is known: their calls are lost, and statuses that are somewhat older lose fewer.
const TURN_CATCHING_UP: u32 = 2;
const SWEEPS_CATCHING_UP: u32 = 1;

/// A queue that was never polled is as overdue as one whose membership is as old as any may be.
const NEVER: Duration = crate::decision::MAX_MEMBERS_AGE;

/// A queue whose poll failed is the most overdue of all for so many tries, and then takes its turn like the others: a single failure is soon
/// made good, and queues that fail for good starve nobody.
const RETRIES: u32 = 3;

/// Sweeps that could not be trusted are tried again after this long: somebody may have given the token more rights.
const TRUST_AGAIN: Duration = Duration::from_secs(3600);

/// A question counts half after this time: demand follows the campaigns of the day.
const DEMAND_HALF_LIFE: Duration = Duration::from_secs(600);

/// Every queue counts as asked at least this part of the mean. By the square-root rule a queue that nobody asks about is then polled at
/// no less than two fifths of the mean rate, so that its snapshot stays within three times the planned age.
const DEMAND_FLOOR: f64 = 1.0 / 6.0;

/// A queue whose member was seen coming online since its last poll counts so much more: people log in to their queues then.
const URGENT: f64 = 2.0;

/// While sweeps keep statuses fresh, a queue whose answer one log-in or log-out could turn counts so much more than one with seats in
/// plenty. Measured with `cargo bench --bench freshness` (20 queues, 60 agents): 1.75 % wrong answers instead of 1.94 %; five and ten gain
/// no more, and would let the other queues' memberships grow old.
const AT_EDGE: f64 = 3.0;

/// Without a question for so long, an account is idle.
const IDLE_AFTER: Duration = Duration::from_secs(600);

/// An idle account is polled at most so much later than needed that the first question still meets half of `max_age`.
const IDLE_AGE: f64 = 0.5;

/// The same for memberships, which live for half an hour at least and are not what questions hang on.
const IDLE_MEMBERS_AGE: f64 = 0.75;

/// While questions may wait for fresh answers, permits are saved up for them: the background sweeps every third period and polls a queue every
/// seventh. Half of the budget is left for those who ask, who know best when it is worth something.
const SAVING_SWEEP_PERIODS: u32 = 3;
const SAVING_POLL_PERIODS: u32 = 7;

/// Queues of which nothing is known are polled every third period even then.
const SAVING_CATCH_UP_PERIODS: u32 = 3;

/// An account that is not swept goes so much slower while permits are saved up: half of the budget is left too.
const SAVING_STRETCH: f64 = 2.0;

/// Permits are saved up for so long after the last question that was willing to wait.
const SAVING_FOR: Duration = Duration::from_secs(300);

/// A request, or the pages of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Read `queues/`: the ids behind names.
    Queues,
    /// Read `statuses/`: what makes an agent available.
    Statuses,
    /// Poll a queue, by its place in the account's config.
    Poll(usize),
    /// Read this page of everybody in the account.
    Sweep(u32),
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

/// What a queue needs besides being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The queue is configured by a name whose id is not known yet.
    pub id: bool,
    /// The queue's rule asks whether agents are available.
    pub statuses: bool,
    /// The queue's rule reads what only a poll of the queue tells.
    pub alone: bool,
}

impl Need {
    /// What a queue of the config needs.
    pub fn of(reference: &QueueRef, rule: &Rule) -> Self {
        Self {
            id: matches!(reference, QueueRef::Name(_)),
            statuses: matches!(rule, Rule::Seats { .. }),
            alone: matches!(rule, Rule::Custom(criteria) if !criteria.is_renewed_by_statuses()),
        }
    }
}

/// The time between two looks at the same thing, on a good day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Between two looks at an agent's status.
    pub statuses: Duration,
    /// Between two polls of the queue.
    pub members: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    need: Need,
    /// The config has its name, and CallTools says which id that is.
    by_name: bool,
    reading: Reading,
    /// It is to be polled for the first time, at once if the ration allows.
    is_new: bool,
    /// Requests that its last poll took.
    pages: u32,
    /// Questions, each halved every [`DEMAND_HALF_LIFE`].
    asked: f64,
    /// A member came online since the last poll.
    urgent: bool,
    /// One log-in or log-out could turn the answer.
    at_edge: bool,
    /// A member was missing from a sweep since the last poll.
    missing: bool,
}

impl Queue {
    fn new(need: Need) -> Self {
        Self {
            need,
            by_name: need.id,
            reading: Reading::default(),
            is_new: true,
            pages: 1,
            asked: 0.0,
            urgent: false,
            at_edge: false,
            missing: false,
        }
    }

    /// Requests per poll, as a weight.
    fn cost(&self) -> f64 {
        f64::from(self.pages)
    }

    /// When it was last polled, as far as being overdue goes.
    fn last_poll(&self) -> Option<Duration> {
        if (1..=RETRIES).contains(&self.reading.failures) {
            self.reading.last_success
        } else {
            self.reading.last_start
        }
    }
}

/// The sweep of the whole account.
#[derive(Clone, Copy, Debug)]
struct Sweeping {
    reading: Reading,
    /// The page to read next.
    page: u32,
    /// Pages of the last whole sweep; one until the first is whole, as most accounts have.
    pages: u32,
    /// Sweeps have proved true.
    trusted: bool,
    /// Sweeps were found wanting, and have not proved true since.
    distrusted: bool,
    /// One was read to its end, or given up.
    was_whole: bool,
    not_before: Duration,
}

/// One account's schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    options: ScheduleOptions,
    queues: Vec<Queue>,
    names: Reading,
    /// What a queue's id answers says that its name may mean another queue, or none.
    names_doubted: bool,
    /// Readings in a row that such a doubt was the cause of.
    names_doubts: u32,
    statuses: Reading,
    sweeping: Sweeping,
    /// `statuses/` cannot be read: queues are polled without it.
    statuses_given_up: bool,
    /// A status was seen that the last reading did not have.
    unknown_status: bool,
    /// Times in a row that the token was refused, and when to try it again.
    token_failures: u32,
    token_not_before: Duration,
    /// When there may be a permit.
    not_before: Duration,
    /// Requests that a cold start may still send at once.
    ration: u32,
    /// The start of the next slot.
    slot: Duration,
    /// The time that one request takes to be earned.
    period: Duration,
    /// Slots begun, to know whose turn it is.
    turn: u32,
    /// What queues that are polled by themselves have saved up of a slot.
    alone_credit: f64,
    /// What was begun last is a list of names or statuses.
    last_was_list: bool,
    in_flight: usize,
    demand_at: Duration,
    /// Questions per queue, faded as each queue's are.
    mean_asked: f64,
    last_question: Option<Duration>,
    last_waiting: Option<Duration>,
    /// The tightest `max_age` of the queues.
    tightest: Duration,
    /// How old memberships may get.
    members_max_age: Duration,
}

/// Whose slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// A queue that is polled by itself.
    Alone,
    Sweep,
    Queue,
}

impl Schedule {
    /// A schedule for queues with these needs, in the order of the config. So many requests may poll queues at once when it begins.
    pub fn new(
        needs: impl IntoIterator<Item = Need>,
        options: ScheduleOptions,
        ration: u32,
    ) -> Self {
        Self {
            options,
            queues: needs.into_iter().map(Queue::new).collect(),
            names: Reading::default(),
            names_doubted: false,
            names_doubts: 0,
            statuses: Reading::default(),
            sweeping: Sweeping {
                reading: Reading::default(),
                page: 1,
                pages: 1,
                trusted: false,
                distrusted: false,
                was_whole: false,
                not_before: Duration::ZERO,
            },
            statuses_given_up: false,
            unknown_status: false,
            token_failures: 0,
            token_not_before: Duration::ZERO,
            not_before: Duration::ZERO,
            ration,
            slot: Duration::ZERO,
            period: Duration::ZERO,
            turn: 0,
            alone_credit: 0.0,
            last_was_list: false,
            in_flight: 0,
            demand_at: Duration::ZERO,
            mean_asked: 0.0,
            last_question: None,
            last_waiting: None,
            tightest: Duration::MAX,
            members_max_age: Duration::MAX,
        }
    }

    /// A schedule as it will be once sweeps have proved true, for queues of so many pages: to plan with.
    pub fn planned(
        queues: impl IntoIterator<Item = (Need, u32)>,
        options: ScheduleOptions,
    ) -> Self {
        let (needs, pages): (Vec<_>, Vec<_>) = queues.into_iter().unzip();
        let mut schedule = Self::new(needs, options, 0);
        for (queue, pages) in schedule.queues.iter_mut().zip(pages) {
            queue.pages = pages;
            // Whoever is in a queue is in the account.
            schedule.sweeping.pages = schedule.sweeping.pages.max(pages);
        }
        schedule.trust();
        schedule
    }

    /// The statuses are known from an earlier run, and were read this long ago. Those that are too old are read before any queue.
    pub fn statuses_known(&mut self, age: Duration, now: Duration) {
        if age < NAMES_LIVE {
            self.statuses.last_success = Some(now.saturating_sub(age));
        }
    }

    /// The same of the names of queues.
    pub fn names_known(&mut self, age: Duration, now: Duration) {
        if age < NAMES_LIVE {
            self.names.last_success = Some(now.saturating_sub(age));
        }
    }

    /// A queue was polled at this time by an earlier run. Only what is older than a `round`, the time between two polls of it, is to be
    /// polled again at once.
    pub fn polled_before(
        &mut self,
        queue: usize,
        polled: Duration,
        round: Duration,
        now: Duration,
    ) {
        let queue = &mut self.queues[queue];
        queue.reading.last_start = Some(polled);
        queue.reading.last_success = Some(polled);
        queue.is_new = now.saturating_sub(polled) > round;
    }

    /// An earlier run has seen sweeps prove true. As far as is known they take so many pages.
    pub fn trusted_before(&mut self, pages: u32) {
        self.sweeping.pages = pages.max(1);
        self.sweeping.was_whole = true;
        self.trust();
    }

    /// The queues are these from now on. `places` tells where each was before, if anywhere. New ones may be polled at once, so far as `ration`
    /// goes; nothing else changes.
    pub fn rearrange(
        &mut self,
        needs: &[Need],
        places: &[Option<usize>],
        options: ScheduleOptions,
        ration: u32,
    ) {
        let queue = |(need, was): (&Need, &Option<usize>)| match was {
            Some(was) => Queue {
                need: *need,
                by_name: need.id,
                ..self.queues[*was]
            },
            None => Queue::new(*need),
        };
        let queues = needs.iter().zip(places).map(queue).collect();
        let is_gone = |place: usize| !places.contains(&Some(place));
        let gone = self
            .queues
            .iter()
            .enumerate()
            .filter(|(place, queue)| is_gone(*place) && queue.reading.in_flight);
        self.in_flight -= gone.count();
        let new = places.iter().filter(|was| was.is_none()).count() as u32;
        // What is left of a cold start's ration goes on.
        self.ration = self.ration.saturating_add(new).min(ration);
        self.queues = queues;
        self.options = options;
    }

    /// The id behind a queue's name is known.
    pub fn id_known(&mut self, queue: usize) {
        self.queues[queue].need.id = false;
    }

    /// A queue's name means another queue now, of which nothing is known.
    pub fn id_changed(&mut self, place: usize) {
        let queue = &mut self.queues[place];
        queue.reading = Reading {
            in_flight: queue.reading.in_flight,
            ..Reading::default()
        };
        queue.pages = 1;
        (queue.urgent, queue.missing) = (false, false);
        self.poll_anew(place);
    }

    /// No queue has this queue's name any more.
    pub fn id_lost(&mut self, queue: usize) {
        self.queues[queue].need.id = true;
    }

    /// A queue's id is refused, or suddenly means a queue without anybody: its name may mean another one.
    pub fn doubt_name(&mut self, queue: usize) {
        self.names_doubted |= self.queues[queue].by_name;
    }

    /// The names in use are old, and could not be read yet.
    pub fn doubt_names(&mut self) {
        self.names_doubted = true;
    }

    /// A poll saw a status that is not in the list.
    pub fn saw_unknown_status(&mut self) {
        self.unknown_status = true;
    }

    /// Whether queues are polled without knowing what the account's statuses do.
    pub fn statuses_given_up(&self) -> bool {
        self.statuses_given_up
    }

    /// A member of a queue may have logged in or out: poll it a little sooner.
    pub fn hurry(&mut self, queue: usize) {
        self.queues[queue].urgent = true;
    }

    /// What is known of a queue is of no use any more: poll it at once, as if it were new.
    pub fn poll_anew(&mut self, queue: usize) {
        self.queues[queue].is_new = true;
        self.ration += 1;
    }

    /// A member of a queue is missing from a sweep: poll it in the next slot for queues, as nothing else will say whether they have left.
    pub fn look_for_missing(&mut self, queue: usize) {
        self.queues[queue].missing = true;
    }

    /// Whether one log-in or log-out could turn the answer about a queue.
    pub fn at_edge(&mut self, queue: usize, at_edge: bool) {
        self.queues[queue].at_edge = at_edge;
    }

    /// Whether a job is under way.
    pub fn is_under_way(&self, job: Job) -> bool {
        match job {
            Job::Queues => self.names.in_flight,
            Job::Statuses => self.statuses.in_flight,
            Job::Poll(queue) => self.queues[queue].reading.in_flight,
            Job::Sweep(page) => self.sweeping.reading.in_flight && self.sweeping.page == page,
        }
    }

    /// Whether one request, a sweep, tells the statuses of a queue's agents.
    pub fn sweep_tells(&self, queue: usize, now: Duration) -> bool {
        self.sweeps(now)
            && self.sweeping.trusted
            && self.sweeping.pages == 1
            && self.sweeping.page == 1
            && !self.queues[queue].need.alone
    }

    /// Whether this may be begun out of turn, as far as faults and what is under way go.
    pub fn may_ask(&self, job: Job, now: Duration) -> bool {
        let ready = match job {
            Job::Queues => self.names.is_ready(now),
            Job::Statuses => self.statuses.is_ready(now),
            Job::Poll(queue) => {
                let queue = &self.queues[queue];
                self.can_be_polled(queue) && queue.reading.is_ready(now)
            }
            Job::Sweep(_) => self.sweeping.reading.is_ready(now),
        };
        ready && now >= self.not_before.max(self.token_not_before) && self.has_room()
    }

    /// Whether one more job may be under way. With a token in doubt, one request at a time tries whether it works again.
    fn has_room(&self) -> bool {
        let at_once = if self.is_token_refused() { 1 } else { AT_ONCE };
        self.in_flight < at_once
    }

    /// Whether CallTools refused the token when it was last asked.
    pub fn is_token_refused(&self) -> bool {
        self.token_failures > 0
    }

    /// The token may be another one, or be accepted again: try it at once, with a single request.
    pub fn try_token(&mut self) {
        self.token_not_before = Duration::ZERO;
    }

    /// Whether sweeps were found wanting, and are not yet to be tried again.
    pub fn is_distrustful(&self, now: Duration) -> bool {
        now < self.sweeping.not_before
    }

    /// A page of a sweep was taken in; `next` is the page after it.
    pub fn swept(&mut self, page: u32, next: Option<u32>) {
        self.sweeping.page = next.unwrap_or(1);
        match next {
            None => {
                self.sweeping.pages = page;
                self.sweeping.was_whole = true;
            }
            Some(next) => self.sweeping.pages = self.sweeping.pages.max(next),
        }
    }

    /// A whole sweep proved true.
    pub fn trust(&mut self) {
        self.sweeping.trusted = true;
        self.sweeping.distrusted = false;
    }

    /// Sweeps are not to be believed, or not to be had: queue polls alone for a good while.
    pub fn distrust(&mut self, now: Duration) {
        self.sweeping.trusted = false;
        self.sweeping.distrusted = true;
        self.sweeping.was_whole = true;
        self.sweeping.page = 1;
        self.sweeping.not_before = now + TRUST_AGAIN;
    }

    /// Takes in the questions about each queue since the last call.
    pub fn asked(&mut self, questions: &[u64], now: Duration) {
        let passed = now.saturating_sub(self.demand_at).as_secs_f64();
        let fade = 0.5f64.powf(passed / DEMAND_HALF_LIFE.as_secs_f64());
        for (queue, new) in self.queues.iter_mut().zip(questions) {
            queue.asked = queue.asked * fade + *new as f64;
        }
        self.demand_at = now;
        let asked: f64 = self.queues.iter().map(|queue| queue.asked).sum();
        self.mean_asked = asked / self.queues.len().max(1) as f64;
        if questions.iter().any(|new| *new > 0) {
            if self.is_idle(now) {
                self.slot = self.slot.min(now);
            }
            self.last_question = Some(now);
        }
    }

    /// Somebody asked who would wait for a fresh answer: from now on some permits are saved up for such.
    pub fn asked_to_wait(&mut self, now: Duration) {
        self.last_waiting = Some(now);
    }

    /// The tightest `max_age` of the account's queues, and how old their memberships may get: a slow pace must not outlast either.
    pub fn bounded_by(&mut self, max_age: Duration, members_max_age: Duration) {
        self.tightest = max_age;
        self.members_max_age = members_max_age;
    }

    /// What to do at `now`. The same answer until something starts, ends or becomes due.
    pub fn next(&self, now: Duration) -> Next {
        let not_before = self.not_before.max(self.token_not_before);
        if now < not_before {
            return Next::Wait(not_before - now);
        }
        if !self.has_room() {
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
            None => Next::Wait(self.earliest(now).saturating_sub(now)),
        }
    }

    /// A job was begun in its slot, or as part of a cold start. The next slot comes when what it will probably cost has been earned at
    /// one request a `period`.
    pub fn started(&mut self, job: Job, now: Duration, period: Duration) {
        self.period = period;
        self.last_question.get_or_insert(now);
        let is_first =
            matches!(job, Job::Poll(queue) if self.queues[queue].is_new && self.ration > 0);
        let (gap, takes_turn) = (self.gap(job, now), self.takes_turn(job, now));
        self.begun(job, now);
        self.slot = now + gap;
        self.last_was_list = matches!(job, Job::Queues | Job::Statuses);
        if is_first {
            self.ration -= 1;
        } else if takes_turn {
            self.pass_turn(job, now);
        }
    }

    /// A job was begun because somebody asked for it, out of the schedule's turn.
    pub fn begun(&mut self, job: Job, now: Duration) {
        self.in_flight += 1;
        self.reading(job).start(now);
        match job {
            Job::Statuses => self.unknown_status = false,
            Job::Queues => {
                self.names_doubts = if std::mem::take(&mut self.names_doubted) {
                    self.names_doubts.saturating_add(1)
                } else {
                    0
                };
            }
            Job::Poll(queue) => {
                let queue = &mut self.queues[queue];
                (queue.urgent, queue.missing, queue.is_new) = (false, false, false);
            }
            Job::Sweep(_) => {}
        }
    }

    /// A job ended. `jitter` in 0..1.
    pub fn ended(&mut self, job: Job, ending: Ending<'_>, now: Duration, jitter: f64) {
        self.in_flight -= 1;
        match ending {
            Ending::Well { requests } => {
                self.token_failures = 0;
                self.token_not_before = Duration::ZERO;
                self.reading(job).succeed(now);
                match job {
                    Job::Poll(queue) => {
                        self.queues[queue].pages = requests.max(1);
                        self.ration = self.ration.saturating_sub(requests.saturating_sub(1));
                    }
                    Job::Statuses => self.statuses_given_up = false,
                    Job::Queues | Job::Sweep(_) => {}
                }
            }
            Ending::Unpaid => self.reading(job).in_flight = false,
            Ending::Badly(Fault::BadToken) => {
                self.reading(job).in_flight = false;
                self.token_failures += 1;
                self.token_not_before =
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
            Job::Sweep(_) => &mut self.sweeping.reading,
        }
    }

    /// What was never read and can be: names, statuses, then queues as far as the ration goes.
    fn first_reading(&self, now: Duration) -> Option<Job> {
        let ready = |reading: &Reading| reading.is_ready(now) && reading.last_start.is_none();
        if self.needs_names() && ready(&self.names) {
            return Some(Job::Queues);
        }
        if self.needs_statuses() && self.statuses.last_success.is_none() && ready(&self.statuses) {
            return Some(Job::Statuses);
        }
        if self.ration == 0 {
            return None;
        }
        let is_due = |queue: &Queue| {
            queue.is_new && self.can_be_polled(queue) && queue.reading.is_ready(now)
        };
        self.most_overdue(now, is_due)
    }

    /// What to read again, or again after it failed.
    fn again(&self, now: Duration) -> Option<Job> {
        let list = self.list_due(now);
        if list.is_some_and(|list| self.is_urgent(list) || self.is_slot_for_lists(now)) {
            return list;
        }
        if self.saves_sweeping(now) {
            return self.while_saving(now).or(list);
        }
        let sweep = self.sweep(now);
        let first = match self.whose_turn(now) {
            _ if sweep.is_some() && !self.sweeping.was_whole => None,
            Turn::Alone => self.most_overdue(now, |queue| queue.need.alone),
            Turn::Queue if self.sweeps(now) => self.most_overdue(now, |queue| !queue.need.alone),
            Turn::Sweep | Turn::Queue => None,
        };
        // A slot is never left empty while there is anything to do.
        first
            .or(sweep)
            .or_else(|| self.most_overdue(now, |_| true))
            .or(list)
    }

    /// The names or the statuses, if they should be read again now.
    fn list_due(&self, now: Duration) -> Option<Job> {
        if self.names_due().is_some_and(|due| due <= now) && self.names.is_ready(now) {
            return Some(Job::Queues);
        }
        let is_due = self.needs_statuses() && self.statuses_due() <= now;
        (is_due && self.statuses.is_ready(now)).then_some(Job::Statuses)
    }

    /// Whether a list is read at once: queues wait for it, or may answer for others.
    fn is_urgent(&self, list: Job) -> bool {
        match list {
            Job::Queues => self.needs_names() || self.names_doubted,
            Job::Statuses => self.statuses.last_success.is_none(),
            Job::Poll(_) | Job::Sweep(_) => false,
        }
    }

    /// A list that is read again as a matter of routine makes no statuses older than planned: it takes a queue's slot between two sweeps. Where
    /// there are no such slots, no list comes right after another.
    fn is_slot_for_lists(&self, now: Duration) -> bool {
        if self.has_turns(now) {
            self.whose_turn(now) == Turn::Queue
        } else {
            !self.last_was_list
        }
    }

    /// Whether sweeps and queues take turns now.
    fn has_turns(&self, now: Duration) -> bool {
        self.sweeps(now) && !self.saves_sweeping(now)
    }

    /// Whether a job takes its turn, rather than a slot outside of the turns.
    fn takes_turn(&self, job: Job, now: Duration) -> bool {
        match job {
            Job::Poll(_) | Job::Sweep(_) => true,
            Job::Queues | Job::Statuses => {
                self.has_turns(now) && self.whose_turn(now) == Turn::Queue
            }
        }
    }

    /// The sweep's next page, if it may be read now.
    fn sweep(&self, now: Duration) -> Option<Job> {
        (self.sweeps(now) && self.sweeping.reading.is_ready(now))
            .then_some(Job::Sweep(self.sweeping.page))
    }

    /// The queue with the greatest demand × (time since its last poll)², a request's worth of it.
    fn most_overdue(&self, now: Duration, of: impl Fn(&Queue) -> bool) -> Option<Job> {
        let sweeps = self.sweeps(now);
        let score = |queue: &Queue| {
            let since = match queue.last_poll() {
                _ if queue.missing => f64::INFINITY,
                Some(last) => now.saturating_sub(last).as_secs_f64(),
                None => NEVER.as_secs_f64(),
            };
            let urgent = if queue.urgent { URGENT } else { 1.0 };
            let at_edge = if sweeps && queue.at_edge {
                AT_EDGE
            } else {
                1.0
            };
            self.weight(queue) * since * since * urgent * at_edge / queue.cost()
        };
        let queues = self.queues.iter().enumerate();
        let due = queues.filter(|(_, queue)| {
            of(queue) && self.can_be_polled(queue) && queue.reading.is_ready(now)
        });
        // Of equals the first.
        let most = due
            .map(|(place, queue)| (score(queue), place))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        most.map(|(_, place)| Job::Poll(place))
    }

    /// Background work while permits are saved up for questions that wait. Queues that are polled by themselves keep their share, since
    /// their statuses come from nowhere else.
    fn while_saving(&self, now: Duration) -> Option<Job> {
        let of_alone = self.share_alone();
        // The others share what is left.
        let left = (1.0 - of_alone).max(1e-6);
        let due = |last: Option<(Duration, f64)>, periods: f64| {
            last.is_none_or(|(last, cost)| last + self.period.mul_f64(periods * cost) <= now)
        };
        let polls = |alone: bool, periods: f64| {
            due(self.last_poll_of(alone), periods)
                .then(|| self.most_overdue(now, |queue| queue.need.alone == alone))
                .flatten()
        };
        let sweeps = || {
            due(
                self.sweeping.reading.last_start.map(|start| (start, 1.0)),
                f64::from(SAVING_SWEEP_PERIODS) / left,
            )
            .then(|| self.sweep(now))
            .flatten()
        };
        let every = match self.is_catching_up(now) {
            true => SAVING_CATCH_UP_PERIODS,
            false => SAVING_POLL_PERIODS,
        };
        polls(true, 1.0 / of_alone.max(1e-6))
            .or_else(|| polls(false, f64::from(every) / left))
            .or_else(sweeps)
    }

    /// When a queue of this kind was last begun to be polled, and what that costs.
    fn last_poll_of(&self, alone: bool) -> Option<(Duration, f64)> {
        let queues = self.queues.iter().filter(|queue| queue.need.alone == alone);
        let last = queues.max_by_key(|queue| queue.reading.last_start)?;
        Some((last.reading.last_start?, last.cost()))
    }

    /// The time from the start of a job to the next slot.
    fn gap(&self, job: Job, now: Duration) -> Duration {
        let gap = match job {
            Job::Queues | Job::Statuses if !self.takes_turn(job, now) => self.period,
            _ if self.saves_sweeping(now) => self.period / 4, // How often it looks what is due.
            // Whatever a job takes beyond one request is earned in full, lest a turn cost more than it lasts.
            _ => self.period.mul_f64(self.cost(job) - 1.0 + self.stride(now)),
        };
        gap.mul_f64(self.stretch(now))
    }

    /// Sweeps at even distances leave statuses youngest, so the queue's slot is squeezed in between two of them: within a turn of four
    /// periods the three sweeps are 4/3 periods apart.
    fn stride(&self, now: Duration) -> f64 {
        let (turn, sweeps) = self.turn_at(now);
        let between_sweeps = f64::from(turn) / f64::from(sweeps);
        match self.whose_turn(now) {
            Turn::Sweep if self.turn % turn + 1 < sweeps => between_sweeps,
            Turn::Sweep => between_sweeps / 2.0,
            Turn::Queue if self.sweeps(now) => between_sweeps / 2.0,
            Turn::Queue | Turn::Alone => 1.0,
        }
    }

    fn whose_turn(&self, now: Duration) -> Turn {
        if !self.sweeps(now) {
            return Turn::Queue;
        }
        if self.alone_credit + self.share_alone() >= 1.0 {
            return Turn::Alone;
        }
        if self.is_queues_turn(now) {
            Turn::Queue
        } else {
            Turn::Sweep
        }
    }

    fn is_queues_turn(&self, now: Duration) -> bool {
        let (turn, sweeps) = self.turn_at(now);
        self.turn % turn >= sweeps
    }

    /// Slots in a turn, and how many of them are the sweep's.
    fn turn_at(&self, now: Duration) -> (u32, u32) {
        match self.is_catching_up(now) {
            true => (TURN_CATCHING_UP, SWEEPS_CATCHING_UP),
            false => (TURN, SWEEPS_IN_TURN),
        }
    }

    /// Whether there are queues of which nothing is known, or only what is too old to be used, and whose polls do not fail.
    fn is_catching_up(&self, now: Duration) -> bool {
        let is_unknown = |queue: &Queue| {
            let last = queue.reading.last_success;
            let is_old = last.is_none_or(|last| now.saturating_sub(last) > self.members_max_age);
            is_old && !queue.need.alone && queue.reading.failures == 0 && self.can_be_polled(queue)
        };
        self.queues
            .iter()
            .any(|queue| is_unknown(queue) && !queue.reading.in_flight)
    }

    fn pass_turn(&mut self, job: Job, now: Duration) {
        if !self.sweeps(now) {
            return; // There are no turns.
        }
        let (turn, cost) = (self.whose_turn(now), self.cost(job));
        self.alone_credit += self.share_alone() * cost;
        if turn == Turn::Alone {
            self.alone_credit -= cost;
        } else {
            self.turn = self.turn.wrapping_add(1);
        }
    }

    /// The requests that a job will probably take.
    fn cost(&self, job: Job) -> f64 {
        match job {
            Job::Poll(queue) => self.queues[queue].cost(),
            Job::Queues | Job::Statuses | Job::Sweep(_) => 1.0,
        }
    }

    fn is_saving(&self, now: Duration) -> bool {
        self.last_waiting
            .is_some_and(|asked| now < asked + SAVING_FOR)
    }

    /// Whether permits are saved up by sweeping less. An account that is not swept saves by a slower pace.
    fn saves_sweeping(&self, now: Duration) -> bool {
        self.is_saving(now) && self.sweeps(now)
    }

    fn is_idle(&self, now: Duration) -> bool {
        self.last_question
            .is_some_and(|asked| now >= asked + IDLE_AFTER)
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

    /// When `queues/` should be read again; `None` where nothing asks for that.
    fn names_due(&self) -> Option<Duration> {
        if self.needs_names() {
            return Some(Duration::ZERO);
        }
        let read = self.names.last_start.max(self.names.last_success);
        let again = |times: u32| {
            let wait = NAMES_AGAIN.saturating_mul(2u32.saturating_pow(times));
            read.map_or(Duration::ZERO, |read| read + wait.min(NAMES_LIVE))
        };
        if !self.queues.iter().any(|queue| queue.by_name) {
            None
        } else if self.names.failures > 0 {
            Some(again(self.names.failures))
        } else if self.names_doubted {
            Some(again(self.names_doubts))
        } else {
            read.map(|read| read + NAMES_LIVE)
        }
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
    fn earliest(&self, now: Duration) -> Duration {
        if self.saves_sweeping(now) {
            return now + (self.period / 4).max(Duration::from_millis(1));
        }
        let waiting = |reading: &Reading| (!reading.in_flight).then_some(reading.not_before);
        let queues = self.queues.iter().filter(|queue| self.can_be_polled(queue));
        let mut times: Vec<Duration> = queues.filter_map(|queue| waiting(&queue.reading)).collect();
        if let Some(due) = self.names_due() {
            times.extend(waiting(&self.names).map(|not_before| not_before.max(due)));
        }
        if self.needs_statuses() {
            times.extend(
                waiting(&self.statuses).map(|not_before| not_before.max(self.statuses_due())),
            );
        }
        if self.sweeps(now) {
            times.extend(waiting(&self.sweeping.reading));
        }
        times.into_iter().min().unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
const RATION: u32 = 1_000;

#[cfg(test)]
mod slots;

#[cfg(test)]
mod tests;
