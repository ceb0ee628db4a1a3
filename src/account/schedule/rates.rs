//! Divides the slots: the share of each kind of queue, whether a sweep pays, and the resulting times between readings.

use std::time::Duration;

use super::{
    Expected, Queue, Schedule,
    sweeping::TRIAL_PART,
    turns::{SWEEPS_IN_TURN, TURN},
};
use crate::account::feeds::Request;

/// While lists are tried, polls must be no further apart than this part of the maximum age. The rest is for slow answers and uneven turns.
const TRIAL_AGE: f64 = 0.75;

impl Schedule {
    /// Returns the times between readings of each queue, without faults, at one request per `period`.
    pub fn expected(&self, period: Duration) -> Vec<Expected> {
        if self.is_swept() {
            return self.expected_with(true, period);
        }
        let of_trial = if self.sweeping.is_tried {
            TRIAL_PART
        } else {
            0.0
        };
        self.expected_with(false, period.div_f64(1.0 - of_trial))
    }

    /// Returns the same for equal demand, with trusted sweeps unless they contradicted the queues. This plan does not change with demand or with a
    /// restart.
    pub fn expected_evenly(&self, period: Duration) -> Vec<Expected> {
        let mut even = self.clone();
        even.mean_asked = 0.0;
        if even.sweeping.request == Request::Whole {
            even.sweeping.request = Request::Full; // Once CallTools gives the list in one piece, it has one page.
        }
        for queue in &mut even.queues {
            queue.rests = false; // The plan is for hours in which all queues are open.
        }
        let sweeps = self.options.sweep && !self.sweeping.distrusted && even.sweep_pays();
        even.expected_with(sweeps, period)
    }

    /// Returns whether sweeps are trusted and pay.
    pub(crate) fn is_swept(&self) -> bool {
        self.options.sweep && self.sweeping.trusted && self.sweep_pays()
    }

    /// Returns the same with or without sweeps, while no lists are tried.
    pub(super) fn expected_with(&self, sweeps: bool, period: Duration) -> Vec<Expected> {
        let of_alone = if sweeps { self.share_alone() } else { 0.0 };
        // The mean cost of a poll of a queue, and from it that of a turn.
        let shared = self.awake().filter(|queue| !self.is_alone(queue));
        let polls: f64 = shared
            .map(|queue| (self.weight(queue) / queue.cost()).sqrt())
            .sum();
        let poll = self.roots(|queue| !self.is_alone(queue)) / polls.max(f64::EPSILON);
        let turn = f64::from(SWEEPS_IN_TURN) + poll * f64::from(TURN - SWEEPS_IN_TURN);
        // For each page of statuses.
        let between_sweeps = (turn / f64::from(SWEEPS_IN_TURN)).min(self.longest_per_page());
        let sweep = period.mul_f64(
            f64::from(self.status_pages()) * between_sweeps / (1.0 - of_alone).max(f64::EPSILON),
        );
        // Computed once for all queues, because this function runs after each poll.
        let [all, alone, shared] = [
            self.roots(|_| true),
            self.roots(|queue| self.is_alone(queue)),
            self.roots(|queue| !self.is_alone(queue)),
        ];
        let of_turn = 1.0 - 1.0 / between_sweeps;
        let members = |queue: &Queue| {
            let (group, share) = match (sweeps, self.is_alone(queue)) {
                (false, _) => (all, 1.0),
                (true, true) => (alone, of_alone),
                (true, false) => (shared, (1.0 - of_alone) * of_turn),
            };
            // Both are 0 if all queues of a group rest.
            let share = share.max(f64::EPSILON);
            period.mul_f64(group * (queue.cost() / self.weight(queue)).sqrt() / share)
        };
        let expected = |queue: &Queue| {
            let members = members(queue);
            let statuses = if sweeps && !self.is_alone(queue) {
                sweep
            } else {
                members
            };
            Expected { statuses, members }
        };
        self.queues.iter().map(expected).collect()
    }

