//! The notes to record: counts, decisions and rows of a queue.

use std::{collections::BTreeMap, sync::Arc};

use super::presence::Presence;
use crate::{
    clock::Moment,
    decision::{board::QueueKey, snapshot::Snapshot},
    model::agent::Agent,
};

/// The name for agents without a status.
const NO_STATUS: &str = "none";

/// Something to record.
#[derive(Debug)]
pub(super) enum Note {
    Sample {
        key: QueueKey,
        at: Moment,
        as_of: Moment,
        counts: Counts,
    },
    Decided {
        key: QueueKey,
        minute_ms: i64,
        result: &'static str,
        reason: &'static str,
        count: u64,
    },
    Present {
        key: QueueKey,
        at: Moment,
        agents: Present,
    },
    Rows {
        key: QueueKey,
        at: Moment,
        agents: Arc<[Arc<Agent>]>,
    },
}

/// The agents who are logged in to a queue, and what they do.
pub(super) type Present = Vec<(Arc<Agent>, Presence)>;

/// Returns the agents of a snapshot who are logged in.
pub(super) fn present(snapshot: &Snapshot) -> Present {
    let agents = snapshot.agents.iter();
    agents
        .filter_map(|agent| Some((Arc::clone(agent), Presence::from_agent(agent)?)))
        .collect()
}

/// The counts of a queue at a moment. By default nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// `None` if unknown.
    pub seats: Option<f64>,
    /// Agents by status.
    pub agents: BTreeMap<Box<str>, u32>,
}

impl Counts {
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut agents: BTreeMap<Box<str>, u32> = BTreeMap::new();
        for agent in snapshot.agents.iter() {
            let status = agent.status.as_deref().unwrap_or(NO_STATUS);
            *agents.entry(status.into()).or_default() += 1;
        }
        let measured = snapshot.measured.as_ref().ok();
        Self {
            seats: measured.map(|measured| measured.count.get()),
            agents,
        }
    }
}
