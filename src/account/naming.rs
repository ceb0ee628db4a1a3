//! Knows which queue a name means, and what each status does. Both lists are read every half hour, and sooner if they may have changed.
//!
//! If a name now means another queue, openseat follows the name and forgets the old queue. A name that no queue has is looked up repeatedly,
//! while the queue's data ages. Stored names that are too old are not used until they were read again, or reading them has failed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{Account, RefreshError, fault_of, job::Outcome};
use crate::{
    account::schedule::{Ending, Job, NAMES_LIVE},
    calltools::{RequestError, Row},
    clock::Moment,
    config::QueueRef,
    model::{
        fault::{Down, Fault},
        known::Poll,
        names::{NamedQueue, Names, Status},
    },
    state::store::Note,
};

/// What an account's task knows about its lists.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// When each list was last read.
    queues_read: Option<Moment>,
    statuses_read: Option<Moment>,
    /// Whether the names of queues are from an earlier run, and too old to use yet.
    is_stale: bool,
    /// An earlier task's polls, by queue id, until it is certain which queues the names mean.
    pub handed: HashMap<u64, Poll>,
    /// The queues, by id, whose own polls failed for an earlier task, until then.
    pub failing: BTreeSet<u64>,
    /// When an earlier task's last whole sweep was, until the queues are known.
    pub swept_before: Option<Moment>,
    /// Whether the log says that statuses are told apart by their names.
    guesses: bool,
}

impl Naming {
    /// Returns when the older of the lists was read.
    fn read(&self) -> Option<Moment> {
        let read = self.queues_read.into_iter().chain(self.statuses_read);
        read.min_by_key(|read| read.wall)
    }
}

/// The names with which a task starts.
#[derive(Debug)]
struct FirstNames {
    names: Names,
    age: Duration,
    /// Whether another task or the leader has used them. Then they stay in use until they are read again, however old they are.
    in_use: bool,
}

impl FirstNames {
    /// Chooses told names if it is known when they were read, and otherwise stored ones. Those are what this node read when it last led: if other
    /// names were told since, they are newer, although nobody knows how old.
    fn choose(
        told: &Names,
        told_read: Option<Moment>,
        stored: Option<(Names, Duration)>,
        now: Moment,
    ) -> Option<Self> {
        let is_told = told.queues.is_some() || told.statuses.is_some();
        if let Some(read) = told_read.filter(|_| is_told) {
            return Some(Self {
                names: told.clone(),
                age: now.longest_since(read),
                in_use: true,
            });
        }
        let (names, age) = stored?;
        let may_use = !is_told || names.to_json() == told.to_json();
        may_use.then_some(Self {
            names,
            age,
            in_use: false,
        })
    }
}

impl Account {
    /// Starts with the names that are told or stored. `told_read` is when an earlier task's names were read, if that is known.
    pub(super) fn restore_names(&mut self, told_read: Option<Moment>) {
        let now = self.deps.clock.now();
        let store = self.deps.store.as_ref();
        let stored = store.and_then(|store| store.names(&self.deps.owner, now));
        let told = Arc::clone(&self.deps.names.borrow());
        let first = FirstNames::choose(&told, told_read, stored, now);
        let Some(FirstNames { names, age, in_use }) = first else {
            // The age of names from another task or node is unknown.
            self.schedule.doubt_names();
            return;
        };
        let read = now.earlier(age);
        if names.statuses.is_some() {
            self.naming.statuses_read = Some(read);
            self.schedule.statuses_known(age, now.boot);
        }
        if names.queues.is_some() {
            let is_old = age >= NAMES_LIVE;
            self.naming.is_stale = is_old && !in_use;
            if is_old && in_use {
                self.schedule.doubt_names();
            }
            // If no queue is configured by name, the list is not read again, so its age does not matter.
            if self.has_names() {
                self.naming.queues_read = Some(read);
            }
            self.schedule.names_known(age, now.boot);
        }
        self.deps.names.send_replace(Arc::new(names));
    }

    /// Uses the names that the leader has told, which replace stored ones. They are those that it polls by. `read` is when it read them.
    pub(super) fn use_told_names(&mut self, read: Option<Moment>) {
        self.naming.is_stale = false;
        (self.naming.queues_read, self.naming.statuses_read) = (read, read);
        self.keep_names();
    }

    /// Returns when the older of the lists was read, if that is known and they are in use.
    pub(super) fn names_read(&self) -> Option<Moment> {
        self.naming.read().filter(|_| !self.naming.is_stale)
    }

    /// Returns whether the names of queues are too old to use yet.
    pub(super) fn are_names_stale(&self) -> bool {
        self.naming.is_stale
    }

    /// Applies the list of queues. Returns why a configured name has no queue.
    pub(super) fn take_in_queues(&mut self, queues: Vec<NamedQueue>) -> Option<Fault> {
        self.naming.queues_read = Some(self.deps.clock.now());
        self.take_in_names(|names| names.queues = Some(queues));
        self.naming.is_stale = false;
        let unresolved = self.resolve();
        self.plan();
        unresolved
    }

