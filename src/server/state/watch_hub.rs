//! Shared by all streams of decisions: the log of changes, the signal that it has grown, and the limit on streams.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::decision_log::DecisionLog;
use crate::{
    clock::Moment,
    decision::{Decision, board::QueueKey},
    server::limits::WatchLimits,
};

/// See the [module](self).
#[derive(Debug)]
pub struct WatchHub {
    log: Mutex<DecisionLog>,
    /// Wakes streams when the log has grown.
    grown: watch::Sender<()>,
    /// One permit per allowed stream.
    slots: Arc<Semaphore>,
    /// Randomly keyed, so that event ids of another process do not fit this one.
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

    /// Creates the hub of the next config: an empty log, and open streams still count.
    pub fn successor(&self, limits: &WatchLimits) -> Self {
        Self {
            slots: Arc::clone(&self.slots),
            ..Self::new(limits)
        }
    }

    /// Reserves a stream, which is freed when the permit is dropped; `None` if all are taken.
    pub fn open_stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// How many streams are open.
    pub fn open_streams(&self, limits: &WatchLimits) -> usize {
        limits.streams - self.slots.available_permits()
    }

    /// The log, locked.
    pub fn log(&self) -> MutexGuard<'_, DecisionLog> {
        // A panic leaves no half-written entry, since each entry is one step.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all streams.
    pub fn notify(&self) {
        self.grown.send_replace(());
    }

    /// Subscribes to [`notify`](Self::notify).
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// A number that grows with each change of a decision.
    pub fn newest(&self) -> u64 {
        self.log().newest()
    }

    /// Returns the last changes of the decision about a queue, newest first, within the log.
    pub fn recent(&self, key: &QueueKey, max: usize) -> Vec<(Moment, Decision)> {
        self.log().recent(key, max)
    }

    /// Returns the id of streams about these queues, in this process.
    pub fn stream_id<'a>(&self, keys: impl Iterator<Item = &'a QueueKey>) -> u64 {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        self.run.hash_one(keys)
    }
}
