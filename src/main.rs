//! The program: everything is in [`openseat::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    openseat::cli::dispatch()
}
