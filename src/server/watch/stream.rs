//! One client's stream: what it gets, when, and how it ends.
//!
//! A stream keeps nothing but the number of the entry that it has read last. Its body is asked for more only when the client has
//! taken what came before, so a slow client fills no memory: it falls behind in the log, and once the log has let go of what it has yet
//! to read, it is told so and let go. One that takes nothing at all is the watchdog's.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use super::log::{Known, Selection, TooFarBack};
use crate::{
    metrics::Dropped,
    server::{
        api::decisions::View,
        state::app::{App, Queue},
    },
};

/// After how long a client shall come back whose stream has ended: about what a restart takes.
const RETRY: Duration = Duration::from_secs(1);

/// Changes in one piece of a stream: about 30 kB, which a connection takes in one or two writes.
const MOST_AT_ONCE: usize = 64;

/// A comment, which clients ignore.
const HEARTBEAT: &str = ":\n\n";

/// From where a stream can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    /// This run of the process and these queues.
    stream: u64,
    /// The newest entry of the log that the client has seen, or that is no concern of its queues.
    number: u64,
}

impl EventId {
    /// Reads what a client shows; `None` for what we never wrote.
    pub(super) fn parse(shown: &HeaderValue) -> Option<Self> {
        let (stream, number) = shown.to_str().ok()?.split_once('-')?;
        Some(Self {
            stream: u64::from_str_radix(stream, 16).ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.stream, self.number)
    }
}

/// Why a stream ends from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Stopping,
    Reloaded,
    TooSlow,
}

impl End {
    fn event(self) -> Bytes {
        let detail = match self {
            End::Reloaded => "openseat has a new configuration: connect again for its queues",
            End::Stopping => "openseat is stopping: connect again in a moment",
            End::TooSlow => {
                "more has changed than is kept while this client read nothing: connect again for a new snapshot"
            }
        };
        let data = serde_json::json!({ "reason": self, "detail": detail });
        Bytes::from(format!("event: end\ndata: {data}\n\n"))
    }
}

#[derive(Serialize)]
struct Snapshot<'a> {
    decisions: Vec<View<'a>>,
}

/// A stream that is open.
pub(super) struct Watcher {
    app: Arc<App>,
    queues: Selection,
    stream: u64,
    /// The number of the entry read last.
    seen: u64,
    grown: watch::Receiver<()>,
    /// What is to be sent before anything else.
    opening: Option<Bytes>,
    /// When the client has to hear something.
    beat: Instant,
    ended: bool,
    /// Given back when the stream ends, however it ends.
    _slot: OwnedSemaphorePermit,
}

impl Watcher {
    /// Goes on after `seen` if it can, and begins with a snapshot if not.
    pub(super) fn new(
        app: Arc<App>,
        queues: &[Arc<Queue>],
        selection: Selection,
        seen: Option<EventId>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let grown = app.watch.grown.subscribe();
        let stream = app.watch.stream_of(queues);
        // The log must know all that the board does: what a client is shown and what is noted for it later have to fit together.
        app.watch.look(&app);
        let seen = seen.filter(|seen| seen.stream == stream);
        let (seen, opening) = opening(&app, queues, stream, seen);
        Self {
            queues: selection,
            stream,
            seen,
            grown,
            opening: Some(opening),
            beat: Instant::now() + app.limits.watch.heartbeat,
            ended: false,
            app,
            _slot: slot,
        }
    }

    /// The next piece of the stream, once there is one.
    pub(super) async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.ended {
            return None;
        }
        let piece = match self.opening.take() {
            Some(opening) => opening,
            None => self.piece().await,
        };
        self.beat = Instant::now() + self.app.limits.watch.heartbeat;
        Some((Ok(piece), self))
    }

    async fn piece(&mut self) -> Bytes {
        loop {
            match self.changes() {
                Ok(None) => {}
                Ok(Some(changes)) => return changes,
                Err(TooFarBack) => {
                    self.app.metrics.connection_dropped(Dropped::SlowReader);
                    return self.end(End::TooSlow);
                }
            }
            tokio::select! {
                // In this order: what changed before the stop is told before it.
                biased;
                // The sender is the app's, so it outlives its streams.
                _ = self.grown.changed() => {}
                () = self.app.stopping.cancelled() => return self.end(End::Stopping),
                () = self.app.retired.cancelled() => return self.end(End::Reloaded),
                () = sleep_until(self.beat) => return Bytes::from_static(HEARTBEAT.as_bytes()),
            }
        }
    }

    /// The events that the client has not seen, if there are any.
    fn changes(&mut self) -> Result<Option<Bytes>, TooFarBack> {
        let log = self.app.watch.log();
        let (entries, upto) = log.since(self.seen, &self.queues, MOST_AT_ONCE)?;
        drop(log);
        self.seen = upto;
        let mut events = Vec::new();
        for entry in &entries {
            let id = EventId {
                stream: self.stream,
                number: entry.number,
            };
            write_event(&mut events, id, "decision", &entry.json);
        }
        Ok((!events.is_empty()).then(|| events.into()))
    }

    fn end(&mut self, end: End) -> Bytes {
        self.ended = true;
        end.event()
    }
}

/// From which entry a stream goes on, and what it says first.
fn opening(app: &App, queues: &[Arc<Queue>], stream: u64, seen: Option<EventId>) -> (u64, Bytes) {
    let mut opening = format!("retry: {}\n\n", RETRY.as_millis()).into_bytes();
    let log = app.watch.log();
    if let Some(seen) = seen
        && log.reaches(seen.number)
    {
        return (seen.number, opening.into());
    }
    let number = log.newest();
    let known: Vec<(&Queue, Known)> = queues
        .iter()
        .filter_map(|queue| Some((&**queue, log.known(&queue.key)?.clone())))
        .collect();
    drop(log);
    let now = app.clock.now();
    let decisions = known
        .iter()
        .map(|(queue, known)| {
            let Known { state, decision } = known;
            View::new(&queue.key, &queue.policy, state, decision, now)
        })
        .collect();
    let snapshot = serde_json::to_vec(&Snapshot { decisions });
    let snapshot = snapshot.expect("texts and numbers can be written");
    write_event(
        &mut opening,
        EventId { stream, number },
        "snapshot",
        &snapshot,
    );
    (number, opening.into())
}

/// JSON has no line breaks, so the data is one line.
fn write_event(to: &mut Vec<u8>, id: EventId, name: &str, json: &[u8]) {
    to.extend_from_slice(format!("id: {id}\nevent: {name}\ndata: ").as_bytes());
    to.extend_from_slice(json);
    to.extend_from_slice(b"\n\n");
}
