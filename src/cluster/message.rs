//! What a follower asks the leader, and the answer. Both are JSON, over the engine's messages, which may be lost or come late.

use serde::{Deserialize, Serialize};

/// A question to an account's leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// Tells answers apart.
    pub id: u64,
    /// The node that asks.
    pub node: String,
    /// What it asks.
    pub what: What,
}

/// What is asked. Queues are named as in the config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Hold a seat for a call, if the decision is to accept.
    Reserve {
        /// In which queue.
        queue: String,
        /// The call. Asked again, it gets the same seat.
        call_id: String,
        /// For how long.
        ttl_ms: u64,
        /// The asking node's rule, as far as it is not criteria.
        threshold: Option<f64>,
        /// How old data may be; `None` leaves it to the plan.
        max_age_ms: Option<u64>,
        /// What to answer if there is no fresh data, as in the config.
        on_unknown: crate::decision::OnUnknown,
    },
    /// End a reservation.
    Release {
        /// Which one.
        id: String,
    },
    /// Poll a queue now.
    Refresh {
        /// Which one.
        queue: String,
    },
    /// Get something newer about a queue, if it is worth a request.
    Freshen {
        /// Which one.
        queue: String,
        /// How stale its answer may be.
        chance: f64,
        /// The part of that which only a poll of the queue renews.
        of_membership: f64,
    },
}

/// The leader's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// That of the question.
    pub id: u64,
    /// What it says.
    pub said: Said,
}

/// What a leader answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A seat is held.
    Made {
        /// The reservation.
        id: String,
    },
    /// The call holds a seat already.
    AlreadyHeld {
        /// The reservation.
        id: String,
        /// How long ago it was made.
        age_ms: u64,
        /// How long it lasts in all.
        ttl_ms: u64,
    },
    /// The decision is to reject, for this reason.
    Rejected(String),
    /// The queue has as many reservations as it may have.
    Full,
    /// Whether the reservation was held until now.
    Released(bool),
    /// It is on the board, and in the log.
    Done,
    /// It could not be had, for this reason.
    Failed(String),
    /// The log could not be written, so nothing was done.
    Unlogged,
}
