//! The ledger: every request, written down before it is sent. It is the law of the budget.
//!
//! One SQLite file serves all accounts of a state folder, and all processes that use it: the daemon, and `check` beside it.
//! Admission is one immediate transaction, so two processes cannot both take the last permit. The file is in WAL mode with
//! full synchronization: a request is on the disk before it is on the wire, so no crash and no power cut forgets one.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    Purpose,
    stamp::Stamp,
    window::{Allowance, HOUR, Spent, Window},
};
use crate::clock::Clock;

/// Our hour and CallTools' may run at different speeds: NTP slews a clock by at most 500 ppm, 1.8 s in an hour.
const DRIFT: Duration = Duration::from_secs(2);

/// A request whose answer nobody wrote down, since the process was killed, arrived at CallTools at the latest this long after it was
/// sent: the longest time-out that a config may set is 60 s, and the connection ends with the process.
const UNANSWERED: Duration = Duration::from_secs(60);

/// How long to wait for another process to finish its transaction: each takes milliseconds, on a slow disk perhaps a second.
const BUSY: Duration = Duration::from_secs(5);

/// The layout below; a ledger with a higher number was written by a newer openseat.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE request (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT    NOT NULL, -- the name in the config
    identity TEXT    NOT NULL, -- of the origin and token, so that a new name is no new budget
    polling  INTEGER NOT NULL, -- 1: background polling; 0: somebody asked
    answered INTEGER NOT NULL, -- 1: the stamp is that of the answer; 0: that of the sending
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX request_by_account ON request (account);
CREATE INDEX request_by_identity ON request (identity);
CREATE TABLE throttle (
    account TEXT    PRIMARY KEY,
    wait_ms INTEGER NOT NULL, -- from the stamp on
    share   REAL    NOT NULL, -- of the allowed rate, at the stamp
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
";

/// Whose budget it is. Requests count if the name *or* the identity is the same, so that neither renaming an account nor
/// giving it a new token makes its hour begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The account's name in the config.
    pub account: String,
    /// A digest of the origin and the token.
    pub identity: String,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite's word.
    #[error("the budget ledger cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is from the future.
    #[error(
        "the budget ledger was written by a newer openseat (its layout is {found}, this program knows up to {SCHEMA_VERSION})"
    )]
    Newer {
        /// Its layout's number.
        found: i64,
    },
}

/// What the ledger says to a request that wants to be sent.
#[derive(Clone, Debug)]
pub(super) enum Admission {
    /// It is written down as spent, under this number; the window includes it.
    Granted { id: i64, window: Window },
    /// No room before this long.
    Full { wait: Duration },
}

/// What CallTools' last 429 asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throttle {
    /// How long ago it came, at the least.
    pub age: Duration,
    pub wait: Duration,
    pub share: f64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// The last look at the clock.
    seen: Stamp,
}

