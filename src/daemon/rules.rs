//! The keys of the config's queues, and what the config says about the decisions of each.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    account::plan,
    config::{self, Config},
    decision::{Patience, Policy, board::QueueKey},
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

/// How the snapshots of each queue become decisions.
pub(super) fn policies(config: &Config) -> HashMap<QueueKey, Policy> {
    let of_account = |account| plan::policies(account);
    keys(config)
        .into_iter()
        .zip(config.accounts.iter().flat_map(of_account))
        .collect()
}

/// The queues whose criteria replace the built-in rule.
pub(super) fn own_criteria(config: &Config) -> HashSet<QueueKey> {
    let queues = config.accounts.iter().flat_map(|account| &account.queues);
    let queues = keys(config).into_iter().zip(queues);
    queues
        .filter(|(_, queue)| matches!(queue.rule, config::Rule::Custom(_)))
        .map(|(key, _)| key)
        .collect()
}

/// How long the decisions of patient queues may wait.
pub(super) fn patience(config: &Config) -> HashMap<QueueKey, Patience> {
    let of_account = |account: &config::Account| {
        let patient = account
            .queues
            .iter()
            .filter_map(|queue| Some((key(account, queue), queue.patience?)));
        patient.collect::<Vec<_>>()
    };
    config.accounts.iter().flat_map(of_account).collect()
}
