//! Probes and metrics, for supervisors and scrapers.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, header};

use crate::{
    account::PresentFault,
    cluster::trouble::standing,
    decision::{Reason, board::QueueState},
    metrics::Format,
    server::{
        http::{
            params::{Parameter, Params, Shape},
            problem::Problem,
            rule::VERBOSE,
        },
        state::app::{AccountHandle, App, Queue},
    },
};

/// The parameters of a readiness probe.
pub const READINESS_PARAMETERS: &[Parameter] = &[Parameter {
    name: VERBOSE,
    meaning: "Also lists every account and every queue; the value does not matter. Requires the bearer token, if one is configured",
    shape: Shape::Text,
    example: "1",
}];

/// `GET /livez`: the process runs. Problems at CallTools do not count, because a restart would not fix them.
pub async fn get_liveness() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: every queue has a snapshot, has a known fault or is closed, and openseat is not stopping.
pub async fn get_readiness(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), READINESS_PARAMETERS)?;
    let verbose = params.one(VERBOSE)?.is_some();
    let states = app.queues().iter().map(|queue| (queue, app.state(queue)));
    let states: Vec<_> = states.collect();
    let (status, summary) = if app.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if states
        .iter()
        .all(|(queue, state)| is_settled(&app, queue, state))
    {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let mut lines = vec![summary.to_owned()];
    if verbose {
        lines.extend(
            app.accounts
                .iter()
                .map(|account| account_line(&app, account)),
        );
        let clusters = app.accounts.iter();
        lines.extend(clusters.filter_map(|account| cluster_line(&app, account)));
        let queues = states
            .iter()
            .map(|(queue, state)| queue_line(&app, queue, state));
        lines.extend(queues);
    }
    for line in &mut lines {
        // A line break in a name or fault would make one queue look like two.
        line.retain(|c| !c.is_control());
        line.push('\n');
    }
    Ok((status, lines.concat()).into_response())
}

fn is_settled(app: &App, queue: &Queue, state: &QueueState) -> bool {
    let is_closed = || app.decide(queue, state, &queue.rules.policy).reason == Reason::Closed;
    state.snapshot.is_some() || state.fault.is_some() || is_closed()
}

/// Says whether CallTools answers for the account; if not, why and for how long.
fn account_line(app: &App, account: &AccountHandle) -> String {
    let name = &account.name;
    match account.health().fault {
        None => format!("account {name}: ok"),
        Some(PresentFault { fault, since }) => {
            let now = app.clock.now();
            let lasts = now.longest_since(since).as_secs();
            let lasts = humantime::format_duration(Duration::from_secs(lasts));
            format!("account {name}: {} (for {lasts})", fault.message(now))
        }
    }
}

/// Who leads the account in its cluster, and what is wrong there; `None` without a cluster. Readiness does not depend on it, because answers
/// come from memory.
fn cluster_line(app: &App, account: &AccountHandle) -> Option<String> {
    let (status, now) = (account.member.as_ref()?.status(), app.clock.now());
    let standing = standing(&status.nodes, status.lag(now));
    let name = &account.name;
    Some(match status.trouble(now) {
        None => format!("cluster {name}: ok: {standing}"),
        Some(trouble) => format!(
            "cluster {name}: {trouble} ({}): {standing}",
            trouble.advice()
        ),
    })
}

/// Says whether the queue's seats are known, and what is wrong with it. A fault of the whole account appears only on the account's line.
fn queue_line(app: &App, queue: &Queue, state: &QueueState) -> String {
    let decision = app.decide(queue, state, &queue.rules.policy);
    if let Some(until) = queue.rules.policy.closed_until(&decision) {
        return format!("{}: closed until {until}", queue.key);
    }
    let account = app.account(&queue.key.account);
    let account_fault = account.and_then(|account| account.health().fault);
    let fault = state.fault.as_deref().map(|fault| match account_fault {
        Some(present) if *present.fault == *fault => "see its account".to_owned(),
        _ => fault.message(app.clock.now()),
    });
    let known = decision.reason.is_known();
    let standing = match (known, fault) {
        (true, None) => "ok".to_owned(),
        (true, Some(fault)) => format!("known from before: {fault}"),
        (false, Some(fault)) => format!("unknown: {fault}"),
        (false, None) => format!("unknown: {}", decision.reason),
    };
    format!("{}: {standing}", queue.key)
}

/// `GET /metrics`, in the format that `Accept` asks for.
pub async fn get_metrics(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT);
    let format = Format::wanted(accept.and_then(|accept| accept.to_str().ok()));
    let text = app.render_metrics(format).await?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}
