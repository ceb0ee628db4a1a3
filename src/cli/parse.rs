//! Reads the command line and the variables that stand for its options.

use std::{
    env,
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::{
    Command, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, Error},
};

use super::{EXIT_CONFIG, EXIT_USAGE, args::Cli, complain, exit_after};

/// The options of all commands that have a value of their own.
const VALUED: [&str; 2] = ["--log-level", "--log-format"];

/// Parses the command line. If it is wrong, or asks for help, prints what to say and returns the exit code.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let arguments: Vec<_> = arguments.collect();
    let command = without_empty_variables(Cli::command());
    let parsed = command
        .clone()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        // Help and the version are such errors too, and go to standard output.
        let printed = error.print();
        if let Some(variable) = variable_at_fault(&error, &command, &arguments) {
            complain(&format!(
                "The value comes from the environment variable {variable}."
            ));
        }
        exit_after(printed, ExitCode::from(exit_code(&error, &arguments)))
    })
}

/// Lets variables that are set to nothing count as unset: `OPENSEAT_CONFIG=` in an environment file is how people turn one off.
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(None::<&str>),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// A command line that is wrong stays wrong, so systemd must not start the daemon again. Other commands have their own code for it.
fn exit_code(error: &Error, arguments: &[OsString]) -> u8 {
    match u8::try_from(error.exit_code()) {
        Ok(EXIT_USAGE) if is_run(arguments) => EXIT_CONFIG,
        Ok(code) => code,
        Err(_) => EXIT_USAGE,
    }
}

/// Whether the command is `run`: the first argument that is no option.
fn is_run(arguments: &[OsString]) -> bool {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        if VALUED.iter().any(|option| argument == option) {
            arguments.next();
        } else if !argument.as_encoded_bytes().starts_with(b"-") {
            return argument == "run";
        }
    }
    false
}

/// Returns the variable whose value is wrong, if the command line does not have the option itself.
fn variable_at_fault(error: &Error, command: &Command, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let option = option.split(' ').next()?;
    let is_given = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.split('=').next() == Some(option)
    };
    if arguments.iter().any(is_given) {
        return None;
    }
    let name = option.strip_prefix("--")?;
    let found = command
        .get_arguments()
        .find(|one| one.get_long() == Some(name))?;
    let variable = found.get_env()?;
    env::var_os(variable)?;
    Some(variable.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_wrong_command_line_of_the_daemon_needs_a_person() {
        for (line, code) in [
            ("openseat run --confg x", 78),
            ("openseat --log-level debgu run", 78),
            ("openseat --log-level=debgu run", 78),
            ("openseat --log-format run check", 2),
            ("openseat check run --xyz", 2),
            ("openseat --xyz", 2),
            ("openseat run --help", 0),
            ("openseat --version", 0),
        ] {
            let arguments = list(line);
            let error = Cli::command().try_get_matches_from(&arguments);
            let error = error.expect_err(line);
            assert_eq!(exit_code(&error, &arguments), code, "{line}");
        }
    }
}
