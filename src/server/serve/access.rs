//! Access: what a request must look like, who may send it, and the headers of every answer.
//!
//! hyper has parsed the head and bounded its size. [`answer`] rejects what hyper lets through, before a request is routed: a missing or second
//! `Host`, and a target that is no path or belongs to another host, such as that of `CONNECT`. An `Upgrade` header is ignored, as RFC 9110 allows:
//! rejecting it would turn away clients that merely offer HTTP/2.
//!
//! Then the route is found, and the [`Rule`] in its row of the [table](crate::server::routes::table) says the rest ([`guard`], in front of every
//! handler): by which names this server may be called, whether another site's page may lead here, what the caller must show, and how long a
//! body may be. The fast path asks the same rule ([`admits`]).

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Version,
    header::{self, HeaderName},
    request::Parts,
    uri::Authority,
};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt;

use super::{
    caller::{Caller, Denied},
    unread,
};
use crate::server::{
    http::{
        body::{self, BodyLimits},
        problem::Problem,
        problem_types,
        rule::{Guard, Rule},
    },
    net::listen::Via,
    state::app::App,
};

/// The longest ignored body, such as the `{}` that some clients always send.
const MAX_UNREAD: usize = 8 * 1024;

/// What a browser says about the page that sends the request, and about the use of the answer. No page can change these headers.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The headers of every answer, so that a browser neither stores it, nor guesses its type, nor runs anything in it.
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

/// Routes a well-formed request, and finishes the answer in any case.
pub async fn answer(router: &Router, via: Via, mut request: Request<Incoming>) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let form = check_form(&request);
    request.extensions_mut().insert(via);
    let (head, body) = request.into_parts();
    let (body, rest) = unread::lend(&head.headers, body);
    let request = Request::from_parts(head, Body::new(body));
    let mut response = match form {
        Ok(()) => guarded(router, request).await,
        Err(problem) => {
            drop(request);
            problem.into_response()
        }
    };
    rest.read_before(response.headers_mut()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.fill(&mut response, uri.path());
    }
    if has_no_length(response.status()) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    finish(response.headers_mut());
    // Without the query, which may contain a secret.
    tracing::trace!(%method, path = uri.path(), status = response.status().as_u16(), "answered");
    response
}

/// Admits or rejects a request by the rule of its route. Runs before every handler.
pub async fn guard(
    State((app, rule)): State<(Arc<App>, Rule)>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&app, rule, &mut parts, body.size_hint().lower()) {
        Ok(()) => {
            let (body, is_read) = match rule.max_body {
                0 => (Body::empty(), unread::skip(&parts.headers, body).await),
                _ => (body, true),
            };
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if !is_read {
                unread::ends_connection(response.headers_mut());
            }
            response
        }
        Err(denied) => denied.into_response(&parts.uri),
    }
}

/// Whether an answer with this status has no body, so that a length must not say how long it is (RFC 9110, section 8.6). axum adds a length of 0 to
/// every answer without a body, and hyper leaves it in answers to HEAD.
fn has_no_length(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Adds the headers of every answer, unless the answer sets its own: pages are allowed a little more.
pub fn finish(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
}

/// The `Host` of the last request that this connection had admitted, and by which app: routers send the same one each time.
#[derive(Debug, Default)]
pub struct KnownHost(Option<(u64, Box<[u8]>)>);

impl KnownHost {
    fn is(&self, app: &App, host: &HeaderValue) -> bool {
        let known = self.0.as_ref();
        known.is_some_and(|(number, known)| *number == app.number && **known == *host.as_bytes())
    }
}

/// Whether a GET without a body is admitted by `rule` with all rights. Finds the same as [`answer`] and [`guard`], but faster.
pub fn admits(
    app: &App,
    rule: Rule,
    via: Via,
    request: &Request<Incoming>,
    known_host: &mut KnownHost,
) -> bool {
    let headers = request.headers();
    // Anything about other sites, and anything else unusual, is left to the guard.
    let is_plain = !headers.contains_key(header::ORIGIN) && !headers.contains_key(SEC_FETCH_SITE);
    let mut hosts = headers.get_all(header::HOST).iter();
    let (true, Some(host), None) = (is_plain, hosts.next(), hosts.next()) else {
        return false;
    };
    if !known_host.is(app, host) {
        let is_known = check_form(request).is_ok() && check_name(app, via, headers).is_ok();
        if !is_known {
            return false;
        }
        known_host.0 = Some((app.number, host.as_bytes().into()));
    }
    let caller = Caller {
        via,
        arrival: None,
        method: request.method(),
        uri: request.uri(),
        headers,
    };
    caller.has_all_rights(app, rule)
}

/// Runs the router, and answers 500 after a panic. A panic is a broken invariant and already logged; it affects only its own client.
pub async fn guarded(router: &Router, request: Request<Body>) -> Response {
    let answer = router.clone().oneshot(request);
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(_panic) => Problem::internal_error().into_response(),
    }
}

/// Checks what applies to every route.
fn check_form(request: &Request<Incoming>) -> Result<(), Problem> {
    let host = host(request.version(), request.headers())?;
    check_target(request, host.as_ref())
}

