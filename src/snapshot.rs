//! What one complete poll said of one queue.

use std::time::Duration;

use crate::{
    calltools::Agent,
    clock::Moment,
    criteria::{Measured, Mismatch},
};

/// The agents of a queue at one moment, and what the queue's criteria made of them. Immutable: a newer poll brings a new one.
#[derive(Debug)]
pub struct Snapshot {
    /// When CallTools looked, at the earliest: the moment the first page was asked for.
    pub as_of: Moment,
    /// How long the poll took, all pages.
    pub took: Duration,
    /// Whether the rows were as many as CallTools counted. An incomplete list is still the best knowledge there is after a
    /// second reading; a metric and a log line tell of it.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Vec<Agent>,
    /// The criteria's result, worked out once. An error is an unknown, never a zero.
    pub measured: Result<Measured, Mismatch>,
}
