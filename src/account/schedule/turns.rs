//! Turns: decides whether a slot belongs to the sweep, to a queue, or to a queue that is polled alone.
//!
//! A turn has four slots: three read the sweep, one polls a queue. Evenly spaced sweeps keep statuses youngest, so the queue's slot is between two
//! of them.
//!
//! A list of several pages is read at once, out of turn. Its further pages count as the sweep's slots, so for every three of them a queue gets a slot
//! in addition. Otherwise the members of queues would hardly be read while a reading takes several pages.
//!
//! A queue of several pages takes several slots at once. If statuses would wait too long for their next slot, they are read out of turn as well.

use std::time::Duration;

use super::{Queue, Schedule, buckets::MIN_PACE, jobs::Job};
use crate::account::feeds::Request;

/// Slots in a turn: three for the sweep and one for a queue. In simulations of accounts with 20 to 500 agents, no other split was better in all of
/// them, and a learned split was no better.
pub(super) const TURN: u32 = 4;

pub(super) const SWEEPS_IN_TURN: u32 = 3;

/// The same while some queues are unknown: their calls are lost, and slightly older statuses lose fewer.
///
/// And the same while the account's lists are tried although statuses come from polls: these go on at half their pace.
const TURN_CATCHING_UP: u32 = 2;

const SWEEPS_CATCHING_UP: u32 = 1;

/// The maximum of pages that are counted: those of one reading. More pile up only while no queue can be polled, and later the queues would take
/// their slots all at once.
const MAX_OUT_OF_TURN: u32 = 40;

/// Whose slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A queue that is polled alone.
    Alone,
    Sweep,
    Queue,
}

impl Schedule {
    /// Returns whether a list of names or statuses may be read now. It takes a queue's slot between two sweeps, so that statuses get no older than
    /// planned. Without such slots, no list directly follows another.
    pub(super) fn is_slot_for_lists(&self, now: Duration) -> bool {
        if self.has_turns(now) {
            self.whose_turn(now) == Turn::Queue
        } else {
            !self.last_was_list
        }
    }

    /// Returns whether sweeps and queues take turns now.
    fn has_turns(&self, now: Duration) -> bool {
        self.sweeps(now) && !self.saves(now)
    }

    /// Returns whether a job takes its turn, rather than a slot outside the turns.
    pub(super) fn takes_turn(&self, job: Job, now: Duration) -> bool {
        match job {
            Job::Poll(_) | Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => true,
            Job::Queues | Job::Statuses => {
                self.has_turns(now) && self.whose_turn(now) == Turn::Queue
            }
        }
    }

    /// Returns the time from the start of a job to the next slot.
    pub(super) fn gap(&self, job: Job, now: Duration) -> Duration {
        let gap = match job {
            Job::Queues | Job::Statuses if !self.takes_turn(job, now) => self.period,
            _ if self.saves(now) => self.look_at_buckets(),
            // Requests beyond the first are earned in full, or a turn would cost more than it earns.
            _ => self.period.mul_f64(self.cost(job) - 1.0 + self.stride(now)),
        };
        gap.mul_f64(self.stretch(now))
    }

    /// Returns the distance to the next slot, in periods. Evenly spaced sweeps keep statuses youngest, so the three sweeps of a turn of four periods
    /// are 4/3 periods apart, and the queue's slot is between two of them.
    fn stride(&self, now: Duration) -> f64 {
        let (turn, sweeps) = self.turn_at(now);
        let between_sweeps = f64::from(turn) / f64::from(sweeps);
        match self.whose_turn(now) {
            Turn::Queue if self.owes_queues(now) => 1.0,
            Turn::Sweep if self.turn % turn + 1 < sweeps => between_sweeps,
            Turn::Sweep => between_sweeps / 2.0,
            Turn::Queue if self.sweeps(now) => between_sweeps / 2.0,
            Turn::Queue | Turn::Alone => 1.0,
        }
    }

    pub(super) fn whose_turn(&self, now: Duration) -> Turn {
        if !self.sweeps(now) {
            return Turn::Queue;
        }
        if self.alone_credit + self.share_alone() >= 1.0 {
            return Turn::Alone;
        }
        if self.owes_queues(now) || self.is_queues_turn(now) {
            Turn::Queue
        } else {
            Turn::Sweep
        }
    }

