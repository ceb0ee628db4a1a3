//! Accounts as JSON.

use std::{collections::HashSet, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    cluster::ClusterJson,
    fault::FaultJson,
    feed::FeedJson,
    soon::SoonCalibrationJson,
    time::{Timestamp, rfc3339, whole_ms},
};
use crate::{
    account::Health, budget::Usage, clock::Moment, cluster::member::Status,
    decision::board::QueueState, model::fault::Fault,
};

/// An account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Account")]
pub struct AccountJson<'a> {
    /// Its name, as configured.
    account: &'a str,
    /// The most requests in any hour.
    requests_per_hour: u32,
    /// How many of them are kept back from polling.
    reserve: u32,
    /// Requests of the last hour, including those under way.
    used: u32,
    /// The part of its rate that openseat uses: 1 unless others spend from the account too.
    share: f64,
    /// Until when CallTools wants no requests; null unless it said so.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    throttled_until: Option<Moment>,
    /// The time between two requests at the present pace, in milliseconds.
    request_every_ms: u64,
    /// Whether statuses come from sweeps of the whole account; otherwise queues are polled one by one.
    sweeps: bool,
    /// Where statuses come from: `delta` (the list ordered by change), `available` (those who are available), `sweep` (the full list), `queues`.
    feed: &'static str,
    /// How each feed stands, and why a better one is not used.
    feeds: Vec<FeedJson>,
    /// How many queues are configured.
    queues: usize,
    /// How many of them have a fault.
    faulty_queues: usize,
    /// What is wrong with the account as a whole, or with every one of its queues in the same way.
    fault: Option<FaultJson>,
    /// Since when the account has its fault; null if it has none.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    fault_since: Option<Moment>,
    /// Since when all its queues have no agents; null if one has, or if none ever had.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    empty_since: Option<Moment>,
    /// How many agents there were before that.
    agents_before: Option<usize>,
    /// Its role in a cluster; null without a cluster.
    cluster: Option<ClusterJson>,
    /// What was predicted at zero seats, and what happened; null in the first seconds.
    soon: Option<SoonCalibrationJson>,
}

impl<'a> AccountJson<'a> {
    /// `states` has the states of all its queues.
    pub fn new(
        account: &'a str,
        usage: Usage,
        health: &Health,
        states: &[Arc<QueueState>],
        cluster: Option<&Status>,
        now: Moment,
    ) -> Self {
        let own_fault = health.fault.as_ref().map(|present| &*present.fault);
        let faulty = states.iter().filter(|state| state.fault.is_some());
        Self {
            account,
            requests_per_hour: usage.limit,
            reserve: usage.reserve,
            used: usage.used,
            share: usage.share,
            throttled_until: usage.throttled_until,
            request_every_ms: whole_ms(usage.period),
            sweeps: health.sweeps,
            feed: health.feed.as_str(),
            feeds: health.feeds.iter().map(FeedJson::from).collect(),
            queues: states.len(),
            faulty_queues: faulty.count(),
            fault: own_fault
                .or_else(|| common_fault(states))
                .map(|fault| FaultJson::new(fault, now)),
            fault_since: health.fault.as_ref().map(|present| present.since),
            empty_since: health.emptied.map(|emptied| emptied.since),
            agents_before: health.emptied.map(|emptied| emptied.agents_before),
            cluster: cluster.map(|status| ClusterJson::new(status, now)),
            soon: health.soon.as_deref().map(SoonCalibrationJson::new),
        }
    }
}

/// The fault of all queues, if they all have one of the same kind.
fn common_fault(states: &[Arc<QueueState>]) -> Option<&Fault> {
    let faults: Option<Vec<_>> = states.iter().map(|state| state.fault.as_deref()).collect();
    let faults = faults?;
    let kinds: HashSet<_> = faults.iter().map(|fault| fault.as_str()).collect();
    faults.first().copied().filter(|_| kinds.len() == 1)
}

/// All accounts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Accounts")]
pub struct AccountsJson<'a> {
    /// In the order of the config.
    pub accounts: Vec<AccountJson<'a>>,
}
