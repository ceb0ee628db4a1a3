//! The queues themselves: what is known of them, and how to have one polled now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::decisions::{Question, Timestamp, View, rfc3339};
use crate::{
    account::{Ask, RefreshError},
    budget::Cause,
    clock::Moment,
    decision::{board::QueueState, snapshot::Snapshot},
    model::{
        agent::Agent,
        fault::{Down, Fault},
    },
    server::{
        http::{
            params::{Asked, Params},
            problem::Problem,
            problem_types,
        },
        serve::access::Rights,
        state::app::{App, Queue},
    },
};

/// How long a refresh may take: one request with all its time (10 s) and some of another page's. Who waits longer has a
/// caller on the line who hung up long ago.
const REFRESH_WAIT: Duration = Duration::from_secs(15);

/// What is wrong with a queue's polls, as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fault")]
pub(crate) struct FaultView {
    /// A stable word for programs.
    kind: &'static str,
    /// What is wrong.
    message: String,
    /// What to do.
    advice: String,
}

impl FaultView {
    pub(crate) fn of(fault: &Fault, now: Moment) -> Self {
        Self {
            kind: fault.as_str(),
            message: fault.told(now),
            advice: fault.advice(),
        }
    }
}

/// A queue without its agents.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
struct Summary<'a> {
    #[serde(flatten)]
    decision: View<'a>,
    /// At CallTools; null until it is known.
    name: Option<&'a str>,
    /// Members in the newest snapshot, even one that is too old to answer from; null before the first.
    agent_count: Option<usize>,
    /// How many of them are in each status, those without one left out; null before the first.
    agents_by_status: Option<BTreeMap<&'a str, usize>>,
    /// What is wrong with its polls; null where nothing is.
    fault: Option<FaultView>,
    /// When a poll was last begun.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    last_attempt: Option<Moment>,
    /// When a poll last ended well.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    last_success: Option<Moment>,
}

impl<'a> Summary<'a> {
    fn of(app: &App, queue: &'a Queue, state: &'a QueueState) -> Self {
        let snapshot = state.snapshot.as_deref();
        Self {
            decision: View::new(
                &queue.key,
                &queue.policy,
                state,
                &app.decide(queue, state, &queue.policy),
                app.clock.now(),
            ),
            name: state.name.as_deref(),
            agent_count: snapshot.map(|snapshot| snapshot.agents.len()),
            agents_by_status: snapshot.map(by_status),
            fault: state
                .fault
                .as_deref()
                .map(|fault| FaultView::of(fault, app.clock.now())),
            last_attempt: state.last_attempt,
            last_success: state.last_success,
        }
    }
}

fn by_status(snapshot: &Snapshot) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for agent in &snapshot.agents {
        if let Some(status) = agent.status.as_deref() {
            *counts.entry(status).or_default() += 1;
        }
    }
    counts
}

/// A queue with its agents.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QueueWithAgents")]
pub struct Whole<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    /// Whether the rows were as many as CallTools counted.
    complete: Option<bool>,
    /// How long the last poll took, in milliseconds.
    took_ms: Option<u64>,
    /// `null` before the first snapshot: not the same as nobody.
    agents: Option<Vec<AgentView<'a>>>,
}

/// An agent as JSON.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Agent")]
pub(crate) struct AgentView<'a> {
    /// CallTools' `app_user`.
    id: &'a str,
    /// As CallTools shows it.
    name: &'a str,
    /// The name of the agent's status; null where CallTools tells none.
    status: Option<&'a str>,
    /// Whether the status is one that CallTools sets ready; null where that is not known.
    available: Option<bool>,
    /// Whether the agent is logged in to this queue.
    queue_logged_in: bool,
    /// Since when the agent is in this status.
    #[schemars(with = "Option<Timestamp>")]
    status_since: Option<String>,
}

impl<'a> AgentView<'a> {
    pub(crate) fn of(agent: &'a Agent) -> Self {
        Self {
            id: &agent.id.0,
            name: &agent.name,
            status: agent.status.as_deref(),
            available: agent.available,
            queue_logged_in: agent.queue_logged_in,
            status_since: agent.status_since.map(|since| format!("{since:.3}")),
        }
    }
}

/// All queues.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Queues")]
pub struct All<'a> {
    /// In the order of the config.
    queues: Vec<Summary<'a>>,
}

/// `GET /v1/queues`
pub async fn summary(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let states: Vec<_> = app.queues().iter().map(|queue| app.state(queue)).collect();
    let queues = app.queues().iter().zip(&states);
    let all = All {
        queues: queues
            .map(|(queue, state)| Summary::of(&app, queue, state))
            .collect(),
    };
    Ok(Json(all).into_response())
}

