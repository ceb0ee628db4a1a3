//! The thread that stores events: it takes them from the inbox and writes them to the file in batches.

use std::{cell::RefCell, path::Path, sync::Arc, time::Duration};

use super::{Keeping, Shared, index::Index, read, schema::SCHEMA, trim};
use crate::{
    clock::{Clock, Moment},
    sqlite::{Condition, File},
    state::steady::SteadyWall,
};

/// The pause after the file could not be written.
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
        let mut pause = TRIM_EVERY;
        loop {
            let has_ended = self.shared.inbox.wait(pause);
            self.shared.collect_aside();
            pause = match self.store() {
                true => TRIM_EVERY,
                false => RETRY,
            };
            if has_ended {
                return self.give_up();
            }
        }
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

    /// Writes everything that is not stored yet, and removes what is old. Returns whether all of it was written.
    fn store(&mut self) -> bool {
        let Some(book) = &mut self.book else {
            return true;
        };
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
            let Some(is_run_full) = written else {
                return false;
            };
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
        true
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
            file: File::new(&SCHEMA, keeping.path, condition, Arc::clone(&clock)),
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
