//! Chooses the best next request. Pure: it takes the state and the time, and returns the next job.
//!
//! - **Cold start**: first the names and statuses that the queues need, then as many queues at once as a burst allows. The others follow at the
//!   pace: first a whole sweep, which shows all statuses, then a queue in every other slot until all are known. Queues that are known from before a
//!   restart wait for their turn.
//! - **After that**, slots are evenly spread. An agent's status goes stale within seconds and is the same in every queue. So three of four slots
//!   read the next page of a *sweep* of the whole account, and the fourth polls the queue whose membership is most overdue.
//!   Here, *sweep* means the feed in use, whichever list that is; [`feeds`](crate::account::feeds) chooses it.
//! - **Most overdue** is the queue with the greatest demand × (time since the last poll)². Served greedily, this is the square-root rule: each queue
//!   is polled at a rate proportional to the root of its demand, which minimizes the age of answers (Cho and Garcia-Molina, *Effective page
//!   refresh policies*, 2003; Azar et al., *Tractable near-optimal policies for crawling*, PNAS 2018).
//! - **A sweep pays** while it has fewer pages than half of the requests to poll the queues. A single queue is always polled. A queue whose
//!   criteria read what a sweep does not show is polled alone, at its share. If a sweep does not pay, but a list of one request would, the lists are
//!   tried in every other slot.
//! - **Questions that wait** use requests that were [saved up](buckets); in small accounts, each gets [its own](on_demand).
//! - **Faults** delay a queue, with exponential backoff and jitter. A bad token delays the whole account. The first success ends the delay.
//! - **Without questions** for a while, the pace slows down until the next question.
//!
//! The schedule knows nothing about the network, the budget's ledger or the board. [`crate::account`] carries out its choices.

mod buckets;
mod demand;
mod due;
mod jobs;
mod on_demand;
mod rates;
mod retry;
mod sweeping;
mod turns;
mod unlisted;

use std::{collections::BTreeSet, time::Duration};

pub use self::on_demand::BusyHours;
pub(super) use self::sweeping::TRUST_AGAIN;
use self::{
    buckets::Saved, on_demand::OnDemand, retry::Attempts, sweeping::Sweeping, unlisted::Unlisted,
};
pub use self::{
    due::{NAMES_LIVE, Next},
    jobs::{Ending, Job},
};
use crate::{
    account::feeds::Request,
    config::{QueueRef, Rule, ScheduleOptions},
    decision::criteria::Renewal,
};

/// For this many tries, a queue whose poll failed stays as overdue as it was. Then it takes its turn like the others. So a single failure is
/// soon repaired, and queues that keep failing do not starve others.
const RETRIES: u32 = 3;

/// What a queue needs besides being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Whether the queue is configured by a name whose id is not known yet.
    pub id: bool,
    /// Whether the queue's rule reads availability.
    pub statuses: bool,
    /// Whether the queue's rule reads what only a poll of the queue shows.
    pub alone: bool,
    /// Whether the queue's rule reads fields that change without a date. While statuses come from a list of changes, only polls of the queue show
    /// these.
    pub undated: bool,
}

impl Need {
    /// Returns the needs of a queue in the config.
    pub fn new(reference: &QueueRef, rule: &Rule) -> Self {
        Self {
            id: matches!(reference, QueueRef::Name(_)),
            statuses: matches!(rule, Rule::Seats(_)),
            alone: rule.renewal() == Renewal::Polls,
            undated: rule.renewal() == Renewal::Rows,
        }
    }
}

/// The times between two readings, without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Between two readings of an agent's status.
    pub statuses: Duration,
    /// Between two polls of the queue.
    pub members: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    need: Need,
    /// Whether the config has its name rather than its id.
    by_name: bool,
    attempts: Attempts,
    /// Whether it must be polled for the first time, at once if the ration allows.
    is_new: bool,
    /// The number of requests of its last poll.
    pages: u32,
    /// Questions, each halved every [`DEMAND_HALF_LIFE`](demand::DEMAND_HALF_LIFE).
    asked: f64,
    /// Whether a member came online since the last poll.
    urgent: bool,
    /// Whether a single log-in or log-out could change the answer.
    at_edge: bool,
    /// Whether a member was missing from a sweep since the last poll.
    missing: bool,
    /// Whether it is closed, for longer than its turn takes.
    rests: bool,
}

