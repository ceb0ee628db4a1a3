//! A job: reads one list from CallTools, in a task of its own.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    account::{Account, roster::Joined, schedule::Job},
    budget::{Permit, Purpose},
    calltools::{AgentList, Client, Everyone, RequestError, RosterPage, joined_response},
    clock::Moment,
    config::Rule,
    decision::{
        criteria::{self, Measured, Mismatch, Renewal, only_other_names},
        snapshot::Snapshot,
    },
    model::names::{NamedQueue, Names, Status},
};

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Queues,
    Statuses,
    /// The agents of the queue with this id.
    Agents(u64),
    /// A page of a list of all agents.
    RosterPage(Everyone, u32),
}

/// What was read, with the answer.
#[derive(Debug)]
pub(super) enum Outcome {
    Queues(Result<Vec<NamedQueue>, RequestError>),
    Statuses(Result<Vec<Status>, RequestError>),
    /// The agents of the queue with this id.
    Agents(u64, Result<AgentList, RequestError>),
    RosterPage(Everyone, u32, Result<RosterPage, RequestError>),
}

/// A job that ended.
#[derive(Debug)]
pub(super) struct Done {
    pub job: Job,
    /// The number that stays with the polled queue.
    pub number: Option<u64>,
    pub begun: Moment,
    /// What its rows were read with.
    pub names: Arc<Names>,
    pub outcome: Outcome,
}

impl Work {
    /// Reads the list. `permit` is for the first request.
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
                let list = client.agents(id, names, purpose, Some(permit)).await;
                Outcome::Agents(id, list)
            }
            Work::RosterPage(list, page) => {
                let roster_page = client.roster_page(list, page, names, permit).await;
                Outcome::RosterPage(list, page, roster_page)
            }
        }
    }
}

/// Measures a single poll of a queue by its rule.
pub(crate) fn polled(list: AgentList, rule: &Rule, names: &Names) -> Snapshot {
    let saw_available = list.rows.iter().any(|row| row.available == Some(true));
    let joined = Joined {
        as_of: list.as_of,
        everybody_as_of: list.as_of,
        everybody_seen: list.as_of,
        members_as_of: list.as_of,
        took: list.took,
        complete: list.complete,
        agents: list.rows.into_iter().map(Arc::new).collect(),
        tally: None,
    };
    without_a_guess(snapshot(joined, rule), rule, names, saw_available)
}

/// Makes a count unknown if it rests on the names of statuses, because `statuses/` cannot be read or does not say what they do, and no row of the
/// account has shown the name that means *available*.
pub(super) fn without_a_guess(
    mut snapshot: Snapshot,
    rule: &Rule,
    names: &Names,
    saw_available: bool,
) -> Snapshot {
    let is_guess = matches!(rule, Rule::Seats(_)) && !saw_available && !names.tell_who_is_ready();
    if is_guess
        && snapshot.measured.is_ok()
        && let Some(mismatch) = only_other_names(&snapshot.agents)
    {
        snapshot.measured = Err(mismatch);
    }
    snapshot
}

/// Measures the knowledge about a queue by its rule.
pub(super) fn snapshot(joined: Joined, rule: &Rule) -> Snapshot {
    Snapshot {
        outlook: None,
        threshold: None,
        measured: measure(&joined, rule),
        as_of: as_of(&joined, rule),
        rows_as_of: joined.everybody_seen,
        members_as_of: joined.members_as_of,
        took: joined.took,
        complete: joined.complete,
        agents: joined.agents,
    }
}

/// Returns the time of the statuses that the rule uses.
pub(super) fn as_of(joined: &Joined, rule: &Rule) -> Moment {
    match (rule, rule.renewal()) {
        (Rule::Seats(_), _) => joined.as_of,
        (Rule::Custom(_), Renewal::Rows) => joined.everybody_seen,
        (Rule::Custom(_), _) => joined.everybody_as_of,
    }
}

fn measure(joined: &Joined, rule: &Rule) -> Result<Measured, Mismatch> {
    match rule {
        Rule::Seats(rule) => {
            let counted = joined.tally.and_then(|tally| tally.seats(*rule));
            counted.unwrap_or_else(|| criteria::seats(&joined.agents, *rule, joined.as_of))
        }
        Rule::Custom(criteria) => {
            let unreadable = |error: serde_json::Error| {
                Mismatch(format!("a row cannot be read as JSON: {error}"))
            };
            let response: Value = joined_response(&joined.agents).map_err(unreadable)?;
            criteria.measure(&response)
        }
    }
}

impl Account {
    pub(super) fn spawn(
        &mut self,
        jobs: &mut JoinSet<Done>,
        job: Job,
        purpose: Purpose,
        permit: Permit,
    ) {
        self.token_sent = self.deps.token.as_ref().and_then(|token| token.digest());
        if let Job::Poll(queue) = job {
            self.deps
                .board
                .attempt(&self.deps.queues[queue].key, self.deps.clock.now());
        }
        let id = |queue: usize| {
            let id = self.queues[queue].id;
            id.expect("only queues whose ids are known are polled")
        };
        let work = match job {
            Job::Queues => Work::Queues,
            Job::Statuses => Work::Statuses,
            Job::Poll(queue) => Work::Agents(id(queue)),
            Job::Sweep(page) => Work::RosterPage(Everyone::Listed, page),
            Job::Whole => Work::RosterPage(Everyone::AtOnce, 1),
            Job::Delta(page) => {
                let size = self.feeds.size_of_changes(page);
                Work::RosterPage(Everyone::NewestFirst(size), page)
            }
            Job::Available(status, page) => Work::RosterPage(Everyone::WithStatus(status), page),
        };
        let (client, names) = (
            self.deps.client.clone(),
            Arc::clone(&self.deps.names.borrow()),
        );
        let begun = self.deps.clock.now();
        tracing::debug!(
            account = &*self.name,
            list = self.list_of(job),
            ?purpose,
            "reading a list"
        );
        let number = match job {
            Job::Poll(queue) => Some(self.queues[queue].number),
            _ => None,
        };
        jobs.spawn(async move {
            let outcome = work.perform(&client, &names, purpose, permit).await;
            Done {
                job,
                number,
                begun,
                names,
                outcome,
            }
        });
    }

    /// Returns the name of a job's list, for the log.
    pub(super) fn list_of(&self, job: Job) -> String {
        match job {
            Job::Queues => "queues".to_owned(),
            Job::Statuses => "statuses".to_owned(),
            Job::Poll(place) => format!("agents of {}", self.deps.queues[place].key),
            Job::Sweep(page) => format!("all agents, page {page}"),
            Job::Whole => "all agents at once".to_owned(),
            Job::Delta(page) => format!("agents by change, page {page}"),
            Job::Available(status, page) => format!("agents with status {status}, page {page}"),
        }
    }
}
