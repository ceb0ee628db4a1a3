//! Sockets: who may listen where, TLS, and the bounds on connections and on the time that clients take.

pub mod arrival;
pub mod closing;
pub mod deadline;
pub mod limits;
pub mod listen;
pub mod timeouts;
pub mod tls;
