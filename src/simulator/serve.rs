//! The simulator over a real socket: HTTP/1.1, one task per connection, everything bounded.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use super::{
    Simulator,
    api::{Outcome, Request},
};
use crate::calltools::Reply;

/// More clients than any integration has. Another one waits in the listener's backlog.
const MAX_CONNECTIONS: usize = 1_024;
/// The timeout for a request's head. It also ends idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause after accepting failed, for example because there were no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that runs, with all its connections, until it is stopped or dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the `base_url` for a config.
    pub fn base_url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    /// Closes the listener and every connection, as a crash would.
    pub async fn stop(mut self) {
        self.task.abort();
        // It ends because we stopped it.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves accounts over HTTP. A request goes to the account whose token it carries, or to the first account if no token matches.
///
/// # Errors
/// The listener no longer knows its address, or there is no account.
pub fn serve(listener: TcpListener, accounts: Vec<Simulator>) -> io::Result<Serving> {
    if accounts.is_empty() {
        return Err(io::Error::other("a simulator needs at least one account"));
    }
    let address = listener.local_addr()?;
    let task = tokio::spawn(accept(listener, accounts.into()));
    Ok(Serving { address, task })
}

async fn accept(listener: TcpListener, accounts: Arc<[Simulator]>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return; // Nobody closes the semaphore.
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Otherwise the last packet of a long list may wait 40 ms for the others to be acknowledged.
                let _ = stream.set_nodelay(true);
                let accounts = Arc::clone(&accounts);
                connections.spawn(async move {
                    connection(stream, accounts).await;
                    drop(slot);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, accounts: Arc<[Simulator]>) {
    let service = service_fn(move |request| {
        let accounts = Arc::clone(&accounts);
        async move { answer(&accounts, request).await }
    });
    // A client that leaves, or is dropped on purpose, is not worth a log line.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
struct Dropped;

async fn answer(
    accounts: &[Simulator],
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Dropped> {
    // A GET needs no body, so none is read.
    let (head, _) = request.into_parts();
    let authorization = head.headers.get(header::AUTHORIZATION);
    let simulator = account(accounts, authorization).ok_or(Dropped)?;
    let half = simulator.draw_half_latency();
    simulator.travel(half).await;
    let outcome = simulator.receive(&Request {
        method: &head.method,
        target: head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str()),
        origin: &origin(&head.headers),
        authorization,
    });
    match outcome {
        Outcome::Answer(reply, later) => {
            simulator.travel(half + later).await;
            Ok(response(reply, simulator.calendar()))
        }
        // Ends when the client gives up and closes the connection.
        Outcome::Hang => std::future::pending().await,
        Outcome::Dropped => Err(Dropped),
    }
}

fn account<'a>(
    accounts: &'a [Simulator],
    authorization: Option<&HeaderValue>,
) -> Option<&'a Simulator> {
    let owner = accounts.iter().find(|account| account.knows(authorization));
    owner.or(accounts.first())
}

/// Returns the origin for links: the host that the client used, as Django does.
fn origin(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}

fn response(reply: Reply, now: SystemTime) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    // From the account's own calendar, like a `Retry-After` with a date; hyper's would disagree with it.
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
