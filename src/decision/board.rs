//! The board: the newest snapshot of every queue, shared by the polls that write it and the handlers that read it.
//!
//! Readers get an [`Arc`] of an immutable [`QueueState`] and keep no lock; writers replace the whole state. No guard of the
//! map leaves this module, so none can be held over an await. Who wants to know that something is new, and not only what, waits for
//! [`Board::changes`]; who keeps something made of a state looks at its [`Edition`] first, which takes no lock.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::sync::watch;

use crate::{clock::Moment, decision::snapshot::Snapshot, model::fault::Fault};

/// A queue as the config names it: the account, and the queue's name or id as written there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    /// The account's name.
    pub account: Arc<str>,
    /// The queue's name or id, as written.
    pub queue: Arc<str>,
}

impl QueueKey {
    /// The key of a queue of an account.
    pub fn new(account: impl Into<Arc<str>>, queue: impl Into<Arc<str>>) -> Self {
        Self {
            account: account.into(),
            queue: queue.into(),
        }
    }
}

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.queue)
    }
}

/// Everything known about one queue.
#[derive(Clone, Debug, Default)]
pub struct QueueState {
    /// CallTools' id of the queue, once it is known.
    pub id: Option<u64>,
    /// CallTools' name of the queue, once it is known.
    pub name: Option<Arc<str>>,
    /// The newest complete poll.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Why there is nothing newer; `None` where nothing is wrong.
    pub fault: Option<Arc<Fault>>,
    /// The `max_age` of a queue whose config names none: it follows from how often the account can be asked.
    pub planned_max_age: Duration,
    /// How old its membership may get: it follows from how often its turn comes.
    pub planned_members_max_age: Duration,
    /// When a poll was last begun.
    pub last_attempt: Option<Moment>,
    /// When a poll last ended well.
    pub last_success: Option<Moment>,
}

/// Counts the changes of something, for those who keep a copy, or something made of it.
#[derive(Debug, Default)]
pub struct Edition(AtomicU64);

