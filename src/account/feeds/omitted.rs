//! Agents whose last change only other lists have shown.
//!
//! One change may be missed by accident: it was committed late, or hidden between two pages. So the next reading reaches back to it, if it can, and
//! another a little later. If both lack the agent, the list omits them. Two missed changes in a row of the same agent show that as well. Pure.

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
    /// A reading that reached back to it lacked the agent: they may have been between two of its pages. Another one shall reach back.
    Lacked,
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

    /// Records a complete reading, which has everybody with a date between `oldest` and `settled`; its pages were [listed](Self::listed). Returns
    /// whether it omits an agent for certain.
    pub fn read(&mut self, as_of: Moment, oldest: Timestamp, settled: Timestamp) -> bool {
        self.0
            .retain(|_, miss| as_of.longest_since(miss.at) < MISS_LASTS);
        let mut is_omitted = false;
        for miss in self.0.values_mut() {
            if !miss.is_due(as_of) || miss.date > settled {
                continue;
            }
            let is_lacking = miss.date > oldest;
            is_omitted |= is_lacking && miss.check == Check::Lacked;
            (miss.at, miss.check) = match is_lacking {
                true => (as_of, Check::Lacked),
                false => (miss.at, Check::TooFar),
            };
        }
        is_omitted
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
        self.check != Check::TooFar && self.at.boot + CROSSING <= as_of.boot
    }
}
