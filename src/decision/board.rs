//! The board: the newest snapshot of every queue, shared by the polls that write it and the handlers that read it.
//!
//! Readers get an [`Arc`] of an immutable [`QueueState`] and hold no lock; writers replace the whole state. No guard of the map leaves this
//! module, so none can be held over an await. [`Board::changes`] wakes callers when something is new. Callers that cache something made from
//! a state compare its [`Version`] first, which takes no lock.

mod key;
mod not_on_board;

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::watch;

pub use self::{key::QueueKey, not_on_board::NotOnBoard};
use crate::{clock::Moment, decision::snapshot::Snapshot, model::fault::Fault};

/// Everything known about one queue.
#[derive(Clone, Debug, Default)]
pub struct QueueState {
    /// CallTools' id of the queue, once it is known.
    pub id: Option<u64>,
    /// CallTools' name of the queue, once it is known.
    pub name: Option<Arc<str>>,
    /// The newest snapshot: the last complete poll with the newest rows.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Why there is nothing newer; `None` if nothing is wrong.
    pub fault: Option<Arc<Fault>>,
    /// The `max_age` of a queue whose config sets none. It follows from how often the account can be polled.
    pub planned_max_age: Duration,
    /// The `max_age` that the config sets for it. Decisions read it from their policy.
    pub max_age: Option<Duration>,
    /// How old its membership may get. It follows from how often its queue is polled.
    pub planned_members_max_age: Duration,
    /// Each question that waits is polled for, unless the answer is fresh enough.
    pub on_demand: bool,
    /// When the last poll began.
    pub last_attempt: Option<Moment>,
    /// When a poll last succeeded.
    pub last_success: Option<Moment>,
}

/// Counts the changes of something, for callers that cache it.
#[derive(Debug, Default)]
pub struct Version(AtomicU64);

