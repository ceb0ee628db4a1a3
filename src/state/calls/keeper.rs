//! The thread that stores events: it takes them from the inbox and writes them to the file in batches.

use std::{cell::RefCell, path::Path, sync::Arc, time::Duration};

use super::{Keeping, Shared, index::Index, read, schema::SCHEMA, trim};
use crate::{
    clock::{Clock, Moment},
    sqlite::{Condition, File},
    state::steady::SteadyWall,
};

/// How often a file that cannot be used is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often old events are removed.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// How many events of earlier processes are read to find the last answers of each queue. This takes some hundredths of a second.
const RESTORED: u32 = 20_000;

/// See the [module](self).
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// `None` if only memory keeps the last events.
    book: Option<Book>,
}

/// The file.
pub(super) struct Book {
    file: File,
    condition: Arc<Condition>,
    index: RefCell<Index>,
    keep: Duration,
    largest: u64,
    wall: SteadyWall,
    clock: Arc<dyn Clock>,
    trimmed: Option<Moment>,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>, book: Option<Book>) -> Self {
        Self { shared, book }
    }

    /// Stores events until the end has come and the rest is written.
    pub fn run(mut self) {
        self.restore();
        loop {
            let pause = match self.is_degraded() {
                true => RETRY,
                false => TRIM_EVERY,
            };
            let has_ended = self.shared.inbox.wait(pause);
            self.shared.collect_aside();
            self.store();
            if has_ended {
                return self.give_up();
            }
        }
    }

    fn is_degraded(&self) -> bool {
        let book = self.book.as_ref();
        book.is_some_and(|book| book.condition.is_degraded())
    }

    /// Reads the last answers of an earlier process. A missing file is not created until there is something to store.
    fn restore(&mut self) {
        let Some(book) = &mut self.book else { return };
        if !self.shared.path.as_deref().is_some_and(Path::exists) {
            return;
        }
        let newest = book.with(&self.shared, |connection, _| {
            read::newest(connection, RESTORED)
        });
        if let Some(newest) = newest {
            self.shared.memory().restore(newest.into_iter());
        }
    }

    /// Writes everything that is not stored yet, and removes what is old.
    fn store(&mut self) {
        let Some(book) = &mut self.book else { return };
        loop {
            let batch = self.shared.memory().batch();
            if batch.is_empty() {
                break;
            }
            let base = &self.shared.base;
            let written = book.with(&self.shared, |connection, index| {
                let base = *base
                    .get()
                    .expect("the base is read when the file is opened");
                index.write(connection, batch.iter().map(|event| &**event), base)
            });
            let Some(is_run_full) = written else { return };
            let bytes = self.shared.memory().forget(batch.len());
            self.shared.inbox.free(bytes);
            if is_run_full {
                let largest = book.largest;
                book.with(&self.shared, |connection, _| {
                    trim::by_size(connection, largest)
                });
            }
        }
        book.trim(&self.shared);
        book.recover(&self.shared);
    }

    /// Counts what could not be written by the end as lost.
    fn give_up(self) {
        let left = self.shared.memory().len() as u64;
        if self.book.is_some() && left > 0 {
            self.shared.inbox.lose(left);
            tracing::warn!(
                events = left,
                "the last answers about calls could not be recorded"
            );
        }
    }
}

impl Book {
    pub fn new(keeping: Keeping<'_>, condition: Arc<Condition>, clock: Arc<dyn Clock>) -> Self {
        Self {
            file: File::new(
                &SCHEMA,
                keeping.path,
                Arc::clone(&condition),
                Arc::clone(&clock),
            ),
            condition,
            index: RefCell::default(),
            keep: keeping.keep,
            largest: keeping.largest,
            wall: SteadyWall::new(clock.now()),
            clock,
            trimmed: None,
        }
    }

    fn with<T>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut rusqlite::Connection, &mut Index) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let Self { file, index, .. } = self;
        file.with_begun(
            |connection| index.borrow_mut().read(connection, &shared.base),
            |connection| work(connection, &mut index.borrow_mut()),
        )
    }

    /// Opens the file again if it could not be used: the next event may come hours later.
    fn recover(&mut self, shared: &Shared) {
        if self.condition.is_degraded() {
            self.with(shared, |_, _| Ok(()));
        }
    }

    /// Removes old events if it is time and the wall clock can be trusted.
    fn trim(&mut self, shared: &Shared) {
        let keep = self.keep;
        let Some(now) = self.wall.trusted(self.clock.now()) else {
            return;
        };
        if self
            .trimmed
            .is_some_and(|at| now.boot_since(at) < TRIM_EVERY)
        {
            return;
        }
        self.trimmed = Some(now);
        self.with(shared, |connection, _| trim::by_age(connection, now, keep));
    }
}
