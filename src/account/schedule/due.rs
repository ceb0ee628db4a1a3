//! Chooses what is due at a moment.

use std::time::Duration;

use super::{
    Queue, Schedule,
    jobs::{Job, MAX_QUEUE_BACKOFF, STATUSES_TRIES},
    retry::Attempts,
    turns::Turn,
};

/// How many jobs of one account run at once: enough for a cold start of a large account within seconds, and for one hanging poll not to block the
/// others, but few enough not to look like an attack.
pub(super) const AT_ONCE: usize = 8;

/// Names and statuses are read again after this time, because people rename queues and change what a status does. That is four requests an hour.
pub const NAMES_LIVE: Duration = Duration::from_secs(1_800);

/// The first wait before names are read again if they could not be read, lacked a queue of the config, or a queue's id is in doubt. It doubles up to
/// [`NAMES_LIVE`]: a queue whose id is refused for good costs seven requests in the first half hour, and two an hour after that.
const NAMES_AGAIN: Duration = Duration::from_secs(15);

/// Names that are read only because some queue has no id take at most one slot in this many, so that the other queues are still polled.
const NAMES_SHARE: u32 = 8;

/// A queue that is missing from the names, such as a misspelt one, costs one slot in this many in the long run, and no more than one request a
/// minute. It may be created at any time, and should be found within minutes.
const NAMES_LACKING_SHARE: u32 = 24;

/// If the names cannot be read, this many tries may come earlier than that.
const NAMES_RETRIES: u32 = 3;

/// How often `statuses/` is tried again in the long run when it has been given up: the right to read it may come any time.
const STATUSES_AGAIN: Duration = Duration::from_secs(600);

/// How soon `statuses/` is tried again when it has just been given up, and later at twice, four times … this, up to [`STATUSES_AGAIN`]: ten
/// requests in the first hour.
const STATUSES_RETRY: Duration = Duration::from_secs(15);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start a job.
    Start {
        /// The job.
        job: Job,
        /// Whether it is part of a cold start, which does not wait for its slot.
        cold: bool,
    },
    /// Do nothing for this long, unless a job ends.
    Wait(Duration),
}

