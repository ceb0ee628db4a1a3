//! Taking in what CallTools answered: names, polls and sweeps become what the board shows; faults are told to whom they concern.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    Account, RefreshError,
    job::{self, Done, Outcome},
};
use crate::{
    calltools::{AgentId, Everybody, Fault, Harvest, Notes, Setback},
    clock::Moment,
    config::{QueueRef, Rule},
    decision,
    doubt::hangs_on_membership,
    names::Names,
    plan,
    schedule::{Ending, Job},
    snapshot::Snapshot,
    sweep::{SweptPage, Verdict},
};

/// So many sweeps may fail in a row while queues can be polled, with the waits in between for about half a minute: longer, and the answers
/// are too old for what sweeps have promised.
const SWEEP_FAILURES: u32 = 3;

impl Account {
    pub(super) fn ended(&mut self, done: Done) {
        let Done { job, outcome } = done;
        let result = self.take_in(job, outcome);
        self.end_reservations();
        let ending = match &result {
            Ok(requests) => Ending::Well {
                requests: *requests,
            },
            Err(Setback::Fault(fault)) => Ending::Badly(fault),
            Err(Setback::Refused(_)) => Ending::Unpaid,
        };
        let now = self.now();
        self.schedule.ended(job, ending, now, fastrand::f64());
        if let (Job::Poll(_), Ok(_)) = (job, &result) {
            self.plan(); // It may have taken more requests than before.
        }
        if let Err(Setback::Refused(refusal)) = &result {
            self.refused(*refusal);
        }
        let told = result.map(|_| ()).map_err(|setback| match setback {
            Setback::Fault(fault) => RefreshError::Failed(fault),
            Setback::Refused(refusal) => RefreshError::Refused(refusal),
        });
        for waiter in self.waiters.remove(&job).unwrap_or_default() {
            waiter.tell(told.clone());
        }
    }

    /// Takes in what a job brought; returns the number of requests it took.
    fn take_in(&mut self, job: Job, outcome: Outcome) -> Result<u32, Setback> {
        let failed = match outcome {
            Outcome::Queues(Ok(queues)) => {
                self.take_in_names(|names| names.queues = Some(queues));
                // One request is what these lists take: they have a page of 250 entries.
                return self.resolve().map_or(Ok(1), |fault| Err(fault.into()));
            }
            Outcome::Statuses(Ok(statuses)) => {
                self.take_in_names(|names| names.statuses = Some(statuses));
                return Ok(1);
            }
            Outcome::Agents(place, Ok(harvest)) => return Ok(self.take_in_poll(place, harvest)),
            Outcome::Everybody(page, Ok(everybody)) => {
                self.take_in_sweep(page, everybody);
                return Ok(1);
            }
            Outcome::Queues(Err(setback)) | Outcome::Statuses(Err(setback)) => setback,
            Outcome::Agents(_, Err(setback)) | Outcome::Everybody(_, Err(setback)) => setback,
        };
        if let Setback::Fault(fault) = &failed {
            self.tell(job, &Arc::new(fault.clone()));
        }
        Err(failed)
    }

    /// Whoever is no longer available has taken a call: the seat that was held for it is not needed any more. The board shows the agent
    /// gone already, so that no seat looks open for a moment in between.
    fn end_reservations(&mut self) {
        for (places, at) in self.roster.take_departures() {
            let key = |place: usize| self.parts.queues[place].key.clone();
            let queues: Vec<_> = places.into_iter().map(key).collect();
            let now = self.parts.clock.now();
            if self.parts.reservations.departed(&queues, at, now).is_some() {
                self.parts.board.touch();
            }
        }
    }

    fn take_in_names(&mut self, change: impl FnOnce(&mut Names)) {
        let mut names = Names::clone(&self.parts.names.borrow());
        change(&mut names);
        if let Some(store) = &self.parts.store {
            store.keep_names(&self.parts.payer, &names, self.parts.clock.now());
        }
        self.parts.names.send_replace(Arc::new(names));
    }

