//! The answers given about a call, as JSON.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    soon::hundredths,
    time::{Timestamp, rfc3339_of_ms},
};
use crate::{
    clock::Moment,
    decision::{
        board::QueueKey,
        reservations::{End, ReservationId},
    },
    model::quantity::Quantity,
    state::calls::{Answer, Event, ExpectedAgent, MAX_FOUND, Seat, What},
};

/// Every answer about a call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Call")]
pub struct CallJson<'a> {
    /// The router's id for the call.
    call_id: &'a str,
    /// The answers, oldest first.
    pub answers: Vec<CallAnswerJson<'a>>,
    /// Whether older answers may be left out: a search returns at most a thousand events, those about other queues included.
    pub truncated: bool,
}

/// One answer about a call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallAnswer")]
pub struct CallAnswerJson<'a> {
    /// When it was given.
    #[serde(serialize_with = "rfc3339_of_ms")]
    #[schemars(with = "Timestamp")]
    pub at: i64,
    /// The configured client that asked; null for a caller with the bearer token, or without one where none is needed.
    pub client: Option<&'a str>,
    /// The account's name, as configured at that time.
    pub account: &'a str,
    /// The queue, as configured at that time: a name or an id.
    pub queue: &'a str,
    /// Whether the answer was to send the call; null if the drop-in listed agents and the router decided.
    pub accept: Option<bool>,
    /// Why, as in a decision; `listed` if the drop-in listed agents.
    pub reason: &'a str,
    /// Seats, as in the answer, or the number of listed agents; null if unknown.
    pub count: Option<Quantity>,
    /// The decision accepts if there are more seats than this; null if the rule compares with no number.
    pub threshold: Option<Quantity>,
    /// The age of the oldest status that the answer used, in milliseconds.
    pub age_ms: Option<u64>,
    /// The request's `tag_*` parameters. Only present if there were any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The seat that was held for the call; null if none was.
    pub reservation: Option<CallSeatJson<'a>>,
    /// The probability that an agent is free when the call arrives. Only present with the reason `soon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely: Option<f64>,
    /// The probability that is required. Only present with the reason `soon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<f64>,
    /// The agents that the call counted on, likeliest first: at most three. Only present with the reason `soon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Vec<ExpectedAgentJson<'a>>>,
}

/// An agent that a call counted on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExpectedAgent")]
pub struct ExpectedAgentJson<'a> {
    /// The agent's id.
    id: &'a str,
    /// The full name; empty if CallTools sent none.
    name: &'a str,
    /// The status that was expected to end.
    status: &'a str,
    /// When the agent was as likely as not to be free; null if that was not within five minutes.
    #[serde(serialize_with = "rfc3339_if_any")]
    #[schemars(with = "Option<Timestamp>")]
    free_by: Option<i64>,
}

/// A seat that was held for a call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallSeat")]
pub struct CallSeatJson<'a> {
    /// The reservation's id.
    id: &'a str,
    /// When it expires, or would have.
    #[serde(serialize_with = "rfc3339_of_ms")]
    #[schemars(with = "Timestamp")]
    pub expires_at: i64,
    /// How it ended: `answered` if an agent of the queue was seen leaving *available*, `released` by the router, `expired` when its time was up,
    /// `elsewhere` if another node of the cluster ended it; null while it is held.
    pub ended: Option<&'a str>,
    /// When it ended.
    #[serde(serialize_with = "rfc3339_if_any")]
    #[schemars(with = "Option<Timestamp>")]
    pub ended_at: Option<i64>,
}

fn rfc3339_if_any<S: serde::Serializer>(
    ms: &Option<i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match ms {
        Some(ms) => rfc3339_of_ms(ms, serializer),
        None => serializer.serialize_none(),
    }
}

impl<'a> CallJson<'a> {
    /// Collects the answers about these queues among the events of a call, each with the end of its seat.
    pub fn new(
        call_id: &'a str,
        events: &'a [Event],
        is_about: impl Fn(&QueueKey) -> bool,
        now: Moment,
    ) -> Self {
        let ended = events.iter().filter_map(|event| match &event.what {
            What::Ended { reservation, end } => Some((reservation, (&**end, event.at_ms))),
            What::Answered(_) => None,
        });
        let ended: HashMap<_, _> = ended.collect();
        let events_about = events.iter().filter(|event| is_about(&event.queue));
        let answers = events_about.filter_map(|event| match &event.what {
            What::Answered(answer) => Some(CallAnswerJson::new(event, answer, &ended, now)),
            What::Ended { .. } => None,
        });
        Self {
            call_id,
            answers: answers.collect(),
            truncated: events.len() >= MAX_FOUND,
        }
    }
}

type Ended<'a> = HashMap<&'a ReservationId, (&'a str, i64)>;

impl<'a> CallAnswerJson<'a> {
    fn new(event: &'a Event, answer: &'a Answer, ended: &Ended<'a>, now: Moment) -> Self {
        let tags = answer.tags.as_deref().unwrap_or_default();
        let tags = url::form_urlencoded::parse(tags.as_bytes()).into_owned();
        let seat = answer.seat.as_deref();
        let forecast = answer.forecast.as_deref();
        let expected = |agents: &'a [ExpectedAgent]| agents.iter().map(ExpectedAgentJson::new);
        Self {
            at: event.at_ms,
            client: answer.client.as_deref(),
            account: &event.queue.account,
            queue: &event.queue.queue,
            accept: answer.accept,
            reason: &answer.reason,
            count: answer.count,
            threshold: answer.threshold,
            age_ms: answer.age_ms,
            tags: tags.collect(),
            reservation: seat.map(|seat| CallSeatJson::new(seat, ended, now)),
            likely: forecast.map(|forecast| forecast.likely),
            needed: forecast.map(|forecast| hundredths(forecast.needed)),
            expected: forecast.map(|forecast| expected(&forecast.expected).collect()),
        }
    }
}

impl<'a> ExpectedAgentJson<'a> {
    fn new(agent: &'a ExpectedAgent) -> Self {
        Self {
            id: &agent.id,
            name: &agent.name,
            status: &agent.status,
            free_by: agent.free_by_ms,
        }
    }
}

impl<'a> CallSeatJson<'a> {
    fn new(seat: &'a Seat, ended: &Ended<'a>, now: Moment) -> Self {
        let is_over = seat.expires_ms <= now.wall.as_millis() as i64;
        let expired = is_over.then_some((End::Expired.as_str(), seat.expires_ms));
        let end = ended.get(&seat.id).copied().or(expired);
        Self {
            id: seat.id.as_str(),
            expires_at: seat.expires_ms,
            ended: end.map(|(end, _)| end),
            ended_at: end.map(|(_, at_ms)| at_ms),
        }
    }
}
