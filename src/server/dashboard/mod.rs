//! For people: pages that show what the daemon knows, from the daemon alone.
//!
//! A page is written by the server, whole, and says all without a script. The one small script only asks for the same page again when
//! `/v1/watch` tells of a change, puts in place what is different, and counts ages on. So there is one hand that writes markup, and
//! names, which are the operator's and CallTools' words, pass through it alone: [`maud`] escapes them, and the pages' own policy lets
//! nothing run or load that is not one of the three files here.
//!
//! `overview` is the page of all queues, `queue` that of one, with its `course` and with `what_if`, which tries another rule on it (`form`
//! asks for it). `parts` are what pages share, `words` their plain sentences, `chart` their drawings (`frame` is what lies around them),
//! `past` what they read of the history. `login` lets browsers in where the API wants a token, `session` remembers them.
//!
//! Left to others: who may ask ([`gate`](super::gate)), and what a decision is. Looking is no question: nothing here counts as demand.

mod chart;
mod course;
mod form;
mod frame;
mod layout;
mod login;
mod overview;
mod parts;
mod past;
mod queue;
mod session;
mod what_if;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};

pub(super) use self::{
    course::{RANGE, picture as chart},
    login::has_body,
    overview::page as overview,
    past::Past,
    session::Sessions,
};
use super::{app::App, docs};

/// What a page may do: use the files that lie beside this one, ask this server, send its forms here, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// With `no-referrer` a browser would hide its origin even from us, and the gate would take our own forms for a stranger's.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// Path, type, content.
const FILES: [(&str, &str, &str); 3] = [
    (
        "/assets/openseat.css",
        "text/css; charset=utf-8",
        include_str!("openseat.css"),
    ),
    (
        "/assets/openseat.js",
        "text/javascript; charset=utf-8",
        include_str!("openseat.js"),
    ),
    (
        "/assets/openseat.svg",
        "image/svg+xml",
        include_str!("openseat.svg"),
    ),
];

/// All pages but `/`, which programs ask for, too.
pub(super) fn routes() -> Router<Arc<App>> {
    let pages = Router::new()
        .route("/queues/{queue}", get(queue::page))
        .route("/queues/{account}/{queue}", get(queue::page))
        .route("/login", get(login::page).post(login::enter))
        .route("/logout", post(login::leave));
    FILES
        .into_iter()
        .fold(pages, |routes, (path, kind, content)| {
            routes.route(
                path,
                get(async move || ([(header::CONTENT_TYPE, kind)], content)),
            )
        })
}

/// Whether a path is open to everybody: a browser must be able to show the form that lets it in, and to forget what it knows. Nothing
/// here tells of queues.
pub(super) fn is_open(path: &str) -> bool {
    [login::PATH, login::EXIT].contains(&path) || FILES.iter().any(|(file, ..)| *file == path)
}

/// Whether a request, which shows no token, may pass because its browser has logged in. A browser that has may look: what changes
/// something is for programs with the token.
pub(super) fn lets_in<B>(app: &App, request: &Request<B>) -> bool {
    request.method().is_safe() && app.sessions.knows(request.headers(), app.clock.now())
}

/// Whether a person asks for a page.
pub(super) fn is_visit<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    let is_page = path == "/" || path == docs::PATH || path.starts_with(queue::PATH);
    is_page && *request.method() == Method::GET && wants_page(request.headers())
}

/// Where a person goes first who asked for this page and has not logged in.
pub(super) fn way_in(path: &str) -> Response {
    Redirect::to(&login::address(path)).into_response()
}

/// Whether this is a browser that shows pages to somebody.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().windows(9).any(|w| w == b"text/html"))
}

/// What the answer with a page bears.
fn headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, REFERRER),
    ]
}
