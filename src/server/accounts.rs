//! The accounts: what is left of each one's hour, at what pace it is polled, and what is wrong with it.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    app::{AccountHandle, App},
    decisions::{Timestamp, rfc3339, whole_ms},
    params::Params,
    problem::Problem,
    queues::FaultView,
};
use crate::{board::QueueState, budget::Usage, clock::Moment};

/// An account. What its ledger would tell is null where that cannot be read.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Account")]
struct View<'a> {
    /// As configured.
    account: &'a str,
    /// The most requests in any hour.
    requests_per_hour: Option<u32>,
    /// So many of them are kept back from polling.
    reserve: Option<u32>,
    /// Requests of the last hour, those under way included.
    used: Option<u32>,
    /// The part of the rate that openseat allows itself: 1 unless others spend from the account, too.
    share: Option<f64>,
    /// Until when CallTools wants to hear nothing; null where it did not say so.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    throttled_until: Option<Moment>,
    /// The time between two requests at the present pace, in milliseconds.
    request_every_ms: Option<u64>,
    /// Whether statuses come from sweeps of the whole account; otherwise the queues are polled one by one.
    sweeps: bool,
    /// How many queues are configured.
    queues: usize,
    /// How many of them have a fault.
    faulty_queues: usize,
    /// What is wrong with the account as a whole; or with each of its queues, where that is the same.
    fault: Option<FaultView>,
    /// Since when the account has its fault; null where it has none.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    fault_since: Option<Moment>,
    /// Since when every queue's list of agents is empty; null where one is not, or nobody ever was on one.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    empty_since: Option<Moment>,
    /// How many agents there were before that.
    agents_before: Option<usize>,
}

impl<'a> View<'a> {
    fn of(app: &App, account: &'a AccountHandle, usage: Option<Usage>) -> Self {
        let queues = app.queues().iter();
        let own = queues.filter(|queue| queue.key.account == account.name);
        let states: Vec<Arc<QueueState>> = own.map(|queue| app.state(queue)).collect();
        let faults = states.iter().filter_map(|state| state.fault.as_deref());
        let words: HashSet<_> = faults.clone().map(|fault| fault.word()).collect();
        let faulty_queues = faults.clone().count();
        let common = (faulty_queues == states.len() && words.len() == 1)
            .then(|| faults.clone().next())
            .flatten();
        let health = account.health();
        let present = health.fault.as_ref().map(|present| &*present.fault);
        Self {
            account: &account.name,
            requests_per_hour: usage.map(|usage| usage.limit),
            reserve: usage.map(|usage| usage.reserve),
            used: usage.map(|usage| usage.used),
            share: usage.map(|usage| usage.share),
            throttled_until: usage.and_then(|usage| usage.throttled_until),
            request_every_ms: usage.map(|usage| whole_ms(usage.period)),
            sweeps: health.sweeps,
            queues: states.len(),
            faulty_queues,
            fault: present.or(common).map(FaultView::of),
            fault_since: health.fault.as_ref().map(|present| present.since),
            empty_since: health.emptied.map(|emptied| emptied.since),
            agents_before: health.emptied.map(|emptied| emptied.agents_before),
        }
    }
}

/// All accounts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Accounts")]
pub(super) struct All<'a> {
    /// In the order of the config.
    accounts: Vec<View<'a>>,
}

/// `GET /v1/accounts`
pub(super) async fn all(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let mut accounts = Vec::with_capacity(app.accounts.len());
    for account in &app.accounts {
        let usage = app.usage(account).await;
        accounts.push(View::of(&app, account, usage));
    }
    Ok(Json(All { accounts }).into_response())
}
