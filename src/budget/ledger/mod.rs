//! The ledger: the [book](super::book) in memory, and a file that keeps it for the next process.
//!
//! A thread owns the file. A request is written and synced before it is sent. Requests admitted within a few milliseconds share one
//! transaction. If writing fails or takes too long, the request is sent all the same, because the book has it. openseat logs that once, sets
//! `openseat_state_degraded` to 1, and writes everything again as soon as that works.
//!
//! - [`folder`]: the state folder, private and used by one process;
//! - [`file`](mod@file): the SQLite file, and its check at startup; `schema`, `rows`, `columns` and `layout_2` are its content;
//! - [`witness`]: the small file that reveals a ledger that lost its end.

mod columns;
mod file;
mod folder;
mod layout_2;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod witness;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

use tokio::sync::watch;

use self::file::{Found, LedgerFile};
pub use self::folder::Holder;
use super::book::Book;
use crate::{
    clock::{self, Clock},
    process::thread::{End, start},
    sqlite::{self, Condition, OpenError},
};

/// How long a request waits to be written. Even a slow disk answers within this time, unless it is broken.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often a waiting request looks at the clock.
const LOOK: Duration = Duration::from_millis(20);

/// Transactions start at least this far apart, so that requests of the same moment share one. Each syncs two files, and from time to time the log
/// is written back, so the disk gets at most 100 syncs a second for any number of accounts. A request after a pause does not wait.
const APART: Duration = Duration::from_millis(25);

/// Changes that nothing waits for, such as answers, are written with the next request or after this time. If one is lost, its request counts
/// a minute longer.
const AT_LEISURE: Duration = Duration::from_secs(5);

/// How often a failed write is retried.
const RETRY: Duration = Duration::from_secs(1);

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened, or is not a ledger.
    #[error("the budget ledger cannot be used: {0}")]
    Open(#[from] OpenError),
    /// SQLite failed.
    #[error("the budget ledger cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The state folder, or a file in it, cannot be used.
    #[error("the state folder cannot be used: {}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// Another process uses the folder.
    #[error(transparent)]
    InUse(Holder),
    /// The disk has not answered yet.
    #[error("the disk has not answered within {} s", TIMEOUT.as_secs())]
    Hangs,
    /// The system cannot start a thread.
    #[error("the thread that writes the budget ledger cannot be started: {0}")]
    Thread(io::Error),
}

impl LedgerError {
    /// Returns whether startup must fail because people have to fix this. A folder that cannot be written may recover, but missing permission
    /// to create or enter it does not go away.
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

    /// Returns SQLite's error if it means that the file is damaged, or that its tables are not openseat's.
    fn foreign_tables(&self) -> Option<String> {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let LedgerError::Sqlite(error) = self else {
            return None;
        };
        let is_damaged = matches!(
            error.sqlite_error_code(),
            Some(DatabaseCorrupt | NotADatabase)
        );
        (is_damaged || sqlite::does_not_fit(error)).then(|| error.to_string())
    }

    /// Returns whether another program holds the file's lock, which passes.
    fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        let code = match self {
            LedgerError::Sqlite(error) | LedgerError::Open(OpenError::Sqlite(error)) => {
                error.sqlite_error_code()
            }
            _ => None,
        };
        matches!(code, Some(DatabaseBusy | DatabaseLocked))
    }
}

/// What the thread shares with its callers.
#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    condition: Arc<Condition>,
    /// All requests up to this number were written, or failed to be.
    tried: watch::Sender<u64>,
    /// How many transactions were written, for tests and benchmarks.
    transactions: AtomicU64,
}

