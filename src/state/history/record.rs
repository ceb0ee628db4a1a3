//! Watches what changes: the board every few seconds, the counters of decisions every minute.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Recorder,
    note::{Counts, Note, present},
    presence::Presence,
    series::HOLDS_MS,
};
use crate::{
    clock::Moment,
    decision::{
        Reason,
        board::{Board, QueueKey, QueueState},
        snapshot::Snapshot,
    },
    metrics::{Metrics, QueueMeters},
    model::agent::AgentId,
};

/// How often the board is read. Sweeps come every 4 to 5 s, and counts do not change more often.
const LOOK: Duration = Duration::from_secs(5);

/// Two samples of a queue are at least this far apart, and all queues together have at most four a second.
const SAMPLE_EVERY: Duration = Duration::from_secs(15);
const SAMPLES_A_SECOND: u32 = 4;

/// Unchanged counts are recorded again after this time, to tell them from unknown ones.
const SAY_AGAIN: Duration = Duration::from_secs(300);

/// How often the rows of a queue are recorded; all queues together record one every 5 s.
const ROWS_EVERY: Duration = Duration::from_secs(300);
const ROWS_TURN: Duration = Duration::from_secs(5);

/// How many queues' rows one look records: after a start all are due. Packing those of a queue takes a third of a millisecond, so a process with
/// thousands of queues would be busy with it for seconds.
const ROWS_AT_ONCE: usize = 100;

/// How often presence is recorded; for all queues together at most twice a second.
const PRESENT_EVERY: Duration = Duration::from_secs(60);
const PRESENT_A_SECOND: u32 = 2;

const HOLDS: Duration = Duration::from_millis(HOLDS_MS.unsigned_abs());

const MINUTE_MS: i64 = 60_000;

/// What to watch.
#[derive(Debug)]
pub struct Watched {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Watched {
    /// Watches the queues that are on the board, also after a new config.
    pub fn new(board: &Arc<Board>, metrics: &Arc<Metrics>) -> Self {
        Self {
            board: Arc::clone(board),
            metrics: Arc::clone(metrics),
        }
    }
}

impl Recorder {
    /// Records until stopped.
    pub async fn watch(self: Arc<Self>, watched: Watched, stop: CancellationToken) {
        let mut watch = Watch::new(watched, self.clock.now());
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            let notes = watch.look(self.clock.now(), stop.is_cancelled());
            if !notes.is_empty() {
                self.writer.send(notes);
            }
        }
    }
}

/// The shortest times between two records of a queue.
#[derive(Clone, Copy, Debug)]
struct Gaps {
    sample: Duration,
    rows: Duration,
    present: Duration,
}

/// What was last seen of a queue. It holds no rows: with many queues the next record is far away, and the rows of today's snapshot would stay in
/// memory until then, beside those of newer ones.
#[derive(Debug, Default)]
struct Seen {
    /// The last snapshot that was recorded, to recognise it.
    snapshot: Weak<Snapshot>,
    sample: Option<(Moment, Moment, Counts)>,
    rows: Option<Moment>,
    present: Option<(Moment, Vec<(AgentId, Presence)>)>,
}

/// One queue.
#[derive(Debug)]
struct Queue {
    key: QueueKey,
    meters: Arc<QueueMeters>,
    seen: Seen,
    /// How many decisions of each kind were recorded.
    decided: HashMap<(&'static str, Reason), u64>,
}

/// Compares what it sees with what it saw before.
#[derive(Debug)]
pub(super) struct Watch {
    watched: Watched,
    /// The board's keys when the queues were last compared with them.
    keys: Arc<[QueueKey]>,
    queues: Vec<Queue>,
    minute_ms: i64,
}

impl Watch {
    pub fn new(watched: Watched, now: Moment) -> Self {
        Self {
            watched,
            keys: Arc::default(),
            queues: Vec::new(),
            minute_ms: minute_ms(now),
        }
    }

    /// Watches the queues that are on the board now. Those that stay are not recorded again for that.
    fn follow(&mut self, notes: &mut Vec<Note>) {
        let keys = self.watched.board.keys();
        if Arc::ptr_eq(&keys, &self.keys) {
            return;
        }
        let metrics = &self.watched.metrics;
        let counted = keys.iter().map(|key| Some((key, metrics.queue(key)?)));
        let Some(counted) = counted.collect::<Option<Vec<_>>>() else {
            return; // A new config is just taking effect. The next look sees all of it.
        };
        self.count(notes);
        let known = self.queues.drain(..);
        let mut known: HashMap<_, _> = known.map(|queue| (queue.key.clone(), queue)).collect();
        let queue = |(key, meters): (&QueueKey, Arc<QueueMeters>)| match known.remove(key) {
            Some(queue) if Arc::ptr_eq(&queue.meters, &meters) => queue,
            _ => Queue {
                key: key.clone(),
                meters,
                seen: Seen::default(),
                decided: HashMap::new(),
            },
        };
        self.queues = counted.into_iter().map(queue).collect();
        self.keys = keys;
    }

