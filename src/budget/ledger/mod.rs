//! The ledger: every request, written down before it is sent. It is the law of the budget.
//!
//! One SQLite file serves all accounts of a state folder, and all processes that use it: the daemon, and `check` beside it.
//! Admission is one immediate transaction, so two processes cannot both take the last permit. The file is in WAL mode with
//! full synchronization: a request is on the disk before it is on the wire, so no crash and no power cut forgets one.
//!
//! Where the file cannot be written, the daemon goes on with a [`trickle`] that keeps the promise whatever happens, and tries again each
//! time. Where it is damaged or gone, the whole hour counts as spent: see [`file`](mod@file).

mod file;
#[cfg(test)]
mod tests;
mod trickle;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use self::{
    file::{LAYOUT, LedgerFile, Open, restamp},
    trickle::Trickle,
};
use super::{
    Purpose,
    window::{Allowance, HOUR, Spent, Window},
};
use crate::{
    clock::Clock,
    sqlite::{Condition, OpenError},
    stamp::Stamp,
};

/// Our hour and CallTools' may run at different speeds: NTP slews a clock by at most 500 ppm, 1.8 s in an hour.
const DRIFT: Duration = Duration::from_secs(2);

/// A request whose answer nobody wrote down, since the process was killed, arrived at CallTools at the latest this long after it was
/// sent: the longest time-out that a config may set is 60 s, and the connection ends with the process.
const UNANSWERED: Duration = Duration::from_secs(60);

/// Whose budget it is. Requests count if the name *or* the identity is the same, so that neither renaming an account nor
/// giving it a new token makes its hour begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The account's name in the config.
    pub account: String,
    /// A digest of the origin and the token.
    pub identity: String,
}

