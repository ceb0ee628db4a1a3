//! Connections: accepted, bounded, ended well.
//!
//! The accept loop is our own because `axum::serve` bounds neither the number of connections nor the time of a head. Nothing
//! here waits for a client without a deadline, and nothing that one client does makes the loop wait. It serves HTTP here, and
//! whatever else a listener speaks through [`serve_with`].

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    app::App,
    gate,
    listen::{Listener, Stream, Via},
    routes,
    watchdog::{Watchdog, Watched},
};
use crate::{metrics::Dropped, pulse::TURN};

/// The longest request head, and the buffer of a connection: twice what browsers and proxies send, and with 1,024
/// connections 16 MiB at the very most. A longer head gets 431, as do more than hyper's 100 headers.
const MAX_HEAD: usize = 16 * 1024;

/// After a failed accept, which is almost always a lack of file descriptors: long enough not to spin, short enough that
/// nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that has connected sends its request within a round trip; one that did so just before the stop is still answered.
const NEWCOMERS: Duration = Duration::from_millis(200);

/// Serves one listener until `stop`; then answers what was asked, with `Connection: close`, and cuts what is left after
/// [`Limits::drain`](super::Limits::drain).
pub async fn serve(listener: Listener, app: Arc<App>, stop: CancellationToken) {
    let router = routes::router(Arc::clone(&app));
    let attend = |stream, via| {
        let client = Client {
            via,
            app: Arc::clone(&app),
            router: router.clone(),
        };
        client.attend(stream, stop.clone())
    };
    serve_with(listener, &app, &stop, attend).await;
}

/// Serves one listener until `stop`, each connection as `attend` does; then gives those that are open
/// [`Limits::drain`](super::Limits::drain) to end.
pub(super) async fn serve_with<F>(
    listener: Listener,
    app: &App,
    stop: &CancellationToken,
    attend: impl Fn(Stream, Via) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    accept_all(&listener, app, stop, attend, &mut connections).await;
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(app.limits.drain, all_ended)
        .await
        .is_err()
    {
        tracing::warn!(connections = connections.len(), "cut while stopping");
    }
    connections.shutdown().await;
}

async fn accept_all<F>(
    listener: &Listener,
    app: &App,
    stop: &CancellationToken,
    attend: impl Fn(Stream, Via) -> F,
    connections: &mut JoinSet<()>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut trouble = Trouble::default();
    let pulse = app.pulses.begin(format!("accepting at {listener}"));
    loop {
        pulse.beat();
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, via)) => {
                    trouble.over(listener);
                    admit(app, || attend(stream, via), connections);
                }
                Err(error) => trouble.pause(listener, &error).await,
            },
            Some(_) = connections.join_next() => {}
            () = tokio::time::sleep(TURN) => {}
        }
    }
}

/// Starts a connection, if one more may be open.
fn admit<F>(app: &App, begin: impl FnOnce() -> F, connections: &mut JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    match Arc::clone(&app.slots).try_acquire_owned() {
        Ok(slot) => {
            let connection = begin();
            connections.spawn(async move {
                connection.await;
                // Given back when the connection ends, however it ends.
                drop(slot);
            });
        }
        Err(_) => app.metrics.connection_dropped(Dropped::OverLimit),
    }
}

/// Whether accepting fails at the moment: said once when it begins and once when it ends.
#[derive(Default)]
struct Trouble {
    begun: bool,
}

impl Trouble {
    async fn pause(&mut self, listener: &Listener, error: &io::Error) {
        if is_of_the_client(error) {
            return;
        }
        if !self.begun {
            tracing::warn!(%listener, %error, "cannot accept connections");
            self.begun = true;
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    fn over(&mut self, listener: &Listener) {
        if self.begun {
            tracing::info!(%listener, "accepting connections again");
            self.begun = false;
        }
    }
}

/// A client that was gone before we took its connection must not make the others wait.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

/// One connection, from accept to close.
struct Client {
    via: Via,
    app: Arc<App>,
    router: Router,
}

impl Client {
    async fn attend(self, stream: Stream, stop: CancellationToken) {
        let watchdog = Watchdog::new(self.app.limits);
        let io = TokioIo::new(Watched::new(stream, watchdog.clone()));
        let answer = service_fn(|request| {
            watchdog.asked();
            let answer = gate::answer(&self.app, &self.router, self.via, request);
            let watchdog = &watchdog;
            async move {
                let response = answer.await;
                Ok::<_, Infallible>(response.map(|body| watchdog.answered(body)))
            }
        });
        let connection = http1::Builder::new()
            // The watchdog's, which tells a slow head from an idle connection.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .serve_connection(io, answer);
        tokio::select! {
            // In this order: the watchdog looks at what the connection has just done.
            biased;
            // How a client's connection breaks is the client's business.
            _ = until_end(connection, &watchdog, stop) => {}
            cause = watchdog.bite() => {
                if let Some(cause) = cause {
                    self.app.metrics.connection_dropped(cause);
                }
            }
        }
    }
}

/// Drives a connection to its end, and asks it to end well once the server stops.
async fn until_end<S, B>(
    connection: http1::Connection<TokioIo<Watched<Stream>>, S>,
    watchdog: &Watchdog,
    stop: CancellationToken,
) -> hyper::Result<()>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => {}
    }
    if watchdog.is_new() {
        // hyper would close a connection from which nothing was read, and lose the request that is on its way.
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = tokio::time::sleep(NEWCOMERS) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
