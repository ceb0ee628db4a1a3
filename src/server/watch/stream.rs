//! One client's stream: what it receives, when, and how it ends.
//!
//! A stream keeps only the number of the last entry that it has read. hyper asks for more of its body only when the client has read what came
//! before, so a slow client fills no memory: it falls behind in the log. If the log has dropped entries that the client still needs, the stream says
//! so and ends. The [timeouts](crate::server::net::timeouts) cut a client that reads nothing at all.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use crate::{
    metrics::Dropped,
    server::{
        json::decision::DecisionJson,
        state::{
            app::{App, Queue},
            decision_log::{LastDecision, Selection, TooFarBack},
            watch_task,
        },
    },
};

/// When a client should reconnect after its stream has ended: about the time of a restart.
const RETRY: Duration = Duration::from_secs(1);

/// Changes in one piece of a stream: about 30 kB, which a connection takes in one or two writes.
const MAX_PER_PIECE: usize = 64;

/// A comment, which clients ignore.
const HEARTBEAT: &str = ":\n\n";

/// The point from which a stream can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    /// Identifies this run of the process and these queues.
    stream: u64,
    /// The newest entry of the log that the client has seen or that does not concern its queues.
    number: u64,
}

impl EventId {
    /// Parses an id that a client sends; `None` if openseat cannot have written it.
    pub(super) fn parse(header: &HeaderValue) -> Option<Self> {
        let (stream, number) = header.to_str().ok()?.split_once('-')?;
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

/// Why openseat ends a stream.
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
            End::Reloaded => "openseat has a new configuration: reconnect for its queues",
            End::Stopping => "openseat is stopping: reconnect in a moment",
            End::TooSlow => {
                "this client fell behind by more changes than openseat keeps: reconnect for a new snapshot"
            }
        };
        let data = serde_json::json!({ "reason": self, "detail": detail });
        Bytes::from(format!("event: end\ndata: {data}\n\n"))
    }
}

#[derive(Serialize)]
struct SnapshotJson<'a> {
    decisions: Vec<DecisionJson<'a>>,
}

/// An open stream.
pub(super) struct Watcher {
    app: Arc<App>,
    queues: Selection,
    stream: u64,
    /// The number of the last entry read.
    seen: u64,
    grown: watch::Receiver<()>,
    /// Sent before anything else.
    opening: Option<Bytes>,
    /// When the next heartbeat is due.
    beat: Instant,
    ended: bool,
    /// Frees the stream's place when the stream ends in any way.
    _slot: OwnedSemaphorePermit,
}

impl Watcher {
    /// Resumes after `seen` if the log reaches back that far, otherwise begins with a snapshot.
    pub(super) fn new(
        app: Arc<App>,
        queues: &[Arc<Queue>],
        selection: Selection,
        seen: Option<EventId>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let grown = app.watch.subscribe();
        let stream = app.watch.stream_id(queues.iter().map(|queue| &queue.key));
        // The log must contain everything that the board does, so that the snapshot and later entries fit together.
        watch_task::look(&app);
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

    /// Waits for the next piece of the stream.
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
                // In this order, so that changes from before the stop are sent before the end.
                biased;
                // The app holds the sender, so it outlives its streams.
                _ = self.grown.changed() => {}
                () = self.app.stopping.cancelled() => return self.end(End::Stopping),
                () = self.app.retired.cancelled() => return self.end(End::Reloaded),
                () = sleep_until(self.beat) => return Bytes::from_static(HEARTBEAT.as_bytes()),
            }
        }
    }

    /// Returns the events that the client has not seen, if any.
    fn changes(&mut self) -> Result<Option<Bytes>, TooFarBack> {
        let log = self.app.watch.log();
        let (entries, complete_to) = log.since(self.seen, &self.queues, MAX_PER_PIECE)?;
        drop(log);
        self.seen = complete_to;
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

/// Returns the entry after which a stream continues, and what it sends first.
fn opening(app: &App, queues: &[Arc<Queue>], stream: u64, seen: Option<EventId>) -> (u64, Bytes) {
    let mut opening = format!("retry: {}\n\n", RETRY.as_millis()).into_bytes();
    let log = app.watch.log();
    if let Some(seen) = seen
        && log.reaches(seen.number)
    {
        return (seen.number, opening.into());
    }
    let number = log.newest();
    let last: Vec<(&Queue, LastDecision)> = queues
        .iter()
        .filter_map(|queue| Some((&**queue, log.last(&queue.key)?.clone())))
        .collect();
    drop(log);
    let snapshot = serde_json::to_vec(&snapshot(app, &last));
    let snapshot = snapshot.expect("texts and numbers can be written");
    let id = EventId { stream, number };
    write_event(&mut opening, id, "snapshot", &snapshot);
    (number, opening.into())
}

fn snapshot<'a>(app: &App, last: &'a [(&'a Queue, LastDecision)]) -> SnapshotJson<'a> {
    let now = app.clock.now();
    let decisions = last.iter().map(|(queue, last)| {
        let LastDecision { state, decision } = last;
        DecisionJson::new(&queue.key, &queue.rules.policy, state, decision, now)
    });
    SnapshotJson {
        decisions: decisions.collect(),
    }
}

/// The JSON contains no line breaks, so the data is one line.
fn write_event(to: &mut Vec<u8>, id: EventId, name: &str, json: &[u8]) {
    to.extend_from_slice(format!("id: {id}\nevent: {name}\ndata: ").as_bytes());
    to.extend_from_slice(json);
    to.extend_from_slice(b"\n\n");
}
