//! What the rule says about a snapshot as time passes. It is computed once when the snapshot is published, so a decision only looks it up.
//!
//! Until the next snapshot the data does not change, so the probability that somebody is free only grows. The answer is therefore a
//! moment: before it the rule rejects, from then on it accepts.

use std::{sync::Arc, time::Duration};

use super::{
    bets::{AgentKey, QueueBets},
    rule::{Held, Prediction, Seats, Terms, likely},
};
use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// How many seconds ahead are computed. Looks come every few seconds; if they do not, the last step stays valid, because it never overstates.
const STEPS: usize = 32;

/// One more than the calls on their way that may count on agents who are not free yet. In queues of usual size, a fifth one hardly ever could.
const BETS: usize = 5;

/// The record of a call names at most this many agents. The chance that none of them comes, but a further one, is small.
const NAMED: usize = 3;

/// An agent who is expected to be free soon.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Who, in the status that is expected to end: the same row as in the snapshot.
    pub agent: Arc<Agent>,
    /// When the agent is as likely as not to be free: wall time, in milliseconds since 1970. `None` if that is not within five minutes.
    pub free_by_ms: Option<i64>,
}

/// See the [module](self). It is small, because an account may have hundreds of queues.
#[derive(Debug)]
pub struct Outlook {
    terms: Terms,
    begin: Moment,
    /// In percent, rounded down; by the seconds since `begin`, and by how many calls already count on an agent.
    likely: [[u8; BETS]; STEPS],
    /// The first step that accepts, by how many calls already count on an agent.
    opens: [Option<u8>; BETS],
    /// How long after `begin` every status that it counts on is young enough; `None` if as long as the snapshot is.
    lasts: Option<Duration>,
    /// The likeliest members, in this order.
    expected: Box<[Expected]>,
    /// Their keys, close together: decisions read only these.
    keys: [AgentKey; Self::MAX_EXPECTED],
}

/// What the rule says at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Accept.
    Accept(Prediction),
    /// Reject; from this moment on, if there is one, accept, unless a newer snapshot arrives first.
    Reject(Option<Moment>),
}

impl Outlook {
    /// Computes the outlook from `begin` on. `chances` returns how likely each member is free by a boot time, and `factor` corrects the result.
    pub fn new(
        terms: Terms,
        factor: f64,
        begin: Moment,
        chances: impl Fn(Duration) -> Vec<f64>,
    ) -> Self {
        let step = |step: usize| {
            let now = begin.later(Duration::from_secs(step as u64));
            let mut chances = chances(terms.until(now));
            chances.sort_by(|one, other| other.total_cmp(one));
            std::array::from_fn(|bets| {
                let left = chances.iter().skip(bets).copied();
                Prediction::new(factor * likely(left, 0), terms).percent()
            })
        };
        let likely: [[u8; BETS]; STEPS] = std::array::from_fn(step);
        let opens = std::array::from_fn(|bets| {
            let accepts = |step: &[u8; BETS]| Prediction::from_percent(step[bets], terms).accepts();
            likely.iter().position(accepts).map(|step| step as u8)
        });
        Self {
            terms,
            begin,
            likely,
            opens,
            lasts: None,
            expected: Box::default(),
            keys: Default::default(),
        }
    }

    /// The most memory that one takes, in bytes. It is shared, with two counters.
    #[cfg(test)]
    pub const MAX_BYTES: usize =
        size_of::<Self>() + Self::MAX_EXPECTED * size_of::<Expected>() + 2 * size_of::<usize>();

    /// How many of the likeliest members [`naming`](Self::naming) takes.
    pub const MAX_EXPECTED: usize = BETS - 1 + NAMED;

    /// Ends it at this moment.
    pub fn ending(self, end: Option<Moment>) -> Self {
        let lasts = end.map(|end| end.shortest_since(self.begin));
        Self { lasts, ..self }
    }

    /// Returns the moment after which it does not apply, if that may be earlier than the end of the snapshot.
    pub fn end(&self) -> Option<Moment> {
        self.lasts.map(|lasts| self.begin.later(lasts))
    }

    /// Adds the likeliest members, in this order.
    pub fn naming(self, expected: Box<[Expected]>) -> Self {
        let mut keys = self.keys;
        for (key, one) in keys.iter_mut().zip(&expected) {
            *key = AgentKey::of(&one.agent.id);
        }
        Self {
            expected,
            keys,
            ..self
        }
    }

    /// Returns the agents that a call counts on, likeliest first: at most three. Earlier calls count on those who are taken, and on as many in
    /// total as the prediction left out.
    pub fn expected(
        &self,
        prediction: Prediction,
        is_taken: impl Fn(&AgentId) -> bool,
    ) -> Vec<&Expected> {
        let mut others = usize::from(prediction.taken);
        let mut is_left = |one: &&Expected| {
            let is_left_out = others > 0 && is_taken(&one.agent.id);
            others -= usize::from(is_left_out);
            !is_left_out
        };
        let left: Vec<_> = self.expected.iter().filter(|one| is_left(one)).collect();
        // Calls that name no agent take the likeliest.
        left.into_iter().skip(others).take(NAMED).collect()
    }

    /// Returns the likeliest agent that no call counts on.
    pub fn next_agent(&self, held: Held<'_>, now: Moment) -> Option<&AgentId> {
        let is_taken = |id: &AgentId| held.counted_on.is_some_and(|bets| bets.is_taken(id, now));
        let mut agents = self.expected.iter().map(|one| &one.agent.id);
        agents.find(|id| !is_taken(id))
    }

    /// Returns what the rule says; `None` if it does not apply.
    ///
    /// A call of another queue may count on one of the named agents. Then it takes the likeliest one away, which is at least as much. An agent who is
    /// not named counts little: at least seven others are likelier.
    pub fn look(&self, seats: Seats<'_>, now: Moment) -> Option<Verdict> {
        let own = seats.bets_at_threshold()?;
        if self
            .lasts
            .is_some_and(|lasts| now.longest_since(self.begin) > lasts)
        {
            return None;
        }
        let named = self.expected.len().min(self.keys.len());
        let elsewhere = |counted_on: &QueueBets| counted_on.elsewhere(&self.keys[..named], now);
        let bets = own + seats.held.counted_on.map_or(0, elsewhere);
        let step = now.boot.saturating_sub(self.begin.boot).as_secs();
        let step = step.min(STEPS as u64 - 1) as usize;
        Some(match self.opens.get(bets).copied().flatten() {
            Some(opens) if step >= usize::from(opens) => Verdict::Accept(Prediction {
                taken: bets as u8,
                ..Prediction::from_percent(self.likely[step][bets], self.terms)
            }),
            opens => {
                let opens = opens.map(|step| Duration::from_secs(step.into()));
                let opens = opens.filter(|opens| self.lasts.is_none_or(|lasts| *opens <= lasts));
                Verdict::Reject(opens.map(|opens| self.begin.later(opens)))
            }
        })
    }
}
