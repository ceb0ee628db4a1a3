//! The accounts at work: a task each, which another one may replace while the process runs.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::End;
use crate::{
    account::{Account, Ask},
    check::Reach,
    config,
    known::Known,
    server::AccountHandle,
};

/// A task that is in the middle of something answers after that; what a request to the disk takes, and more. One that does not is
/// replaced all the same, and its queues are polled anew.
const HANDOVER: Duration = Duration::from_secs(1);

/// An account's task, as its employer sees it.
#[derive(Debug)]
pub(super) struct Employed {
    /// What it was started with.
    pub config: Arc<config::Account>,
    /// How it is reached.
    pub handle: AccountHandle,
    /// How its CallTools is asked beside the task.
    pub reach: Reach,
    stop: CancellationToken,
    /// Cancelled once it has ended.
    gone: CancellationToken,
}

impl Employed {
    /// Puts an account to work, until `stop` or until it is [retired](Self::retire).
    pub fn start(
        account: Account,
        handle: AccountHandle,
        reach: Reach,
        stop: &CancellationToken,
        tasks: &mut JoinSet<anyhow::Result<End>>,
    ) -> Self {
        let (stop, gone) = (stop.child_token(), CancellationToken::new());
        let (told, leaving) = (stop.clone(), gone.clone().drop_guard());
        tasks.spawn(async move {
            let _leaving = leaving;
            account.run(told).await?;
            Ok(End::AsTold)
        });
        Self {
            config: Arc::clone(&reach.config),
            handle,
            reach,
            stop,
            gone,
        }
    }

    /// What it knows, for the one that takes its place.
    pub async fn known(&self) -> Option<Known> {
        let (reply, known) = oneshot::channel();
        send(&self.handle.asks, Ask::Known { reply });
        tokio::time::timeout(HANDOVER, known).await.ok()?.ok()
    }

    /// Ends it, and waits a moment for it to be gone.
    pub async fn retire(self) {
        self.stop.cancel();
        if tokio::time::timeout(HANDOVER, self.gone.cancelled())
            .await
            .is_err()
        {
            tracing::warn!(account = &*self.config.name, "takes its time to end");
        }
    }

    /// Its token may be another one by now.
    pub fn look_at_token(&self) {
        send(&self.handle.asks, Ask::LookAtToken);
    }
}

/// A task that has no time now is none to wait for: whoever asks does without.
fn send(asks: &mpsc::Sender<Ask>, ask: Ask) {
    let _ = asks.try_send(ask);
}
