//! `openseat trust-ledger`

use std::process::ExitCode;

use super::{EXIT_FAILURE, EXIT_USAGE, exit_with, load_or_explain, print};
use crate::{cli::ConfigFile, clock::SystemClock, state::open_ledger};

/// Lets the hour begin with what the ledger has, whatever was lost.
pub fn run(file: &ConfigFile) -> ExitCode {
    let config = match load_or_explain(file) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Some(dir) = config.state_dir else {
        return exit_with(
            EXIT_USAGE,
            "without [state] dir there is no ledger on a disk",
        );
    };
    let clock = SystemClock::new();
    let trusted = open_ledger(&dir, &clock).and_then(|ledger| Ok(ledger.trust(&clock)?));
    match trusted {
        Ok(true) => print("The ledger is trusted: what it does not have was not sent.\n"),
        Ok(false) => print("Nothing was lost: the ledger is trusted already.\n"),
        Err(error) => return exit_with(EXIT_FAILURE, &format!("{error:#}")),
    }
    ExitCode::SUCCESS
}
