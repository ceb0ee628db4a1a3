//! What lists say by leaving somebody out: who has not changed is not on the list of changes, and who is not available is not on the list of those who are.
//!
//! So a status can be known as of a later moment than that of the row that shows it.

use std::sync::Arc;

use super::{Roster, Source, membership::later};
use crate::{
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::Sighting,
    },
};

/// What lists have said by leaving agents out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Confirmed {
    /// Agents who were seen since the first moment had not changed at the second.
    changes: Option<(Moment, Moment)>,
    /// Whether any agent is available is known as of this moment.
    available: Option<Moment>,
}

impl Confirmed {
    /// As of when the status of an agent is known who was seen then.
    pub(super) fn status(&self, seen: Moment) -> Moment {
        match self.changes {
            Some((base, as_of)) if seen.boot >= base.boot => later(seen, as_of),
            _ => seen,
        }
    }

    /// As of when it is known whether an agent is available who was seen then.
    pub(super) fn availability(&self, seen: Moment) -> Moment {
        let seen = self.available.map_or(seen, |as_of| later(seen, as_of));
        self.status(seen)
    }
}

impl Roster {
    /// A list of changes was complete: who was seen since `base` and was not on it has not changed until `as_of`.
    pub fn confirm_changes(&mut self, base: Moment, as_of: Moment) {
        let as_of = match self.confirmed.changes {
            Some((was, known)) if was == base => later(known, as_of),
            _ => as_of,
        };
        self.confirmed.changes = Some((base, as_of));
    }

    /// A list of those who are available was complete. These agents were not on it, and were available before.
    pub fn confirm_available(&mut self, as_of: Moment, gone: &[AgentId]) {
        let rows = gone.iter().filter_map(|id| {
            let agent = &self.newest(id)?.agent;
            Some(Sighting {
                agent: Arc::new(not_available(agent)),
                at: as_of,
                by_sweep: true,
            })
        });
        for row in rows.collect::<Vec<_>>() {
            self.take_row(row, Source::Look);
        }
        let known = self.confirmed.available;
        self.confirmed.available = Some(known.map_or(as_of, |known| later(known, as_of)));
    }

    /// Lists of changes are not to be believed: everybody's status is as old as the last look at their row.
    pub fn forget_changes(&mut self) {
        self.confirmed.changes = None;
    }

    /// Lists of those who are available are not to be believed.
    pub fn forget_available(&mut self) {
        self.confirmed.available = None;
    }

    /// As of when it is known whether an agent is available whose newest row this is.
    pub fn known_as_of(&self, newest: &Sighting) -> Moment {
        self.confirmed.availability(newest.at)
    }

    /// The newest row of everybody.
    pub fn newest_rows(&self) -> impl Iterator<Item = &Sighting> {
        self.people
            .values()
            .filter_map(|person| person.newest.as_ref())
    }

    /// How many agents are available, as far as is known.
    pub fn available(&self) -> usize {
        let available = self
            .newest_rows()
            .filter(|row| row.agent.available == Some(true));
        available.count()
    }
}

/// The agent with a status that is not known, but for not being available.
fn not_available(agent: &Agent) -> Agent {
    Agent {
        status: None,
        available: Some(false),
        status_since: None,
        raw: agent.raw.without_status(),
        ..agent.clone()
    }
}
