//! Agents whose last change only other lists have shown.
//!
//! One change may be missed by accident: it was committed late, or its agent changed again while later pages were read. So the next reading reaches
//! back to it, if it can, and another a little later. If both lack the agent, the list omits them, unless they were deleted meanwhile: a later look
//! at another list shows that they were not. Two missed changes in a row of the same agent show that as well. Pure.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// Two requests under way at the same time may be answered in the other order, so their looks must be at least this far apart to be compared.
pub(super) const CROSSING: Duration = Duration::from_secs(10);

/// How long a missed change is remembered. In a large account, hours can pass until other lists show the agent again.
const MISS_LASTS: Duration = Duration::from_secs(3 * 3600);

/// A copy of CallTools' data that lags may show an agent for this long after they were deleted.
const DELETED_BY_THEN: Duration = Duration::from_secs(30);

/// A missed change.
#[derive(Clone, Copy, Debug)]
struct Miss {
    /// When another list showed it, or the list itself lacked it.
    at: Moment,
    date: Timestamp,
    check: Check,
}

/// Whether the list itself was asked about a change that it has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// The next reading shall reach back to it.
    Due,
    /// A reading that reached back to it lacked the agent: they may have moved while it was read. Another one shall reach back.
    Lacked,
    /// Another one lacked the agent as well. If they still exist, the list omits them.
    LackedTwice,
    /// Too much has changed since to reach back to it.
    TooFar,
}

/// The agents.
#[derive(Debug, Default)]
pub(super) struct Omitted(HashMap<AgentId, Miss>);

impl Omitted {
    /// Adds an agent whose change to this date was missed. Returns whether the change before was missed as well.
    pub fn add(&mut self, agent: &AgentId, date: Timestamp, at: Moment) -> bool {
        let miss = Miss {
            at,
            date,
            check: Check::Due,
        };
        let before = self.0.insert(agent.clone(), miss);
        before.is_some_and(|before| at.longest_since(before.at) < MISS_LASTS)
    }

    /// Removes the agents on a page.
    pub fn listed(&mut self, rows: &[Agent]) {
        if !self.0.is_empty() {
            for row in rows {
                self.0.remove(&row.id);
            }
        }
    }

    /// Returns the oldest of the dates that a reading which began at `as_of` shall reach back to.
    pub fn reach(&self, as_of: Moment) -> Option<Timestamp> {
        let due = self.0.values().filter(|miss| miss.is_due(as_of));
        due.map(|miss| miss.date).min()
    }

    /// Records a complete reading, which has everybody with a date between `oldest` and `settled`; its pages were [listed](Self::listed).
    pub fn read(&mut self, as_of: Moment, oldest: Timestamp, settled: Timestamp) {
        self.0
            .retain(|_, miss| as_of.longest_since(miss.at) < MISS_LASTS);
        for miss in self.0.values_mut() {
            if !miss.is_due(as_of) || miss.date > settled {
                continue;
            }
            (miss.at, miss.check) = match (miss.date > oldest, miss.check) {
                (true, Check::Lacked) => (as_of, Check::LackedTwice),
                (true, _) => (as_of, Check::Lacked),
                (false, _) => (miss.at, Check::TooFar),
            };
        }
    }

    /// Returns whether a row of another list, requested at `as_of`, proves that the list omits its agent: they exist, and the list has still not shown
    /// their last change, which was missed or came later. It must have shown all changes up to `due`.
    pub fn is_proved_by(&self, row: &Agent, as_of: Moment, due: Timestamp) -> bool {
        let Some((miss, date)) = self.0.get(&row.id).zip(row.status_since) else {
            return false;
        };
        date >= miss.date && date <= due && miss.is_unless_deleted(as_of)
    }

    /// Returns the agents whom the list omits unless they were deleted: other lists should be asked for them now.
    pub fn unless_deleted(&self, now: Moment) -> impl Iterator<Item = &AgentId> {
        let unsure = self.0.iter();
        unsure.filter_map(move |(id, miss)| miss.is_unless_deleted(now).then_some(id))
    }

    /// Gives up reaching back to the changes that are due: the pages cannot be read, or are too many.
    pub fn cannot_reach(&mut self, as_of: Moment) {
        for miss in self.0.values_mut() {
            if miss.is_due(as_of) {
                miss.check = Check::TooFar;
            }
        }
    }
}

impl Miss {
    fn is_due(&self, as_of: Moment) -> bool {
        matches!(self.check, Check::Due | Check::Lacked) && self.at.boot + CROSSING <= as_of.boot
    }

    fn is_unless_deleted(&self, as_of: Moment) -> bool {
        self.check == Check::LackedTwice && self.at.boot + DELETED_BY_THEN <= as_of.boot
    }
}
