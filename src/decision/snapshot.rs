//! What is known about one queue: its members from the last complete poll, each with the newest status seen anywhere.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Moment,
    decision::{
        criteria::{Measured, Mismatch},
        soon::outlook::Outlook,
    },
    model::{agent::Agent, quantity::Quantity},
};

/// The agents of a queue at one moment, and what the queue's criteria made of them. Immutable: newer rows, from a
/// poll or a sweep, bring a new one.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The earliest time at which CallTools can have read the oldest status behind the count.
    pub as_of: Moment,
    /// The earliest time at which CallTools can have read the oldest row. A status may be known as of later: lists confirm it by omission, but not the
    /// other fields of the row.
    pub rows_as_of: Moment,
    /// When the queue itself was last polled for its members: the moment the first page was requested.
    pub members_as_of: Moment,
    /// How long the poll took, for all pages.
    pub took: Duration,
    /// Whether there were as many rows as CallTools counted. After a second reading, an incomplete list is still the best there is; a
    /// metric and a log line report it.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Arc<[Arc<Agent>]>,
    /// What the config that has these criteria compares the count with. `None` for criteria that do not compare numbers, and if only the caller knows.
    pub threshold: Option<Quantity>,
    /// The result of the criteria, computed once. An error is an unknown, never a zero.
    pub measured: Result<Measured, Mismatch>,
    /// Who will be free soon, if the queue accepts at zero seats and nothing is in doubt.
    pub outlook: Option<Outlook>,
}
