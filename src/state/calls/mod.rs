//! The record of calls: what routers were told about each call, and how the seats that were held for it ended. It answers why a call was rejected.
//!
//! A decision with a `call_id` leaves an event in the inbox and goes on; it never waits for a disk. A thread takes the events and writes them to a
//! file, at most four times a second. Searches also find what is not written yet. If there is no room for an event, it is lost, and a metric counts
//! it; no event that is stored is counted as lost. While the file cannot be written, events stay in memory as long as there is room.
//!
//! Without a state folder, or with `history_days = 0`, memory keeps the last ten thousand.
//!
//! Events are kept as long as the history, or until the file uses more than [`MAX_BYTES`]: then the oldest are removed. An event takes some 80 bytes.
//! As there, a wall clock that was just set removes nothing.
//!
//! `inbox` has waiting events, `memory` those not written, `keeper` is the thread; `index` writes the file, `read` reads it, `trim` removes events.

mod event;
mod inbox;
mod index;
mod keeper;
mod memory;
mod read;
pub(super) mod schema;
#[cfg(test)]
mod tests;
mod trim;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use self::{
    event::wall_ms,
    inbox::Inbox,
    keeper::{Book, Keeper},
    memory::Memory,
};
pub use self::{
    event::{Answer, ELSEWHERE, Event, ExpectedAgent, Forecast, LISTED, Seat, What},
    memory::LAST,
};
use crate::{
    clock::{Clock, Moment},
    decision::{
        board::QueueKey,
        reservations::{End, Reservation, Witness},
    },
    process::thread,
    sqlite::Condition,
    state::history::{HistoryError, Limit},
};

/// The most bytes that the file uses: some six million answers.
pub const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// The most events of one call that a search returns. Only a router that sends the same id with every call has more.
pub const MAX_FOUND: usize = 1_000;

/// The record of calls. See the [module](self).
#[derive(Debug)]
pub struct CallLog {
    shared: Arc<Shared>,
    condition: Option<Arc<Condition>>,
    end: thread::End,
}

/// Lets another thread run on this core. Writing thousands of events takes many milliseconds; if the system gives this thread its whole slice of
/// time on the core that answers, answers are late by as much.
fn give_way() {
    std::thread::yield_now();
}

/// Where events are stored, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Keeping<'p> {
    /// The file. It is created when there is something to store.
    pub path: &'p Path,
    /// How long events are kept.
    pub keep: Duration,
    /// The most bytes that the file uses.
    pub largest: u64,
}

/// What the thread shares with all others.
#[derive(Debug, Default)]
struct Shared {
    inbox: Inbox,
    memory: Mutex<Memory>,
    path: Option<PathBuf>,
    /// The id in the file of the event number 0. Set when the file is first opened; until then the file has no event of this process.
    base: OnceLock<i64>,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what waits in the inbox to memory. Decisions do not wait for it.
    fn collect(&self) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory();
        for _ in 0..self.inbox.chunks() {
            self.collect_some(&mut memory);
        }
        memory
    }

    /// The same, in the background.
    fn collect_aside(&self) {
        for _ in 0..self.inbox.chunks() {
            self.collect_some(&mut self.memory());
            give_way();
        }
    }

    fn collect_some(&self, memory: &mut Memory) {
        let mut bytes = 0;
        for event in self.inbox.take() {
            bytes += event.weight();
            memory.add(event);
        }
        if self.path.is_none() {
            memory.forget_old();
            self.inbox.free(bytes);
        }
    }
}

impl CallLog {
    /// Starts the thread. It stores events in a file, or without one in memory.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(keeping: Option<Keeping<'_>>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            path: keeping.map(|keeping| keeping.path.to_owned()),
            ..Shared::default()
        });
        let condition = keeping.map(|_| {
            let means = "answers about calls are not recorded for good until it can";
            Arc::new(Condition::new("calls", means))
        });
        let file = keeping.zip(condition.clone());
        let book = file.map(|(keeping, condition)| Book::new(keeping, condition, clock));
        let keeper = Keeper::new(Arc::clone(&shared), book);
        Ok(Self {
            shared,
            condition,
            end: thread::start("calls", move || keeper.run())?,
        })
    }

    /// Records something that happened to a call. It never waits.
    pub fn record(&self, at: Moment, queue: &QueueKey, call_id: Box<str>, what: What) {
        self.shared.inbox.push(Event {
            number: 0,
            at_ms: wall_ms(at),
            call_id,
            queue: queue.clone(),
            what,
        });
    }

    /// The events of a call, oldest first; if there are more than [`MAX_FOUND`], the newest of them. It waits for the disk, so it must not run in a
    /// task.
    ///
    /// # Errors
    /// The file cannot be read, or the limit is reached.
    pub fn find(&self, call_id: &str, limit: &Limit) -> Result<Vec<Event>, HistoryError> {
        // Memory first: an event that is stored in between is found twice instead of missed.
        let recent = self.shared.collect().of_call(call_id);
        let mut found = Vec::new();
        if let Some(path) = &self.shared.path {
            found = read::of_call(path, call_id, MAX_FOUND, limit)?;
            let known: HashSet<_> = recent.iter().map(|event| event.number).collect();
            if let Some(base) = self.shared.base.get() {
                let is_known =
                    |id: i64| u64::try_from(id - base).is_ok_and(|number| known.contains(&number));
                found.retain(|(id, _)| !is_known(*id));
            }
        }
        let stored = found.into_iter().rev().map(|(_, event)| event);
        let mut all: Vec<_> = stored
            .chain(recent.iter().map(|event| Event::clone(event)))
            .collect();
        all.drain(..all.len().saturating_sub(MAX_FOUND));
        Ok(all)
    }

    /// Returns the last answers about calls to a queue, newest first: at most [`LAST`].
    pub fn last(&self, queue: &QueueKey) -> Vec<Arc<Event>> {
        self.shared.collect().last(queue)
    }

    /// Forgets the last answers of all queues but these.
    pub fn retain(&self, queues: &[QueueKey]) {
        self.shared.memory().retain(queues);
    }

    /// Returns how many events were lost.
    pub fn lost(&self) -> u64 {
        self.shared.inbox.lost()
    }

    /// Returns whether the file can be written; `None` without a file.
    pub fn condition(&self) -> Option<Arc<Condition>> {
        self.condition.clone()
    }

    /// Writes what is waiting, and nothing after that, within `longest`. Returns whether that succeeded.
    pub fn finish(&self, longest: Duration) -> bool {
        self.shared.inbox.end();
        self.end.wait(longest)
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        self.shared.inbox.end();
    }
}

impl Witness for CallLog {
    fn ended(&self, queue: &QueueKey, reservation: &Reservation, end: Option<End>, now: Moment) {
        let what = What::Ended {
            reservation: reservation.id.clone(),
            end: end.map_or(ELSEWHERE, End::as_str).into(),
        };
        self.record(now, queue, reservation.call_id.clone(), what);
    }
}
