//! Seats held for calls that are on their way: made, listed, given back.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decisions::{Question, Timestamp, rfc3339, why_unknown};
use crate::{
    clock::Moment,
    decision::{
        Decision, Reason,
        board::QueueKey,
        reservations::{
            DEFAULT_TTL, MAX_CALL_ID_LENGTH, MAX_PER_QUEUE, Reservation, ReservationId, Reserved,
            TTL,
        },
    },
    model::quantity::Quantity,
    server::{
        http::{
            body::Whole,
            params::{self, Asked, Params},
            problem::Problem,
            problem_types,
        },
        state::app::{App, Queue},
    },
};

/// The longest body: a call's name, escaped, and a duration.
pub const LONGEST_WISH: usize = 4 * 1024;

/// What the router says of its call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReservationWish")]
pub struct Wish {
    /// Names the call; asked again with the same name, the answer is the same reservation.
    #[schemars(length(min = 1, max = MAX_CALL_ID_LENGTH))]
    call_id: String,
    /// For how long the seat is held, from `1s` to `10m`; 45 s if left out.
    #[schemars(regex(
        pattern = r"^(([1-9][0-9]{3,4}|[1-5][0-9]{5}|600000)ms|([1-9][0-9]?|[1-5][0-9]{2}|600)s|([1-9]|10)m)$"
    ))]
    ttl: Option<String>,
}

impl Wish {
    fn parse(body: &[u8]) -> Result<(String, Duration), Problem> {
        let wish: Self = serde_json::from_slice(body).map_err(|error| {
            Problem::bad_request(format!(
                "the body is not JSON such as {{\"call_id\":\"a84b4c76e66710\",\"ttl\":\"45s\"}}: {error}"
            ))
        })?;
        if !(1..=MAX_CALL_ID_LENGTH).contains(&wish.call_id.chars().count()) {
            return Err(Problem::bad_request(format!(
                "\"call_id\" names the call in 1 to {MAX_CALL_ID_LENGTH} characters"
            )));
        }
        Ok((wish.call_id, ttl(wish.ttl.as_deref())?))
    }
}

fn ttl(asked: Option<&str>) -> Result<Duration, Problem> {
    let Some(asked) = asked else {
        return Ok(DEFAULT_TTL);
    };
    let ttl = params::duration(asked);
    ttl.filter(|ttl| TTL.contains(ttl)).ok_or_else(|| {
        Problem::bad_request(format!(
            "\"ttl\" is a duration such as \"45s\", from {} to {}",
            humantime::format_duration(*TTL.start()),
            humantime::format_duration(*TTL.end()),
        ))
    })
}

/// A seat held for a call.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reservation")]
pub struct View<'a> {
    /// To give it back with.
    id: &'a str,
    /// As the router named its call.
    call_id: &'a str,
    /// As configured: a name or an id.
    queue: &'a str,
    /// At CallTools; null until it is known.
    queue_id: Option<u64>,
    /// As configured.
    account: &'a str,
    /// When it was made.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Timestamp")]
    created_at: Option<Moment>,
    /// When it ends, unless an agent takes the call or it is given back before.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Timestamp")]
    expires_at: Option<Moment>,
    /// Seats left for others, null where that is not known; only in the answer to who asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<Option<Quantity>>,
}

impl<'a> View<'a> {
    fn of(app: &App, key: &'a QueueKey, reservation: &'a Reservation) -> Self {
        let state = app.board.get(key);
        Self {
            id: reservation.id.as_str(),
            call_id: &reservation.call_id,
            queue: &key.queue,
            queue_id: state.and_then(|state| state.id),
            account: &key.account,
            created_at: Some(reservation.made),
            expires_at: Some(reservation.expires()),
            count: None,
        }
    }

    fn with_count(self, count: Option<Quantity>) -> Self {
        Self {
            count: Some(count),
            ..self
        }
    }
}

/// `POST /v1/queues/{queue}/reservations`: decides and holds a seat, in one step.
pub async fn make(
    State(app): State<Arc<App>>,
    Asked(queue): Asked,
    uri: Uri,
    Whole(body): Whole,
) -> Result<Response, Problem> {
    let question = Question::of_a_call(&uri, &queue)?;
    let (call_id, ttl) = Wish::parse(&body?)?;
    question.wait(&app, &queue).await;
    let reserved = question.reserve(&app, &queue, &call_id, ttl);
    let (status, reservation) = match reserved {
        Reserved::Made(reservation, _) => (StatusCode::CREATED, reservation),
        Reserved::AlreadyHeld(reservation) => (StatusCode::OK, reservation),
        Reserved::Refused(decision) => return Err(refused(&app, &queue, &decision)),
        Reserved::Full => return Err(full()),
    };
    if status == StatusCode::CREATED {
        app.board.notify();
        app.reservations.keep(&queue.key, &reservation).await;
    }
    let left = app.decide(&queue, &app.state(&queue), &queue.policy).count;
    let view = View::of(&app, &queue.key, &reservation).with_count(left);
    Ok((status, Json(view)).into_response())
}

/// The decision is to reject; its reason and count are members of the problem.
fn refused(app: &App, queue: &Queue, decision: &Decision) -> Problem {
    let detail = why_unknown(&app.state(queue), &queue.policy, decision, app.clock.now());
    let detail = detail.unwrap_or_else(|| known(decision.reason).to_owned());
    Problem::new(problem_types::NO_SEAT, detail)
        .telling("reason", decision.reason)
        .telling("count", decision.count)
}

fn known(reason: Reason) -> &'static str {
    match reason {
        Reason::Reserved => "all seats are held for other calls",
        _ => "the queue has no seat to spare above its threshold",
    }
}

fn full() -> Problem {
    Problem::new(
        problem_types::TOO_MANY_RESERVATIONS,
        format!("{MAX_PER_QUEUE} seats of this queue are held; release those that are not needed"),
    )
}

/// Seats held.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reservations")]
pub struct All<'a> {
    /// The oldest first, queue by queue.
    reservations: Vec<View<'a>>,
}

impl<'a> All<'a> {
    fn of(app: &App, held: impl Iterator<Item = (&'a QueueKey, &'a Reservation)>) -> Response {
        let views = held.map(|(key, reservation)| View::of(app, key, reservation));
        let all = All {
            reservations: views.collect(),
        };
        Json(all).into_response()
    }
}

/// `GET /v1/reservations`
pub async fn all(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let held = app.reservations.list(app.clock.now());
    Ok(All::of(&app, held.iter().map(|(key, one)| (key, one))))
}

/// `GET /v1/queues/{queue}/reservations`
pub async fn of_queue(
    State(app): State<Arc<App>>,
    Asked(queue): Asked,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let held = queue.holds.list(app.clock.now());
    Ok(All::of(&app, held.iter().map(|one| (&queue.key, one))))
}

/// `DELETE /v1/reservations/{id}`, or `POST …/release` for those who cannot send that: the seat is open again.
pub async fn release(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    Params::parse(uri.query(), &[])?;
    let id = id.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
    let released = app
        .reservations
        .release(&ReservationId::from_text(&id), app.clock.now());
    released.ok_or_else(no_such_reservation)?;
    app.board.notify();
    Ok(StatusCode::NO_CONTENT)
}

fn no_such_reservation() -> Problem {
    Problem::usual(problem_types::NO_SUCH_RESERVATION)
}
