//! Follows how long agents stay in each status, from which [`soon`](crate::decision::soon) learns.
//!
//! Like departures, stays follow from what was seen, and are not taken back with the rows of distrusted sweeps.

use std::{sync::Arc, time::Duration};

use super::{Roster, earlier};
use crate::{
    clock::Moment,
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

/// An agent's stay, and what lists confirm about it by omission.
#[derive(Clone, Debug)]
pub struct KnownStay {
    /// The stay that rows of the agent have shown.
    pub stay: Stay,
    /// Until when it has lasted: an agent who is not on a list of changes has not changed.
    pub lasted: Moment,
    /// As of when it is known whether the agent is available: one who is not on a list of available agents is not.
    pub away: Moment,
}

/// If nothing was known about an agent for longer than this, other statuses may have come in between.
const MAX_GAP: Duration = Duration::from_secs(60);

/// Applies a row. A row without a status only shows that the agent is not available, and ends no named stay, unless it has a later date: then the agent
/// has had no status since.
///
/// Until `lasted`, a boot time, the current stay is known to have lasted. A stay with a call in it is none that could end soon, and is not reported.
/// Neither is one whose end is not known well enough.
pub(super) fn follow(
    known: &mut Option<Stay>,
    agent: &Agent,
    seen: &Presence,
    lasted: Option<Duration>,
) -> Option<StayPassed> {
    let was = known.as_ref();
    if seen.status.is_none() && was.and_then(Stay::since) >= seen.since {
        return None;
    }
    let had_call = was.is_some_and(Stay::had_call);
    let had_status = was.is_none_or(|stay| !stay.status().is_empty());
    let is_newer = was.is_none_or(|stay| stay.is_older_than(seen));
    let last_look = was.map(Stay::seen);
    let lasted = lasted.max(last_look);
    let passed = stay::follow(known, seen);
    let stay = known.as_mut()?;
    // From no status, the agent goes onto a call like from the status before.
    let goes_on = stay.status().is_empty() && (had_call || had_status && passed.is_none());
    if is_newer && (agent.on_call || goes_on) {
        stay.saw_call();
    }
    let at = stay
        .began()
        .unwrap_or_else(|| changed(seen).max(last_look.unwrap_or_default()));
    // Without a date, the change may be as late as the look.
    let end = seen.since.map_or(seen.at.boot, |_| at);
    let is_known = |passed: &Passed| {
        let gap = end.saturating_sub(lasted.unwrap_or_default());
        !had_call && (passed.ended.is_none() || gap <= MAX_GAP)
    };
    let passed = passed.filter(is_known)?;
    Some(StayPassed {
        agent: agent.id.clone(),
        onto_call: passed.ended.is_some() && agent.on_call && !seen.available,
        at,
        passed,
    })
}

/// Returns when the change was that this look shows, as boot time, if the status before was seen later: a list may count from before its request, so its
/// dates can be later.
fn changed(seen: &Presence) -> Duration {
    let since = seen
        .since
        .map(|since| since.duration_since(seen.at.timestamp()));
    let after = since.and_then(|after| Duration::try_from(after).ok());
    seen.at.boot.saturating_add(after.unwrap_or_default())
}

impl Roster {
    /// Takes the times that agents were seen to spend in a status since the last call.
    pub fn take_stays(&mut self) -> Vec<StayPassed> {
        std::mem::take(&mut self.stays)
    }

    /// Gives the statuses of current stays the names that CallTools has given them: rows that name their status show them only at the next look.
    /// Read the rows again after that.
    pub fn rename_stays(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        let people = self.people.values_mut();
        let seen = people.filter_map(|person| person.seen.as_mut());
        seen.for_each(|seen| seen.rename(renamed));
    }

    /// Returns an agent's stay, and as of when it is known.
    pub fn stay(&self, id: &AgentId) -> Option<KnownStay> {
        let person = self.people.get(id)?;
        let newest = person.newest.as_ref()?;
        Some(KnownStay {
            stay: person.seen.as_ref()?.stay()?,
            lasted: earlier(self.omissions.status(newest.at), person.known_until()),
            away: self.known_as_of(newest),
        })
    }
}

#[cfg(test)]
mod tests;
