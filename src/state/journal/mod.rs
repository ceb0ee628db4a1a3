//! Keeps reservations across a restart: a thread writes held seats to the store's file.
//!
//! A change only names the reservation. The thread looks up whether it is held when it writes. So neither the order of changes nor a file
//! that failed for a while makes it store a seat that was released. A new reservation waits until it is written, but at most
//! [`TIMEOUT`].

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

/// How long a reservation waits for the disk: the call is already ringing.
const TIMEOUT: Duration = Duration::from_millis(250);

/// How soon a reservation that found no room is sent again: a round of writing takes about as long.
const AGAIN: Duration = Duration::from_millis(10);

/// How many changes can wait for the disk: some seconds of a busy router's calls. If there are more, everything is rewritten.
const MAX_WAITING: usize = 1_024;

/// How often to check that the file exists and works. A deleted file is noticed, and a failed one rewritten, before a person could stop the
/// daemon.
const LOOK: Duration = Duration::from_secs(1);

/// Creates the reservations, starting with those that an earlier process left in the store. The store keeps them from now on.
///
/// # Errors
/// The system cannot start a thread.
pub fn reservations(store: Arc<Store>) -> std::io::Result<Reservations> {
    Reservations::with_journal(|held| Journal::start(store, held))
}

#[derive(Debug)]
struct Change {
    queue: QueueKey,
    id: ReservationId,
    /// Notified when it is written.
    written: Option<oneshot::Sender<()>>,
}

/// See the [module](self).
#[derive(Debug)]
struct Journal {
    store: Arc<Store>,
    writer: Writer<Change>,
    /// Some changes were dropped because too many were waiting.
    missed: Arc<AtomicBool>,
}

impl Journal {
    /// Takes over the seats that an earlier process left in this store, and keeps the store up to date from now on.
    ///
    /// # Errors
    /// The system cannot start a thread.
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
                // The receiver may have given up.
                let _ = written.send(());
            }
        };
        let writer = Writer::start_with_rounds("reservations", MAX_WAITING, LOOK, write)?;
        Ok(Self {
            store,
            writer,
            missed,
        })
    }

    /// Waits until the reservation is written. If too many changes wait, or the last ones are being written, it tries again.
    async fn written(&self, queue: &QueueKey, id: &ReservationId) {
        loop {
            let (written, done) = oneshot::channel();
            self.send(queue, id, Some(written));
            if done.await.is_ok() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
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
    /// Waits for the disk, unless the file is known to fail.
    fn made<'a>(&'a self, queue: &'a QueueKey, id: &'a ReservationId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.store.condition().is_degraded() {
                return self.send(queue, id, None);
            }
            let _ = tokio::time::timeout(TIMEOUT, self.written(queue, id)).await;
        })
    }

    /// Reservations that expire need no call: they end by themselves, in the file as well.
    fn changed(&self, queue: &QueueKey, id: &ReservationId) {
        self.send(queue, id, None);
    }

    fn write_anew(&self) {
        self.missed.store(true, Ordering::Relaxed);
    }

    fn finish(&self, longest: Duration) -> bool {
        self.writer.finish(longest)
    }
}
