//! Where events wait for the thread that stores them. Decisions push to it, so every operation is short.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::event::Event;

/// The most memory for events that are not stored yet: about 5 s of them at 20,000 decisions a second. If the disk hangs for longer, some are lost.
pub(super) const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Events in one chunk. A single growing list would be moved as it grows, while decisions wait.
const CHUNK: usize = 512;

/// How long the thread waits for more events before it writes. Each batch costs a transaction.
const GATHER: Duration = Duration::from_millis(250);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    /// Signalled when the inbox is no longer empty, and at the end.
    arrived: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Vec<Event>>,
    /// The number of the next event.
    next: u64,
    /// Memory of the events here, and of those that were taken but not stored yet.
    bytes: usize,
    has_ended: bool,
}

impl Inbox {
    /// Adds an event, or counts it as lost if there is no room.
    pub fn push(&self, mut event: Event) {
        let mut waiting = self.lock();
        let bytes = waiting.bytes + event.weight();
        if bytes > MAX_BYTES || waiting.has_ended {
            drop(waiting);
            return self.lose(1);
        }
        waiting.bytes = bytes;
        event.number = waiting.next;
        waiting.next += 1;
        let is_first = waiting.chunks.is_empty();
        match waiting.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(event),
            _ => waiting.chunks.push_back(vec![event]),
        }
        drop(waiting);
        if is_first {
            self.arrived.notify_one();
        }
    }

    /// Takes the oldest events: at most [`CHUNK`], in order. Their memory keeps counting until [`free`](Self::free).
    pub fn take(&self) -> Vec<Event> {
        self.lock().chunks.pop_front().unwrap_or_default()
    }

    /// Returns how often to [`take`](Self::take) until nothing is left of what waits now.
    pub fn chunks(&self) -> usize {
        self.lock().chunks.len()
    }

    /// Stops counting the memory of events that were taken.
    pub fn free(&self, bytes: usize) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
    }

    /// Waits until there are events, and a moment longer for more, for `longest` at most. Returns whether the end has come.
    pub fn wait(&self, longest: Duration) -> bool {
        let nothing = |waiting: &mut Waiting| waiting.chunks.is_empty() && !waiting.has_ended;
        let waiting = self.lock();
        let (waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, longest, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.chunks.is_empty() {
            return waiting.has_ended;
        }
        let (waiting, _) = self
            .arrived
            .wait_timeout_while(waiting, GATHER, |waiting| !waiting.has_ended)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.has_ended
    }

    /// Accepts no more events.
    pub fn end(&self) {
        self.lock().has_ended = true;
        self.arrived.notify_one();
    }

    /// Returns how many events were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts events that will not be stored.
    pub fn lose(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing here can panic halfway through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