impl Shared {
    fn new(book: Book) -> Self {
        let condition = Condition::new(
            "ledger",
            "requests are counted in memory and still sent; a restart may forget some of them",
        );
        Self {
            book: Mutex::new(book),
            condition: Arc::new(condition),
            tried: watch::Sender::new(0),
            transactions: AtomicU64::new(0),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Only a bug can panic halfway through a change, and then counting on is better than not counting.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    /// `None` for a ledger in memory.
    thread: Option<Thread>,
}

/// A handle to the writing thread.
#[derive(Debug)]
struct Thread {
    /// Dropping it ends the thread once everything is written.
    wake: Mutex<Option<SyncSender<()>>>,
    end: End,
}

impl Ledger {
    /// Opens or creates the ledger in a file, and locks its folder for this process. Lost requests count as spent evenly.
    ///
    /// # Errors
    /// Another process uses the folder, a newer openseat wrote the file, or the folder may not be created or entered.
    pub fn keep(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, LedgerError> {
        let (shared, mut keeper, _) = open(path, clock)?;
        let (wake, woken) = mpsc::sync_channel(1);
        // The thread drops the keeper before its end, so the folder is free before `finish` returns.
        let end = start("ledger", move || keeper.run(&woken)).map_err(LedgerError::Thread)?;
        Ok(Self {
            shared,
            thread: Some(Thread {
                wake: Mutex::new(Some(wake)),
                end,
            }),
        })
    }

    /// Opens a ledger without a thread, whose keeper the test runs. Returns whether something was lost as well.
    #[cfg(test)]
    pub(super) fn without_thread(
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, Keeper, bool), LedgerError> {
        let (shared, keeper, is_lost) = open(path, clock)?;
        let ledger = Self {
            shared,
            thread: None,
        };
        Ok((Arc::new(ledger), keeper, is_lost))
    }

    /// Creates a ledger that forgets at exit.
    pub fn in_memory(clock: &dyn Clock) -> Self {
        Self {
            shared: Arc::new(Shared::new(Book::new(clock))),
            thread: None,
        }
    }

    /// Creates a ledger in memory that has lost the last hour.
    #[cfg(test)]
    pub(crate) fn lost(clock: &dyn Clock) -> Self {
        let mut book = Book::new(clock);
        book.note_loss();
        Self {
            shared: Arc::new(Shared::new(book)),
            thread: None,
        }
    }

    /// Returns whether it can be written, for metrics.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.shared.condition)
    }

    /// Returns how many transactions were written.
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Writes all pending changes within `longest`, and stops writing.
    pub fn finish(&self, longest: Duration) {
        let Some(thread) = &self.thread else { return };
        thread
            .wake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if !thread.end.wait(longest) {
            tracing::warn!(
                "the budget ledger could not be closed in time; requests of the last seconds count for a minute more"
            );
        }
    }

    /// Runs `work` on the book, as of now, and wakes the thread for urgent changes.
    pub(super) fn with<T>(&self, clock: &dyn Clock, work: impl FnOnce(&mut Book) -> T) -> T {
        let (done, urgent) = {
            let mut book = self.shared.book();
            book.look(clock);
            let done = work(&mut book);
            (done, book.is_urgent())
        };
        if urgent && let Some(thread) = &self.thread {
            let wake = thread.wake.lock().unwrap_or_else(PoisonError::into_inner);
            // If the channel is full, the thread wakes anyway.
            let _ = wake.as_ref().map(|wake| wake.try_send(()));
        }
        done
    }

    /// Waits until a request is stored, or storing it has failed or takes too long.
    pub(super) async fn written(&self, number: u64) {
        if self.thread.is_none() || self.shared.condition.is_degraded() {
            return;
        }
        let mut tried = self.shared.tried.subscribe();
        let begun = clock::steady();
        loop {
            // The disk takes real time, which no test's clock moves, so the timer only triggers another look.
            let wait = tried.wait_for(|tried| *tried >= number);
            let is_tried = tokio::time::timeout(LOOK, wait).await.is_ok();
            if is_tried || self.shared.condition.is_degraded() {
                return;
            }
            if clock::steady() - begun >= TIMEOUT {
                return self.shared.condition.fails(&LedgerError::Hangs);
            }
        }
    }
}

/// Opens a ledger without a thread. Returns whether something was lost.
fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<(Arc<Shared>, Keeper, bool), LedgerError> {
    let mut file = LedgerFile::new(path);
    let found = file.read(clock.as_ref())?;
    let is_lost = matches!(found, Found::Lost(..));
    let book = match found {
        Found::Nothing => Book::new(clock.as_ref()),
        Found::All(stored) => Book::restored(stored, clock.as_ref()),
        Found::Lost(why, stored) => {
            tracing::error!(
                path = %path.display(), why,
                "the budget ledger is lost: the whole last hour counts as spent evenly, so polling runs at three quarters of its pace, and \
                 without a burst, for an hour"
            );
            let book = stored.map(|stored| Book::restored(stored, clock.as_ref()));
            let mut book = book.unwrap_or_else(|| Book::new(clock.as_ref()));
            book.note_loss();
            book
        }
    };
    let shared = Arc::new(Shared::new(book));
    let mut keeper = Keeper {
        file,
        shared: Arc::clone(&shared),
        clock,
    };
    // Written before anything is sent, so that the next process knows about this one.
    keeper.write();
    Ok((shared, keeper, is_lost))
}

/// Writes the book's changes to the file.
#[derive(Debug)]
pub(super) struct Keeper {
    file: LedgerFile,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// Writes until the ledger is dropped.
    fn run(&mut self, woken: &Receiver<()>) {
        loop {
            let begun = clock::steady();
            self.write();
            let wait = match self.shared.condition.is_degraded() {
                true => RETRY,
                false => AT_LEISURE,
            };
            thread::sleep(APART.saturating_sub(clock::steady() - begun));
            if woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                self.write();
                return;
            }
        }
    }

    /// Writes all pending changes in one transaction.
    pub(super) fn write(&mut self) {
        let prepared = self.file.prepare(self.clock.as_ref());
        let is_new_file = *prepared.as_ref().unwrap_or(&true);
        let batch = self
            .shared
            .book()
            .take_batch(is_new_file, self.clock.as_ref());
        let Some(batch) = batch else { return };
        let written = match prepared {
            Ok(_) => self.file.write(&batch),
            Err(error) => {
                self.file.fall_behind();
                Err(error)
            }
        };
        match written {
            Ok(()) => {
                self.shared.transactions.fetch_add(1, Ordering::Relaxed);
                self.shared.condition.works();
            }
            Err(error) => {
                self.shared.book().write_all_again();
                self.shared.condition.fails(&error);
            }
        }
        if let Some(number) = batch.up_to() {
            self.shared.tried.send_if_modified(|tried| {
                let is_news = number > *tried;
                *tried = number.max(*tried);
                is_news
            });
        }
    }
}
