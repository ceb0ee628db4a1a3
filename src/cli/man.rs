//! `openseat man`

use std::process::ExitCode;

use clap::CommandFactory;

use super::{EXIT_FAILURE, exit_with};
use crate::cli::args::{self, Cli};

/// Writes a page for the program and one for each command.
pub fn write(options: &args::Man) -> ExitCode {
    let folder = &options.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit_with(EXIT_FAILURE, &format!("{}: {error}", folder.display())),
    }
}
