//! Handles failures of jobs: which fault they show, and what to read instead.

use std::sync::Arc;

use super::{Account, faults::Asked, feeding::feed_beside_sweeps};
use crate::{
    account::schedule::Job,
    clock::Moment,
    model::fault::{Down, Fault, NoSuchQueue},
};

impl Account {
    /// Records why a job failed, which began at `begun`.
    pub(super) fn failed(&mut self, job: Job, fault: &Arc<Fault>, begun: Moment) {
        if let Job::Poll(place) = job
            && is_refused_id(fault)
        {
            self.schedule.doubt_name(place);
        }
        let fault = &self.fault_of(job, fault);
        let now = self.deps.clock.now();
        let is_whole = job == Job::Whole && !fault.kind().is_of_the_account();
        if is_whole && (is_refusal(fault) || !self.is_in_use(job)) {
            return self.whole_failed(fault, is_refusal(fault));
        }
        let concerns_only_sweeps = matches!(job, Job::Sweep(_)) && is_refusal(fault);
        if concerns_only_sweeps {
            return self.distrust(&fault.to_string());
        }
        if let (Some(feed), true) = (feed_beside_sweeps(job), is_refusal(fault)) {
            return self.feed_refused(feed);
        }
        if matches!(job, Job::Sweep(_)) && is_incomplete(fault) {
            // An earlier page was cut short, and reading the last one again would not bring its rows.
            self.schedule.sweep_from_the_start();
            if self.is_in_use(job) && self.feed_health.was_cut_short() {
                return self.distrust(&fault.to_string());
            }
        }
        if !self.is_in_use(job) && concerns_a_list_of_statuses(job, fault) {
            return self.failed_beside(job, fault);
        }
        self.faults.failed(asked(job), fault, now);
        if job.is_about_statuses() {
            self.feeds.interrupted();
            self.ask_next();
        }
        if concerns_a_list_of_statuses(job, fault) {
            self.statuses_failed(job, fault, begun);
        }
    }

    /// Returns a job's fault. While CallTools answers other requests, a 404 for one queue means that the queue is gone, not a wrong address.
    fn fault_of(&self, job: Job, fault: &Arc<Fault>) -> Arc<Fault> {
        match (job, &**fault) {
            (
                Job::Poll(place),
                Fault::UpstreamDown {
                    kind: Down::NotFound,
                    ..
                },
            ) if self.faults.is_answered() => {
                let id = self.queues[place].id.expect("a polled queue has an id");
                Arc::new(Fault::NoSuchQueue(NoSuchQueue::Id(id)))
            }
            _ => Arc::clone(fault),
        }
    }
}

/// Returns whether a failure concerns a list of statuses, rather than the whole account.
pub(super) fn concerns_a_list_of_statuses(job: Job, fault: &Fault) -> bool {
    job.is_about_statuses() && !fault.kind().is_of_the_account()
}

pub(super) fn asked(job: Job) -> Asked {
    match job {
        Job::Queues => Asked::Names,
        Job::Statuses => Asked::Statuses,
        Job::Poll(place) => Asked::Queue(place),
        Job::Sweep(_) | Job::Whole | Job::Delta(_) | Job::Available(..) => Asked::Feed,
    }
}

/// Returns whether a list has fewer rows than it says.
fn is_incomplete(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::UpstreamDown {
            kind: Down::Incomplete,
            ..
        }
    )
}

/// Returns whether this may mean that CallTools has no queue with this id.
fn is_refused_id(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::NoSuchQueue(_)
            | Fault::UpstreamDown {
                kind: Down::NotFound | Down::UnexpectedStatus,
                ..
            }
    )
}

/// Returns whether CallTools refuses the list of all agents, rather than failing to send it.
fn is_refusal(fault: &Fault) -> bool {
    let refused = [
        Down::NotFound,
        Down::UnexpectedStatus,
        Down::UnexpectedShape,
        Down::TooLarge,
    ];
    match fault {
        Fault::NoPermission | Fault::NoSuchQueue(_) => true,
        Fault::UpstreamDown { kind, .. } => refused.contains(kind),
        _ => false,
    }
}
