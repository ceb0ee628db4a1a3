//! Handles requests from outside: a refresh from the reserve, or a fresher answer for a caller that waits.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Account, Ask, ask::Waiter, job::Done, schedule::Job};
use crate::{
    budget::{Permit, Purpose},
    decision::{board::QueueKey, staleness::Staleness},
    model::fault::{Down, Fault},
};

/// The requests of the hour that polls on demand do not use: the reserve, and a few for names and for the background meanwhile.
const LEFT_ALONE: u32 = 60;

impl Account {
    pub(super) async fn asked(&mut self, ask: Ask, jobs: &mut JoinSet<Done>) {
        match ask {
            Ask::Refresh { queue, reply } => {
                self.refresh(&queue, Waiter::Refresh(reply), jobs).await
            }
            Ask::Fresh {
                queue,
                staleness,
                reply,
            } => {
                self.freshen(&queue, staleness, Waiter::Fresh(reply), jobs)
                    .await
            }
            Ask::TryToken => self.schedule.try_token(),
            Ask::Known { reply } => drop(reply.send(self.known())),
            Ask::Take(terms) => self.take_terms(*terms),
        }
    }

    /// Counts questions that wait: in small accounts the budget may pay for a poll for each. Not in a cluster, where no node counts the questions of
    /// all nodes.
    pub(super) fn count_waiting(&mut self, asked: u64, now: Duration) {
        if self.deps.cluster.is_some() {
            return;
        }
        let patient = self.count_patient();
        let new = patient.saturating_sub(std::mem::replace(&mut self.patient, patient));
        let was = self.schedule.is_on_demand();
        let per_hour = 3_600.0 / self.deps.budget.usual_period().as_secs_f64();
        self.schedule.counted(asked, new, per_hour, now);
        let on_demand = self.schedule.is_on_demand();
        if was != on_demand {
            let account = &*self.name;
            if on_demand {
                tracing::info!(account, "each request with `fresh` gets its own poll");
            } else {
                tracing::info!(
                    account,
                    "a request with `fresh` no longer gets its own poll"
                );
            }
            self.plan();
        }
    }

    pub(super) fn count_patient(&self) -> u64 {
        let patient = self.queues.iter().map(|queue| queue.meters.patient());
        patient.sum()
    }

    /// Polls a queue now, from the reserve. A running poll serves all callers that ask meanwhile.
    pub(super) async fn refresh(
        &mut self,
        queue: &QueueKey,
        waiter: Waiter,
        jobs: &mut JoinSet<Done>,
    ) {
        let Some(place) = self.place(queue) else {
            let state = self.deps.board.get(queue);
            let fault = state.and_then(|state| state.fault.as_deref().cloned());
            let unknown = || Fault::down(Down::TimeOut, "the queue's id is not known yet");
            return self.tell_waiter(waiter, Err(fault.unwrap_or_else(unknown).into()));
        };
        let job = Job::Poll(place);
        if self.schedule.is_under_way(job) {
            return self.wait_for(job, waiter);
        }
        match self.deps.budget.permit(Purpose::OnDemand).await {
            Ok(permit) => self.begin(job, Purpose::OnDemand, permit, waiter, jobs),
            Err(refusal) => self.tell_waiter(waiter, Err(refusal.into())),
        }
    }

    /// Gets a fresher answer for a caller that waits, if the answer is worth a permit and one is available. Callers that wait together share it.
    pub(super) async fn freshen(
        &mut self,
        queue: &QueueKey,
        staleness: Staleness,
        waiter: Waiter,
        jobs: &mut JoinSet<Done>,
    ) {
        let now = self.now();
        let Some(place) = self.place(queue) else {
            return self.schedule.asked_to_wait(now);
        };
        let poll = Job::Poll(place);
        if self.schedule.is_under_way(poll) {
            return self.wait_for(poll, waiter);
        }
        if self.schedule.is_on_demand() && self.can_spare_a_poll() {
            return self.send_for(poll, Purpose::Unpaced, waiter, jobs).await;
        }
        if self.schedule.statuses_take_long(now) {
            return; // Waiting callers would use up the requests that renew the statuses of all queues.
        }
        self.schedule.asked_to_wait(now);
        let statuses = self.schedule.statuses_at_once(place, now);
        let statuses = statuses.filter(|_| staleness.is_about_statuses());
        if let Some(statuses) = statuses.filter(|job| self.schedule.is_under_way(*job)) {
            return self.wait_for(statuses, waiter);
        }
        if let Some(job) = self.schedule.worth(place, staleness, now) {
            self.send_for(job, Purpose::Poll, waiter, jobs).await;
        }
    }

    /// Sends a request for a caller that waits, if there is a permit.
    async fn send_for(
        &mut self,
        job: Job,
        purpose: Purpose,
        waiter: Waiter,
        jobs: &mut JoinSet<Done>,
    ) {
        if !self.schedule.may_ask(job, self.now()) {
            return;
        }
        match self.deps.budget.permit(purpose).await {
            Ok(permit) => self.begin(job, purpose, permit, waiter, jobs),
            Err(_) => self.schedule.empty_buckets(self.now()),
        }
    }

    fn can_spare_a_poll(&self) -> bool {
        let usage = self.deps.budget.usage();
        usage.used + LEFT_ALONE <= usage.limit
    }

    fn begin(
        &mut self,
        job: Job,
        purpose: Purpose,
        permit: Permit,
        waiter: Waiter,
        jobs: &mut JoinSet<Done>,
    ) {
        self.schedule.begun(job, self.now());
        self.wait_for(job, waiter);
        self.spawn(jobs, job, purpose, permit);
    }

    fn wait_for(&mut self, job: Job, waiter: Waiter) {
        self.waiters.entry(job).or_default().push(waiter);
    }

    /// Returns the place of a queue in the config, if its id is known.
    pub(super) fn place(&self, queue: &QueueKey) -> Option<usize> {
        let place = self
            .deps
            .queues
            .iter()
            .position(|polled| polled.key == *queue)?;
        self.queues[place].id.map(|_| place)
    }
}