impl Payer {
    fn shares_budget(&self, other: &Payer) -> bool {
        self.account == other.account || self.identity == other.identity
    }
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file is no good, or cannot be opened.
    #[error("the budget ledger cannot be used: {0}")]
    Open(#[from] OpenError),
    /// SQLite's word.
    #[error("the budget ledger cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system's word on the state folder, or a file in it.
    #[error("the state folder cannot be used: {}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// The file was removed, or another took its place.
    #[error("the budget ledger's file was removed or replaced while it was in use")]
    Gone,
    /// Another daemon works in the folder.
    #[error("another openseat is running with the state folder {}; each needs one of its own", .0.display())]
    InUse(PathBuf),
}

impl LedgerError {
    /// Whether a start should be refused: people have to mend it. A folder that is there and cannot be written to may mend itself; one that we
    /// may not make or enter does not.
    fn is_final(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match self {
            LedgerError::Open(OpenError::Newer { .. }) | LedgerError::InUse(_) => true,
            LedgerError::Folder(_, error) => {
                matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
            }
            _ => false,
        }
    }
}

/// What the ledger says to a request that wants to be sent.
#[derive(Clone, Debug)]
pub(super) enum Admission {
    /// It is written down as spent, under this number; the window includes it.
    Granted { id: i64, window: Window },
    /// It cannot be written down, and may be sent all the same.
    Unwritten,
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
    condition: Arc<Condition>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` for a ledger in memory.
    file: Option<LedgerFile>,
    /// `None` while it cannot be used.
    open: Option<Open>,
    /// The last look at the clock.
    seen: Stamp,
    trickle: Trickle,
}

impl Ledger {
    /// Opens or creates the ledger in a file, beside the daemon that keeps it.
    ///
    /// # Errors
    /// [`LedgerError`], where the file cannot be opened or written, is no ledger, or is from a newer openseat.
    pub fn open(path: &Path, clock: &dyn Clock) -> Result<Self, LedgerError> {
        let ledger = Self::new(Some(LedgerFile::new(path, false)), clock);
        ledger.lock().connect(clock)?;
        Ok(ledger)
    }

    /// Opens or creates the ledger in a file, as the daemon that keeps it and is alone in its folder. A file that is damaged is set aside, and the
    /// hour then counts as spent; one that cannot be written is tried again whenever it is needed.
    ///
    /// # Errors
    /// [`LedgerError::InUse`], where another daemon is there; a file from a newer openseat; a folder that we may not make or enter.
    pub fn keep(path: &Path, clock: &dyn Clock) -> Result<Self, LedgerError> {
        let ledger = Self::new(Some(LedgerFile::new(path, true)), clock);
        match ledger.with(clock, |_, _| Ok(())) {
            Err(error) if error.is_final() => Err(error),
            _ => Ok(ledger),
        }
    }

    /// A ledger that forgets at exit.
    pub fn in_memory(clock: &dyn Clock) -> Self {
        let ledger = Self::new(None, clock);
        let connection = LAYOUT.in_memory();
        ledger.lock().open = Some(Open::in_memory(
            connection.expect("SQLite needs only memory for this"),
        ));
        ledger
    }

    fn new(file: Option<LedgerFile>, clock: &dyn Clock) -> Self {
        let seen = Stamp::now(clock);
        Self {
            condition: Arc::new(Condition::new(
                "ledger",
                "requests are sent only as far as the budget allows that they are forgotten, and none in the first hour",
            )),
            inner: Mutex::new(Inner {
                file,
                open: None,
                trickle: Trickle::new(clock.now().boot),
                seen,
            }),
        }
    }

    /// Whether it can be written, for metrics.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.condition)
    }

    /// `None` for what cannot be read now and may be later, as far as this ledger copes with that.
    pub(super) fn unless_degraded<T>(
        &self,
        read: Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        match read {
            Err(_) if self.condition.is_degraded() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Takes the ledger's word for it that nothing was sent that is not in it, where it was lost; returns whether it was.
    ///
    /// # Errors
    /// [`LedgerError`], where it cannot be written.
    pub fn trust(&self, clock: &dyn Clock) -> Result<bool, LedgerError> {
        self.with(clock, |connection, now| {
            let was_lost = !lost(connection, now)?.is_zero();
            connection.execute("UPDATE lost SET trusted = 1", [])?;
            Ok(was_lost)
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
        let admitted = self.with(clock, |connection, now| {
            write_down(connection, now, payer, allowance, purpose)
        });
        match admitted {
            Err(_) if self.lock().trickles(payer, allowance, clock) => Ok(Admission::Unwritten),
            admitted => admitted,
        }
    }

    /// The answer to a request has come: from now it takes an hour to leave the window.
    pub(super) fn answered(&self, id: i64, clock: &dyn Clock) -> Result<(), LedgerError> {
        self.with(clock, |connection, now| {
            connection.execute(
                "UPDATE request SET answered = 1, boot_id = ?2, boot_ms = ?3, wall_ms = ?4 WHERE id = ?1",
                params![id, now.boot_id, now.boot_ms, now.wall_ms],
            )?;
            Ok(())
        })
    }

    /// The requests in the window now.
    pub(super) fn window(&self, payer: &Payer, clock: &dyn Clock) -> Result<Window, LedgerError> {
        self.with(clock, |connection, now| {
            let rows = read(connection, payer, now)?;
            let window = Window::new(rows.into_iter().map(|(_, spent)| spent));
            Ok(window.closed_for(lost(connection, now)?))
        })
    }

    /// Keeps what a 429 asked for, so that a restart does not forget it.
    pub(super) fn set_throttle(
        &self,
        payer: &Payer,
        wait: Duration,
        share: f64,
        clock: &dyn Clock,
    ) -> Result<(), LedgerError> {
        self.with(clock, |connection, now| {
            connection.execute(
                "INSERT OR REPLACE INTO throttle (account, wait_ms, share, boot_id, boot_ms, wall_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![payer.account, wait.as_millis() as i64, share, now.boot_id, now.boot_ms, now.wall_ms],
            )?;
            Ok(())
        })
    }

    /// What the last 429 asked for, if there ever was one.
    pub(super) fn throttle(
        &self,
        payer: &Payer,
        clock: &dyn Clock,
    ) -> Result<Option<Throttle>, LedgerError> {
        self.with(clock, |connection, now| {
            let row = connection
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
        })
    }

    /// Does something with the file, after opening it where need be. One that fails is opened anew the next time.
    fn with<T>(
        &self,
        clock: &dyn Clock,
        work: impl FnOnce(&mut Connection, &Stamp) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut inner = self.lock();
        let outcome = inner.connect(clock).and_then(|()| {
            let now = inner.observe(clock)?;
            let open = inner.open.as_mut().expect("it was opened just now");
            work(&mut open.connection, &now)
        });
        match &outcome {
            Ok(_) => self.condition.works(),
            Err(error) => {
                if inner.close() {
                    self.condition.fails(error);
                }
            }
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic drops its transaction, and SQLite rolls that back: what is behind the lock is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes sure that the file is open, and still the one of its name.
    fn connect(&mut self, clock: &dyn Clock) -> Result<(), LedgerError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if let Some(open) = &self.open {
            if open.is_still_there(&file.path) {
                return Ok(());
            }
            self.open = None;
            if !file.keeper {
                return Err(LedgerError::Gone);
            }
            tracing::error!(path = %file.path.display(), "{}", LedgerError::Gone);
        }
        let opened = file.open(clock, &self.seen)?;
        self.seen = Stamp::now(clock);
        self.open = Some(opened);
        Ok(())
    }

    /// After a failure; returns whether this process goes on without the file.
    fn close(&mut self) -> bool {
        if self.file.is_some() {
            self.open = None;
        }
        self.file.as_ref().is_some_and(|file| file.keeper)
    }

    /// Whether a request may be sent that cannot be written down.
    fn trickles(&mut self, payer: &Payer, allowance: Allowance, clock: &dyn Clock) -> bool {
        let alone = self.file.as_ref().is_some_and(LedgerFile::is_alone);
        alone && self.trickle.take(payer, allowance, clock.now().boot)
    }

    /// Reads the clock. Where it was set since the last look, the stamps that were read from it move along.
    fn observe(&mut self, clock: &dyn Clock) -> Result<Stamp, LedgerError> {
        let now = Stamp::now(clock);
        if let Some(open) = &mut self.open
            && !now.shares_clock(&self.seen)
        {
            restamp(&mut open.connection, |at| {
                at.shares_clock(&self.seen).then(|| at.moved(&now))
            })?;
        }
        self.seen = now.clone();
        Ok(now)
    }
}

/// Writes a request down, in one transaction that no other process can come between.
fn write_down(
    connection: &mut Connection,
    now: &Stamp,
    payer: &Payer,
    allowance: Allowance,
    purpose: Purpose,
) -> Result<Admission, LedgerError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let rows = read(&transaction, payer, now)?;
    remove_what_has_left(&transaction, &rows)?;
    let window = Window::new(rows.into_iter().map(|(_, spent)| spent));
    let mut window = window.closed_for(lost(&transaction, now)?);
    if window.is_known() {
        transaction.execute("DELETE FROM lost", [])?;
    }
    let wait = window.wait(allowance, purpose);
    if !wait.is_zero() {
        return Ok(Admission::Full { wait });
    }
    let id = insert(&transaction, payer, purpose, now)?;
    transaction.commit()?;
    window.add(Spent {
        leaves_in: leaves_after(false),
        by_polling: purpose.is_polling(),
    });
    Ok(Admission::Granted { id, window })
}

/// How long the hour still counts as spent, since nobody knows what was sent in it.
fn lost(connection: &Connection, now: &Stamp) -> rusqlite::Result<Duration> {
    let mut statement = connection
        .prepare_cached("SELECT boot_id, boot_ms, wall_ms FROM lost WHERE NOT trusted")?;
    let stamps = statement.query_map([], |row| stamp(row, 0))?;
    stamps
        .map(|at| Ok(leaves_after(false).saturating_sub(now.since(&at?))))
        .try_fold(
            Duration::ZERO,
            |longest, left: rusqlite::Result<Duration>| Ok(longest.max(left?)),
        )
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
