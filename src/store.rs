//! What survives a restart beside the budget's ledger: the names of queues and statuses, and the seats that are held.
//!
//! Losing this file costs a few requests and a minute's reservations, so every failure here is a log line and the daemon goes on. The ledger, which
//! must not be lost, has a file of its own.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    board::QueueKey,
    budget::Payer,
    clock::Moment,
    names::Names,
    reservations::{Reservation, ReservationId},
};

/// One step for each layout of the file there has been, the first from an empty file; each leads to the next.
const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE names (
    account  TEXT    PRIMARY KEY,
    identity TEXT    NOT NULL, -- another token or origin may be another account, with other ids
    json     TEXT    NOT NULL,
    read_ms  INTEGER NOT NULL  -- wall time
) STRICT;
",
    "
CREATE TABLE reservations (
    id         TEXT    PRIMARY KEY,
    account    TEXT    NOT NULL,
    queue      TEXT    NOT NULL,
    call_id    TEXT    NOT NULL,
    made_ms    INTEGER NOT NULL, -- wall time
    expires_ms INTEGER NOT NULL  -- wall time
) STRICT;
",
];

const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's word.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is from the future.
    #[error(
        "it was written by a newer openseat (its layout is {found}, this program knows up to {SCHEMA_VERSION})"
    )]
    Newer {
        /// Its layout's number.
        found: usize,
    },
}

/// See the [module](self).
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens or creates the store in a file.
    ///
    /// # Errors
    /// [`StoreError`], where the file cannot be opened or is no store of ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What a power cut takes is read again from CallTools.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.busy_timeout(Duration::from_secs(5))?;
        migrate(&connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// The names that an earlier run of the same account read, and how old they are.
    pub fn names(&self, payer: &Payer, now: Moment) -> Option<(Names, Duration)> {
        let read = self
            .lock()
            .query_row(
                "SELECT json, read_ms FROM names WHERE account = ?1 AND identity = ?2",
                params![payer.account, payer.identity],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
            )
            .optional();
        let (json, read_ms) = match read {
            Ok(row) => row?,
            Err(error) => {
                tracing::warn!(account = payer.account, %error, "stored names cannot be read, and are asked for again");
                return None;
            }
        };
        let age = now.wall.saturating_sub(from_millis(read_ms));
        match Names::from_json(&json) {
            Ok(names) => Some((names, age)),
            Err(error) => {
                tracing::warn!(account = payer.account, %error, "stored names are not readable, and are asked for again");
                None
            }
        }
    }

    /// Keeps the names for the next start.
    pub fn keep_names(&self, payer: &Payer, names: &Names, now: Moment) {
        let kept = self.lock().execute(
            "INSERT OR REPLACE INTO names (account, identity, json, read_ms) VALUES (?1, ?2, ?3, ?4)",
            params![payer.account, payer.identity, names.to_json(), millis(now.wall)],
        );
        if let Err(error) = kept {
            tracing::warn!(account = payer.account, %error, "names could not be stored; the next start asks for them again");
        }
    }

    /// The reservations whose time is not up.
    pub fn reservations(&self, now: Moment) -> Vec<KeptReservation> {
        let read = || {
            let connection = self.lock();
            let mut rows = connection.prepare(
                "SELECT id, account, queue, call_id, made_ms, expires_ms FROM reservations WHERE expires_ms > ?1 ORDER BY made_ms",
            )?;
            let kept = rows.query_map([millis(now.wall)], KeptReservation::from_row)?;
            kept.collect::<Result<Vec<_>, _>>()
        };
        read().unwrap_or_else(|error| {
            tracing::warn!(%error, "stored reservations cannot be read: the seats they hold are open again");
            Vec::new()
        })
    }

    /// Keeps a reservation for the next start. Those whose time is up go at the same time.
    pub fn keep_reservation(&self, queue: &QueueKey, reservation: &Reservation) {
        let (made, expires) = (reservation.made.wall, reservation.expires().wall);
        let connection = self.lock();
        let kept = connection
            .execute("DELETE FROM reservations WHERE expires_ms <= ?1", [millis(made)])
            .and_then(|_| {
                connection.execute(
                    "INSERT OR REPLACE INTO reservations (id, account, queue, call_id, made_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![reservation.id.as_str(), queue.account, queue.queue, reservation.call_id, millis(made), millis(expires)],
                )
            });
        if let Err(error) = kept {
            tracing::warn!(%queue, %error, "a reservation could not be stored; a restart now would open its seat");
        }
    }

    /// A reservation has ended.
    pub fn forget_reservation(&self, id: &ReservationId) {
        let gone = self
            .lock()
            .execute("DELETE FROM reservations WHERE id = ?1", [id.as_str()]);
        if let Err(error) = gone {
            tracing::warn!(%error, "a reservation's end could not be stored; a restart now would hold its seat until its time is up");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

/// Brings the file to the layout of this program, step by step, each whole or not at all.
fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    let steps = MIGRATIONS.get(found..).ok_or(StoreError::Newer { found })?;
    for (step, layout) in steps.iter().zip(found + 1..) {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {step} PRAGMA user_version = {layout}; COMMIT;"
        ))?;
    }
    Ok(())
}
