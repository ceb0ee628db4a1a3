//! Accept or reject: what routers ask while a call rings.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Method, Uri};

use super::decision_request::{DecisionRequest, decide_for};
use crate::server::{
    http::{
        params::{Parameter, Params, Shape},
        problem::Problem,
        problem_types,
        rights::Rights,
        rule::Need,
    },
    json::decision::{DecisionJson, DecisionsJson},
    state::{
        app::App,
        named_queue::{MAX_QUEUES, NamedQueue, named_queues},
    },
};

/// The parameters of a request for several decisions.
pub const LIST_PARAMETERS: &[Parameter] = &[Parameter {
    name: "queue",
    meaning: "A queue's name or id, or `{account}/{queue}`; repeat it for several queues",
    shape: Shape::Repeated(MAX_QUEUES),
    example: "sales-queue",
}];

/// `GET /v1/queues/{queue}/decision`, and `POST` for routers that can only post. With `reserve`, the seat is held as well.
pub async fn get_decision(
    State(app): State<Arc<App>>,
    NamedQueue(queue): NamedQueue,
    rights: Rights,
    method: Method,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut request = DecisionRequest::parse(&uri, &queue, rights)?;
    if request.holds() && !app.may(rights, Need::Reserve) {
        return Err(Problem::from_type(problem_types::MAY_NOT));
    }
    if method == Method::HEAD {
        request = request.without_hold();
    }
    request.wait(&app, &queue).await;
    request.answer_and_hold(&app, &queue, rights).await
}

/// `GET /v1/decisions?queue=a&queue=b`
pub async fn list_decisions(
    State(app): State<Arc<App>>,
    rights: Rights,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), LIST_PARAMETERS)?;
    let queues = named_queues(&app, rights, params.all("queue"))?;
    let decisions: Vec<_> = queues
        .iter()
        .map(|queue| {
            let (state, decision) = decide_for(rights, &app, queue, &queue.policy);
            let now = app.clock.now();
            DecisionJson::new(&queue.key, &queue.policy, &state, &decision, now)
        })
        .collect();
    Ok(Json(DecisionsJson::new(&decisions)).into_response())
}
