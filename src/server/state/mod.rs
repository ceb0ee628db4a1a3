//! Shared state of all requests: the app, sessions, and the threads for work that handlers wait for.

pub mod app;
pub mod call_record;
pub mod clients;
pub mod decision_log;
pub mod guesses;
pub mod last_decisions;
pub mod named_queue;
mod permissions;
pub mod pool;
pub mod reload_request;
mod scrape;
pub mod seats;
pub mod sessions;
mod soon_report;
pub mod spelling_check;
pub mod status_line;
pub mod watch_hub;
pub mod watch_task;
