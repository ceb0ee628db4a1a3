//! What CallTools posts: a call has ended, so its agent's status has changed just now.
//!
//! A record is a hint and no more: nothing in it is believed, and its agent is only read a little sooner than otherwise. So
//! a flood of them costs no request, and one that is lost does no harm. Whoever asks learns neither which accounts there are nor
//! which agents: that takes the secret, and even with it every agent gets the same answer.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
};
use http::StatusCode;
use subtle::Choice;

use super::{
    api::shape,
    app::{AccountHandle, App},
    body, kinds,
    problem::Problem,
};
use crate::{account::Ask, calltools::Call, digest::Digest, metrics::Hook};

/// Where CallTools posts; the account's name follows.
pub(super) const PATH: &str = "/v1/hooks/";

/// The longest record. CallTools' have some 2 kB; contacts with many fields of the account's own may make one longer.
const MAX_RECORD: usize = 64 * 1024;

shape!(
    /// What CallTools posts. Only the agent is read: a number, a text, or an address that ends in one; null for a call that nobody took.
    Record, {
        "type": "object",
        "required": ["app_user"],
        "properties": {
            "app_user": {
                "type": ["integer", "string", "null"],
                "minimum": 0,
                "maximum": 9_007_199_254_740_991_u64,
                "pattern": "^[^?#]*[^\\s/?#]"
            }
        }
    }
);

/// `POST /v1/hooks/{account}?secret=…`
pub(super) async fn take(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<StatusCode, Problem> {
    let account = path.ok().and_then(|Path(name)| app.account(&name));
    // Before a byte of the body is read: strangers shall have nothing kept for them.
    let shown = secret(query.as_deref().unwrap_or_default());
    let opened = opens(account, shown.as_deref());
    let outcome = match account {
        Some(account) if opened => hear(&app, account, body).await,
        _ => Err((Hook::Rejected, rejected())),
    };
    let (hook, answer) = match outcome {
        Ok(hook) => (hook, Ok(StatusCode::NO_CONTENT)),
        Err((hook, problem)) => (hook, Err(problem)),
    };
    if let Some(account) = account {
        app.metrics.hook(&account.name, hook);
    }
    answer
}

/// The only `secret` in a query. Other parameters may be a proxy's.
fn secret(query: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut secrets = pairs.filter(|(name, _)| name == "secret");
    match (secrets.next(), secrets.next()) {
        (Some((_, secret)), None) => Some(secret.into_owned()),
        _ => None,
    }
}

/// Whether this secret opens this account. It is the same work for an account that takes no hooks, and for none at all.
fn opens(account: Option<&AccountHandle>, shown: Option<&str>) -> bool {
    let secret = account.and_then(|account| account.hook_secret);
    let there = Choice::from(u8::from(secret.is_some() && shown.is_some()));
    let fits = Digest::of(shown.unwrap_or_default())
        .same(&secret.unwrap_or_else(|| Digest::of("no secret opens this")));
    (fits & there).into()
}

/// Reads a record, and tells the account's task whom it is about.
async fn hear(app: &App, account: &AccountHandle, body: Body) -> Result<Hook, (Hook, Problem)> {
    let record = body::read(app, body, MAX_RECORD).await.and_then(|record| {
        Call::read(&record).map_err(|bad| Problem::bad_request(format!("this is no Call: {bad}")))
    });
    let call = record.map_err(|problem| (Hook::Unreadable, problem))?;
    Ok(match call.agent {
        None => Hook::NoAgent,
        Some(agent) if !app.has_agent(account, &agent) => Hook::UnknownAgent,
        Some(agent) => match account.asks.try_send(Ask::Hint { agent }) {
            Ok(()) => Hook::Taken,
            // The task is busy, or the process stops: either way there is nothing that CallTools should try again.
            Err(_) => Hook::Dropped,
        },
    })
}

/// The same words whatever is wrong.
fn rejected() -> Problem {
    Problem::usual(kinds::WRONG_SECRET)
}
