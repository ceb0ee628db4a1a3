//! The seats that are held for calls on their way.

use std::time::Duration;

use rusqlite::params;

use super::Store;
use crate::{
    board::QueueKey,
    clock::Moment,
    reservations::{Reservation, ReservationId},
};

impl Store {
    /// The reservations whose time is not up; none where they cannot be read: the seats they hold are open again.
    pub fn reservations(&self, now: Moment) -> Vec<KeptReservation> {
        let read = self.lock().with(|connection| {
            let mut rows = connection.prepare(
                "SELECT id, account, queue, call_id, made_ms, expires_ms FROM reservations WHERE expires_ms > ?1 ORDER BY made_ms",
            )?;
            let kept = rows.query_map([millis(now.wall)], KeptReservation::from_row)?;
            kept.collect()
        });
        read.unwrap_or_default()
    }

    /// Keeps a reservation for the next start. Those whose time is up go at the same time.
    pub fn keep_reservation(&self, queue: &QueueKey, reservation: &Reservation) {
        let (made, expires) = (reservation.made.wall, reservation.expires().wall);
        self.lock().with(|connection| {
            let over = "DELETE FROM reservations WHERE expires_ms <= ?1";
            connection.execute(over, [millis(made)])?;
            connection.execute(
                "INSERT OR REPLACE INTO reservations (id, account, queue, call_id, made_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![reservation.id.as_str(), queue.account, queue.queue, reservation.call_id, millis(made), millis(expires)],
            )
        });
    }

    /// A reservation has ended.
    pub fn forget_reservation(&self, id: &ReservationId) {
        self.lock().with(|connection| {
            connection.execute("DELETE FROM reservations WHERE id = ?1", [id.as_str()])
        });
    }
}

/// A reservation as the file has it.
#[derive(Debug, PartialEq, Eq)]
pub struct KeptReservation {
    /// Whose seat it holds.
    pub queue: QueueKey,
    /// Its name.
    pub id: ReservationId,
    /// The router's name for the call.
    pub call_id: Box<str>,
    /// When it was made: wall time.
    pub made: Duration,
    /// When its time is up: wall time.
    pub expires: Duration,
}

impl KeptReservation {
    fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let text = |column: usize| row.get::<_, String>(column);
        let wall = |column: usize| row.get::<_, i64>(column).map(from_millis);
        Ok(Self {
            id: ReservationId::of(&text(0)?),
            queue: QueueKey::new(text(1)?, text(2)?),
            call_id: text(3)?.into(),
            made: wall(4)?,
            expires: wall(5)?,
        })
    }
}

fn millis(wall: Duration) -> i64 {
    wall.as_millis() as i64
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}
