//! Seats that this node gives to calls while it leads. No call gets one before the log has it, because the next leader must know it.
//!
//! A seat that the log does not take is released. Its router may have repeated the request by then, and the repeated request finds the seat. That
//! request waits for the log as well. Either it promises the seat first, and the seat stays, or the seat is gone, and the request gets none.
//!
//! A process may be paused between the decision and the log, and lead again when it wakes. Meanwhile another node may have given the seat away. So
//! the log takes a seat only in the tenure in which it was decided.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use super::{
    entry::{Entry, HeldSeat},
    member::Member,
};
use crate::{
    clock::Moment,
    decision::{
        board::QueueKey,
        reservations::{Reservation, ReservationId, Reservations},
    },
};

impl Member {
    /// Logs a seat that was just made in this tenure. Returns whether its call has it; otherwise it is released.
    pub async fn log_made(
        &self,
        tenure: u64,
        seats: &Reservations,
        queue: &QueueKey,
        made: &Reservation,
    ) -> bool {
        let has_seat = self.log_seat(tenure, queue, made).await || !self.withdraw(seats, &made.id);
        if !has_seat {
            self.ended(made.id.clone()); // The entry may be in the log, although no confirmation came.
        }
        has_seat
    }

    /// Logs a seat again that a repeated request has found. Returns whether its call has it.
    pub async fn log_found(
        &self,
        tenure: u64,
        seats: &Reservations,
        queue: &QueueKey,
        found: &Reservation,
    ) -> bool {
        let is_logged = self.log_seat(tenure, queue, found).await;
        let is_held = match is_logged {
            true => self.promise(seats, queue, found),
            false => is_held(seats, queue, found, self.clock.now()),
        };
        if !is_held {
            self.ended(found.id.clone()); // Other nodes may have just heard of it again.
        }
        is_logged && is_held
    }

    /// Logs that a seat is released, and releases it: once the call is told, the next leader must not hold it. Returns whether the log has it.
    ///
    /// If that is unknown, the seat is gone here as well, because this node goes on telling others that it has ended. If another node begins to lead
    /// before it hears that, it holds the seat, and a repeated request releases it there.
    pub async fn release(&self, tenure: u64, seats: &Reservations, id: &ReservationId) -> bool {
        let entry = Entry {
            ended: vec![id.clone()],
            ..Entry::default()
        };
        let is_logged = self.publish_in(tenure, entry).await;
        match is_logged {
            Some(true) => drop(seats.release(id, self.clock.now())),
            Some(false) => seats.release_unsure(id, self.clock.now()),
            None => {}
        }
        is_logged == Some(true)
    }

    async fn log_seat(&self, tenure: u64, queue: &QueueKey, reservation: &Reservation) -> bool {
        let entry = Entry {
            held: vec![HeldSeat {
                queue: queue.queue.clone(),
                reservation: reservation.clone(),
            }],
            ..Entry::default()
        };
        self.publish_in(tenure, entry).await == Some(true)
    }

    /// Promises a seat, unless it has been released. Returns whether it is promised.
    fn promise(&self, seats: &Reservations, queue: &QueueKey, found: &Reservation) -> bool {
        let (mut promised, now) = (self.promised(), self.clock.now());
        promised.retain(|_, expires| now.boot < expires.boot);
        let is_held = is_held(seats, queue, found, now);
        if is_held {
            promised.insert(found.id.clone(), found.expires());
        }
        is_held
    }

    /// Releases a seat, unless it has been promised. Returns whether it is released.
    fn withdraw(&self, seats: &Reservations, id: &ReservationId) -> bool {
        let promised = self.promised();
        let may = !promised.contains_key(id);
        if may {
            // The next leader may have read of it in the log.
            seats.release_unsure(id, self.clock.now());
        }
        may
    }

    fn promised(&self) -> MutexGuard<'_, HashMap<ReservationId, Moment>> {
        // Each change is one insertion or removal, so a panic leaves nothing half done.
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_held(seats: &Reservations, queue: &QueueKey, one: &Reservation, now: Moment) -> bool {
    let held = seats.queue(queue).list(now);
    held.iter().any(|held| held.id == one.id)
}
