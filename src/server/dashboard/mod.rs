//! For people: pages that show what the daemon knows, from the daemon alone.
//!
//! A page is written by the server, whole, and says all without a script. The one small script only asks for the same page again when
//! `/v1/watch` tells of a change, puts in place what is different, and counts ages on. So there is one hand that writes markup, and
//! names, which are the operator's and CallTools' words, pass through it alone: [`maud`] escapes them, and the pages' own policy lets
//! nothing run or load that is not one of the three files here.
//!
//! `overview` is the page of all queues, `queue` that of one, with its `course` and with `what_if`, which tries another rule on it (`form`
//! asks for it). `parts` are what pages share, `words` their plain sentences, `chart` their drawings (`frame` is what lies around them),
//! `past` what they read of the history. `press` makes pages on a thread of its own, once for everybody who looks, and `printed` is what is sent
//! of one. `login` lets browsers in where the API wants a token, `session` remembers them, and `guesses` those who do not know it.
//!
//! Left to others: who may ask ([`gate`](super::serve::access)), and what a decision is. Looking is no question: nothing here counts as demand.

mod axes;
mod chart;
mod components;
mod form;
mod history;
mod history_section;
mod layout;
mod login;
mod overview;
mod pages;
mod press;
mod printed;
mod queue;
mod what_if;
mod wording;

use http::{HeaderName, HeaderValue, header};

pub(super) use self::{
    history_section::{RANGE, picture as chart},
    overview::page as overview,
    pages::Pages,
};
use super::{
    http::rule::{Guard, LOGIN},
    route::Route,
};

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

/// All pages but `/`, which programs ask for, too; the form by which browsers get in; and the files that pages use. What is open tells
/// of no queue: a browser must be able to show the form, and to forget what it knows.
pub(super) fn routes() -> Vec<Route> {
    let page = |route: Route| route.guarded(Guard::Page).linked();
    let open = |route: Route| route.guarded(Guard::Open);
    let mut routes = vec![
        page(Route::get("/queues/{queue}", queue::page)),
        page(Route::get("/queues/{account}/{queue}", queue::page)),
        open(Route::get(LOGIN, login::page)).linked(),
        open(Route::post(LOGIN, login::enter)).reading(login::LONGEST_FORM),
        open(Route::post(login::EXIT, login::leave)),
    ];
    routes.extend(FILES.into_iter().map(|(path, kind, content)| {
        let file = async move || ([(header::CONTENT_TYPE, kind)], content);
        open(Route::get(path, file))
    }));
    routes
}

/// What the answer with a page bears.
fn headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, REFERRER),
    ]
}
