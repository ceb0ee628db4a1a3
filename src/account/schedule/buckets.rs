//! Requests saved up for questions that wait: one bucket for statuses, one for polls of queues.
//!
//! Both buckets fill at the pace. The background uses a bucket if it is full, or if the last background request from it is long ago. Questions use
//! the rest. So requests that no question takes are not lost. Questions slow the background but do not stop it: callers that do not wait get
//! answers that are hardly older.
//!
//! The levels are estimates that divide the requests. The budget decides whether one is sent.

use std::time::Duration;

use super::{Schedule, jobs::Job, sweeping::TRIAL_PART};
use crate::decision::staleness::Staleness;

/// Statuses get this part of the pace, and queues the rest. In simulations of 20 to 10,000 agents, no other split was better in all of them.
const STATUS_PART: f64 = 0.7;

/// The capacity of both buckets together, in requests: about that of the budget's own bucket at 1000 an hour.
const CAPACITY: f64 = 40.0;

/// The part of its pace that the background keeps in each bucket while questions wait, and statuses while long lists are read.
pub(super) const MIN_PACE: f64 = 0.4;

/// While some queue is unknown, a queue is polled at least every third period, because calls of unknown queues are lost.
const CATCH_UP_PERIODS: f64 = 3.0;

/// How often the schedule checks whether a bucket is full, in periods. A check takes microseconds.
const LOOK_EVERY: f64 = 0.125;

/// With buckets this full, a poll of the queue is better than statuses, because it also renews the membership.
const PLENTY: f64 = 0.8;

/// The level of each bucket, in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Saved {
    pub statuses: f64,
    pub polls: f64,
}

impl Saved {
    fn total(self) -> f64 {
        self.statuses + self.polls
    }

    /// Returns the capacity of buckets with this inflow.
    fn capacity(self) -> Self {
        Self {
            statuses: capacity(self.statuses),
            polls: capacity(self.polls),
        }
    }
}

/// Returns the capacity of a bucket that gets `inflow` requests per period. It holds a whole request at least: a smaller one would look full all the
/// time.
fn capacity(inflow: f64) -> f64 {
    match inflow > 0.0 {
        true => (CAPACITY * inflow).max(1.0),
        false => 0.0,
    }
}

impl Schedule {
    /// Returns the request that a question with a possibly wrong answer is worth; `None` if it is answered from memory.
    pub fn worth(&self, place: usize, staleness: Staleness, now: Duration) -> Option<Job> {
        let (saved, capacity) = (self.saved(now), self.inflow(now).capacity());
        let fill = saved.total() / capacity.total().max(f64::EPSILON);
        if !staleness.is_worth_a_permit(fill) {
            return None;
        }
        let statuses = self.statuses_at_once(place, now);
        // A poll that the background owes comes first. Questions are about queues at the edge, and the others would never be polled.
        let is_owed =
            self.is_poll_in_turn_late(now) && !self.is_poll_in_turn(Job::Poll(place), now);
        let may_use_polls = saved.polls >= if is_owed { 2.0 } else { 1.0 };
        let may_ask_statuses = saved.statuses >= 1.0 || may_use_polls;
        // Statuses are worth most to the other queues, so polls take from their bucket only if it is nearly full.
        let may_poll = may_use_polls || saved.statuses >= (PLENTY * capacity.statuses).max(1.0);
        let is_about_statuses = staleness.is_about_statuses();
        match statuses.filter(|_| may_ask_statuses) {
            Some(job) if is_about_statuses && (fill < PLENTY || !may_poll) => Some(job),
            _ => may_poll.then_some(Job::Poll(place)),
        }
    }

    /// Returns whether requests are saved up for questions that wait.
    pub(super) fn saves(&self, now: Duration) -> bool {
        self.is_saving(now) && !self.statuses_take_long(now) && !self.on_demand.is_on()
    }

    /// Returns what the background sends while requests are saved up. Queues that are polled alone keep their share, because their statuses have no
    /// other source.
    pub(super) fn while_saving(&self, now: Duration) -> Option<Job> {
        let of_alone = self.share_alone();
        let sweeps = self.sweeps(now);
        let is_alone_due = || {
            let last = self.last_poll_of(|queue| self.is_alone(queue));
            last.is_none_or(|(last, cost)| {
                last + self.period.mul_f64(cost / of_alone.max(1e-6)) <= now
            })
        };
        let alone = || {
            (sweeps && is_alone_due())
                .then(|| self.most_overdue(now, |queue| self.is_alone(queue)))
                .flatten()
        };
        let polls = || {
            (self.is_poll_due(now))
                .then(|| self.next_in_turn(now))
                .flatten()
        };
        let statuses = || {
            (self.are_statuses_due(now))
                .then(|| self.sweep(now))
                .flatten()
        };
        alone().or_else(polls).or_else(statuses)
    }

