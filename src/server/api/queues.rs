//! Queues: what is known about them, and polling one now.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::decision_request::DecisionRequest;
use crate::{
    account::{Ask, RefreshError},
    budget::Cause,
    clock::Moment,
    decision::board::QueueState,
    model::fault::{Down, Fault},
    server::{
        http::{params::Params, problem::Problem, problem_types, rights::Rights},
        json::{
            decision::DecisionJson,
            queue::{QueueJson, QueueWithAgentsJson, QueuesJson},
        },
        state::{
            app::{App, Queue},
            named_queue::NamedQueue,
        },
    },
};

/// The longest wait for a refresh: one request with its full timeout (10 s) and part of a second page. After a longer wait the caller on the line
/// has hung up.
const REFRESH_WAIT: Duration = Duration::from_secs(15);

/// `GET /v1/queues`
pub async fn list_queues(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let states: Vec<_> = app.queues().iter().map(|queue| app.state(queue)).collect();
    let queues = app.queues().iter().zip(&states);
    let queues = queues.map(|(queue, state)| json(&app, queue, state));
    let json = QueuesJson {
        queues: queues.collect(),
    };
    Ok(Json(json).into_response())
}

/// `GET /v1/queues/{queue}`
pub async fn get_queue(
    State(app): State<Arc<App>>,
    NamedQueue(queue): NamedQueue,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let state = app.state(&queue);
    let queue = json(&app, &queue, &state);
    let json = QueueWithAgentsJson::new(queue, state.snapshot.as_deref());
    Ok(Json(json).into_response())
}

fn json<'a>(app: &App, queue: &'a Queue, state: &'a QueueState) -> QueueJson<'a> {
    let now = app.clock.now();
    let decision = app.decide(queue, state, &queue.rules.policy);
    let decision = DecisionJson::new(&queue.key, &queue.rules.policy, state, &decision, now);
    let soon = app.soon_report(queue);
    QueueJson::new(decision, state, soon.as_ref(), now)
}

/// `POST /v1/queues/{queue}/refresh`: answers like `decision` once the new snapshot is in.
pub async fn refresh_queue(
    State(app): State<Arc<App>>,
    NamedQueue(queue): NamedQueue,
    rights: Rights,
    uri: Uri,
) -> Result<Response, Problem> {
    let request = DecisionRequest::parse_for_refresh(&uri, &queue)?;
    let reply = request_refresh(&app, &queue)?;
    tokio::select! {
        biased;
        reply = tokio::time::timeout(REFRESH_WAIT, reply) => match reply {
            Ok(Ok(Ok(()))) => Ok(request.answer(&app, &queue, rights)),
            Ok(Ok(Err(error))) => Err(refresh_failed(error, app.clock.now())),
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
        Err(TrySendError::Full(_)) => Err(Problem::busy()),
        Err(TrySendError::Closed(_)) => Err(Problem::stopping()),
    }
}

fn no_answer_in_time() -> Problem {
    Problem::new(
        problem_types::REFRESH_TIMEOUT,
        format!(
            "CallTools has not answered within {} s; the poll continues, and the next decision will use its result",
            REFRESH_WAIT.as_secs()
        ),
    )
}

/// Returns the problem for a failed refresh.
pub fn refresh_failed(error: RefreshError, now: Moment) -> Problem {
    match error {
        RefreshError::Refused(refusal) => {
            let kind = match refusal.cause {
                Cause::Pace | Cause::Spent => problem_types::BUDGET_SPENT,
                Cause::Throttled => problem_types::THROTTLED,
                Cause::Paused => problem_types::UPSTREAM_DOWN,
                Cause::NotLeading => problem_types::CLUSTER_DOWN,
            };
            until(Problem::new(kind, refusal.message(now)), refusal.until, now)
        }
        RefreshError::Failed(fault) => failed(&fault, now),
    }
}

/// Adds `Retry-After`, counted from `now`.
fn until(problem: Problem, until: Moment, now: Moment) -> Problem {
    let wait = until.boot.saturating_sub(now.boot);
    problem.with(header::RETRY_AFTER, whole_seconds(wait))
}

/// Rounds up to at least 1 s, so that a client does not come back too early.
fn whole_seconds(wait: Duration) -> HeaderValue {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1).into()
}

fn failed(fault: &Fault, now: Moment) -> Problem {
    let detail = format!("{}: {}", fault.message(now), fault.advice());
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
        Fault::ClusterDown(_) => problem_types::CLUSTER_DOWN,
        Fault::UpstreamDown { .. } => problem_types::UPSTREAM_DOWN,
        Fault::BadToken => problem_types::BAD_TOKEN,
        Fault::NoPermission => problem_types::NO_PERMISSION,
        Fault::NoSuchQueue(_) => problem_types::NO_SUCH_QUEUE,
    };
    Problem::new(kind, detail)
}
