//! What a route requires of its callers before its handler sees a request.
//!
//! Each row of the [table of routes](crate::server::routes::table) has a [`Rule`], and [access](crate::server::serve::access) enforces it. Nothing
//! else admits or rejects a request.

/// Where browsers log in.
pub const LOGIN: &str = "/login";

/// The parameter of a probe with which the answer names accounts and queues.
pub const VERBOSE: &str = "verbose";

/// The credentials that callers must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// None. These routes say nothing about queues.
    Open,
    /// None, except with [`VERBOSE`]: then the bearer token.
    Probe,
    /// The bearer token, if one is configured. For looking, the session of a logged-in browser is enough.
    Bearer,
    /// Like [`Bearer`](Self::Bearer), for pages: a browser that has not logged in is redirected to [`LOGIN`].
    Page,
    /// An account's CallTools token, sent the way CallTools expects it. The handler's own extractor checks it and finds the account by it, so
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
    /// Shows more than decisions.
    Read,
    /// Spends requests, or changes how openseat works.
    Operate,
}

/// What access checks before the handler of a route runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The credentials that callers must show.
    pub guard: Guard,
    /// The right that a configured client needs.
    pub need: Need,
    /// Whether the path or the query names the queues in the answer.
    pub names_queues: bool,
    /// The longest body that the handler reads, in bytes; 0 if it reads none.
    pub max_body: usize,
    /// Whether the request may have a body of any length, which is ignored: routers that can only post send what they have.
    pub ignores_body: bool,
    /// Whether other sites' pages may link here. Only for routes that spend no request, count no decision and hold nothing open.
    pub linked: bool,
}

impl Rule {
    /// For paths without a route: only callers with access learn that nothing is there.
    pub const NO_ROUTE: Self = Self {
        guard: Guard::Bearer,
        need: Need::Operate,
        names_queues: false,
        max_body: 0,
        ignores_body: false,
        linked: false,
    };
}
