//! Many machines, one account: for each account one node, the leader, does everything that must happen one after the other. Redis or Valkey
//! says who leads, and keeps the log that the next leader needs.
//!
//! - [`command`]: all that is asked of the engine, each one script; [`engine`] runs them;
//! - [`local`]: an engine of one's own, for the demo and for tests;
//! - [`lease`]: who leads, by one's own clock alone;
//! - [`entry`] and [`codec`]: what the leader tells the others, and how it is written;
//! - [`message`]: what a follower asks the leader;
//! - [`member`]: an account's place in the cluster, with its `task`; [`node`] has them all;
//! - [`trouble`]: what is wrong with it.
//!
//! What is promised: never more than the account's requests in any hour, as long as one of these survives: the engine with what its replicas
//! confirmed, or one node that followed.

pub mod codec;
pub mod command;
pub mod engine;
pub mod entry;
pub mod lease;
pub mod local;
pub mod member;
pub mod message;
#[cfg(test)]
pub(crate) mod model;
pub mod node;
mod replies;
mod scripts;
mod task;
#[cfg(test)]
mod tests;
pub mod trouble;
