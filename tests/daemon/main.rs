//! Tests of the whole daemon over real sockets: with a healthy CallTools, a faulty one, and a server that is not CallTools; across restarts,
//! through hours of virtual time, and as the real program. `MATRIX.md` says which test causes which fault, and what openseat answers
//! meanwhile.

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
mod soon;
mod state;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod tls;
mod trade;
mod watch;
mod wire;
