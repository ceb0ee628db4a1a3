//! Asks CallTools now, on a person's behalf, and reports what it says and what openseat makes of it.
//!
//! The daemon does this for `openseat check`, with its own client and budget; where no daemon runs, the command does it by itself. Either way
//! the reserve pays, and the report is the same: JSON, which the command prints or turns into text. Nothing is kept but what was spent.
//!
//! `select` says which queues are meant, `ask` asks, `notes` says what else is worth knowing, `json` writes the report.

mod ask;
mod json;
mod notes;
mod select;

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture, stream};

use self::ask::{Answers, Asker};
pub use self::select::{Target, Unknown, select};
use crate::{account::TokenKeeper, budget::Budget, calltools::Transport, clock::Clock, config};

/// Accounts that are asked at the same time; each has a few of its queues under way.
const ACCOUNTS_AT_ONCE: usize = 8;

/// How an account is asked.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Its settings.
    pub config: Arc<config::Account>,
    /// What pays.
    pub budget: Arc<Budget>,
    /// The way to CallTools.
    pub transport: Arc<dyn Transport>,
    /// Its token, where a daemon keeps it: it is read again first, since people check what they have just mended.
    pub token: Option<Arc<TokenKeeper>>,
}

/// Who asks CallTools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The daemon: everything that this machine spends is in its budget.
    Daemon,
    /// The command, which holds the state folder meanwhile.
    Command,
    /// The command, without a state folder: what a daemon has spent is not known.
    CommandAlone,
}

/// A finished check.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether every queue could be asked and measured.
    pub ok: bool,
    /// The whole of it.
    pub json: String,
}

/// Asks about these queues. `reaches` has each of their accounts; `progress` is called after each queue.
pub async fn check(
    targets: &[Target<'_>],
    reaches: &[Reach],
    by: By,
    clock: &Arc<dyn Clock>,
    progress: &(dyn Fn() + Sync),
) -> Report {
    // Boxed in a list first: the compiler cannot tell that a lazy iterator over borrowed targets may move between threads.
    let mut asked: Vec<BoxFuture<'_, Answers<'_>>> = Vec::with_capacity(targets.len());
    for target in targets {
        let mut reaches = reaches.iter();
        if let Some(reach) = reaches.find(|reach| reach.config.name == target.account.name) {
            let asker = Asker::new(target, reach, Arc::clone(clock));
            asked.push(Box::pin(async move { asker.ask(progress).await }));
        }
    }
    let answers: Vec<_> = stream::iter(asked)
        .buffered(ACCOUNTS_AT_ONCE)
        .collect()
        .await;
    Report {
        ok: answers.iter().all(Answers::are_good),
        json: json::document(&answers, by),
    }
}
