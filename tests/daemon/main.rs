//! The whole daemon: over real sockets against a CallTools that behaves, one that does not, and a server that is not CallTools; across
//! restarts, through hours that pass in a second, and as the real program. `MATRIX.md` says which test causes which fault, and what openseat
//! answers meanwhile.

mod budget;
mod calls;
mod certificate;
mod clients;
mod clocks;
mod cluster;
mod control;
mod crowds;
mod faults;
mod happy;
mod hours;
mod local;
mod matrix;
mod notify;
mod opening;
mod process;
mod queues;
mod recipient;
mod reload;
mod restart;
mod state;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod tls;
mod trade;
mod watch;
mod wire;
