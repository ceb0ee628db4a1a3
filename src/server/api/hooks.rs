//! What CallTools posts: a call has ended, so its agent's status has changed just now.
//!
//! A record is a hint and no more: nothing in it is believed, and its agent is only read a little sooner than otherwise. So
//! a flood of them costs no request, and one that is lost does no harm. Whoever asks learns neither which accounts there are nor
//! which agents: that takes the secret, and even with it every agent gets the same answer.

use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts, Path, State};
use bytes::Bytes;
use http::{StatusCode, request::Parts};
use subtle::Choice;

use crate::{
    account::Ask,
    calltools::Call,
    metrics::Hook,
    model::digest::Digest,
    server::{
        http::{body::Whole, problem::Problem, problem_types},
        openapi::shape,
        state::app::{AccountHandle, App},
    },
};

/// The longest record. CallTools' have some 2 kB; contacts with many fields of the account's own may make one longer.
pub const LONGEST_RECORD: usize = 64 * 1024;

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

/// The account whose secret was shown, by its place among the accounts.
#[derive(Clone, Copy, Debug)]
pub struct Poster(usize);

/// Whose secret stands in a request's address. For the gate, before a byte of the body is read: strangers shall have nothing kept for them.
pub async fn poster(app: &App, parts: &mut Parts) -> Result<Poster, Problem> {
    let path = Path::<String>::from_request_parts(parts, &()).await;
    let named = path.ok().and_then(|Path(name)| {
        let mut accounts = app.accounts.iter();
        accounts.position(|account| *account.name == *name)
    });
    let account = named.map(|place| &app.accounts[place]);
    let shown = secret(parts.uri.query().unwrap_or_default());
    let opened = opens(account, shown.as_deref());
    if let Some(place) = named.filter(|_| opened) {
        return Ok(Poster(place));
    }
    if let Some(account) = account {
        app.metrics.hook(&account.name, Hook::Rejected);
    }
    Err(Problem::usual(problem_types::WRONG_SECRET))
}

/// `POST /v1/hooks/{account}?secret=…`
pub async fn take(
    State(app): State<Arc<App>>,
    Extension(Poster(place)): Extension<Poster>,
    Whole(body): Whole,
) -> Result<StatusCode, Problem> {
    let account = &app.accounts[place];
    let (hook, answer) = match body.and_then(|record| read(&record)) {
        Ok(call) => (hear(&app, account, call), Ok(StatusCode::NO_CONTENT)),
        Err(problem) => (Hook::Unreadable, Err(problem)),
    };
    app.metrics.hook(&account.name, hook);
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

fn read(record: &Bytes) -> Result<Call, Problem> {
    Call::read(record).map_err(|bad| Problem::bad_request(format!("this is no Call: {bad}")))
}

/// Tells the account's task whom a record is about.
fn hear(app: &App, account: &AccountHandle, call: Call) -> Hook {
    match call.agent {
        None => Hook::NoAgent,
        Some(agent) if !app.has_agent(account, &agent) => Hook::UnknownAgent,
        Some(agent) => match account.asks.try_send(Ask::Hint { agent }) {
            Ok(()) => Hook::Taken,
            // The task is busy, or the process stops: either way there is nothing that CallTools should try again.
            Err(_) => Hook::Dropped,
        },
    }
}
