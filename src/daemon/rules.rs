//! The keys of the config's queues, and what the config says about the decisions of each.

use std::{collections::HashMap, sync::Arc};

use crate::{
    account::plan,
    config::{self, Config},
    decision::board::QueueKey,
    server::QueueRules,
};

pub(super) fn key(account: &config::Account, queue: &config::Queue) -> QueueKey {
    QueueKey::new(Arc::clone(&account.name), Arc::clone(&queue.spelling))
}

pub(super) fn keys(config: &Config) -> Vec<QueueKey> {
    let keys = |account: &config::Account| {
        account
            .queues
            .iter()
            .map(|queue| key(account, queue))
            .collect::<Vec<_>>()
    };
    config.accounts.iter().flat_map(keys).collect()
}

/// What the config says about the decisions of each queue.
pub(super) fn queue_rules(config: &Config) -> HashMap<QueueKey, QueueRules> {
    let is_cluster = config.cluster.is_some();
    let lines = |queue: &config::Queue| {
        config::Queue::lines(&queue.reference, queue.hours.as_deref(), &queue.rule)
    };
    let of_account = |account: &config::Account| {
        let queues = account.queues.iter().zip(plan::policies(account));
        let rules = queues.map(|(queue, policy)| {
            let rules = QueueRules {
                policy,
                counts_seats: !matches!(queue.rule, config::Rule::Custom(_)),
                patience: queue.patience,
                soon: queue.soon,
                lines: is_cluster.then(|| lines(queue).into()),
            };
            (key(account, queue), rules)
        });
        rules.collect::<Vec<_>>()
    };
    config.accounts.iter().flat_map(of_account).collect()
}
