//! Times out clients that dawdle.
//!
//! A connection is always in one of four phases, and all but one of them have a deadline: reading a head, answering (handlers
//! bound themselves), waiting for the client to take the answer, idle. hyper's own timer knows only the first, and uses
//! it for idle connections too, which would close a router's connection after 5 s.
//!
//! The phases are seen from three places: [`Watched`] sees bytes come and go, the service sees requests, and [`WatchedBody`]
//! sees the end of an answer. All of them run in the connection's own task, as does [`Watchdog::bite`], so a changed
//! deadline needs no waking: `bite` is polled after whatever changed it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::app::Limits;
use crate::metrics::Dropped;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request's head is on its way.
    Head,
    /// A handler works.
    Answering,
    /// The client takes the answer; `whole` once all of it has been handed over to be written.
    Taking { whole: bool },
    /// Everything asked was answered.
    Idle,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    phase: Phase,
    /// `None`: no hurry.
    until: Option<Instant>,
    /// Nothing was asked yet.
    new: bool,
}

/// The deadline of one connection. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    limits: Limits,
    watch: Arc<Mutex<Watch>>,
}

impl Watchdog {
    /// For a connection that was just accepted: its first head is due.
    pub(super) fn new(limits: Limits) -> Self {
        let watch = Watch {
            phase: Phase::Head,
            until: Some(Instant::now() + limits.head),
            new: true,
        };
        Self {
            limits,
            watch: Arc::new(Mutex::new(watch)),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Watch)) {
        // A watch is two plain values: whoever panicked while holding it left nothing half done.
        change(&mut self.watch.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> Watch {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole head has come.
    pub(super) fn asked(&self) {
        self.change(|watch| {
            watch.phase = Phase::Answering;
            watch.until = None;
            watch.new = false;
        });
    }

    /// Whether its first request has yet to come.
    pub(super) fn is_new(&self) -> bool {
        self.now().new
    }

    /// The answer begins.
    pub(super) fn answered(&self, body: Body) -> WatchedBody {
        self.change(|watch| {
            watch.phase = Phase::Taking { whole: false };
            watch.until = Some(Instant::now() + self.limits.write);
        });
        WatchedBody {
            body,
            watchdog: self.clone(),
        }
    }

    fn handed_over(&self) {
        self.change(|watch| {
            if let Phase::Taking { whole } = &mut watch.phase {
                *whole = true;
            }
        });
    }

    fn bytes_came(&self) {
        self.change(|watch| {
            if watch.phase == Phase::Idle {
                watch.phase = Phase::Head;
                watch.until = Some(Instant::now() + self.limits.head);
            }
        });
    }

    fn bytes_go(&self) {
        self.change(|watch| {
            if matches!(watch.phase, Phase::Taking { .. }) && watch.until.is_none() {
                watch.until = Some(Instant::now() + self.limits.write);
            }
        });
    }

    /// The client's side has taken all that was written so far.
    fn flushed(&self) {
        self.change(|watch| match watch.phase {
            Phase::Taking { whole: true } => {
                watch.phase = Phase::Idle;
                watch.until = Some(Instant::now() + self.limits.idle);
            }
            // An answer that goes on, such as a stream of events: the next piece gets its own time.
            Phase::Taking { whole: false } => watch.until = None,
            Phase::Head | Phase::Answering | Phase::Idle => {}
        });
    }

    /// Ends when a deadline has passed: with what the client is to blame for, or `None` if it was merely idle.
    pub(super) async fn bite(&self) -> Option<Dropped> {
        let mut timer = std::pin::pin!(sleep_until(Instant::now() + self.limits.head));
        std::future::poll_fn(|cx| self.poll_bite(cx, timer.as_mut())).await
    }

    fn poll_bite(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Option<Dropped>> {
        loop {
            let watch = self.now();
            // Most requests only push the deadline further away; the timer is not touched for them until it fires.
            if let Some(until) = watch.until
                && until < timer.deadline()
            {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            match watch.until {
                Some(until) if until <= now => return Poll::Ready(watch.phase.blame()),
                Some(until) => timer.as_mut().reset(until),
                // No deadline: the shortest one that can come is a head's.
                None => timer.as_mut().reset(now + self.limits.head),
            }
        }
    }
}

impl Phase {
    fn blame(self) -> Option<Dropped> {
        match self {
            Phase::Head => Some(Dropped::SlowRequest),
            Phase::Answering | Phase::Taking { .. } => Some(Dropped::SlowReader),
            Phase::Idle => None,
        }
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

/// An answer's body; hyper drops it once it has taken the last piece.
#[derive(Debug)]
pub(super) struct WatchedBody {
    body: Body,
    watchdog: Watchdog,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.watchdog.handed_over();
    }
}
