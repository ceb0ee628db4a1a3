//! The basics of any process: a log that never blocks, signals, heartbeats, files, threads, HTTP, and work that may hang.

pub mod aside;
pub mod authorities;
pub mod causes;
pub mod file;
pub mod heartbeat;
pub mod log;
pub mod reply_times;
pub mod runtime;
pub mod shell;
pub mod signals;
pub mod spelling;
pub mod state_folder;
pub mod thread;
pub mod tls;
mod turns;
