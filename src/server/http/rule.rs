//! What a route asks of its callers before its handler sees a request.
//!
//! Each row of the [table of routes](crate::server::routes::table) has a [`Rule`], and [access](crate::server::serve::access) enforces it. Nothing
//! else lets a request in or turns it away.

/// Where browsers log in.
pub const LOGIN: &str = "/login";

/// What callers must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing. These routes say nothing about queues.
    Open,
    /// Nothing while the query is empty; otherwise the bearer token.
    Probe,
    /// The bearer token, if one is configured. To look, the session of a browser that has logged in is enough.
    Bearer,
    /// As [`Bearer`](Self::Bearer), for pages: a browser that has not logged in is sent to [`LOGIN`].
    Page,
    /// An account's CallTools token, sent as CallTools wants it. The handler's own extractor checks it and learns the account from it, so
    /// `control.sock` needs it too.
    Token,
}

/// What a route does for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Decides.
    Ask,
    /// Holds or releases a seat.
    Reserve,
    /// Tells more than decisions.
    Read,
    /// Spends requests, or changes how openseat works.
    Operate,
}

/// What access checks before the handler of a route runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What callers must show.
    pub guard: Guard,
    /// What a client of the config must be allowed to do.
    pub need: Need,
    /// Whether the path or the query names the queues that the answer is about.
    pub names_queues: bool,
    /// The longest body that the handler reads, in bytes; 0 if it reads none.
    pub max_body: usize,
    /// Whether a body of any length may come, which nobody reads: routers that can only post send what they have.
    pub ignores_body: bool,
    /// Whether a link on another site's page may lead here. Only for routes that spend no request, count no decision and hold nothing open.
    pub linked: bool,
}

impl Rule {
    /// For paths without a route: only callers who may ask learn that nothing is there.
    pub const NO_ROUTE: Self = Self {
        guard: Guard::Bearer,
        need: Need::Operate,
        names_queues: false,
        max_body: 0,
        ignores_body: false,
        linked: false,
    };
}