/// `GET /v1/queues/{queue}`
pub async fn one(
    State(app): State<Arc<App>>,
    Asked(queue): Asked,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let state = app.state(&queue);
    let snapshot = state.snapshot.as_deref();
    let whole = Whole {
        summary: Summary::of(&app, &queue, &state),
        complete: snapshot.map(|snapshot| snapshot.complete),
        took_ms: snapshot.map(|snapshot| snapshot.took.as_millis() as u64),
        agents: snapshot.map(|snapshot| {
            snapshot
                .agents
                .iter()
                .map(|agent| AgentView::of(agent))
                .collect()
        }),
    };
    Ok(Json(whole).into_response())
}

/// `POST /v1/queues/{queue}/refresh`: answers as `decision` does, once the new snapshot is there.
pub async fn refresh(
    State(app): State<Arc<App>>,
    Asked(queue): Asked,
    rights: Rights,
    uri: Uri,
) -> Result<Response, Problem> {
    let question = Question::parse(&uri, &queue)?;
    let reply = request_refresh(&app, &queue)?;
    tokio::select! {
        biased;
        reply = tokio::time::timeout(REFRESH_WAIT, reply) => match reply {
            Ok(Ok(Ok(()))) => Ok(question.answer(&app, &queue, rights)),
            Ok(Ok(Err(error))) => Err(not_refreshed(error, app.clock.now())),
            Ok(Err(_task_is_gone)) => Err(Problem::stopping()),
            Err(_elapsed) => Err(no_answer_in_time()),
        },
        () = app.stopping.cancelled() => Err(Problem::stopping()),
    }
}

fn request_refresh(
    app: &App,
    queue: &Queue,
) -> Result<oneshot::Receiver<Result<(), RefreshError>>, Problem> {
    let account = app.account(&queue.key.account);
    let account = account.ok_or_else(Problem::stopping)?;
    let (reply, answer) = oneshot::channel();
    let ask = Ask::Refresh {
        queue: queue.key.clone(),
        reply,
    };
    match account.asks.try_send(ask) {
        Ok(()) => Ok(answer),
        Err(TrySendError::Full(_)) => Err(busy()),
        Err(TrySendError::Closed(_)) => Err(Problem::stopping()),
    }
}

fn busy() -> Problem {
    Problem::usual(problem_types::BUSY).with(header::RETRY_AFTER, 1)
}

fn no_answer_in_time() -> Problem {
    Problem::new(
        problem_types::REFRESH_TIMEOUT,
        format!(
            "CallTools has not answered within {} s; the poll goes on, and the next decision will use it",
            REFRESH_WAIT.as_secs()
        ),
    )
}

/// Why a refresh brought nothing, as it is now.
pub fn not_refreshed(error: RefreshError, now: Moment) -> Problem {
    match error {
        RefreshError::Refused(refusal) => {
            let kind = match refusal.cause {
                Cause::Pace | Cause::Spent => problem_types::BUDGET_SPENT,
                Cause::Throttled => problem_types::THROTTLED,
                Cause::Paused => problem_types::UPSTREAM_DOWN,
            };
            until(Problem::new(kind, refusal.told(now)), refusal.until, now)
        }
        RefreshError::Failed(fault) => failed(&fault, now),
    }
}

/// A problem that is over then.
fn until(problem: Problem, until: Moment, now: Moment) -> Problem {
    let wait = until.boot.saturating_sub(now.boot);
    problem.with(header::RETRY_AFTER, whole_seconds(wait))
}

/// Rounded up, and at least 1: a client that waits for so long shall not come too early.
fn whole_seconds(wait: Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1).into()
}

fn failed(fault: &Fault, now: Moment) -> Problem {
    let detail = format!("{}: {}", fault.told(now), fault.advice());
    let kind = match fault {
        Fault::Throttled { until: Some(end) } => {
            return until(Problem::new(problem_types::THROTTLED, detail), *end, now);
        }
        Fault::Throttled { until: None } => problem_types::THROTTLED,
        Fault::BudgetSpent { until: end } => {
            return until(Problem::new(problem_types::BUDGET_SPENT, detail), *end, now);
        }
        Fault::UpstreamDown {
            kind: Down::TimeOut,
            ..
        } => problem_types::UPSTREAM_SLOW,
        Fault::UpstreamDown { .. } => problem_types::UPSTREAM_DOWN,
        Fault::BadToken => problem_types::BAD_TOKEN,
        Fault::NoPermission => problem_types::NO_PERMISSION,
        Fault::NoSuchQueue(_) => problem_types::NO_SUCH_QUEUE,
    };
    Problem::new(kind, detail)
}
