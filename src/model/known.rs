//! What is known of an account's queues and agents, on its way from one task to the next: over a restart, or when the config changes.
//!
//! Everything has the moment at which CallTools said it, so nothing becomes fresh by being handed on.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// What one complete poll said of a queue.
#[derive(Clone, Debug)]
pub struct Poll {
    /// When CallTools looked, at the earliest.
    pub as_of: Moment,
    /// How long it took, all pages.
    pub took: Duration,
    /// Whether the rows were as many as CallTools counted.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Vec<Arc<Agent>>,
}

/// Everything that is worth handing on.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Each queue's last poll, by CallTools' id of the queue: what the config calls it may have changed.
    pub queues: Vec<(u64, Poll)>,
    /// The newest rows of agents, where something newer is known of them than their queues' polls.
    pub agents: Vec<Sighting>,
    /// What was counted of agents who come and go: a departure that has ended a reservation must not end another one.
    pub presences: Vec<(AgentId, Presence)>,
}

/// A row of an agent, and when CallTools looked.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The agent, as the row says.
    pub agent: Arc<Agent>,
    /// When CallTools looked, at the earliest.
    pub at: Moment,
    /// Seen by a sweep of the whole account rather than by a poll of a queue.
    pub by_sweep: bool,
}

/// Whether an agent was available when last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether they were.
    pub available: bool,
    /// With which status.
    pub status: Option<Arc<str>>,
    /// Since when, by CallTools' clock.
    pub since: Option<Timestamp>,
    /// When CallTools looked.
    pub at: Moment,
    /// It was read from a file, and more may have been seen since.
    pub stored: bool,
}
