//! Publishes the account's knowledge on the board: snapshots, faults, and how old data may get.

use std::{sync::Arc, time::Duration};

use super::{Account, job};
use crate::{
    account::{plan, roster::Joined},
    config::{QueueRef, Rule},
    decision::{
        self,
        board::QueueKey,
        criteria::{Renewal, Tally},
        snapshot::Snapshot,
        staleness::hangs_on_membership,
    },
};

impl Account {
    /// Publishes a queue that was polled.
    pub(super) fn publish(&mut self, place: usize) {
        let Some(snapshot) = self.snapshot(place) else {
            return;
        };
        let key = &self.deps.queues[place].key;
        let was = self.deps.board.get(key).unwrap_or_default();
        if let (Err(mismatch), false) = (&snapshot.measured, measured_badly(&was.snapshot)) {
            tracing::warn!(queue = %key, %mismatch, "the criteria do not fit CallTools' rows, so its seats are unknown; correct the criteria");
        }
        self.deps
            .board
            .publish(key, snapshot, self.deps.clock.now());
        self.queues[place].shown = None;
    }

    /// Publishes newer statuses in all queues that were polled before. A queue whose own polls fail may be gone, so its data is not renewed.
    pub(super) fn renew_others(&mut self, polled: Option<usize>) {
        let others = (0..self.deps.queues.len()).filter(|place| Some(*place) != polled);
        for place in others {
            if self.is_failing(place) {
                continue;
            }
            let Some(joined) = self.join(place) else {
                continue;
            };
            let key = &self.deps.queues[place].key;
            let was = self.deps.board.snapshot(key);
            let snapshot = match was.and_then(|was| self.renewed(place, &was, &joined)) {
                Some(snapshot) => snapshot,
                None => self.measured(place, joined),
            };
            self.faults.renewed(place, snapshot.as_of);
            self.deps
                .board
                .renew(&self.deps.queues[place].key, snapshot);
        }
    }

    /// Returns the last snapshot with newer times if the queue's rows have not changed. In an account with 300 queues, that is the usual case.
    fn renewed(&self, place: usize, was: &Snapshot, joined: &Joined) -> Option<Snapshot> {
        let rule = &self.deps.queues[place].rule;
        let is_same = Arc::ptr_eq(&was.agents, &joined.agents) && !rule.reads_time();
        // What did not fit may fit now, because of what other rows or lists have shown.
        let is_same = is_same && was.measured.is_ok();
        if !is_same {
            return None;
        }
        let mut snapshot = Snapshot {
            as_of: job::as_of(joined, rule),
            rows_as_of: joined.everybody_seen,
            members_as_of: joined.members_as_of,
            took: joined.took,
            complete: joined.complete,
            agents: Arc::clone(&was.agents),
            threshold: self.deps.queues[place].threshold,
            measured: was.measured.clone(),
            outlook: None,
        };
        snapshot.outlook = self.outlook(place, &snapshot);
        Some(snapshot)
    }

    pub(super) fn snapshot(&mut self, place: usize) -> Option<Snapshot> {
        let joined = self.join(place)?;
        Some(self.measured(place, joined))
    }

    /// Returns the same without a new poll of the queue.
    pub(super) fn snapshot_between_polls(&mut self, place: usize) -> Option<Snapshot> {
        let rule = self.deps.queues[place].rule.clone();
        let joined = self.join_between_polls(&rule, place)?;
        Some(self.measured(place, joined))
    }

    /// Returns what another rule measures in the same queue. It makes no predictions.
    pub(super) fn snapshot_by(&mut self, rule: &Rule, place: usize) -> Option<Snapshot> {
        let joined = self.join_between_polls(rule, place)?;
        Some(self.snapshot_of(joined, rule))
    }

    /// Returns whether a queue's own polls fail, on this node or on the leader. It may be gone, so newer rows from other lists do not renew it. A new
    /// leader takes the last one's word until its own poll succeeds.
    pub(super) fn is_failing(&self, place: usize) -> bool {
        self.queues[place].failing_elsewhere || self.polls && self.faults.has_own(place)
    }

    /// Returns a queue's agents without a new poll: with their newest rows, unless its own polls fail.
    fn join_between_polls(&mut self, rule: &Rule, place: usize) -> Option<Joined> {
        match self.is_failing(place) {
            true => self.roster.as_polled(place),
            false => self.join_for(rule, place),
        }
    }

    fn snapshot_of(&self, joined: Joined, rule: &Rule) -> Snapshot {
        let snapshot = job::snapshot(joined, rule);
        let names = self.deps.names.borrow();
        job::without_a_guess(snapshot, rule, &names, self.roster.saw_available())
    }

    fn join(&mut self, place: usize) -> Option<Joined> {
        let rule = self.deps.queues[place].rule.clone();
        self.join_for(&rule, place)
    }

    /// Returns a queue's agents with the newest rows that this rule may use.
    fn join_for(&mut self, rule: &Rule, place: usize) -> Option<Joined> {
        match rule.renewal() {
            Renewal::Polls => self.roster.as_polled(place),
            // Rows that lists of available agents have left without a status would count as some other status.
            _ if rule.reads_reasons() && self.roster.lacks_reasons(place) => {
                self.roster.as_polled(place)
            }
            Renewal::Rows | Renewal::Statuses => self.roster.join(place),
        }
    }

