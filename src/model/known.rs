//! What is known about an account's queues and agents, passed from one task to the next: across a restart, or when the config changes.
//!
//! Everything keeps the time of CallTools' data, so passing it on makes nothing fresher.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// The result of one complete poll of a queue.
#[derive(Clone, Debug)]
pub struct Poll {
    /// The earliest time at which CallTools can have read the data.
    pub as_of: Moment,
    /// How long it took, for all pages.
    pub took: Duration,
    /// Whether there were as many rows as CallTools counted.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Vec<Arc<Agent>>,
}

/// Everything worth passing on.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Each queue's last poll, by CallTools' id of the queue, because its name in the config may have changed.
    pub queues: Vec<(u64, Poll)>,
    /// The newest rows of agents, if more is known than their queues' polls show.
    pub agents: Vec<Sighting>,
    /// Whether each of these rows was read at its time. Otherwise a list of changes may have confirmed some of them then.
    pub are_looks: bool,
    /// When the last of all rows may have been read; `None` if nothing tells. Rows of lists that seem to lag have earlier times.
    pub looked: Option<Moment>,
    /// What lists confirm beyond these rows, unless a file was in between: it may lack some of them.
    pub confirmed: Confirmed,
    /// The queues, by CallTools' id, whose own polls fail. They may be gone, so that newer rows from other lists do not renew them.
    pub failing: Vec<u64>,
    /// When the names were read, if that is known and they are passed on.
    pub names_read: Option<Moment>,
    /// Whether agents were available when last counted: a departure that ended a reservation must not end another one.
    pub presences: Vec<(AgentId, Presence)>,
    /// What was learnt about how long agents stay in each status, and how busy the last week was, in its stored form; `None` if it must be read from
    /// the store.
    pub learnt: Option<String>,
}

impl Known {
    /// Removes the dates of polled rows that were refuted since: the earlier task believed a row that is as new and has an earlier date. With its
    /// wrong date, the polled row would be the newest again.
    pub fn undate_refuted(&mut self) {
        let believed = self.agents.iter().map(|row| (&row.agent.id, row));
        let believed: HashMap<_, _> = believed.collect();
        for (_, poll) in &mut self.queues {
            for polled in &mut poll.agents {
                let is_refuted = believed.get(&polled.id).is_some_and(|row| {
                    row.at.boot >= poll.as_of.boot && row.agent.is_older_than(polled)
                });
                if is_refuted {
                    *polled = Arc::new(polled.undated());
                }
            }
        }
    }
}

/// What lists confirm about agents whom they do not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// As of this moment, the status of each of the account's agents is known, …
    pub everybody: Option<Moment>,
    /// … and as of this one, whether each is available.
    pub available: Option<Moment>,
    /// The agents of whom lists confirm less.
    pub but: Vec<Unconfirmed>,
}

/// An agent of whom lists confirm less than of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Who it is.
    pub agent: AgentId,
    /// As of when their status is known.
    pub known: Moment,
    /// Why: the last list of available agents may have hidden them between two pages. Otherwise, later looks contradict their newest row.
    pub has_slipped: bool,
}

impl Confirmed {
    /// Returns what is confirmed of all agents.
    pub fn of_all(&self) -> Self {
        let least = self.but.iter().map(|one| one.known);
        let least = least.min_by_key(|known| known.boot);
        let lowered = |at: Moment| match least {
            Some(least) if least.boot < at.boot => least,
            _ => at,
        };
        Self {
            everybody: self.everybody.map(lowered),
            available: self.available.map(lowered),
            but: Vec::new(),
        }
    }
}

/// A row of an agent, and its time.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The agent in that row.
    pub agent: Arc<Agent>,
    /// The earliest time at which CallTools can have read the row.
    pub at: Moment,
    /// Seen in a sweep of the whole account rather than in a poll of a queue.
    pub by_sweep: bool,
}

/// Whether an agent was available when last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether they were.
    pub available: bool,
    /// Their status.
    pub status: Option<Arc<str>>,
    /// Since when, by CallTools' clock.
    pub since: Option<Timestamp>,
    /// The time of CallTools' data.
    pub at: Moment,
    /// It was read from a file. The process that wrote it may have seen more since.
    pub stored: bool,
}
