//! `openseat run`

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;

use super::{EXIT_CONFIG, EXIT_FAILURE, complain, load};
use crate::{cli::ConfigFile, clock::SystemClock, config::Config, daemon::Daemon, shutdown};

/// How long the runtime waits at the end for what cannot be cancelled, such as a name look-up that hangs.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// The daemon.
pub fn run(file: &ConfigFile) -> ExitCode {
    match load(file) {
        Ok(config) => in_runtime(daemon(config)),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

async fn daemon(config: Config) -> anyhow::Result<()> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    // Before anything else, so that a signal during the start is heard.
    let shutdown = shutdown::signaled()?;
    let daemon = Daemon::new(&config, Arc::new(SystemClock::new())).await?;
    for listener in daemon.listeners() {
        tracing::info!(%listener, version = env!("CARGO_PKG_VERSION"), "openseat answers");
    }
    if let Some(listener) = daemon.agent_checks() {
        tracing::info!(%listener, "openseat answers agent-checks");
    }
    daemon.serving_on(config.server.threads).run(shutdown).await
}

/// Runs a command to its end, and says why it failed if it did.
pub fn in_runtime(command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("openseat: {error:#}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// Runs a future to its end in a runtime of its own, on this thread: commands mostly wait for CallTools, and the daemon answers on
/// other threads.
pub fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime");
    runtime.and_then(|runtime| {
        let ended = runtime.block_on(command);
        runtime.shutdown_timeout(LAST_WAIT);
        ended
    })
}
