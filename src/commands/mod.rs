//! What each command does.

mod completions;
mod demo;
mod log;
mod run;
mod simulate;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::{
    cli::{Cli, Command, ConfigFile},
    config::{Config, ConfigError},
};

/// A configuration that is wrong: sysexits' EX_CONFIG, so that systemd need not restart what is hopeless.
pub const EXIT_CONFIG: u8 = 78;

/// A failure that trying again may mend.
pub const EXIT_FAILURE: u8 = 1;

/// Does what the command line says; returns what to exit with.
pub fn dispatch(cli: Cli) -> ExitCode {
    log::start(&cli.log);
    match cli.command {
        Command::Run(config) => run::run(&config),
        Command::Demo(demo) => run::in_runtime(demo::demo(demo)),
        Command::Simulate(simulate) => run::in_runtime(simulate::simulate(simulate)),
        Command::Completions { shell } => completions::print(shell),
        Command::Check(_) | Command::Plan(_) => unimplemented!("comes next"),
    }
}

fn load(file: &ConfigFile) -> Result<Config, ConfigError> {
    let path: PathBuf = match &file.config {
        Some(path) => path.clone(),
        None => Config::find()?,
    };
    Config::load(&path)
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
