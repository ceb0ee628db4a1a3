//! One row of `agentstatuses/`, normalized.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

/// The id of an agent, the same in every queue of an account. CallTools writes it as a UUID, a number, a URL ending in
/// either, or an object; all of them come down to this text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AgentId(pub Box<str>);

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent as one poll of one queue saw them.
#[derive(Clone, Debug)]
pub struct Agent {
    /// `app_user`.
    pub id: AgentId,
    /// `full_name`; empty where CallTools sent none.
    pub name: Box<str>,
    /// The name of the agent's status, resolved through `statuses/` where the row bears an id; `None` for no status.
    pub status: Option<Box<str>>,
    /// Whether that status makes the agent ready for calls; `None` where it cannot be told.
    pub available: Option<bool>,
    /// Logged in to the queue that was asked for; where the row does not say, whether logged in to the dialer.
    pub queue_logged_in: bool,
    /// Since when the status holds (`agent_status_modified_on`).
    pub status_since: Option<jiff::Timestamp>,
    /// The row as CallTools sent it: for custom criteria and the drop-in API.
    pub raw: Box<RawValue>,
}
