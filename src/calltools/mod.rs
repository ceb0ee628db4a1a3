//! The CallTools API: one request, one typed answer or one [`Fault`].

mod fault;
pub(crate) mod field;
mod json;
mod list;
mod page;
mod row;
mod transport;

pub use fault::{Down, Fault, NoSuchQueue};
pub use field::BadRow;
pub use page::{Ask, Page};
pub use row::{Agent, AgentId, Row};
pub use transport::{Reply, Transport};
