//! The first layer: what a request must look like, who may ask, and what every answer bears.
//!
//! hyper has parsed the head and bounded its size. What it lets through and we do not: a missing or second `Host`, a target
//! that belongs to another host, methods that ask for something other than an answer, and bodies that nobody reads.
//!
//! What CallTools posts is the exception: it has a body that is read, and the secret in its address stands for all that other
//! callers are asked for. Nothing here may log an address, since that one bears a secret.

use std::{net::IpAddr, panic::AssertUnwindSafe};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderValue, Method, Request, Version,
    header::{self, HeaderName},
    uri::Authority,
};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt;

use super::{app::App, dashboard, hooks, kinds, listen::Via, problem::Problem, reservations};
use crate::digest::Digest;

/// Only three routes read a body, those of hooks, of reservations and of the log-in, each within its own bounds. Small ones, such as the `{}` that some clients always send, are ignored.
const MAX_BODY: u64 = 8 * 1024;

/// What every answer bears, so that a browser that meets one neither keeps it, nor guesses its kind, nor runs anything of it.
const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
];

/// Why a request is not let in.
enum Refusal {
    /// Somebody looks for a page and has to log in first.
    LogIn,
    /// Anything else.
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Lets a request in or turns it away, and finishes the answer either way.
pub(super) async fn answer(
    app: &App,
    router: &Router,
    via: Via,
    request: Request<Incoming>,
) -> Response {
    let uri = request.uri().clone();
    let mut response = match admit(app, via, &request) {
        Ok(()) => route(router, request).await,
        Err(Refusal::LogIn) => dashboard::way_in(uri.path()),
        Err(Refusal::Problem(problem)) => problem.into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.fill(&mut response, uri.path());
    }
    finish(response.headers_mut());
    response
}

/// Adds what every answer bears, unless it bears its own: pages may do a little more than nothing.
pub(super) fn finish(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
}

/// The `Host` with which a connection's last request was let in, and by which app: routers send the same one each time.
#[derive(Debug, Default)]
pub(super) struct Greeted(Option<(u64, Box<[u8]>)>);

impl Greeted {
    fn is(&self, app: &App, host: &HeaderValue) -> bool {
        let known = self.0.as_ref();
        known.is_some_and(|(number, known)| *number == app.number && **known == *host.as_bytes())
    }
}

/// Whether a GET without a body, of a path of this server, is let in. The same as [`answer`] would find, sooner.
pub(super) fn admits(
    app: &App,
    via: Via,
    request: &Request<Incoming>,
    greeted: &mut Greeted,
) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if greeted.is(app, host) => match bearer(app, via) {
            // A path on which no other rule than these two looks.
            Some(bearer) => check_bearer(request.headers(), bearer).is_ok(),
            None => true,
        },
        (Some(host), None) if admit(app, via, request).is_ok() => {
            greeted.0 = Some((app.number, host.as_bytes().into()));
            true
        }
        _ => false,
    }
}

/// Hands a request over. A body that nobody reads stays behind; hyper skips what little there is, or closes the connection.
async fn route(router: &Router, request: Request<Incoming>) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let is_read = is_hook(&request)
        || reservations::has_body(method, path)
        || dashboard::has_body(method, path);
    let (head, body) = request.into_parts();
    let body = if is_read {
        Body::new(body)
    } else {
        Body::empty()
    };
    guarded(router, Request::from_parts(head, body)).await
}

/// A panic is a broken invariant of ours, and the panic hook has logged it; it costs its own client 500 and no other anything.
pub(super) async fn guarded(router: &Router, request: Request<Body>) -> Response {
    let answer = router.clone().oneshot(request);
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(_panic) => internal_error().into_response(),
    }
}

pub(super) fn internal_error() -> Problem {
    Problem::usual(kinds::INTERNAL_ERROR)
}

fn admit(app: &App, via: Via, request: &Request<Incoming>) -> Result<(), Refusal> {
    check_method(request.method())?;
    let host = host(request)?;
    check_target(request, host.as_ref())?;
    if is_hook(request) {
        // CallTools' server calls us by a name of the operator's choice, through whatever proxy, and can send no token. No web page
        // can pass for it without the secret.
        return Ok(());
    }
    check_body(request)?;
    let bearer = bearer(app, via);
    if bearer.is_none() && via == Via::Tcp {
        check_name(host.as_ref())?;
    }
    check_origin(request, host.as_ref())?;
    match bearer {
        Some(bearer) if needs_bearer(request) => check_caller(app, request, bearer),
        _ => Ok(()),
    }
}

/// The token that a caller must show, if any.
fn bearer(app: &App, via: Via) -> Option<&Digest> {
    match via {
        Via::Control => None,
        Via::Tcp | Via::Unix => app.bearer.as_ref(),
    }
}

/// A program shows the token, a person's browser that it has logged in.
fn check_caller(app: &App, request: &Request<Incoming>, bearer: &Digest) -> Result<(), Refusal> {
    match check_bearer(request.headers(), bearer) {
        Err(_) if dashboard::lets_in(app, request) => Ok(()),
        Err(_) if dashboard::is_visit(request) => Err(Refusal::LogIn),
        shown => Ok(shown?),
    }
}

