//! Accepts connections within the limits, serves them, and ends them in good order.
//!
//! The accept loop is our own, because `axum::serve` limits neither the number of connections nor the time of a head. Each wait for a client has a
//! deadline, and no client can make the loop wait. [`serve_with`] serves other protocols than HTTP.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{self, Ready, poll_fn},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use http_body_util::{Either as EitherBody, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::{HttpService, Service},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    access::{self, Greeted},
    current::{Current, Site},
    fast_path::{self, Lane},
};
use crate::{
    metrics::Dropped,
    process::heartbeat::TURN,
    server::{
        http::body::Endless,
        net::{
            arrival::Arrival,
            closing::{Closing, RarelyPolled},
            deadline::within,
            limits::{ConnectionPermit, ListenerId, Purpose},
            listen::{LITTLE, Listener, Socket, Stream, Via},
            timeouts::{TimedBody, TimedStream, Timeouts},
            tls::Tls,
        },
        routes::DECISION_RULE,
        state::app::App,
    },
};

/// The longest head of a request, and the buffer of a connection: twice what browsers and proxies send. 1,024 connections take 16 MiB at most.
/// A longer head gets 431, and so do more than hyper's limit of 100 headers.
const MAX_HEAD: usize = 16 * 1024;

/// The pause after a failed accept, which is almost always a lack of file descriptors: long enough not to spin, too short to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client sends its request within a round trip. One that has connected just before the stop is still answered.
const NEWCOMERS: Duration = Duration::from_millis(200);

/// Serves one listener until `stop`. Then it answers open requests, with `Connection: close`, and cuts what is left after
/// [`Limits::drain`](crate::server::Limits::drain).
pub async fn serve(listener: Listener, current: Arc<Current>, stop: CancellationToken) {
    let lane = Arc::<Lane>::default();
    let attend = |stream, via, closing| {
        let tls = current.site().app.tls.clone();
        let client = Client {
            via,
            arrival: arrival(&stream, tls.is_some()),
            current: Arc::clone(&current),
            lane: Arc::clone(&lane),
        };
        match (stream, tls) {
            (Stream::Left(tcp), Some(tls)) => {
                // Boxed, so that it does not make plain connections larger.
                Either::Right(Box::pin(client.attend_by_tls(tls, tcp, closing)))
            }
            (stream, _) => Either::Left(client.attend(stream, closing)),
        }
    };
    serve_with(listener, Purpose::Requests, &current.app(), &stop, attend).await;
}

/// Serves one client of `control.sock`.
pub(crate) async fn serve_control_client(
    stream: UnixStream,
    current: Arc<Current>,
    lane: Arc<Lane>,
    closing: Arc<Closing>,
) {
    let client = Client {
        via: Via::Control,
        arrival: Arrival::UNIX,
        current,
        lane,
    };
    client.attend(stream, closing).await;
}

/// Serves one listener until `stop`, each connection by `attend`. Then open connections get [`Limits::drain`](crate::server::Limits::drain) to end.
pub(crate) async fn serve_with<F>(
    listener: Listener,
    purpose: Purpose,
    app: &App,
    stop: &CancellationToken,
    attend: impl Fn(Stream, Via, Arc<Closing>) -> F,
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
        |stream, via| attend(stream, via, Arc::clone(&closing)),
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
        tracing::warn!(connections = connections.len(), "cut while stopping");
    }
    connections.shutdown().await;
}

async fn accept_all<F>(
    listener: &Listener,
    purpose: Purpose,
    app: &App,
    stop: &CancellationToken,
    attend: impl Fn(Stream, Via) -> F,
    connections: &mut JoinSet<()>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut trouble = Trouble::default();
    let id = ListenerId::new(listener, purpose);
    let heartbeat = app.heartbeats.begin(format!("accepting at {listener}"));
    loop {
        heartbeat.beat();
        app.connections.log_ended();
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, via)) => {
                    trouble.over(listener);
                    let arrival = arrival(&stream, false);
                    match app.connections.acquire(&id, arrival) {
                        Some(permit) => admit(permit, attend(stream, via), connections),
                        None => app.metrics.connection_dropped(Dropped::OverLimit),
                    }
                }
                Err(error) => trouble.pause(listener, &error).await,
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
        // Freed when the connection ends, however it ends.
        drop(permit);
    });
}

/// Whether accepting fails now. The log says so once when that begins and once when it ends.
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

/// Whether only the client has gone, which is no reason to pause.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

/// How a connection arrived. TLS is only used over TCP.
fn arrival(stream: &Stream, tls: bool) -> Arrival {
    match stream {
        Stream::Left(tcp) => Arrival::by_tcp(tcp.peer_addr().ok().map(|peer| peer.ip()), tls),
        Stream::Right(_) => Arrival::UNIX,
    }
}

/// One connection, from accept to close.
struct Client {
    via: Via,
    arrival: Arrival,
    current: Arc<Current>,
    lane: Arc<Lane>,
}

impl Client {
    async fn attend_by_tls(self, tls: Tls, stream: TcpStream, closing: Arc<Closing>) {
        if let Some(stream) = self.greet(&tls, stream, &closing).await {
            self.attend(stream, closing).await;
        }
    }

