//! Accepts connections within the limits, and ends them gracefully at a stop.
//!
//! The accept loop is our own, because `axum::serve` limits neither the number of connections nor the time of a head. No client can make the loop
//! wait. The caller chooses the protocol: HTTP ([`connection`](super::connection)) or HAProxy's agent-checks.

use std::{io, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Dropped,
    process::heartbeat::TURN,
    server::{
        net::{
            arrival::Arrival,
            closing::Closing,
            limits::{ConnectionPermit, ListenerId, Purpose},
            listen::{Listener, Stream, Via},
        },
        state::app::App,
    },
};

/// The pause after a failed accept, which is almost always a lack of file descriptors: long enough not to spin, too short to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one listener until `stop`, with `serve_client` for each client. Then open connections get [`Limits::drain`](crate::server::Limits::drain)
/// to end.
pub(super) async fn serve_listener<F>(
    listener: Listener,
    purpose: Purpose,
    app: &App,
    stop: &CancellationToken,
    serve_client: impl Fn(Stream, Via, Arc<Closing>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let closing = Arc::default();
    accept_all(
        &listener,
        purpose,
        app,
        stop,
        |stream, via| serve_client(stream, via, Arc::clone(&closing)),
        &mut connections,
    )
    .await;
    drop(listener);
    closing.begin();
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(app.limits.drain, all_ended)
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "open connections were closed at the end of the grace period"
        );
    }
    connections.shutdown().await;
}

async fn accept_all<F>(
    listener: &Listener,
    purpose: Purpose,
    app: &App,
    stop: &CancellationToken,
    serve_client: impl Fn(Stream, Via) -> F,
    connections: &mut JoinSet<()>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut errors = AcceptErrors::default();
    let id = ListenerId::new(listener, purpose);
    let heartbeat = app.heartbeats.begin(format!("accepting at {listener}"));
    loop {
        heartbeat.beat();
        app.connections.log_ended();
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, via)) => {
                    errors.end(listener);
                    let arrival = arrival(&stream, false);
                    match app.connections.acquire(&id, arrival) {
                        Some(permit) => admit(permit, serve_client(stream, via), connections),
                        None => app.metrics.connection_dropped(Dropped::OverLimit),
                    }
                }
                Err(error) => errors.pause(listener, &error).await,
            },
            Some(_) = connections.join_next() => {}
            () = tokio::time::sleep(TURN) => {}
        }
    }
}

/// Starts a connection that has its permit.
fn admit(
    permit: ConnectionPermit,
    connection: impl Future<Output = ()> + Send + 'static,
    connections: &mut JoinSet<()>,
) {
    connections.spawn(async move {
        connection.await;
        // Freed however the connection ends.
        drop(permit);
    });
}

/// Whether accepting fails now. Logged once when that begins and once when it ends.
#[derive(Default)]
struct AcceptErrors {
    begun: bool,
}

impl AcceptErrors {
    async fn pause(&mut self, listener: &Listener, error: &io::Error) {
        if is_only_the_client_gone(error) {
            return;
        }
        if !self.begun {
            tracing::warn!(%listener, %error, "cannot accept connections");
            self.begun = true;
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    fn end(&mut self, listener: &Listener) {
        if self.begun {
            tracing::info!(%listener, "accepting connections again");
            self.begun = false;
        }
    }
}

/// Whether only the client is gone, which is no reason to pause.
fn is_only_the_client_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

/// How a connection arrived. TLS is used only over TCP.
pub(super) fn arrival(stream: &Stream, tls: bool) -> Arrival {
    match stream {
        Stream::Left(tcp) => Arrival::by_tcp(tcp.peer_addr().ok().map(|peer| peer.ip()), tls),
        Stream::Right(_) => Arrival::UNIX,
    }
}