/// `CONNECT` wants a tunnel and `TRACE` an echo of its headers; neither belongs here. An `Upgrade` header is simply not
/// followed, as RFC 9110 allows: refusing it would turn away clients that merely offer HTTP/2.
fn check_method(method: &Method) -> Result<(), Problem> {
    if method == Method::CONNECT || method == Method::TRACE {
        let allow = HeaderValue::from_static("GET, HEAD, POST, DELETE");
        return Err(Problem::method_not_allowed()
            .with(header::ALLOW, allow)
            .and_close());
    }
    Ok(())
}

/// The `Host`. Only HTTP/1.0 may leave it out; two of them are how request smuggling begins.
fn host(request: &Request<Incoming>) -> Result<Option<Authority>, Problem> {
    let mut given = request.headers().get_all(header::HOST).iter();
    match (given.next(), given.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        (None, _) => Err(Problem::bad_request("HTTP/1.1 needs a Host header").and_close()),
        (Some(host), None) => Authority::try_from(host.as_bytes())
            .ok()
            .filter(|host| !host.as_str().contains('@'))
            .map(Some)
            .ok_or_else(|| {
                Problem::bad_request("the Host header is not a host and port").and_close()
            }),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("there is more than one Host header").and_close())
        }
    }
}

/// The target is a path, or a URL of this very host as a client sends it to a proxy.
fn check_target(request: &Request<Incoming>, host: Option<&Authority>) -> Result<(), Problem> {
    let uri = request.uri();
    let same = uri.authority().is_none_or(|target| Some(target) == host);
    if same && uri.path().starts_with('/') {
        return Ok(());
    }
    Err(Problem::bad_request("the target is not a path of this server").and_close())
}

fn check_body(request: &Request<Incoming>) -> Result<(), Problem> {
    if request.body().size_hint().lower() <= MAX_BODY {
        return Ok(());
    }
    Err(Problem::usual(kinds::BODY_TOO_LARGE).and_close())
}

/// Without a token the only lock is the address, and a web page can pick that one: it resolves a name of its own to
/// 127.0.0.1 and has the browser of somebody on this machine ask in its name (DNS rebinding). The `Host` gives it away. An IP
/// address cannot be rebound, `localhost` never leaves the machine, and a name without a dot is not one that a stranger
/// can register; every other name is refused. A Unix socket is out of a browser's reach.
fn check_name(host: Option<&Authority>) -> Result<(), Problem> {
    if host.is_none_or(|host| is_ours(host.host())) {
        return Ok(());
    }
    Err(Problem::usual(kinds::FOREIGN_HOST))
}

fn is_ours(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.to_ascii_lowercase();
    literal.parse::<IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".localhost")
}

/// A web page may send a POST or a DELETE anywhere; browsers then say whose page it is. No page but our own has a reason to.
fn check_origin(request: &Request<Incoming>, host: Option<&Authority>) -> Result<(), Problem> {
    let origin = request.headers().get(header::ORIGIN);
    let foreign = origin.is_some_and(|origin| !is_page_of(origin, host));
    if request.method().is_safe() || !foreign {
        return Ok(());
    }
    Err(Problem::usual(kinds::FOREIGN_ORIGIN))
}

fn is_page_of(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(|host| authority.is_some_and(|authority| host == authority))
}

/// Probes come from machines that have no token, and the drop-in has CallTools' own; `/readyz?verbose` names queues. A browser gets its
/// session at the form, which tells nothing.
fn needs_bearer(request: &Request<Incoming>) -> bool {
    let uri = request.uri();
    let probe = uri.query().is_none() && matches!(uri.path(), "/livez" | "/readyz");
    !probe && !is_drop_in(uri.path()) && !dashboard::is_open(uri.path())
}

/// Whether this is a record that CallTools posts; the rest of what lives there is treated as any other request.
fn is_hook(request: &Request<Incoming>) -> bool {
    request.method() == Method::POST && request.uri().path().starts_with(hooks::PATH)
}

/// Whether a path belongs to the API that speaks as CallTools does.
pub(super) fn is_drop_in(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

fn check_bearer(headers: &HeaderMap, bearer: &Digest) -> Result<(), Problem> {
    // Missing and wrong get the same words and the same work. An empty token opens nothing, whatever was configured.
    let shown = credentials(headers, "bearer").unwrap_or_default();
    let fits = Digest::of(shown).same(bearer);
    if bool::from(fits) && !shown.is_empty() {
        return Ok(());
    }
    Err(Problem::usual(kinds::UNAUTHORIZED)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
}

/// What follows the scheme in the only `Authorization` header.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else {
        return None;
    };
    let (named, token) = only.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_names_that_a_stranger_could_own_are_foreign() {
        for ours in [
            "127.0.0.1",
            "[::1]",
            "192.168.1.5",
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "openseat",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost.",
        ] {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }
}
