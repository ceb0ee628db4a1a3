//! Serves one HTTP connection: the TLS handshake, its requests, and its end.
//!
//! Each wait for a client has a deadline.

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
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    accept::{arrival, serve_listener},
    access::{self, KnownHost},
    current::{Current, Site},
    fast_path::{self, FastPath, Question},
};
use crate::{
    metrics::Dropped,
    server::{
        http::body::Endless,
        net::{
            arrival::Arrival,
            closing::{Closing, RarelyPolled},
            deadline::within,
            limits::Purpose,
            listen::{Listener, SMALL_SEND_BUFFER, Socket, Stream, Via},
            timeouts::{TimedBody, TimedStream, Timeouts},
            tls::Tls,
            unvectored::Unvectored,
        },
        state::app::App,
    },
};

/// The longest head of a request, and the buffer of a connection: twice what browsers and proxies send. 1,024 connections use at most 16 MiB. A
/// longer head is answered with 431, as is one with more than hyper's limit of 100 headers.
const MAX_HEAD: usize = 16 * 1024;

/// The time in which a client sends its first request: about a round trip. A client that connected just before the stop is still answered.
const NEW_CLIENT_TIME: Duration = Duration::from_millis(200);

/// Serves one listener until `stop`. Then it answers open requests, with `Connection: close`, and cuts the rest after
/// [`Limits::drain`](crate::server::Limits::drain).
pub async fn serve(listener: Listener, current: Arc<Current>, stop: CancellationToken) {
    let fast_path = Arc::<FastPath>::default();
    let name: Arc<str> = listener.to_string().into();
    let serve_client = |stream, via, closing| {
        let tls = current.site().app.tls.clone();
        let connection = Connection {
            listener: Arc::clone(&name),
            via,
            arrival: arrival(&stream, tls.is_some()),
            current: Arc::clone(&current),
            fast_path: Arc::clone(&fast_path),
        };
        match (stream, tls) {
            (Stream::Left(tcp), Some(tls)) => {
                // Boxed, so that it does not make plain connections larger.
                Either::Right(Box::pin(connection.serve_over_tls(tls, tcp, closing)))
            }
            (stream, _) => Either::Left(connection.serve(stream, closing)),
        }
    };
    serve_listener(
        listener,
        Purpose::Requests,
        &current.app(),
        &stop,
        serve_client,
    )
    .await;
}

/// Serves one client of `control.sock`.
pub(crate) async fn serve_control_client(
    stream: UnixStream,
    current: Arc<Current>,
    fast_path: Arc<FastPath>,
    closing: Arc<Closing>,
) {
    let connection = Connection {
        listener: "the control socket".into(),
        via: Via::Control,
        arrival: Arrival::UNIX,
        current,
        fast_path,
    };
    connection.serve(stream, closing).await;
}

/// One connection, from accept to close, with the data that its requests share.
struct Connection {
    /// The address of the listener, for the log.
    listener: Arc<str>,
    via: Via,
    arrival: Arrival,
    current: Arc<Current>,
    fast_path: Arc<FastPath>,
}

impl Connection {
    async fn serve_over_tls(self, tls: Tls, stream: TcpStream, closing: Arc<Closing>) {
        if let Some(stream) = self.handshake(&tls, stream, &closing).await {
            self.serve(stream, closing).await;
        }
    }

    /// Does the TLS handshake, within the time of a head; during a stop, within the time of a new client.
    async fn handshake(
        &self,
        tls: &Tls,
        stream: TcpStream,
        closing: &Closing,
    ) -> Option<TlsStream<Unvectored>> {
        let app = self.current.app();
        let stopped = async {
            closing.begin_token.cancelled().await;
            tokio::time::sleep(NEW_CLIENT_TIME).await;
        };
        let cause = tokio::select! {
            handshake = within(app.limits.head, tls.handshake(stream)) => match handshake {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => handshake_failure(&error)?,
                Err(_) => Dropped::SlowRequest,
            },
            () = stopped => return None,
        };
        app.metrics.connection_dropped(cause);
        None
    }

