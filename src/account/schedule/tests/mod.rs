//! Plays hours of slots without a network: every request is answered at once.

mod cold_start;
mod demand;
mod idle_and_saving;
mod next;
mod opening;
mod properties;
mod sweeps;

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{demand::*, due::*, jobs::*, retry::*, sweeping::*, turns::*, *};
use crate::{
    config::ScheduleOptions,
    model::fault::{Down, Fault},
};

/// A ration larger than the number of queues in any test.
const RATION: u32 = 1_000;
const PERIOD: Duration = Duration::from_secs(4);
const HOUR: Duration = Duration::from_secs(3600);
const START: Duration = Duration::from_secs(1_000);

/// A queue that is configured by its id, with custom criteria that sweeps renew.
const SHARED: Need = Need {
    id: false,
    statuses: false,
    alone: false,
    undated: false,
};
const ALONE: Need = Need {
    alone: true,
    ..SHARED
};
/// With sweeps, and never idle.
const LIVELY: ScheduleOptions = ScheduleOptions {
    sweep: true,
    idle_pace: 1.0,
};
const POLLS: ScheduleOptions = ScheduleOptions {
    sweep: false,
    ..LIVELY
};

fn idle(idle_pace: f64) -> ScheduleOptions {
    ScheduleOptions {
        idle_pace,
        ..LIVELY
    }
}

/// A played account: every request is answered at once.
struct Play {
    schedule: Schedule,
    now: Duration,
    /// The requests of a poll of each queue.
    pages: Vec<u32>,
    /// The pages of a sweep.
    sweep: u32,
    /// The pages of the lists of available agents, which are read at once, if statuses come from these.
    feed: Option<u32>,
    /// The pages of the next readings of the list of changes; those after that have one.
    changes: VecDeque<u32>,
    /// The polls of this many queues, the first ones, fail.
    failing: usize,
    log: Vec<(Duration, Job)>,
}

impl Play {
    fn new(queues: impl IntoIterator<Item = (Need, u32)>, options: ScheduleOptions) -> Self {
        let queues: Vec<_> = queues.into_iter().collect();
        Self {
            pages: queues.iter().map(|(_, pages)| *pages).collect(),
            schedule: Schedule::new(queues.into_iter().map(|(need, _)| need), options, RATION),
            now: START,
            sweep: 1,
            feed: None,
            changes: VecDeque::new(),
            failing: 0,
            log: Vec::new(),
        }
    }

    /// Returns an account after its cold start, with trusted sweeps.
    fn warm(queues: impl IntoIterator<Item = (Need, u32)>, options: ScheduleOptions) -> Self {
        let mut play = Self::new(queues, options);
        play.go(Duration::ZERO);
        play.schedule.trust();
        play.log.clear();
        play
    }

    /// Sets demand in these proportions.
    fn demand(mut self, demand: &[u64]) -> Self {
        self.schedule.asked(demand, self.now);
        self
    }

    fn go(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            match self.schedule.next(self.now) {
                Next::Start { job, .. } => self.perform(job),
                Next::Wait(_) if self.now >= end => return,
                Next::Wait(wait) => {
                    self.now = end.min(self.now + wait.max(Duration::from_millis(1)))
                }
            }
        }
    }

    fn perform(&mut self, job: Job) {
        self.log.push((self.now, job));
        self.schedule.started(job, self.now, PERIOD);
        let requests = self.requests(job);
        if let Job::Sweep(page) = job {
            let next = (page < self.sweep).then_some(page + 1);
            self.schedule.swept(page, next);
        }
        if let (Job::Available(_, page), Some(pages)) = (job, self.feed) {
            self.ask_for_available(if page < pages { page + 1 } else { 1 });
        }
        if let Job::Delta(page) = job {
            let is_last = page >= self.changes.front().copied().unwrap_or(1);
            if is_last {
                self.changes.pop_front();
            }
            let next = if is_last { 1 } else { page + 1 };
            let pages = self.schedule.status_pages();
            self.schedule
                .ask_next(Request::Delta(next), !is_last, Some(pages));
        }
        self.end(job, requests);
    }

    fn end(&mut self, job: Job, requests: u32) {
        let ending = match job {
            Job::Poll(queue) if queue < self.failing => Ending::Badly(&Fault::NoPermission),
            _ => Ending::Well { requests },
        };
        self.schedule.ended(job, ending, self.now, 0.0);
    }

    /// Requests this page of the lists of available agents next.
    fn ask_for_available(&mut self, page: u32) {
        let request = Request::Available { status: 1, page };
        self.schedule.ask_next(request, page > 1, self.feed);
    }

    fn requests(&self, job: Job) -> u32 {
        match job {
            Job::Poll(queue) => self.pages[queue],
            _ => 1,
        }
    }

    fn times(&self, of: impl Fn(Job) -> bool) -> Vec<Duration> {
        let log = self.log.iter().filter(|(_, job)| of(*job));
        log.map(|(at, _)| *at).collect()
    }

    fn spent(&self) -> u32 {
        self.log.iter().map(|(_, job)| self.requests(*job)).sum()
    }

    fn has_swept(&self) -> bool {
        self.log.iter().any(|(_, job)| matches!(job, Job::Sweep(_)))
    }
}

fn is_sweep(job: Job) -> bool {
    matches!(job, Job::Sweep(_))
}

fn gaps(times: &[Duration]) -> Vec<f64> {
    let pairs = times.windows(2);
    pairs
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn longest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Queues, their demand, the pages of a sweep, and the operator's settings.
type Case<'a> = (Vec<(Need, u32)>, &'a [u64], u32, ScheduleOptions);
