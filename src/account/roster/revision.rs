//! Takes rows back, or reads them again, when what they mean or how far they are trusted has changed.

use std::{sync::Arc, time::Duration};

use super::{Roster, confirmed::Omissions};
use crate::{
    calltools::Row,
    model::{
        agent::Agent,
        known::{Presence, Sighting},
        names::Names,
    },
};

impl Roster {
    /// Drops the results of sweeps, which lost trust, and returns to the polls of the queues. Departures that were counted stay counted.
    pub fn forget_sweeps(&mut self) {
        (self.swept, self.recalled) = (None, None);
        self.omissions = Omissions::default();
        self.take_back(|row| row.by_sweep);
    }

    /// Drops the confirmations by lists of changes: each status is as old as the last look at its row.
    pub fn forget_changes(&mut self) {
        self.omissions.changes = None;
    }

    /// Drops the rows of an earlier task that lists of changes may have confirmed, because these were wrong: the rows have the times of that.
    pub fn forget_recalled(&mut self) {
        if let Some(recalled) = self.recalled.take() {
            self.take_back(|row| row.by_sweep && row.at.boot <= recalled.boot);
        }
    }

    /// Drops these rows. What is left of their agents are the polls of the queues.
    fn take_back(&mut self, is_wrong: impl Fn(&Sighting) -> bool) {
        // Those who were missing from lists of available agents are marked in such rows.
        self.omissions.available = None;
        self.contradicted.clear();
        for person in self.people.values_mut() {
            person.newest.take_if(|newest| is_wrong(newest));
            (person.looked, person.contradicted) = (Duration::ZERO, None);
            person.latest = person
                .newest
                .as_ref()
                .and_then(|newest| newest.agent.status_since);
        }
        for membership in self.queues.iter().flatten() {
            for polled in &*membership.polled {
                let (_, person) = self.people.meet(&polled.id);
                let sighting = Sighting {
                    agent: Arc::clone(polled),
                    at: membership.as_of,
                    by_sweep: false,
                };
                person.show(sighting, self.differs);
            }
        }
        for membership in self.queues.iter_mut().flatten() {
            membership.look_again(&self.people);
        }
    }

    /// Reads every row again, because the account's statuses have other meanings. No agent departs by that.
    pub fn read_again(&mut self, names: &Names) {
        let again = |agent: &mut Arc<Agent>| {
            if let Some(read) = Row::explain(agent, names) {
                *agent = Arc::new(read);
            }
        };
        for person in self.people.values_mut() {
            let Some(newest) = &mut person.newest else {
                continue;
            };
            let was = newest.agent.status.clone();
            again(&mut newest.agent);
            let read = Presence::from_agent(&newest.agent, newest.at, false);
            if let (Some(seen), Some(read)) = (&mut person.seen, read) {
                seen.read_again(read, was);
            }
        }
        for membership in self.queues.iter_mut().flatten() {
            Arc::make_mut(&mut membership.polled)
                .iter_mut()
                .for_each(again);
            membership.look_again(&self.people);
        }
    }
}
