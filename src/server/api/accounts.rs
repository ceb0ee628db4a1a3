//! Accounts: what is left of each one's hour, how fast it is polled, and what is wrong with it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::Uri;

use crate::server::{
    http::{params::Params, problem::Problem},
    json::account::{AccountJson, AccountsJson},
    state::app::{AccountHandle, App},
};

/// `GET /v1/accounts`
pub async fn list_accounts(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let accounts = app.accounts.iter();
    let accounts = accounts.map(|account| json(&app, account)).collect();
    Ok(Json(AccountsJson { accounts }).into_response())
}

fn json<'a>(app: &App, account: &'a AccountHandle) -> AccountJson<'a> {
    let states: Vec<_> = app
        .queues_of(account)
        .map(|queue| app.state(queue))
        .collect();
    let cluster = account.member.as_ref().map(|member| member.status());
    AccountJson::new(
        &account.name,
        account.budget.usage(),
        &account.health(),
        &states,
        cluster.as_ref(),
        app.clock.now(),
    )
}
