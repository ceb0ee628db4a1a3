//! The answer of a measurement, regardless of its age.

use super::{
    criteria::{Comparison, Measured, Verdict},
    reason::Reason,
};
use crate::model::quantity::Quantity;

/// The answer of a snapshot, regardless of its age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// One of those that [are known](Reason::is_known).
    pub(super) reason: Reason,
    /// The count without the seats that reservations hold.
    pub(super) open: Quantity,
    /// See [`Decision::capacity`](super::Decision::capacity).
    pub(super) capacity: u32,
}

impl Answer {
    pub(super) fn accepts(self) -> bool {
        self.capacity > 0
    }
}

/// Returns the answer of a measurement; `None` if there is no threshold to compare it with.
pub(super) fn answer(measured: Measured, threshold: Option<Quantity>, held: u32) -> Option<Answer> {
    let Measured { count, verdict } = measured;
    match verdict {
        Verdict::Compare(comparison) => Some(compare(count, comparison, threshold?, held)),
        // These criteria do not measure seats, so none can be held.
        Verdict::Holds(true) => Some(Answer {
            reason: Reason::Seats,
            open: count,
            capacity: 1,
        }),
        Verdict::Holds(false) => Some(Answer {
            reason: Reason::BelowThreshold,
            open: count,
            capacity: 0,
        }),
    }
}

/// Compares a count with its threshold before and after reservations. Otherwise, with *less than* or *equals*, a reservation could open a
/// queue that the count itself does not.
fn compare(count: Quantity, comparison: Comparison, threshold: Quantity, held: u32) -> Answer {
    let open = open(count, held);
    let downwards = downwards(comparison, count, threshold);
    let (reason, capacity) = if !comparison.holds(count, threshold) {
        (Reason::BelowThreshold, 0)
    } else if !downwards.holds(open, threshold) {
        (Reason::Reserved, 0)
    } else {
        (Reason::Seats, capacity(downwards, open, threshold))
    };
    Answer {
        reason,
        open,
        capacity,
    }
}

/// Returns how many more calls a comparison that holds would accept, if each of them took one seat.
fn capacity(comparison: Comparison, open: Quantity, threshold: Quantity) -> u32 {
    let beyond = open.get() - threshold.get();
    // A cast from a number that is too large gives the largest `u32`.
    match comparison {
        Comparison::GreaterThan => beyond.ceil() as u32,
        Comparison::GreaterOrEqual => (beyond.floor() as u32).saturating_add(1),
        // Fewer seats do not end these, or the very next one does: they do not count seats.
        Comparison::LessThan
        | Comparison::LessOrEqual
        | Comparison::Equals
        | Comparison::NotEquals => 1,
    }
}

/// The comparison for a count that reservations lower. A count above the number that it must not equal has to stay above it. Otherwise one
/// reservation would close the queue and the next would open it again.
fn downwards(comparison: Comparison, count: Quantity, threshold: Quantity) -> Comparison {
    match comparison {
        Comparison::NotEquals if count > threshold => Comparison::GreaterThan,
        other => other,
    }
}

/// Returns the count without held seats. Reservations outlive a poll or two, so more may be held than there are seats. Then none is open, never a
/// negative number.
fn open(count: Quantity, held: u32) -> Quantity {
    match count.less(held) {
        left if left >= Quantity::ZERO => left,
        _ if count >= Quantity::ZERO => Quantity::ZERO,
        // A measurement below zero is not a number of seats.
        _ => count,
    }
}