    /// Returns the part of the slots that queues polled alone would have if all queues were polled alone.
    pub(super) fn share_alone(&self) -> f64 {
        self.roots(|queue| self.is_alone(queue)) / self.roots(|_| true).max(f64::EPSILON)
    }

    /// Returns whether sweeps are part of the schedule now.
    pub fn sweeps(&self, now: Duration) -> bool {
        self.options.sweep
            && now >= self.sweeping.not_before
            && (self.is_sweep_worth() || self.may_try_lists(now))
    }

    /// Returns whether sweeps are part of the schedule now only because lists are tried that would pay, although the full list does not.
    pub fn tries_lists(&self, now: Duration) -> bool {
        self.may_try_lists(now) && self.sweeps(now) && !self.is_sweep_worth()
    }

    fn may_try_lists(&self, now: Duration) -> bool {
        let may_try = self.sweeping.tries_from.is_some_and(|from| from <= now);
        may_try && self.most_pages() > 0 && self.polls_bear_a_trial()
    }

    /// Returns whether polls at the pace that a trial of lists leaves them keep all queues' data within its limits.
    pub(super) fn polls_bear_a_trial(&self) -> bool {
        let meanwhile = self.expected_with(false, self.period.div_f64(1.0 - TRIAL_PART));
        let is_kept = |(queue, expected): (&Queue, Expected)| {
            queue.rests
                || expected.statuses <= self.tightest.mul_f64(TRIAL_AGE)
                    && expected.members <= self.members_max_age.mul_f64(TRIAL_AGE)
        };
        self.queues.iter().zip(meanwhile).all(is_kept)
    }

    fn is_sweep_worth(&self) -> bool {
        self.sweep_pays() || self.sweep_keeps_the_plan()
    }

    /// Returns whether a sweep that does not pay at the current demand is needed for the other queues, whose `max_age` was planned with sweeps.
    fn sweep_keeps_the_plan(&self) -> bool {
        let by_polls = || self.expected_with(false, self.period);
        let is_too_rare = |(queue, expected): (&Queue, Expected)| {
            !queue.rests && expected.statuses > self.tightest
        };
        let pays = self.status_pages() <= self.most_pages_with(|_| 1.0);
        pays && self.queues.iter().zip(by_polls()).any(is_too_rare)
    }

    /// Returns whether a sweep pays.
    pub(super) fn sweep_pays(&self) -> bool {
        self.status_pages() <= self.most_pages()
    }

    /// Returns the maximum of pages of a list that pays: fewer than *Q/2*, where *Q = (Σ√(dp))² / Σd* is the number of requests to poll as many
    /// equally demanded queues as these amount to.
    pub(super) fn most_pages(&self) -> u32 {
        self.most_pages_with(|queue| self.weight(queue))
    }

    fn most_pages_with(&self, weight: impl Fn(&Queue) -> f64) -> u32 {
        let shared = || self.awake().filter(|queue| !self.is_alone(queue));
        let demand: f64 = shared().map(&weight).sum();
        let root = |queue: &Queue| (weight(queue) * queue.cost()).sqrt();
        let roots: f64 = shared().map(root).sum();
        // The small number allows for rounding: at exactly half, sweeps gain nothing.
        let half = roots * roots / demand.max(f64::EPSILON) / 2.0 - 1e-9;
        (half.ceil() as u32).saturating_sub(1)
    }

    /// Returns the queues that take turns: all but those that rest.
    fn awake(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().filter(|queue| !queue.rests)
    }

    /// Returns *Σ√(dp)*, over demand and pages.
    pub(super) fn roots(&self, of: impl Fn(&Queue) -> bool) -> f64 {
        let queues = self.awake().filter(|queue| of(queue));
        queues
            .map(|queue| (self.weight(queue) * queue.cost()).sqrt())
            .sum()
    }
}
