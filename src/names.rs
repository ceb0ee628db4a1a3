//! What an account calls its queues and its statuses.

use serde_json::value::RawValue;

/// One entry of `queues/`.
#[derive(Clone, Debug)]
pub struct NamedQueue {
    /// CallTools' number for it.
    pub id: u64,
    /// What people call it; case-sensitive.
    pub name: String,
    /// The row as CallTools sent it.
    pub raw: Box<RawValue>,
}

/// One entry of `statuses/`. Ids differ from account to account, names can be changed; what a status does cannot.
#[derive(Clone, Debug)]
pub struct Status {
    /// CallTools' number for it.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// What it does: `Set Ready`, `Set Not Ready`, `Logout` or `No Action`.
    pub queue_action: Option<String>,
    /// The row as CallTools sent it.
    pub raw: Box<RawValue>,
}

/// The names of one account. Immutable: a newer reading replaces it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `None` until `queues/` was read.
    pub queues: Option<Vec<NamedQueue>>,
    /// `None` until `statuses/` was read, or where it cannot be.
    pub statuses: Option<Vec<Status>>,
}
