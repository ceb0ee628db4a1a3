//! openseat answers, while a call rings, whether a CallTools queue has an agent with an open seat.
//!
//! It asks CallTools in the background, inside the account's hourly budget, and answers from memory with the age of what it
//! knows and the reason. The way of the data, which is also a good order to read in:
//!
//! 1. [`config`]: the file becomes a [`Config`](config::Config) that cannot be wrong.
//! 2. [`account`]: one task per CallTools account; it asks [`schedule`] what is the best next request,
//! 3. gets a permit for it from the [`budget`], which lets no more than the account's requests into any sliding hour,
//! 4. and sends it through [`calltools`]: pages, rows, faults.
//! 5. What came back joins the [`roster`], the people of the account; a [`sweep`] of all of them is checked before it is believed.
//!    What is known of a queue becomes a [`snapshot`], measured once by the queue's [`criteria`],
//! 6. and is published on the [`board`], the shared cache.
//! 7. [`decision`] turns what the board knows, and its age, into accept or reject: a pure function. [`reservations`] hold seats for calls
//!    on their way.
//! 8. [`server`] answers routers, scrapers and people; it reads the board and waits for CallTools only where it was asked to
//!    ([`doubt`] says when that is worth a request).
//!
//! What outlives the process is the [`state`] folder's: the budget's ledger, the [`store`] of what is [`known`], and the [`history`]; all of them are
//! [`sqlite`] files, and moments in them are [`stamp`]s.
//!
//! Beside that way: [`clock`] (how time is read so that no clock can fool us), [`names`] (queue names and status names of an
//! account), [`plan`] (how old answers will be), [`metrics`], [`log`], [`descriptors`], [`daemon`] (who owns which task), [`reload`] (the wish for another config), [`systemd`] (what the daemon's supervisor is told), [`pulse`] (whether every loop still turns), [`aside`] and [`mod@file`] (work and files that may hang), [`causes`] (errors in words), [`check`] (asking CallTools for a person), [`simulator`] (a CallTools to develop and test against), and
//! [`commands`] (what `main` dispatches to).

pub mod account;
pub mod aside;
pub mod board;
pub mod budget;
pub mod calltools;
pub mod causes;
pub mod check;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod criteria;
pub mod daemon;
pub mod decision;
pub mod descriptors;
pub mod digest;
pub mod doubt;
pub mod file;
pub mod history;
pub mod known;
pub mod log;
pub mod metrics;
pub mod names;
pub mod packed;
pub mod plan;
pub mod pulse;
pub mod quantity;
pub mod reload;
pub mod reservations;
pub mod roster;
pub mod schedule;
pub mod server;
pub mod shutdown;
pub mod simulator;
pub mod snapshot;
pub mod sqlite;
pub mod stamp;
pub mod state;
pub mod store;
pub mod sweep;
pub mod systemd;
pub mod writer;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod logged;
