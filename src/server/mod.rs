//! Answers routers, scrapers and people.
//!
//! A request is answered from the [board](crate::decision::board) and never waits for CallTools, except for `refresh` and for decisions
//! asked with `fresh`, which send a wish to the account's task and wait a bounded time. No client can make another wait: connections, heads, idle time and the time to
//! take an answer are all bounded ([`Limits`]).
//!
//! The way of a request: [`serve`] accepts a connection (`connection`) if there is `room` for it, under a `watchdog`, whose deadlines allow for pauses (`deadline`); `gate` lets it in or turns it
//! away; `routes` finds who answers: `decisions`, `reservations`, `queues`, `accounts`, `probes`, or the `drop_in` that speaks as CallTools does. What
//! goes wrong is a `problem`, of one of the `kinds`; `api` describes all of it, from the very table that `routes` is. Where the config wants it, `tls` comes before the first request. `watch` goes on answering: it tells of
//! decisions as they change. `brief` is the whole in a line. `dashboard` is for people: pages of what the board knows. `hooks` is the other
//! direction: CallTools tells us of calls that have ended. `agent_check` speaks HAProxy's line protocol instead of HTTP, on an address of
//! its own. `control` serves the commands of this machine. `pool` has
//! the threads for what handlers have to wait for.
//!
//! Left to others: who may listen where (config), what a decision is ([`decision`](crate::decision)), how a refresh is done.

mod accounts;
mod agent_check;
mod api;
mod app;
mod arrival;
mod body;
mod brief;
pub mod check;
mod closing;
mod connection;
mod control;
mod current;
mod dashboard;
mod deadline;
mod decisions;
mod docs;
mod drop_in;
mod express;
mod gate;
mod hooks;
mod kinds;
mod listen;
mod params;
mod pool;
mod probes;
mod problem;
mod queues;
mod reload;
pub mod reload_request;
mod reservations;
mod room;
mod route;
mod routes;
mod threads;
mod tls;
mod watch;
mod watchdog;

#[cfg(test)]
mod tests;

pub use agent_check::serve as serve_agent_checks;
pub use app::{AccountHandle, App, Limits, Parts, Queue};
pub use brief::Brief;
pub use connection::serve;
pub use control::{CONTROL_SOCKET, ControlPath, serve as serve_control};
pub use current::Current;
pub(crate) use decisions::View as DecisionView;
pub use drop_in::page_of_list;
pub use listen::{BindError, Bound, Detached, Listener, bind_all};
pub(crate) use queues::{AgentView, FaultView};
pub(crate) use threads::in_runtime;
pub use threads::serve_on_threads;
pub use tls::{Tls, TlsError};
pub use watch::{WatchLimits, keep_watch};
