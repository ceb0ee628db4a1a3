//! Starts and ends jobs. A job takes a slot, and its outcome decides when to retry.

use std::time::Duration;

use super::{
    Schedule,
    retry::{Attempts, backoff},
};
use crate::model::fault::Fault;

/// The longest wait after faults of one queue.
pub(super) const MAX_QUEUE_BACKOFF: Duration = Duration::from_secs(60);

/// The longest wait with a bad token: a person has to replace it, and too many tries get accounts locked.
const MAX_ACCOUNT_BACKOFF: Duration = Duration::from_secs(300);

/// After this many failed readings of `statuses/`, queues are polled without it. Until then, no answer is better than a guess.
pub(super) const STATUSES_TRIES: u32 = 3;

/// A request, or the pages of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Read `queues/`: the ids behind names.
    Queues,
    /// Read `statuses/`: what makes an agent available.
    Statuses,
    /// Poll a queue, by its place in the account's config.
    Poll(usize),
    /// Read this page of the account's list of agents.
    Sweep(u32),
    /// Read the account's list of agents in one piece.
    Whole,
    /// Read this page of all agents, ordered by the date of change.
    Delta(u32),
    /// Read this page of the agents who have the status with this id.
    Available(u64, u32),
}

impl Job {
    /// Returns whether it reads statuses of the whole account.
    pub fn is_about_statuses(self) -> bool {
        matches!(
            self,
            Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..)
        )
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// It succeeded.
    Well {
        /// Pages read.
        requests: u32,
    },
    /// It failed.
    Badly(&'a Fault),
    /// It failed, but statuses come from another list, which need not wait.
    Beside,
    /// The budget ran out in the middle, which says nothing about the queue or CallTools.
    Unpaid,
}

impl Schedule {
    /// Records that a job was started in its slot, or as part of a cold start. The next slot comes when the job's probable cost has been earned
    /// at one request per `period`.
    pub fn started(&mut self, job: Job, now: Duration, period: Duration) {
        self.period = period;
        self.last_question.get_or_insert(now);
        let reads_on = self.reads_on(now) == Some(job);
        if reads_on || now < self.slot && job.is_about_statuses() {
            self.begun(job, now);
            self.pass_out_of_turn(now);
            // It is earned before the next slot, which is later in an idle account, unless it is the rest of a list.
            let stretch = if reads_on { 1.0 } else { self.stretch(now) };
            self.slot = self.slot.max(now) + period.mul_f64(stretch);
            return;
        }
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

    /// Records that a job was started on demand, outside the schedule's slots.
    pub fn begun(&mut self, job: Job, now: Duration) {
        if self.is_poll_in_turn(job, now) {
            self.last_poll_in_turn = Some((now, self.cost(job)));
        }
        self.pay(job, now);
        self.sweeping.is_tried = self.tries_lists(now);
        self.in_flight += 1;
        self.attempts(job).start(now);
        match job {
            Job::Statuses => self.unlisted.begun(),
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
            Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => {}
        }
    }

    /// Records the end of a job. `jitter` is in 0..1.
    pub fn ended(&mut self, job: Job, ending: Ending<'_>, now: Duration, jitter: f64) {
        self.in_flight -= 1;
        if job == Job::Statuses {
            self.unlisted.ended(matches!(ending, Ending::Well { .. }));
        }
        match ending {
            Ending::Well { requests } => {
                self.token_failures = 0;
                self.token_not_before = Duration::ZERO;
                self.attempts(job).succeed(now);
                match job {
                    Job::Poll(queue) => {
                        self.queues[queue].pages = requests.max(1);
                        self.ration = self.ration.saturating_sub(requests.saturating_sub(1));
                    }
                    Job::Statuses => self.statuses_given_up = false,
                    Job::Queues => self.names_lacking = 0,
                    Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => {}
                }
            }
            Ending::Unpaid | Ending::Beside => self.attempts(job).in_flight = false,
            Ending::Badly(Fault::BadToken) => {
                self.attempts(job).in_flight = false;
                self.token_failures += 1;
                self.token_not_before =
                    now + backoff(self.token_failures, MAX_ACCOUNT_BACKOFF, jitter);
            }
            // The budget keeps the pause, and its next refusal gives the length.
            Ending::Badly(Fault::Throttled { .. } | Fault::BudgetSpent { .. }) => {
                self.attempts(job).in_flight = false
            }
            // The list was read.
            Ending::Badly(Fault::NoSuchQueue(_)) if job == Job::Queues => {
                self.token_failures = 0;
                self.names.succeed(now);
                self.names_lacking = self.names_lacking.saturating_add(1);
            }
            Ending::Badly(fault) => {
                self.token_failures = 0;
                self.attempts(job).fail(now, MAX_QUEUE_BACKOFF, jitter);
                if job == Job::Statuses {
                    self.statuses_failed(fault);
                }
            }
        }
    }

    /// Records that a queue's polls failed only because the whole account had a fault, which has ended. Then they count as if they had not been sent: the
    /// queue is as overdue as its data is old, and one about which nothing is known comes first.
    ///
    /// That happens once until its own next success: some broken queues can look like a fault of the account again and again.
    pub fn failures_were_not_its_own(&mut self, place: usize) {
        let queue = &mut self.queues[place];
        let attempts = &mut queue.attempts;
        if attempts.is_forgiven {
            return;
        }
        attempts.is_forgiven = attempts.failures > 0;
        let is_unread = attempts.failures > 0 && attempts.last_success.is_none();
        (attempts.failures, attempts.not_before) = (0, Duration::ZERO);
        if attempts.in_flight {
            return;
        }
        attempts.last_start = attempts.last_success;
        if is_unread {
            self.poll_anew(place);
        }
    }

    fn statuses_failed(&mut self, fault: &Fault) {
        let hopeless =
            matches!(fault, Fault::NoPermission) || self.statuses.failures >= STATUSES_TRIES;
        self.statuses_given_up |= hopeless && self.statuses.last_success.is_none();
    }

    /// Records that no permit is available for this long.
    pub fn refused(&mut self, wait: Duration, now: Duration) {
        self.empty_buckets(now);
        self.not_before = now + wait;
    }

    fn attempts(&mut self, job: Job) -> &mut Attempts {
        match job {
            Job::Queues => &mut self.names,
            Job::Statuses => &mut self.statuses,
            Job::Poll(queue) => &mut self.queues[queue].attempts,
            Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => {
                &mut self.sweeping.attempts
            }
        }
    }

    /// Returns whether a job is running.
    pub fn is_under_way(&self, job: Job) -> bool {
        match job {
            Job::Queues => self.names.in_flight,
            Job::Statuses => self.statuses.in_flight,
            Job::Poll(queue) => self.queues[queue].attempts.in_flight,
            Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => {
                self.sweeping.attempts.in_flight && self.status_job() == job
            }
        }
    }

    /// Returns whether CallTools refused the token at the last request.
    pub fn is_token_refused(&self) -> bool {
        self.token_failures > 0
    }

    /// Tries the token at once with a single request, because it may have changed or be accepted again.
    pub fn try_token(&mut self) {
        self.token_not_before = Duration::ZERO;
    }
}
