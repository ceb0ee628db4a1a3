//! What happens to a call: it is answered, or the seat that was held for it ends.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Moment,
    decision::{
        Decision,
        board::QueueKey,
        reservations::{Reservation, ReservationId},
        soon::{outlook::Expected, rule::Prediction},
    },
    model::quantity::Quantity,
};

/// One thing that happened to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The number of the event in this process. It has no meaning in events of earlier processes.
    pub(super) number: u64,
    /// When it happened: wall time, in milliseconds since 1970.
    pub at_ms: i64,
    /// The router's id of the call.
    pub call_id: Box<str>,
    /// The queue that the call is for.
    pub queue: QueueKey,
    /// What happened.
    pub what: What,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A router got an answer.
    Answered(Answer),
    /// The seat that was held for the call became free before it expired.
    Ended {
        /// Which reservation.
        reservation: ReservationId,
        /// A value of [`End::as_str`](crate::decision::reservations::End::as_str).
        end: Cow<'static, str>,
    },
}

/// What a router was told about a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The client of the config that asked; `None` for a caller with the bearer token, or without a token where none is needed.
    pub client: Option<Arc<str>>,
    /// `None` if agents were listed and the router decided.
    pub accept: Option<bool>,
    /// The decision's reason, or [`LISTED`].
    pub reason: Cow<'static, str>,
    /// The decision's count.
    pub count: Option<Quantity>,
    /// The decision's threshold.
    pub threshold: Option<Quantity>,
    /// The age of the oldest status that the answer used.
    pub age_ms: Option<u64>,
    /// The request's `tag_*` parameters, as written in its query.
    pub tags: Option<Box<str>>,
    /// The seat that the call got, or already had.
    pub seat: Option<Box<Seat>>,
    /// The prediction for a call that was accepted at zero seats.
    pub forecast: Option<Box<Forecast>>,
}

/// The reason of an answer that lists agents in CallTools' format and leaves the decision to the router.
pub const LISTED: &str = "listed";

/// The end of a seat that another node of the cluster has ended.
pub const ELSEWHERE: &str = "elsewhere";

/// The prediction for a call that was accepted at zero seats. The file has it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// How likely an agent was to be free when the call arrived.
    pub likely: f64,
    /// How likely it had to be.
    pub needed: f64,
    /// The agents that the call counted on, likeliest first.
    pub expected: Box<[ExpectedAgent]>,
}

/// An agent that a call counted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedAgent {
    /// The id.
    pub id: Box<str>,
    /// The full name; empty if CallTools sent none.
    pub name: Arc<str>,
    /// The status that was expected to end.
    pub status: Arc<str>,
    /// When it was as likely as not to have ended: wall time, in milliseconds since 1970. `None` if that was not within five minutes.
    pub free_by_ms: Option<i64>,
}

/// A seat held for a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    /// The id of its reservation.
    pub id: ReservationId,
    /// When it expires: wall time, in milliseconds since 1970.
    pub expires_ms: i64,
}

impl Answer {
    /// Creates the answer for a decision, without a client, tags or a seat.
    pub fn new(decision: &Decision) -> Self {
        Self {
            client: None,
            accept: Some(decision.accept),
            reason: Cow::Borrowed(decision.reason.as_str()),
            count: decision.count,
            threshold: decision.threshold,
            age_ms: decision.age.map(|age| age.as_millis() as u64),
            tags: None,
            seat: None,
            forecast: None,
        }
    }
}

impl Forecast {
    /// Creates the forecast of a decision, with the agents that it counts on.
    pub fn new(prediction: Prediction, expected: &[Expected]) -> Self {
        let agent = |one: &Expected| ExpectedAgent {
            id: (&*one.agent.id.0).into(),
            name: Arc::clone(&one.agent.name),
            status: one.agent.status.clone().unwrap_or_default(),
            free_by_ms: one.free_by_ms,
        };
        Self {
            likely: prediction.likely(),
            needed: prediction.needed,
            expected: expected.iter().map(agent).collect(),
        }
    }

    /// About how much memory it takes. Names are shared.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.expected.len() * (size_of::<ExpectedAgent>() + ID_LENGTH)
    }
}

impl Seat {
    /// Creates the seat of a reservation.
    pub fn new(reservation: &Reservation) -> Self {
        Self {
            id: reservation.id.clone(),
            expires_ms: wall_ms(reservation.expires()),
        }
    }
}

impl Event {
    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        let more = match &self.what {
            What::Answered(answer) => {
                let tags = answer.tags.as_ref().map_or(0, |tags| tags.len());
                let forecast = answer.forecast.as_ref().map_or(0, |one| one.weight());
                tags + forecast
                    + answer
                        .seat
                        .as_ref()
                        .map_or(0, |_| size_of::<Seat>() + ID_LENGTH)
            }
            What::Ended { .. } => ID_LENGTH,
        };
        size_of::<Self>() + self.call_id.len() + more
    }
}

/// The length of a reservation's id.
const ID_LENGTH: usize = 32;

/// Wall time in milliseconds since 1970.
pub(super) fn wall_ms(moment: Moment) -> i64 {
    moment.wall.as_millis() as i64
}
