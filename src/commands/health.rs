//! `openseat health`

use std::process::ExitCode;

use http::StatusCode;

use super::{EXIT_FAILURE, daemon::Daemon, exit_with, load_or_explain, run::block_on};
use crate::cli;

/// Asks the daemon that runs with this config. It shows no secret, so where one is wanted it is told the word alone and not queue by queue.
pub fn run(options: &cli::Health) -> ExitCode {
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let daemon = Daemon::at_its_address(&config);
    let target = match (options.live, &config.server.bearer_token_file) {
        (true, _) => "/livez",
        (false, Some(_)) => "/readyz",
        (false, None) => "/readyz?verbose",
    };
    match block_on(daemon.get(target)) {
        Ok((StatusCode::OK, answer)) => {
            super::print(&answer);
            ExitCode::SUCCESS
        }
        Ok((status, answer)) => {
            exit_with(EXIT_FAILURE, &format!("{status}\n{}", answer.trim_end()))
        }
        Err(error) => exit_with(EXIT_FAILURE, &format!("{}: {error:#}", daemon.address())),
    }
}
