//! How often each queue is asked about, and what follows from it: which queue is most overdue, and how slow the pace may be while nobody asks.

use std::time::Duration;

use super::{Expected, Queue, Schedule, jobs::Job};

/// A queue that was never polled is as overdue as one whose membership is as old as any may be.
const NEVER: Duration = crate::decision::MAX_MEMBERS_AGE;

/// A question counts half after this time: demand follows the campaigns of the day.
pub(super) const DEMAND_HALF_LIFE: Duration = Duration::from_secs(600);

/// Every queue counts as asked at least this part of the mean. By the square-root rule a queue that nobody asks about is then polled at
/// no less than two fifths of the mean rate, so that its snapshot stays within three times the planned age.
pub(super) const DEMAND_FLOOR: f64 = 1.0 / 6.0;

/// A queue whose member was seen coming online since its last poll counts so much more: people log in to their queues then.
const URGENT: f64 = 2.0;

/// While sweeps keep statuses fresh, a queue whose answer one log-in or log-out could turn counts so much more than one with seats in
/// plenty. Measured with `cargo bench --bench freshness` (20 queues, 60 agents): 1.75 % wrong answers instead of 1.94 %; five and ten gain
/// no more, and would let the other queues' memberships grow old.
const AT_EDGE: f64 = 3.0;

/// Without a question for so long, an account is idle.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(600);

/// An idle account is polled at most so much later than needed that the first question still meets half of `max_age`.
pub(super) const IDLE_AGE: f64 = 0.5;

/// The same for memberships, which live for half an hour at least and are not what questions hang on.
pub(super) const IDLE_MEMBERS_AGE: f64 = 0.75;

/// An account that is not swept goes so much slower while permits are saved up: half of the budget is left too.
const SAVING_STRETCH: f64 = 2.0;

/// Permits are saved up for so long after the last question that was willing to wait.
pub(super) const SAVING_FOR: Duration = Duration::from_secs(300);

impl Schedule {
    /// A member of a queue may have logged in or out: poll it a little sooner.
    pub fn hurry(&mut self, queue: usize) {
        self.queues[queue].urgent = true;
    }

    /// A member of a queue is missing from a sweep: poll it in the next slot for queues, as nothing else will say whether they have left.
    pub fn look_for_missing(&mut self, queue: usize) {
        self.queues[queue].missing = true;
    }

    /// Whether one log-in or log-out could turn the answer about a queue.
    pub fn at_edge(&mut self, queue: usize, at_edge: bool) {
        self.queues[queue].at_edge = at_edge;
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

    /// The queue with the greatest demand × (time since its last poll)², a request's worth of it.
    pub(super) fn most_overdue(&self, now: Duration, of: impl Fn(&Queue) -> bool) -> Option<Job> {
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
            of(queue) && self.can_be_polled(queue) && queue.attempts.is_ready(now)
        });
        // Of equals the first.
        let most = due
            .map(|(place, queue)| (score(queue), place))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        most.map(|(_, place)| Job::Poll(place))
    }

    fn is_saving(&self, now: Duration) -> bool {
        self.last_waiting
            .is_some_and(|asked| now < asked + SAVING_FOR)
    }

    /// Whether permits are saved up by sweeping less. An account that is not swept saves by a slower pace.
    pub(super) fn saves_sweeping(&self, now: Duration) -> bool {
        self.is_saving(now) && self.sweeps(now)
    }

    fn is_idle(&self, now: Duration) -> bool {
        self.last_question
            .is_some_and(|asked| now >= asked + IDLE_AFTER)
    }

    /// How much longer an account waits for its slots while it is idle, or saves without sweeping.
    pub(super) fn stretch(&self, now: Duration) -> f64 {
        let (idle, saving) = (self.is_idle(now), self.is_saving(now) && !self.sweeps(now));
        if !idle && !saving {
            return 1.0;
        }
        let while_idle = if idle {
            1.0 / self.options.idle_pace
        } else {
            1.0
        };
        let while_saving = if saving { SAVING_STRETCH } else { 1.0 };
        let wanted = while_idle.max(while_saving);
        wanted.min(self.bearable()).max(1.0)
    }

    /// The stretch at which no queue's answers outlast their bounds.
    pub(super) fn bearable(&self) -> f64 {
        let expected = self.expected(self.period);
        let longest = |of: fn(&Expected) -> Duration| {
            let longest = expected.iter().map(of).max().unwrap_or_default();
            longest.as_secs_f64().max(1e-3)
        };
        let statuses = self.tightest.as_secs_f64() * IDLE_AGE / longest(|of| of.statuses);
        let members =
            self.members_max_age.as_secs_f64() * IDLE_MEMBERS_AGE / longest(|of| of.members);
        statuses.min(members)
    }

    /// A queue's demand, with the floor.
    pub(super) fn weight(&self, queue: &Queue) -> f64 {
        // Without any questions all are alike.
        if self.mean_asked < 1e-6 {
            1.0
        } else {
            queue.asked + self.mean_asked * DEMAND_FLOOR
        }
    }
}
