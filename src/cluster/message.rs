//! Questions of followers to the leader, and its answers. Both are JSON in the engine's messages, which may be lost, late or doubled.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::Cause;

/// How long a call waits for its seat, on any node. Its router has an answer by then, and sends the call elsewhere.
pub const SEAT_WITHIN: Duration = Duration::from_millis(250);

/// A message with a question, and when it was sent at the earliest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The engine got it after this, in time since the boot of this machine. It may have waited since, such as while this process was paused.
    pub after: Duration,
    /// A [`Question`] in JSON.
    pub question: Vec<u8>,
}

/// A question to an account's leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// Identifies its answer.
    pub id: u64,
    /// The node that asks.
    pub node: String,
    /// The question itself.
    pub what: What,
    /// How long the node waits for the answer, from when it sent this; `None` if it does not wait. Earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_ms: Option<u64>,
}

impl Question {
    /// Returns whether the node that asks may have given up, because the question has waited for so long. Then nothing must be done: the call went
    /// elsewhere, or its router was told to ask again.
    pub fn is_too_late(&self, waited: Duration) -> bool {
        let patience = match self.what {
            What::Reserve { .. } => Some(SEAT_WITHIN),
            What::Refresh { .. } | What::Freshen { .. } | What::Spend { .. } => None,
            // It is right to do these late as well.
            _ => return false,
        };
        let said = self.patience_ms.map(Duration::from_millis);
        said.or(patience).is_some_and(|patience| waited >= patience)
    }
}

/// What a follower asks. Queues have their names from the config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Hold a seat for a call, if the decision accepts.
    Reserve {
        /// The queue.
        queue: String,
        /// The call. A repeated question gets the same seat.
        call_id: String,
        /// How long to hold the seat.
        ttl_ms: u64,
        /// The asking node's threshold for the queue.
        threshold: Option<f64>,
        /// The maximum age of data; `None` for the one in the plan.
        max_age_ms: Option<u64>,
        /// What to answer without fresh data, as in the config.
        on_unknown: crate::decision::OnUnknown,
        /// The asking node's rule and opening hours for the queue, as lines of config. Earlier versions do not send them; then those of the node's last
        /// wish count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// End a reservation.
    Release {
        /// The reservation.
        id: String,
    },
    /// Poll a queue now.
    Refresh {
        /// The queue.
        queue: String,
    },
    /// Poll the queues of the asking node.
    Wish {
        /// A digest of the queues.
        digest: String,
        /// The queues, each as lines of config; `None` if the leader may know them.
        queues: Option<Vec<String>>,
        /// How often each queue was asked about since the last wish, in the same order.
        asked: Vec<u64>,
    },
    /// Count a request that the asking node is about to send: one of an account that shares its budget, or of a check. The leader of the account's or
    /// the budget's log counts it.
    Spend {
        /// Identifies the request in the cluster.
        mark: (u64, u64),
        /// Sent by background polling rather than on demand.
        polling: bool,
    },
    /// Record the answer to such a request. This question needs no answer.
    Answered {
        /// Identifies the request in the cluster.
        mark: (u64, u64),
        /// Sent by background polling rather than on demand.
        polling: bool,
    },
    /// Record that CallTools asked the asking node for a pause. This question needs no answer.
    Silenced {
        /// Whether it was a 429.
        throttled: bool,
        /// Its length; `None` if CallTools did not give one.
        wait_ms: Option<u64>,
    },
    /// Get newer data for a queue, if that is worth a request.
    Freshen {
        /// The queue.
        queue: String,
        /// The probability that its answer is stale.
        chance: f64,
        /// The part of that probability that only a poll of the queue reduces.
        of_membership: f64,
    },
}

impl What {
    /// Returns whether it is about a request that the asking node sends.
    pub fn is_about_a_request(&self) -> bool {
        matches!(
            self,
            Self::Spend { .. } | Self::Answered { .. } | Self::Silenced { .. }
        )
    }
}

/// The leader's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The question's id.
    pub id: u64,
    /// The answer itself.
    pub said: Said,
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A seat is held now.
    Made {
        /// The reservation.
        id: String,
    },
    /// The call already holds a seat.
    AlreadyHeld {
        /// The reservation.
        id: String,
        /// How long ago it was made.
        age_ms: u64,
        /// How long it lasts in total.
        ttl_ms: u64,
        /// The [figures](crate::decision::soon::rule::Prediction::figures) of a seat that counts on an agent who was not free yet. Earlier versions
        /// do not send them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soon: Option<(u8, f64)>,
    },
    /// The decision rejects, for this reason.
    Rejected(String),
    /// The queue has its maximum of reservations, or the hour its maximum of requests.
    Full,
    /// Whether the reservation was held until now.
    Released(bool),
    /// A poll is under way. Another answer follows.
    UnderWay,
    /// The new data is on the board and in the log.
    Done,
    /// The leader does not know the queues: send them.
    Which,
    /// No request was sent.
    Refused {
        /// Why.
        cause: Cause,
        /// How long until one may be sent.
        wait_ms: u64,
    },
    /// No new data could be fetched, for this reason.
    Failed(String),
    /// Nothing was done: the log could not be written, or nothing is known about the queue yet.
    Unlogged,
}
