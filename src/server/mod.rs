//! Answers routers, scrapers and people.
//!
//! A request is answered from the [board](crate::decision::board) and never waits for CallTools, with two exceptions: `refresh`, and decisions
//! asked with `fresh`. Both send a request to the account's task and wait a bounded time. No client can make another wait: connections, heads,
//! idle time and the time to take an answer all have [limits](Limits).
//!
//! The path of a request:
//!
//! 1. `net` listens, does TLS, and bounds connections and time.
//! 2. `serve` accepts the connection, checks access, answers plain decisions on its fast path, and leaves the rest to the router.
//! 3. `routes` is the one table of all operations: path, guard, body limit, handler, parameters, answers.
//! 4. `api` has the handlers; `drop_in` speaks as CallTools does; `dashboard` writes pages; `watch` streams changes.
//! 5. `http` has what they share to read and write, problem details among it; `state` has what requests share.
//!
//! `openapi` describes the API from the table. `check` is the report of `openseat check`.
//!
//! Left to others: who may listen where (config), what a decision is ([`decision`](crate::decision)), how a refresh is done.

mod api;
pub mod check;
mod dashboard;
mod drop_in;
mod http;
mod json;
mod net;
mod openapi;
mod route;
mod routes;
mod serve;
mod state;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use self::serve::threads::in_runtime;
pub use self::{
    drop_in::page_of_list,
    net::{
        listen::{BindError, Bound, Detached, Listener, bind_all},
        tls::{Tls, TlsError},
    },
    serve::{
        agent_check::serve as serve_agent_checks,
        connection::serve,
        control::{CONTROL_SOCKET, ControlPath, serve as serve_control},
        current::Current,
        threads::serve_on_threads,
    },
    state::{
        app::{AccountHandle, App, Deps, Limits, Queue},
        reload_request,
        status_line::status_line,
        watch_hub::WatchLimits,
        watch_task::watch_decisions,
    },
};
