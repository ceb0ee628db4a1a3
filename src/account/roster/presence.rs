//! Detects agents who come and go, which ends reservations.
//!
//! An available agent who is then seen unavailable has *departed*: they have taken a call, or left. That ends one reservation, once. So what was last seen of each agent is kept apart from the rows: distrust takes rows of sweeps back, a second feed shows the
//! same change again, and a new task starts with old rows. None of that is a second departure.
//!
//! Data from a file may be older than what the process that wrote it has counted. Such a [`Presence`] is *stored*: a departure relative to it ends
//! only reservations made before its look, after which the agent was seen available. If that process may have counted the departure itself, it
//! ends nothing: see [`Reservations::departed`](crate::decision::reservations::Reservations::departed). Then a seat may stay held until it
//! expires, but is never given away twice.

use super::person::Mark;
use crate::{
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::Presence,
    },
};

/// An agent became unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The agent.
    pub agent: AgentId,
    /// The places of the queues that the agent is logged in to.
    pub places: Vec<usize>,
    /// Only a reservation made by this moment can be for the call that the agent took.
    pub made_by: Moment,
    /// What was seen.
    pub seen: Presence,
}

/// The part of a departure that does not depend on queues.
#[derive(Debug)]
pub(super) struct Gone {
    pub made_by: Moment,
    pub seen: Presence,
}

impl Presence {
    /// Reads the presence in a row; `None` if its status is not understood.
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

/// Records what was seen of an agent, unless something newer is known. Returns the departure, if it is one.
pub(super) fn follow(known: &mut Option<Presence>, seen: Presence) -> Option<Gone> {
    let Some(was) = known else {
        *known = Some(seen);
        return None;
    };
    if !seen.mark().replaces(was.mark(), was.since) {
        return None;
    }
    let was = std::mem::replace(was, seen.clone());
    // A status with a new meaning is no departure.
    let has_changed = was.status != seen.status;
    (was.available && !seen.available && has_changed && !seen.stored).then_some(Gone {
        made_by: if was.stored { was.at } else { seen.at },
        seen,
    })
}

/// Records what an earlier task or process has counted, unless something newer is known.
pub(super) fn recall(known: &mut Option<Presence>, counted: Presence) {
    let is_newer = |was: &Presence| counted.mark().replaces(was.mark(), was.since);
    if known.as_ref().is_none_or(is_newer) {
        *known = Some(counted);
    }
}
