//! The CallTools API: one request, one typed answer or one [`Fault`](crate::model::fault::Fault).

pub mod address;
mod client;
mod http;
mod list;
mod page;
mod response;
mod row;
pub mod token;
mod transport;

pub use client::{
    AgentList, Change, Client, Endpoint, Everyone, Notes, Observer, Oddity, RequestError,
    RosterPage,
};
pub(crate) use client::{ORDERING_FIELD, PAGE_SIZE, overlapping};
pub(crate) use http::tls_message;
pub use http::{HttpSettings, HttpTransport, SetupError, trust};
pub(crate) use http::{cause, resolver};
pub use list::Tally;
pub use page::{Ask, Page, Rows};
pub use response::joined_response;
pub use row::{QueueLogin, Row};
pub(crate) use row::{settle_queue_logins, timestamp};
pub use token::Token;
pub use transport::{Reply, Transport};
