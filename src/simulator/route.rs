//! Which part of the API a path names, and what may be done there.

use http::{HeaderValue, Method};

/// The parts of the API, as requests are told apart.
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
    /// `resthooksubscriptions/` and `resthookerrorlogs/`.
    RestHooks,
    /// Anything else.
    Other,
}

/// The path of a request, understood.
pub(super) enum Route<'a> {
    AgentStatuses,
    AgentStatus(&'a str),
    Queues,
    Statuses,
    LivePhoneCalls,
    Hooks,
    Hook(&'a str),
    HookErrors,
    /// A path that lacks its last slash.
    NoSlash,
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn of(path: &'a str) -> Self {
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
            Some(("resthooksubscriptions", id)) => Route::Hook(id),
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
            "resthooksubscriptions" => Route::Hooks,
            "resthookerrorlogs" => Route::HookErrors,
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
            Route::Hooks | Route::Hook(_) | Route::HookErrors => Endpoint::RestHooks,
            Route::NoSlash | Route::Unknown => Endpoint::Other,
        }
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Route::Hooks => reads || *method == Method::POST,
            Route::Hook(_) => reads || *method == Method::DELETE,
            _ => reads,
        }
    }

    pub(super) fn allowed(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Route::Hooks => "GET, POST, HEAD",
            Route::Hook(_) => "GET, DELETE, HEAD",
            _ => "GET, HEAD",
        })
    }
}
