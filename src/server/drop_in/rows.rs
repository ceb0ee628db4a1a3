//! The rows of `agentstatuses/`, from the snapshots on the board.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{error::DropInError, page::number};
use crate::{
    decision::{
        Reason,
        criteria::{Measured, Verdict},
        snapshot::Snapshot,
    },
    model::{agent::Agent, names::Names, quantity::Quantity},
    server::{
        json::decision::why_unknown,
        state::app::{AccountHandle, App, Queue},
    },
};

/// Finds the queue whose id a request names.
pub(super) fn queue<'a>(
    app: &'a App,
    account: &'a AccountHandle,
    id: &str,
) -> Result<&'a Queue, DropInError> {
    let id = number(id).ok_or_else(|| DropInError::not_a_number("queue"))?;
    match queues_of(app, account).find(|queue| has_id(app, queue, id)) {
        Some(queue) => Ok(queue),
        // It may be a queue whose id has not been looked up yet.
        None => match queues_of(app, account).find(|queue| app.state(queue).id.is_none()) {
            Some(queue) => known(app, queue).and(Err(DropInError::no_choice("queue"))),
            None => Err(DropInError::no_choice("queue")),
        },
    }
}

/// Whether a queue has this id. A queue that is configured by its id has it before any look-up.
fn has_id(app: &App, queue: &Queue, id: u64) -> bool {
    match app.state(queue).id {
        Some(known) => known == id,
        None => queue.key.queue.parse() == Ok(id),
    }
}

/// Returns the snapshots of all the account's queues. If one is unknown, so is the whole list, since its agents would be missing.
pub(super) fn account_snapshots(
    app: &App,
    account: &AccountHandle,
) -> Result<Vec<Arc<Snapshot>>, DropInError> {
    queues_of(app, account)
        .map(|queue| known(app, queue))
        .collect()
}

/// Returns the snapshots of the account's queues that are known.
pub(super) fn known_snapshots(app: &App, account: &AccountHandle) -> Vec<Arc<Snapshot>> {
    queues_of(app, account)
        .filter_map(|queue| known(app, queue).ok())
        .collect()
}

fn queues_of<'a>(app: &'a App, account: &'a AccountHandle) -> impl Iterator<Item = &'a Queue> {
    app.queues_of(account).map(|queue| &**queue)
}

/// Returns the queue's snapshot while it is fresh, even if the queue's criteria do not fit it: clients of the drop-in have their own.
pub(super) fn known(app: &App, queue: &Queue) -> Result<Arc<Snapshot>, DropInError> {
    let state = app.state(queue);
    let decision = app.decide(queue, &state, &queue.policy);
    match &state.snapshot {
        _ if decision.reason == Reason::Closed => Ok(Arc::new(nobody(app))),
        Some(snapshot) if decision.is_fresh => Ok(Arc::clone(snapshot)),
        _ => {
            let why =
                why_unknown(&state, &queue.policy, &decision, app.clock.now()).unwrap_or_default();
            let name = &queue.key.queue;
            Err(DropInError::Unknown(format!(
                "openseat does not know the agents of queue \"{name}\" now: {why}."
            )))
        }
    }
}

/// The list of a closed queue. It is known that nobody takes its calls now, so this is not an unknown that looks like zero.
fn nobody(app: &App) -> Snapshot {
    let now = app.clock.now();
    Snapshot {
        outlook: None,
        as_of: now,
        members_as_of: now,
        took: Duration::ZERO,
        complete: true,
        agents: Arc::default(),
        measured: Ok(Measured {
            count: Quantity::ZERO,
            verdict: Verdict::Holds(false),
        }),
    }
}

/// The `Age` header: that of the oldest snapshot, in whole seconds.
pub(super) fn age(app: &App, sources: &[Arc<Snapshot>]) -> [(HeaderName, HeaderValue); 1] {
    let now = app.clock.now();
    let ages = sources.iter().map(|source| now.longest_since(source.as_of));
    let oldest = ages.max().unwrap_or_default();
    [(header::AGE, oldest.as_secs().into())]
}

