//! The lists of CallTools' API that openseat reads, and their URLs.

use std::fmt;

use crate::calltools::Ask;

/// The largest page that CallTools returns.
pub(crate) const PAGE_SIZE: u32 = 250;

/// The field that says when an agent's status changed.
pub(crate) const ORDERING_FIELD: &str = "agent_status_modified_on";

/// The lists that openseat reads: the values of the metric label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `agentstatuses/?queue=…`
    AgentStatuses,
    /// `queues/`
    Queues,
    /// `statuses/`
    Statuses,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 3] = [
        Endpoint::AgentStatuses,
        Endpoint::Queues,
        Endpoint::Statuses,
    ];

    /// The name in metrics and logs, which is also the path below `…/api/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::AgentStatuses => "agentstatuses",
            Endpoint::Queues => "queues",
            Endpoint::Statuses => "statuses",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which agents of the whole account to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Everyone {
    /// All.
    Listed,
    /// All on one page, if CallTools allows it.
    AtOnce,
    /// All, the most recently changed status first.
    NewestFirst,
    /// Those whose status has this id.
    WithStatus(u64),
}

impl Everyone {
    /// Returns the URL of a page, relative to `…/api/`.
    pub(super) fn path(self, ask: Ask, ordering_field: &str) -> String {
        let page = path(Endpoint::AgentStatuses, ask);
        match self {
            Everyone::Listed => page,
            Everyone::AtOnce => format!("{}/?page_size=max", Endpoint::AgentStatuses),
            Everyone::NewestFirst => format!("{page}&ordering=-{ordering_field}"),
            Everyone::WithStatus(id) => format!("{page}&agent_status={id}"),
        }
    }
}

/// Returns the URL of a page, relative to `…/api/`.
pub(super) fn path(endpoint: Endpoint, ask: Ask) -> String {
    let mut path = format!("{endpoint}/?");
    if let Some(queue) = ask.queue {
        path += &format!("queue={queue}&");
    }
    path += &format!("page_size={PAGE_SIZE}");
    if ask.page > 1 {
        path += &format!("&page={}", ask.page);
    }
    path
}
