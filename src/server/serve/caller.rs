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
            rule::{Guard, LOGIN, Rule, VERBOSE},
        },
        net::{arrival::Arrival, listen::Via},
        state::{app::App, guesses::Source},
    },
};

/// The challenge of HTTP Basic.
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"openseat\"");

const TOO_MANY_KEYS: &str = "too many wrong keys came from this address, so keys from it are not checked for a moment; see Retry-After";

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
    pub(super) fn into_response(self, uri: &Uri) -> Response {
        match self {
            Self::LogIn => Redirect::to(&login_address(uri)).into_response(),
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
    /// Returns whether the caller may do everything: the route wants no token, or they show it.
    pub fn has_all_rights(&self, app: &App, rule: Rule) -> bool {
        let wants_bearer = match rule.guard {
            Guard::Bearer | Guard::Page => true,
            Guard::Probe => is_verbose(self.uri.query()),
            Guard::Open | Guard::Token => false,
        };
        let bearer = bearer(app, self.via).filter(|_| wants_bearer);
        bearer.is_none_or(|bearer| bearer.open_for(&shown(self.headers)))
    }

    /// Checks the caller's credentials. A program shows the token; a person's browser shows its session. A logged-in browser may only look, since
    /// changes are for programs with the token. A configured client may do what the config allows.
    pub fn check(&self, app: &App, rule: Rule) -> Result<Rights, Denied> {
        if self.has_all_rights(app, rule) {
            return Ok(Rights::All);
        }
        if let Some(place) = self.client(app, &shown(self.headers))? {
            return check_client(app, rule, place);
        }
        if self.method.is_safe() && app.sessions.knows(self.headers, app.clock.now()) {
            return Ok(Rights::Look);
        }
        match is_visit(rule, self.method, self.headers) {
            true => Err(Denied::LogIn),
            false => Err(self.unauthorized().into()),
        }
    }

    /// Finds the configured client that shows its token, in a header or, if allowed, in the URL. Different wrong keys in URLs are slowed down for
    /// each address, since guessing by URL is easier than by header.
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
        let guesses = &app.sessions.guesses;
        match guesses.look(source, &key, app.clock.now(), is_right) {
            Ok(_) => Ok(found),
            Err(wait) => Err(self
                .challenge(Problem::new(problem_types::UNAUTHORIZED, TOO_MANY_KEYS))
                .with(header::RETRY_AFTER, wait.as_secs().max(1))),
        }
    }

    /// The answer to missing and wrong tokens alike.
    fn unauthorized(&self) -> Problem {
        self.challenge(Problem::from_type(problem_types::UNAUTHORIZED))
    }

    /// Adds how to show a token. Many HTTP clients send a password only after they were asked for one; a browser would open a window for it.
    fn challenge(&self, problem: Problem) -> Problem {
        let bearer = HeaderValue::from_static("Bearer");
        let problem = problem.with(header::WWW_AUTHENTICATE, bearer);
        match is_browser(self.headers) {
            true => problem,
            false => problem.with(header::WWW_AUTHENTICATE, BASIC),
        }
    }
}

/// Returns what a configured client may do on a route, if anything.
fn check_client(app: &App, rule: Rule, place: usize) -> Result<Rights, Denied> {
    let client = app.clients.get(place);
    let client = client.ok_or_else(|| Problem::from_type(problem_types::UNAUTHORIZED))?;
    app.metrics.client_request(&client.name);
    match client.may_use(rule) {
        true => Ok(Rights::Client(place)),
        false => Err(Problem::from_type(problem_types::MAY_NOT).into()),
    }
}

/// Whether a probe asks for every account and queue. Other parameters, such as one against caches, change nothing.
fn is_verbose(query: Option<&str>) -> bool {
    let mut names = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    names.any(|(name, _)| name == VERBOSE)
}

/// Whether a person asks for a page.
fn is_visit(rule: Rule, method: &Method, headers: &HeaderMap) -> bool {
    rule.guard == Guard::Page && method == Method::GET && wants_html(headers)
}

/// The longest address to go on to after the login. Encoded it takes up to three times as many bytes, and it must fit into the form with the token.
const MAX_NEXT: usize = 2_000;

/// Returns the address of the login form, which then leads to the requested page; without its query if that is too long.
fn login_address(uri: &Uri) -> String {
    let whole = uri.path_and_query().map(|whole| whole.as_str());
    let whole = whole.filter(|whole| whole.len() <= MAX_NEXT);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", whole.unwrap_or(uri.path()))
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

/// Whether a browser sends the request. Every browser says in which language it wants the answer, and most say what it is for; over plain HTTP
/// they leave the latter out.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCEPT_LANGUAGE)
        || headers
            .keys()
            .any(|name| name.as_str().starts_with("sec-fetch-"))
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