/// Rows of agents.
pub(super) struct Listing<'s> {
    agents: Vec<&'s Agent>,
    /// The request named no queue, so the rows must not say anything about one.
    without_queue: bool,
}

impl<'s> Listing<'s> {
    /// Each agent once, from the newest snapshot that has them, in the order of the config and of CallTools.
    pub(super) fn new(sources: &'s [Arc<Snapshot>], of_one_queue: bool) -> Self {
        let mut places: HashMap<&str, (usize, &Snapshot)> = HashMap::new();
        let mut agents: Vec<&Agent> = Vec::new();
        for source in sources {
            for agent in source.agents.iter() {
                match places.get_mut(&*agent.id.0) {
                    None => {
                        places.insert(&agent.id.0, (agents.len(), source));
                        agents.push(agent);
                    }
                    Some((place, newest)) if is_newer(source, newest) => {
                        agents[*place] = agent;
                        *newest = source;
                    }
                    Some(_) => {}
                }
            }
        }
        Self {
            agents,
            without_queue: !of_one_queue,
        }
    }

    /// Only the agents in a status, given by its id.
    pub(super) fn with_status(self, id: &str, names: &Names) -> Result<Self, DropInError> {
        let id = number(id).ok_or_else(|| DropInError::not_a_number("agent_status"))?;
        let statuses = names.statuses.as_deref();
        let named = statuses.and_then(|all| all.iter().find(|status| status.id == id));
        if statuses.is_some() && named.is_none() {
            return Err(DropInError::no_choice("agent_status"));
        }
        let name = named.map(|status| &*status.name);
        let mut agents = Vec::with_capacity(self.agents.len());
        for agent in self.agents {
            if is_in_status(agent, id, name)? {
                agents.push(agent);
            }
        }
        Ok(Self { agents, ..self })
    }

    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Some of the rows, as CallTools sent them.
    pub(super) fn rows(&self, range: Range<usize>) -> impl Iterator<Item = Cow<'s, RawValue>> {
        let without_queue = self.without_queue;
        let agents: Vec<&'s Agent> = self.agents[range].to_vec();
        agents
            .into_iter()
            .map(move |agent| row(agent, without_queue))
    }

    /// One agent's row.
    pub(super) fn agent(&self, id: &str) -> Option<Cow<'s, RawValue>> {
        let agent = self.agents.iter().find(|agent| *agent.id.0 == *id)?;
        Some(row(agent, self.without_queue))
    }
}

/// Compares wall time, the only clock that two snapshots share if one of them is from before a restart.
fn is_newer(one: &Snapshot, other: &Snapshot) -> bool {
    one.as_of.wall > other.as_of.wall
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StatusField {
    Id(u64),
    Name(String),
}

#[derive(Deserialize)]
struct StatusOnly {
    agent_status: Option<StatusField>,
}

/// CallTools writes a status as its id or as its name. Without the name of the id the two cannot be compared.
fn is_in_status(agent: &Agent, id: u64, name: Option<&str>) -> Result<bool, DropInError> {
    let row: Result<StatusOnly, _> = serde_json::from_str(agent.raw.json().get());
    match row.ok().and_then(|row| row.agent_status) {
        Some(StatusField::Id(of_row)) => Ok(of_row == id),
        Some(StatusField::Name(of_row)) => {
            let name = name.ok_or_else(|| DropInError::not_read("statuses"))?;
            Ok(of_row == name)
        }
        None => Ok(false),
    }
}

/// A row for a request without a queue must not have `queue_logged_in`: its value would be that of the queue that was polled last.
fn row(agent: &Agent, without_queue: bool) -> Cow<'_, RawValue> {
    let json = agent.raw.json();
    if !without_queue {
        return json;
    }
    let fields: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(json.get());
    let stripped = fields.and_then(|mut fields| {
        fields.remove("queue_logged_in");
        serde_json::value::to_raw_value(&fields)
    });
    stripped.map_or(json, Cow::Owned)
}