    /// Applies the list of statuses, and reads every row again with it.
    pub(super) fn take_in_statuses(&mut self, statuses: Vec<Status>) {
        self.naming.statuses_read = Some(self.deps.clock.now());
        let before = Arc::clone(&self.deps.names.borrow());
        for status in &statuses {
            self.log_changed_action(before.status_by_id(status.id), status);
        }
        self.take_in_names(|names| names.statuses = Some(statuses));
        let names = Arc::clone(&self.deps.names.borrow());
        self.rename_statuses(&before, &names);
        self.roster.read_again(&names);
        self.filter_by_ready_statuses();
        self.ask_next();
        self.renew_others(None);
    }

    /// Reads rows again that were read with other `names` than those of now: if `statuses/` was read while their job was under way, they would bring
    /// the old meanings back.
    pub(super) fn explain_again(&self, names: &Arc<Names>, outcome: &mut Outcome) {
        let now = Arc::clone(&self.deps.names.borrow());
        if Arc::ptr_eq(names, &now) {
            return;
        }
        let (agents, notes) = match outcome {
            Outcome::Agents(_, Ok(list)) => (&mut list.rows, &mut list.notes),
            Outcome::RosterPage(_, _, Ok(page)) => (&mut page.agents, &mut page.notes),
            _ => return,
        };
        for agent in agents {
            if let Some(read) = Row::explain(agent, &now) {
                *agent = read;
            }
        }
        // They are those that the old list lacked. Later rows show what the new one lacks.
        notes.unknown_statuses.clear();
    }

    /// Logs when the names of statuses begin to stand for what they do, because the list cannot be read, and when that ends.
    pub(super) fn report_guessing(&mut self, error: Option<&RequestError>) {
        let guesses = self.schedule.statuses_given_up();
        if guesses == self.naming.guesses {
            return;
        }
        self.naming.guesses = guesses;
        let account = &*self.name;
        let advice = error.map(|error| match error {
            RequestError::Fault(fault) => fault.advice(),
            RequestError::Refused(refusal) => fault_of(*refusal).advice(),
        });
        match guesses {
            true => tracing::warn!(
                account,
                error = error.map(tracing::field::display),
                advice,
                "statuses/ cannot be read, so a status counts as available only if its name is \"Available\"; openseat keeps trying"
            ),
            false => tracing::info!(
                account,
                "statuses/ was read, so statuses count by their actions again"
            ),
        }
    }

    fn log_changed_action(&self, before: Option<&Status>, status: &Status) {
        let Some(before) = before.filter(|before| before.is_ready() != status.is_ready()) else {
            return;
        };
        tracing::warn!(
            account = &*self.name,
            status = &*status.name,
            was = before.queue_action,
            now = status.queue_action,
            "the action of a status was changed in CallTools; its agents now count accordingly"
        );
    }

    fn take_in_names(&mut self, change: impl FnOnce(&mut Names)) {
        let mut names = Names::clone(&self.deps.names.borrow());
        change(&mut names);
        self.deps.names.send_replace(Arc::new(names));
        self.keep_names();
    }

    pub(super) fn keep_names(&self) {
        if let (Some(store), Some(read)) = (&self.deps.store, self.naming.read()) {
            let names = Arc::clone(&self.deps.names.borrow());
            store.keep(Note::Named(self.deps.owner.clone(), names, read));
        }
    }

    /// Uses stored names although they are too old, because the list of queues cannot be read.
    pub(super) fn fall_back_to_stored_names(&mut self) {
        if std::mem::take(&mut self.naming.is_stale) {
            self.schedule.doubt_names();
            self.resolve();
            self.plan();
        }
    }

    /// Finds the known ids of the queues. Returns why a queue has none. An earlier task's knowledge about a found queue is on the board before
    /// the queue is polled.
    pub(super) fn resolve(&mut self) -> Option<Fault> {
        let names = Arc::clone(&self.deps.names.borrow());
        let (mut unresolved, mut recalled) = (None, Vec::new());
        for place in 0..self.deps.queues.len() {
            if self.naming.is_stale && self.is_by_name(place) {
                continue;
            }
            match id_of(&self.deps.queues[place].reference, &names) {
                None => {}
                Some(Ok(id)) => {
                    let is_new = self.identify(place, id, &names);
                    self.queues[place].failing_elsewhere |=
                        is_new && self.naming.failing.contains(&id);
                    if let (true, Some(poll)) = (is_new, self.naming.handed.get(&id)) {
                        self.roster.recall_poll(place, poll.clone());
                        recalled.push(place);
                    }
                }
                Some(Err(fault)) => {
                    self.lose_id(place, &fault);
                    unresolved = Some(fault);
                }
            }
        }
        if self.is_certain(&names) {
            self.naming.handed.clear();
            self.naming.failing.clear();
            if let Some(swept) = self.naming.swept_before.take() {
                self.swept_before(swept);
            }
        }
        if !recalled.is_empty() {
            self.show_recalled(&recalled);
        }
        unresolved
    }

