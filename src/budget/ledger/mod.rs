//! The ledger: the [book](super::book) in memory, and a file that keeps it for the next process.
//!
//! A thread owns the file. A request is written and synced before it is sent. Requests admitted within a few milliseconds share one
//! transaction. If writing fails or takes too long, the request is sent all the same, because the book has it: the log says so once,
//! `openseat_state_degraded` is 1, and everything is written again as soon as that works.
//!
//! - [`folder`]: the state folder, private and used by one process;
//! - [`file`](mod@file): the SQLite file, and the check of it at a start; `schema`, `rows`, `columns` and `layout_2` are its content;
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
    sqlite::{self, Condition, OpenError},
};

/// How long a request waits to be written. Even a slow disk answers within this time if it works.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a waiting request looks at the clock.
const LOOK: Duration = Duration::from_millis(20);

/// Transactions start at least this far apart, so that requests of the same moment share one. Each syncs two files, so the disk gets at most
/// 200 syncs a second, however many accounts there are.
const APART: Duration = Duration::from_millis(10);

/// Changes that nothing waits for, such as answers, are written with the next request or after this time. If they are lost, a request counts
/// for a minute longer.
const AT_LEISURE: Duration = Duration::from_secs(5);

/// How often writing is tried again after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened, or is not a ledger.
    #[error("the budget ledger cannot be used: {0}")]
    Open(#[from] OpenError),
    /// SQLite's error.
    #[error("the budget ledger cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// An error of the state folder, or of a file in it.
    #[error("the state folder cannot be used: {}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
    /// Another process has the folder.
    #[error(transparent)]
    InUse(Holder),
    /// The disk has not answered yet.
    #[error("the disk has not answered within {} s", PATIENCE.as_secs())]
    Hangs,
    /// The system cannot start a thread.
    #[error("the thread that writes the budget ledger cannot be started: {0}")]
    Thread(io::Error),
}

impl LedgerError {
    /// Whether a start must fail because people have to fix this. A folder that cannot be written may recover. One that may not be created or
    /// entered does not.
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

    /// SQLite's error, if it means that the file is damaged, or that its tables are not ours.
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

    /// Whether another program holds the file's lock, which ends by itself.
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

/// What the thread shares with the callers that wait for it.
#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    condition: Arc<Condition>,
    /// Writing was tried for all requests up to this number.
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
        // Only a bug panics halfway through a change, and counting on is better than not counting.
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

/// The writing thread, as its callers see it.
#[derive(Debug)]
struct Thread {
    /// Dropping it ends the thread, once all is written.
    wake: Mutex<Option<SyncSender<()>>>,
    /// Receives nothing; disconnects when the thread ends.
    end: Mutex<Receiver<()>>,
}

impl Ledger {
    /// Opens or creates the ledger in a file, and locks its folder for this process. What was lost counts as spent evenly.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] if another process uses the folder; a file of a newer openseat; a folder that may not be created or entered.
    pub fn keep(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, LedgerError> {
        let (shared, mut keeper, _) = open(path, clock)?;
        let (wake, woken) = mpsc::sync_channel(1);
        let (alive, end) = mpsc::channel::<()>();
        let run = move || {
            keeper.run(&woken);
            // The folder is free before `finish` returns.
            drop(keeper);
            drop(alive);
        };
        let thread = thread::Builder::new().name("openseat-ledger".to_owned());
        thread.spawn(run).map_err(LedgerError::Thread)?;
        Ok(Self {
            shared,
            thread: Some(Thread {
                wake: Mutex::new(Some(wake)),
                end: Mutex::new(end),
            }),
        })
    }

    /// A ledger without a thread, which a test drives itself, and whether something was lost.
    #[cfg(test)]
    pub(super) fn by_hand(
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

    /// A ledger that forgets at exit.
    pub fn in_memory(clock: &dyn Clock) -> Self {
        Self {
            shared: Arc::new(Shared::new(Book::new(clock))),
            thread: None,
        }
    }

    /// Whether it can be written, for metrics.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(&self.shared.condition)
    }

    /// How many transactions were written.
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Writes what is waiting, and nothing after that, within `longest`.
    pub fn finish(&self, longest: Duration) {
        let Some(thread) = &self.thread else { return };
        thread
            .wake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let end = thread.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the budget ledger could not be closed in time; requests of the last seconds count for a minute more"
            );
        }
    }

    /// Does something with the book, as of now, and wakes the thread for urgent changes.
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

    /// Waits until a request is stored, or it is clear that this will not happen soon.
    pub(super) async fn written(&self, number: u64) {
        if self.thread.is_none() || self.shared.condition.is_degraded() {
            return;
        }
        let mut tried = self.shared.tried.subscribe();
        let begun = clock::steady();
        loop {
            // The disk takes real time, which no test's clock moves, so the timer only says when to look again.
            let wait = tried.wait_for(|tried| *tried >= number);
            let is_tried = tokio::time::timeout(LOOK, wait).await.is_ok();
            if is_tried || self.shared.condition.is_degraded() {
                return;
            }
            if clock::steady() - begun >= PATIENCE {
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
            book.is_lost_now();
            book
        }
    };
    let shared = Arc::new(Shared::new(book));
    let mut keeper = Keeper {
        file,
        shared: Arc::clone(&shared),
        clock,
    };
    // Before anything is sent, so that the next process knows about this one.
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

    /// Writes what is waiting, in one transaction.
    pub(super) fn write(&mut self) {
        let prepared = self.file.prepare(self.clock.as_ref());
        let is_another = *prepared.as_ref().unwrap_or(&true);
        let batch = self
            .shared
            .book()
            .take_batch(is_another, self.clock.as_ref());
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
