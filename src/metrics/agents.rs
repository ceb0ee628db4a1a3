//! Agents counted by the name of their status, with a bounded number of names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    decision::snapshot::Snapshot,
    model::{
        agent::{Agent, AgentId},
        names::Names,
    },
};

/// The most values of the label `status`, per queue and per account. Accounts begin with four statuses and have some dozens at most; the
/// rest is summed up as `other`, so that a surprise at CallTools cannot flood the scraper.
pub const STATUS_LABELS: usize = 32;

/// What the status of an agent without one is called.
const NO_STATUS: &str = "none";
/// What the statuses beyond [`STATUS_LABELS`] are called together.
const OTHER: &str = "other";

/// How many agents are in which status; at most [`STATUS_LABELS`] of them.
pub type ByStatus = Vec<(Box<str>, usize)>;

/// Counts the agents of one queue. A status that the account has and nobody is in counts 0: that is known.
pub(super) fn of_queue(snapshot: &Snapshot, names: &Names) -> ByStatus {
    count(snapshot.agents.iter().map(|agent| &**agent), names)
}

/// Counts the agents of several queues of one account. An agent who belongs to more than one of them counts once, with the newest
/// status that any of them shows.
pub fn each_once(snapshots: &[Arc<Snapshot>], names: &Names) -> ByStatus {
    let mut newest: HashMap<&AgentId, &Agent> = HashMap::new();
    for agent in snapshots.iter().flat_map(|snapshot| &snapshot.agents) {
        let known = newest.entry(&agent.id).or_insert(agent);
        if agent.status_since > known.status_since {
            *known = agent;
        }
    }
    count(newest.into_values(), names)
}

fn count<'a>(agents: impl Iterator<Item = &'a Agent>, names: &Names) -> ByStatus {
    let statuses = names.statuses.iter().flatten();
    let mut counts: BTreeMap<&str, usize> = statuses.map(|status| (&*status.name, 0)).collect();
    for agent in agents {
        let status = agent.status.as_deref().unwrap_or(NO_STATUS);
        *counts.entry(status).or_default() += 1;
    }
    let mut counts: Vec<_> = counts
        .into_iter()
        .map(|(status, count)| (Box::from(status), count))
        .collect();
    fold_rest(&mut counts);
    counts
}

/// Keeps the most frequent statuses and sums up the rest, where there are too many.
fn fold_rest(counts: &mut ByStatus) {
    if counts.len() <= STATUS_LABELS {
        return;
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut rest: usize = counts
        .drain(STATUS_LABELS - 1..)
        .map(|(_, count)| count)
        .sum();
    // An account may call a status "other" itself: one label value, one sample.
    counts.retain(|(status, count)| {
        let is_other = **status == *OTHER;
        rest += if is_other { *count } else { 0 };
        !is_other
    });
    counts.push((OTHER.into(), rest));
}
