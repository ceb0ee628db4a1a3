//! How long agents stay in each status, as rows show it: what [`soon`](crate::decision::soon) learns from.
//!
//! As departures, stays are told by what was seen, and are not taken back with the rows of distrusted sweeps.

use std::time::Duration;

use super::Roster;
use crate::{
    decision::soon::stay::{self, Passed, Stay},
    model::{
        agent::{Agent, AgentId},
        known::Presence,
    },
};

/// Nobody takes them on a node of a cluster that only follows. Otherwise they are taken after each list, and none is this long.
pub(super) const MAX_UNTAKEN: usize = 25_000;

/// An agent was seen to spend time in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StayPassed {
    /// Who.
    pub agent: AgentId,
    /// The status, the time, and whether the stay has ended.
    pub passed: Passed,
    /// The agent went on to a call.
    pub onto_call: bool,
    /// When they went on, as boot time.
    pub at: Duration,
}

/// Takes in a row. One without a status says only that the agent is not available, and ends no stay that has a name.
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
    /// Time that agents were seen to spend in a status since this was last asked.
    pub fn take_stays(&mut self) -> Vec<StayPassed> {
        std::mem::take(&mut self.stays)
    }

    /// An agent's stay, and up to when it is known to have gone on, as boot time: who is not on a list of changes has not changed.
    pub fn stay(&self, id: &AgentId) -> Option<(&Stay, Duration)> {
        let person = self.people.get(id)?;
        let (stay, newest) = (person.stay.as_ref()?, person.newest.as_ref()?);
        Some((stay, self.confirmed.status(newest.at).boot))
    }
}

#[cfg(test)]
mod tests;
