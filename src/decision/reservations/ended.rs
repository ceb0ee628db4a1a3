//! Remembers the reservations that ended last, however they ended. Most routers release each seat when its call ends, long after that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexSet;

use super::id::ReservationId;

/// The maximum of ended reservations to remember: the calls of some minutes on a busy node, in 200 kB.
const MAX_ENDED: usize = 2_048;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<IndexSet<ReservationId>>);

impl Ended {
    /// Records that a reservation has ended.
    pub fn record(&self, id: &ReservationId) {
        let mut ended = self.lock();
        if ended.len() >= MAX_ENDED {
            // Half of them at once, since the others move.
            ended.drain(..MAX_ENDED / 2);
        }
        ended.insert(id.clone());
    }

    /// Forgets that a reservation has ended.
    pub fn forget(&self, id: &ReservationId) {
        self.lock().shift_remove(id);
    }

    /// Returns whether this one is among them.
    pub fn has(&self, id: &ReservationId) -> bool {
        self.lock().contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, IndexSet<ReservationId>> {
        // Each change is one insertion or removal, so a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
