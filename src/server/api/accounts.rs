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
    decisions::{Timestamp, rfc3339, whole_ms},
    queues::FaultView,
};
use crate::{
    budget::Usage,
    clock::Moment,
    decision::board::QueueState,
    server::{
        http::{params::Params, problem::Problem},
        state::app::{AccountHandle, App},
    },
};

/// An account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Account")]
struct View<'a> {
    /// As configured.
    account: &'a str,
    /// The most requests in any hour.
    requests_per_hour: u32,
    /// So many of them are kept back from polling.
    reserve: u32,
    /// Requests of the last hour, those under way included.
    used: u32,
    /// The part of the rate that openseat allows itself: 1 unless others spend from the account, too.
    share: f64,
    /// Until when CallTools wants to hear nothing; null where it did not say so.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    throttled_until: Option<Moment>,
    /// The time between two requests at the present pace, in milliseconds.
    request_every_ms: u64,
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
    fn of(app: &App, account: &'a AccountHandle) -> Self {
        let Usage {
            limit,
            reserve,
            used,
            share,
            throttled_until,
            period,
        } = account.budget.usage();
        let queues = app.queues().iter();
        let own = queues.filter(|queue| queue.key.account == account.name);
        let states: Vec<Arc<QueueState>> = own.map(|queue| app.state(queue)).collect();
        let faults = states.iter().filter_map(|state| state.fault.as_deref());
        let words: HashSet<_> = faults.clone().map(|fault| fault.as_str()).collect();
        let faulty_queues = faults.clone().count();
        let common = (faulty_queues == states.len() && words.len() == 1)
            .then(|| faults.clone().next())
            .flatten();
        let health = account.health();
        let present = health.fault.as_ref().map(|present| &*present.fault);
        Self {
            account: &account.name,
            requests_per_hour: limit,
            reserve,
            used,
            share,
            throttled_until,
            request_every_ms: whole_ms(period),
            sweeps: health.sweeps,
            queues: states.len(),
            faulty_queues,
            fault: present
                .or(common)
                .map(|fault| FaultView::of(fault, app.clock.now())),
            fault_since: health.fault.as_ref().map(|present| present.since),
            empty_since: health.emptied.map(|emptied| emptied.since),
            agents_before: health.emptied.map(|emptied| emptied.agents_before),
        }
    }
}

/// All accounts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Accounts")]
pub struct All<'a> {
    /// In the order of the config.
    accounts: Vec<View<'a>>,
}

/// `GET /v1/accounts`
pub async fn all(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let accounts = app.accounts.iter();
    let accounts = accounts.map(|account| View::of(&app, account)).collect();
    Ok(Json(All { accounts }).into_response())
}
