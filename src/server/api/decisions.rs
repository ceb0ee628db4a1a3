//! Accept or reject: what routers ask while a call rings.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Method, Uri};

use super::{
    decision_parameters::CALL_ID,
    decision_request::{DecisionRequest, decide_for},
};
use crate::{
    decision::Decision,
    server::{
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
            call_record::call_of,
            named_queue::{MAX_QUEUES, NamedQueue, named_queues},
        },
    },
};

/// The parameters of a request for several decisions.
pub const LIST_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "queue",
        meaning: "A queue's name or id, or `{account}/{queue}`; repeat it for several queues",
        shape: Shape::Repeated(MAX_QUEUES),
        example: "sales-queue",
    },
    CALL_ID,
];

/// `GET /v1/queues/{queue}/decision`, and `POST` for routers that can only post. With `reserve` it also holds the seat.
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
    let (call, error) = call_of(&uri);
    if let (Some(error), Some(queue)) = (&error, queues.first()) {
        queue.warn_of_call_id(error);
    }
    let warning = error.map(|error| error.to_string());
    let mut best: Option<(usize, Decision)> = None;
    let decisions: Vec<_> = queues
        .iter()
        .enumerate()
        .map(|(place, queue)| {
            let (state, decision) = decide_for(rights, &app, queue, &queue.rules.policy);
            if let Some(call) = call.clone() {
                app.record_decision(call, rights, queue, &decision, None);
            }
            let now = app.clock.now();
            let json = DecisionJson::new(&queue.key, &queue.rules.policy, &state, &decision, now);
            if decision.beats(best.as_ref().map(|(_, best)| best)) {
                best = Some((place, decision));
            }
            json
        })
        .collect();
    let json = DecisionsJson::new(&decisions, best.map(|(place, _)| place))
        .with_warning(warning.as_deref());
    Ok(Json(json).into_response())
}
