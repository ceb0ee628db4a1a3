//! `GET /v1/watch`: decisions as they change, as server-sent events.
//!
//! One task ([`keep_watch`]) looks at all queues whenever something has changed or time alone may have changed a decision, and
//! notes what is different in one [`log`]. Streams read the log at their own pace. So a burst, such as a sweep that renews every
//! queue, is one look and one wake for each stream, and a change is written as JSON once.
//!
//! A stream begins with a snapshot, or, for a client that shows the id of the last event it has seen, with what has changed since.
//! An id is good for one run of the process and one set of queues; any other, and one from further back than the log
//! reaches, gets a snapshot. A client never misses a change without being told.
//!
//! Nobody has asked anything here: neither demand nor the number of decisions given counts what streams tell.

mod log;
mod stream;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    log::{Known, Log, Selection},
    stream::{EventId, Watcher},
};
use super::{
    api::decisions::{MOST_AT_ONCE, asked},
    http::{
        params::{Parameter, Params, Shape},
        problem::Problem,
        problem_types,
    },
    openapi::shape,
    serve::current::Current,
    state::app::{App, Queue},
};
use crate::{
    clock::Moment,
    decision::{Decision, board::QueueKey},
};

/// Where a client says which event it has seen last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Asks nginx not to collect a stream before it passes it on.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// What bounds streams of decisions.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Open streams. Each has a connection to itself, so they get a quarter of what may be open: a router that asks finds room,
    /// however many watch. Each that is not read holds some 128 kB of the kernel's memory, so by default all together hold 32 MB.
    pub streams: usize,
    /// The longest silence on a stream; a comment ends it. Proxies commonly give up after 60 s.
    pub heartbeat: Duration,
    /// After a look at all queues, none for so long: twenty looks a second cost little even with thousands of queues, and nobody
    /// notices the delay.
    pub rest: Duration,
    /// The longest time without a look. Timers stand still while the machine sleeps, and a stepped clock or a poll that has
    /// failed for long make a snapshot old sooner than it said.
    pub look: Duration,
    /// Changes to keep for clients that come back or lag behind: minutes of a busy account, and about 2 MB.
    pub log: usize,
}

impl WatchLimits {
    /// The usual ones, where so many connections may be open.
    pub fn with_connections(connections: usize) -> Self {
        Self {
            streams: (connections / 4).max(1),
            heartbeat: Duration::from_secs(15),
            rest: Duration::from_millis(50),
            look: Duration::from_secs(1),
            log: 4096,
        }
    }
}

/// Marks an answer that goes on until somebody ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// What all streams share.
#[derive(Debug)]
pub(super) struct Watch {
    log: Mutex<Log>,
    /// Wakes streams once the log has grown.
    pub(super) grown: watch::Sender<()>,
    /// A permit per stream that may be open.
    slots: Arc<Semaphore>,
    /// Its keys are random, so that ids of another run do not fit.
    run: RandomState,
}

impl Watch {
    pub(super) fn new(limits: &WatchLimits) -> Self {
        Self {
            log: Mutex::new(Log::new(limits.log)),
            grown: watch::Sender::new(()),
            slots: Arc::new(Semaphore::new(limits.streams)),
            run: RandomState::new(),
        }
    }

    /// For the queues of another configuration: nothing is noted yet, and the streams that are open still count.
    pub(super) fn successor(&self, limits: &WatchLimits) -> Self {
        Self {
            slots: Arc::clone(&self.slots),
            ..Self::new(limits)
        }
    }

