//! What the rule says of a snapshot while time passes: computed once when the snapshot is published, so that a decision only looks it up.
//!
//! Nothing that a snapshot rests on changes until the next one, so somebody becomes only more likely to be free as time goes on. The answer
//! is therefore a moment: before it the rule rejects, from then on it accepts.

use std::{sync::Arc, time::Duration};

use super::rule::{Foretold, Seats, Terms, likely};
use crate::{clock::Moment, model::agent::AgentId};

/// Steps of a second, so far ahead. Looks come every few seconds; where they do not, the last step stays: it is never above what is true.
const STEPS: usize = 32;

/// Calls on their way that may count on agents who are not free yet, and one more. The chance of a fifth is small in any queue of usual size.
const BETS: usize = 5;

/// The record of a call names so many agents. The chance that none of them comes, but a further one, is small.
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
    /// In percent, rounded down; by the seconds since `begin`, and by how many calls count on somebody already.
    likely: Box<[[u8; BETS]; STEPS]>,
    /// The first step that accepts, by how many calls count on somebody already.
    opens: [Option<u8>; BETS],
    /// The likeliest members, in this order.
    expected: Box<[Expected]>,
}

/// What the rule says at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Accept.
    Accept(Foretold),
    /// Reject; from the moment on, if there is one, accept, unless a newer snapshot comes before.
    Reject(Option<Moment>),
}

impl Outlook {
    /// From now on. `chances` gives how likely each member is free by a boot time, and `factor` corrects what they come to.
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
                Foretold::new(factor * likely(left, 0), terms).percent()
            })
        };
        let likely: [[u8; BETS]; STEPS] = std::array::from_fn(step);
        let opens = std::array::from_fn(|bets| {
            let accepts = |step: &[u8; BETS]| Foretold::from_percent(step[bets], terms).accepts();
            likely.iter().position(accepts).map(|step| step as u8)
        });
        Self {
            terms,
            begin,
            likely: Box::new(likely),
            opens,
            expected: Box::default(),
        }
    }

    /// How many of the likeliest members [`naming`](Self::naming) takes.
    pub const MOST_EXPECTED: usize = BETS - 1 + NAMED;

    /// Also knows who the likeliest members are, in this order.
    pub fn naming(self, expected: Box<[Expected]>) -> Self {
        Self { expected, ..self }
    }

    /// The agents that a call counts on, likeliest first: at most three.
    pub fn expected(&self, foretold: Foretold) -> &[Expected] {
        let left = self.expected.get(usize::from(foretold.taken)..);
        let left = left.unwrap_or_default();
        &left[..left.len().min(NAMED)]
    }

    /// What the rule says; `None` where it has no say.
    pub fn look(&self, seats: Seats, now: Moment) -> Option<Verdict> {
        let bets = seats.bets_at_threshold()?;
        let step = now.boot.saturating_sub(self.begin.boot).as_secs();
        let step = step.min(STEPS as u64 - 1) as usize;
        Some(match self.opens.get(bets).copied().flatten() {
            Some(opens) if step >= usize::from(opens) => Verdict::Accept(Foretold {
                taken: bets as u8,
                ..Foretold::from_percent(self.likely[step][bets], self.terms)
            }),
            opens => Verdict::Reject(
                opens.map(|opens| self.begin.later(Duration::from_secs(opens.into()))),
            ),
        })
    }
}
