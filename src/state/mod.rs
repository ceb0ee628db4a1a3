//! The state folder: what of a daemon outlives it, and in what condition that is.

pub mod history;
pub mod journal;
pub mod store;

use std::{path::Path, sync::Arc, time::Duration};

use self::{history::Recorder, store::Store};
use crate::{
    budget::{Ledger, LedgerError},
    clock::Clock,
    metrics::StateGauges,
    sqlite::Condition,
};

/// The budget ledger's file.
pub const LEDGER_FILE: &str = "budget.sqlite3";

/// The file of names and of what was known of queues and agents.
pub const STORE_FILE: &str = "state.sqlite3";

/// The file of what was: counts and decisions.
pub const HISTORY_FILE: &str = "history.sqlite3";

/// A daemon that was just told to stop is gone after 3 s. Until then the next one waits for the folder.
const HANDOVER: Duration = Duration::from_secs(5);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// What is written last may take so long.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(500);

/// What survives a restart, or at least this run.
#[derive(Debug)]
pub struct State {
    /// What was spent.
    pub ledger: Arc<Ledger>,
    /// What was known; `None` without a folder.
    pub store: Option<Arc<Store>>,
    /// What was; `None` without a folder, or where no days of it are wanted.
    pub history: Option<Arc<Recorder>>,
}

impl State {
    /// Opens what a daemon keeps in its folder, and takes the folder for itself. What cannot be used now is done without, with the caution that
    /// its loss asks for.
    ///
    /// # Errors
    /// Another daemon uses the folder, or a newer openseat has.
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
            });
        };
        let ledger = keep_ledger(dir, clock).await?;
        let store = Store::open(&dir.join(STORE_FILE), Arc::clone(clock))?;
        let history = (history_days > 0).then(|| {
            history::Recorder::start(&dir.join(HISTORY_FILE), history_days, Arc::clone(clock))
        });
        Ok(Self {
            ledger: Arc::new(ledger),
            store: Some(Arc::new(store)),
            history: history.transpose()?.map(Arc::new),
        })
    }

    /// In what condition each part is, for metrics; nothing without a folder.
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
        .collect()
    }

    /// Writes what waits. Takes a moment, so not in a task.
    pub fn finish(&self) {
        self.ledger.finish(LAST_WORDS);
        if let Some(store) = &self.store {
            store.finish(LAST_WORDS);
        }
        if let Some(history) = &self.history {
            history.finish(LAST_WORDS);
        }
    }
}

/// Opens the ledger of a state folder, and takes the folder for this process: from one that is just ending after a moment.
///
/// # Errors
/// Another process uses the folder, a newer openseat has, or it may not be made or entered.
pub(crate) async fn keep_ledger(dir: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<Ledger> {
    let path = dir.join(LEDGER_FILE);
    let mut waited = Duration::ZERO;
    loop {
        match Ledger::keep(&path, Arc::clone(clock)) {
            Err(LedgerError::InUse(holder)) if waited < HANDOVER => {
                if waited.is_zero() {
                    tracing::warn!(
                        "{holder}; waiting up to {} s for it to end",
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
