//! Reservations as JSON, and the body of a request for one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::{Timestamp, rfc3339};
use crate::{
    clock::Moment,
    decision::{
        Decision,
        board::QueueKey,
        reservations::{MAX_CALL_ID_LENGTH, Reservation},
    },
    model::quantity::Quantity,
};

/// How long a seat may be held, as a regular expression: from `1s` to `10m`.
pub const TTL_PATTERN: &str =
    "^(([1-9][0-9]{3,4}|[1-5][0-9]{5}|600000)ms|([1-9][0-9]?|[1-5][0-9]{2}|600)s|([1-9]|10)m)$";

/// A request to hold a seat for a call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationRequest {
    /// The router's id for the call, without control characters. A second request with the same id gets the same reservation.
    #[schemars(length(min = 1, max = MAX_CALL_ID_LENGTH))]
    pub call_id: String,
    /// How long to hold the seat, from `1s` to `10m`; 45 s if left out.
    #[schemars(regex(pattern = TTL_PATTERN))]
    pub ttl: Option<String>,
}

/// A seat held for a call.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reservation")]
pub struct ReservationJson<'a> {
    /// Releases the seat.
    id: &'a str,
    /// The router's id of the call.
    call_id: &'a str,
    /// As configured: a name or an id.
    queue: &'a str,
    /// The queue's id at CallTools; null until it is known.
    queue_id: Option<u64>,
    /// The account's name, as configured.
    account: &'a str,
    /// When it was made.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Timestamp")]
    created_at: Option<Moment>,
    /// When it ends, unless an agent takes the call or the seat is released earlier.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Timestamp")]
    expires_at: Option<Moment>,
    /// Seats left for other calls, null if unknown. Only in the answer to a request for a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<Option<Quantity>>,
    /// How many more calls would be accepted now. Only in the answer to a request for a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
}

impl<'a> ReservationJson<'a> {
    pub fn new(key: &'a QueueKey, queue_id: Option<u64>, reservation: &'a Reservation) -> Self {
        Self {
            id: reservation.id.as_str(),
            call_id: &reservation.call_id,
            queue: &key.queue,
            queue_id,
            account: &key.account,
            created_at: Some(reservation.made),
            expires_at: Some(reservation.expires()),
            count: None,
            capacity: None,
        }
    }

    /// Adds what the queue's current decision says about other calls.
    pub fn with_seats_left(self, decision: &Decision) -> Self {
        Self {
            count: Some(decision.count),
            capacity: Some(decision.capacity),
            ..self
        }
    }
}

/// The seat held for the call in the request.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "HeldSeat")]
pub struct HeldSeatJson<'a> {
    /// Releases the seat.
    id: &'a str,
    /// When it ends, unless an agent takes the call or the seat is released earlier.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Timestamp")]
    expires_at: Option<Moment>,
}

impl<'a> HeldSeatJson<'a> {
    pub fn new(reservation: &'a Reservation) -> Self {
        Self {
            id: reservation.id.as_str(),
            expires_at: Some(reservation.expires()),
        }
    }
}

/// Seats held for calls.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reservations")]
pub struct ReservationsJson<'a> {
    /// Queue by queue, oldest first.
    pub reservations: Vec<ReservationJson<'a>>,
}
