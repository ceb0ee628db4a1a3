//! A Tokio runtime on the current thread: commands mostly wait for CallTools, and the daemon serves on threads that have one each.

use std::time::Duration;

use anyhow::Context as _;

/// How long the runtime waits at the end for work that cannot be cancelled, such as a file that hangs.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// Runs a future on this thread.
///
/// # Errors
/// Those of the future, or the system cannot make a runtime.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let ended = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_WAIT);
    ended
}
