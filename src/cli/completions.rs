//! `openseat completions`

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::args::Cli;

/// Prints the script for a shell.
pub fn print(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "openseat", &mut script);
    let printed = super::print(&String::from_utf8_lossy(&script));
    super::exit_after(printed, ExitCode::SUCCESS)
}
