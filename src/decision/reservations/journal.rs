//! Reservations over a restart: a thread of their own keeps the store's file in line with what is held.
//!
//! What has changed is told by name alone, and the thread looks whether it is held when it writes: so neither the order of what it is told
//! nor a file that did not work for a while makes it write down a seat that was released. Whoever makes a reservation hears of it once it is
//! written, or after [`PATIENCE`] in any case.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Held, ReservationId};
use crate::{decision::board::QueueKey, sqlite::writer::Writer, state::store::Store};

/// A disk that takes longer is not waited for: the call rings.
const PATIENCE: Duration = Duration::from_millis(250);

/// Changes that may wait for the disk: some seconds of a busy router's calls. Where more come, everything is written anew.
const WAITING: usize = 1_024;

/// How often it is looked whether the file is still there and works: a deleted file is noticed, and one that failed is written, about as
/// soon as a person could stop the daemon after that.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Change {
    queue: QueueKey,
    id: ReservationId,
    /// Who waits until it is written.
    written: Option<oneshot::Sender<()>>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Journal {
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
    pub fn start(store: Arc<Store>, held: Arc<Held>) -> std::io::Result<Self> {
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

    /// One was made: waits a moment until it is written, unless the file is known not to work.
    pub async fn keep(&self, queue: &QueueKey, id: &ReservationId) {
        let (written, done) = oneshot::channel();
        self.send(queue, id, Some(written));
        if !self.store.condition().is_degraded() {
            let _ = tokio::time::timeout(PATIENCE, done).await;
        }
    }

    /// One has ended. (Those whose time is up end by themselves, there as well.)
    pub fn forget(&self, queue: &QueueKey, id: &ReservationId) {
        self.send(queue, id, None);
    }

    /// It is not known what has changed: everything that is held is written anew.
    pub fn write_anew(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    /// Writes what waits, and nothing after that; takes at most so long. Returns whether it was done in time.
    pub fn finish(&self, longest: Duration) -> bool {
        self.writer.finish(longest)
    }

    fn send(&self, queue: &QueueKey, id: &ReservationId, written: Option<oneshot::Sender<()>>) {
        let change = Change {
            queue: queue.clone(),
            id: id.clone(),
            written,
        };
        if !self.writer.send(change) {
            self.write_anew();
        }
    }
}
