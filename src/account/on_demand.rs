//! Handles requests from outside: a refresh from the reserve, or a fresher answer for a caller that waits.

use tokio::task::JoinSet;

use super::{Account, Ask, ask::Waiter, job::Done, schedule::Job};
use crate::{
    budget::{Permit, Purpose},
    decision::{board::QueueKey, staleness::Staleness},
    model::fault::{Down, Fault},
};

/// With a bucket of permits this full, a poll of the queue itself is better than a sweep, because it also renews the membership.
const PLENTY: f64 = 0.8;

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
        if self.schedule.statuses_take_long(now) {
            return; // Waiting callers would use up the requests that renew the statuses of all queues.
        }
        self.schedule.asked_to_wait(now);
        let statuses = self.schedule.statuses_at_once(place, now);
        let statuses = statuses.filter(|_| staleness.is_about_statuses());
        if let Some(statuses) = statuses.filter(|job| self.schedule.is_under_way(*job)) {
            return self.wait_for(statuses, waiter);
        }
        let fill = self.deps.budget.fill();
        let job = statuses.filter(|_| fill < PLENTY).unwrap_or(poll);
        if !staleness.is_worth_a_permit(fill) || !self.schedule.may_ask(job, now) {
            return;
        }
        if let Ok(permit) = self.deps.budget.permit(Purpose::Poll).await {
            self.begin(job, Purpose::Poll, permit, waiter, jobs);
        }
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
        self.ids[place].map(|_| place)
    }
}
