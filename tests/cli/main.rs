//! The command line as people and scripts use it: the real program, against a simulated CallTools over a real socket.

mod commands;
mod init;
mod status;
#[path = "../support/mod.rs"]
mod support;
