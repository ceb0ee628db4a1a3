//! Reservations over a restart: a thread of their own keeps the store's file in line with what is held.
//!
//! What has changed is told by name alone, and the thread looks whether it is held when it writes: so neither the order of what it is told
//! nor a file that did not work for a while makes it write down a seat that was released. Whoever makes a reservation hears of it once it is
//! written, or after [`PATIENCE`] in any case.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::{
    decision::{
        board::QueueKey,
        reservations::{self, ReservationId, Reservations, SeatsInMemory},
    },
    sqlite::writer::Writer,
    state::store::Store,
};

/// A disk that takes longer is not waited for: the call rings.
const PATIENCE: Duration = Duration::from_millis(250);

/// Changes that may wait for the disk: some seconds of a busy router's calls. Where more come, everything is written anew.
const WAITING: usize = 1_024;

/// How often it is looked whether the file is still there and works: a deleted file is noticed, and one that failed is written, about as
/// soon as a person could stop the daemon after that.
const LOOK: Duration = Duration::from_secs(1);

/// The seats that an earlier process left in the store; whatever is held from now on is kept there.
///
/// # Errors
/// The system has no thread to spare.
pub fn reservations(store: Arc<Store>) -> std::io::Result<Reservations> {
    Reservations::with_journal(|held| Journal::start(store, held))
}

#[derive(Debug)]
struct Change {
    queue: QueueKey,
    id: ReservationId,
    /// Who waits until it is written.
    written: Option<oneshot::Sender<()>>,
}

/// See the [module](self).
#[derive(Debug)]
struct Journal {
    store: Arc<Store>,
    writer: Writer<Change>,
    /// Some changes found no room.
    missed: Arc<AtomicBool>,
}

impl Journal {
    /// Keeps what is held in this store from now on, and takes over what an earlier process left there.
    ///
    /// # Errors
    /// The system has no thread to spare.
    fn start(store: Arc<Store>, held: Arc<dyn SeatsInMemory>) -> std::io::Result<Self> {
        store.keep_seats_of(held);
        let (to, missed) = (Arc::clone(&store), Arc::new(AtomicBool::new(false)));
        let all = Arc::clone(&missed);
        let write = move |changes: Vec<Change>| {
            if all.swap(false, Ordering::Relaxed) {
                to.keep_all_seats();
            }
            let (changed, waiting): (Vec<_>, Vec<_>) = changes
                .into_iter()
                .map(|change| ((change.queue, change.id), change.written))
                .unzip();
            to.keep_seats(&changed);
            for written in waiting.into_iter().flatten() {
                // Whoever waited may have given up.
                let _ = written.send(());
            }
        };
        let writer = Writer::start_with_rounds("reservations", WAITING, LOOK, write)?;
        Ok(Self {
            store,
            writer,
            missed,
        })
    }

    fn send(&self, queue: &QueueKey, id: &ReservationId, written: Option<oneshot::Sender<()>>) {
        let change = Change {
            queue: queue.clone(),
            id: id.clone(),
            written,
        };
        if !self.writer.send(change) {
            reservations::Journal::write_anew(self);
        }
    }
}

impl reservations::Journal for Journal {
    /// Waits for the disk, unless the file is known not to work.
    fn made<'a>(&'a self, queue: &'a QueueKey, id: &'a ReservationId) -> BoxFuture<'a, ()> {
        let (written, done) = oneshot::channel();
        self.send(queue, id, Some(written));
        Box::pin(async move {
            if !self.store.condition().is_degraded() {
                let _ = tokio::time::timeout(PATIENCE, done).await;
            }
        })
    }

    /// (Those whose time is up end by themselves, in the file as well.)
    fn ended(&self, queue: &QueueKey, id: &ReservationId) {
        self.send(queue, id, None);
    }

    fn write_anew(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    fn finish(&self, longest: Duration) -> bool {
        self.writer.finish(longest)
    }
}
