//! CallTools' own API, answered from the board: a client moves over by changing its base URL.
//!
//! Shape, paging, filters, words of refusal and the `Authorization: Token …` header are CallTools' (Django REST Framework's).
//! One thing differs on purpose: where openseat does not know, because a snapshot is too old or was never taken, the answer is
//! 503 and never an empty list. Unknown is not zero, and a client that counts rows cannot tell the two apart.

mod base;
mod page;
mod refusal;
mod rows;
mod token;

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use serde_json::value::RawValue;

pub(super) use self::refusal::{Detail, Filters};
use self::{
    base::Base,
    page::{Envelope, Page, Request},
    refusal::{Refusal, detail},
};
use super::{
    http::{
        params::{Parameter, Shape},
        rule::Guard,
    },
    json::shape,
    net::arrival::Arrival,
    route::Route,
    state::app::{AccountHandle, App},
};

/// All paths end in a slash, as CallTools' do; without it they lead there, as Django does it.
pub(super) fn redirects() -> impl Iterator<Item = Route> {
    let paths = [
        "/api/agentstatuses",
        "/api/agentstatuses/{agent}",
        "/api/queues",
        "/api/statuses",
    ];
    let redirect = |path| Route::get(path, add_slash).guarded(Guard::Open);
    paths.into_iter().map(redirect)
}

const PAGE: Parameter = Parameter {
    name: "page",
    meaning: "Which page, from 1, or `last`",
    shape: Shape::Pattern("^( *[0-9]+ *|last)?$"),
    example: "1",
};

const PAGE_SIZE: Parameter = Parameter {
    name: "page_size",
    meaning: "Rows a page, 250 at most, or `max`; 25 if it is no number",
    shape: Shape::Text,
    example: "250",
};

/// Parameters of every list. As at CallTools, those that are unknown are passed over.
pub(super) const PAGE_PARAMETERS: &[Parameter] = &[PAGE, PAGE_SIZE];

/// Parameters of the list of agents.
pub(super) const AGENT_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "queue",
        meaning: "The id of a queue; without it, the agents of all configured queues",
        shape: Shape::Pattern("^( *[0-9]+ *)?$"),
        example: "5450",
    },
    Parameter {
        name: "agent_status",
        meaning: "The id of a status: only agents who are in it",
        shape: Shape::Pattern("^( *[0-9]+ *)?$"),
        example: "627",
    },
    PAGE,
    PAGE_SIZE,
];

shape!(
    /// A row as CallTools sent it, whatever is in it.
    Row, { "type": "object" }
);

/// A page of rows.
pub(super) type Rows = Envelope<'static, Row>;

/// Whether a path belongs here, also where nothing lives: then CallTools' words say so.
pub(super) fn is_at(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// For paths under `/api/` where nothing lives.
pub(super) fn not_found() -> Response {
    Refusal::NotFound.into_response()
}

/// For methods other than GET and HEAD.
pub(super) fn method_not_allowed(method: &Method) -> Response {
    let words = format!("Method \"{method}\" not allowed.");
    detail(StatusCode::METHOD_NOT_ALLOWED, &words)
}

async fn add_slash(uri: Uri) -> Response {
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let location = format!("{}/{query}", uri.path());
    // What was a valid target is a valid header.
    let location = HeaderValue::try_from(location).expect("a target has no control characters");
    (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, location)],
    )
        .into_response()
}

/// The account whose token was shown, by its place among the accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(usize);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        token::account(app, &parts.headers).map(Caller)
    }
}

impl Caller {
    fn account(self, app: &App) -> &AccountHandle {
        &app.accounts[self.0]
    }
}

/// `GET /api/agentstatuses/`
pub(super) async fn list_agent_statuses(
    caller: Caller,
    State(app): State<Arc<App>>,
    arrival: Arrival,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let request = Request::new(&uri, Base::of(&headers, arrival));
    let account = caller.account(&app);
    let sources = match request.param("queue") {
        Some(queue) => vec![rows::of_queue(&app, account, queue)?],
        None => rows::of_account(&app, account)?,
    };
    let listing = rows::Listing::of(&sources, request.param("queue").is_some());
    let listing = match request.param("agent_status") {
        Some(status) => listing.with_status(status, &account.names())?,
        None => listing,
    };
    if request.param("team").is_some() {
        return Err(Refusal::Filter("team", "openseat cannot filter by team."));
    }
    let page = Page::of(&request, listing.len())?;
    let rows: Vec<_> = listing.rows(page.range()).collect();
    Ok((rows::age(&app, &sources), page.envelope(&request, &rows)).into_response())
}

/// `GET /api/agentstatuses/{agent}/`
pub(super) async fn get_agent_status(
    caller: Caller,
    State(app): State<Arc<App>>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::NotFound)?;
    let account = caller.account(&app);
    let known = rows::known_of_account(&app, account);
    let listing = rows::Listing::of(&known, false);
    match listing.agent(&id) {
        Some(row) => Ok((rows::age(&app, &known), Json(row)).into_response()),
        // Not among those we know is not the same as not there.
        None => rows::of_account(&app, account).and(Err(Refusal::NotFound)),
    }
}

/// `GET /api/queues/`
pub(super) async fn list_queues(
    caller: Caller,
    State(app): State<Arc<App>>,
    arrival: Arrival,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let names = caller.account(&app).names();
    let queues = names.queues.as_ref();
    let queues = queues.ok_or_else(|| Refusal::not_read("queues"))?;
    let rows: Vec<_> = queues.iter().map(|queue| &*queue.raw).collect();
    Ok(page_of(
        &Request::new(&uri, Base::of(&headers, arrival)),
        &rows,
    ))
}

/// `GET /api/statuses/`
pub(super) async fn list_statuses(
    caller: Caller,
    State(app): State<Arc<App>>,
    arrival: Arrival,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let names = caller.account(&app).names();
    let statuses = names.statuses.as_ref();
    let statuses = statuses.ok_or_else(|| Refusal::not_read("statuses"))?;
    let rows: Vec<_> = statuses.iter().map(|status| &*status.raw).collect();
    Ok(page_of(
        &Request::new(&uri, Base::of(&headers, arrival)),
        &rows,
    ))
}

/// The page of these rows that a request asks for over plain HTTP, as CallTools answers it, or its 404.
pub fn page_of_list(uri: &Uri, headers: &HeaderMap, rows: &[&RawValue]) -> Response {
    let base = Base::of(headers, Arrival::default());
    page_of(&Request::new(uri, base), rows)
}

fn page_of(request: &Request<'_>, rows: &[&RawValue]) -> Response {
    match Page::of(request, rows.len()) {
        Ok(page) => page.envelope(request, &rows[page.range()]),
        Err(refusal) => refusal.into_response(),
    }
}
