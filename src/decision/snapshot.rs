//! What is known of one queue: its members as its last complete poll told, each with the newest status seen anywhere.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Moment,
    decision::criteria::{Measured, Mismatch},
    model::agent::Agent,
};

/// The agents of a queue at one moment, and what the queue's criteria made of them. Immutable: newer rows, from a
/// poll or a sweep, bring a new one.
#[derive(Debug)]
pub struct Snapshot {
    /// The oldest of the statuses that the count rests on: when CallTools looked at it, at the earliest.
    pub as_of: Moment,
    /// When the queue itself was last asked who belongs to it: the moment the first page was asked for.
    pub members_as_of: Moment,
    /// How long the poll took, all pages.
    pub took: Duration,
    /// Whether the rows were as many as CallTools counted. An incomplete list is still the best knowledge there is after a
    /// second reading; a metric and a log line tell of it.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Vec<Arc<Agent>>,
    /// The criteria's result, worked out once. An error is an unknown, never a zero.
    pub measured: Result<Measured, Mismatch>,
}
