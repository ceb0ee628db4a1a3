//! Maps a path to a part of the API.

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `agentstatuses/`, with a queue or without.
    AgentStatuses,
    /// `agentstatuses/{app_user}/`.
    AgentStatus,
    /// `queues/`.
    Queues,
    /// `statuses/`.
    Statuses,
    /// `livephonecalls/`.
    LivePhoneCalls,
    /// Anything else.
    Other,
}

/// The parsed path of a request.
pub(super) enum Route<'a> {
    AgentStatuses,
    AgentStatus(&'a str),
    Queues,
    Statuses,
    LivePhoneCalls,
    /// A path without its last slash.
    NoSlash,
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/api/") else {
            return Route::Unknown;
        };
        let (rest, slash) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let route = match rest.split_once('/') {
            None => Self::list(rest),
            Some((_, id)) if id.is_empty() || id.contains('/') => Route::Unknown,
            Some(("agentstatuses", id)) => Route::AgentStatus(id),
            Some(_) => Route::Unknown,
        };
        match route {
            Route::Unknown => Route::Unknown,
            _ if !slash => Route::NoSlash,
            known => known,
        }
    }

    fn list(name: &str) -> Self {
        match name {
            "agentstatuses" => Route::AgentStatuses,
            "queues" => Route::Queues,
            "statuses" => Route::Statuses,
            "livephonecalls" => Route::LivePhoneCalls,
            _ => Route::Unknown,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Route::AgentStatuses => Endpoint::AgentStatuses,
            Route::AgentStatus(_) => Endpoint::AgentStatus,
            Route::Queues => Endpoint::Queues,
            Route::Statuses => Endpoint::Statuses,
            Route::LivePhoneCalls => Endpoint::LivePhoneCalls,
            Route::NoSlash | Route::Unknown => Endpoint::Other,
        }
    }
}
