//! openseat answers, while a call rings, whether a CallTools queue has an agent with an open seat. It asks CallTools in the background, inside
//! the account's hourly budget, and answers from memory, with the age of what it knows and the reason.
//!
//! [`config`] is what the operator wants. An [`account`] asks CallTools by way of [`calltools`], pays with permits of its [`budget`], and publishes
//! what it learns to the board of [`decision`], which turns it into accept or reject. The [`server`] answers routers, scrapers and people.
//! [`notify`] tells those who do not ask, and a [`cluster`] shares one account among machines. The [`daemon`] owns the tasks, and [`cli`] is how people start and ask it. [`state`] outlives the process; [`metrics`] counts.
//! Below them are the nouns that all know ([`model`]), files that outlive ([`sqlite`]), time that cannot fool us ([`clock`]) and what any
//! process needs ([`process`]). The [`simulator`] is a CallTools to test against. `ARCHITECTURE.md` has the drawing.

pub mod account;
pub mod budget;
pub mod calltools;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod daemon;
pub mod decision;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod process;
pub mod server;
pub mod simulator;
pub mod sqlite;
pub mod state;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod logged;