impl Version {
    /// Returns the version. Anything read after this call has this version or a later one.
    pub fn number(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Records that something has changed and can be read.
    fn increment(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// A queue's slot on the board.
#[derive(Debug, Default)]
struct Slot {
    state: Arc<QueueState>,
    version: Arc<Version>,
    /// It is no queue of the config, so no request can name it.
    is_guest: bool,
    /// The config has it no longer. Only requests that began before may still need it.
    is_retired: bool,
}

/// The shared cache. Cheap to read from any number of tasks.
#[derive(Debug)]
pub struct Board {
    /// In the order of the config.
    keys: RwLock<Arc<[QueueKey]>>,
    slots: DashMap<QueueKey, Slot, RandomState>,
    /// Queues by each name and id that a request may use without an account.
    spellings: DashMap<Box<str>, Vec<QueueKey>, RandomState>,
    /// Carries no value: receivers read the board.
    changes: watch::Sender<()>,
    /// The version of the spellings.
    spelled: Version,
}

impl Board {
    /// Creates an empty board for these queues.
    pub fn new(keys: impl IntoIterator<Item = QueueKey>) -> Self {
        let board = Self {
            keys: RwLock::default(),
            slots: DashMap::default(),
            spellings: DashMap::default(),
            changes: watch::Sender::new(()),
            spelled: Version::default(),
        };
        board.set_queues(keys);
        board
    }

    /// Returns the queues, in the order of the config.
    pub fn keys(&self) -> Arc<[QueueKey]> {
        // It is replaced as a whole, so a panic while it was locked left nothing half done.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the queues. Those that stay keep their data, new ones start empty, and removed ones stay readable until
    /// [`drop_retired`](Self::drop_retired).
    pub fn set_queues(&self, keys: impl IntoIterator<Item = QueueKey>) {
        let keys: Arc<[QueueKey]> = keys.into_iter().collect();
        for key in &*keys {
            // One that comes back may be another account's.
            let is_retired = |slot: &Slot| slot.is_retired && !slot.is_guest;
            self.slots.remove_if(key, |_, slot| is_retired(slot));
            self.slots.entry(key.clone()).or_default();
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
        for key in &*keys {
            // After the keys, since [`host`](Self::host) reads them while it has the slot.
            let mut slot = self.slots.entry(key.clone()).or_default();
            (slot.is_guest, slot.is_retired) = (false, false);
            drop(slot);
            self.spell(&key.queue, key);
        }
        self.notify();
    }

    /// Keeps a queue that only other nodes of a cluster have in their configs, also if this node's config had it until now. No request here can
    /// name it.
    pub fn host(&self, key: &QueueKey) {
        let mut slot = self.slots.entry(key.clone()).or_default();
        slot.is_guest = slot.is_guest || !self.keys().contains(key);
    }

    /// Drops such a queue.
    pub fn drop_guest(&self, key: &QueueKey) {
        self.slots.remove_if(key, |_, slot| slot.is_guest);
    }

    /// Retires the queues that were removed, and drops the names and ids in CallTools that a queue no longer has. Removed queues of `late` accounts are
    /// not retired: their tasks still have to move what is known about them.
    pub fn retire_stale(&self, late: &[Arc<str>]) {
        let keys = self.keys();
        let keys: HashSet<_> = keys.iter().collect();
        for mut slot in self.slots.iter_mut() {
            let (key, slot) = slot.pair_mut();
            slot.is_retired = !(slot.is_guest || keys.contains(key) || late.contains(&key.account));
        }
        self.spellings.retain(|spelling, spelt| {
            spelt.retain(|key| keys.contains(key) && self.is_called(key, spelling));
            !spelt.is_empty()
        });
        self.spelled.increment();
        self.notify();
    }

    /// Drops the retired queues. No request that may need one is left.
    pub fn drop_retired(&self) {
        self.slots
            .retain(|_, slot| slot.is_guest || !slot.is_retired);
    }

    /// Forgets what is known about a queue, because its account is now another one.
    pub fn forget(&self, key: &QueueKey) {
        self.update(key, "it is forgotten", |state| {
            *state = QueueState::default();
        });
    }

    /// Drops the snapshot of a queue whose rule has changed: the new rule has nothing to measure yet.
    pub fn unmeasure(&self, key: &QueueKey) {
        self.update(key, "its rule", |state| state.snapshot = None);
    }

    /// Moves what is known about queues that the config renames. All are read before any is written, so two queues may swap names.
    pub fn carry(&self, moves: &[(QueueKey, QueueKey)]) {
        let states: Vec<_> = moves.iter().map(|(was, _)| self.get(was)).collect();
        for ((_, is), state) in moves.iter().zip(states) {
            let Some(state) = state else { continue };
            if let Some(id) = state.id {
                self.spell(&id.to_string(), is);
            }
            if let Some(name) = &state.name {
                self.spell(name, is);
            }
            self.update(is, "its name in the config", |known| {
                *known = QueueState::clone(&state);
            });
        }
    }

    /// Returns the state of a queue; `None` if it is not on this board.
    pub fn get(&self, key: &QueueKey) -> Option<Arc<QueueState>> {
        self.slots.get(key).map(|slot| Arc::clone(&slot.state))
    }

    /// Returns a queue's newest snapshot.
    pub fn snapshot(&self, key: &QueueKey) -> Option<Arc<Snapshot>> {
        self.slots.get(key)?.state.snapshot.clone()
    }

    /// Returns the version of a queue's state; `None` if it is not on this board.
    pub fn version(&self, key: &QueueKey) -> Option<Arc<Version>> {
        self.slots.get(key).map(|slot| Arc::clone(&slot.version))
    }

    /// Returns the version of what [`find`](Self::find) answers.
    pub fn spelled(&self) -> &Version {
        &self.spelled
    }

    /// Finds the queue that a request names, by name or id, with the account if given, among those that `may_be` it: while one config replaces
    /// another, the board has the queues of both. A queue that the config spells this way comes before one that CallTools calls so: what CallTools
    /// calls its queues must not change which queue the config's own spelling means.
    ///
    /// # Errors
    /// [`NotOnBoard`], if no queue or more than one has that name or id.
    pub fn find(
        &self,
        account: Option<&str>,
        asked: &str,
        may_be: impl Fn(&QueueKey) -> bool,
    ) -> Result<QueueKey, NotOnBoard> {
        // A thousand accounts may each have a queue of this name.
        let fits =
            |key: &&QueueKey| account.is_none_or(|account| *key.account == *account) && may_be(key);
        let spelt = self.spellings.get(asked);
        let mut keys: Vec<QueueKey> = match &spelt {
            Some(keys) => keys.iter().filter(fits).cloned().collect(),
            None => Vec::new(),
        };
        drop(spelt);
        if keys.len() > 1 && keys.iter().any(|key| *key.queue == *asked) {
            keys.retain(|key| *key.queue == *asked);
        }
        match keys.len() {
            0 => Err(NotOnBoard::Unknown {
                asked: account
                    .map_or_else(|| asked.to_owned(), |account| format!("{account}/{asked}")),
            }),
            1 => Ok(keys.remove(0)),
            _ => Err(NotOnBoard::Ambiguous {
                asked: asked.to_owned(),
                keys,
            }),
        }
    }

    /// Notes that a poll of this queue begins.
    pub fn attempt(&self, key: &QueueKey, now: Moment) {
        self.update(key, "a poll begins", |state| {
            state.last_attempt = Some(now);
        });
    }

    /// Notes that the key now means another of CallTools' queues: nothing is known about it, and the former id and name no longer find
    /// it.
    pub fn becomes_another(&self, key: &QueueKey) {
        let was = self.get(key).unwrap_or_default();
        if let Some(id) = was.id {
            self.unspell(&id.to_string(), key);
        }
        if let Some(name) = &was.name {
            self.unspell(name, key);
        }
        self.update(key, "it is another queue", |state| {
            // Its plan belongs to the config. In a cluster, only the leader plans.
            *state = QueueState {
                planned_max_age: state.planned_max_age,
                planned_members_max_age: state.planned_members_max_age,
                max_age: state.max_age,
                ..QueueState::default()
            };
        });
    }

    /// Sets CallTools' id and name of this queue; requests may use either.
    pub fn identify(&self, key: &QueueKey, id: u64, name: Option<Arc<str>>) {
        let was = self.get(key).unwrap_or_default();
        if let Some(before) = was
            .name
            .as_ref()
            .filter(|before| Some(*before) != name.as_ref())
        {
            self.unspell(before, key);
        }
        self.spell(&id.to_string(), key);
        if let Some(name) = &name {
            self.spell(name, key);
        }
        self.update(key, "its id is known", |state| {
            state.id = Some(id);
            state.name = name;
        });
    }

    /// Publishes the snapshot of a successful poll, which replaces the last one and ends any fault.
    pub fn publish(&self, key: &QueueKey, snapshot: Snapshot, now: Moment) {
        let snapshot = Arc::new(snapshot);
        self.update(key, "a poll has ended", |state| {
            state.snapshot = Some(snapshot);
            state.fault = None;
            state.last_success = Some(now);
        });
    }

    /// Sets why there is nothing newer for this queue, or that nothing is wrong any more. The last snapshot stays and ages.
    pub fn fault(&self, key: &QueueKey, fault: Option<Arc<Fault>>) {
        self.update(key, "its fault", |state| state.fault = fault);
    }

    /// Publishes newer rows of the queue's agents that did not come from a poll of the queue.
    pub fn renew(&self, key: &QueueKey, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.update(key, "newer rows", |state| state.snapshot = Some(snapshot));
    }

    /// Restores what an earlier task knew about the queue, whose last poll ended at `polled`.
    pub fn restore(&self, key: &QueueKey, snapshot: Snapshot, polled: Moment) {
        let snapshot = Arc::new(snapshot);
        self.update(key, "what was stored", |state| {
            state.snapshot = Some(snapshot);
            state.last_success = Some(polled);
        });
    }

    /// Sets how old this queue's data may get if the config does not say, and how old its membership.
    pub fn plan(&self, key: &QueueKey, max_age: Duration, members_max_age: Duration) {
        let is_planned = |state: &QueueState| {
            (state.planned_max_age, state.planned_members_max_age) == (max_age, members_max_age)
        };
        // The plan is computed again after each poll and is nearly always the same.
        if self.get(key).is_some_and(|state| is_planned(&state)) {
            return;
        }
        self.update(key, "its planned ages", |state| {
            state.planned_max_age = max_age;
            state.planned_members_max_age = members_max_age;
        });
    }

    /// Sets the `max_age` that the config sets for this queue.
    pub fn set_max_age(&self, key: &QueueKey, max_age: Option<Duration>) {
        if self.get(key).is_some_and(|state| state.max_age != max_age) {
            self.update(key, "its max_age", |state| state.max_age = max_age);
        }
    }

    /// Sets whether each question that waits is polled for.
    pub fn set_on_demand(&self, key: &QueueKey, on_demand: bool) {
        if self
            .get(key)
            .is_some_and(|state| state.on_demand != on_demand)
        {
            self.update(key, "whether questions are polled for", |state| {
                state.on_demand = on_demand;
            });
        }
    }

    /// Wakes those who wait for changes of decisions. The board does this itself for its own data; this is for data kept elsewhere, such as
    /// reservations. It costs a writer a short lock, and readers nothing.
    pub fn notify(&self) {
        self.changes.send_replace(());
    }

    /// Returns a receiver that wakes after each change that decisions depend on. Simultaneous changes wake once. The passage of time wakes nobody.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Replaces a state; `what` names the change in the log.
    fn update(&self, key: &QueueKey, what: &str, change: impl FnOnce(&mut QueueState)) {
        if let Some(mut slot) = self.slots.get_mut(key) {
            let mut next = QueueState::clone(&slot.state);
            change(&mut next);
            let next = Arc::new(next);
            slot.state = Arc::clone(&next);
            slot.version.increment();
            drop(slot);
            tracing::trace!(
                queue = %key,
                what,
                agents = next.snapshot.as_deref().map(|snapshot| snapshot.agents.len()),
                fault = next.fault.as_deref().map(tracing::field::display),
                "the board has changed"
            );
        }
        self.notify();
    }

    /// Returns whether the config or CallTools calls the queue so. The queue of an earlier config with this key may have had other names.
    fn is_called(&self, key: &QueueKey, spelling: &str) -> bool {
        let state = self.get(key).unwrap_or_default();
        *key.queue == *spelling
            || state.name.as_deref() == Some(spelling)
            || state.id.is_some_and(|id| id.to_string() == spelling)
    }

    /// Removes a spelling of this queue, unless it is the one in the config.
    fn unspell(&self, spelling: &str, key: &QueueKey) {
        if *key.queue == *spelling {
            return;
        }
        if let Some(mut keys) = self.spellings.get_mut(spelling) {
            keys.retain(|one| one != key);
        }
        self.spellings
            .remove_if(spelling, |_, keys| keys.is_empty());
        self.spelled.increment();
    }

    fn spell(&self, spelling: &str, key: &QueueKey) {
        if self.slots.get(key).is_some_and(|slot| slot.is_guest) {
            return;
        }
        let mut keys = self.spellings.entry(spelling.into()).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
            drop(keys);
            self.spelled.increment();
        }
    }
}

#[cfg(test)]
mod tests;
