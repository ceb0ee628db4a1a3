//! The queues themselves: what is known of them, and how to have one polled now.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::{
    app::{App, Queue},
    decisions::{Question, View, rfc3339},
    params::{Asked, Params},
    problem::Problem,
};
use crate::{
    account::{Ask, RefreshError},
    board::QueueState,
    calltools::{Agent, Down, Fault},
    clock::Moment,
};

/// How long a refresh may take: one request with all its time (10 s) and some of another page's. Who waits longer has a
/// caller on the line who hung up long ago.
const REFRESH_WAIT: Duration = Duration::from_secs(15);

/// What is wrong with a queue's polls, as JSON.
#[derive(Serialize)]
pub(crate) struct FaultView {
    kind: &'static str,
    message: String,
    advice: String,
}

impl FaultView {
    pub(crate) fn of(fault: &Fault) -> Self {
        Self {
            kind: fault.word(),
            message: fault.to_string(),
            advice: fault.advice(),
        }
    }
}

/// A queue without its agents.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    decision: View<'a>,
    name: Option<&'a str>,
    agent_count: Option<usize>,
    fault: Option<FaultView>,
    #[serde(serialize_with = "rfc3339")]
    last_attempt: Option<Moment>,
    #[serde(serialize_with = "rfc3339")]
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
            ),
            name: state.name.as_deref(),
            agent_count: snapshot.map(|snapshot| snapshot.agents.len()),
            fault: state.fault.as_deref().map(FaultView::of),
            last_attempt: state.last_attempt,
            last_success: state.last_success,
        }
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    /// Whether the rows were as many as CallTools counted.
    complete: Option<bool>,
    took_ms: Option<u64>,
    /// `null` before the first snapshot: not the same as nobody.
    agents: Option<Vec<AgentView<'a>>>,
}

/// An agent as JSON.
#[derive(Serialize)]
pub(crate) struct AgentView<'a> {
    id: &'a str,
    name: &'a str,
    status: Option<&'a str>,
    available: Option<bool>,
    queue_logged_in: bool,
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

#[derive(Serialize)]
struct All<'a> {
    queues: Vec<Summary<'a>>,
}

/// `GET /v1/queues`
pub(super) async fn summary(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
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
pub(super) async fn one(
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
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Asked(queue): Asked,
    uri: Uri,
) -> Result<Response, Problem> {
    let question = Question::parse(&uri, &queue)?;
    let reply = request_refresh(&app, &queue)?;
    tokio::select! {
        biased;
        reply = tokio::time::timeout(REFRESH_WAIT, reply) => match reply {
            Ok(Ok(Ok(()))) => Ok(question.answer(&app, &queue)),
            Ok(Ok(Err(error))) => Err(error.into()),
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
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "Too many refreshes are waiting",
        "ask again in a second; a decision needs no refresh",
    )
    .with(header::RETRY_AFTER, 1)
}

fn no_answer_in_time() -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "refresh-timeout",
        "The refresh takes too long",
        format!(
            "CallTools has not answered within {} s; the poll goes on, and the next decision will use it",
            REFRESH_WAIT.as_secs()
        ),
    )
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Refused(refusal) => budget_spent(refusal.to_string(), Some(refusal.wait)),
            RefreshError::Failed(fault) => failed(&fault),
        }
    }
}

fn budget_spent(detail: String, wait: Option<Duration>) -> Problem {
    let problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "budget-spent",
        "The account's requests are spent",
        detail,
    );
    match wait {
        Some(wait) => problem.with(header::RETRY_AFTER, whole_seconds(wait)),
        None => problem,
    }
}

/// Rounded up, and at least 1: a client that waits for so long shall not come too early.
fn whole_seconds(wait: Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1).into()
}

fn failed(fault: &Fault) -> Problem {
    let detail = format!("{fault}: {}", fault.advice());
    let (status, kind) = match fault {
        Fault::Throttled { wait } => return budget_spent(detail, *wait),
        Fault::BudgetSpent { wait } => return budget_spent(detail, Some(*wait)),
        Fault::UpstreamDown {
            kind: Down::TimeOut,
            ..
        } => (StatusCode::GATEWAY_TIMEOUT, "upstream-down"),
        Fault::UpstreamDown { .. } => (StatusCode::BAD_GATEWAY, "upstream-down"),
        Fault::BadToken => (StatusCode::BAD_GATEWAY, "bad-token"),
        Fault::NoPermission => (StatusCode::BAD_GATEWAY, "no-permission"),
        Fault::NoSuchQueue(_) => (StatusCode::BAD_GATEWAY, "no-such-queue"),
    };
    Problem::new(status, kind, "CallTools gave no agents", detail)
}
