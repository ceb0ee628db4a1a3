//! Forgets people who have left: a list that shows others each time would otherwise fill the memory.

use std::time::Duration;

use super::{Roster, person::Person};
use crate::clock::Moment;

/// People who belong to no queue are forgotten when they were not seen for so long: after any lag, and after any reservation that
/// their departure could end has run out.
const STRANGERS_LIVE: Duration = Duration::from_secs(1_800);

/// How often it is looked who has left; it takes a walk through everybody.
const LOOK_FOR_STRANGERS: Duration = Duration::from_secs(60);

/// People outside all queues who are remembered: as many as one list can have. A list that shows others each time would grow the
/// roster without bound otherwise.
pub(super) const MAX_STRANGERS: usize = 25_000;

impl Roster {
    /// A sweep that began at `begun` has covered the whole account. An agent who was not seen since then and belongs to no queue has
    /// left.
    pub fn swept(&mut self, begun: Moment) {
        self.swept = Some(begun);
        self.people.retain(|person| {
            let seen = person.last_seen();
            seen.is_some_and(|at| at.boot >= begun.boot) || person.is_member()
        });
    }

    /// Lets go of people who belong to no queue and were not seen for a while, as nothing else does without sweeps.
    pub(super) fn forget_strangers(&mut self, now: Moment) {
        let is_time = |tidied: Moment| now.boot >= tidied.boot + LOOK_FOR_STRANGERS;
        if !self.tidied.is_none_or(is_time) {
            return;
        }
        self.tidied = Some(now);
        let seen_since = |person: &Person, oldest: Duration| {
            person.last_seen().is_some_and(|at| at.boot >= oldest)
        };
        let oldest = now.boot.saturating_sub(STRANGERS_LIVE);
        self.people
            .retain(|person| person.is_member() || seen_since(person, oldest));
        let strangers = self.people.values().filter(|person| !person.is_member());
        let mut looks: Vec<Duration> = strangers
            .filter_map(Person::last_seen)
            .map(|at| at.boot)
            .collect();
        if looks.len() > MAX_STRANGERS {
            let place = looks.len() - MAX_STRANGERS;
            let (_, oldest, _) = looks.select_nth_unstable(place);
            let oldest = *oldest;
            self.people
                .retain(|person| person.is_member() || seen_since(person, oldest));
        }
    }
}
