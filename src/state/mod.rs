//! The state folder: what outlives a daemon, and whether it can be written.

pub mod calls;
pub mod history;
pub mod journal;
mod steady;
pub mod store;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;

use self::{
    calls::{CallLog, Keeping},
    history::Recorder,
    store::Store,
};
use crate::{
    budget::{Ledger, LedgerError},
    clock::Clock,
    metrics::StateGauges,
    process::{
        aside::{self, Unfinished},
        file,
        state_folder::{CALLS_FILE, HISTORY_FILE, LEDGER_FILE, STORE_FILE, files_of},
    },
    sqlite::Condition,
};

/// How long to wait for a folder in use. A daemon that was asked to stop is gone after 4.1 s at the latest.
const HANDOVER: Duration = Duration::from_secs(5);

/// When to log that the disk is slow. A disk that must spin up needs some seconds.
const SLOW: Duration = Duration::from_secs(5);

/// How often to try the folder again.
const LOOK: Duration = Duration::from_millis(50);

/// How long the last writes of each file may take.
pub(crate) const LAST_WRITES: Duration = Duration::from_millis(500);

/// The state of a daemon. Without a folder, only the ledger and the record of calls exist, in memory.
#[derive(Debug)]
pub struct State {
    /// The requests sent.
    pub ledger: Arc<Ledger>,
    /// The current knowledge; `None` without a folder.
    pub store: Option<Arc<Store>>,
    /// The past; `None` without a folder, or if the config keeps no history.
    pub history: Option<Arc<Recorder>>,
    /// What routers were told about each call; in memory if there is no folder, or if the config keeps no history.
    pub calls: Arc<CallLog>,
}

impl State {
    /// Locks the folder and opens its files. The daemon runs without a file that cannot be used, with the precautions that requires.
    ///
    /// # Errors
    /// Another daemon uses the folder, a newer openseat has written it, or a file in it is no regular file.
    pub async fn open(
        dir: Option<&Path>,
        history_days: u32,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let Some(dir) = dir else {
            return Ok(Self {
                ledger: Arc::new(Ledger::in_memory(clock.as_ref())),
                store: None,
                history: None,
                calls: Arc::new(CallLog::start(None, Arc::clone(clock))?),
            });
        };
        let ledger = Arc::new(keep_ledger(dir, clock).await?);
        let (folder, clock) = (dir.to_owned(), Arc::clone(clock));
        let open = move || Self::open_beside(ledger, &folder, history_days, clock);
        off_the_runtime(dir, open).await?
    }

    /// Opens the other files of the ledger's folder.
    fn open_beside(
        ledger: Arc<Ledger>,
        dir: &Path,
        history_days: u32,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        refuse_newer_files(dir, history_days > 0)?;
        let store = Store::open(&dir.join(STORE_FILE), Arc::clone(&clock))?;
        let history = (history_days > 0).then(|| {
            history::Recorder::start(&dir.join(HISTORY_FILE), history_days, Arc::clone(&clock))
        });
        let path = dir.join(CALLS_FILE);
        let keeping = (history_days > 0).then(|| Keeping {
            path: &path,
            keep: Duration::from_secs(u64::from(history_days) * 86_400),
            largest: calls::MAX_BYTES,
        });
        Ok(Self {
            ledger,
            store: Some(Arc::new(store)),
            history: history.transpose()?.map(Arc::new),
            calls: Arc::new(CallLog::start(keeping, clock)?),
        })
    }

    /// Returns the condition of each part, for metrics; empty without a folder.
    pub fn gauges(&self) -> Vec<StateGauges> {
        let gauges = |condition: Arc<Condition>, dropped| StateGauges {
            part: condition.part,
            degraded: condition.is_degraded(),
            dropped,
        };
        let Some(store) = &self.store else {
            return Vec::new();
        };
        let history = self.history.iter();
        [
            gauges(self.ledger.condition(), 0),
            gauges(store.condition(), store.dropped()),
        ]
        .into_iter()
        .chain(history.map(|history| gauges(history.condition(), history.dropped())))
        .chain(
            self.calls
                .condition()
                .map(|condition| gauges(condition, self.calls.lost())),
        )
        .collect()
    }

    /// Writes what is waiting. It blocks, so it must not run in a task.
    pub fn finish(&self) {
        self.ledger.finish(LAST_WRITES);
        if let Some(store) = &self.store {
            store.finish(LAST_WRITES);
        }
        if let Some(history) = &self.history {
            history.finish(LAST_WRITES);
        }
        if !self.calls.finish(LAST_WRITES) {
            tracing::warn!("the last answers about calls could not be recorded in time");
        }
    }
}

/// Works with the folder off the runtime, so that signals are answered while its disk hangs, and logs that once.
async fn off_the_runtime<T: Send + 'static>(
    dir: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let folder = dir.to_owned();
    let tell = move || {
        tracing::warn!(
            folder = %folder.display(),
            "the state folder has not answered for {} s; the start waits for it, so check the disk or mount that it is on",
            SLOW.as_secs()
        );
    };
    aside::patient(SLOW, tell, work).await
}

/// Checks that nothing in the folder is a named pipe, a socket or a device, which would block its reader without end.
fn refuse_special_files(dir: &Path) -> anyhow::Result<()> {
    for path in files_of(dir) {
        file::refuse_special(&path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Checks that this program knows the layout of each file that it will write. Without these files it could run, but it would never write them, and
/// nobody would notice what is missing.
fn refuse_newer_files(dir: &Path, with_history: bool) -> anyhow::Result<()> {
    let past = [
        (HISTORY_FILE, &history::schema::SCHEMA),
        (CALLS_FILE, &calls::schema::SCHEMA),
    ];
    let past = past.into_iter().filter(|_| with_history);
    for (name, schema) in [(STORE_FILE, &store::schema::SCHEMA)]
        .into_iter()
        .chain(past)
    {
        let path = dir.join(name);
        let checked = schema.refuse_newer(&path);
        checked.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Opens the ledger of a state folder, and locks the folder for this process. It waits a moment for a process that is ending.
///
/// # Errors
/// Another process uses the folder, a newer openseat wrote it, it may not be created or entered, or a file in it is no regular file.
pub(crate) async fn keep_ledger(dir: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<Ledger> {
    let (folder, path) = (dir.to_owned(), dir.join(LEDGER_FILE));
    off_the_runtime(dir, move || refuse_special_files(&folder)).await??;
    let mut waited = Duration::ZERO;
    loop {
        let (file, time) = (path.clone(), Arc::clone(clock));
        match off_the_runtime(dir, move || Ledger::keep(&file, time)).await? {
            Err(LedgerError::InUse(holder)) if waited < HANDOVER => {
                if waited.is_zero() {
                    tracing::warn!(
                        "{holder}; waiting up to {} s for it to stop",
                        HANDOVER.as_secs()
                    );
                }
                tokio::time::sleep(LOOK).await;
                waited += LOOK;
            }
            Err(error) => return Err(anyhow::Error::new(error).context(path.display().to_string())),
            Ok(ledger) => {
                if !waited.is_zero() {
                    tracing::info!(folder = %dir.display(), "the state folder is free");
                }
                return Ok(ledger);
            }
        }
    }
}
