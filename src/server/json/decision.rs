//! A decision as JSON.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    reservation::HeldSeatJson,
    soon::hundredths,
    time::{Timestamp, rfc3339, whole_ms},
};
use crate::{
    clock::Moment,
    decision::{
        Decision, Policy, Reason,
        board::{QueueKey, QueueState},
        reservations::Reservation,
    },
    model::quantity::Quantity,
};

/// Accept or reject, and the data behind it. Unknown values are `null`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
pub struct DecisionJson<'a> {
    /// As configured: a name or an id.
    queue: &'a str,
    /// The queue's id at CallTools; null until it is known.
    queue_id: Option<u64>,
    /// The account's name, as configured.
    account: &'a str,
    /// Whether to send the call.
    pub accept: bool,
    /// Why.
    reason: Reason,
    /// Seats, less those held for calls on their way; null if unknown.
    pub count: Option<Quantity>,
    /// The decision is to accept if there are more seats than this; null if the criteria contain no comparison with a number.
    threshold: Option<Quantity>,
    /// When CallTools sent the data that the decision is based on; null while the queue is closed.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    as_of: Option<Moment>,
    /// The age of the oldest status behind the count, in milliseconds.
    age_ms: Option<u64>,
    /// The age of the queue's list of members, in milliseconds.
    membership_age_ms: Option<u64>,
    /// When the decision stops being valid, unless newer data comes.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    valid_until: Option<Moment>,
    /// How many more calls would be accepted now: seats beyond the threshold and beyond those held for other calls. It is above 0 if and only if the
    /// decision is to accept, so it suits routers that can only compare one number with 0. 1 if `on_unknown` accepts.
    pub capacity: u32,
    /// The probability that an agent is free when the call arrives. Only present with the reason `soon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely: Option<f64>,
    /// The probability that is required. Only present with the reason `soon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<f64>,
    /// What is wrong or missing, and what to do; or until when the queue is closed. Only present if the seats are unknown or the queue is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The seat held for this call. Only present if `reserve` asked for it and the decision is to accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<HeldSeatJson<'a>>,
    /// What is wrong with a request that was answered all the same: its `call_id` is not the id of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
}

impl<'a> DecisionJson<'a> {
    pub fn new(
        key: &'a QueueKey,
        policy: &Policy,
        state: &QueueState,
        decision: &Decision,
        now: Moment,
    ) -> Self {
        Self {
            queue: &key.queue,
            queue_id: state.id,
            account: &key.account,
            accept: decision.accept,
            reason: decision.reason,
            count: decision.count,
            threshold: decision.threshold,
            as_of: decision.as_of,
            age_ms: decision.age.map(whole_ms),
            membership_age_ms: decision.membership_age.map(whole_ms),
            valid_until: decision.usable_until(),
            capacity: decision.capacity,
            likely: decision.prediction.map(|prediction| prediction.likely()),
            needed: decision
                .prediction
                .map(|prediction| hundredths(prediction.needed)),
            detail: detail(state, policy, decision, now),
            reservation: None,
            warning: None,
        }
    }

    /// Adds the seat that is held for the call.
    pub fn with_reservation(self, reservation: Option<&'a Reservation>) -> Self {
        Self {
            reservation: reservation.map(HeldSeatJson::new),
            ..self
        }
    }

    /// The same, with a warning about the request.
    pub fn with_warning(self, warning: Option<&'a str>) -> Self {
        Self { warning, ..self }
    }
}

/// Several decisions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Decisions")]
pub struct DecisionsJson<'a> {
    /// In the order requested.
    decisions: &'a [DecisionJson<'a>],
    /// The accepting one with the most seats, or else the one whose agent is likely to be free; null if none accepts.
    best: Option<&'a DecisionJson<'a>>,
    /// What is wrong with a request that was answered all the same: its `call_id` is not the id of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
}

impl<'a> DecisionsJson<'a> {
    /// Creates the JSON of several decisions, of which the best has this place.
    pub fn new(decisions: &'a [DecisionJson<'a>], best: Option<usize>) -> Self {
        Self {
            decisions,
            best: best.map(|place| &decisions[place]),
            warning: None,
        }
    }

    /// The same, with a warning about the request.
    pub fn with_warning(self, warning: Option<&'a str>) -> Self {
        Self { warning, ..self }
    }
}

/// Why the seats were not counted, in one sentence; `None` if they were.
pub fn detail(
    state: &QueueState,
    policy: &Policy,
    decision: &Decision,
    now: Moment,
) -> Option<String> {
    closed(policy, decision).or_else(|| why_unknown(state, policy, decision, now))
}

fn closed(policy: &Policy, decision: &Decision) -> Option<String> {
    let until = policy.closed_until(decision)?;
    let zone = policy.hours.as_ref()?.zone();
    Some(format!("the queue is closed until {until} in {zone}"))
}

/// Cuts off what nobody reads: a default is computed, to the nanosecond.
fn rounded(max_age: Duration) -> Duration {
    match max_age < Duration::from_secs(10) {
        true => Duration::from_millis(max_age.as_millis() as u64),
        false => Duration::from_secs(max_age.as_secs()),
    }
}

/// Says why the queue's seats are unknown, in one sentence; `None` if they are known.
pub fn why_unknown(
    state: &QueueState,
    policy: &Policy,
    decision: &Decision,
    now: Moment,
) -> Option<String> {
    if decision.reason.is_known() {
        return None;
    }
    let fault = state.fault.as_deref();
    let measured = state.snapshot.as_deref().map(|snapshot| &snapshot.measured);
    let is_stale = !decision.is_fresh;
    Some(match (fault, measured) {
        (Some(fault), _) if is_stale || measured.is_none() => {
            format!("{}: {}", fault.message(now), fault.advice())
        }
        (_, Some(Err(mismatch))) => {
            format!("what CallTools sent does not fit the queue's criteria: {mismatch}")
        }
        (_, None) => "the first poll of this queue has not finished yet".to_owned(),
        (_, Some(Ok(_))) if !is_stale => {
            // Only the leader of a cluster gives another reason than this node's own data.
            "the node that leads the account has no data that may be used".to_owned()
        }
        (_, Some(Ok(_))) => format!(
            "the newest snapshot is older than the {} for which it may be used, and no poll has failed since: \
             a poll is under way, polls are too far apart for max_age, or a cache on the way answers with old lists",
            humantime::format_duration(rounded(policy.max_age(state)))
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planned_age_is_told_without_its_nanoseconds() {
        for (age, said) in [
            (Duration::new(151, 578_947_367), "2m 31s"),
            (Duration::new(7, 578_947_367), "7s 578ms"),
            (Duration::from_secs(20), "20s"),
        ] {
            assert_eq!(humantime::format_duration(rounded(age)).to_string(), said);
        }
    }
}
