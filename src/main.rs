//! The program: reads the command line and hands over to [`openseat::commands`].

use std::process::ExitCode;

use clap::Parser;
use openseat::{cli::Cli, commands};

fn main() -> ExitCode {
    commands::dispatch(Cli::parse())
}