impl Queue {
    fn new(need: Need) -> Self {
        Self {
            need,
            by_name: need.id,
            attempts: Attempts::default(),
            is_new: true,
            pages: 1,
            asked: 0.0,
            urgent: false,
            at_edge: false,
            missing: false,
            rests: false,
        }
    }

    /// Returns the requests per poll, as a weight.
    fn cost(&self) -> f64 {
        f64::from(self.pages)
    }

    /// Returns when it was last polled, to compute how overdue it is.
    fn last_poll(&self) -> Option<Duration> {
        if (1..=RETRIES).contains(&self.attempts.failures) {
            self.attempts.last_success
        } else {
            self.attempts.last_start
        }
    }
}

/// One account's schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    options: ScheduleOptions,
    queues: Vec<Queue>,
    names: Attempts,
    /// How many readings in a row have shown that CallTools has no queue of some name in the config.
    names_lacking: u32,
    /// Whether the answer for a queue's id suggests that its name means another queue, or none.
    names_doubted: bool,
    /// How many readings in a row such doubts have caused.
    names_doubts: u32,
    statuses: Attempts,
    sweeping: Sweeping,
    /// Whether `statuses/` cannot be read, so that queues are polled without it.
    statuses_given_up: bool,
    /// Statuses that rows show and the list lacks.
    unlisted: Unlisted,
    /// How many times in a row the token was refused, and when to try it again.
    token_failures: u32,
    token_not_before: Duration,
    /// The earliest time for the next permit.
    not_before: Duration,
    /// How many requests a cold start may still send at once, and the maximum.
    ration: u32,
    burst: u32,
    /// The start of the next slot.
    slot: Duration,
    /// The time between two requests at the current rate.
    period: Duration,
    /// How many slots have started; decides whose turn it is.
    turn: u32,
    /// Pages of lists that were read at once, for which the queues have not got their slots yet.
    out_of_turn: u32,
    /// The part of a slot that queues polled alone have saved up.
    alone_credit: f64,
    /// Whether the last started job was a list of names or statuses.
    last_was_list: bool,
    /// When a queue was last polled that was the next one to poll, and what that cost. Queues that are polled alone do not count.
    last_poll_in_turn: Option<(Duration, f64)>,
    in_flight: usize,
    demand_at: Duration,
    /// The mean of the queues' faded questions.
    mean_asked: f64,
    last_question: Option<Duration>,
    last_waiting: Option<Duration>,
    /// The requests saved up for questions that wait, and as of when; `None` before the first request.
    saved: Saved,
    saved_at: Option<Duration>,
    on_demand: OnDemand,
    /// The tightest `max_age` of the queues.
    tightest: Duration,
    /// The maximum age of memberships.
    members_max_age: Duration,
}

impl Schedule {
    /// Creates a schedule for queues with these needs, in the order of the config. At startup, `ration` requests may poll queues at once.
    pub fn new(
        needs: impl IntoIterator<Item = Need>,
        options: ScheduleOptions,
        ration: u32,
    ) -> Self {
        Self {
            options,
            queues: needs.into_iter().map(Queue::new).collect(),
            names: Attempts::default(),
            names_lacking: 0,
            names_doubted: false,
            names_doubts: 0,
            statuses: Attempts::default(),
            sweeping: Sweeping {
                attempts: Attempts::default(),
                page: 1,
                pages: 1,
                request: Request::Full,
                reads_on: false,
                feed_pages: None,
                trusted: false,
                distrusted: false,
                was_whole: false,
                tries_from: None,
                is_tried: false,
                not_before: Duration::ZERO,
            },
            statuses_given_up: false,
            unlisted: Unlisted::default(),
            token_failures: 0,
            token_not_before: Duration::ZERO,
            not_before: Duration::ZERO,
            ration,
            burst: ration,
            slot: Duration::ZERO,
            period: Duration::ZERO,
            turn: 0,
            out_of_turn: 0,
            alone_credit: 0.0,
            last_was_list: false,
            last_poll_in_turn: None,
            in_flight: 0,
            demand_at: Duration::ZERO,
            mean_asked: 0.0,
            last_question: None,
            last_waiting: None,
            saved: Saved::default(),
            saved_at: None,
            on_demand: OnDemand::default(),
            tightest: Duration::MAX,
            members_max_age: Duration::MAX,
        }
    }

