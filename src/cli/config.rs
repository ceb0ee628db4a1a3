//! `openseat config`: checks, shows and starts configurations, and sends nothing.

use std::process::ExitCode;

use super::{
    EXIT_USAGE, args::ConfigCommand, complain, exit_after, load_or_explain, load_with_secrets,
    print, terminal::counted, warn,
};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    daemon::{self, Severity},
};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Runs a subcommand.
pub fn run(command: &ConfigCommand) -> ExitCode {
    let done = match command {
        ConfigCommand::Example => Ok(exit_after(print(EXAMPLE), ExitCode::SUCCESS)),
        ConfigCommand::Check(file) => load_with_secrets(file).map(|config| check(&config)),
        ConfigCommand::Show(file) => load_or_explain(file)
            .map(|config| exit_after(print(&config.to_toml()), ExitCode::SUCCESS)),
    };
    done.unwrap_or_else(|exit| exit)
}

/// Also checks all files that it names: a missing one is a mistake, unless it is a token that only the service has.
fn check(config: &Config) -> ExitCode {
    let mut good = true;
    for problem in daemon::file_problems(config, SystemClock::new().now()) {
        let is_mistake = problem.severity == Severity::Mistake;
        match is_mistake {
            true => complain(&problem.text),
            false => warn(&problem.text),
        }
        good &= !is_mistake;
    }
    let queues = config.accounts.iter().map(|account| account.queues.len());
    let text = format!(
        "good: {}, {}\n",
        counted(config.accounts.len() as u64, "account"),
        counted(queues.sum::<usize>() as u64, "queue")
    );
    match good {
        true => exit_after(print(&text), ExitCode::SUCCESS),
        false => ExitCode::from(EXIT_USAGE),
    }
}
