//! The agents that calls on their way count on before they are free, in all queues of an account. An agent is in several queues, and two calls must
//! not count on the same one.
//!
//! Each queue keeps its own bets up to date here, under the lock of its seats. A decision at zero seats reads those of the other queues. While an
//! account has none, that takes one look at a number, and with a seat nothing is read.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{clock::Moment, model::agent::AgentId};

/// The bets of an account.
#[derive(Debug, Default)]
pub struct Bets {
    made: Mutex<Vec<Bet>>,
    /// Their number, including expired ones. Written under the lock.
    number: AtomicU32,
    /// Held while a call gets its seat, so that of two calls to different queues one sees the bet of the other.
    placing: Mutex<()>,
    /// The number of queues that had a part so far.
    queues: AtomicU32,
}

#[derive(Debug)]
struct Bet {
    queue: u32,
    agent: AgentId,
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
            queue: account.queues.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The bets of its account.
    pub fn account(&self) -> &Arc<Bets> {
        &self.account
    }

    /// Whether any queue of the account has bets, perhaps expired ones.
    pub fn has_any(&self) -> bool {
        self.account.number.load(Ordering::Acquire) > 0
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
            made: at,
            ttl,
        }));
        self.account
            .number
            .store(made.len() as u32, Ordering::Release);
    }

    /// Returns how many of these agents calls of other queues count on.
    pub fn elsewhere<'a>(&self, agents: impl Iterator<Item = &'a AgentId>, now: Moment) -> usize {
        if !self.has_any() {
            return 0;
        }
        let made = self.made();
        let is_one = |agent: &&AgentId| {
            let mut bets = made.iter();
            bets.any(|bet| bet.queue != self.queue && bet.is_on(agent, now))
        };
        agents.filter(is_one).count()
    }

    /// Returns whether a call of another queue counts on this agent.
    pub fn is_taken_elsewhere(&self, agent: &AgentId, now: Moment) -> bool {
        self.elsewhere(std::iter::once(agent), now) > 0
    }

    /// Returns whether a call of any queue counts on this agent.
    pub fn is_taken(&self, agent: &AgentId, now: Moment) -> bool {
        self.has_any() && self.made().iter().any(|bet| bet.is_on(agent, now))
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
        // A panic while they are replaced can only lose bets, and then calls count on too many agents for some seconds.
        let made = self.account.made.lock();
        made.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueBets {
    fn drop(&mut self) {
        self.set(std::iter::empty());
    }
}

impl Bet {
    fn is_on(&self, agent: &AgentId, now: Moment) -> bool {
        self.agent == *agent && now.longest_since(self.made) < self.ttl
    }
}