impl Schedule {
    /// Returns what to do at `now`. The answer stays the same until something starts, ends or becomes due.
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
        if let Some(job) = self.reads_on(now) {
            return Next::Start { job, cold: true };
        }
        if now < self.slot {
            return match self.late_sweep(now) {
                Ok(job) => Next::Start { job, cold: false },
                Err(at) => Next::Wait(self.slot.min(at) - now),
            };
        }
        match self.again(now) {
            Some(job) => Next::Start { job, cold: false },
            None => Next::Wait(self.earliest(now).saturating_sub(now)),
        }
    }

    /// Returns whether this job may start on demand, considering faults and running jobs.
    pub fn may_ask(&self, job: Job, now: Duration) -> bool {
        let ready = match job {
            Job::Queues => self.names.is_ready(now),
            Job::Statuses => self.statuses.is_ready(now),
            Job::Poll(queue) => {
                let queue = &self.queues[queue];
                self.can_be_polled(queue) && queue.attempts.is_ready(now)
            }
            Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => {
                self.sweeping.attempts.is_ready(now)
            }
        };
        ready && now >= self.not_before.max(self.token_not_before) && self.has_room()
    }

    /// Returns whether one more job may start. After the token was refused, only one request at a time tries it again.
    fn has_room(&self) -> bool {
        let at_once = if self.is_token_refused() { 1 } else { AT_ONCE };
        self.in_flight < at_once
    }

    /// Returns what was never read but can be: names, then statuses, then queues up to the ration.
    fn first_reading(&self, now: Duration) -> Option<Job> {
        let ready = |attempts: &Attempts| attempts.is_ready(now) && attempts.last_start.is_none();
        if self.needs_names() && ready(&self.names) {
            return Some(Job::Queues);
        }
        if self.needs_statuses() && self.statuses.last_success.is_none() && ready(&self.statuses) {
            return Some(Job::Statuses);
        }
        if self.ration == 0 {
            return None;
        }
        let is_due =
            |queue: &Queue| queue.is_new && self.takes_turns(queue) && queue.attempts.is_ready(now);
        self.most_overdue(now, is_due)
    }

    /// Returns what to read again, or to retry.
    fn again(&self, now: Duration) -> Option<Job> {
        let list = self.list_due(now);
        if list.is_some_and(|list| self.is_urgent(list) || self.is_slot_for_lists(now)) {
            return list;
        }
        if self.saves(now) {
            return self.while_saving(now).or(list);
        }
        let sweep = self.sweep(now);
        let first = match self.whose_turn(now) {
            _ if sweep.is_some() && !self.sweeping.was_whole && !self.tries_lists(now) => None,
            Turn::Alone => self.most_overdue(now, |queue| self.is_alone(queue)),
            Turn::Queue if self.sweeps(now) => {
                self.most_overdue(now, |queue| !self.is_alone(queue))
            }
            Turn::Sweep | Turn::Queue => None,
        };
        // No slot is left empty while there is anything to do.
        first
            .or(sweep)
            .or_else(|| self.most_overdue(now, |_| true))
            .or(list)
    }

    /// Returns the names or the statuses, if they should be read again now.
    fn list_due(&self, now: Duration) -> Option<Job> {
        if self.names_due().is_some_and(|due| due <= now) && self.names.is_ready(now) {
            return Some(Job::Queues);
        }
        let is_due = self.needs_statuses() && self.statuses_due() <= now;
        (is_due && self.statuses.is_ready(now)).then_some(Job::Statuses)
    }

    /// Returns whether to read a list at once, because queues wait for it, may show other queues' agents, or have agents whose status is new.
    fn is_urgent(&self, list: Job) -> bool {
        match list {
            Job::Queues => {
                let is_known_to_lack = self.names_lacking > 0;
                (self.needs_names() && !is_known_to_lack) || self.names_doubted
            }
            Job::Statuses => self.statuses.last_success.is_none() || self.unlisted.has_new(),
            Job::Poll(_) | Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => false,
        }
    }

    /// Returns the next request for statuses, if it may be sent now.
    pub(super) fn sweep(&self, now: Duration) -> Option<Job> {
        (self.sweeps(now) && self.sweeping.attempts.is_ready(now)).then(|| self.status_job())
    }

    /// Returns the next page of an unfinished list. It must not wait, because the list changes meanwhile.
    pub(super) fn reads_on(&self, now: Duration) -> Option<Job> {
        self.sweep(now).filter(|_| self.sweeping.reads_on)
    }

    /// Returns when a poll of a queue of this kind was last started, and its cost.
    pub(super) fn last_poll_of(&self, of: impl Fn(&Queue) -> bool) -> Option<(Duration, f64)> {
        let queues = self.queues.iter().filter(|queue| of(queue));
        let last = queues.max_by_key(|queue| queue.attempts.last_start)?;
        Some((last.attempts.last_start?, last.cost()))
    }

    /// Returns whether a queue needs its id. Resting queues can wait, once a first reading has checked their names.
    fn needs_names(&self) -> bool {
        let is_first = self.names.last_start.is_none();
        let needs = |queue: &Queue| queue.need.id && (is_first || !queue.rests);
        self.queues.iter().any(needs)
    }

    fn needs_statuses(&self) -> bool {
        let needs = |queue: &Queue| queue.need.statuses && !queue.rests;
        self.queues.iter().any(needs)
    }

    pub(super) fn can_be_polled(&self, queue: &Queue) -> bool {
        let statuses_known = self.statuses.last_success.is_some() || self.statuses_given_up;
        !queue.need.id && (statuses_known || !queue.need.statuses)
    }

    /// Returns whether a queue takes turns.
    pub(super) fn takes_turns(&self, queue: &Queue) -> bool {
        !queue.rests && self.can_be_polled(queue)
    }

    /// Returns when `queues/` should be read again; `None` if no queue needs that.
    fn names_due(&self) -> Option<Duration> {
        let read = self.names.last_start.max(self.names.last_success);
        let after = |wait: Duration| read.map_or(Duration::ZERO, |read| read + wait);
        let again = |times: u32| {
            let wait = NAMES_AGAIN.saturating_mul(2u32.saturating_pow(times));
            after(wait.min(NAMES_LIVE))
        };
        if self.needs_names() {
            let slots = |number| after(self.period.saturating_mul(number));
            return Some(match self.names_lacking {
                0 if self.names.failures <= NAMES_RETRIES => Duration::ZERO,
                0 => slots(NAMES_SHARE),
                times => {
                    let share = NAMES_SHARE.saturating_mul(times).min(NAMES_LACKING_SHARE);
                    let due = slots(share).max(again(times - 1).min(after(MAX_QUEUE_BACKOFF)));
                    match self.names_doubted {
                        true => due.min(again(self.names_doubts)),
                        false => due,
                    }
                }
            });
        }
        if !self
            .queues
            .iter()
            .any(|queue| queue.by_name && !queue.rests)
        {
            None
        } else if self.names.failures > 0 {
            Some(again(self.names.failures))
        } else if self.names_doubted {
            Some(again(self.names_doubts))
        } else {
            read.map(|read| read + NAMES_LIVE)
        }
    }

    /// Returns how soon `statuses/` is tried again after it was given up: soon at first, because an outage may have lasted for seconds.
    fn statuses_retry(&self) -> Duration {
        let more = self.statuses.failures.checked_sub(STATUSES_TRIES);
        let doubled = |times| STATUSES_RETRY.saturating_mul(2u32.saturating_pow(times));
        more.map_or(STATUSES_AGAIN, |times| doubled(times).min(STATUSES_AGAIN))
    }

    /// Returns when `statuses/` should be read again.
    fn statuses_due(&self) -> Duration {
        let statuses = &self.statuses;
        match (
            statuses.last_success,
            statuses.last_start,
            self.unlisted.again(),
        ) {
            (Some(success), Some(start), Some(again)) => start.max(success) + again,
            (Some(_), None, Some(_)) => Duration::ZERO,
            (Some(success), _, None) => success + NAMES_LIVE,
            (None, Some(start), _) if self.statuses_given_up => start + self.statuses_retry(),
            (None, _, _) => Duration::ZERO,
        }
    }

    /// Returns the earliest time at which anything could become due by itself.
    fn earliest(&self, now: Duration) -> Duration {
        if self.saves(now) {
            return now + self.look_at_buckets();
        }
        let waiting = |attempts: &Attempts| (!attempts.in_flight).then_some(attempts.not_before);
        let queues = self.queues.iter().filter(|queue| self.takes_turns(queue));
        let mut times: Vec<Duration> = queues
            .filter_map(|queue| waiting(&queue.attempts))
            .collect();
        if let Some(due) = self.names_due() {
            times.extend(waiting(&self.names).map(|not_before| not_before.max(due)));
        }
        if self.needs_statuses() {
            times.extend(
                waiting(&self.statuses).map(|not_before| not_before.max(self.statuses_due())),
            );
        }
        if self.sweeps(now) {
            times.extend(waiting(&self.sweeping.attempts));
        }
        times.into_iter().min().unwrap_or(Duration::MAX)
    }
}
