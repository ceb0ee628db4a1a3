//! For supervisors and scrapers: is it alive, is it ready, what does it count.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, header};

use super::{
    app::{App, Queue},
    params::{Parameter, Params, Shape},
    problem::Problem,
};
use crate::{board::QueueState, metrics::Format};

/// What a question for readiness may say.
pub(super) const READY: &[Parameter] = &[Parameter {
    name: "verbose",
    means: "Tells queue by queue, whatever the value; wants the bearer token, where there is one",
    shape: Shape::Text,
    example: "1",
}];

/// `GET /livez`: whoever reads this answer knows that the process runs. CallTools' troubles are no reason to restart us.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: every queue has a snapshot or a known fault, and we are not about to stop.
pub(super) async fn ready(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), READY)?;
    let verbose = params.one("verbose")?.is_some();
    let states = app.queues().iter().map(|queue| (queue, app.state(queue)));
    let states: Vec<_> = states.collect();
    let (status, word) = if app.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if states.iter().all(|(_, state)| is_settled(state)) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let mut body = format!("{word}\n");
    for (queue, state) in states.iter().filter(|_| verbose) {
        body.push_str(&line(queue, state));
    }
    Ok((status, body).into_response())
}

fn is_settled(state: &QueueState) -> bool {
    state.snapshot.is_some() || state.fault.is_some()
}

fn line(queue: &Queue, state: &QueueState) -> String {
    let mut line = format!("{}: ", queue.key);
    match (&state.fault, &state.snapshot) {
        (Some(fault), _) => write!(line, "{fault}"),
        (None, Some(_)) => write!(line, "ok"),
        (None, None) => write!(line, "never polled"),
    }
    .expect("writing to a String cannot fail");
    // A name or a fault with a line break in it would look like two queues.
    line.retain(|c| !c.is_control());
    line.push('\n');
    line
}

/// `GET /metrics`, in the format that the scraper asks for.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let format = Format::wanted(accept.and_then(|accept| accept.to_str().ok()));
    let text = app.metrics.render(app.scrape().await, format);
    ([(header::CONTENT_TYPE, format.content_type())], text).into_response()
}
