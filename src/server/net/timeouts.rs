//! Times out clients that dawdle.
//!
//! A connection is always in one of four phases, and all but one of them have a deadline: reading a head, answering (handlers
//! bound themselves), waiting for the client to take the answer, idle. hyper's own timer knows only the first, and uses
//! it for idle connections too, which would close a router's connection after 5 s.
//!
//! The phases are seen from three places: [`Watched`] sees bytes come and go, the service sees requests, and [`WatchedBody`]
//! sees the end of an answer. All of them run in the connection's own task, as does [`Watchdog::bite`], so a changed
//! phase needs no waking: `bite` is polled after whatever changed it. It alone reads the clock, once however many phases a request
//! went through meanwhile.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{closing::Seldom, deadline::last_look, listen::Socket};
use crate::{metrics::Dropped, server::state::app::Limits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// The first request's head is on its way.
    New,
    /// A request's head is on its way.
    Head,
    /// A handler works.
    Answering,
    /// The client takes the answer, which goes on.
    Taking,
    /// The client has taken all that there is of an answer that goes on, such as a stream of events.
    Between,
    /// The client takes the answer, all of which has been handed over to be written.
    Whole,
    /// Everything asked was answered.
    Idle,
}

impl Phase {
    const ALL: [Phase; 7] = [
        Phase::New,
        Phase::Head,
        Phase::Answering,
        Phase::Taking,
        Phase::Between,
        Phase::Whole,
        Phase::Idle,
    ];

    fn blame(self) -> Option<Dropped> {
        match self {
            Phase::New | Phase::Head => Some(Dropped::SlowRequest),
            Phase::Answering | Phase::Taking | Phase::Between | Phase::Whole => {
                Some(Dropped::SlowReader)
            }
            Phase::Idle => None,
        }
    }
}

/// What a connection does at the moment, and whether its time has begun anew since `bite` last looked. One task reads and writes it, so
/// the atomic is there for the compiler: it orders nothing and costs nothing.
#[derive(Debug)]
struct Watch {
    phase: AtomicU8,
    /// The client has shown no right to ask what it asked last.
    is_stranger: AtomicBool,
    /// The kernel shall keep little for the client from now on.
    keep_little: AtomicBool,
}

/// Beside the phase's number.
const ANEW: u8 = 0x80;

impl Watch {
    fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::New as u8 | ANEW),
            is_stranger: AtomicBool::default(),
            keep_little: AtomicBool::default(),
        }
    }

    fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed) & !ANEW)]
    }

    /// The phase begins, and its time.
    fn begin(&self, phase: Phase) {
        self.phase.store(phase as u8 | ANEW, Ordering::Relaxed);
    }

    /// The phase begins in the time of the last one.
    fn turn_into(&self, phase: Phase) {
        let anew = self.phase.load(Ordering::Relaxed) & ANEW;
        self.phase.store(phase as u8 | anew, Ordering::Relaxed);
    }

    /// Whether its time has begun anew; asked again, it has not.
    fn take_anew(&self) -> bool {
        let now = self.phase.load(Ordering::Relaxed);
        self.phase.store(now & !ANEW, Ordering::Relaxed);
        now & ANEW != 0
    }
}

/// The deadline of one connection. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Watchdog {
    limits: Limits,
    watch: Arc<Watch>,
}