    async fn serve<S>(self, stream: S, closing: Arc<Closing>)
    where
        S: AsyncRead + AsyncWrite + Socket + Unpin + Send + 'static,
    {
        let app = self.current.app();
        let (listener, arrival) = (Arc::clone(&self.listener), self.arrival);
        let timeouts = Timeouts::new(app.limits);
        let io = TokioIo::new(TimedStream::new(stream, timeouts.clone()));
        let answers = Answers {
            connection: self,
            timeouts: timeouts.clone(),
            known_host: RefCell::default(),
        };
        let connection = http1::Builder::new()
            // Our own timeouts tell a slow head from an idle connection.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            // Answers are small, and one write is cheaper than two.
            .writev(false)
            .serve_connection(io, answers);
        tokio::select! {
            // In this order, since the timeouts follow what the connection has just done.
            biased;
            ended = until_end(connection, &timeouts, closing) => match ended {
                // hyper has answered 400 or 431 without a body.
                Err(error) if error.is_parse() => {
                    app.metrics.connection_dropped(Dropped::BadRequest);
                    app.connections.log_malformed(&listener, arrival, &error.to_string());
                }
                // A broken connection does not matter here.
                _ => {}
            },
            cause = timeouts.expired() => {
                if let Some(cause) = cause {
                    app.metrics.connection_dropped(cause);
                }
            }
        }
    }
}

/// Returns the cause to count, if rustls rejected what the client sent. A client that only disconnected is not counted.
fn handshake_failure(error: &io::Error) -> Option<Dropped> {
    tracing::debug!(%error, "no TLS handshake");
    (error.kind() == io::ErrorKind::InvalidData).then_some(Dropped::TlsFailed)
}

/// Answers the requests of one connection.
struct Answers {
    connection: Connection,
    timeouts: Timeouts,
    known_host: RefCell<KnownHost>,
}

/// An answer of the fast path is complete from the start, so its end need not be tracked.
type AnswerBody = EitherBody<Full<Bytes>, TimedBody>;

type Answer = Result<Response<AnswerBody>, Infallible>;

impl Service<Request<Incoming>> for Answers {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    /// Boxed only if it may wait: hyper moves the future, and nearly all are ready at once.
    type Future = Either<Ready<Answer>, Pin<Box<dyn Future<Output = Answer> + Send>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.timeouts.asked();
        let site = self.connection.current.site();
        match self.answer_fast(&site.app, &request) {
            Some(body) => {
                let response = fast_path::response(EitherBody::Left(Full::new(body)));
                self.timeouts.trust(true);
                self.timeouts.answered_at_once();
                Either::Left(future::ready(Ok(response)))
            }
            None => Either::Right(Box::pin(self.answer_by_router(&site, request))),
        }
    }
}

impl Answers {
    fn answer_fast(&self, app: &Arc<App>, request: &Request<Incoming>) -> Option<Bytes> {
        let Connection { via, fast_path, .. } = &self.connection;
        let answer = || {
            let question = Question::from_request(request)?;
            let admitted = access::admits(
                app,
                question.rule(),
                *via,
                request,
                &mut self.known_host.borrow_mut(),
            );
            admitted.then(|| fast_path.answer(app, question)).flatten()
        };
        // As in access, a panic is logged and affects only its own client. The router turns it into an answer.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_default()
    }

    fn answer_by_router(
        &self,
        site: &Site,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let via = self.connection.via;
        let router = site.router(via).clone();
        let timeouts = self.timeouts.clone();
        request.extensions_mut().insert(self.connection.arrival);
        async move {
            let response = access::answer(&router, via, request).await;
            timeouts.trust(!is_refusal(response.status()));
            if is_stream(&response)
                || response.body().size_hint().lower() > SMALL_SEND_BUFFER as u64
            {
                timeouts.shrink_send_buffer();
            }
            Ok(response.map(|body| EitherBody::Right(timeouts.answered(body))))
        }
    }
}

fn is_stream<B>(response: &Response<B>) -> bool {
    response.extensions().get::<Endless>().is_some()
}

/// Whether the client was not allowed to send the request. Its connection is not kept for long.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST
    )
}

/// Drives a connection to its end. Once the server stops, the connection ends gracefully.
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
    let stopping = pin!(closing.begin_token.cancelled());
    let mut stopping = RarelyPolled::new(stopping);
    let ended = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => stopping.poll(cx, closing.has_begun()).map(|()| None),
    });
    if let Some(ended) = ended.await {
        return ended;
    }
    if timeouts.is_new() {
        // hyper would close a connection from which nothing was read, and lose a request in transit.
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = tokio::time::sleep(NEW_CLIENT_TIME) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
