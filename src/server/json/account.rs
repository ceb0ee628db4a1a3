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
    /// Requests of these that polling may not use.
    reserve: u32,
    /// Requests in the last hour, including those in progress.
    used: u32,
    /// The share of its rate that openseat uses: 1 unless other software uses the account too.
    share: f64,
    /// When CallTools allows requests again; null unless it asked for a pause.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    throttled_until: Option<Moment>,
    /// The time between two requests at the current pace, in milliseconds.
    request_every_ms: u64,
    /// Whether the pace is lower because nobody has asked for ten minutes; the next question ends that. See `idle_pace`.
    idle: bool,
    /// Whether statuses come from sweeps of the whole account; otherwise queues are polled one by one.
    sweeps: bool,
    /// Where statuses come from: `delta` (the list ordered by change), `available` (the list of available agents), `sweep` (the full list),
    /// `queues`.
    feed: &'static str,
    /// The state of each feed, and why a better one is not used.
    feeds: Vec<FeedJson>,
    /// How many queues are configured.
    queues: usize,
    /// Configured queues that have a fault.
    faulty_queues: usize,
    /// What is wrong with the account as a whole, or with all of its queues in the same way.
    fault: Option<FaultJson>,
    /// When the account's fault began; null if it has none.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    fault_since: Option<Moment>,
    /// When all its queues became empty of agents; null if one has agents, or if none ever had.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    empty_since: Option<Moment>,
    /// The number of agents before that.
    agents_before: Option<usize>,
    /// Its role in a cluster; null without a cluster.
    cluster: Option<ClusterJson>,
    /// What was predicted at zero seats, and what happened; null in the first seconds.
    soon: Option<SoonCalibrationJson>,
}

impl<'a> AccountJson<'a> {
    /// Creates the JSON of an account from the states of all its queues.
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
            request_every_ms: whole_ms(usage.period.mul_f64(health.idle.unwrap_or(1.0))),
            idle: health.idle.is_some(),
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

/// Returns the fault of all queues, if all have one of the same kind.
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
