//! Times out slow clients.
//!
//! A connection is always in one [`Phase`]: it reads a head, answers (handlers have their own limits), waits for the client to read the answer, or
//! is idle. Most phases have a deadline. hyper's own timer covers only the first phase, and applies to idle connections too, so it would close a
//! router's connection after 5 s.
//!
//! [`TimedStream`] sees bytes come and go, the service sees requests, and [`TimedBody`] sees the end of an answer. All of them run in the
//! connection's task, and so does [`Timeouts::expired`], which is polled after them, so a change of phase wakes nobody. Only `expired` reads the
//! clock, once for all phases of a request.

mod body;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

pub use self::{body::TimedBody, stream::TimedStream};
use super::{closing::RarelyPolled, deadline::last_look};
use crate::{metrics::Dropped, server::limits::Limits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Waits for the head of the first request.
    New,
    /// Waits for the rest of a head.
    Head,
    /// A handler is working.
    Answering,
    /// Waits for the client to read a part of the answer; more will follow.
    Taking,
    /// The client has read all parts so far of an unfinished answer, such as a stream of events.
    Between,
    /// Waits for the client to read the rest of the answer, all of which hyper has.
    Flushing,
    /// All requests are answered.
    Idle,
}

impl Phase {
    const ALL: [Phase; 7] = [
        Phase::New,
        Phase::Head,
        Phase::Answering,
        Phase::Taking,
        Phase::Between,
        Phase::Flushing,
        Phase::Idle,
    ];

    /// The cause to report if this phase expires; `None` for an idle connection, which may be closed.
    fn cause(self) -> Option<Dropped> {
        match self {
            Phase::New | Phase::Head => Some(Dropped::SlowRequest),
            Phase::Answering | Phase::Taking | Phase::Between | Phase::Flushing => {
                Some(Dropped::SlowReader)
            }
            Phase::Idle => None,
        }
    }
}

/// The phase of a connection, and whether its time has restarted since `expired` last looked. Only one task reads and writes it, so relaxed atomics
/// are enough and cost nothing.
#[derive(Debug)]
struct State {
    phase: AtomicU8,
    /// The last request was not allowed.
    is_stranger: AtomicBool,
    /// The send buffer should shrink at the next write.
    shrink_send_buffer: AtomicBool,
}

/// The bit of `phase` that says that its time has restarted.
const RESTARTED: u8 = 0x80;

impl State {
    fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::New as u8 | RESTARTED),
            is_stranger: AtomicBool::default(),
            shrink_send_buffer: AtomicBool::default(),
        }
    }

    fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed) & !RESTARTED)]
    }

    /// Begins a phase and restarts the time.
    fn begin(&self, phase: Phase) {
        self.phase.store(phase as u8 | RESTARTED, Ordering::Relaxed);
    }

    /// Begins a phase without restarting the time.
    fn continue_as(&self, phase: Phase) {
        let restarted = self.phase.load(Ordering::Relaxed) & RESTARTED;
        self.phase.store(phase as u8 | restarted, Ordering::Relaxed);
    }

    /// Whether the time has restarted since the last call.
    fn take_restarted(&self) -> bool {
        let now = self.phase.load(Ordering::Relaxed);
        self.phase.store(now & !RESTARTED, Ordering::Relaxed);
        now & RESTARTED != 0
    }
}

/// The time limits of one connection. Clones are cheap and share its state.
#[derive(Clone, Debug)]
pub struct Timeouts {
    limits: Limits,
    state: Arc<State>,
}

