//! CallTools' own API, answered from the board: a client switches by changing its base URL.
//!
//! Rows, pages, filters, errors and the `Authorization: Token …` header are those of CallTools, which uses Django REST Framework (DRF).
//! One thing differs on purpose: if openseat does not know, because a snapshot is stale or was never taken, the answer is 503 and never an
//! empty list. Unknown is not zero, and a client that counts rows could not tell the two apart. A queue outside of its opening hours is not
//! unknown: its list is empty, so that such a client rejects.
//!
//! `token` finds the account, `rows` the rows, `page` cuts pages, `base` makes links, `error` has the errors. `record` records what was listed for a call.

mod base;
mod error;
mod page;
mod record;
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

pub(super) use self::error::{Detail, Filters};
use self::{
    base::Base,
    error::{DropInError, detail},
    page::{Envelope, Page, Request},
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

/// All paths end in a slash, as CallTools' do. Paths without it are redirected, as in Django.
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
    meaning: "Rows per page, at most 250, or `max`; 25 if it is not a number",
    shape: Shape::Text,
    example: "250",
};

/// The parameters of every list. As at CallTools, unknown ones are ignored.
pub(super) const PAGE_PARAMETERS: &[Parameter] = &[PAGE, PAGE_SIZE];

/// The parameters of the list of agents.
pub(super) const AGENT_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "queue",
        meaning: "The id of a queue; without it, the agents of all configured queues",
        shape: Shape::Pattern("^( *[0-9]+ *)?$"),
        example: "5450",
    },
    Parameter {
        name: "agent_status",
        meaning: "The id of a status: only agents in that status",
        shape: Shape::Pattern("^( *[0-9]+ *)?$"),
        example: "627",
    },
    PAGE,
    PAGE_SIZE,
];

shape!(
    /// A row as CallTools sent it.
    Row, { "type": "object" }
);

/// A page of rows.
pub(super) type Rows = Envelope<'static, Row>;

/// Whether a path is below `/api/`, where even unknown paths are answered the way CallTools does.
pub(super) fn is_at(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Answers unknown paths under `/api/`.
pub(super) fn not_found() -> Response {
    DropInError::NotFound.into_response()
}

/// Answers methods other than GET and HEAD.
pub(super) fn method_not_allowed(method: &Method) -> Response {
    let text = format!("Method \"{method}\" not allowed.");
    detail(StatusCode::METHOD_NOT_ALLOWED, &text)
}

async fn add_slash(uri: Uri) -> Response {
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let location = format!("{}/{query}", uri.path());
    // A valid target is a valid header value.
    let location = HeaderValue::try_from(location).expect("a target has no control characters");
    (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, location)],
    )
        .into_response()
}

/// The account whose token the request shows, by its index among the accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(usize);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = DropInError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, DropInError> {
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
) -> Result<Response, DropInError> {
    let request = Request::new(&uri, Base::new(&headers, arrival));
    let account = caller.account(&app);
    let queue = request.param("queue");
    let queue = queue.map(|id| rows::queue(&app, account, id)).transpose()?;
    rows::count_demand(&app, account, queue);
    let sources = match queue {
        Some(queue) => {
            let known = rows::known(&app, queue);
            vec![known.inspect_err(|_| record::unknown(&app, queue, &uri))?]
        }
        None => rows::account_snapshots(&app, account)?,
    };
    let listing = rows::Listing::new(&sources, queue.is_some());
    let listing = match request.param("agent_status") {
        Some(status) => listing.with_status(status, &account.names())?,
        None => listing,
    };
    if request.param("team").is_some() {
        return Err(DropInError::Filter(
            "team",
            "openseat cannot filter by team.",
        ));
    }
    let page = Page::new(&request, listing.len())?;
    if let Some(queue) = queue {
        record::listed(&app, queue, &uri, listing.len());
    }
    let rows: Vec<_> = listing.rows(page.range()).collect();
    Ok((rows::age(&app, &sources), page.envelope(&request, &rows)).into_response())
}

/// `GET /api/agentstatuses/{agent}/`
pub(super) async fn get_agent_status(
    caller: Caller,
    State(app): State<Arc<App>>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, DropInError> {
    let Path(id) = id.map_err(|_| DropInError::NotFound)?;
    let account = caller.account(&app);
    rows::count_demand(&app, account, None);
    let known = rows::known_snapshots(&app, account);
    let listing = rows::Listing::new(&known, false);
    match listing.agent(&id) {
        Some(row) => Ok((rows::age(&app, &known), Json(row)).into_response()),
        // An agent that openseat does not know may exist. Only if all queues are known does it not.
        None => rows::all_agents_known(&app, account).and(Err(DropInError::NotFound)),
    }
}

/// `GET /api/queues/`
pub(super) async fn list_queues(
    caller: Caller,
    State(app): State<Arc<App>>,
    arrival: Arrival,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, DropInError> {
    let names = caller.account(&app).names();
    let queues = names.queues.as_ref();
    let queues = queues.ok_or_else(|| DropInError::not_read("queues"))?;
    let rows: Vec<_> = queues.iter().map(|queue| &*queue.raw).collect();
    Ok(page_of(
        &Request::new(&uri, Base::new(&headers, arrival)),
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
) -> Result<Response, DropInError> {
    let names = caller.account(&app).names();
    let statuses = names.statuses.as_ref();
    let statuses = statuses.ok_or_else(|| DropInError::not_read("statuses"))?;
    let rows: Vec<_> = statuses.iter().map(|status| &*status.raw).collect();
    Ok(page_of(
        &Request::new(&uri, Base::new(&headers, arrival)),
        &rows,
    ))
}

/// Returns the page of these rows that a plain HTTP request asks for, the way CallTools answers it, or its 404.
pub fn page_of_list(uri: &Uri, headers: &HeaderMap, rows: &[&RawValue]) -> Response {
    let base = Base::new(headers, Arrival::default());
    page_of(&Request::new(uri, base), rows)
}

fn page_of(request: &Request<'_>, rows: &[&RawValue]) -> Response {
    match Page::new(request, rows.len()) {
        Ok(page) => page.envelope(request, &rows[page.range()]),
        Err(error) => error.into_response(),
    }
}
