//! Takes rows back, or reads them again, when what they mean or how far they are trusted has changed.

use std::sync::Arc;

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
        self.swept = None;
        self.omissions = Omissions::default();
        for person in self.people.values_mut() {
            person.newest.take_if(|newest| newest.by_sweep);
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
            if let Some(newest) = &mut person.newest {
                again(&mut newest.agent);
            }
        }
        for membership in self.queues.iter_mut().flatten() {
            Arc::make_mut(&mut membership.polled)
                .iter_mut()
                .for_each(again);
            membership.look_again(&self.people);
        }
        for person in self.people.values_mut() {
            let Some(newest) = &person.newest else {
                continue;
            };
            let read = Presence::from_agent(&newest.agent, newest.at, false);
            if let (Some(presence), Some(read)) = (&mut person.presence, read)
                && presence.at == read.at
            {
                if let Some(stay) = &mut person.stay {
                    stay.read_again(&read, presence);
                }
                (presence.available, presence.status) = (read.available, read.status);
            }
        }
    }
}
