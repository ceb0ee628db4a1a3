//! The rows of `agentstatuses/`, from the snapshots on the board.

use std::{
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
    clock::Moment,
    decision::{
        Decision, Reason,
        board::QueueState,
        criteria::{Measured, Verdict},
        snapshot::Snapshot,
    },
    model::{
        agent::Agent,
        field::{self, Field},
        names::{Names, Status},
        quantity::Quantity,
    },
    server::{
        json::decision::detail,
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
        None => match queues_of(app, account).find(|queue| may_have_id(app, account, queue, id)) {
            Some(queue) => known(app, queue).and(Err(DropInError::no_choice("queue"))),
            None => Err(DropInError::no_choice("queue")),
        },
    }
}

/// Counts a request as demand for the queue that it names, or else for each queue of the account.
pub(super) fn count_demand(app: &App, account: &AccountHandle, named: Option<&Queue>) {
    match named {
        Some(queue) => queue.meters.count_listed(),
        None => queues_of(app, account).for_each(|queue| queue.meters.count_listed()),
    }
}

/// Whether a queue has this id. A queue that is configured by its id has it before any look-up.
fn has_id(app: &App, queue: &Queue, id: u64) -> bool {
    match app.state(queue).id {
        Some(known) => known == id,
        None => queue.key.queue.parse() == Ok(id),
    }
}

/// Whether a queue whose id is not known may turn out to have this one: not if CallTools' list has another name for the id.
fn may_have_id(app: &App, account: &AccountHandle, queue: &Queue, id: u64) -> bool {
    let names = account.names();
    let mut queues = names.queues.iter().flatten();
    let is_another = queues.any(|one| one.id == id && *one.name != *queue.key.queue);
    app.state(queue).id.is_none() && !is_another
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
    let decision = app.decide(queue, &state, &queue.rules.policy);
    match &state.snapshot {
        _ if decision.reason == Reason::Closed => Ok(Arc::new(nobody(app))),
        Some(snapshot) if decision.is_fresh => Ok(Arc::clone(snapshot)),
        _ => Err(unknown(app, queue, &state, &decision)),
    }
}

/// Returns an error if the account may have agents that openseat does not know. A closed queue has its agents, too, but nothing reads them.
pub(super) fn all_agents_known(app: &App, account: &AccountHandle) -> Result<(), DropInError> {
    for queue in queues_of(app, account) {
        let state = app.state(queue);
        let decision = app.decide(queue, &state, &queue.rules.policy);
        if !decision.is_fresh {
            return Err(unknown(app, queue, &state, &decision));
        }
    }
    Ok(())
}

/// The error about a queue whose agents are unknown, because there is no fresh data or because it is closed.
fn unknown(app: &App, queue: &Queue, state: &QueueState, decision: &Decision) -> DropInError {
    let why = detail(state, &queue.rules.policy, decision, app.clock.now()).unwrap_or_default();
    let name = &queue.key.queue;
    DropInError::Unknown(format!(
        "openseat does not know the agents of queue \"{name}\" now: {why}."
    ))
}

/// The list of a closed queue. It is known that nobody takes its calls now, so this is not an unknown that looks like zero.
fn nobody(app: &App) -> Snapshot {
    let now = app.clock.now();
    Snapshot {
        threshold: None,
        outlook: None,
        as_of: now,
        rows_as_of: now,
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

/// The `Age` header: that of the oldest row, in whole seconds. It says nothing about the statuses, which lists confirm by omission: if those are too
/// old, the answer is 503.
pub(super) fn age(app: &App, sources: &[Arc<Snapshot>]) -> [(HeaderName, HeaderValue); 1] {
    let now = app.clock.now();
    let ages = sources
        .iter()
        .map(|source| now.longest_since(rows_as_of(source)));
    let oldest = ages.max().unwrap_or_default();
    [(header::AGE, oldest.as_secs().into())]
}

/// When the oldest row was read. Only the status of a row that has lost it was read since; but no row is older than the poll of its queue.
fn rows_as_of(snapshot: &Snapshot) -> Moment {
    let members = snapshot.members_as_of;
    match snapshot.agents.iter().any(|agent| has_lost_status(agent)) {
        true if members.wall < snapshot.rows_as_of.wall => members,
        _ => snapshot.rows_as_of,
    }
}

/// Whether it is only known that the agent is not available. Such rows are few, so hardly any JSON is read.
fn has_lost_status(agent: &Agent) -> bool {
    let may = agent.status.is_none() && agent.available == Some(false);
    may && agent.raw.has_lost_status()
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
        let filter = StatusFilter { id, named };
        let mut agents = Vec::with_capacity(self.agents.len());
        for agent in self.agents {
            if filter.takes(agent)? {
                agents.push(agent);
            }
        }
        Ok(Self { agents, ..self })
    }

    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Some of the rows, as CallTools sent them.
    pub(super) fn rows(&self, range: Range<usize>) -> impl Iterator<Item = Box<RawValue>> {
        let without_queue = self.without_queue;
        let agents: Vec<&'s Agent> = self.agents[range].to_vec();
        agents
            .into_iter()
            .map(move |agent| row(agent, without_queue))
    }

    /// One agent's row.
    pub(super) fn agent(&self, id: &str) -> Option<Box<RawValue>> {
        let agent = self.agents.iter().find(|agent| *agent.id.0 == *id)?;
        Some(row(agent, self.without_queue))
    }
}

/// Compares wall time, the only clock that two snapshots share if one of them is from before a restart.
fn is_newer(one: &Snapshot, other: &Snapshot) -> bool {
    one.as_of.wall > other.as_of.wall
}

/// The fields of a row that tell the status.
#[derive(Deserialize)]
struct StatusFields<'a> {
    #[serde(borrow, default)]
    agent_status: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
}

/// The filter for a status.
#[derive(Clone, Copy)]
struct StatusFilter<'n> {
    id: u64,
    /// `None` if the account's statuses are unknown.
    named: Option<&'n Status>,
}

impl StatusFilter<'_> {
    /// Whether the agent is in the status. CallTools writes it in several forms, by its id or its name. Without the name of the id the two cannot be
    /// compared.
    fn takes(self, agent: &Agent) -> Result<bool, DropInError> {
        let json = agent.raw.json();
        let unreadable = |_| DropInError::not_read("statuses");
        let row: StatusFields<'_> = field::read(json.get()).map_err(unreadable)?;
        if let Some(id) = row.agent_status.number() {
            return Ok(id == self.id);
        }
        match row.agent_status.text().or(row.status.text()) {
            Some(name) => {
                let named = self
                    .named
                    .ok_or_else(|| DropInError::not_read("statuses"))?;
                Ok(named.name.trim() == name)
            }
            None if has_lost_status(agent) && !self.is_ready() => {
                Err(DropInError::statuses_unknown())
            }
            None => Ok(false),
        }
    }

    /// Whether agents in the status are available.
    fn is_ready(self) -> bool {
        self.named.and_then(Status::is_ready) == Some(true)
    }
}

/// A row for a request without a queue must not have `queue_logged_in`: its value would be that of the queue that was polled last.
fn row(agent: &Agent, without_queue: bool) -> Box<RawValue> {
    let json = agent.raw.json();
    if !without_queue {
        return json;
    }
    let fields: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(json.get());
    let stripped = fields.and_then(|mut fields| {
        fields.remove("queue_logged_in");
        serde_json::value::to_raw_value(&fields)
    });
    stripped.unwrap_or(json)
}
