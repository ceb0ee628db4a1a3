//! Demand: how often each queue is asked about, which queue is most overdue because of that, and how slow the pace may be without questions.

use std::time::Duration;

use super::{Expected, Queue, Schedule, jobs::Job, on_demand::BusyHours};

/// A queue that was never polled is as overdue as one whose membership has the maximum age.
const NEVER: Duration = crate::decision::MAX_MEMBERS_AGE;

/// The weight of a question halves in this time, so that demand follows the campaigns of the day.
pub(super) const DEMAND_HALF_LIFE: Duration = Duration::from_secs(600);

/// The minimum demand of a queue, as a part of the mean. By the square-root rule, a queue without questions is then polled at two fifths of
/// the mean rate or more, so its snapshot stays within three times the planned age.
pub(super) const DEMAND_FLOOR: f64 = 1.0 / 6.0;

/// The factor for a queue with a member who came online since its last poll, because such agents log in to their queues.
const URGENT: f64 = 2.0;

/// The factor for a queue whose answer a single log-in or log-out could change, while sweeps keep statuses fresh. Measured with `cargo bench --bench
/// freshness` (20 queues, 60 agents): 1.75 % wrong answers instead of 1.94 %. Factors of five and ten gain no more, and make the other
/// queues' memberships older.
const AT_EDGE: f64 = 3.0;

/// The factor for a queue whose membership has reached [`EXPIRING_AGE`]: once it expires, all calls of the queue are lost. In an account with 300 queues,
/// those that are rarely asked about would not be polled in time otherwise.
const EXPIRING: f64 = 10.0;

/// The part of its maximum age at which a membership counts as expiring. The rest is time for a hundred polls.
const EXPIRING_AGE: f64 = 0.75;

/// An account counts as idle after this time without questions.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(600);

/// In an idle account, statuses may reach this part of `max_age`.
pub(super) const IDLE_AGE: f64 = 0.5;

/// The same for memberships, which are valid for half an hour or more and matter less for the first question.
pub(super) const IDLE_MEMBERS_AGE: f64 = 0.75;

/// How long permits are saved up after the last question that waited.
pub(super) const SAVING_FOR: Duration = Duration::from_secs(300);

impl Schedule {
    /// Polls a queue a little sooner, because a member may have logged in or out.
    pub fn hurry(&mut self, queue: usize) {
        self.queues[queue].urgent = true;
    }

    /// Polls a queue in the next slot for queues, because a member is missing from a sweep, and only a poll shows whether they have left.
    pub fn look_for_missing(&mut self, queue: usize) {
        self.queues[queue].missing = true;
    }

    /// Sets whether a single log-in or log-out could change the answer about a queue.
    pub fn at_edge(&mut self, queue: usize, at_edge: bool) {
        self.queues[queue].at_edge = at_edge;
    }

    /// Counts the questions about each queue since the last call.
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

    /// Counts the questions since the last call, all and those that wait for a fresh answer. `per_hour` is how many requests polling may send per
    /// hour.
    pub fn counted(&mut self, asked: u64, patient: u64, per_hour: f64, now: Duration) {
        self.on_demand.count(asked, patient, per_hour, now);
    }

    /// Returns whether each question that waits gets a poll.
    pub fn is_on_demand(&self) -> bool {
        self.on_demand.is_on()
    }

    /// Returns the busiest hours of the last week, to store at `now`, which is `wall` in wall time.
    pub fn busy_hours(&self, now: Duration, wall: Duration) -> BusyHours {
        self.on_demand.busy_hours(now, wall)
    }

    /// Continues from the busiest hours that an earlier task or process stored.
    pub fn recall_busy_hours(&mut self, stored: &BusyHours, now: Duration, wall: Duration) {
        self.on_demand.recall(stored, now, wall);
    }

    /// Saves up some permits from now on, because a caller waits for a fresh answer.
    pub fn asked_to_wait(&mut self, now: Duration) {
        self.last_waiting = Some(now);
    }

    /// Sets the tightest `max_age` of the account's queues, and the maximum age of their memberships. A slow pace must keep both.
    pub fn bounded_by(&mut self, max_age: Duration, members_max_age: Duration) {
        self.tightest = max_age;
        self.members_max_age = members_max_age;
    }

    /// Returns the queue with the greatest demand × (time since its last poll)² per request.
    pub(super) fn most_overdue(&self, now: Duration, of: impl Fn(&Queue) -> bool) -> Option<Job> {
        let sweeps = self.sweeps(now) && !self.tries_lists(now);
        let expires = self.members_max_age.as_secs_f64() * EXPIRING_AGE;
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
            let expiring = if since >= expires { EXPIRING } else { 1.0 };
            self.weight(queue) * since * since * urgent * at_edge * expiring / queue.cost()
        };
        let queues = self.queues.iter().enumerate();
        let due = queues.filter(|(_, queue)| {
            of(queue) && self.takes_turns(queue) && queue.attempts.is_ready(now)
        });
        // The first one among equals.
        let most = due
            .map(|(place, queue)| (score(queue), place))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        most.map(|(_, place)| Job::Poll(place))
    }

    /// Returns whether a caller would have waited recently.
    pub(super) fn is_saving(&self, now: Duration) -> bool {
        self.last_waiting
            .is_some_and(|asked| now < asked + SAVING_FOR)
    }

    fn is_idle(&self, now: Duration) -> bool {
        self.last_question
            .is_some_and(|asked| now >= asked + IDLE_AFTER)
    }

    /// Returns the factor by which slots are further apart because nobody asks; `None` if somebody does, or if that changes nothing.
    pub fn idle_stretch(&self, now: Duration) -> Option<f64> {
        let stretch = self.is_idle(now).then(|| self.stretch(now));
        stretch.filter(|stretch| *stretch > 1.0)
    }

    /// Returns the factor by which slots are further apart while the account is idle, or leaves requests for polls on demand.
    pub(super) fn stretch(&self, now: Duration) -> f64 {
        let while_idle = match self.is_idle(now) {
            true => 1.0 / self.options.idle_pace,
            false => 1.0,
        };
        let on_demand = match self.on_demand.is_on() {
            true => self.on_demand.stretch(),
            false => 1.0,
        };
        let wanted = while_idle.max(on_demand);
        if wanted <= 1.0 {
            return 1.0;
        }
        wanted.min(self.bearable()).max(1.0)
    }

    /// Returns the greatest stretch at which all queues' data stays within its limits.
    pub(super) fn bearable(&self) -> f64 {
        let expected = self.expected(self.period).into_iter().zip(&self.queues);
        let awake = expected.filter(|(_, queue)| !queue.rests);
        let expected: Vec<_> = awake.map(|(expected, _)| expected).collect();
        let longest = |of: fn(&Expected) -> Duration| {
            let longest = expected.iter().map(of).max().unwrap_or_default();
            longest.as_secs_f64().max(1e-3)
        };
        let statuses = self.tightest.as_secs_f64() * IDLE_AGE / longest(|of| of.statuses);
        let members =
            self.members_max_age.as_secs_f64() * IDLE_MEMBERS_AGE / longest(|of| of.members);
        statuses.min(members)
    }

    /// Returns a queue's demand, with the minimum.
    pub(super) fn weight(&self, queue: &Queue) -> f64 {
        // Without questions, all queues are equal.
        if self.mean_asked < 1e-6 {
            1.0
        } else {
            queue.asked + self.mean_asked * DEMAND_FLOOR
        }
    }
}