    /// Takes over the seats that are held under the queue's id. An earlier config named the queue so, and may not have known its name.
    fn inherit_seats(&self, place: usize) {
        let queue = &self.deps.queues[place];
        let (QueueRef::Name(_), Some(id)) = (&queue.reference, self.queues[place].id) else {
            return;
        };
        let by_id = QueueKey::new(Arc::clone(&self.name), id.to_string());
        let reservations = &self.deps.reservations;
        // In a cluster, another node may name the queue by its id.
        if !reservations.have(&by_id) || self.deps.cluster.is_some() {
            return;
        }
        let is_another = self.deps.queues.iter().any(|one| one.key == by_id);
        if !is_another {
            reservations.carry(&[(by_id.clone(), queue.key.clone())]);
            reservations.drop_names(&[by_id]);
        }
    }

    fn measured(&mut self, place: usize, joined: Joined) -> Snapshot {
        // Before each result is shown, because seats of an earlier process may be restored late: it must not accept a call with a seat that is held.
        self.inherit_seats(place);
        let queue = &self.deps.queues[place];
        let tally = joined.tally;
        let mut snapshot = self.snapshot_of(joined, &queue.rule);
        snapshot.threshold = queue.threshold;
        let at_edge = hangs_on_membership(&snapshot.measured, queue.threshold, || {
            tally
                .unwrap_or_else(|| Tally::of(&snapshot.agents))
                .may_grow()
        });
        self.schedule.at_edge(place, at_edge);
        snapshot.outlook = self.outlook(place, &snapshot);
        snapshot
    }

    /// Sets the maximum age of data for queues whose config has none. It follows from how often data can be renewed.
    pub(super) fn plan(&mut self) {
        let period = self.deps.budget.usual_period();
        let expected = self.schedule.expected_evenly(period);
        let turns = expected.iter().map(|expected| expected.members).max();
        let members_max_age = plan::members_max_age(turns.unwrap_or_default());
        let turns = expected.iter().map(|expected| expected.members);
        self.opening.set_leads(turns, self.deps.options.idle_pace);
        let mut tightest = Duration::MAX;
        let is_swept = self.schedule.is_swept();
        for (place, (queue, expected)) in self.deps.queues.iter().zip(expected).enumerate() {
            let is_fed = is_swept && !self.schedule.is_polled_alone(place);
            // The status of an agent whom a reading hides is as old as the reading before.
            let behind = match is_fed && self.feeds.may_hide() {
                true => expected.statuses,
                false => Duration::ZERO,
            };
            let planned = plan::default_max_age(expected.statuses, behind);
            let state = self.deps.board.get(&queue.key).unwrap_or_default();
            // The leader tells a follower how often it renews data, and only once.
            if self.polls || state.planned_max_age.is_zero() {
                self.deps.board.plan(&queue.key, planned, members_max_age);
            }
            self.deps.board.set_max_age(&queue.key, queue.max_age);
            let on_demand = self.schedule.is_on_demand();
            self.deps.board.set_on_demand(&queue.key, on_demand);
            self.faults.set_fed(place, is_fed);
            let max_age = queue.max_age.unwrap_or(planned);
            tightest = tightest.min(max_age.saturating_sub(behind));
        }
        let bound = members_max_age.max(decision::MIN_MEMBERS_AGE);
        self.schedule.bounded_by(tightest, bound);
        self.show_feed();
    }

    /// Publishes the factor by which requests are further apart because nobody asks.
    pub(super) fn show_idle(&self, idle: Option<f64>) {
        self.deps.health.send_if_modified(|health| {
            let was = std::mem::replace(&mut health.idle, idle);
            was != idle
        });
    }

    /// Drops the prediction for a queue, because it may no longer be true.
    pub(super) fn forget_outlook(&self, place: usize) {
        let (board, key) = (&self.deps.board, &self.deps.queues[place].key);
        let shown = board.snapshot(key);
        if let Some(shown) = shown.filter(|shown| shown.outlook.is_some()) {
            let mut snapshot = Snapshot::clone(&shown);
            snapshot.outlook = None;
            board.renew(key, snapshot);
        }
    }

    /// Publishes a new threshold with the count that is shown.
    pub(super) fn show_threshold(&self, place: usize) {
        let (board, queue) = (&self.deps.board, &self.deps.queues[place]);
        if let Some(shown) = board.snapshot(&queue.key) {
            let mut snapshot = Snapshot::clone(&shown);
            snapshot.threshold = queue.threshold;
            board.renew(&queue.key, snapshot);
        }
    }

    /// Publishes and logs changes of faults. A queue whose own polls fail is not renewed, so what it predicts would outlast any doubt about its agents.
    pub(super) fn show_faults(&mut self) {
        let now = self.deps.clock.now();
        for place in 0..self.deps.queues.len() {
            if self.is_failing(place) {
                self.forget_outlook(place);
            }
            let fault = self.faults.of_queue(place);
            if self.queues[place].shown.as_ref() != fault {
                let fault = fault.cloned();
                self.deps
                    .board
                    .fault(&self.deps.queues[place].key, fault.clone());
                self.queues[place].shown = fault;
            }
        }
        let present = self.faults.present().cloned();
        self.deps.health.send_if_modified(|health| {
            let changed = health.fault != present;
            health.fault = present;
            changed
        });
        let queues = &self.deps.queues;
        self.faults.log(|place| queues[place].key.clone(), now);
    }
}

fn measured_badly(snapshot: &Option<Arc<Snapshot>>) -> bool {
    snapshot
        .as_ref()
        .is_some_and(|snapshot| snapshot.measured.is_err())
}
