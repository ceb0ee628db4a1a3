//! Passes rows on: to the next task, to the file, and to the other nodes of a cluster.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Roster, earlier, person::Person};
use crate::{
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::{Poll, Sighting},
    },
};

/// Which rows were passed on: by default, none. A row may be renewed with an earlier time than that of others, because its list lags. So changes are
/// counted as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The latest time of such a row, since the boot.
    at: Option<Duration>,
    /// The number of the last change before.
    change: u64,
}

/// Which rows the other nodes know: by default, none.
///
/// A reading of the list of changes renews the status of everybody who is not on it. The nodes hear that in one word, because the rows themselves are
/// the same: they know which ones the list covers.
#[derive(Debug, Default)]
pub struct Told {
    rows: HashMap<AgentId, ToldRow>,
    /// Since when agents must have been seen to be covered by the list of changes; `None` before the first row was told.
    base: Option<Option<Moment>>,
    /// How often the roster was looked through.
    looks: u64,
}

#[derive(Clone, Copy, Debug)]
struct ToldRow {
    /// The number of the change that last renewed it.
    change: u64,
    is_covered: bool,
    /// The number of the last look that found it.
    look: u64,
}

/// What the other nodes do not know yet.
#[derive(Debug, Default)]
pub struct Untold {
    /// Whether the list of changes covers none of the rows that they know any more.
    pub uncovered: bool,
    /// The rows.
    pub rows: Vec<UntoldRow>,
    /// As of this moment, no agent whose row is covered had changed.
    pub unchanged: Option<Moment>,
}

/// A row that the other nodes do not know yet.
#[derive(Debug)]
pub struct UntoldRow {
    /// The row, and when it was seen.
    pub seen: Sighting,
    /// Whether it was read at that time. A row of an earlier task may only have been confirmed then.
    pub is_look: bool,
    /// Whether the list of changes would have shown any change since then.
    pub is_covered: bool,
}

impl Roster {
    /// Returns what is known about members beyond the last polls of their queues, for a handover.
    ///
    /// Each row has the moment as of which *it* is known, including confirmations by lists of changes. With one moment for all rows, a row that was
    /// lost on the way would look as new as the others.
    pub fn known_beside_polls(&self) -> Vec<Sighting> {
        self.unpassed(&mut Passed::default())
    }

    /// Returns a queue's last poll.
    pub fn last_poll(&self, place: usize) -> Option<Poll> {
        let membership = self.queues[place].as_ref()?;
        Some(Poll {
            as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: membership.polled.to_vec(),
        })
    }

    /// Returns a queue's last poll for the next task, in which no row replaces the newest one. The poll counts as older if that is known only as of an
    /// earlier moment, and dates that were found wrong are removed.
    pub fn poll_to_hand_over(&self, place: usize) -> Option<Poll> {
        let membership = self.queues[place].as_ref()?;
        let mut poll = self.last_poll(place)?;
        for (member, polled) in membership.members.iter().zip(&mut poll.agents) {
            let Some(person) = self.people.at(member.who) else {
                continue;
            };
            if let Some(newest) = &person.newest
                && !Arc::ptr_eq(&newest.agent, polled)
            {
                poll.as_of = earlier(poll.as_of, Some(newest.at));
            }
            if polled.status_since > person.latest {
                *polled = Arc::new(polled.undated());
            }
        }
        Some(poll)
    }

    /// Returns when the last row may have been read.
    pub fn last_look(&self) -> Option<Moment> {
        self.looked
    }

    /// Returns whether all rows of lists of statuses may be known only as of an earlier moment than they were read: the last list seemed to lag.
    pub fn seems_to_lag(&self) -> bool {
        self.lags
    }

    /// Forgets that lists seemed to lag: rows come from another node from now on.
    pub fn forget_lag(&mut self) {
        self.lags = false;
    }

    /// Returns whether each row was read at its time, and no list of changes has confirmed it since.
    pub fn has_only_looks(&self) -> bool {
        self.recalled.is_none() && self.omissions.changes.is_none()
    }

