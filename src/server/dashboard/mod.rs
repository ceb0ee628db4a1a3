//! The dashboard: pages that show people what the daemon knows.
//!
//! How a page is made:
//!
//! 1. A handler (`overview`, `queue`) reads what it needs from the `history`, then asks the `renderer` for the page.
//! 2. The renderer builds it on a thread of its own, once for each change and for all viewers of a zone: the handler's content inside the `layout`.
//!    `components` are the parts that pages share, `charts` draws, `wording` has the plain sentences.
//! 3. The result is `rendered`: plain, compressed and tagged, so that a browser that has it gets 304.
//! 4. The script reloads the page when `/v1/watch` reports a change, replaces what is different, and keeps ages current. Pages are complete
//!    without it.
//!
//! The overview consists of `first_steps`, `problems` and `accounts`. The page of a queue has a `history_section`, shows who was available
//! (`attendance`) and the pattern of the `week`, and tries other rules on what was recorded (`form`, `what_if`). `chart_file` and `export` have the
//! same history for others. `login` is for servers that require a token.
//!
//! Pages show times in the viewer's time `zone`.
//!
//! All markup is written by [`maud`], which escapes names, and the pages' policy lets a browser run or load nothing but the three files here.
//! Access is left to [`access`](super::serve::access). Viewing a page is not demand: it makes no queue poll more often.

mod accounts;
mod attendance;
mod calls;
mod chart_file;
mod charts;
mod components;
mod export;
mod feeds;
mod first_steps;
mod form;
mod history;
mod history_section;
mod layout;
mod login;
mod overview;
mod pages;
mod paths;
mod period;
mod problems;
mod queue;
mod rendered;
mod renderer;
mod soon;
mod week;
mod what_if;
mod wording;
mod zone;

use http::header;

pub(super) use self::{
    chart_file::get_chart,
    export::{HISTORY_PARAMETERS, get_history},
    overview::get_overview,
    pages::Pages,
    period::RANGE,
};
use super::{
    http::rule::{Guard, LOGIN},
    route::Route,
};

/// Files that pages use: path, content type, content.
const ASSETS: [(&str, &str, &str); 3] = [
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

/// All pages but `/`, which also answers programs; logging in and out; and the assets. Open routes say nothing about queues: anyone may see
/// the form, and a browser must be able to forget its session.
pub(super) fn routes() -> Vec<Route> {
    let page = |route: Route| route.guarded(Guard::Page).linked();
    let open = |route: Route| route.guarded(Guard::Open);
    let mut routes = vec![
        page(Route::get("/queues/{queue}", queue::get_queue_page)),
        page(Route::get(paths::CALLS, calls::get_calls_page)),
        page(Route::get(
            "/queues/{account}/{queue}",
            queue::get_queue_page,
        )),
        open(Route::get(LOGIN, login::show_login)).linked(),
        open(Route::post(LOGIN, login::log_in)).reading(login::MAX_FORM),
        open(Route::post(paths::LOGOUT, login::log_out)),
    ];
    routes.extend(ASSETS.into_iter().map(|(path, content_type, content)| {
        let asset = async move || ([(header::CONTENT_TYPE, content_type)], content);
        open(Route::get(path, asset))
    }));
    routes
}
