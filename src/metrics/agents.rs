//! Counts agents by the name of their status, with a bounded number of names.

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

/// The most values of the label `status`, per queue and per account. An account starts with four statuses and has some dozens at most. The
/// rest is summed up as `other`, so that a surprise at CallTools cannot flood the scraper.
pub const MAX_STATUS_LABELS: usize = 32;

/// The label of agents without a status.
const NO_STATUS: &str = "none";
/// The label of all statuses beyond [`MAX_STATUS_LABELS`].
const OTHER: &str = "other";

/// The number of agents by status; at most [`MAX_STATUS_LABELS`] entries.
pub type ByStatus = Vec<(Box<str>, usize)>;

/// Counts the agents of one queue. A status of the account that no agent has counts 0, since that is known.
pub(super) fn count_one_queue(snapshot: &Snapshot, names: &Names) -> ByStatus {
    count(snapshot.agents.iter().map(|agent| &**agent), names)
}

/// Counts the agents of several queues of one account. An agent of more than one queue counts once, with the newest status.
pub fn each_once(snapshots: &[Arc<Snapshot>], names: &Names) -> ByStatus {
    let mut newest: HashMap<&AgentId, &Agent> = HashMap::new();
    for agent in snapshots.iter().flat_map(|snapshot| snapshot.agents.iter()) {
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

/// Keeps the most frequent statuses and sums up the rest if there are too many.
fn fold_rest(counts: &mut ByStatus) {
    if counts.len() <= MAX_STATUS_LABELS {
        return;
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut rest: usize = counts
        .drain(MAX_STATUS_LABELS - 1..)
        .map(|(_, count)| count)
        .sum();
    // The account may have a status called "other": one label value, one sample.
    counts.retain(|(status, count)| {
        let is_other = **status == *OTHER;
        rest += if is_other { *count } else { 0 };
        !is_other
    });
    counts.push((OTHER.into(), rest));
}
