//! The agents that calls on their way count on before they are free, in all queues of an account. An agent is in several queues, and two calls must
//! not count on the same one.
//!
//! Each queue keeps its own bets up to date here, under the lock of its seats. A decision at zero seats reads those of the other queues, without a
//! lock. While no bet of the account shares a place with one of its agents, that takes one look at a number, and with a seat nothing is read.

use std::{
    array,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::nanos::nanos;
use crate::{clock::Moment, model::agent::AgentId};

/// Agents share these places by their key. A large account has a dozen bets at once, so two seldom share one. They take 512 bytes,
/// and a number has a bit for each of them.
const PLACES: usize = u64::BITS as usize;

/// What a place shows without a bet, and with several. One bet shows its queue in the lower half, and the agent's key in the upper one.
const NONE: u64 = 0;
const SEVERAL: u64 = u64::MAX;

/// Stands for an agent where a comparison of texts takes too long. Another agent may have the same key, in one of millions of accounts with a dozen
/// bets; then the rule is a little more careful. The default is the key of nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentKey(u32);

/// Some of the places, each by a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places(u64);

impl Places {
    /// Returns those of the agents with these keys.
    pub fn of(keys: &[AgentKey]) -> Self {
        let agents = keys.iter().filter(|key| **key != AgentKey::default());
        let bits = agents.map(|key| 1 << key.place());
        Self(bits.fold(0, |all, one: u64| all | one))
    }
}

impl AgentKey {
    /// Returns the key of an agent. It differs between versions, so it is not stored.
    pub fn of(agent: &AgentId) -> Self {
        let mut hasher = DefaultHasher::new();
        agent.hash(&mut hasher);
        Self((hasher.finish() as u32).max(1))
    }

    fn place(self) -> usize {
        self.0 as usize % PLACES
    }
}

/// The bets of an account.
#[derive(Debug)]
pub struct Bets {
    made: Mutex<Vec<Bet>>,
    /// The rest is for readers without the lock, and written under it: the places that have bets, including expired ones, …
    occupied: AtomicU64,
    /// … when the first of them expires, as boot time in nanoseconds, …
    first_end: AtomicU64,
    /// … and what each place shows.
    places: [AtomicU64; PLACES],
    /// Held while a call gets its seat, so that of two calls to different queues one sees the bet of the other.
    placing: Mutex<()>,
    /// The number of queues that had a part so far.
    queues: AtomicU32,
}

impl Default for Bets {
    fn default() -> Self {
        Self {
            made: Mutex::default(),
            occupied: AtomicU64::default(),
            first_end: AtomicU64::new(u64::MAX),
            places: array::from_fn(|_| AtomicU64::new(NONE)),
            placing: Mutex::default(),
            queues: AtomicU32::default(),
        }
    }
}

impl Bets {
    /// Returns whether a call counts on this agent, perhaps one whose time is up.
    pub fn are_on(&self, agent: &AgentId) -> bool {
        self.are_any() && self.made().iter().any(|bet| bet.agent == *agent)
    }

    fn are_any(&self) -> bool {
        self.occupied.load(Ordering::Acquire) > 0
    }

    fn made(&self) -> MutexGuard<'_, Vec<Bet>> {
        // A panic while they are replaced can only lose bets, and then calls count on too many agents for some seconds.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows readers what has been made.
    fn show(&self, made: &[Bet]) {
        let mut places = [NONE; PLACES];
        for bet in made {
            let place = &mut places[bet.key.place()];
            *place = match *place {
                NONE => bet.shown(),
                _ => SEVERAL,
            };
        }
        // A place whose bet stays is written with what it shows already, so no reader misses that bet.
        for (place, shown) in self.places.iter().zip(places) {
            place.store(shown, Ordering::Release);
        }
        let ends = made.iter().map(|bet| nanos(bet.made.boot + bet.ttl));
        let first = ends.min().unwrap_or(u64::MAX);
        self.first_end.store(first, Ordering::Release);
        let keys: Vec<_> = made.iter().map(|bet| bet.key).collect();
        self.occupied.store(Places::of(&keys).0, Ordering::Release);
    }

    /// Returns how many of the agents with these keys, who have these places, calls of other queues than this one count on; `None` if only the bets
    /// themselves tell.
    #[inline]
    fn shown_elsewhere<const N: usize>(
        &self,
        mut places: Places,
        keys: &[AgentKey; N],
        queue: u32,
        now: Moment,
    ) -> Option<usize> {
        // Some may have expired, and their queue has not noticed yet. If only the wall clock says so, they count until it does, which takes a second.
        if nanos(now.boot) >= self.first_end.load(Ordering::Acquire) {
            return None;
        }
        let mut elsewhere = 0;
        while places.0 != 0 {
            let place = places.0.trailing_zeros() as usize;
            places.0 &= places.0 - 1;
            match self.places[place].load(Ordering::Acquire) {
                NONE => {}
                SEVERAL => return None,
                shown if shown as u32 == queue => {}
                shown => {
                    let key = AgentKey((shown >> 32) as u32);
                    // All of a fixed number, without a branch for each.
                    elsewhere += keys
                        .iter()
                        .map(|one| usize::from(*one == key))
                        .sum::<usize>();
                }
            }
        }
        Some(elsewhere)
    }
}

#[derive(Debug)]
struct Bet {
    queue: u32,
    agent: AgentId,
    key: AgentKey,
    made: Moment,
    ttl: Duration,
}

/// One queue's part of an account's [`Bets`].
#[derive(Debug)]
pub struct QueueBets {
    account: Arc<Bets>,
    /// Differs from that of every other queue.
    queue: u32,
}

impl Default for QueueBets {
    /// For a queue that shares its agents with no other.
    fn default() -> Self {
        Self::of(&Arc::default())
    }
}

impl QueueBets {
    /// Creates the part of a queue of this account.
    pub fn of(account: &Arc<Bets>) -> Self {
        Self {
            account: Arc::clone(account),
            // From 1 on, so that no bet looks like none; and there are never so many that one looks like several.
            queue: account.queues.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// The bets of its account.
    pub fn account(&self) -> &Arc<Bets> {
        &self.account
    }

    /// Whether any queue of the account has bets, perhaps expired ones.
    pub fn has_any(&self) -> bool {
        self.account.are_any()
    }

    /// Replaces the queue's own bets: the agents, when each bet was made, and how long it lasts.
    pub fn set<'a>(&self, own: impl Iterator<Item = (&'a AgentId, Moment, Duration)>) {
        let mut own = own.peekable();
        // Only the queue itself adds its bets, so there are none of them either.
        if own.peek().is_none() && !self.has_any() {
            return;
        }
        let mut made = self.made();
        made.retain(|bet| bet.queue != self.queue);
        made.extend(own.map(|(agent, at, ttl)| Bet {
            queue: self.queue,
            agent: agent.clone(),
            key: AgentKey::of(agent),
            made: at,
            ttl,
        }));
        self.account.show(&made);
    }

    /// Returns how many of the agents with these keys, who have these places, calls of other queues count on.
    #[inline]
    pub fn elsewhere<'k, const N: usize>(
        &self,
        places: Places,
        keys: impl FnOnce() -> &'k [AgentKey; N],
        now: Moment,
    ) -> usize {
        let shared = Places(self.account.occupied.load(Ordering::Acquire) & places.0);
        if shared == Places::default() {
            return 0;
        }
        let keys = keys();
        let shown = self.account.shown_elsewhere(shared, keys, self.queue, now);
        shown.unwrap_or_else(|| self.counted_elsewhere(keys, now))
    }

    #[cold]
    fn counted_elsewhere(&self, keys: &[AgentKey], now: Moment) -> usize {
        let made = self.made();
        let is_one = |key: &&AgentKey| {
            let mut bets = made.iter();
            bets.any(|bet| bet.queue != self.queue && bet.key == **key && !bet.is_over(now))
        };
        keys.iter().filter(is_one).count()
    }

    /// Returns whether a call of another queue counts on this agent.
    pub fn is_taken_elsewhere(&self, agent: &AgentId, now: Moment) -> bool {
        // Each publication asks for every member who is not available, so without a bet no key is computed.
        self.has_any() && {
            let keys = [AgentKey::of(agent)];
            self.elsewhere(Places::of(&keys), || &keys, now) > 0
        }
    }

    /// Returns whether a call of any queue counts on this agent.
    pub fn is_taken(&self, agent: &AgentId, now: Moment) -> bool {
        let is_on = |bet: &Bet| bet.agent == *agent && !bet.is_over(now);
        self.has_any() && self.made().iter().any(is_on)
    }

    /// Returns how long until the next bet of the account expires; `None` without any.
    pub fn next_end(&self, now: Moment) -> Option<Duration> {
        if !self.has_any() {
            return None;
        }
        let left = |bet: &Bet| bet.ttl.checked_sub(now.longest_since(bet.made));
        self.made().iter().filter_map(left).min()
    }

    /// Lets no other queue of the account place a bet until the guard is dropped.
    pub fn placing(&self) -> MutexGuard<'_, ()> {
        let placing = self.account.placing.lock();
        placing.unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, Vec<Bet>> {
        self.account.made()
    }
}

impl Drop for QueueBets {
    fn drop(&mut self) {
        self.set(std::iter::empty());
    }
}

impl Bet {
    fn is_over(&self, now: Moment) -> bool {
        now.longest_since(self.made) >= self.ttl
    }

    fn shown(&self) -> u64 {
        u64::from(self.key.0) << 32 | u64::from(self.queue)
    }
}
