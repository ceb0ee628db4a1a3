//! The commands.

pub mod args;
mod asking;
mod certificate;
mod check;
mod completions;
mod config;
mod daemon;
mod demo;
mod health;
mod init;
mod man;
mod notify;
mod parse;
mod plan;
mod queues;
mod reload;
mod run;
mod simulate;
mod spinner;
mod status;
mod terminal;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

pub use self::daemon::Address;

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    cli::args::{Cli, Command, ConfigFile},
    config::{Config, ConfigError},
    process::{causes::causes, log},
};

/// A wrong configuration: EX_CONFIG of sysexits. A restart does not help, so systemd does not try one.
pub const EXIT_CONFIG: u8 = 78;

/// openseat's user may not use a secret, the state folder or an address: EX_NOPERM of sysexits. A restart does not help either.
pub const EXIT_NO_PERMISSION: u8 = 77;

/// A failure that may go away.
pub const EXIT_FAILURE: u8 = 1;

/// A wrong argument, config or file, in every command that ends by itself: nothing was tried. 1 means that it was tried, and failed.
pub const EXIT_USAGE: u8 = 2;

/// Runs the command, and returns the exit code.
pub fn dispatch() -> ExitCode {
    let cli = match parse::parse(env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    log::start(
        &cli.log.log_level.clone().unwrap_or_default(),
        cli.log.log_format,
    );
    let code = perform(cli);
    log::flush();
    code
}

fn perform(Cli { command, log }: Cli) -> ExitCode {
    match command {
        Command::Reload(config) => reload::run(&config, log.log_level.as_ref()),
        Command::Run(config) => run::run(&config),
        Command::Demo(demo) => run::in_runtime(demo::demo(demo)),
        Command::Simulate(simulate) => run::in_runtime(simulate::simulate(simulate)),
        Command::Completions { shell } => completions::print(shell),
        Command::Check(check) => check::run(&check),
        Command::Init(init) => init::run(&init),
        Command::Queues(queues) => queues::run(&queues),
        Command::Config(command) => config::run(&command),
        Command::Notify(command) => notify::run(&command),
        Command::Plan(plan) => plan::run(&plan),
        Command::Health(health) => health::run(&health),
        Command::Status(status) => status::run(&status),
        Command::Man(man) => man::write(&man),
    }
}

/// Returns the config file: the named one, or the first that exists.
fn file_of(file: &ConfigFile) -> Result<PathBuf, ConfigError> {
    match &file.config {
        Some(path) => Ok(path.clone()),
        None => Config::find(),
    }
}

/// Loads the config for a command that reads none of its secrets, and prints its warnings. If it is wrong, prints all mistakes and returns the exit
/// code.
fn load_or_explain(file: &ConfigFile) -> Result<Config, ExitCode> {
    explain(file, |config| config)
}

/// Does as [`load_or_explain`] for a command that reads the secrets, and warns of those that other users can read.
fn load_with_secrets(file: &ConfigFile) -> Result<Config, ExitCode> {
    explain(file, Config::with_its_secrets_looked_at)
}

fn explain(file: &ConfigFile, look: impl FnOnce(Config) -> Config) -> Result<Config, ExitCode> {
    let loaded = file_of(file).and_then(|path| Config::load_beside_the_service(&path));
    let config = loaded.map(look).map_err(|error| {
        complain(&error.to_string());
        ExitCode::from(EXIT_USAGE)
    })?;
    for warning in &config.warnings {
        warn(warning);
    }
    for remark in &config.notes {
        note(remark);
    }
    Ok(config)
}

/// Prints the reason and returns the exit code.
fn exit_with(code: u8, why: &str) -> ExitCode {
    complain(&format!("openseat: {why}"));
    ExitCode::from(code)
}

/// Prints a failure with its causes and returns the exit code.
fn failed(error: &anyhow::Error) -> ExitCode {
    exit_with(EXIT_FAILURE, &causes(error.as_ref()))
}

/// Formats JSON.
fn to_json(document: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(document);
    json.expect("texts, numbers and truth values serialize") + "\n"
}

/// Prints to standard output.
///
/// # Errors
/// The system's; see [`unless_gone`].
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Ignores that the reader has closed the pipe (`| head`): it has read what it wanted.
///
/// # Errors
/// Any other error, such as a full disk: the output is incomplete.
fn unless_gone(printed: io::Result<()>) -> anyhow::Result<()> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Returns the exit code after printing.
fn exit_after(printed: io::Result<()>, code: ExitCode) -> ExitCode {
    match unless_gone(printed) {
        Ok(()) => code,
        Err(error) => failed(&error),
    }
}

/// Prints to standard error, if it can be written.
fn complain(text: &str) {
    let text = log::with_priority(tracing::Level::ERROR, text);
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Says on standard error how something that a person wrote was understood.
fn note(text: &str) {
    let text = format!("note: {text}");
    let text = log::with_priority(tracing::Level::INFO, &text);
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Warns on standard error.
fn warn(text: &str) {
    let text = format!("{}: {text}", terminal::painted(terminal::ODD, "warning"));
    let text = log::with_priority(tracing::Level::WARN, &text);
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
