//! The CallTools API: one request, one typed answer or one [`Fault`].

pub mod address;
mod call;
mod client;
mod fault;
pub(crate) mod field;
mod http;
mod json;
mod list;
mod page;
mod raw;
mod response;
mod row;
mod subscription;
pub mod token;
mod transport;

pub use call::Call;
pub(crate) use client::PAGE_SIZE;
pub use client::{Change, Client, Endpoint, Everybody, Harvest, Notes, Observer, Oddity, Setback};
pub use fault::{Down, Fault, NoSuchQueue};
pub use field::BadRow;
pub use http::{HttpSettings, HttpTransport, SetupError};
pub use list::Tally;
pub use page::{Ask, Page};
pub use raw::RawRow;
pub use response::joined_response;
pub(crate) use row::settle_queue_logins;
pub use row::{Agent, AgentId, QueueLogin, Row};
pub use subscription::{NewSubscription, Subscription};
pub use token::Token;
pub use transport::{Outgoing, Reply, Transport};
