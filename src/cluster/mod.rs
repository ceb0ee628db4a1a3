//! Many machines share one account: for each account, one node leads and does everything that must happen in order. Redis or Valkey decides
//! who leads, and keeps the log that the next leader needs.
//!
//! - [`command`]: the commands to Redis or Valkey (the *engine*), each one script, except messages; [`engine`] runs them;
//! - `scripts`: the engine's side of each command, in Lua; `replies` parses what they return; `model` is the same in Rust, for tests;
//! - [`local`]: a private engine, for the demo and for tests;
//! - [`lease`]: decides who leads, by each node's own clock alone;
//! - [`entry`] and [`codec`]: what the leader tells the other nodes, and its encoding;
//! - [`message`]: questions of followers to the leader; [`asking`] puts them, and `pending` has the answers that this process
//!   waits for;
//! - [`member`]: an account's place in the cluster, with its `task`; [`node`] has all members of a process;
//! - [`seats`]: seats that the leader gives to calls, once the log has them;
//! - [`sharer`]: an account that shares its budget, which has a lease and a log of its own;
//! - [`guest`]: requests that a node sends although another one leads, such as those of a check;
//! - [`trouble`]: what is wrong with the cluster.
//!
//! The promise: no hour ever has more requests than the account allows, as long as one of these survives: the engine with what its replicas
//! confirmed, or one node that followed. docs/cluster.md has the two exceptions: Sentinel without `replicas`, and `alone`.

pub mod asking;
pub mod codec;
pub mod command;
pub mod engine;
pub mod entry;
pub mod guest;
pub mod lease;
pub mod local;
pub mod member;
pub mod message;
#[cfg(test)]
pub(crate) mod model;
pub mod node;
mod pending;
mod replies;
mod scripts;
pub mod seats;
pub mod sharer;
pub mod task;
#[cfg(test)]
mod tests;
pub mod trouble;
