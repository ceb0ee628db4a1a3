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
        atomic::{AtomicU8, Ordering},
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

use super::{app::Limits, closing::Seldom};
use crate::metrics::Dropped;

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

    /// How long it may last; `None`: no hurry.
    fn lasts(self, limits: &Limits) -> Option<Duration> {
        match self {
            Phase::New | Phase::Head => Some(limits.head),
            Phase::Answering | Phase::Between => None,
            Phase::Taking | Phase::Whole => Some(limits.write),
            Phase::Idle => Some(limits.idle),
        }
    }

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
struct Watch(AtomicU8);

/// Beside the phase's number.
const ANEW: u8 = 0x80;

impl Watch {
    fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.0.load(Ordering::Relaxed) & !ANEW)]
    }

    /// The phase begins, and its time.
    fn begin(&self, phase: Phase) {
        self.0.store(phase as u8 | ANEW, Ordering::Relaxed);
    }

    /// The phase begins in the time of the last one.
    fn turn_into(&self, phase: Phase) {
        let anew = self.0.load(Ordering::Relaxed) & ANEW;
        self.0.store(phase as u8 | anew, Ordering::Relaxed);
    }

    /// Whether its time has begun anew; asked again, it has not.
    fn take_anew(&self) -> bool {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now & !ANEW, Ordering::Relaxed);
        now & ANEW != 0
    }
}

/// The deadline of one connection. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    limits: Limits,
    watch: Arc<Watch>,
}

impl Watchdog {
    /// For a connection that was just accepted: its first head is due.
    pub(super) fn new(limits: Limits) -> Self {
        let watch = Watch(AtomicU8::new(Phase::New as u8 | ANEW));
        Self {
            limits,
            watch: Arc::new(watch),
        }
    }

    /// A whole head has come.
    pub(super) fn asked(&self) {
        self.watch.begin(Phase::Answering);
    }

    /// The answer is there whole.
    pub(super) fn answered_whole(&self) {
        self.watch.begin(Phase::Whole);
    }

    /// Whether its first request has yet to come.
    pub(super) fn is_new(&self) -> bool {
        self.watch.phase() == Phase::New
    }

    /// The answer begins.
    pub(super) fn answered(&self, body: Body) -> WatchedBody {
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
    pub(super) async fn bite(&self) -> Option<Dropped> {
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
            leash.begin(phase, &self.limits);
        }
        loop {
            let due = leash.timer.get().is_elapsed();
            ready!(leash.timer.poll(cx, due));
            let now = Instant::now();
            match leash.until {
                Until::Then(until) if until <= now => return Poll::Ready(phase.blame()),
                Until::Then(until) => leash.reset(until, false),
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
    fn begin(&mut self, phase: Phase, limits: &Limits) {
        self.until = match phase.lasts(limits) {
            Some(_) if phase == Phase::Idle && self.is_short => Until::IdleFromNextLook,
            Some(_) if phase == Phase::Idle => {
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
pub(super) struct Watched<S> {
    stream: S,
    watchdog: Watchdog,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watchdog: Watchdog) -> Self {
        Self { stream, watchdog }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watchdog.bytes_go();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watchdog.bytes_go();
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
pub(super) struct WatchedBody {
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