impl Watchdog {
    /// For a connection that was just accepted: its first head is due.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            watch: Arc::new(Watch::new()),
        }
    }

    /// A whole head has come.
    pub fn asked(&self) {
        self.watch.begin(Phase::Answering);
    }

    /// The answer is there whole.
    pub fn answered_whole(&self) {
        self.watch.begin(Phase::Whole);
    }

    /// Whether the client may ask what it has asked. One that may not does not keep its connection for long.
    pub fn trust(&self, may_ask: bool) {
        self.watch.is_stranger.store(!may_ask, Ordering::Relaxed);
    }

    /// What follows is a stream or long, and the kernel shall not keep much of it for a client that does not read it.
    pub fn keep_little(&self) {
        self.watch.keep_little.store(true, Ordering::Relaxed);
    }

    /// How long this phase may last; `None`: no hurry.
    fn lasts(&self, phase: Phase) -> Option<Duration> {
        let is_stranger = self.watch.is_stranger.load(Ordering::Relaxed);
        match phase {
            Phase::New | Phase::Head => Some(self.limits.head),
            Phase::Answering | Phase::Between => None,
            Phase::Taking | Phase::Whole => Some(self.limits.write),
            Phase::Idle if is_stranger => Some(self.limits.head.min(self.limits.idle)),
            Phase::Idle => Some(self.limits.idle),
        }
    }

    /// Whether its first request has yet to come.
    pub fn is_new(&self) -> bool {
        self.watch.phase() == Phase::New
    }

    /// The answer begins.
    pub fn answered(&self, body: Body) -> WatchedBody {
        self.watch.begin(Phase::Taking);
        WatchedBody {
            body,
            rest: Bytes::new(),
            watchdog: self.clone(),
        }
    }

    fn handed_over(&self) {
        match self.watch.phase() {
            Phase::Taking => self.watch.turn_into(Phase::Whole),
            Phase::Between => self.watch.begin(Phase::Whole),
            Phase::New | Phase::Head | Phase::Answering | Phase::Whole | Phase::Idle => {}
        }
    }

    fn bytes_came(&self) {
        if self.watch.phase() == Phase::Idle {
            self.watch.begin(Phase::Head);
        }
    }

    fn bytes_go(&self) {
        match self.watch.phase() {
            // The next piece gets its own time.
            Phase::Between => self.watch.begin(Phase::Taking),
            // Of several answers at once, the last had to wait for room.
            Phase::Idle => self.watch.begin(Phase::Whole),
            Phase::New | Phase::Head | Phase::Answering | Phase::Taking | Phase::Whole => {}
        }
    }

    /// The client's side has taken all that was written so far.
    fn flushed(&self) {
        match self.watch.phase() {
            Phase::Whole => self.watch.begin(Phase::Idle),
            Phase::Taking => self.watch.begin(Phase::Between),
            Phase::New | Phase::Head | Phase::Answering | Phase::Between | Phase::Idle => {}
        }
    }

    /// Ends when a deadline has passed: with what the client is to blame for, or `None` if it was merely idle.
    pub async fn bite(&self) -> Option<Dropped> {
        let timer = std::pin::pin!(sleep_until(Instant::now() + self.limits.head));
        let mut leash = Leash {
            timer: Seldom::new(timer),
            until: Until::NoHurry,
            is_short: true,
        };
        std::future::poll_fn(|cx| self.poll_bite(cx, &mut leash)).await
    }

    fn poll_bite(&self, cx: &mut Context<'_>, leash: &mut Leash<'_>) -> Poll<Option<Dropped>> {
        let phase = self.watch.phase();
        if self.watch.take_anew() {
            leash.begin(phase, self.lasts(phase), &self.limits);
        }
        loop {
            let due = leash.timer.get().is_elapsed();
            ready!(leash.timer.poll(cx, due));
            let now = Instant::now();
            match leash.until {
                Until::LastLook(until) if until <= now => return Poll::Ready(phase.blame()),
                Until::Then(until) if until <= now => {
                    let limit = self.lasts(phase).unwrap_or_default();
                    let until = now + last_look(now - until, limit);
                    leash.until = Until::LastLook(until);
                    leash.reset(until, true);
                }
                Until::Then(until) | Until::LastLook(until) => leash.reset(until, false),
                Until::IdleFromNextLook => {
                    let until = now + self.limits.idle;
                    leash.until = Until::Then(until);
                    leash.reset(until, false);
                }
                // The shortest deadline that can come is a head's.
                Until::NoHurry => leash.reset(now + self.limits.head, true),
            }
        }
    }
}

