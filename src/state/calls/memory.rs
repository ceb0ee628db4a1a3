//! Events in memory: those that are not stored yet, and the last answers of each queue.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::event::{Event, What};
use crate::decision::board::QueueKey;

/// How many of a queue's last answers are kept for its page.
pub const LAST: usize = 100;

/// How many of the last events are kept if there is no file: some 8 MB at most.
const MAX_REMEMBERED: usize = 10_000;

/// The most events in one transaction: a fifth of a second at 20,000 a second.
const BATCH: usize = 4_096;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Events that are not stored yet, in order; without a file, the last ones.
    events: VecDeque<Arc<Event>>,
    /// The last answers by queue, oldest first.
    last: HashMap<QueueKey, VecDeque<Arc<Event>>>,
}

impl Memory {
    pub fn add(&mut self, event: Event) {
        let event = Arc::new(event);
        if matches!(event.what, What::Answered(_)) {
            if !self.last.contains_key(&event.queue) {
                self.last.insert(event.queue.clone(), VecDeque::new());
            }
            if let Some(last) = self.last.get_mut(&event.queue) {
                if last.len() >= LAST {
                    last.pop_front();
                }
                last.push_back(Arc::clone(&event));
            }
        }
        self.events.push_back(event);
    }

    /// Adds the answers of an earlier process, newest first, before the ones of this process.
    pub fn restore(&mut self, newest_first: impl Iterator<Item = Event>) {
        for event in newest_first {
            if !matches!(event.what, What::Answered(_)) {
                continue;
            }
            let last = self.last.entry(event.queue.clone()).or_default();
            if last.len() < LAST {
                last.push_front(Arc::new(event));
            }
        }
    }

    /// Returns the oldest events that are not stored.
    pub fn batch(&self) -> Vec<Arc<Event>> {
        self.events.iter().take(BATCH).map(Arc::clone).collect()
    }

    /// Forgets this many of the oldest, which are stored now. Returns how much memory they took.
    pub fn forget(&mut self, events: usize) -> usize {
        let gone = self.events.drain(..events.min(self.events.len()));
        gone.map(|event| event.weight()).sum()
    }

    /// Forgets all but the last ones, if no file keeps them.
    pub fn forget_old(&mut self) {
        self.forget(self.events.len().saturating_sub(MAX_REMEMBERED));
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns the events of a call, oldest first.
    pub fn of_call(&self, call_id: &str) -> Vec<Arc<Event>> {
        let events = self.events.iter();
        let own = events.filter(|event| *event.call_id == *call_id);
        own.map(Arc::clone).collect()
    }

    /// Returns the last answers of a queue, newest first.
    pub fn last(&self, queue: &QueueKey) -> Vec<Arc<Event>> {
        let last = self.last.get(queue).into_iter().flatten().rev();
        last.map(Arc::clone).collect()
    }

    /// Forgets the last answers of all queues but these.
    pub fn retain(&mut self, queues: &[QueueKey]) {
        let queues: HashSet<_> = queues.iter().collect();
        self.last.retain(|queue, _| queues.contains(queue));
    }
}