    /// Creates a schedule for plans: sweeps are already trusted, and each queue has its number of pages.
    pub fn planned(
        queues: impl IntoIterator<Item = (Need, u32)>,
        options: ScheduleOptions,
    ) -> Self {
        let (needs, pages): (Vec<_>, Vec<_>) = queues.into_iter().unzip();
        let mut schedule = Self::new(needs, options, 0);
        for (queue, pages) in schedule.queues.iter_mut().zip(pages) {
            queue.pages = pages;
            // The account's list contains the agents of each queue.
            schedule.sweeping.pages = schedule.sweeping.pages.max(pages);
        }
        schedule.trust();
        schedule
    }

    /// Records that statuses from an earlier run are this old. If they are too old, they are read before any queue.
    pub fn statuses_known(&mut self, age: Duration, now: Duration) {
        if age < NAMES_LIVE {
            self.statuses.last_success = Some(now.saturating_sub(age));
        }
    }

    /// Records that the names of queues from an earlier run are this old.
    pub fn names_known(&mut self, age: Duration, now: Duration) {
        if age < NAMES_LIVE {
            self.names.last_success = Some(now.saturating_sub(age));
        }
    }

    /// Records that an earlier run polled a queue at this time. The queue is polled at once only if that is longer ago than a `round`, the time
    /// between two of its polls.
    pub fn polled_before(
        &mut self,
        queue: usize,
        polled: Duration,
        round: Duration,
        now: Duration,
    ) {
        let queue = &mut self.queues[queue];
        queue.attempts.last_start = Some(polled);
        queue.attempts.last_success = Some(polled);
        queue.is_new = now.saturating_sub(polled) > round;
    }

    /// Replaces the queues. `places` has the former place of each queue, if it had one. New queues may be polled at once, up to `ration`. Nothing
    /// else changes.
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
            .filter(|(place, queue)| is_gone(*place) && queue.attempts.in_flight);
        self.in_flight -= gone.count();
        let new = places.iter().filter(|was| was.is_none()).count() as u32;
        // The rest of a cold start's ration stays.
        self.burst = ration;
        self.ration = self.ration.saturating_add(new).min(self.burst);
        if new > 0 {
            self.names_lacking = 0; // A new name may be on the list.
        }
        self.queues = queues;
        self.options = options;
    }

    /// Records that a queue's id is known.
    pub fn id_known(&mut self, queue: usize) {
        self.queues[queue].need.id = false;
    }

    /// Records that a queue's name now means another queue, about which nothing is known.
    pub fn id_changed(&mut self, place: usize) {
        let queue = &mut self.queues[place];
        queue.attempts = Attempts {
            in_flight: queue.attempts.in_flight,
            ..Attempts::default()
        };
        queue.pages = 1;
        (queue.urgent, queue.missing) = (false, false);
        self.poll_anew(place);
    }

    /// Records that no queue has this queue's name any more.
    pub fn id_lost(&mut self, queue: usize) {
        self.queues[queue].need.id = true;
    }

    /// Records that a queue's name may mean another queue: its id was refused, or its list is suddenly empty.
    pub fn doubt_name(&mut self, queue: usize) {
        self.names_doubted |= self.queues[queue].by_name;
    }

    /// Records that the names in use are old, and could not be read yet.
    pub fn doubt_names(&mut self) {
        self.names_doubted = true;
    }

    /// Records statuses, by id or name, that rows showed and that are not in the list.
    pub fn saw_unlisted(&mut self, statuses: &BTreeSet<Box<str>>) {
        self.unlisted.saw(statuses);
    }

    /// Returns whether queues are polled without knowing what the account's statuses do.
    pub fn statuses_given_up(&self) -> bool {
        self.statuses_given_up
    }

    /// Sets whether a queue rests: then it takes no turn, and the others share its slots. It is still polled on demand.
    pub fn rest(&mut self, queue: usize, rests: bool) {
        self.queues[queue].rests = rests;
    }

    /// Returns whether a queue rests.
    pub fn rests(&self, queue: usize) -> bool {
        self.queues[queue].rests
    }

    /// Returns whether there is nothing to poll.
    pub fn all_rest(&self) -> bool {
        self.queues.iter().all(|queue| queue.rests)
    }

    /// Polls a queue as if it were new, because its data is useless: at once if the ration allows. All queues may change at the same time, so the
    /// ration never exceeds that of a cold start.
    pub fn poll_anew(&mut self, queue: usize) {
        self.queues[queue].is_new = true;
        self.ration = self.ration.saturating_add(1).min(self.burst);
    }
}

#[cfg(test)]
mod tests;
