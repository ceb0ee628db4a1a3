//! Who comes and who goes: what ends reservations.
//!
//! An agent who was available and is seen with another status that is not has *departed*: they have taken a call, or left. That ends
//! one reservation, once. So what was last seen of each agent is kept apart from the rows: distrusted sweeps take rows back, a second
//! feed shows the same change again, a new task begins with rows from before. None of that is a second departure.
//!
//! What comes from a file can be older than what the process that wrote it has counted. Such a [`Presence`] is *stored*: a departure
//! that is measured against it ends only reservations that were made before its look, of which the agent was seen available
//! afterwards. Where that process may have counted the departure itself, it ends nothing: see
//! [`Reservations::departed`](crate::decision::reservations::Reservations::departed). A seat may stay held until its time is up then, and is never
//! given twice.

use super::person::Mark;
use crate::{
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::Presence,
    },
};

/// An agent was seen no longer available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Who.
    pub agent: AgentId,
    /// The places of the queues that they are logged in to.
    pub places: Vec<usize>,
    /// Only a reservation made by this moment can be for the call that they took.
    pub made_by: Moment,
    /// What was seen.
    pub seen: Presence,
}

/// What of a departure does not hang on queues.
#[derive(Debug)]
pub(super) struct Gone {
    pub made_by: Moment,
    pub seen: Presence,
}

impl Presence {
    /// What a row says; `None` where its status is not understood, which says nothing.
    pub(super) fn from_agent(agent: &Agent, at: Moment, stored: bool) -> Option<Self> {
        Some(Self {
            available: agent.available?,
            status: agent.status.clone(),
            since: agent.status_since,
            at,
            stored,
        })
    }

    fn mark(&self) -> Mark {
        Mark {
            since: self.since,
            at: self.at,
        }
    }
}

/// Takes in what was seen of an agent, unless something newer is known. Returns the departure, if it is one.
pub(super) fn follow(known: &mut Option<Presence>, seen: Presence) -> Option<Gone> {
    let Some(was) = known else {
        *known = Some(seen);
        return None;
    };
    if !seen.mark().replaces(was.mark(), was.since) {
        return None;
    }
    let was = std::mem::replace(was, seen.clone());
    // A status whose meaning has changed makes nobody leave.
    let has_changed = was.status != seen.status;
    (was.available && !seen.available && has_changed && !seen.stored).then_some(Gone {
        made_by: if was.stored { was.at } else { seen.at },
        seen,
    })
}

/// Takes in what an earlier task or process has counted, unless something newer is known.
pub(super) fn recall(known: &mut Option<Presence>, counted: Presence) {
    let is_newer = |was: &Presence| counted.mark().replaces(was.mark(), was.since);
    if known.as_ref().is_none_or(is_newer) {
        *known = Some(counted);
    }
}