impl Edition {
    /// What is read after this call is of this edition or a later one.
    pub fn number(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Something has changed, and can be read.
    fn renew(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// A queue's place on the board.
#[derive(Debug, Default)]
struct Slot {
    state: Arc<QueueState>,
    edition: Arc<Edition>,
}

/// No single queue answers to a spelling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOnBoard {
    /// Nobody has it.
    #[error("no queue \"{asked}\" is configured")]
    Unknown {
        /// As the request spells it.
        asked: String,
    },
    /// More than one has it.
    #[error("several accounts have a queue \"{asked}\": ask for one of {}", spellings(.keys))]
    Ambiguous {
        /// As the request spells it.
        asked: String,
        /// Who has it.
        keys: Vec<QueueKey>,
    },
}

fn spellings(keys: &[QueueKey]) -> String {
    keys.iter()
        .map(QueueKey::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The shared cache. Cheap to read from any number of tasks.
#[derive(Debug)]
pub struct Board {
    /// In the order of the config.
    keys: RwLock<Arc<[QueueKey]>>,
    slots: DashMap<QueueKey, Slot>,
    /// Queues by name and by id, in all spellings that a request may use without an account.
    spellings: DashMap<Box<str>, Vec<QueueKey>>,
    /// Bears no value: who is told looks for himself.
    changes: watch::Sender<()>,
    /// Of the spellings.
    spelled: Edition,
}

impl Board {
    /// An empty board for these queues.
    pub fn new(keys: impl IntoIterator<Item = QueueKey>) -> Self {
        let board = Self {
            keys: RwLock::default(),
            slots: DashMap::new(),
            spellings: DashMap::new(),
            changes: watch::Sender::new(()),
            spelled: Edition::default(),
        };
        board.welcome(keys);
        board
    }

    /// The queues, in the order of the config.
    pub fn keys(&self) -> Arc<[QueueKey]> {
        // Written whole: whoever panicked while holding it left nothing half done.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these are the queues. Those that stay keep what is known of them, new ones begin empty, and those that are gone
    /// stay readable until [`retire`](Self::retire).
    pub fn welcome(&self, keys: impl IntoIterator<Item = QueueKey>) {
        let keys: Arc<[QueueKey]> = keys.into_iter().collect();
        for key in &*keys {
            self.slots.entry(key.clone()).or_default();
            self.spell(&key.queue, key);
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.touch();
    }

    /// Forgets the queues that are gone.
    pub fn retire(&self) {
        let keys = self.keys();
        self.slots.retain(|key, _| keys.contains(key));
        self.spellings.retain(|_, spelt| {
            spelt.retain(|key| keys.contains(key));
            !spelt.is_empty()
        });
        self.spelled.renew();
        self.touch();
    }

    /// Forgets what was known of a queue, whose account is another from now on.
    pub fn forget(&self, key: &QueueKey) {
        self.update(key, "it is forgotten", |state| {
            *state = QueueState::default();
        });
    }

    /// The queue counts by another rule from now on, which has nothing to measure yet.
    pub fn unmeasure(&self, key: &QueueKey) {
        self.update(key, "its rule", |state| state.snapshot = None);
    }

    /// The config calls queues otherwise from now on: what is known of each goes with it. All are read before any is written, so that two may
    /// exchange their names.
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

    /// What is known about a queue; `None` if it is not on this board.
    pub fn get(&self, key: &QueueKey) -> Option<Arc<QueueState>> {
        self.slots.get(key).map(|slot| Arc::clone(&slot.state))
    }

    /// Which edition of a queue's state is shown; `None` if it is not on this board.
    pub fn edition(&self, key: &QueueKey) -> Option<Arc<Edition>> {
        self.slots.get(key).map(|slot| Arc::clone(&slot.edition))
    }

    /// The edition of what [`find`](Self::find) says.
    pub fn spelled(&self) -> &Edition {
        &self.spelled
    }

    /// The queue that a request means by a name or id, with the account if it gives one.
    ///
    /// # Errors
    /// [`NotOnBoard`], where no queue or more than one answers to it.
    pub fn find(&self, account: Option<&str>, asked: &str) -> Result<QueueKey, NotOnBoard> {
        let candidates = self
            .spellings
            .get(asked)
            .map(|keys| keys.clone())
            .unwrap_or_default();
        let mut keys: Vec<_> = candidates
            .into_iter()
            .filter(|key| account.is_none_or(|account| *key.account == *account))
            .collect();
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

    /// A poll of this queue begins.
    pub fn attempt(&self, key: &QueueKey, now: Moment) {
        self.update(key, "a poll begins", |state| {
            state.last_attempt = Some(now);
        });
    }

    /// The key means another of CallTools' queues from now on: nothing is known of it, and the id and name of the one before are no
    /// spellings of the key any more.
    pub fn is_another(&self, key: &QueueKey) {
        let was = self.get(key).unwrap_or_default();
        if let Some(id) = was.id {
            self.unspell(&id.to_string(), key);
        }
        if let Some(name) = &was.name {
            self.unspell(name, key);
        }
        self.forget(key);
    }

    /// CallTools' id and name of this queue are known now; requests may use either.
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

    /// A poll ended well: its snapshot takes the place of the last one, and what was wrong is over.
    pub fn publish(&self, key: &QueueKey, snapshot: Snapshot, now: Moment) {
        let snapshot = Arc::new(snapshot);
        self.update(key, "a poll has ended", |state| {
            state.snapshot = Some(snapshot);
            state.fault = None;
            state.last_success = Some(now);
        });
    }

    /// Why there is nothing newer of this queue, or that nothing is wrong any more. The last snapshot stays, and ages.
    pub fn fault(&self, key: &QueueKey, fault: Option<Arc<Fault>>) {
        self.update(key, "its fault", |state| state.fault = fault);
    }

    /// More is known of the queue's agents, from elsewhere than a poll of the queue.
    pub fn renew(&self, key: &QueueKey, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.update(key, "newer rows", |state| state.snapshot = Some(snapshot));
    }

    /// An earlier task knew this of the queue, whose last poll ended at `polled`.
    pub fn restore(&self, key: &QueueKey, snapshot: Snapshot, polled: Moment) {
        let snapshot = Arc::new(snapshot);
        self.update(key, "what was stored", |state| {
            state.snapshot = Some(snapshot);
            state.last_success = Some(polled);
        });
    }

    /// How old knowledge of this queue may get, where the config does not say, and how old its membership.
    pub fn plan(&self, key: &QueueKey, max_age: Duration, members_max_age: Duration) {
        let is_planned = |state: &QueueState| {
            (state.planned_max_age, state.planned_members_max_age) == (max_age, members_max_age)
        };
        // It is planned anew after each poll, and nearly always comes out the same.
        if self.get(key).is_some_and(|state| is_planned(&state)) {
            return;
        }
        self.update(key, "its planned ages", |state| {
            state.planned_max_age = max_age;
            state.planned_members_max_age = members_max_age;
        });
    }

    /// Something has changed that decisions hang on. The board says so itself of what is written on it; this is for what is
    /// kept elsewhere, such as reservations. Costs a writer a short lock, and a reader of decisions nothing.
    pub fn touch(&self) {
        self.changes.send_replace(());
    }

    /// Wakes after each change of what decisions hang on. Changes that come together wake once; what comes with time alone
    /// wakes nobody.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// `what` has changed, for the log.
    fn update(&self, key: &QueueKey, what: &str, change: impl FnOnce(&mut QueueState)) {
        if let Some(mut slot) = self.slots.get_mut(key) {
            let mut next = QueueState::clone(&slot.state);
            change(&mut next);
            let next = Arc::new(next);
            slot.state = Arc::clone(&next);
            slot.edition.renew();
            drop(slot);
            tracing::trace!(
                queue = %key,
                what,
                agents = next.snapshot.as_deref().map(|snapshot| snapshot.agents.len()),
                fault = next.fault.as_deref().map(tracing::field::display),
                "the board has changed"
            );
        }
        self.touch();
    }

    /// A spelling means this queue no more, unless it is the config's own.
    fn unspell(&self, spelling: &str, key: &QueueKey) {
        if *key.queue == *spelling {
            return;
        }
        if let Some(mut keys) = self.spellings.get_mut(spelling) {
            keys.retain(|one| one != key);
        }
        self.spellings
            .remove_if(spelling, |_, keys| keys.is_empty());
        self.spelled.renew();
    }

    fn spell(&self, spelling: &str, key: &QueueKey) {
        let mut keys = self.spellings.entry(spelling.into()).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
            drop(keys);
            self.spelled.renew();
        }
    }
}
