//! Which path is answered by whom.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderMap, Uri};

use super::{
    app::App, dashboard, decisions, drop_in, gate::is_drop_in, hooks, probes, problem::Problem,
    queues, reload, reservations, watch,
};

/// All routes. HEAD works wherever GET does; a wrong method gets 405 with `Allow`.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(probes::metrics))
        .route("/v1/decisions", get(decisions::many))
        .route("/v1/watch", get(watch::open))
        .route("/v1/queues", get(queues::summary))
        .merge(queue_routes("/v1/queues/{queue}"))
        // For accounts that share a queue's name. A queue that is itself called "decision", "chart.svg", "refresh" or "reservations" is read as
        // `{account}/%64ecision`.
        .merge(queue_routes("/v1/queues/{account}/{queue}"))
        .route("/v1/reservations", get(reservations::all))
        .route("/v1/reservations/{id}", delete(reservations::release))
        .route("/v1/reservations/{id}/release", post(reservations::release))
        .route("/v1/reload", post(reload::wish))
        .route("/v1/hooks/{account}", post(hooks::take))
        .merge(dashboard::routes())
        .merge(drop_in::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

fn queue_routes(path: &str) -> Router<Arc<App>> {
    Router::new()
        .route(path, get(queues::one))
        .route(&format!("{path}/decision"), get(decisions::one))
        .route(&format!("{path}/chart.svg"), get(dashboard::chart))
        .route(&format!("{path}/refresh"), post(queues::refresh))
        .route(
            &format!("{path}/reservations"),
            get(reservations::of_queue).post(reservations::make),
        )
}

async fn no_such_path(uri: Uri) -> Response {
    if is_drop_in(uri.path()) {
        return drop_in::not_found();
    }
    Problem::no_such_path().into_response()
}

async fn wrong_method(method: http::Method, uri: Uri) -> Response {
    if is_drop_in(uri.path()) {
        return drop_in::method_not_allowed(&method);
    }
    Problem::method_not_allowed().into_response()
}

/// Path, what it answers.
pub(super) const ENDPOINTS: [(&str, &str); 22] = [
    (
        "GET /v1/queues/{queue}/decision",
        "accept or reject, as JSON; ?threshold=2, ?format=text, ?format=status",
    ),
    (
        "GET /v1/decisions?queue=a&queue=b",
        "several decisions, and the best of them",
    ),
    (
        "GET /v1/watch?queue=a&queue=b",
        "decisions as they change, as server-sent events; resumes by Last-Event-ID",
    ),
    ("GET /v1/queues", "all queues"),
    ("GET /v1/queues/{queue}", "one queue with its agents"),
    (
        "POST /v1/queues/{queue}/refresh",
        "polls the queue now, at the cost of a request",
    ),
    (
        "POST /v1/queues/{queue}/reservations",
        "holds a seat for a call that is being sent; {\"call_id\":\"…\",\"ttl\":\"45s\"}",
    ),
    (
        "GET /v1/queues/{queue}/chart.svg",
        "its seats over time, as a picture; ?range=1h, ?range=24h, ?range=7d",
    ),
    (
        "GET /v1/queues/{queue}/reservations",
        "the seats held in a queue",
    ),
    ("GET /v1/reservations", "the seats held in all queues"),
    (
        "DELETE /v1/reservations/{id}",
        "gives a seat back; or POST …/{id}/release",
    ),
    (
        "     …/{account}/{queue}/…",
        "the same, where accounts share a queue's name",
    ),
    (
        "GET /api/agentstatuses/?queue={id}",
        "as CallTools answers it, with the account's own token",
    ),
    ("GET /api/agentstatuses/{agent}/", "one agent"),
    ("GET /api/queues/", "the account's queues"),
    ("GET /api/statuses/", "the account's statuses"),
    (
        "POST /v1/reload",
        "reads the config again; a bad one changes nothing",
    ),
    (
        "POST /v1/hooks/{account}",
        "for CallTools: a call that has ended; ?secret=…",
    ),
    ("GET /metrics", "for Prometheus"),
    ("GET /livez", "200 while the process runs"),
    (
        "GET /readyz",
        "200 once every queue has a snapshot or a known fault",
    ),
    ("GET /readyz?verbose", "the same, queue by queue"),
];

/// `GET /`: the dashboard for people, this list for everybody else.
async fn index(state: State<Arc<App>>, headers: HeaderMap) -> Response {
    if dashboard::wants_page(&headers) {
        dashboard::overview(state).await
    } else {
        index_text().into_response()
    }
}

fn index_text() -> String {
    let mut text = format!("openseat {}\n\n", env!("CARGO_PKG_VERSION"));
    for (request, answer) in ENDPOINTS {
        text.push_str(&format!("{request:<38} {answer}\n"));
    }
    text
}
