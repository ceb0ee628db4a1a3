//! Serving threads, each with its own runtime, so that neither polls nor other serving threads delay them.
//!
//! Every thread accepts at every address: a free one takes the next connection, and keeps it. They share the [`App`](crate::server::App), and with
//! it the limits of connections. Nothing that they share takes a lock for a plain request.

use std::{io, sync::Arc, thread};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{connection::serve, current::Current};
use crate::{
    process::runtime::block_on,
    server::net::listen::{Detached, Listener},
};

/// Serves listeners on several threads until `stop`, as [`serve`] does on the caller's thread.
///
/// # Errors
/// A thread could not start, or ended early. Returns at once, while the others continue.
pub async fn serve_on_threads(
    threads: usize,
    listeners: Vec<Listener>,
    current: Arc<Current>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ends = Vec::with_capacity(threads);
    for number in 0..threads {
        let detached = listeners.iter().map(Listener::detach);
        let detached = detached.collect::<io::Result<Vec<_>>>()?;
        let work = serve_all(detached, Arc::clone(&current), stop.clone());
        ends.push(on_thread(format!("serve-{number}"), work)?);
    }
    drop(listeners);
    try_join_all(ends).await.map(|_| ())
}

/// Starts a thread that works in its own runtime. The returned future ends with the thread, even after a panic.
fn on_thread(
    name: String,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let (end, ended) = oneshot::channel();
    thread::Builder::new()
        .name(name)
        // The receiver may be gone if the process is ending.
        .spawn(move || end.send(block_on(work)).ok())
        .context("no thread to serve on")?;
    Ok(async { ended.await.context("a thread that serves has panicked")? })
}

async fn serve_all(
    listeners: Vec<Detached>,
    current: Arc<Current>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut serving = JoinSet::new();
    for listener in listeners {
        let listener = listener.attach()?;
        serving.spawn(serve(listener, Arc::clone(&current), stop.clone()));
    }
    while let Some(ended) = serving.join_next().await {
        ended?;
        if !stop.is_cancelled() {
            bail!("a listener's task ended early");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_thread_is_reported_after_a_panic_too() {
        let well = on_thread("well".to_owned(), async { Ok(()) });
        assert!(well.unwrap().await.is_ok());
        let badly = on_thread("badly".to_owned(), async { bail!("for some reason") });
        let error = badly.unwrap().await.unwrap_err();
        assert_eq!(error.to_string(), "for some reason");
        let panicked = on_thread("panicked".to_owned(), async { panic!("on purpose") });
        let error = panicked.unwrap().await.unwrap_err();
        assert_eq!(error.to_string(), "a thread that serves has panicked");
    }
}
