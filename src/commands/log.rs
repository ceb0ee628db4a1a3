//! The log: to standard error, as text for people and as JSON for journals.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::{Log, LogFormat};

/// Starts logging for the whole process.
pub fn start(log: &Log) {
    let terminal = std::io::stderr().is_terminal();
    let filter = EnvFilter::builder().parse_lossy(&log.log_level);
    // Errors of the log itself would be printed to standard error, which is what has failed then.
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .log_internal_errors(false);
    match log.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Auto if !terminal => builder.json().flatten_event(true).init(),
        LogFormat::Auto | LogFormat::Text => builder.init(),
    }
}
