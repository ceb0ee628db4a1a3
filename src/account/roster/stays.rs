//! Follows how long agents stay in each status, from which [`soon`](crate::decision::soon) learns.
//!
//! Like departures, stays follow from what was seen, and are not taken back with the rows of distrusted sweeps.

use std::time::Duration;

use super::Roster;
use crate::{
    decision::soon::stay::{self, Passed, Stay},
    model::{
        agent::{Agent, AgentId},
        known::Presence,
    },
};

/// The maximum of stays that are kept: a following node of a cluster does not take them. Otherwise they are taken after each list, which is shorter.
pub(super) const MAX_UNTAKEN: usize = 25_000;

/// A time that an agent was seen to spend in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StayPassed {
    /// The agent.
    pub agent: AgentId,
    /// The status, the time, and whether the stay has ended.
    pub passed: Passed,
    /// Whether the agent then took a call.
    pub onto_call: bool,
    /// The boot time of the change.
    pub at: Duration,
}

/// Applies a row. A row without a status only shows that the agent is not available, and ends no named stay.
pub(super) fn follow(
    known: &mut Option<Stay>,
    agent: &Agent,
    seen: &Presence,
) -> Option<StayPassed> {
    seen.status.as_ref()?;
    let passed = stay::follow(known, seen)?;
    let began = known.as_ref().and_then(Stay::began);
    Some(StayPassed {
        agent: agent.id.clone(),
        onto_call: passed.ended.is_some() && agent.on_call && !seen.available,
        at: began.unwrap_or(seen.at.boot),
        passed,
    })
}

impl Roster {
    /// Takes the times that agents were seen to spend in a status since the last call.
    pub fn take_stays(&mut self) -> Vec<StayPassed> {
        std::mem::take(&mut self.stays)
    }

    /// Returns an agent's stay, and the boot time until which it is known to have lasted: an agent who is not on a list of changes has not changed.
    pub fn stay(&self, id: &AgentId) -> Option<(&Stay, Duration)> {
        let person = self.people.get(id)?;
        let (stay, newest) = (person.stay.as_ref()?, person.newest.as_ref()?);
        Some((stay, self.confirmed.status(newest.at).boot))
    }
}

#[cfg(test)]
mod tests;
