//! An agent of an account, as one row of CallTools' lists describes them.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use crate::model::raw::RawRow;

/// The id of an agent, the same in every queue of an account. CallTools writes it as a UUID, a number, a URL that ends in either, or an
/// object. This is the text that all of them reduce to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AgentId(pub Arc<str>);

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent in one row, from a poll of a queue or from a sweep of the whole account.
#[derive(Clone, Debug)]
pub struct Agent {
    /// `app_user`.
    pub id: AgentId,
    /// `full_name`; empty if CallTools sent none.
    pub name: Arc<str>,
    /// The name of the agent's status, looked up in `statuses/` if the row has an id; `None` for no status.
    pub status: Option<Arc<str>>,
    /// Whether that status makes the agent ready for calls; `None` if unknown.
    pub available: Option<bool>,
    /// Logged in to the polled queue. See [`QueueLogin`](crate::calltools::QueueLogin) for rows that do not say.
    pub queue_logged_in: bool,
    /// Logged in to the dialer. Rows that do not say are treated in the same way.
    pub logged_in: bool,
    /// On a call now (`live_calls_count` above 0), regardless of the status.
    pub on_call: bool,
    /// Whether the dialer would give the agent a call (`ready`); `None` if the row does not say.
    pub ready: Option<bool>,
    /// Since when the agent has this status (`agent_status_modified_on`).
    pub status_since: Option<Timestamp>,
    /// The row as CallTools sent it: for custom criteria and the drop-in API.
    pub raw: RawRow,
}

impl Agent {
    /// Returns whether the agent would take a call of this queue: what the built-in rule counts.
    pub fn is_free(&self) -> bool {
        self.available == Some(true) && self.queue_logged_in && !self.on_call
    }

    /// Returns whether the agent is available for this queue by status, but on a call.
    pub fn is_available_on_call(&self) -> bool {
        self.available == Some(true) && self.queue_logged_in && self.on_call
    }

    /// Returns whether the agent is available for this queue by status and on no call, but not ready for the dialer.
    pub fn is_available_not_ready(&self) -> bool {
        self.is_free() && self.ready == Some(false)
    }

    /// Shares the memory of texts that are equal in another row of the same agent.
    pub fn share_texts(&mut self, other: &Agent) {
        self.id = other.id.clone();
        share(&mut self.name, &other.name);
        if let (Some(status), Some(other)) = (&mut self.status, &other.status) {
            share(status, other);
        }
    }

    /// Returns the same row without its date, which was found wrong.
    #[must_use]
    pub fn undated(&self) -> Agent {
        Agent {
            status_since: None,
            ..self.clone()
        }
    }

    /// Returns the same row, but [renewed](RawRow::renew) on its own.
    #[must_use]
    pub fn apart(&self) -> Agent {
        Agent {
            raw: self.raw.apart(),
            ..self.clone()
        }
    }

    /// Returns whether this row is provably older than `other`, a row of the same agent. Both dates are from CallTools' clock; no other clock counts.
    pub fn is_older_than(&self, other: &Agent) -> bool {
        matches!((self.status_since, other.status_since), (Some(this), Some(other)) if this < other)
    }
}

fn share(text: &mut Arc<str>, other: &Arc<str>) {
    if text == other {
        *text = Arc::clone(other);
    }
}
