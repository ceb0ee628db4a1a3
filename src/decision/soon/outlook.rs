//! What the rule says about a snapshot as time passes. It is computed once when the snapshot is published, so a decision only looks it up.
//!
//! Until the next snapshot the data does not change, so the probability that somebody is free only grows. The answer is therefore a
//! moment: before it the rule rejects, from then on it accepts.

use std::{sync::Arc, time::Duration};

use super::rule::{Prediction, Seats, Terms, likely};
use crate::{clock::Moment, model::agent::AgentId};

/// How many seconds ahead are computed. Looks come every few seconds; if they do not, the last step stays valid, because it never overstates.
const STEPS: usize = 32;

/// One more than the calls on their way that may count on agents who are not free yet. In queues of usual size, a fifth one hardly ever could.
const BETS: usize = 5;

/// The record of a call names at most this many agents. The chance that none of them comes, but a further one, is small.
const NAMED: usize = 3;

/// An agent who is expected to be free soon.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Who.
    pub id: AgentId,
    /// The full name; empty if CallTools sent none.
    pub name: Arc<str>,
    /// The status that is expected to end.
    pub status: Arc<str>,
    /// When the agent is as likely as not to be free; `None` if that is not within five minutes.
    pub free_by: Option<Moment>,
}

/// See the [module](self).
#[derive(Debug, PartialEq)]
pub struct Outlook {
    terms: Terms,
    begin: Moment,
    /// In percent, rounded down; by the seconds since `begin`, and by how many calls already count on an agent.
    likely: Box<[[u8; BETS]; STEPS]>,
    /// The first step that accepts, by how many calls already count on an agent.
    opens: [Option<u8>; BETS],
    /// How long after `begin` every status that it counts on is young enough; `None` if as long as the snapshot is.
    lasts: Option<Duration>,
    /// The likeliest members, in this order.
    expected: Box<[Expected]>,
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
            likely: Box::new(likely),
            opens,
            lasts: None,
            expected: Box::default(),
        }
    }

    /// The most memory that one takes, in bytes. It is shared, with two counters, and its texts are those of the agents' rows.
    #[cfg(test)]
    pub const MAX_BYTES: usize = size_of::<Self>()
        + size_of::<[[u8; BETS]; STEPS]>()
        + Self::MAX_EXPECTED * size_of::<Expected>()
        + 2 * size_of::<usize>();

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
        Self { expected, ..self }
    }

    /// Returns the agents that a call counts on, likeliest first: at most three.
    pub fn expected(&self, prediction: Prediction) -> &[Expected] {
        let left = self.expected.get(usize::from(prediction.taken)..);
        let left = left.unwrap_or_default();
        &left[..left.len().min(NAMED)]
    }

    /// Returns what the rule says; `None` if it does not apply.
    pub fn look(&self, seats: Seats, now: Moment) -> Option<Verdict> {
        let bets = seats.bets_at_threshold()?;
        let lasts = self.lasts.unwrap_or(Duration::MAX);
        if now.longest_since(self.begin) > lasts {
            return None;
        }
        let step = now.boot.saturating_sub(self.begin.boot).as_secs();
        let step = step.min(STEPS as u64 - 1) as usize;
        Some(match self.opens.get(bets).copied().flatten() {
            Some(opens) if step >= usize::from(opens) => Verdict::Accept(Prediction {
                taken: bets as u8,
                ..Prediction::from_percent(self.likely[step][bets], self.terms)
            }),
            opens => {
                let opens = opens.map(|step| Duration::from_secs(step.into()));
                let opens = opens.filter(|opens| *opens <= lasts);
                Verdict::Reject(opens.map(|opens| self.begin.later(opens)))
            }
        })
    }
}
