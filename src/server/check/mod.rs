//! The check: asks CallTools now, for a person, and reports the answers and what openseat concludes from them.
//!
//! The daemon does this for `openseat check`, with its own client and budget; if no daemon runs, the command does it itself. In both cases the
//! requests come from the reserve, and the report is the same: JSON, which the command prints or turns into text. Only the spent requests are kept.
//!
//! `select` finds the queues, `ask` asks CallTools, `notes` adds what else a person should know, `json` writes the report. `listing` lists all queues of
//! an account, for people who do not know their names.

mod ask;
mod json;
mod listing;
mod notes;
mod select;
pub mod survey;

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture, stream};

use self::ask::{Answers, Asker};
pub use self::{
    ask::Reach,
    json::By,
    listing::{Count, ListedQueue, Listing, list},
    select::{Target, Unknown, select},
};
use crate::clock::Clock;

/// The accounts asked at once; each asks for a few queues at once.
const ACCOUNTS_AT_ONCE: usize = 8;

/// A finished check.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether every queue could be asked and measured.
    pub ok: bool,
    /// The report as JSON.
    pub json: String,
}

/// Checks these queues. `reaches` has all their accounts; `progress` is called after each queue.
pub async fn check(
    targets: &[Target<'_>],
    reaches: &[Reach],
    by: By,
    clock: &Arc<dyn Clock>,
    progress: &(dyn Fn() + Sync),
) -> Report {
    // Boxed in a list first: the compiler cannot prove that a lazy iterator over borrowed targets is Send.
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
        json: json::write(&answers, by),
    }
}
