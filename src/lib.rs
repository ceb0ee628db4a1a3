//! openseat answers, while a call rings, whether a CallTools queue has an agent with an open seat. It asks CallTools in the background, inside
//! the account's hourly budget, and answers from memory, with the age of its data and the reason.
//!
//! Read in this order: [`config`] holds the operator's settings. An [`account`] asks CallTools through [`calltools`], takes a permit from its
//! [`budget`] for each request, and publishes what it learns to the board of [`decision`], which decides: accept or reject. The [`server`] answers
//! routers, scrapers and people. [`notify`] sends messages when something changes, and a [`cluster`] shares one account among machines. The
//! [`daemon`] starts and stops the tasks, and people start it and ask it through [`cli`]. [`state`] keeps what a restart needs, and [`metrics`]
//! counts.
//!
//! All of these use the terms of the domain ([`model`]), files on disk ([`sqlite`]), a clock that survives suspend and clock changes ([`clock`]) and
//! what any process needs ([`process`]). The [`simulator`] is a CallTools to test against. `ARCHITECTURE.md` has the drawing.

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
