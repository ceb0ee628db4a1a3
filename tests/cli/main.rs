//! The command line as people and scripts use it: the real program against a simulated CallTools over a real socket.

mod check;
mod commands;
mod config;
mod curl;
mod fixture;
mod init;
mod queues;
mod report;
mod status;
#[path = "../support/mod.rs"]
mod support;
