//! The accounts at work: a task each, which another one may replace while the process runs.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    End,
    wiring::{Prepared, polled},
};
use crate::{
    account::{Account, Ask, Terms, Way},
    budget::BudgetOwner,
    calltools::Token,
    config,
    server::{AccountHandle, check::Reach},
};

/// A task that is in the middle of something answers after that; what a request to the disk takes, and more. A reload waits no longer: the
/// task goes on by the new config once it gets to it.
const HANDOVER: Duration = Duration::from_secs(1);

/// An account's task, as its employer sees it.
#[derive(Debug)]
pub(super) struct RunningAccount {
    /// What it was started with.
    pub config: Arc<config::Account>,
    /// Whose requests its are.
    owner: BudgetOwner,
    /// How it is reached.
    pub handle: AccountHandle,
    /// How its CallTools is asked beside the task.
    pub reach: Reach,
    stop: CancellationToken,
    /// Cancelled once it has ended.
    gone: CancellationToken,
}

impl RunningAccount {
    /// Puts an account to work, until `stop` or until it is [retired](Self::retire).
    pub fn start(
        account: Account,
        handle: AccountHandle,
        reach: Reach,
        owner: BudgetOwner,
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
            owner,
            handle,
            reach,
            stop,
            gone,
        }
    }

    /// Whether a config speaks of this very account: the same place with the same token, or the same name with the same settings of both.
    pub fn is_the_same(&self, config: &config::Account, owner: &BudgetOwner) -> bool {
        let is_named_so = self.config.name == config.name;
        self.owner.identity == owner.identity
            || is_named_so && self.config.upstream == config.upstream
    }

    /// Goes on by another config. What is known stays, and what is under way goes on.
    pub async fn take(&mut self, prepared: Prepared) {
        let reach = prepared.reach();
        let Prepared {
            handle,
            config,
            owner,
            client,
            secret,
            token,
            ..
        } = prepared;
        let needs_another_way = !self.is_reached_as(&config);
        self.reach.config = Arc::clone(&config);
        let way = needs_another_way.then(|| Way {
            client,
            budget: Arc::clone(&handle.budget),
            token,
        });
        if way.is_some() {
            self.handle.budget = handle.budget;
            self.handle.token = handle.token;
            self.reach = reach;
        } else {
            self.keep(&secret);
        }
        self.handle.name = handle.name;
        let (reply, taken) = oneshot::channel();
        let terms = Terms {
            owner: owner.clone(),
            queues: polled(&config),
            options: config.schedule,
            way,
            reply,
        };
        (self.config, self.owner) = (config, owner);
        let taking = async {
            let _ = self.handle.asks.send(Ask::Take(Box::new(terms))).await;
            let _ = taken.await;
        };
        if tokio::time::timeout(HANDOVER, taking).await.is_err() {
            tracing::warn!(
                account = &*self.config.name,
                "takes its time to go on by the new config"
            );
        }
    }

    /// Whether requests go the same way and are paid alike.
    fn is_reached_as(&self, config: &config::Account) -> bool {
        let was = &self.config;
        was.name == config.name
            && was.upstream == config.upstream
            && was.requests_per_hour == config.requests_per_hour
            && was.reserve == config.reserve
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

    /// Goes on with this token, which may be another one. One that was refused is tried at once.
    pub fn show(&self, token: &Token) {
        self.keep(token);
        send(&self.handle.asks, Ask::TryToken);
    }

    fn keep(&self, token: &Token) {
        if let Some(keeper) = &self.reach.token {
            keeper.take(token);
        }
    }
}

/// A task that has no time now is none to wait for: whoever asks does without.
fn send(asks: &mpsc::Sender<Ask>, ask: Ask) {
    let _ = asks.try_send(ask);
}
