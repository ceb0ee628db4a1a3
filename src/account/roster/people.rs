//! All known agents of an account. Each has a place that is fixed while they are known, so that a queue's members are found without looking up
//! their ids: an account with 10,000 agents has 25,000 memberships, which are read several times a minute.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use slab::Slab;

use super::person::Person;
use crate::{account::newest::STRAY, model::agent::AgentId};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct People {
    places: HashMap<AgentId, usize, RandomState>,
    known: Slab<Person>,
}

impl People {
    /// Returns a person, who is added if unknown, and their place.
    pub(super) fn meet(&mut self, id: &AgentId) -> (usize, &mut Person) {
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                let place = self.known.insert(Person::default());
                self.places.insert(id.clone(), place);
                place
            }
        };
        (place, &mut self.known[place])
    }

    pub(super) fn get(&self, id: &AgentId) -> Option<&Person> {
        self.known.get(*self.places.get(id)?)
    }

    /// Returns the latest date of a person's status.
    pub(super) fn latest(&self, id: &AgentId) -> Option<Timestamp> {
        self.get(id)?.latest
    }

    /// Returns the newest date of all agents, and then a date that is so far beyond it that it must be wrong, if there is one. If that is right, nobody
    /// else has changed since, and the other rows of a list that lags behind it are not outdated.
    pub(super) fn newest_dates(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (mut first, mut second) = (None, None);
        for date in self.values().map(|person| person.latest) {
            if date > first {
                (first, second) = (date, first);
            } else {
                second = second.max(date);
            }
        }
        let is_stray =
            |first: &Timestamp| second.is_some_and(|second| first.duration_since(second) > STRAY);
        match first.filter(is_stray) {
            Some(stray) => (second, Some(stray)),
            None => (first, None),
        }
    }

    pub(super) fn get_mut(&mut self, id: &AgentId) -> Option<&mut Person> {
        self.known.get_mut(*self.places.get(id)?)
    }

    /// Returns the person at a place.
    pub(super) fn at(&self, place: usize) -> Option<&Person> {
        self.known.get(place)
    }

    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut Person> {
        self.known.get_mut(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgentId, &Person)> {
        let places = self.places.iter();
        places.filter_map(|(id, place)| Some((id, self.known.get(*place)?)))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Person> {
        self.known.iter().map(|(_, person)| person)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Person> {
        self.known.iter_mut().map(|(_, person)| person)
    }

    /// Forgets people for whom `keep` is false. It must be true for members of queues.
    pub(super) fn retain(&mut self, keep: impl Fn(&Person) -> bool) {
        self.places.retain(|_, place| {
            let keeps = self.known.get(*place).is_some_and(&keep);
            if !keeps {
                self.known.try_remove(*place);
            }
            keeps
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