    /// Returns whether a queue gets a slot for pages that were read out of turn.
    fn owes_queues(&self, now: Duration) -> bool {
        self.out_of_turn >= self.turn_at(now).1
    }

    fn is_queues_turn(&self, now: Duration) -> bool {
        let (turn, sweeps) = self.turn_at(now);
        self.turn % turn >= sweeps
    }

    /// Returns the slots in a turn, and how many of them are the sweep's.
    fn turn_at(&self, now: Duration) -> (u32, u32) {
        match self.is_catching_up(now) || self.tries_lists(now) {
            true => (TURN_CATCHING_UP, SWEEPS_CATCHING_UP),
            false => (TURN, SWEEPS_IN_TURN),
        }
    }

    /// Returns whether there are queues without usable data whose polls do not fail.
    pub(super) fn is_catching_up(&self, now: Duration) -> bool {
        let is_unknown = |queue: &Queue| {
            let last = queue.attempts.last_success;
            let is_old = last.is_none_or(|last| now.saturating_sub(last) > self.members_max_age);
            is_old
                && !self.is_alone(queue)
                && queue.attempts.failures == 0
                && self.takes_turns(queue)
        };
        self.queues
            .iter()
            .any(|queue| is_unknown(queue) && !queue.attempts.in_flight)
    }

    /// Returns the next request for statuses if it cannot wait for its slot, or else when that will be so.
    pub(super) fn late_sweep(&self, now: Duration) -> Result<Job, Duration> {
        let attempts = &self.sweeping.attempts;
        // The first one waits until queues were polled.
        let Some(last) = attempts.last_start.filter(|_| !attempts.in_flight) else {
            return Err(Duration::MAX);
        };
        let late = last + self.longest_between_sweeps(now);
        if now < late {
            return Err(late);
        }
        let sweep = self.sweep(now).filter(|_| !self.saves(now));
        sweep.ok_or(Duration::MAX)
    }

    /// Returns the longest time between two readings of statuses, in periods for each of their pages, whatever is polled meanwhile.
    pub(super) fn longest_per_page(&self) -> f64 {
        let usual = f64::from(TURN) / f64::from(SWEEPS_IN_TURN);
        match self.sweeping.request {
            // The longer it waits, the more pages the next reading takes. But queues keep their slots.
            Request::Delta(_) => (usual / MIN_PACE / self.slots_of_a_reading()).max(usual),
            _ => usual / MIN_PACE,
        }
    }

    /// Returns how many pages are read at once. Each page of a sweep has its own slot.
    fn slots_of_a_reading(&self) -> f64 {
        f64::from(self.sweeping.feed_pages.unwrap_or(1))
    }

    fn longest_between_sweeps(&self, now: Duration) -> Duration {
        let periods = self.longest_per_page() * self.slots_of_a_reading();
        let share = (1.0 - self.share_alone()).max(1e-6);
        self.period.mul_f64(periods / share * self.stretch(now))
    }

    pub(super) fn pass_turn(&mut self, job: Job, now: Duration) {
        if !self.sweeps(now) {
            return; // There are no turns.
        }
        let (turn, cost) = (self.whose_turn(now), self.cost(job));
        self.alone_credit += self.share_alone() * cost;
        if turn == Turn::Alone {
            self.alone_credit -= cost;
        } else if self.owes_queues(now) {
            self.out_of_turn -= self.turn_at(now).1;
        } else {
            self.turn = self.turn.wrapping_add(1);
        }
    }

    /// Counts a page that was read at once, after the first page of its list.
    pub(super) fn pass_out_of_turn(&mut self, now: Duration) {
        if self.has_turns(now) {
            self.alone_credit += self.share_alone();
            self.out_of_turn = (self.out_of_turn + 1).min(MAX_OUT_OF_TURN);
        }
    }

    /// Returns the number of requests that a job will probably take.
    pub(super) fn cost(&self, job: Job) -> f64 {
        match job {
            Job::Poll(queue) => self.queues[queue].cost(),
            Job::Queues
            | Job::Statuses
            | Job::Sweep(_)
            | Job::Whole
            | Job::Delta(_)
            | Job::Available(..) => 1.0,
        }
    }
}
