//! Threads that serve, each with a runtime of its own, so that neither the polls nor each other make them wait.
//!
//! Every thread accepts at every address: whoever is free takes the next connection, and keeps it. They share the [`App`], and with it
//! the limit of connections; nothing that they share needs a lock in everyday business.

use std::{io, sync::Arc, thread};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    app::App,
    connection::serve,
    listen::{Detached, Listener},
};

/// Serves listeners on so many threads until `stop`, as [`serve`] does on the caller's.
///
/// # Errors
/// A thread that could not begin, or ended early.
pub async fn serve_on_threads(
    threads: usize,
    listeners: Vec<Listener>,
    app: Arc<App>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ends = Vec::with_capacity(threads);
    for number in 0..threads {
        let detached = listeners.iter().map(Listener::detach);
        let detached = detached.collect::<io::Result<Vec<_>>>()?;
        let (app, stop) = (Arc::clone(&app), stop.clone());
        let (end, ended) = oneshot::channel();
        let work = move || {
            // Nobody waits for it any more if the process is ending.
            let _ = end.send(in_runtime(serve_all(detached, app, stop)));
        };
        thread::Builder::new()
            .name(format!("serve-{number}"))
            .spawn(work)
            .context("no thread to serve on")?;
        ends.push(async { ended.await.context("a thread that serves has panicked")? });
    }
    drop(listeners);
    try_join_all(ends).await.map(|_| ())
}

fn in_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime to serve in")?;
    runtime.block_on(work)
}

async fn serve_all(
    listeners: Vec<Detached>,
    app: Arc<App>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut serving = JoinSet::new();
    for listener in listeners {
        let listener = listener.attach()?;
        serving.spawn(serve(listener, Arc::clone(&app), stop.clone()));
    }
    while let Some(ended) = serving.join_next().await {
        ended?;
        if !stop.is_cancelled() {
            bail!("a listener's task ended early");
        }
    }
    Ok(())
}
