//! Sockets: addresses to listen on, TLS, and limits on connections and on slow clients.

pub mod arrival;
pub mod closing;
pub mod deadline;
pub mod limits;
pub mod listen;
pub mod timeouts;
pub mod tls;
pub mod unvectored;
