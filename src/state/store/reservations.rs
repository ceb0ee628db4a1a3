//! Stores the seats held for calls on their way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Store, renames::Configured};
use crate::{
    clock::{Clock, Moment, stored_time::StoredTime},
    decision::{
        board::QueueKey,
        reservations::{KeptReservation, Reservation, ReservationId, SeatsInMemory},
        soon::rule::Prediction,
    },
    model::agent::AgentId,
};

/// Brings the file up to date with memory.
#[derive(Debug)]
pub(super) struct Seats {
    memory: Arc<dyn SeatsInMemory>,
    clock: Arc<dyn Clock>,
    /// Whose queues the stored seats belong to.
    configured: Arc<Configured>,
    /// The seats of an earlier process were taken over. Until then they must not be overwritten.
    taken_over: AtomicBool,
}

impl Seats {
    /// Takes over the seats of an earlier process, if not done yet, and writes everything that is held.
    pub fn write_whole(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let now = self.clock.now();
        let transaction = connection.transaction()?;
        if !self.taken_over.load(Ordering::Relaxed) {
            let answered = read_answered(&transaction, self.clock.as_ref())?;
            let mut kept = read(&transaction, now)?;
            self.configured.rename(&transaction, &mut kept)?;
            self.memory.restore(kept, answered, now);
            self.taken_over.store(true, Ordering::Relaxed);
        }
        transaction.execute("DELETE FROM reservations", [])?;
        for (queue, reservation) in self.memory.held(now) {
            insert(&transaction, &queue, &reservation)?;
        }
        self.write_answered(&transaction)?;
        transaction.commit()
    }

    fn write(
        &self,
        connection: &mut Connection,
        changed: &[(QueueKey, ReservationId)],
    ) -> rusqlite::Result<()> {
        let now = self.clock.now();
        let transaction = connection.transaction()?;
        let over = "DELETE FROM reservations WHERE expires_ms <= ?1";
        transaction.execute(over, [millis(now.wall)])?;
        for (queue, id) in changed {
            match self.memory.find(queue, id, now) {
                Some((queue, reservation)) => insert(&transaction, &queue, &reservation)?,
                None => {
                    let ended = "DELETE FROM reservations WHERE id = ?1";
                    transaction.prepare_cached(ended)?.execute([id.as_str()])?;
                }
            }
        }
        self.write_answered(&transaction)?;
        transaction.commit()
    }

    /// Runs in the transaction that removes a seat, after memory was asked for that seat. So a file that lacks a seat always has the time of
    /// the departure.
    fn write_answered(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let Some(answered) = self.memory.answered() else {
            return Ok(());
        };
        let at = StoredTime::new(answered, self.clock.as_ref());
        let sql = "INSERT OR REPLACE INTO answered (one, boot_id, boot_ms, wall_ms) VALUES (1, ?1, ?2, ?3)";
        let mut statement = transaction.prepare_cached(sql)?;
        let written = statement.execute(params![at.boot_id, at.boot_ms, at.wall_ms]);
        written.map(drop)
    }
}

impl Store {
    /// Restores the seats of an earlier process into `memory`, and keeps the file up to date with it from now on. If the file cannot be used
    /// now, this happens as soon as it can.
    pub fn keep_seats_of(&self, memory: Arc<dyn SeatsInMemory>) {
        let seats = Seats {
            memory,
            clock: Arc::clone(&self.clock),
            configured: Arc::clone(&self.configured),
            taken_over: AtomicBool::new(false),
        };
        if self.shelf.seats.set(seats).is_ok() {
            self.keep_all_seats();
        }
    }

    /// Records that these reservations were made or have ended. An empty list only checks the file.
    pub fn keep_seats(&self, changed: &[(QueueKey, ReservationId)]) {
        let Some(seats) = self.shelf.seats.get() else {
            return;
        };
        self.with(|connection| match changed {
            [] => Ok(()),
            _ => seats.write(connection, changed),
        });
    }

    /// Writes everything that is held, because the changes are unknown.
    pub fn keep_all_seats(&self) {
        self.shelf.file().close();
        self.keep_seats(&[]);
    }
}

/// Reads the reservations that have not expired.
fn read(transaction: &Transaction<'_>, now: Moment) -> rusqlite::Result<Vec<KeptReservation>> {
    let mut rows = transaction.prepare(
        "SELECT id, account, queue, call_id, made_ms, expires_ms, likely, needed, agent FROM reservations WHERE expires_ms > ?1 ORDER BY made_ms",
    )?;
    rows.query_map([millis(now.wall)], kept)?.collect()
}

/// Returns when a departure last ended a reservation. If its age is unknown, it may have been just now.
fn read_answered(
    transaction: &Transaction<'_>,
    clock: &dyn Clock,
) -> rusqlite::Result<Option<Moment>> {
    let sql = "SELECT boot_id, boot_ms, wall_ms FROM answered";
    let stamp = transaction.query_row(sql, [], |row| {
        Ok(StoredTime {
            boot_id: row.get(0)?,
            boot_ms: row.get(1)?,
            wall_ms: row.get(2)?,
        })
    });
    let moment = |stamp: StoredTime| stamp.to_moment(clock).unwrap_or_else(|| clock.now());
    Ok(stamp.optional()?.map(moment))
}

fn insert(
    transaction: &Transaction<'_>,
    queue: &QueueKey,
    reservation: &Reservation,
) -> rusqlite::Result<()> {
    let (made, expires) = (reservation.made.wall, reservation.expires().wall);
    let (likely, needed) = reservation.prediction.map(Prediction::figures).unzip();
    let sql = "INSERT OR REPLACE INTO reservations (id, account, queue, call_id, made_ms, expires_ms, likely, needed, agent) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        reservation.id.as_str(),
        queue.account,
        queue.queue,
        reservation.call_id,
        millis(made),
        millis(expires),
        likely,
        needed,
        reservation.counts_on.as_ref().map(|agent| &*agent.0),
    ])?;
    Ok(())
}

fn kept(row: &rusqlite::Row<'_>) -> rusqlite::Result<KeptReservation> {
    let text = |column: usize| row.get::<_, String>(column);
    let wall = |column: usize| row.get::<_, i64>(column).map(from_millis);
    // A number that none of ours can be is no percentage.
    let likely = row.get::<_, Option<i64>>(6)?;
    let likely = likely.and_then(|likely| u8::try_from(likely).ok());
    let (needed, agent) = (
        row.get::<_, Option<f64>>(7)?,
        row.get::<_, Option<String>>(8)?,
    );
    Ok(KeptReservation {
        id: ReservationId::from_text(&text(0)?),
        queue: QueueKey::new(text(1)?, text(2)?),
        call_id: text(3)?.into(),
        made: wall(4)?,
        expires: wall(5)?,
        prediction: likely.zip(needed).and_then(Prediction::from_figures),
        counts_on: agent.map(|agent| AgentId(agent.into())),
    })
}

fn millis(wall: Duration) -> i64 {
    wall.as_millis() as i64
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}