    pub(super) fn open_streams(&self, limits: &WatchLimits) -> usize {
        limits.streams - self.slots.available_permits()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Each entry is noted whole: whoever panicked while holding it left nothing half done.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all queues, and notes which decisions have changed. Returns after what time another look is due, if nothing changes.
    pub(super) fn look(&self, app: &App) -> Duration {
        let mut next = app.limits.watch.look;
        let mut log = self.log();
        let before = log.newest();
        // Under the lock, so that of two looks the later one is noted last.
        let now = app.clock.now();
        for queue in app.queues() {
            let state = app.state(queue);
            let decision = app.decide(queue, &state, &queue.policy);
            let ends = [time_left(&decision, now), queue.holds.next_end(now)];
            next = ends.into_iter().flatten().fold(next, Duration::min);
            log.note(queue, Known { state, decision }, now);
        }
        let has_grown = log.newest() > before;
        drop(log);
        if has_grown {
            self.grown.send_replace(());
        }
        next
    }

    /// Grows with each change of a decision.
    pub(super) fn newest(&self) -> u64 {
        self.log().newest()
    }

    /// The last decisions about a queue that differed from the ones before, the newest first. As far back as the log reaches.
    pub(super) fn recent(&self, key: &QueueKey, most: usize) -> Vec<(Moment, Decision)> {
        self.log().recent(key, most)
    }

    /// Names this run of the process together with a set of queues.
    fn stream_of(&self, queues: &[Arc<Queue>]) -> u64 {
        let mut keys: Vec<_> = queues.iter().map(|queue| &queue.key).collect();
        keys.sort_unstable();
        keys.dedup();
        self.run.hash_one(keys)
    }
}

/// How long what a decision rests on is still good, by the clock alone; `None` where no time makes it any worse.
fn time_left(decision: &Decision, now: Moment) -> Option<Duration> {
    let until = decision.valid_until.filter(|_| decision.is_fresh)?;
    // It is still good at that very moment.
    Some(until.shortest_since(now) + Duration::from_millis(1))
}

/// Notes every change of a decision until the process stops. Without this task streams tell nothing new.
pub async fn keep_watch(current: Arc<Current>, stop: CancellationToken) {
    loop {
        let app = current.app();
        // An app that has stopped has no successor.
        if stop.is_cancelled() || app.stopping.is_cancelled() {
            return;
        }
        watch_for(app, &stop).await;
    }
}

/// The same until this app is retired.
async fn watch_for(app: Arc<App>, stop: &CancellationToken) {
    let mut changes = app.board.changes();
    let looking = async {
        loop {
            // Before the look: what changes during it is seen by the next one.
            changes.mark_unchanged();
            let due = Instant::now() + app.watch.look(&app);
            tokio::time::sleep(app.limits.watch.rest).await;
            // The board is the app's, so nobody ends its changes.
            let _ = tokio::time::timeout_at(due, changes.changed()).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = app.retired.cancelled() => {}
        () = looking => {}
    }
}

/// Whose decisions a stream tells.
pub(super) const QUEUES: &[Parameter] = &[Parameter {
    name: "queue",
    means: "A queue's name or id, or `{account}/{queue}`; without it, all queues",
    shape: Shape::MayRepeat(MOST_AT_ONCE),
    example: "sales-queue",
}];

shape!(
    /// One event of a stream, as clients take it apart.
    Event, {
        "type": "object",
        "description": "An event",
        "required": ["event", "data"],
        "properties": {
            "id": { "type": "string", "description": "To resume from" },
            "event": { "enum": ["snapshot", "decision", "end"] },
            "data": { "type": "string", "contentMediaType": "application/json" }
        }
    }
);

/// Where a stream goes on.
pub(super) const RESUME: &[Parameter] = &[Parameter {
    name: "Last-Event-ID",
    means: "The `id` of the last event that was seen; what was never written begins anew",
    shape: Shape::Text,
    example: "6c1f0a9d5e3b2748-17",
}];

/// `GET /v1/watch?queue=a&queue=b`; without `queue`, all of them.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), QUEUES)?;
    let (queues, selection) = selected(&app, &params)?;
    if app.stopping.is_cancelled() {
        return Err(Problem::stopping());
    }
    let slot = Arc::clone(&app.watch.slots).try_acquire_owned();
    let slot = slot.map_err(|_| too_many_streams(app.limits.watch.streams))?;
    let seen = headers.get(LAST_EVENT_ID).and_then(EventId::parse);
    let watcher = Watcher::new(app, &queues, selection, seen, slot);
    let events = unfold(watcher, Watcher::next);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        // Nothing comes after a stream, and its end shall be seen at once.
        (header::CONNECTION, HeaderValue::from_static("close")),
        UNBUFFERED,
    ];
    Ok((headers, Extension(Endless), Body::from_stream(events)).into_response())
}

fn selected(app: &App, params: &Params<'_>) -> Result<(Vec<Arc<Queue>>, Selection), Problem> {
    if params.all("queue").next().is_none() {
        return Ok((app.queues().to_vec(), Selection::All));
    }
    let queues = asked(app, params.all("queue"))?;
    let keys = queues.iter().map(|queue| queue.key.clone()).collect();
    Ok((queues, Selection::Only(keys)))
}

fn too_many_streams(most: usize) -> Problem {
    Problem::new(
        problem_types::TOO_MANY_STREAMS,
        format!(
            "{most} may be open, a quarter of max_connections, so that questions find room; close one, or raise max_connections"
        ),
    )
    .with(header::RETRY_AFTER, 5)
}