    /// Looks up the ids of the queues that are configured by name; returns why one of them has none.
    pub(super) fn resolve(&mut self) -> Option<Fault> {
        let names = Arc::clone(&self.parts.names.borrow());
        let mut unresolved = None;
        for place in 0..self.parts.queues.len() {
            match id_of(&self.parts.queues[place].reference, &names) {
                None => {}
                Some(Ok(id)) => self.identify(place, id, &names),
                Some(Err(fault)) => {
                    self.fail(place, &Arc::new(fault.clone()));
                    unresolved = Some(fault);
                }
            }
        }
        unresolved
    }

    fn identify(&mut self, place: usize, id: u64, names: &Names) {
        let name = names.queue_name(id).map(Arc::from);
        self.parts
            .board
            .identify(&self.parts.queues[place].key, id, name);
        self.ids[place] = Some(id);
        self.schedule.id_known(place);
    }

    pub(super) fn restore_names(&mut self) {
        let now = self.parts.clock.now();
        let stored = self
            .parts
            .store
            .as_ref()
            .and_then(|store| store.names(&self.parts.payer, now));
        let Some((names, age)) = stored else { return };
        if names.statuses.is_some() {
            self.schedule.statuses_known(age, now.boot);
        }
        self.parts.names.send_replace(Arc::new(names));
    }

    fn take_in_poll(&mut self, place: usize, harvest: Harvest) -> u32 {
        let Harvest {
            as_of,
            took,
            rows,
            complete,
            notes,
            requests,
        } = harvest;
        self.note(place, complete, rows.len(), &notes);
        if let Some(doubt) = self.sweep.compare(&rows, as_of, &self.roster) {
            self.distrust(doubt.sentence());
        }
        self.polled_since_failed_sweep = true;
        self.roster.poll(place, as_of, took, complete, rows);
        self.keep_poll(place);
        self.publish(place);
        self.recover(None);
        self.renew_others(Some(place));
        requests
    }

    /// Says what should not stay unsaid about a poll.
    fn note(&mut self, place: usize, complete: bool, agents: usize, notes: &Notes) {
        let key = &self.parts.queues[place].key;
        if !complete {
            self.parts.metrics.incomplete_snapshot(key);
            tracing::warn!(queue = %key, agents, "CallTools' count does not fit the rows it sent; published as incomplete");
        }
        if notes.skipped > 0 {
            self.parts.metrics.skipped_rows(key, notes.skipped as u64);
            tracing::warn!(queue = %key, rows = notes.skipped, "rows could not be read and are left out");
        }
        if notes.queue_login_assumed && !self.login_assumed {
            self.login_assumed = true;
            tracing::warn!(queue = %key, "rows have no queue_logged_in; logged_in is taken for it");
        }
        if !notes.unknown_statuses.is_empty() {
            self.schedule.saw_unknown_status();
        }
    }

    fn take_in_sweep(&mut self, page: u32, everybody: Everybody) {
        if self.schedule.is_distrustful(self.now()) {
            return; // It was under way when sweeps were found wanting.
        }
        let Everybody {
            as_of,
            agents,
            next,
            notes,
        } = everybody;
        if !notes.unknown_statuses.is_empty() {
            self.schedule.saw_unknown_status();
        }
        self.hurry_queues_of_those_who_came(
            agents
                .iter()
                .map(|agent| (&agent.id, agent.logged_in))
                .collect(),
        );
        let was_trusted = self.sweep.is_trusted();
        let swept = SweptPage {
            as_of,
            page,
            last: next.is_none(),
            agents,
        };
        self.schedule.swept(page, next);
        match self.sweep.take(swept, &mut self.roster) {
            Verdict::Doubted(doubt) => return self.distrust(doubt.sentence()),
            Verdict::Kept => return,
            Verdict::Taken if !was_trusted => {
                tracing::info!(
                    account = &*self.name,
                    "sweeps of the whole account agree with its queues and are used"
                );
                self.schedule.trust();
                self.parts.sweeping.send_replace(true);
            }
            Verdict::Taken => {}
        }
        let outage = self.last_sweep.filter(|_| self.sweep_failed);
        self.recover(outage);
        (self.last_sweep, self.sweep_failed) = (Some(as_of), false);
        self.sweeps_failed_alone = 0;
        for place in self.queues_of(self.sweep.missed()) {
            self.schedule.look_for_missing(place);
        }
        self.plan();
        self.renew_others(None);
        self.keep_statuses_now_and_then();
    }

