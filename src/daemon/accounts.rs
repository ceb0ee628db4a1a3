//! The running accounts. Each has a task, which a reload may replace.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    End,
    wiring::{Prepared, Wiring, polled},
};
use crate::{
    account::{Account, Ask, Terms, Way},
    budget::{BudgetOwner, Witness as _},
    calltools::Token,
    config,
    process::authorities::Trust,
    server::{AccountHandle, check::Reach},
};

/// How long a reload waits for a busy task: longer than a disk takes. After that the reload continues, and the task takes the new config when it
/// can.
const HANDOVER: Duration = Duration::from_secs(1);

/// An account whose task has not started.
#[derive(Debug)]
pub(super) struct NewAccount {
    task: Account,
    /// Whom it trusts at its address; `None` without TLS.
    trust: Option<Trust>,
    /// How the server reaches it.
    pub handle: AccountHandle,
    /// How to ask its CallTools without the task.
    pub reach: Reach,
}

impl NewAccount {
    /// Builds the account. What is stored about its queues is published at once.
    pub fn new(prepared: Prepared, wiring: &Wiring) -> Self {
        let known = wiring.stored(&prepared);
        Self {
            trust: prepared.trust(),
            handle: prepared.handle.clone(),
            reach: prepared.reach(),
            task: wiring.account(prepared, known),
        }
    }

    /// Starts the task, which runs until `stop` or until the account is [retired](RunningAccount::retire).
    pub fn start(
        self,
        stop: &CancellationToken,
        tasks: &mut JoinSet<anyhow::Result<End>>,
    ) -> RunningAccount {
        let (stop, gone) = (stop.child_token(), CancellationToken::new());
        let (task_stop, leaving) = (stop.clone(), gone.clone().drop_guard());
        tasks.spawn(async move {
            let _leaving = leaving;
            self.task.run(task_stop).await?;
            Ok(End::Told)
        });
        RunningAccount {
            config: Arc::clone(&self.reach.config),
            trust: self.trust,
            handle: self.handle,
            reach: self.reach,
            stop,
            gone,
        }
    }
}

/// A running account, as the daemon sees it.
#[derive(Debug)]
pub(super) struct RunningAccount {
    /// Its settings.
    pub config: Arc<config::Account>,
    /// Whom it trusts at its address; `None` without TLS.
    trust: Option<Trust>,
    /// How the server reaches it.
    pub handle: AccountHandle,
    /// How to ask its CallTools without the task.
    pub reach: Reach,
    stop: CancellationToken,
    /// Cancelled once it has ended.
    gone: CancellationToken,
}

impl RunningAccount {
    /// Returns whether a config means this account: the same address and token, or the same name with the same settings for both.
    pub fn is_the_same(&self, config: &config::Account, owner: &BudgetOwner) -> bool {
        let is_named_so = self.config.name == config.name;
        self.handle.budget.owner().identity == owner.identity
            || is_named_so && self.config.upstream == config.upstream
    }

    /// Returns whether it runs with this config, and trusts these authorities.
    pub fn has(&self, config: &config::Account, trust: Option<&Trust>) -> bool {
        *self.config == *config && self.trust.as_ref() == trust
    }

    /// Takes another config. It keeps all knowledge, and jobs in progress continue. Returns whether the account's task has applied it.
    pub async fn take(&mut self, prepared: Prepared) -> bool {
        let (reach, trust) = (prepared.reach(), prepared.trust());
        let Prepared {
            handle,
            config,
            client,
            secret,
            token,
            counter,
            owner,
            ..
        } = prepared;
        if let Some(member) = &handle.member {
            // Before anything is sent with the new token, which may be another account's.
            member.goes_on_as(&owner.identity);
        }
        let needs_another_way = !self.is_reached_as(&config) || self.trust != trust;
        self.reach.config = Arc::clone(&config);
        let way = needs_another_way.then(|| Way {
            client,
            budget: Arc::clone(&handle.budget),
            token,
        });
        if let Some(way) = &way {
            if let Some(counter) = counter {
                counter.count(Arc::clone(&way.budget)).await;
            }
            self.handle.budget = handle.budget;
            self.handle.token = handle.token;
            self.reach = reach;
            // The task stays, and shows its health where it did.
            self.reach.health = Some(self.handle.health.clone());
        } else {
            self.keep(&secret);
        }
        self.handle.name = handle.name;
        let (reply, taken) = oneshot::channel();
        let terms = Terms {
            queues: polled(&config),
            options: config.schedule,
            way,
            reply,
        };
        (self.config, self.trust) = (config, trust);
        let is_taken = hand_over(&self.handle.asks, terms, taken).await;
        if !is_taken {
            tracing::warn!(
                account = &*self.config.name,
                "the account's task is busy and will apply the new config when it can"
            );
        }
        is_taken
    }

    /// Returns whether requests are sent and counted in the same way.
    fn is_reached_as(&self, config: &config::Account) -> bool {
        let was = &self.config;
        was.name == config.name
            && was.upstream == config.upstream
            && was.requests_per_hour == config.requests_per_hour
            && was.reserve == config.reserve
            && was.budget == config.budget
    }

    /// Stops the task and waits a moment for its end.
    pub async fn retire(self) {
        self.stop.cancel();
        if let Some(member) = &self.handle.member {
            member.leave();
        }
        if tokio::time::timeout(HANDOVER, self.gone.cancelled())
            .await
            .is_err()
        {
            let account = &*self.config.name;
            tracing::warn!(account, "the account's task has not ended yet");
        }
    }

    /// Uses this token, which may be new. One that was refused is retried at once. An account that is well is left alone.
    pub fn show(&self, token: &Token) {
        let is_new = self.keep(token);
        if is_new || self.handle.health.borrow().fault.is_some() {
            send(&self.handle.asks, Ask::TryToken);
        }
    }

    /// Returns whether the token is another one.
    fn keep(&self, token: &Token) -> bool {
        let keeper = self.reach.token.as_ref();
        keeper.is_some_and(|keeper| keeper.take(token))
    }
}

/// Sends the new config, also if the task is busy for longer than this waits. Returns whether the task has applied it.
async fn hand_over(asks: &mpsc::Sender<Ask>, terms: Terms, taken: oneshot::Receiver<()>) -> bool {
    let asks = asks.clone();
    tokio::spawn(async move {
        // A task that has ended needs no config.
        let _ = asks.send(Ask::Take(Box::new(terms))).await;
    });
    tokio::time::timeout(HANDOVER, taken).await.is_ok()
}

/// Sends without waiting for a busy task.
fn send(asks: &mpsc::Sender<Ask>, ask: Ask) {
    let _ = asks.try_send(ask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScheduleOptions;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_busy_for_long_gets_the_new_config_later() {
        let (asks, mut task) = mpsc::channel(1);
        asks.try_send(Ask::TryToken).unwrap();
        let (reply, taken) = oneshot::channel();
        let terms = Terms {
            queues: Vec::new(),
            options: ScheduleOptions::default(),
            way: None,
            reply,
        };
        assert!(!hand_over(&asks, terms, taken).await);
        assert!(matches!(task.recv().await, Some(Ask::TryToken)));
        assert!(matches!(task.recv().await, Some(Ask::Take(_))));
    }
}
