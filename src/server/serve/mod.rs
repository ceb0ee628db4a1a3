//! From an accepted connection to an answered request, for HTTP, HAProxy's agent-checks and the control socket.

mod accept;
pub mod access;
pub mod agent_check;
mod caller;
pub mod connection;
pub mod control;
pub mod current;
pub mod fast_path;
pub mod router;
pub mod threads;
mod unread;
