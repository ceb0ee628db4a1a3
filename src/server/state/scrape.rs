//! Renders metrics on a thread of its own: with many queues it takes milliseconds, which must not delay decisions.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    app::{AccountHandle, App, Queue},
    pool::Undone,
};
use crate::{
    decision::{board::QueueKey, snapshot::Snapshot, soon::report::QueueReport},
    metrics::{self, ByStatus, ClusterGauges, Format, QueueGauges, Scrape},
    model::fault::FaultKind,
};

/// The longest wait for a scrape. Prometheus gives up after 10 s.
const MAX_WAIT: Duration = Duration::from_secs(8);

impl App {
    /// Renders all metrics as of now.
    ///
    /// # Errors
    /// Too many scrapes are waiting, or this one took too long.
    pub async fn render_metrics(self: &Arc<Self>, format: Format) -> Result<String, Undone> {
        let app = Arc::clone(self);
        let render = move |_: CancellationToken| app.metrics.render(app.scrape(), format);
        match self.scrapes.run(MAX_WAIT, render).await {
            // A machine that cannot start threads needs its metrics most.
            Err(Undone::NoThread(_)) => Ok(self.metrics.render(self.scrape(), format)),
            rendered => rendered,
        }
    }

    /// Collects everything that metrics show, as of now.
    fn scrape(&self) -> Scrape {
        let budgets = self.accounts.iter();
        let budgets = budgets.map(|account| (Arc::clone(&account.name), account.budget.usage()));
        let acting = self.acting();
        let queues = self.queues().iter();
        let queues = queues.map(|queue| QueueGauges {
            soon_acts: queue.rules.soon.is_on.then(|| acting.contains(&queue.key)),
            ..self.gauges(queue)
        });
        Scrape {
            queues: queues.collect(),
            budgets: budgets.collect(),
            agents: self.agents(),
            faults: self.accounts.iter().map(fault).collect(),
            feeds: self.accounts.iter().map(feed).collect(),
            open_connections: self.connections.open(),
            open_streams: self.watch.open_streams(&self.limits.watch),
            cluster: self.cluster(),
            state: self.state.iter().flat_map(|state| state.gauges()).collect(),
        }
    }

    /// Each account's role in the cluster, if there is one.
    fn cluster(&self) -> Vec<ClusterGauges> {
        let now = self.clock.now();
        let of_account = |account: &AccountHandle| {
            let status = account.member.as_ref()?.status();
            Some(ClusterGauges {
                account: Arc::clone(&account.name),
                up: status.up,
                leads: status.leads,
                epoch: status.epoch,
                lag: status.lag(now),
                nodes: status.nodes.len(),
            })
        };
        self.accounts.iter().filter_map(of_account).collect()
    }

    /// The agents of each account by status, from its queues with fresh data; empty if they are not counted.
    fn agents(&self) -> Vec<(Arc<str>, ByStatus)> {
        let mut known: HashMap<&str, Vec<Arc<Snapshot>>> = HashMap::new();
        let queues = self.queues().iter().filter(|_| self.metrics_by_status);
        for queue in queues {
            let state = self.state(queue);
            if self.decide(queue, &state, &queue.rules.policy).is_fresh {
                let snapshots = known.entry(&queue.key.account).or_default();
                snapshots.extend(state.snapshot.clone());
            }
        }
        let of_account = |account: &AccountHandle| {
            let snapshots = known.get(&*account.name)?;
            let agents = metrics::each_once(snapshots, &account.names());
            Some((Arc::clone(&account.name), agents))
        };
        self.accounts.iter().filter_map(of_account).collect()
    }

    /// The queues in which `soon` acts.
    fn acting(&self) -> HashSet<QueueKey> {
        let of_account = |account: &AccountHandle| {
            let report = account.health().soon?;
            let acting = report.queues.iter().filter(|queue| queue.state.acts());
            let key = |queue: &QueueReport| {
                QueueKey::new(Arc::clone(&account.name), Arc::clone(&queue.queue))
            };
            Some(acting.map(key).collect::<Vec<_>>())
        };
        self.accounts
            .iter()
            .filter_map(of_account)
            .flatten()
            .collect()
    }

    fn gauges(&self, queue: &Queue) -> QueueGauges {
        let account = self.account(&queue.key.account);
        let names = account.map(AccountHandle::names).unwrap_or_default();
        let (state, now) = (self.state(queue), self.clock.now());
        let names = self.metrics_by_status.then_some(&*names);
        QueueGauges::new(
            &queue.key,
            &state,
            &queue.rules.policy,
            &queue.holds,
            names,
            now,
        )
    }
}

/// Returns an account's name and its current feed.
fn feed(account: &AccountHandle) -> (Arc<str>, &'static str) {
    (Arc::clone(&account.name), account.health().feed.as_str())
}

/// Returns an account's name and the kind of its current fault.
fn fault(account: &AccountHandle) -> (Arc<str>, Option<FaultKind>) {
    let fault = account.health().fault;
    (Arc::clone(&account.name), fault.map(|fault| fault.kind()))
}