    /// Returns how long until the schedule checks the buckets again.
    pub(super) fn look_at_buckets(&self) -> Duration {
        self.period
            .mul_f64(LOOK_EVERY)
            .max(Duration::from_millis(1))
    }

    /// Takes the cost of a starting job from its bucket, or from the other one.
    pub(super) fn pay(&mut self, job: Job, now: Duration) {
        let (mut saved, cost) = (self.saved(now), self.cost(job));
        let is_apart = self.is_apart(job, now);
        let (first, second) = match job.is_about_statuses() {
            true => (&mut saved.statuses, &mut saved.polls),
            false => (&mut saved.polls, &mut saved.statuses),
        };
        if !is_apart {
            let bucket = if *first >= 1.0 { first } else { second };
            // A poll of several pages makes a debt; requests that the schedule sends beyond its share at other times do not.
            *bucket = (*bucket - cost).max(1.0 - cost);
        }
        (self.saved, self.saved_at) = (saved, Some(now));
    }

    /// Empties the buckets, because the budget has no permit: less was saved up than estimated.
    pub fn empty_buckets(&mut self, now: Duration) {
        (self.saved, self.saved_at) = (Saved::default(), Some(now));
    }

    fn are_statuses_due(&self, now: Duration) -> bool {
        let inflow = self.inflow(now).statuses;
        let last = self.sweeping.attempts.last_start;
        self.is_due(self.saved(now).statuses, inflow, last, now)
    }

    /// Returns whether the background polls a queue now. Polls for questions count only if the queue was the next one anyway: questions are about the
    /// same few queues again and again.
    fn is_poll_due(&self, now: Duration) -> bool {
        let inflow = self.inflow(now).polls;
        if self.is_catching_up(now) {
            let again = |(last, cost)| last + self.period.mul_f64(cost * CATCH_UP_PERIODS) <= now;
            return self.last_poll_in_turn.is_none_or(again);
        }
        let last = self.last_poll_in_turn.map(|(last, _)| last);
        self.is_due(self.saved(now).polls, inflow, last, now)
    }

    /// Returns whether the background has not polled a queue for as long as it may wait while questions do.
    fn is_poll_in_turn_late(&self, now: Duration) -> bool {
        let last = self.last_poll_in_turn.map(|(last, _)| last);
        self.is_late(self.inflow(now).polls, last, now)
    }

    /// Returns the poll of the queue that the background polls next, apart from those that are polled alone.
    fn next_in_turn(&self, now: Duration) -> Option<Job> {
        let sweeps = self.sweeps(now);
        self.most_overdue(now, |queue| !sweeps || !self.is_alone(queue))
    }

    pub(super) fn is_poll_in_turn(&self, job: Job, now: Duration) -> bool {
        matches!(job, Job::Poll(_)) && self.next_in_turn(now) == Some(job)
    }

    /// Returns whether a job is paid for by the share of the queues that are polled alone.
    fn is_apart(&self, job: Job, now: Duration) -> bool {
        match job {
            Job::Poll(place) => self.sweeps(now) && self.is_alone(&self.queues[place]),
            _ => false,
        }
    }

    /// Returns whether the background sends from a bucket that gets `inflow` requests per period.
    fn is_due(&self, saved: f64, inflow: f64, last: Option<Duration>, now: Duration) -> bool {
        let is_full = saved >= (capacity(inflow) - LOOK_EVERY).max(1.0);
        inflow > 0.0 && (is_full || (saved >= 1.0 && self.is_late(inflow, last, now)))
    }

    fn is_late(&self, inflow: f64, last: Option<Duration>, now: Duration) -> bool {
        let longest = self.period.mul_f64(1.0 / (MIN_PACE * inflow).max(1e-6));
        last.is_none_or(|last| last + longest <= now)
    }

    /// Returns the current levels.
    fn saved(&self, now: Duration) -> Saved {
        let inflow = self.inflow(now);
        let periods = match self.saved_at {
            Some(at) if !self.period.is_zero() => {
                now.saturating_sub(at).as_secs_f64() / self.period.as_secs_f64()
            }
            _ => 0.0,
        };
        let level = |was: f64, inflow: f64| (was + inflow * periods).min(capacity(inflow));
        Saved {
            statuses: level(self.saved.statuses, inflow.statuses),
            polls: level(self.saved.polls, inflow.polls),
        }
    }

    /// Returns the inflow of each bucket per period. Queues that are polled alone have a separate share of the pace.
    fn inflow(&self, now: Duration) -> Saved {
        if !self.sweeps(now) {
            return Saved {
                statuses: 0.0,
                polls: 1.0,
            };
        }
        let left = 1.0 - self.share_alone();
        let of_statuses = match self.tries_lists(now) {
            true => TRIAL_PART,
            false => STATUS_PART,
        };
        Saved {
            statuses: of_statuses * left,
            polls: (1.0 - of_statuses) * left,
        }
    }
}
