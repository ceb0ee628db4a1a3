//! Why was this call rejected? Every answer that was given about it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::Uri;

use crate::{
    decision::board::QueueKey,
    server::{
        http::{params::Params, problem::Problem, problem_types, rights::Rights},
        json::call::CallJson,
        state::app::App,
    },
};

/// `GET /v1/calls/{call_id}`
pub async fn get_call(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    rights: Rights,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let Path(id) = id.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
    let events = app.call_events(&id).await?;
    let recorded = events.first().map_or(&*id, |event| &event.call_id);
    // A client that may ask about some queues does not see the answers of others.
    let may_see = |queue: &QueueKey| app.may_name(rights, queue);
    let json = CallJson::new(recorded, &events, may_see, app.clock.now());
    // If the search was cut short, older answers may exist.
    match json.answers.is_empty() && !json.truncated {
        true => Err(Problem::from_type(problem_types::NO_SUCH_CALL)),
        false => Ok(Json(json).into_response()),
    }
}
