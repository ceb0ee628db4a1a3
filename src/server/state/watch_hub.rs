//! What all streams of decisions share: the log of changes, the signal that it has grown, and the limit on streams.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::decision_log::DecisionLog;
use crate::{
    clock::Moment,
    decision::{Decision, board::QueueKey},
};

/// What bounds streams of decisions.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Open streams. Each has its own connection, so streams get a quarter of the connections: routers that ask always find room.
    /// A stream that is not read holds about 128 kB of kernel memory, so by default all together hold at most 32 MB.
    pub streams: usize,
    /// The longest silence on a stream; a comment ends it. Proxies commonly give up after 60 s.
    pub heartbeat: Duration,
    /// The pause after a look at all queues: twenty looks a second cost little even with thousands of queues, and nobody
    /// notices the delay.
    pub rest: Duration,
    /// The longest time between two looks. Timers stand still while the machine sleeps, and after a clock step or a long row of failed polls
    /// a snapshot gets stale sooner than its decision said.
    pub look: Duration,
    /// Changes to keep for clients that return or fall behind: minutes of a busy account, and about 2 MB.
    pub log: usize,
}

impl WatchLimits {
    /// The default limits for a number of connections.
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

/// See the [module](self).
#[derive(Debug)]
pub struct WatchHub {
    log: Mutex<DecisionLog>,
    /// Wakes streams when the log has grown.
    grown: watch::Sender<()>,
    /// A permit for each stream that may be open.
    slots: Arc<Semaphore>,
    /// Its keys are random, so the event ids of another process do not fit this one.
    run: RandomState,
}

impl WatchHub {
    pub fn new(limits: &WatchLimits) -> Self {
        Self {
            log: Mutex::new(DecisionLog::new(limits.log)),
            grown: watch::Sender::new(()),
            slots: Arc::new(Semaphore::new(limits.streams)),
            run: RandomState::new(),
        }
    }

    /// The hub of the next configuration: an empty log, and open streams still count.
    pub fn successor(&self, limits: &WatchLimits) -> Self {
        Self {
            slots: Arc::clone(&self.slots),
            ..Self::new(limits)
        }
    }

    /// Takes a place for a stream, which is free again when the permit is dropped; `None` if all are taken.
    pub fn open_stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// How many streams are open.
    pub fn open_streams(&self, limits: &WatchLimits) -> usize {
        limits.streams - self.slots.available_permits()
    }

    /// The log, locked.
    pub fn log(&self) -> MutexGuard<'_, DecisionLog> {
        // Each entry is one step, so a panic leaves no entry half written.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all streams.
    pub fn notify(&self) {
        self.grown.send_replace(());
    }

    /// Hears of each [`notify`](Self::notify) from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// A number that grows with each change of a decision.
    pub fn newest(&self) -> u64 {
        self.log().newest()
    }

    /// The last changes of the decision about a queue, the newest first, as far back as the log goes.
    pub fn recent(&self, key: &QueueKey, max: usize) -> Vec<(Moment, Decision)> {
        self.log().recent(key, max)
    }

    /// The id of streams about these queues, in this process.
    pub fn stream_id<'a>(&self, keys: impl Iterator<Item = &'a QueueKey>) -> u64 {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        self.run.hash_one(keys)
    }
}
