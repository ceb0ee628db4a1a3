//! Passes rows on: to the next task, to the file, and to the other nodes of a cluster.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::Roster;
use crate::model::{
    agent::{Agent, AgentId},
    known::Sighting,
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

impl Roster {
    /// Returns what is known about members beyond the last polls of their queues, for a handover.
    ///
    /// Each row has the moment as of which *it* is known, including confirmations by lists of changes. With one moment for all rows, a row that was
    /// lost on the way would look as new as the others.
    pub fn known_beside_polls(&self) -> Vec<Sighting> {
        self.unpassed(&mut Passed::default())
    }

    /// Returns those of the [rows beside polls](Self::known_beside_polls) that were not `passed` on yet, and records that they are.
    pub fn unpassed(&self, passed: &mut Passed) -> Vec<Sighting> {
        let mut polled: HashMap<&AgentId, Vec<&Arc<Agent>>> = HashMap::new();
        let queues = self.queues.iter().flatten();
        for row in queues.flat_map(|queue| &*queue.polled) {
            polled.entry(&row.id).or_default().push(row);
        }
        let newest = polled.into_iter().filter_map(|(id, polled)| {
            let person = self.people.get(id)?;
            let newest = person.newest.as_ref()?;
            let is_polled = polled
                .iter()
                .any(|polled| Arc::ptr_eq(polled, &newest.agent));
            let at = self.omissions.status(newest.at);
            // A poll that shows the same row again leaves the row that was known, so a row that no poll has may still come from one.
            let by_sweep = newest.by_sweep || at.boot > newest.at.boot;
            let is_new = person.changed > passed.change || Some(at.boot) > passed.at;
            (is_new && (by_sweep || !is_polled)).then(|| Sighting {
                agent: Arc::clone(&newest.agent),
                at,
                by_sweep,
            })
        });
        let rows: Vec<_> = newest.collect();
        let newest = rows.iter().map(|row| row.at.boot).max();
        (passed.at, passed.change) = (passed.at.max(newest), self.changes);
        rows
    }
}