    /// Returns those of the [rows beside polls](Self::known_beside_polls) that were not `passed` on yet, and records that they are.
    pub fn unpassed(&self, passed: &mut Passed) -> Vec<Sighting> {
        let is_new = |person: &Person, row: &Sighting| {
            person.changed > passed.change || Some(row.at.boot) > passed.at
        };
        let rows = self.rows_beside_polls();
        let rows = rows.filter(|(person, row)| is_new(person, row));
        let rows: Vec<_> = rows.map(|(_, row)| row).collect();
        let newest = rows.iter().map(|row| row.at.boot).max();
        (passed.at, passed.change) = (passed.at.max(newest), self.changes);
        rows
    }

    /// Returns what the other nodes were not `told` yet about the [rows beside polls](Self::known_beside_polls), and records that they are.
    pub fn untold(&self, told: &mut Told) -> Untold {
        let changes = self.omissions.changes;
        let base = changes.map(|(base, _)| base);
        let uncovered = told.base.replace(base) != Some(base);
        if uncovered {
            let rows = told.rows.values_mut();
            rows.for_each(|row| row.is_covered = false);
        }
        told.looks += 1;
        let look = told.looks;
        let mut rows = Vec::new();
        for (person, row) in self.rows_beside_polls() {
            let Some(newest) = &person.newest else {
                continue;
            };
            let is_seen = base.is_some_and(|base| newest.at.boot >= base.boot);
            let is_covered = is_seen && person.contradicted.is_none();
            let row_now = ToldRow {
                change: person.changed,
                is_covered,
                look,
            };
            let was = told.rows.insert(newest.agent.id.clone(), row_now);
            let is_same =
                |was: ToldRow| (was.change, was.is_covered) == (row_now.change, row_now.is_covered);
            if !was.is_some_and(is_same) {
                let at = earlier(newest.at, person.known_until());
                rows.push(self.to_tell(Sighting { at, ..row }, is_covered));
            }
        }
        // Nobody hears of their changes from now on.
        told.rows.retain(|id, row| {
            let is_known = row.look == look;
            if let (false, true, Some(left)) = (is_known, row.is_covered, self.newest(id)) {
                rows.push(self.to_tell(left.clone(), false));
            }
            is_known
        });
        Untold {
            uncovered,
            rows,
            unchanged: changes.map(|(_, as_of)| as_of),
        }
    }

    fn to_tell(&self, seen: Sighting, is_covered: bool) -> UntoldRow {
        let recalled = self.recalled;
        UntoldRow {
            is_look: recalled.is_none_or(|recalled| seen.at.boot > recalled.boot),
            is_covered,
            seen,
        }
    }

    /// Returns the newest rows of members that are not just the rows of their queues' last polls, with the moment as of which each is known. Those of whom
    /// lists [confirm less](Self::confirmed) are among them.
    fn rows_beside_polls(&self) -> impl Iterator<Item = (&Person, Sighting)> {
        let mut polled: HashMap<&AgentId, Vec<&Arc<Agent>>> = HashMap::new();
        let queues = self.queues.iter().flatten();
        for row in queues.flat_map(|queue| &*queue.polled) {
            polled.entry(&row.id).or_default().push(row);
        }
        polled.into_iter().filter_map(|(id, polled)| {
            let person = self.people.get(id)?;
            let newest = person.newest.as_ref()?;
            let is_polled = polled
                .iter()
                .any(|polled| Arc::ptr_eq(polled, &newest.agent));
            let at = earlier(self.omissions.status(newest.at), person.known_until());
            // A poll that shows the same row again leaves the row that was known, so a row that no poll has may still come from one.
            let by_sweep = newest.by_sweep || at.boot > newest.at.boot;
            let is_doubtful = person.contradicted.is_some() || person.has_slipped;
            (by_sweep || !is_polled || is_doubtful).then(|| {
                let agent = Arc::clone(&newest.agent);
                let row = Sighting {
                    agent,
                    at,
                    by_sweep,
                };
                (person, row)
            })
        })
    }
}
