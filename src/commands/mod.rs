//! What each command does.

mod certificate;
mod check;
mod completions;
mod daemon;
mod demo;
mod health;
mod hooks;
mod man;
mod plan;
mod run;
mod simulate;
mod status;
mod terminal;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

pub use self::daemon::Address;

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    budget::Ledger,
    cli::{Cli, Command, ConfigFile},
    clock::Clock,
    config::{Config, ConfigError},
    daemon as process, log,
};

/// A configuration that is wrong: sysexits' EX_CONFIG, so that systemd need not restart what is hopeless.
pub const EXIT_CONFIG: u8 = 78;

/// A secret, the state folder or an address that openseat's user may not use: sysexits' EX_NOPERM, as hopeless.
pub const EXIT_NO_PERMISSION: u8 = 77;

/// A failure that trying again may mend.
pub const EXIT_FAILURE: u8 = 1;

/// The same for `check`, `plan`, `hooks` and `health`, which people and scripts run: 1 says that something does not do, 2 that nothing was tried.
pub const EXIT_USAGE: u8 = 2;

/// Does what the command line says; returns what to exit with.
pub fn dispatch(cli: Cli) -> ExitCode {
    log::start(&cli.log);
    let code = perform(cli.command);
    log::flush();
    code
}

fn perform(command: Command) -> ExitCode {
    match command {
        Command::Run(config) => run::run(&config),
        Command::Demo(demo) => run::in_runtime(demo::demo(demo)),
        Command::Simulate(simulate) => run::in_runtime(simulate::simulate(simulate)),
        Command::Completions { shell } => completions::print(shell),
        Command::Check(check) => check::run(&check),
        Command::Plan(plan) => plan::run(&plan),
        Command::Hooks(hooks) => hooks::run(&hooks),
        Command::Health(health) => health::run(&health),
        Command::Status(status) => status::run(&status),
        Command::Man(man) => man::write(&man),
    }
}

/// The file that was named, or the one that is there.
fn file_of(file: &ConfigFile) -> Result<PathBuf, ConfigError> {
    match &file.config {
        Some(path) => Ok(path.clone()),
        None => Config::find(),
    }
}

/// Loads the config and tells its warnings; where it is wrong, tells all mistakes and returns what to exit with.
fn load_or_explain(file: &ConfigFile) -> Result<Config, ExitCode> {
    let loaded = file_of(file).and_then(|path| Config::load_beside_the_service(&path));
    let config = loaded.map_err(|error| {
        complain(&error.to_string());
        ExitCode::from(EXIT_USAGE)
    })?;
    for warning in &config.warnings {
        warn(warning);
    }
    Ok(config)
}

/// The state folder's, which is then this process' own.
fn ledger(state_dir: Option<&Path>, clock: &Arc<dyn Clock>) -> anyhow::Result<Ledger> {
    let Some(dir) = state_dir else {
        return Ok(Ledger::in_memory(clock.as_ref()));
    };
    Ledger::keep(&dir.join(process::LEDGER_FILE), Arc::clone(clock)).context(
        "nothing was asked, since what is spent is written down there; run it as the daemon's user",
    )
}

/// Says why, and what to exit with.
fn exit_with(code: u8, why: &str) -> ExitCode {
    complain(&format!("openseat: {why}"));
    ExitCode::from(code)
}

/// JSON for people and programs alike.
fn to_json(document: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(document);
    json.expect("texts, numbers and truth values serialize") + "\n"
}

/// Prints to standard output. A reader that has gone (`| head`) is no reason to fail, let alone to panic.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to standard error, whoever reads it.
fn complain(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Warns on standard error.
fn warn(text: &str) {
    complain(&format!(
        "{}: {text}",
        terminal::painted(terminal::ODD, "warning")
    ));
}
