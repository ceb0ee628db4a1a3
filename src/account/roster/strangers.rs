//! Forgets agents who have left. Otherwise, a list that shows other agents each time would fill the memory.

use std::time::Duration;

use super::{Roster, person::Person};
use crate::clock::Moment;

/// Agents who belong to no queue are forgotten after this long without being seen: longer than any lag, and than any reservation that their
/// departure could end.
const STRANGERS_LIVE: Duration = Duration::from_secs(1_800);

/// How often to look for them, which takes a walk through all agents.
const LOOK_FOR_STRANGERS: Duration = Duration::from_secs(60);

/// The maximum of agents outside all queues who are remembered: as many as one list can have.
pub(super) const MAX_STRANGERS: usize = 25_000;

impl Roster {
    /// Forgets agents who have left, after a complete sweep that began at `begun`: those who were not seen since then and belong to no queue.
    pub fn swept(&mut self, begun: Moment) {
        self.swept = Some(begun);
        self.people.retain(|person| {
            let seen = person.last_seen();
            let is_seen = seen.is_some_and(|at| at.boot >= begun.boot);
            // Polls that an earlier task knew may follow.
            is_seen || person.is_member() || person.contradicted.is_some() || person.has_slipped
        });
    }

    /// Forgets agents who belong to no queue and were not seen for a while. Without sweeps nothing else does.
    pub fn forget_strangers(&mut self, now: Moment) {
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
