//! What an account's task has done for it, in tasks of their own: reading one list.

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    budget::{Permit, Purpose},
    calltools::{Client, Harvest, Setback, joined_response},
    config::Rule,
    criteria::{self, Measured, Mismatch},
    names::{NamedQueue, Names, Status},
    schedule::Job,
    server::RefreshError,
    snapshot::Snapshot,
};

/// What to ask CallTools for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Queues,
    Statuses,
    /// The agents of the queue with this id.
    Agents(u64),
}

/// What CallTools answered.
#[derive(Debug)]
pub(super) enum Outcome {
    Queues(Result<Vec<NamedQueue>, Setback>),
    Statuses(Result<Vec<Status>, Setback>),
    Agents(Result<Harvest, Setback>),
}

/// A job that ended.
#[derive(Debug)]
pub(super) struct Done {
    pub job: Job,
    pub outcome: Outcome,
    /// Who waits for it, if it was not the schedule's idea.
    pub asked_by: Option<oneshot::Sender<Result<(), RefreshError>>>,
}

impl Work {
    /// Does it, beginning with `permit`.
    pub async fn perform(
        self,
        client: &Client,
        names: &Names,
        purpose: Purpose,
        permit: Permit,
    ) -> Outcome {
        match self {
            Work::Queues => Outcome::Queues(client.queues(purpose, Some(permit)).await),
            Work::Statuses => Outcome::Statuses(client.statuses(purpose, Some(permit)).await),
            Work::Agents(id) => {
                Outcome::Agents(client.agents(id, names, purpose, Some(permit)).await)
            }
        }
    }
}

/// A whole poll, measured by the queue's rule.
pub(crate) fn snapshot(harvest: Harvest, rule: &Rule) -> Snapshot {
    Snapshot {
        measured: measure(&harvest, rule),
        as_of: harvest.as_of,
        took: harvest.took,
        complete: harvest.complete,
        agents: harvest.rows,
    }
}

fn measure(harvest: &Harvest, rule: &Rule) -> Result<Measured, Mismatch> {
    match rule {
        Rule::Seats { forgotten_after } => {
            criteria::seats(&harvest.rows, *forgotten_after, harvest.as_of)
        }
        Rule::Custom(criteria) => {
            let unreadable = |error: serde_json::Error| {
                Mismatch(format!("a row cannot be read as JSON: {error}"))
            };
            let response: Value = joined_response(&harvest.rows).map_err(unreadable)?;
            criteria.measure(&response)
        }
    }
}