    /// Returns whether it is known which queue each name means.
    pub(super) fn is_certain(&self, names: &Names) -> bool {
        !self.has_names() || (!self.naming.is_stale && names.queues.is_some())
    }

    fn lose_id(&mut self, place: usize, fault: &Fault) {
        if self.queues[place].id.take().is_some() {
            self.schedule.id_lost(place);
        }
        let now = self.deps.clock.now();
        self.faults.not_found(place, &Arc::new(fault.clone()), now);
    }

    /// Sets the id of a queue. Returns whether it had another id, or none, before.
    fn identify(&mut self, place: usize, id: u64, names: &Names) -> bool {
        let key = &self.deps.queues[place].key;
        let shown = self.deps.board.get(key).unwrap_or_default();
        let is_another = shown.id.is_some_and(|was| was != id);
        if is_another {
            tracing::warn!(queue = %key, was = shown.id, now = id, "the queue's name now means another queue in CallTools; openseat follows the name");
            self.deps.board.becomes_another(key);
            self.roster.forget_queue(place);
            self.foresight.forget_queue(place);
            self.schedule.id_changed(place);
            let queue = &mut self.queues[place];
            (queue.shown, queue.failing_elsewhere) = (None, false);
        }
        let name: Option<Arc<str>> = names.queue_name(id).map(Arc::from);
        if is_another || shown.id.is_none() || shown.name != name {
            self.deps.board.identify(key, id, name);
        }
        self.schedule.id_known(place);
        let is_new = self.queues[place].id.replace(id) != Some(id);
        if is_new {
            self.warn_of_a_queue_twice(place, id);
        }
        is_new
    }

    /// Warns that another queue of the config has the same id. Each of them is polled and answers by its own rule.
    fn warn_of_a_queue_twice(&self, place: usize, id: u64) {
        let queues = self.queues.iter().enumerate();
        let mut same = queues.filter(|(other, queue)| *other != place && queue.id == Some(id));
        if let Some((other, _)) = same.next() {
            let queues = &self.deps.queues;
            tracing::warn!(
                queue = %queues[place].key,
                same_as = %queues[other].key,
                id,
                "the config has one of CallTools' queues twice; if that is a mistake, remove one"
            );
        }
    }

    /// Drops the result of a poll whose queue's name now means another queue, or none. Waiting callers get the poll of the other queue, which is
    /// due at once.
    pub(super) fn ended_for_another_queue(&mut self, place: usize) {
        let (job, now) = (Job::Poll(place), self.now());
        self.schedule.ended(job, Ending::Unpaid, now, 0.0);
        if self.queues[place].id.is_some() {
            return;
        }
        let none = || Fault::down(Down::TimeOut, "the queue's id is not known yet");
        let fault = self.faults.of_queue(place);
        let fault = fault.map_or_else(none, |fault| Fault::clone(fault));
        for waiter in self.waiters.remove(&job).unwrap_or_default() {
            self.tell_waiter(waiter, Err(RefreshError::Failed(fault.clone())));
        }
    }

    fn is_by_name(&self, place: usize) -> bool {
        matches!(self.deps.queues[place].reference, QueueRef::Name(_))
    }

    fn has_names(&self) -> bool {
        (0..self.deps.queues.len()).any(|place| self.is_by_name(place))
    }
}

/// Returns the id of a configured queue, `None` if it is not known yet, or an error if there is no such queue.
pub(crate) fn id_of(reference: &QueueRef, names: &Names) -> Option<Result<u64, Fault>> {
    match reference {
        QueueRef::Id(id) => Some(Ok(*id)),
        QueueRef::Name(_) if names.queues.is_none() => None,
        QueueRef::Name(name) => Some(names.resolve(name).map_err(Fault::NoSuchQueue)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::fixtures::at;

    fn names(queue: &str) -> Names {
        let row = serde_json::json!({"id": 1, "name": queue}).to_string();
        let row = RawValue::from_string(row).unwrap();
        Names {
            queues: Some(vec![NamedQueue::from_row(row).unwrap()]),
            ..Names::default()
        }
    }

    #[test]
    fn a_task_starts_with_told_names_of_a_known_age_and_otherwise_with_stored_ones() {
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
        let (now, read) = (at(100_000), at(100_000 - 3_600));
        let none = Names::default;
        let stored = |queue| Some((names(queue), day));
        for (case, told, told_read, stored, expected) in [
            (
                "told",
                names("new"),
                Some(read),
                stored("old"),
                Some(("new", hour, true)),
            ),
            (
                "told, equal",
                names("old"),
                None,
                stored("old"),
                Some(("old", day, false)),
            ),
            ("told, others", names("new"), None, stored("old"), None),
            (
                "stored",
                none(),
                Some(read),
                stored("old"),
                Some(("old", day, false)),
            ),
            ("nothing", none(), None, None, None),
        ] {
            let first = FirstNames::choose(&told, told_read, stored, now);
            let first = first.map(|first| (first.names.to_json(), first.age, first.in_use));
            let expected =
                expected.map(|(queue, age, in_use)| (names(queue).to_json(), age, in_use));
            assert_eq!(first, expected, "{case}");
        }
    }
}
