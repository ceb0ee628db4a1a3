//! The HTTP server: answers routers, scrapers and people.
//!
//! Handlers answer from the [board](crate::decision::board). A few wait for more, each for a bounded time: `refresh` (also as *Test now*) and
//! decisions with `fresh` for CallTools, reservations for the disk or the leader of a cluster, and commands at the control socket for CallTools;
//! pages, histories, records of calls and metrics for a thread; a reload for the accounts. `ARCHITECTURE.md` lists them with their bounds. No client
//! can delay another: [limits](Limits) bound connections, request heads, idle time and slow readers.
//!
//! The path of a request:
//!
//! 1. `net` listens, does TLS, and bounds connections and time.
//! 2. `serve` accepts the connection, checks access, answers plain decisions on its fast path, and leaves the rest to the router.
//! 3. `routes` is the one table of all operations: path, rule, handler, parameters, answers.
//! 4. A handler answers: `api` for the API itself, `drop_in` for CallTools' API, `dashboard` for pages, `watch` for streams.
//! 5. The handler parses the request with `http`, reads the shared `state`, and answers with a type from `json` or a problem from `http`.
//!
//! `openapi` builds the API's description from the table. `check` makes the report of `openseat check`.
//!
//! Arrows between these folders run downwards: `serve` ▸ `routes` ▸ `api`, `drop_in`, `dashboard`, `watch` ▸ `openapi` ▸ `route` ▸ `state` ▸
//! `json`, `http` ▸ `net` ▸ `limits`. `tests/architecture.rs` checks it. `check` uses only `json`.

mod api;
pub mod check;
mod dashboard;
mod drop_in;
mod http;
mod json;
mod limits;
mod net;
mod openapi;
mod route;
mod routes;
mod serve;
mod state;
mod watch;

#[cfg(test)]
mod tests;

pub use self::{
    drop_in::page_of_list,
    json::feed::FeedJson,
    limits::{Limits, WatchLimits},
    net::{
        listen::{BindError, Bound, Detached, Exposed, Listener, bind_all},
        tls::{Tls, TlsError},
    },
    serve::{
        agent_check::serve as serve_agent_checks,
        connection::serve,
        control::{ControlPath, serve as serve_control},
        current::Current,
        threads::serve_on_threads,
    },
    state::{
        app::{AccountHandle, App, Deps, Queue, QueueRules},
        decision_log::Gist,
        reload_request,
        spelling_check::check_spellings,
        status_line::status_line,
        watch_task::watch_decisions,
    },
};
