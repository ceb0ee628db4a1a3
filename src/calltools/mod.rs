//! The CallTools API: one request, one typed answer or one [`Fault`].

pub mod address;
mod fault;
mod row;
pub mod token;
mod transport;

pub use fault::{Down, Fault, NoSuchQueue};
pub use row::{Agent, AgentId};
pub use token::Token;
pub use transport::{Reply, Transport};