/// When a connection's time is up.
#[derive(Clone, Copy, Debug)]
enum Until {
    Then(Instant),
    /// It was up already, but the process may have stood still.
    LastLook(Instant),
    /// Of one that is asked all the time: its time to idle counts from when the timer fires next, a little later than it began, so that
    /// the clock is not read for each of its requests.
    IdleFromNextLook,
    NoHurry,
}

/// The timer of one connection. Most requests only push the deadline further away; it is not touched for them until it fires.
#[derive(Debug)]
struct Leash<'t> {
    timer: Seldom<Pin<&'t mut Sleep>>,
    until: Until,
    /// Whether it fires within the time of a head or of an answer.
    is_short: bool,
}

impl Leash<'_> {
    fn begin(&mut self, phase: Phase, lasts: Option<Duration>, limits: &Limits) {
        let is_idle = phase == Phase::Idle && lasts == Some(limits.idle);
        self.until = match lasts {
            Some(_) if is_idle && self.is_short => Until::IdleFromNextLook,
            Some(_) if is_idle => {
                self.reset(Instant::now() + limits.head, true);
                Until::IdleFromNextLook
            }
            Some(lasts) => {
                let until = Instant::now() + lasts;
                if until < self.timer.get().deadline() {
                    self.reset(until, true);
                }
                Until::Then(until)
            }
            None => Until::NoHurry,
        };
    }

    fn reset(&mut self, deadline: Instant, is_short: bool) {
        self.timer.change().as_mut().reset(deadline);
        self.is_short = is_short;
    }
}

/// A stream whose traffic the watchdog hears.
#[derive(Debug)]
pub struct Watched<S: Socket> {
    stream: S,
    watchdog: Watchdog,
}

impl<S: Socket> Watched<S> {
    pub fn new(stream: S, watchdog: Watchdog) -> Self {
        Self { stream, watchdog }
    }
}

impl<S: AsyncRead + Socket + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.watchdog.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> Watched<S> {
    fn bytes_go(&self) {
        self.watchdog.bytes_go();
        let keep_little = &self.watchdog.watch.keep_little;
        if keep_little.load(Ordering::Relaxed) {
            keep_little.store(false, Ordering::Relaxed);
            self.stream.keep_little();
        }
    }
}

/// hyper flushes before it ends a connection well, so one that ends without is cut, and what its client has not taken is of no use to it.
impl<S: Socket> Drop for Watched<S> {
    fn drop(&mut self) {
        if matches!(self.watchdog.watch.phase(), Phase::Taking | Phase::Whole) {
            self.stream.forget_on_close();
        }
    }
}

impl<S: AsyncWrite + Socket + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.bytes_go();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.bytes_go();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when, and only when, it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.watchdog.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The most that is handed over at once. hyper copies what it is given, to write head and body in one piece.
const PIECE: usize = 16 * 1024;

/// An answer's body; hyper drops it once it has taken the last piece.
#[derive(Debug)]
pub struct WatchedBody {
    body: Body,
    /// Of a frame that was more than a piece.
    rest: Bytes,
    watchdog: Watchdog,
}

