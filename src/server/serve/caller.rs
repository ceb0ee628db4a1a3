//! Who sends a request, and what they may do: programs with a token, logged-in browsers, and configured clients.

use std::borrow::Cow;

use axum::response::{IntoResponse, Redirect, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::{
    config::BearerTokens,
    server::{
        http::{
            accept::wants_html,
            params,
            problem::Problem,
            problem_types,
            rights::Rights,
            rule::{Guard, LOGIN, Rule},
        },
        net::{arrival::Arrival, listen::Via},
        state::{app::App, guesses::Source},
    },
};

/// Why a request is not admitted.
pub(super) enum Denied {
    /// A person asks for a page and must log in first.
    LogIn,
    /// Anything else.
    Problem(Problem),
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Denied {
    pub(super) fn into_response(self, path: &str) -> Response {
        match self {
            Self::LogIn => Redirect::to(&login_address(path)).into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

/// What a request says about its sender.
pub(super) struct Caller<'r> {
    pub via: Via,
    /// The origin of the connection; `None` if keys in URLs are not checked.
    pub arrival: Option<Arrival>,
    pub method: &'r Method,
    pub uri: &'r Uri,
    pub headers: &'r HeaderMap,
}

impl Caller<'_> {
    /// Checks the caller's credentials. A program shows the token; a person's browser shows its session. A logged-in browser may only look, since
    /// changes are for programs with the token. A configured client may do what the config allows.
    pub fn check(&self, app: &App, rule: Rule) -> Result<Rights, Denied> {
        let wants_bearer = match rule.guard {
            Guard::Bearer | Guard::Page => true,
            Guard::Probe => self.uri.query().is_some(),
            Guard::Open | Guard::Token => false,
        };
        let Some(bearer) = bearer(app, self.via).filter(|_| wants_bearer) else {
            return Ok(Rights::All);
        };
        let shown = shown(self.headers);
        if bearer.open_for(&shown) {
            return Ok(Rights::All);
        }
        if let Some(place) = self.client(app, &shown)? {
            return check_client(app, rule, place);
        }
        if self.method.is_safe() && app.sessions.knows(self.headers, app.clock.now()) {
            return Ok(Rights::Look);
        }
        match is_visit(rule, self.method, self.headers) {
            true => Err(Denied::LogIn),
            false => Err(unauthorized().into()),
        }
    }

    /// Finds the configured client that shows its token, in a header or, if allowed, in the URL. Wrong keys in URLs are slowed down for each
    /// address, since guessing by URL is easier than by header.
    fn client(&self, app: &App, shown: &str) -> Result<Option<usize>, Problem> {
        let by_header = app.clients.by_header(shown);
        let key = params::key(self.uri.query()).filter(|_| app.clients.any_in_url());
        let (None, Some(key), Some(arrival)) = (by_header, key, self.arrival) else {
            return Ok(by_header);
        };
        let mut found = None;
        let is_right = || {
            found = app.clients.by_url(&key);
            found.is_some()
        };
        let source = Source::new(arrival, self.headers);
        let looked = app.sessions.guesses.look(source, app.clock.now(), is_right);
        match looked {
            Ok(_) => Ok(found),
            Err(wait) => Err(unauthorized().with(header::RETRY_AFTER, wait.as_secs().max(1))),
        }
    }
}

/// Returns what a configured client may do on a route, if anything.
fn check_client(app: &App, rule: Rule, place: usize) -> Result<Rights, Denied> {
    let client = app.clients.get(place).ok_or_else(unauthorized)?;
    app.metrics.client_request(&client.name);
    match client.may_use(rule) {
        true => Ok(Rights::Client(place)),
        false => Err(Problem::from_type(problem_types::MAY_NOT).into()),
    }
}

/// Whether a person asks for a page.
fn is_visit(rule: Rule, method: &Method, headers: &HeaderMap) -> bool {
    rule.guard == Guard::Page && method == Method::GET && wants_html(headers)
}

/// Returns the address of the login form, which then leads to a path.
fn login_address(path: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", path)
        .finish();
    format!("{LOGIN}?{query}")
}

/// The token that callers must show, if any.
fn bearer(app: &App, via: Via) -> Option<&BearerTokens> {
    match via {
        Via::Control => None,
        Via::Tcp | Via::Unix => app.bearer.as_ref(),
    }
}

/// Returns the token in the headers; empty if there is none.
fn shown(headers: &HeaderMap) -> Cow<'_, str> {
    let shown = credentials(headers, "bearer").map(Cow::Borrowed);
    let shown = shown.or_else(|| basic_password(headers).map(Cow::Owned));
    shown.unwrap_or_default()
}

/// The answer to missing and wrong tokens alike.
fn unauthorized() -> Problem {
    Problem::from_type(problem_types::UNAUTHORIZED)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Returns the password of HTTP Basic, for callers that can send nothing else; the user's name is ignored.
fn basic_password(headers: &HeaderMap) -> Option<String> {
    let decoded = BASE64_STANDARD
        .decode(credentials(headers, "basic")?)
        .ok()?;
    let (_user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.trim().to_owned())
}

/// Returns the text after the scheme in the only `Authorization` header.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else {
        return None;
    };
    let (named, token) = only.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| token.trim())
}