    /// People log in to their queues when they have come online.
    fn hurry_queues_of_those_who_came(&mut self, seen: Vec<(&AgentId, bool)>) {
        let came = |(id, logged_in): &(&AgentId, bool)| {
            let known = self.roster.newest(id);
            *logged_in && known.is_some_and(|known| !known.agent.logged_in)
        };
        let came: Vec<AgentId> = seen
            .into_iter()
            .filter(came)
            .map(|(id, _)| id.clone())
            .collect();
        for place in self.queues_of(came.iter()) {
            self.schedule.hurry(place);
        }
    }

    fn queues_of<'a>(&self, agents: impl Iterator<Item = &'a AgentId>) -> HashSet<usize> {
        let agents: HashSet<&AgentId> = agents.collect();
        if agents.is_empty() {
            return HashSet::new();
        }
        let members = self
            .roster
            .members()
            .filter(|(_, agent)| agents.contains(&agent.id));
        members.map(|((place, _), _)| place).collect()
    }

    /// CallTools has answered: faults of the whole account are over, even for queues whose own turn is yet to come. A sweep that ends an
    /// `outage`, with the last good one before it, also ends what queues have suffered from it.
    fn recover(&self, outage: Option<Moment>) {
        for queue in &self.parts.queues {
            let state = self.parts.board.get(&queue.key).unwrap_or_default();
            let over = match state.fault.as_deref() {
                Some(Fault::BadToken | Fault::Throttled { .. } | Fault::BudgetSpent { .. }) => true,
                Some(Fault::UpstreamDown { .. }) => outage
                    .zip(state.failing_since)
                    .is_some_and(|(outage, since)| since.boot >= outage.boot),
                _ => false,
            };
            if over {
                self.parts.board.recover(&queue.key);
            }
        }
    }

    /// CallTools did not answer a sweep. If it answers polls all the same, again and again, it is of no use to wait for sweeps.
    fn sweep_failed(&mut self) {
        self.sweep_failed = true;
        self.sweeps_failed_alone = if std::mem::take(&mut self.polled_since_failed_sweep) {
            self.sweeps_failed_alone + 1
        } else {
            0
        };
        if self.sweeps_failed_alone > SWEEP_FAILURES {
            self.distrust(
                "the account's list of agents cannot be read, and those of its queues can",
            );
        }
    }

    /// From now on queue polls alone, and nothing of what sweeps said.
    fn distrust(&mut self, why: &str) {
        let now = self.now();
        if self.schedule.is_distrustful(now) {
            return; // What was under way says the same again.
        }
        self.sweeps_failed_alone = 0;
        self.schedule.distrust(now);
        self.parts.sweeping.send_replace(false);
        self.sweep.reset();
        self.roster.forget_sweeps();
        self.unkeep_statuses();
        self.parts.metrics.sweep_distrusted(&self.name);
        tracing::warn!(
            account = &*self.name,
            why,
            "sweeps of the whole account are not used; queues are polled one by one"
        );
        self.plan();
        self.renew_others(None);
    }

    /// Publishes a queue that was polled.
    fn publish(&mut self, place: usize) {
        let Some(snapshot) = self.snapshot(place) else {
            return;
        };
        let key = &self.parts.queues[place].key;
        let was = self.parts.board.get(key).unwrap_or_default();
        if let (Err(mismatch), false) = (&snapshot.measured, measured_badly(&was.snapshot)) {
            tracing::warn!(queue = %key, %mismatch, "the criteria do not fit what CallTools sent: unknown");
        }
        self.parts
            .board
            .publish(key, snapshot, self.parts.clock.now());
        if let Some(fault) = &was.fault {
            tracing::info!(queue = %key, after = %fault, "polled again");
        }
    }

    /// Newer statuses are known: they count in every queue that was polled before.
    fn renew_others(&mut self, polled: Option<usize>) {
        let others = (0..self.parts.queues.len()).filter(|place| Some(*place) != polled);
        for place in others {
            if let Some(snapshot) = self.snapshot(place) {
                self.parts
                    .board
                    .renew(&self.parts.queues[place].key, snapshot);
            }
        }
    }

    pub(super) fn snapshot(&mut self, place: usize) -> Option<Snapshot> {
        let rule = &self.parts.queues[place].rule;
        let joined = match rule {
            Rule::Custom(criteria) if !criteria.is_renewed_by_statuses() => {
                self.roster.as_polled(place)
            }
            _ => self.roster.join(place),
        };
        let snapshot = job::snapshot(joined?, rule);
        let threshold = self.parts.queues[place].threshold;
        self.schedule
            .at_edge(place, hangs_on_membership(&snapshot, threshold));
        Some(snapshot)
    }

    /// How old knowledge may get, where the config does not say, follows from how often it can be renewed.
    pub(super) fn plan(&mut self) {
        let period = self.parts.budget.usual_period();
        let expected = self.schedule.expected_evenly(period);
        let turns = expected.iter().map(|expected| expected.members).max();
        let members_max_age = plan::members_max_age(turns.unwrap_or_default());
        let mut tightest = Duration::MAX;
        for (queue, expected) in self.parts.queues.iter().zip(expected) {
            let planned = plan::default_max_age(expected.statuses);
            self.parts.board.plan(&queue.key, planned, members_max_age);
            tightest = tightest.min(queue.max_age.unwrap_or(planned));
        }
        let bound = members_max_age.max(decision::MEMBERS_LIVE);
        self.schedule.bounded_by(tightest, bound);
    }

    /// Tells whom a fault concerns: one queue, or all that wait for the same thing.
    fn tell(&mut self, job: Job, fault: &Arc<Fault>) {
        if matches!(**fault, Fault::BadToken)
            && let Some(token) = &self.parts.token
        {
            token.read_again();
        }
        match (job, &**fault) {
            (_, Fault::BadToken | Fault::Throttled { .. } | Fault::BudgetSpent { .. }) => {
                self.fail_all(fault)
            }
            (Job::Poll(place), Fault::NoSuchQueue(_)) => {
                if self.parts.queues[place].need().id {
                    self.schedule.id_refused(place);
                }
                self.fail(place, fault);
            }
            (Job::Poll(place), _) => self.fail(place, fault),
            (Job::Queues | Job::Statuses, _) => self.fail_waiting(fault),
            (Job::Sweep(_), fault) if is_refusal(fault) => self.distrust(&fault.to_string()),
            // Whether CallTools is down, the next poll of a queue tells.
            (Job::Sweep(_), _) => self.sweep_failed(),
        }
    }

    /// A list could not be read: that is why the queues that need it have no snapshot.
    fn fail_waiting(&self, fault: &Arc<Fault>) {
        for place in 0..self.parts.queues.len() {
            let state = self.parts.board.get(&self.parts.queues[place].key);
            if state.is_some_and(|state| state.snapshot.is_none()) {
                self.fail(place, fault);
            }
        }
    }

    pub(super) fn fail_all(&self, fault: &Arc<Fault>) {
        (0..self.parts.queues.len()).for_each(|place| self.fail(place, fault));
    }

    fn fail(&self, place: usize, fault: &Arc<Fault>) {
        let key = &self.parts.queues[place].key;
        let was = self
            .parts
            .board
            .get(key)
            .and_then(|state| state.fault.clone());
        if was.is_none_or(|was| was.word() != fault.word()) {
            tracing::warn!(queue = %key, fault = fault.word(), advice = fault.advice(), "{fault}");
        }
        self.parts
            .board
            .fail(key, Arc::clone(fault), self.parts.clock.now());
    }
}

/// The id behind a reference, if it can be told yet; an error if it can be told that there is none.
pub(crate) fn id_of(reference: &QueueRef, names: &Names) -> Option<Result<u64, Fault>> {
    match reference {
        QueueRef::Id(id) => Some(Ok(*id)),
        QueueRef::Name(_) if names.queues.is_none() => None,
        QueueRef::Name(name) => Some(names.resolve(name).map_err(Fault::NoSuchQueue)),
    }
}

/// Whether CallTools said that it does not give the list of everybody, rather than failed to.
fn is_refusal(fault: &Fault) -> bool {
    use crate::calltools::Down;
    let refused = [
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

fn measured_badly(snapshot: &Option<Arc<Snapshot>>) -> bool {
    snapshot
        .as_ref()
        .is_some_and(|snapshot| snapshot.measured.is_err())
}
