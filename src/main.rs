//! The program: everything is in [`openseat::commands`].

use std::process::ExitCode;

fn main() -> ExitCode {
    openseat::commands::dispatch()
}