impl WatchedBody {
    /// Cuts off what is too much for one piece.
    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = data.split_off(data.len().min(PIECE));
        Frame::data(data)
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => self.piece(data),
                Err(trailers) => trailers,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest + of_body.lower());
        if let Some(upper) = of_body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.watchdog.handed_over();
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::{advance, timeout},
    };

    use super::*;

    /// Polls once.
    async fn is_pending(work: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *work).poll(cx).is_pending())).await
    }

    /// The process goes on after a pause, and `then` is what it reads.
    async fn after_a_pause(begin: impl Fn(&Watchdog), then: impl Fn(&Watchdog)) -> bool {
        let watchdog = Watchdog::new(Limits::with_connections(1));
        begin(&watchdog);
        let mut bite = Box::pin(watchdog.bite());
        assert!(is_pending(&mut bite).await);
        advance(Duration::from_secs(3_600)).await;
        let bitten = !is_pending(&mut bite).await;
        then(&watchdog);
        !bitten && is_pending(&mut bite).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_during_a_pause_is_read_before_a_connection_is_cut() {
        let idle = |watchdog: &Watchdog| {
            watchdog.asked();
            watchdog.answered_whole();
            watchdog.flushed();
        };
        let asked = |watchdog: &Watchdog| {
            watchdog.bytes_came();
            watchdog.asked();
        };
        assert!(after_a_pause(|_| {}, asked).await, "a head");
        assert!(after_a_pause(idle, asked).await, "an idle one");
        let begun = |watchdog: &Watchdog| {
            idle(watchdog);
            watchdog.bytes_came();
        };
        assert!(after_a_pause(begun, asked).await, "a later head");
        let taking = |watchdog: &Watchdog| {
            watchdog.asked();
            watchdog.answered_whole();
        };
        assert!(after_a_pause(taking, Watchdog::flushed).await, "a reader");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_is_cut_in_time_whether_there_was_a_pause_or_not() {
        let limits = Limits::with_connections(1);
        let soon = limits.head + Duration::from_secs(1);
        let watchdog = Watchdog::new(limits);
        let cut = timeout(soon, watchdog.bite()).await;
        assert_eq!(cut, Ok(Some(Dropped::SlowRequest)));
        let watchdog = Watchdog::new(limits);
        let mut bite = Box::pin(watchdog.bite());
        assert!(is_pending(&mut bite).await);
        advance(Duration::from_secs(3_600)).await;
        assert!(is_pending(&mut bite).await);
        assert_eq!(timeout(soon, bite).await, Ok(Some(Dropped::SlowRequest)));
    }

    /// Both ends of a connection, ours watched.
    async fn connection() -> (Watched<TcpStream>, TcpStream, Watchdog) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let theirs = TcpStream::connect(address).await.expect("it listens");
        let (ours, _) = listener.accept().await.expect("somebody connects");
        let watchdog = Watchdog::new(Limits::with_connections(1));
        (Watched::new(ours, watchdog.clone()), theirs, watchdog)
    }

    /// How much is written to a client that reads nothing.
    async fn written_unread(watched: &mut Watched<TcpStream>) -> usize {
        let (piece, mut written) = ([0; PIECE], 0);
        let long = Duration::from_millis(500);
        while let Ok(Ok(length)) = timeout(long, watched.write(&piece)).await {
            written += length;
        }
        written
    }

    #[tokio::test]
    async fn the_kernel_keeps_little_for_a_stream_that_nobody_reads() {
        let (mut watched, theirs, watchdog) = connection().await;
        let theirs_holds = rustix::net::sockopt::socket_recv_buffer_size(&theirs);
        let theirs_holds = theirs_holds.expect("the system knows");
        watchdog.keep_little();
        let written = written_unread(&mut watched).await;
        let ours_holds = rustix::net::sockopt::socket_send_buffer_size(watched.stream.socket());
        let ours_holds = ours_holds.expect("the system knows");
        assert!(ours_holds <= 128 * 1024, "{ours_holds}");
        assert!(written <= 2 * (theirs_holds + ours_holds), "{written}");
    }

    #[tokio::test]
    async fn who_is_cut_with_something_unread_is_reset_and_who_has_taken_all_is_not() {
        for is_cut in [true, false] {
            let (mut watched, mut theirs, watchdog) = connection().await;
            watchdog.asked();
            watchdog.answered_whole();
            watched.write_all(b"an answer").await.expect("it is open");
            if !is_cut {
                watched.flush().await.expect("it is open");
            }
            drop(watched);
            let mut rest = Vec::new();
            let end = theirs.read_to_end(&mut rest).await;
            let end = end.map_err(|error| error.kind());
            let expected = match is_cut {
                true => Err(io::ErrorKind::ConnectionReset),
                false => Ok(9),
            };
            assert_eq!(end, expected);
        }
    }
}