impl Timeouts {
    /// Creates the limits of a newly accepted connection, which waits for its first request.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Arc::new(State::new()),
        }
    }

    /// Notes that a whole head has arrived.
    pub fn asked(&self) {
        self.state.begin(Phase::Answering);
    }

    /// Notes that hyper has the whole answer.
    pub fn answered_at_once(&self) {
        self.state.begin(Phase::Flushing);
    }

    /// Notes whether the client's last request was allowed. Otherwise its connection may not stay idle for long.
    pub fn trust(&self, may_ask: bool) {
        self.state.is_stranger.store(!may_ask, Ordering::Relaxed);
    }

    /// Limits what the kernel buffers for a client that does not read, for streams and long answers.
    pub fn shrink_send_buffer(&self) {
        self.state.shrink_send_buffer.store(true, Ordering::Relaxed);
    }

    /// How long a phase may last; `None` if it has no limit.
    fn lasts(&self, phase: Phase) -> Option<Duration> {
        let is_stranger = self.state.is_stranger.load(Ordering::Relaxed);
        match phase {
            Phase::New | Phase::Head => Some(self.limits.head),
            Phase::Answering | Phase::Between => None,
            Phase::Taking | Phase::Flushing => Some(self.limits.write),
            Phase::Idle if is_stranger => Some(self.limits.head.min(self.limits.idle)),
            Phase::Idle => Some(self.limits.idle),
        }
    }

    /// Whether no request has come yet.
    pub fn is_new(&self) -> bool {
        self.state.phase() == Phase::New
    }

    /// Notes that an answer begins, and wraps its body.
    pub fn answered(&self, body: Body) -> TimedBody {
        self.state.begin(Phase::Taking);
        TimedBody {
            body,
            rest: Default::default(),
            timeouts: self.clone(),
        }
    }

    /// hyper has the whole body.
    fn handed_over(&self) {
        match self.state.phase() {
            Phase::Taking => self.state.continue_as(Phase::Flushing),
            Phase::Between => self.state.begin(Phase::Flushing),
            Phase::New | Phase::Head | Phase::Answering | Phase::Flushing | Phase::Idle => {}
        }
    }

    /// Bytes have been read.
    fn bytes_came(&self) {
        if self.state.phase() == Phase::Idle {
            self.state.begin(Phase::Head);
        }
    }

    /// Bytes are being written.
    fn bytes_go(&self) {
        match self.state.phase() {
            // The next part gets its own time.
            Phase::Between => self.state.begin(Phase::Taking),
            // The last of several answers at once had to wait for space.
            Phase::Idle => self.state.begin(Phase::Flushing),
            Phase::New | Phase::Head | Phase::Answering | Phase::Taking | Phase::Flushing => {}
        }
    }

    /// The kernel has taken all that was written so far.
    fn flushed(&self) {
        match self.state.phase() {
            Phase::Flushing => self.state.begin(Phase::Idle),
            Phase::Taking => self.state.begin(Phase::Between),
            Phase::New | Phase::Head | Phase::Answering | Phase::Between | Phase::Idle => {}
        }
    }

    /// Waits until a phase has lasted too long. Returns the cause, or `None` for an idle connection.
    pub async fn expired(&self) -> Option<Dropped> {
        let sleep = std::pin::pin!(sleep_until(Instant::now() + self.limits.head));
        let mut timer = Timer {
            sleep: RarelyPolled::new(sleep),
            until: Until::NoLimit,
            is_short: true,
        };
        std::future::poll_fn(|cx| self.poll_expired(cx, &mut timer)).await
    }

    fn poll_expired(&self, cx: &mut Context<'_>, timer: &mut Timer<'_>) -> Poll<Option<Dropped>> {
        let phase = self.state.phase();
        if self.state.take_restarted() {
            timer.begin(phase, self.lasts(phase), &self.limits);
        }
        loop {
            let due = timer.sleep.get().is_elapsed();
            ready!(timer.sleep.poll(cx, due));
            let now = Instant::now();
            match timer.until {
                Until::LastLook(until) if until <= now => return Poll::Ready(phase.cause()),
                Until::Then(until) if until <= now => {
                    let limit = self.lasts(phase).unwrap_or_default();
                    let until = now + last_look(now - until, limit);
                    timer.until = Until::LastLook(until);
                    timer.reset(until, true);
                }
                Until::Then(until) | Until::LastLook(until) => timer.reset(until, false),
                Until::IdleFromNextLook => {
                    let until = now + self.limits.idle;
                    timer.until = Until::Then(until);
                    timer.reset(until, false);
                }
                // No phase has a shorter limit than a head.
                Until::NoLimit => timer.reset(now + self.limits.head, true),
            }
        }
    }
}

/// When the time of a phase is up.
#[derive(Clone, Copy, Debug)]
enum Until {
    Then(Instant),
    /// It was up already, but the process may have been stopped meanwhile.
    LastLook(Instant),
    /// For a busy connection: the idle time counts from the next time the timer fires, a little later than it began, so that the clock is not
    /// read for each request.
    IdleFromNextLook,
    NoLimit,
}

/// The timer of one connection. Most requests only move the deadline away; the timer is not touched for them until it fires.
#[derive(Debug)]
struct Timer<'t> {
    sleep: RarelyPolled<Pin<&'t mut Sleep>>,
    until: Until,
    /// Whether it fires within the limit of a head or of an answer.
    is_short: bool,
}

impl Timer<'_> {
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
                if until < self.sleep.get().deadline() {
                    self.reset(until, true);
                }
                Until::Then(until)
            }
            None => Until::NoLimit,
        };
    }

    fn reset(&mut self, deadline: Instant, is_short: bool) {
        self.sleep.change().as_mut().reset(deadline);
        self.is_short = is_short;
    }
}
