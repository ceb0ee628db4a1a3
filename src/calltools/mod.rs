//! The CallTools API: one request, one typed answer or one [`Fault`].

mod fault;
mod row;
mod transport;

pub use fault::{Down, Fault, NoSuchQueue};
pub use row::{Agent, AgentId};
pub use transport::{Reply, Transport};
