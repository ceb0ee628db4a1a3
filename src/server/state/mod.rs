//! What requests share: the app, sessions, and the threads for work that handlers wait for.

pub mod app;
pub mod guesses;
pub mod pool;
pub mod reload_request;
pub mod sessions;
pub mod status_line;
