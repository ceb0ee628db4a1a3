//! `GET /v1/watch`: decisions as they change, as server-sent events.
//!
//! Streams read the [log of changes](super::state::decision_log), each at its own pace. A stream begins with a snapshot, or, if the client sends the
//! id of the last event it saw, with the changes since then. An id is valid for one run of the process and one set of queues. A client with any
//! other id, or one that is too old for the log, gets a snapshot. No client misses a change without being told.
//!
//! Watching is not demand: streams do not make openseat poll more often, and do not count as decisions.

mod stream;

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use self::stream::{EventId, Watcher};
use super::{
    http::{
        body::Endless,
        params::{Parameter, Params, Shape},
        problem::Problem,
        problem_types,
        rights::Rights,
    },
    json::shape,
    state::{
        app::{App, Queue},
        decision_log::Selection,
        named_queue::{MAX_QUEUES, named_queues},
    },
};

/// The id of the last event that a client has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Asks nginx to pass a stream on without buffering it.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// The parameters of a stream.
pub(super) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "queue",
    meaning: "A queue's name or id, or `{account}/{queue}`; repeat it for several queues, omit it for all",
    shape: Shape::MayRepeat(MAX_QUEUES),
    example: "sales-queue",
}];

/// The headers of a request for a stream.
pub(super) const HEADERS: &[Parameter] = &[Parameter {
    name: "Last-Event-ID",
    meaning: "The `id` of the last event seen, to resume after it; with an unknown id the stream starts over",
    shape: Shape::Text,
    example: "6c1f0a9d5e3b2748-17",
}];

shape!(
    /// One event of a stream, as clients parse it.
    Event, {
        "type": "object",
        "description": "An event",
        "required": ["event", "data"],
        "properties": {
            "id": { "type": "string", "description": "To resume from" },
            "event": { "enum": ["snapshot", "decision", "end"] },
            "data": { "type": "string", "contentMediaType": "application/json" }
        }
    }
);

/// `GET /v1/watch?queue=a&queue=b`; without `queue`, all queues.
pub(super) async fn watch_decisions(
    State(app): State<Arc<App>>,
    rights: Rights,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), PARAMETERS)?;
    let (queues, selection) = select(&app, rights, &params)?;
    if app.stopping.is_cancelled() {
        return Err(Problem::stopping());
    }
    let slot = app.watch.open_stream();
    let slot = slot.ok_or_else(|| too_many_streams(app.limits.watch.streams))?;
    let seen = headers.get(LAST_EVENT_ID).and_then(EventId::parse);
    let watcher = Watcher::new(app, &queues, selection, seen, slot);
    let events = unfold(watcher, Watcher::next);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        // Nothing follows a stream on its connection, and the client should notice its end at once.
        (header::CONNECTION, HeaderValue::from_static("close")),
        UNBUFFERED,
    ];
    Ok((headers, Extension(Endless), Body::from_stream(events)).into_response())
}

fn select(
    app: &App,
    rights: Rights,
    params: &Params<'_>,
) -> Result<(Vec<Arc<Queue>>, Selection), Problem> {
    if params.all("queue").next().is_none() {
        if !app.may_name_all(rights) {
            return Err(Problem::from_type(problem_types::MAY_NOT));
        }
        return Ok((app.queues().to_vec(), Selection::All));
    }
    let queues = named_queues(app, rights, params.all("queue"))?;
    let keys = queues.iter().map(|queue| queue.key.clone()).collect();
    Ok((queues, Selection::Only(keys)))
}

fn too_many_streams(max: usize) -> Problem {
    Problem::new(
        problem_types::TOO_MANY_STREAMS,
        format!(
            "{max} streams may be open, a quarter of max_connections, so that other requests find room; close one, or raise max_connections"
        ),
    )
    .with(header::RETRY_AFTER, 5)
}