    /// The TLS handshake, which may take as long as a head; during a stop, as long as a new client gets.
    async fn greet(
        &self,
        tls: &Tls,
        stream: TcpStream,
        closing: &Closing,
    ) -> Option<TlsStream<TcpStream>> {
        let app = self.current.app();
        let stopped = async {
            closing.told.cancelled().await;
            tokio::time::sleep(NEWCOMERS).await;
        };
        let cause = tokio::select! {
            greeted = within(app.limits.head, tls.greet(stream)) => match greeted {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => refused(&error)?,
                Err(_) => Dropped::SlowRequest,
            },
            () = stopped => return None,
        };
        app.metrics.connection_dropped(cause);
        None
    }

    async fn attend<S>(self, stream: S, closing: Arc<Closing>)
    where
        S: AsyncRead + AsyncWrite + Socket + Unpin + Send + 'static,
    {
        let app = self.current.app();
        let timeouts = Timeouts::new(app.limits);
        let io = TokioIo::new(TimedStream::new(stream, timeouts.clone()));
        let answers = Answers {
            client: self,
            timeouts: timeouts.clone(),
            greeted: RefCell::default(),
        };
        let connection = http1::Builder::new()
            // Our own time-outs tell a slow head from an idle connection.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            // Answers are small, and one write is cheaper than two.
            .writev(false)
            .serve_connection(io, answers);
        tokio::select! {
            // In this order: the time-outs follow what the connection has just done.
            biased;
            // A broken connection is of no interest here.
            _ = until_end(connection, &timeouts, closing) => {}
            cause = timeouts.expired() => {
                if let Some(cause) = cause {
                    app.metrics.connection_dropped(cause);
                }
            }
        }
    }
}

/// Whether rustls refused what the client sent. Then the error wraps one of its own; a client that only went away has another.
fn refused(error: &io::Error) -> Option<Dropped> {
    tracing::debug!(%error, "no TLS handshake");
    (error.kind() == io::ErrorKind::InvalidData).then_some(Dropped::TlsFailed)
}

/// Answers the requests of one connection.
struct Answers {
    client: Client,
    timeouts: Timeouts,
    greeted: RefCell<Greeted>,
}

/// An answer of the fast path is whole from the start, so its end need not be followed.
type AnswerBody = EitherBody<Full<Bytes>, TimedBody>;

type Answer = Result<Response<AnswerBody>, Infallible>;

impl Service<Request<Incoming>> for Answers {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    /// Boxed if it may wait: hyper moves the future, and nearly all are ready at once.
    type Future = Either<Ready<Answer>, Pin<Box<dyn Future<Output = Answer> + Send>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.timeouts.asked();
        let site = self.client.current.site();
        match self.express(&site.app, &request) {
            Some(body) => {
                let response = fast_path::response(request, body).map(EitherBody::Left);
                self.timeouts.trust(true);
                self.timeouts.answered_at_once();
                Either::Left(future::ready(Ok(response)))
            }
            None => Either::Right(Box::pin(self.routed(&site, request))),
        }
    }
}

impl Answers {
    fn express(&self, app: &Arc<App>, request: &Request<Incoming>) -> Option<Bytes> {
        let Client { via, lane, .. } = &self.client;
        let answer = || {
            let asked = fast_path::asked(request)?;
            let admitted = access::admits(
                app,
                *DECISION_RULE,
                *via,
                request,
                &mut self.greeted.borrow_mut(),
            );
            admitted.then(|| lane.answer(app, asked)).flatten()
        };
        // As in access: a panic is logged, and only its own client is affected. The router turns it into an answer.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_default()
    }

    fn routed(
        &self,
        site: &Site,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let via = self.client.via;
        let router = site.router(via).clone();
        let timeouts = self.timeouts.clone();
        request.extensions_mut().insert(self.client.arrival);
        async move {
            let response = access::answer(&router, via, request).await;
            timeouts.trust(!is_of_a_stranger(response.status()));
            if is_stream(&response) || response.body().size_hint().lower() > LITTLE as u64 {
                timeouts.keep_little();
            }
            Ok(response.map(|body| EitherBody::Right(timeouts.answered(body))))
        }
    }
}

fn is_stream<B>(response: &Response<B>) -> bool {
    response.extensions().get::<Endless>().is_some()
}

/// Whether the client may not ask. Its connection is not kept for long.
fn is_of_a_stranger(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST
    )
}

/// Drives a connection to its end. Once the server stops, the connection ends in good order.
async fn until_end<I, S, B>(
    connection: http1::Connection<TokioIo<TimedStream<I>>, S>,
    timeouts: &Timeouts,
    closing: Arc<Closing>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Socket + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let told = pin!(closing.told.cancelled());
    let mut told = RarelyPolled::new(told);
    let ended = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => told.poll(cx, closing.has_begun()).map(|()| None),
    });
    if let Some(ended) = ended.await {
        return ended;
    }
    if timeouts.is_new() {
        // hyper would close a connection from which nothing was read, and lose a request on its way.
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = tokio::time::sleep(NEWCOMERS) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
