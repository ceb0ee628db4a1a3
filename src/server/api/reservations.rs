//! Reservations: seats held for calls on their way. Create, list, release.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};

use super::decision_request::{DecisionRequest, parse_ttl};
use crate::{
    decision::{
        Decision, Reason,
        board::QueueKey,
        reservations::{DEFAULT_TTL, MAX_PER_QUEUE, Reservation, ReservationId, Reserved},
    },
    server::{
        http::{
            body::RequestBody, call_id, params::Params, problem::Problem, problem_types,
            rights::Rights,
        },
        json::{
            decision::detail,
            reservation::{ReservationJson, ReservationRequest, ReservationsJson},
        },
        state::{
            app::{App, Queue},
            call_record::named_call,
            named_queue::NamedQueue,
            seats,
        },
    },
};

/// The longest body, in bytes: an escaped call id and a duration.
pub const MAX_BODY: usize = 4 * 1024;

/// Reads the call's id and the time to live from a body.
fn parse(body: &[u8]) -> Result<(String, Duration), Problem> {
    let unlike = |why: &dyn std::fmt::Display| {
        Problem::bad_request(format!(
            "the body is not JSON such as {{\"call_id\":\"a84b4c76e66710\",\"ttl\":\"45s\"}}: {why}"
        ))
    };
    // A derived struct would also read an array, by position.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(unlike(&"it is an array"));
    }
    let request: ReservationRequest =
        serde_json::from_slice(body).map_err(|error| unlike(&error))?;
    let call_id = call_id::parse(&request.call_id);
    let call_id = call_id.map_err(|error| Problem::bad_request(error.to_string()))?;
    let ttl = request.ttl.as_deref();
    let ttl = ttl.map_or(Ok(DEFAULT_TTL), |text| parse_ttl("ttl", text));
    Ok((call_id.to_owned(), ttl.map_err(Problem::bad_request)?))
}

/// `POST /v1/queues/{queue}/reservations`: decides and holds a seat in one step.
pub async fn create_reservation(
    State(app): State<Arc<App>>,
    NamedQueue(queue): NamedQueue,
    rights: Rights,
    uri: Uri,
    RequestBody(body): RequestBody,
) -> Result<Response, Problem> {
    let request = DecisionRequest::parse_for_reservation(&uri, &queue)?;
    let (call_id, ttl) = parse(&body?)?;
    request.wait(&app, &queue).await;
    let record = |decision: &Decision, reservation: Option<&Reservation>| {
        if let Some(call) = named_call(&call_id, &uri) {
            app.record_decision(call, rights, &queue, decision, reservation);
        }
    };
    let (status, reservation) = match request.reserve(&app, &queue, &call_id, ttl).await? {
        Reserved::Made(reservation, decision) => {
            record(&decision, Some(&reservation));
            (StatusCode::CREATED, reservation)
        }
        Reserved::AlreadyHeld(reservation) => {
            let decision = request.decide_for_holder(&app, &queue, &reservation);
            record(&decision, Some(&reservation));
            (StatusCode::OK, reservation)
        }
        Reserved::Refused(decision) => {
            record(&decision, None);
            return Err(no_seat(&app, &queue, &decision));
        }
        Reserved::Full(decision) => {
            record(&decision, None);
            return Err(too_many());
        }
    };
    let left = app.decide(&queue, &app.state(&queue), &queue.rules.policy);
    let json = json(&app, &queue.key, &reservation).with_seats_left(&left);
    Ok((status, Json(json)).into_response())
}

fn json<'a>(app: &App, key: &'a QueueKey, reservation: &'a Reservation) -> ReservationJson<'a> {
    let queue_id = app.board.get(key).and_then(|state| state.id);
    ReservationJson::new(key, queue_id, reservation)
}

/// The decision is to reject; its reason and count become members of the problem.
fn no_seat(app: &App, queue: &Queue, decision: &Decision) -> Problem {
    let why = detail(
        &app.state(queue),
        &queue.rules.policy,
        decision,
        app.clock.now(),
    );
    let detail = why.unwrap_or_else(|| why_rejected(decision.reason).to_owned());
    Problem::new(problem_types::NO_SEAT, detail)
        .with_member("reason", decision.reason)
        .with_member("count", decision.count)
}

fn why_rejected(reason: Reason) -> &'static str {
    match reason {
        Reason::Reserved => "all seats are held for other calls",
        _ => "the queue has no seat above its threshold",
    }
}

fn too_many() -> Problem {
    Problem::new(
        problem_types::TOO_MANY_RESERVATIONS,
        format!("{MAX_PER_QUEUE} seats of this queue are held; release those that are not needed"),
    )
}

/// `GET /v1/reservations`
pub async fn list_reservations(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let held = app.reservations.list(app.clock.now());
    Ok(list(&app, held.iter().map(|(key, one)| (key, one))))
}

/// `GET /v1/queues/{queue}/reservations`
pub async fn list_reservations_of_queue(
    State(app): State<Arc<App>>,
    NamedQueue(queue): NamedQueue,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let held = queue.holds.list(app.clock.now());
    Ok(list(&app, held.iter().map(|one| (&queue.key, one))))
}

fn list<'a>(app: &App, held: impl Iterator<Item = (&'a QueueKey, &'a Reservation)>) -> Response {
    let reservations = held.map(|(key, reservation)| json(app, key, reservation));
    let json = ReservationsJson {
        reservations: reservations.collect(),
    };
    Json(json).into_response()
}

/// `DELETE /v1/reservations/{id}`, and `POST …/release` for clients that cannot send DELETE: releases the seat.
pub async fn release_reservation(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    rights: Rights,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    Params::parse(uri.query(), &[])?;
    let id = id.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
    let (id, now) = (ReservationId::from_text(&id), app.clock.now());
    // A client that is limited to some queues must not learn about seats of other queues.
    let is_ours = app.may_name_all(rights)
        || app
            .reservations
            .list(now)
            .iter()
            .any(|(queue, one)| one.id == id && app.may_name(rights, queue));
    let is_released = is_ours && seats::release(&app, &id).await?;
    match is_released {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::from_type(problem_types::NO_SUCH_RESERVATION)),
    }
}