/// Checks a request by the rule of its route. Adds the caller's rights to the request.
fn admit(app: &App, rule: Rule, parts: &mut Parts, length: u64) -> Result<(), Denied> {
    // A request that did not come over a socket counts as a stranger's.
    let via = parts.extensions.get().copied().unwrap_or(Via::Tcp);
    check_name(app, via, &parts.headers)?;
    check_site(rule, parts)?;
    let caller = Caller {
        via,
        arrival: parts.extensions.get().copied(),
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
    };
    let rights = caller.check(app, rule)?;
    check_length(rule, length)?;
    parts.extensions.insert(rights);
    parts.extensions.insert(BodyLimits {
        bytes: rule.max_body,
        time: app.limits.head,
    });
    Ok(())
}

/// Returns the `Host`. Only HTTP/1.0 may omit it; two of them are how request smuggling begins.
fn host(version: Version, headers: &HeaderMap) -> Result<Option<Authority>, Problem> {
    let mut given = headers.get_all(header::HOST).iter();
    match (given.next(), given.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(None),
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

/// Checks that the target is a path, or a URL of this host as clients send it to a proxy.
fn check_target(request: &Request<Incoming>, host: Option<&Authority>) -> Result<(), Problem> {
    let uri = request.uri();
    let same = uri.authority().is_none_or(|target| Some(target) == host);
    if same && uri.path().starts_with('/') {
        return Ok(());
    }
    Err(Problem::bad_request("the target is not a path of this server").and_close())
}

/// Bounds a body that nobody reads. One that is read is bounded by its [reader](body::RequestBody), which also counts what it refuses.
/// CallTools does not look at such bodies, so its routes ignore them too.
fn check_length(rule: Rule, length: u64) -> Result<(), Problem> {
    let is_read_or_ignored = rule.max_body > 0 || rule.ignores_body || rule.guard == Guard::Token;
    if is_read_or_ignored || length <= MAX_UNREAD as u64 {
        return Ok(());
    }
    Err(body::too_large(MAX_UNREAD))
}

/// Rejects names of other servers in `Host`, if no token is needed. It stops DNS rebinding: a web page's owner lets the page's own name resolve
/// to 127.0.0.1, so that the browser of a visitor on this machine sends the page's requests to openseat. Their `Host` is then the page's name.
///
/// Allowed are IP addresses, which need no name, `localhost`, which always means this machine, names without a dot, which strangers cannot
/// register, and `allowed_hosts`. Browsers cannot reach a Unix socket.
fn check_name(app: &App, via: Via, headers: &HeaderMap) -> Result<(), Problem> {
    if app.bearer.is_some() || via != Via::Tcp {
        return Ok(());
    }
    let host = own_host(headers);
    if host.is_none_or(|host| is_ours(&app.allowed_hosts, host.host())) {
        return Ok(());
    }
    Err(Problem::from_type(problem_types::FOREIGN_HOST))
}

/// The `Host` of a request whose form was checked.
fn own_host(headers: &HeaderMap) -> Option<Authority> {
    let host = headers.get(header::HOST)?;
    Authority::try_from(host.as_bytes()).ok()
}

fn is_ours(allowed: &[String], host: &str) -> bool {
    // With a final dot it is the same name, told from the root.
    let host = host.strip_suffix('.').unwrap_or(host);
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.to_ascii_lowercase();
    literal.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || allowed.contains(&name)
}

/// Rejects requests from other sites' pages. A web page may make a browser send requests anywhere, and even if the page cannot read the answer, it
/// has spent requests and counted as demand. The browser says so in headers that no page can change. Only a person who follows a link may come from
/// another site, to a route that may be linked.
fn check_site(rule: Rule, parts: &Parts) -> Result<(), Problem> {
    let is_from_elsewhere =
        || has_foreign_origin(&parts.headers) || is_of_another_site(&parts.headers);
    if !is_from_elsewhere() || is_followed_link(rule, parts) {
        return Ok(());
    }
    Err(Problem::from_type(problem_types::FOREIGN_ORIGIN))
}

/// `none` means that a person typed the address. `same-site` is another port or another name below the same domain, so somebody else's page.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site != "same-origin" && site != "none")
}

fn has_foreign_origin(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter().peekable();
    let host = origins.peek().and_then(|_| own_host(headers));
    origins.any(|origin| !is_page_of(origin, host.as_ref()))
}

/// Browsers send no origin when a person follows a link, and say that the answer will be shown as a page of its own.
fn is_followed_link(rule: Rule, parts: &Parts) -> bool {
    let says = |name, word| {
        let mut values = parts.headers.get_all(name).iter();
        values.next().is_some_and(|value| value == word) && values.next().is_none()
    };
    rule.linked
        && parts.method == Method::GET
        && !parts.headers.contains_key(header::ORIGIN)
        && says(SEC_FETCH_MODE, "navigate")
        && says(SEC_FETCH_DEST, "document")
}

fn is_page_of(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(|host| authority.is_some_and(|authority| host == authority))
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_names_that_an_outsider_could_own_are_foreign() {
        let allowed = ["openseat.default.svc.cluster.local".to_owned()];
        for ours in [
            "127.0.0.1",
            "127.0.0.1.",
            "[::1]",
            "192.168.1.5",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "openseat",
            "openseat.default.svc.cluster.local",
            "OpenSeat.Default.svc.cluster.LOCAL.",
        ] {
            assert!(is_ours(&allowed, ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a.openseat.default.svc.cluster.local",
            "default.svc.cluster.local",
            "openseat.default.svc.cluster.local..",
            "openseat.default.svc.cluster.local.evil.example",
        ] {
            assert!(!is_ours(&allowed, foreign), "{foreign}");
        }
    }
}
