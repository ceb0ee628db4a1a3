//! Reservations over a restart: written down by a thread of their own, in the order in which they were made and ended.
//!
//! Losing them costs no more than what reservations are for, and only for the minute that they live, so a disk that fails is a line
//! in the log. Whoever makes a reservation hears of it once it is written, or after [`PATIENCE`] in any case.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};

use super::{Reservation, ReservationId};
use crate::{board::QueueKey, clock::Moment, store::Store};

/// A disk that takes longer is not waited for: the call rings.
const PATIENCE: Duration = Duration::from_millis(250);

/// Changes that may wait for the disk: some seconds of a busy router's calls.
const WAITING: usize = 1_024;

#[derive(Debug)]
enum Change {
    Keep {
        queue: QueueKey,
        reservation: Reservation,
        written: oneshot::Sender<()>,
    },
    Forget(ReservationId),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Journal {
    store: Arc<Store>,
    changes: Sender<Change>,
}

impl Journal {
    /// Writes to this store from now on.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn new(store: Arc<Store>) -> std::io::Result<Self> {
        let (changes, coming) = mpsc::channel(WAITING);
        let to = Arc::clone(&store);
        thread::Builder::new()
            .name("reservations".to_owned())
            .spawn(move || write_all(&to, coming))?;
        Ok(Self { store, changes })
    }

    /// What an earlier process left whose time is not up.
    ///
    /// Boot time may have begun anew, so the wall clock says how much of a reservation's time is left; never more than the whole.
    pub(super) fn read(&self, now: Moment) -> Vec<(QueueKey, Reservation)> {
        let kept = self.store.reservations(now);
        let rebased = kept.into_iter().map(|kept| {
            let ttl = kept.expires.saturating_sub(kept.made);
            let gone = now.wall.saturating_sub(kept.made).min(ttl);
            let reservation = Reservation {
                id: kept.id,
                call_id: kept.call_id,
                made: now.earlier(gone),
                ttl,
            };
            (kept.queue, reservation)
        });
        rebased.collect()
    }

    /// Writes one down, and waits a moment for it.
    pub(super) async fn keep(&self, queue: &QueueKey, reservation: &Reservation) {
        let (written, done) = oneshot::channel();
        self.send(Change::Keep {
            queue: queue.clone(),
            reservation: reservation.clone(),
            written,
        });
        let _ = tokio::time::timeout(PATIENCE, done).await;
    }

    /// The queue of one has another name.
    pub(super) fn carry(&self, queue: &QueueKey, reservation: &Reservation) {
        self.send(Change::Keep {
            queue: queue.clone(),
            reservation: reservation.clone(),
            written: oneshot::channel().0,
        });
    }

    /// One has ended. (Those whose time is up end by themselves, there as well.)
    pub(super) fn forget(&self, id: &ReservationId) {
        self.send(Change::Forget(id.clone()));
    }

    fn send(&self, change: Change) {
        if self.changes.try_send(change).is_err() {
            tracing::warn!("the disk is too slow: a restart now would not know all reservations");
        }
    }
}

/// Ends with the last sender, once everything is written.
fn write_all(store: &Store, mut changes: Receiver<Change>) {
    while let Some(change) = changes.blocking_recv() {
        match change {
            Change::Keep {
                queue,
                reservation,
                written,
            } => {
                store.keep_reservation(&queue, &reservation);
                // Whoever waited may have given up.
                let _ = written.send(());
            }
            Change::Forget(id) => store.forget_reservation(&id),
        }
    }
}
