//! What survives a restart beside the budget's ledger: the names of queues and statuses.
//!
//! Losing this file costs a few requests and nothing else, so every failure here is a log line and the daemon goes on. The ledger, which
//! must not be lost, has a file of its own.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{budget::Payer, clock::Moment, names::Names};

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE names (
    account  TEXT    PRIMARY KEY,
    identity TEXT    NOT NULL, -- another token or origin may be another account, with other ids
    json     TEXT    NOT NULL,
    read_ms  INTEGER NOT NULL  -- wall time
) STRICT;
";

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
        found: i64,
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
        match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            ))?,
            SCHEMA_VERSION => {}
            found => return Err(StoreError::Newer { found }),
        }
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
        let age = now
            .wall
            .saturating_sub(Duration::from_millis(read_ms.max(0) as u64));
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
            params![payer.account, payer.identity, names.to_json(), now.wall.as_millis() as i64],
        );
        if let Err(error) = kept {
            tracing::warn!(account = payer.account, %error, "names could not be stored; the next start asks for them again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