impl Ledger {
    /// Opens or creates the ledger in a file.
    ///
    /// # Errors
    /// [`LedgerError`], where the file cannot be opened, is no ledger, or is from a newer openseat.
    pub fn open(path: &Path, clock: &dyn Clock) -> Result<Self, LedgerError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Self::from_connection(connection, clock)
    }

    /// A ledger that forgets at exit.
    pub fn in_memory(clock: &dyn Clock) -> Self {
        let opened = Connection::open_in_memory().map_err(LedgerError::from);
        opened
            .and_then(|connection| Self::from_connection(connection, clock))
            .expect("SQLite needs only memory for this")
    }

    fn from_connection(mut connection: Connection, clock: &dyn Clock) -> Result<Self, LedgerError> {
        connection.busy_timeout(BUSY)?;
        migrate(&mut connection)?;
        let now = Stamp::now(clock);
        restamp(&mut connection, |at| {
            (!now.shares_clock(at)).then(|| now.before(now.since(at)))
        })?;
        let inner = Inner {
            connection,
            seen: now,
        };
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Writes a request down if there is room for it.
    pub(super) fn admit(
        &self,
        payer: &Payer,
        allowance: Allowance,
        purpose: Purpose,
        clock: &dyn Clock,
    ) -> Result<Admission, LedgerError> {
        let mut inner = self.lock();
        let now = inner.observe(clock)?;
        let transaction = inner
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rows = read(&transaction, payer, &now)?;
        remove_what_has_left(&transaction, &rows)?;
        let mut window = Window::new(rows.into_iter().map(|(_, spent)| spent));
        let wait = window.wait(allowance, purpose);
        if !wait.is_zero() {
            return Ok(Admission::Full { wait });
        }
        let id = insert(&transaction, payer, purpose, &now)?;
        transaction.commit()?;
        window.add(Spent {
            leaves_in: leaves_after(false),
            by_polling: purpose.is_polling(),
        });
        Ok(Admission::Granted { id, window })
    }

    /// The answer to a request has come: from now it takes an hour to leave the window.
    pub(super) fn answered(&self, id: i64, clock: &dyn Clock) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        let now = inner.observe(clock)?;
        inner.connection.execute(
            "UPDATE request SET answered = 1, boot_id = ?2, boot_ms = ?3, wall_ms = ?4 WHERE id = ?1",
            params![id, now.boot_id, now.boot_ms, now.wall_ms],
        )?;
        Ok(())
    }

    /// The requests in the window now.
    pub(super) fn window(&self, payer: &Payer, clock: &dyn Clock) -> Result<Window, LedgerError> {
        let mut inner = self.lock();
        let now = inner.observe(clock)?;
        let rows = read(&inner.connection, payer, &now)?;
        Ok(Window::new(rows.into_iter().map(|(_, spent)| spent)))
    }

    /// Keeps what a 429 asked for, so that a restart does not forget it.
    pub(super) fn set_throttle(
        &self,
        payer: &Payer,
        wait: Duration,
        share: f64,
        clock: &dyn Clock,
    ) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        let now = inner.observe(clock)?;
        inner.connection.execute(
            "INSERT OR REPLACE INTO throttle (account, wait_ms, share, boot_id, boot_ms, wall_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![payer.account, wait.as_millis() as i64, share, now.boot_id, now.boot_ms, now.wall_ms],
        )?;
        Ok(())
    }

    /// What the last 429 asked for, if there ever was one.
    pub(super) fn throttle(
        &self,
        payer: &Payer,
        clock: &dyn Clock,
    ) -> Result<Option<Throttle>, LedgerError> {
        let mut inner = self.lock();
        let now = inner.observe(clock)?;
        let row = inner
            .connection
            .query_row(
                "SELECT wait_ms, share, boot_id, boot_ms, wall_ms FROM throttle WHERE account = ?1",
                params![payer.account],
                |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, stamp(row, 2)?)),
            )
            .optional()?;
        Ok(row.map(|(wait_ms, share, at)| Throttle {
            age: now.since(&at),
            wait: Duration::from_millis(wait_ms.max(0) as u64),
            share,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic drops its transaction, and SQLite rolls that back: what is behind the lock is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Reads the clock. Where it was set since the last look, the stamps that were read from it move along.
    fn observe(&mut self, clock: &dyn Clock) -> Result<Stamp, LedgerError> {
        let now = Stamp::now(clock);
        if !now.shares_clock(&self.seen) {
            restamp(&mut self.connection, |at| {
                at.shares_clock(&self.seen).then(|| at.moved(&now))
            })?;
        }
        self.seen = now.clone();
        Ok(now)
    }
}

/// Rewrites the stamps for which `change` has another.
///
/// At the start, those of another boot or another clock become ages on ours: so a wall clock that is set right only later frees
/// nothing, and one that was set back holds nothing for longer than an hour.
fn restamp(
    connection: &mut Connection,
    change: impl Fn(&Stamp) -> Option<Stamp>,
) -> Result<(), LedgerError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["request", "throttle"] {
        let rows: Vec<(i64, Stamp)> = {
            let mut statement = transaction.prepare(&format!(
                "SELECT rowid, boot_id, boot_ms, wall_ms FROM {table}"
            ))?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, stamp(row, 1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        let mut update = transaction.prepare(&format!(
            "UPDATE {table} SET boot_id = ?2, boot_ms = ?3, wall_ms = ?4 WHERE rowid = ?1"
        ))?;
        for (rowid, at) in rows {
            if let Some(at) = change(&at) {
                update.execute(params![rowid, at.boot_id, at.boot_ms, at.wall_ms])?;
            }
        }
    }
    Ok(transaction.commit()?)
}

fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            Ok(transaction.commit()?)
        }
        SCHEMA_VERSION => Ok(()),
        _ => Err(LedgerError::Newer { found }),
    }
}

/// Every request of the payer that the ledger still has, by number.
fn read(
    connection: &Connection,
    payer: &Payer,
    now: &Stamp,
) -> rusqlite::Result<Vec<(i64, Spent)>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, polling, answered, boot_id, boot_ms, wall_ms FROM request WHERE account = ?1 OR identity = ?2",
    )?;
    let rows = statement.query_map(params![payer.account, payer.identity], |row| {
        let spent = Spent {
            leaves_in: leaves_after(row.get(2)?).saturating_sub(now.since(&stamp(row, 3)?)),
            by_polling: row.get(1)?,
        };
        Ok((row.get(0)?, spent))
    })?;
    rows.collect()
}

fn remove_what_has_left(
    transaction: &Transaction<'_>,
    rows: &[(i64, Spent)],
) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM request WHERE id = ?1")?;
    for (id, _) in rows.iter().filter(|(_, spent)| spent.leaves_in.is_zero()) {
        delete.execute([id])?;
    }
    Ok(())
}

/// How long a request stays in the window after its stamp.
fn leaves_after(answered: bool) -> Duration {
    let stays = HOUR + DRIFT;
    if answered { stays } else { stays + UNANSWERED }
}

fn insert(
    transaction: &Transaction<'_>,
    payer: &Payer,
    purpose: Purpose,
    now: &Stamp,
) -> rusqlite::Result<i64> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO request (account, identity, polling, answered, boot_id, boot_ms, wall_ms) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)",
    )?;
    statement.insert(params![
        payer.account,
        payer.identity,
        purpose.is_polling(),
        now.boot_id,
        now.boot_ms,
        now.wall_ms
    ])
}

fn stamp(row: &rusqlite::Row<'_>, first_column: usize) -> rusqlite::Result<Stamp> {
    Ok(Stamp {
        boot_id: row.get(first_column)?,
        boot_ms: row.get(first_column + 1)?,
        wall_ms: row.get(first_column + 2)?,
    })
}