    /// Looks once and returns what to record. The last look also records the unfinished minute.
    pub fn look(&mut self, now: Moment, last: bool) -> Vec<Note> {
        let mut notes = Vec::new();
        self.follow(&mut notes);
        let number = self.queues.len() as u32;
        let second = Duration::from_secs(1);
        let mut rows = ROWS_AT_ONCE;
        let gaps = Gaps {
            sample: SAMPLE_EVERY.max(second * number / SAMPLES_A_SECOND),
            rows: ROWS_EVERY.max(ROWS_TURN * number),
            present: PRESENT_EVERY.max(second * number / PRESENT_A_SECOND),
        };
        for Queue { key, seen, .. } in &mut self.queues {
            if let Some(state) = self.watched.board.get(key)
                && !seen.has_expired(key, &state, now, &mut notes)
                && let Some(snapshot) = &state.snapshot
            {
                seen.look(key, snapshot, now, gaps, &mut rows, &mut notes);
            }
        }
        if minute_ms(now) != self.minute_ms || last {
            self.count(&mut notes);
            self.minute_ms = minute_ms(now);
        }
        notes
    }

    /// Counts the decisions since the last count. They belong to the minute of that count.
    fn count(&mut self, notes: &mut Vec<Note>) {
        for queue in &mut self.queues {
            for (result, reason, count) in queue.meters.decided() {
                let before = queue.decided.insert((result, reason), count);
                let new = count - before.unwrap_or_default();
                if new > 0 {
                    notes.push(Note::Decided {
                        key: queue.key.clone(),
                        minute_ms: self.minute_ms,
                        result,
                        reason: reason.as_str(),
                        count: new,
                    });
                }
            }
        }
    }
}

impl Seen {
    /// Returns whether a queue's data is too old for a decision. If so, what was recorded of it ends when it became so.
    fn has_expired(
        &mut self,
        key: &QueueKey,
        state: &QueueState,
        now: Moment,
        notes: &mut Vec<Note>,
    ) -> bool {
        let over = |until: &Moment| now.boot > until.boot || now.wall > until.wall;
        let (Some(until), Some(snapshot)) = (state.known_until().filter(over), &state.snapshot)
        else {
            return false;
        };
        // It counts again if it may be older from now on.
        self.snapshot = Weak::new();
        if let Some((last, _, counts)) = &mut self.sample
            && *counts != Counts::default()
        {
            let is_between = last.wall < until.wall && until.wall < now.wall;
            let at = if is_between { until } else { now };
            *counts = Counts::default();
            notes.push(Note::Sample {
                key: key.clone(),
                at,
                as_of: snapshot.as_of,
                counts: Counts::default(),
            });
        }
        true
    }

    fn look(
        &mut self,
        key: &QueueKey,
        snapshot: &Arc<Snapshot>,
        now: Moment,
        gaps: Gaps,
        rows: &mut usize,
        notes: &mut Vec<Note>,
    ) {
        if self.snapshot.as_ptr() == Arc::as_ptr(snapshot) {
            return;
        }
        // A restart shows what was stored, up to a day old. It says nothing about now.
        if now.longest_since(snapshot.as_of) >= HOLDS {
            return;
        }
        let is_time =
            |last: Option<Moment>, gap| last.is_none_or(|at| now.longest_since(at) >= gap);
        if !is_time(self.sample.as_ref().map(|(at, ..)| *at), gaps.sample) {
            return; // A later look records it.
        }
        let counts = Counts::new(snapshot);
        let is_same = self.sample.as_ref().is_some_and(|(at, polled, known)| {
            let is_poll = *polled != snapshot.members_as_of;
            *known == counts && !is_poll && now.longest_since(*at) < SAY_AGAIN
        });
        if !is_same {
            self.sample = Some((now, snapshot.members_as_of, counts.clone()));
            notes.push(Note::Sample {
                key: key.clone(),
                at: now,
                as_of: snapshot.as_of,
                counts,
            });
        }
        if is_time(self.present.as_ref().map(|(at, _)| *at), gaps.present) {
            self.look_who_is_there(key, snapshot, now, notes);
        }
        if is_time(self.rows, gaps.rows) && *rows > 0 {
            *rows -= 1;
            self.rows = Some(now);
            notes.push(Note::Rows {
                key: key.clone(),
                at: now,
                agents: Arc::clone(&snapshot.agents),
            });
        }
        self.snapshot = Arc::downgrade(snapshot);
    }

    /// Records who is logged in, if that has changed or the last record is too old.
    fn look_who_is_there(
        &mut self,
        key: &QueueKey,
        snapshot: &Snapshot,
        now: Moment,
        notes: &mut Vec<Note>,
    ) {
        let agents = present(snapshot);
        let gist = agents.iter();
        let gist = gist.map(|(agent, presence)| (agent.id.clone(), *presence));
        let gist: Vec<_> = gist.collect();
        let is_same = self
            .present
            .as_ref()
            .is_some_and(|(at, known)| *known == gist && now.longest_since(*at) < SAY_AGAIN);
        if !is_same {
            self.present = Some((now, gist));
            notes.push(Note::Present {
                key: key.clone(),
                at: now,
                agents,
            });
        }
    }
}

fn minute_ms(now: Moment) -> i64 {
    let ms = now.wall.as_millis() as i64;
    ms - ms % MINUTE_MS
}
