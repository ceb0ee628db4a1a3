//! What is known of an account's queues and agents, on its way from one task to the next: over a restart, or when the config changes.
//!
//! Everything has the moment at which CallTools said it, so nothing becomes fresh by being handed on.

use std::{sync::Arc, time::Duration};

use crate::{
    account::roster::{Presence, Sighting},
    calltools::{Agent, AgentId},
    clock::Moment,
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
