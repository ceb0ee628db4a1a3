//! Waits for the signals that stop a process.

use tokio::signal::unix::{SignalKind, signal};

/// Completes when the process is asked to stop: SIGTERM from systemd, SIGINT from a keyboard. A second signal ends the process at once.
///
/// # Errors
/// The system's, if it refuses to report signals.
pub fn signaled() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        let first = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        };
        tracing::info!(signal = first, "stopping; a second signal stops at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::warn!("stopped at once, as asked");
            crate::process::log::flush();
            std::process::exit(SECOND_SIGNAL);
        });
    })
}

/// Completes on the same signals, for a command that only watches: it logs nothing, and may end at any moment.
///
/// # Errors
/// The system's, if it refuses to report signals.
pub fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// The exit code that shells report for a process ended by SIGINT.
const SECOND_SIGNAL: i32 = 130;
