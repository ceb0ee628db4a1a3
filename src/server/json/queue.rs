//! Queues and their agents as JSON.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    decision::DecisionJson,
    fault::FaultJson,
    soon::SoonJson,
    time::{Timestamp, rfc3339, whole_ms},
};
use crate::{
    clock::Moment,
    decision::{board::QueueState, snapshot::Snapshot, soon::report::QueueReport},
    model::agent::Agent,
};

/// A queue without its agents.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
pub struct QueueJson<'a> {
    #[serde(flatten)]
    decision: DecisionJson<'a>,
    /// The queue's name at CallTools; null until it is known.
    name: Option<&'a str>,
    /// Members in the newest snapshot, even if it is too old to answer from; null before the first.
    agent_count: Option<usize>,
    /// How many of them have each status, not counting those without one; null before the first snapshot.
    agents_by_status: Option<BTreeMap<&'a str, usize>>,
    /// How many of them are available and logged in to the queue, but on a call; null before the first snapshot.
    available_on_call: Option<usize>,
    /// How many of them are available, logged in to the queue and not on a call, but not `ready` for the dialer; null before the first snapshot.
    available_not_ready: Option<usize>,
    /// What is wrong with the queue's polls; null if nothing.
    fault: Option<FaultJson>,
    /// When the last poll began.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    last_attempt: Option<Moment>,
    /// When the last good poll ended.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    last_success: Option<Moment>,
    /// Calls that arrive while it has no seat; null in the first seconds, and without `soon = true` on nodes of a cluster that do not lead the account.
    soon: Option<SoonJson>,
}

impl<'a> QueueJson<'a> {
    pub fn new(
        decision: DecisionJson<'a>,
        state: &'a QueueState,
        soon: Option<&QueueReport>,
        now: Moment,
    ) -> Self {
        let snapshot = state.snapshot.as_deref();
        let fault = state.fault.as_deref();
        Self {
            decision,
            name: state.name.as_deref(),
            agent_count: snapshot.map(|snapshot| snapshot.agents.len()),
            agents_by_status: snapshot.map(count_by_status),
            available_on_call: snapshot
                .map(|snapshot| count(snapshot, Agent::is_available_on_call)),
            available_not_ready: snapshot
                .map(|snapshot| count(snapshot, Agent::is_available_not_ready)),
            fault: fault.map(|fault| FaultJson::new(fault, now)),
            last_attempt: state.last_attempt,
            last_success: state.last_success,
            soon: soon.map(SoonJson::new),
        }
    }
}

fn count(snapshot: &Snapshot, which: fn(&Agent) -> bool) -> usize {
    let agents = snapshot.agents.iter();
    agents.filter(|agent| which(agent)).count()
}

fn count_by_status(snapshot: &Snapshot) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for agent in snapshot.agents.iter() {
        if let Some(status) = agent.status.as_deref() {
            *counts.entry(status).or_default() += 1;
        }
    }
    counts
}

/// All queues.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Queues")]
pub struct QueuesJson<'a> {
    /// In the order of the config.
    pub queues: Vec<QueueJson<'a>>,
}

/// A queue with its agents.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QueueWithAgents")]
pub struct QueueWithAgentsJson<'a> {
    #[serde(flatten)]
    queue: QueueJson<'a>,
    /// Whether CallTools sent as many rows as it counted.
    complete: Option<bool>,
    /// How long the last poll took, in milliseconds.
    took_ms: Option<u64>,
    /// The members. `null` before the first snapshot, which is not the same as none.
    agents: Option<Vec<AgentJson<'a>>>,
}

impl<'a> QueueWithAgentsJson<'a> {
    pub fn new(queue: QueueJson<'a>, snapshot: Option<&'a Snapshot>) -> Self {
        let agents = |snapshot: &'a Snapshot| snapshot.agents.iter().map(|one| AgentJson::new(one));
        Self {
            queue,
            complete: snapshot.map(|snapshot| snapshot.complete),
            took_ms: snapshot.map(|snapshot| whole_ms(snapshot.took)),
            agents: snapshot.map(|snapshot| agents(snapshot).collect()),
        }
    }
}

/// An agent.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Agent")]
pub struct AgentJson<'a> {
    /// CallTools' `app_user`.
    id: &'a str,
    /// As CallTools shows it.
    name: &'a str,
    /// The name of the agent's status; null if CallTools sends none.
    status: Option<&'a str>,
    /// Whether CallTools sets agents in this status ready; null if that is unknown.
    available: Option<bool>,
    /// Whether the agent is logged in to this queue.
    queue_logged_in: bool,
    /// Whether the agent is on a call now, regardless of the status.
    on_call: bool,
    /// Whether CallTools' dialer would give the agent a call; null if CallTools does not say.
    ready: Option<bool>,
    /// Since when the agent is in this status.
    #[schemars(with = "Option<Timestamp>")]
    status_since: Option<String>,
}

impl<'a> AgentJson<'a> {
    pub fn new(agent: &'a Agent) -> Self {
        Self {
            id: &agent.id.0,
            name: &agent.name,
            status: agent.status.as_deref(),
            available: agent.available,
            queue_logged_in: agent.queue_logged_in,
            on_call: agent.on_call,
            ready: agent.ready,
            status_since: agent.status_since.map(|since| format!("{since:.3}")),
        }
    }
}
