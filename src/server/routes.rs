//! The table of all routes: method, path, rule, handler, parameters, answers.
//!
//! The router, the list at `/`, the OpenAPI document and the page at `/docs` all come from this table.

use std::sync::{Arc, LazyLock};

use axum::{
    Extension,
    extract::State,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::{
    api::{
        accounts, calls,
        decision_parameters::{DECISION_PARAMETERS, REFRESH_PARAMETERS, RESERVATION_PARAMETERS},
        decisions, probes, queues, reload, reservations,
    },
    dashboard::{self, Pages},
    drop_in,
    http::{
        accept::wants_html,
        problem::Problem,
        problem_types,
        rule::{Guard, Need, Rule},
    },
    json::{
        account::AccountsJson,
        call::CallJson,
        decision::{DecisionJson, DecisionsJson},
        history::HistoryJson,
        queue::{QueueWithAgentsJson, QueuesJson},
        reservation::{ReservationJson, ReservationRequest, ReservationsJson},
    },
    openapi::{self, Content, Document, Line, Operation, Tag},
    route::Route,
    state::{app::App, reload_request::Reloaded},
    watch,
};

/// Returns all routes: the documented operations, the pages, and the redirects that CallTools has.
pub(super) fn table() -> Vec<Route> {
    let operations = operations().into_iter().map(Operation::into_route);
    operations
        .chain(dashboard::routes())
        .chain(drop_in::redirects())
        .collect()
}

/// Returns the rule for a path without a route. CallTools' 404 says nothing about queues, so it is open to everybody.
pub(super) fn rule_without_route(path: &str) -> Rule {
    let guard = match drop_in::is_at(path) {
        true => Guard::Open,
        false => Guard::Bearer,
    };
    Rule {
        guard,
        ..Rule::NO_ROUTE
    }
}

/// The rule of a single decision, which the [fast path](super::serve::fast_path) answers instead of the router.
pub(super) static DECISION_RULE: LazyLock<Rule> = LazyLock::new(|| rule_of_all("/decision"));

/// The rule of a list of decisions, which the fast path answers too.
pub(super) static DECISIONS_RULE: LazyLock<Rule> = LazyLock::new(|| rule_of_all("/v1/decisions"));

/// Returns the rule that GET has on every path with this ending.
fn rule_of_all(end: &str) -> Rule {
    let is_meant = |route: &Route| route.method == Method::GET && route.path.ends_with(end);
    let mut rules = table().into_iter().filter(is_meant);
    let rule = rules.next().expect("decisions are routed").rule;
    assert!(rules.all(|other| other.rule == rule));
    rule
}

/// The OpenAPI document of all operations.
pub(super) static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(&operations()));

static DOCUMENT_JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_json());
static DOCS_PAGE: LazyLock<String> = LazyLock::new(|| openapi::page(&DOCUMENT, &operations()));
static INDEX_LINES: LazyLock<Vec<Line>> = LazyLock::new(|| openapi::lines(&operations()));
static INDEX: LazyLock<String> = LazyLock::new(|| openapi::index(&INDEX_LINES));

const LOG_IN: &str = "For a browser that has not logged in: to the login page";

/// Returns all documented operations, in reading order.
pub(super) fn operations() -> Vec<Operation> {
    let mut operations = queue_routes("/v1/queues/{queue}", "");
    operations.extend(multi_queue_routes());
    // For queue names that several accounts share. A queue that is itself named "decision", "chart.svg", "history", "refresh" or "reservations" must
    // be written `{account}/%64ecision`.
    operations.extend(queue_routes("/v1/queues/{account}/{queue}", "OfAccount"));
    operations.extend(drop_in_routes());
    operations.extend(daemon_routes());
    operations
}

fn queue_routes(queue: &str, suffix: &str) -> Vec<Operation> {
    use problem_types::*;
    let path = |tail: &str| format!("{queue}{tail}");
    let id = |name: &str| format!("{name}{suffix}");
    vec![
        decided(Operation::get(path("/decision"), decisions::get_decision))
            .query(DECISION_PARAMETERS)
            .needing(Need::Ask)
            .problems(&[MAY_ONLY_LOOK, NO_LEADER])
            .called(id("decide"), Tag::Decisions, "accept or reject; ?threshold=2, ?format=text, ?call_id=…&reserve=45s")
            .more("Never waits for CallTools, unless the request allows it with `fresh`. With `reserve` it decides and holds the seat in one step; \
                   the status is 200 whether or not a seat is held. HEAD holds nothing."),
        decided(Operation::post(path("/decision"), decisions::get_decision))
            .query(DECISION_PARAMETERS)
            .ignoring_body()
            .needing(Need::Ask)
            .problems(&[MAY_ONLY_LOOK, NO_LEADER])
            .called(id("decideByPost"), Tag::Decisions, "the same, for routers that can only post; the body is not read"),
        Operation::get(path(""), queues::get_queue)
            .called(id("getQueue"), Tag::Queues, "one queue with its agents")
            .answers(200, "What is known about the queue", Content::json::<QueueWithAgentsJson>(openapi::QUEUE))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE]),
        decided(Operation::post(path("/refresh"), queues::refresh_queue))
            .query(REFRESH_PARAMETERS)
            .called(id("refresh"), Tag::Queues, "polls the queue now, at the cost of a request")
            .more("Spends one of the account's requests, from the reserve if necessary. Answers like `decision` once the new snapshot is in.")
            .problems(&[
                BUDGET_SPENT, THROTTLED, BAD_TOKEN, NO_PERMISSION, NO_SUCH_QUEUE, UPSTREAM_DOWN, CLUSTER_DOWN, BUSY, STOPPING, UPSTREAM_SLOW, REFRESH_TIMEOUT,
            ]),
        Operation::get(path("/chart.svg"), dashboard::get_chart)
            .called(id("draw"), Tag::Queues, "a chart of its seats over time; ?range=1h, ?range=24h, ?range=7d")
            .query(dashboard::RANGE)
            .answers(200, "The chart", Content::text("image/svg+xml", "<svg/>"))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, BUSY, HISTORY_UNREADABLE]),
        Operation::get(path("/history"), dashboard::get_history)
            .called(id("getHistory"), Tag::Queues, "its recorded history; ?range=24h, ?format=csv")
            .query(dashboard::HISTORY_PARAMETERS)
            .answers(200, "The history, in equal parts of time", Content::json::<HistoryJson>(openapi::HISTORY))
            .answers(200, "With `format=csv`: one line per part", Content::text("text/csv", "from,known_ms,seats_min,seats_mean,seats_max\r\n"))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, BUSY, HISTORY_UNREADABLE]),
        Operation::post(path("/reservations"), reservations::create_reservation)
            .needing(Need::Reserve)
            .called(id("reserve"), Tag::Reservations, "holds a seat for a call on its way; {\"call_id\":\"…\",\"ttl\":\"45s\"}")
            .more("Decides and reserves in one step. A reservation ends when an agent of the queue leaves *available* after it was made, when it is \
                   released, or after its `ttl`, whichever comes first.")
            .query(RESERVATION_PARAMETERS)
            .body(reservations::MAX_BODY, Content::json::<ReservationRequest>(openapi::RESERVATION_REQUEST))
            .answers(201, "A seat is now held", Content::json::<ReservationJson>(openapi::RESERVATION))
            .answers(200, "The call already has this reservation", Content::json::<ReservationJson>(openapi::RESERVATION))
            .problems(&[
                BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, NO_SEAT, SLOW_REQUEST, TOO_MANY_RESERVATIONS, NO_LEADER,
            ]),
        Operation::get(path("/reservations"), reservations::list_reservations_of_queue)
            .called(id("getReservationsOfQueue"), Tag::Reservations, "the seats held in a queue")
            .answers(200, "The seats held", Content::json::<ReservationsJson>(openapi::RESERVATIONS))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE]),
    ]
}

/// Adds the answers that all operations with one decision share.
fn decided(operation: Operation) -> Operation {
    use problem_types::*;
    operation
        .answers(
            200,
            "The decision, accept or reject",
            Content::json::<DecisionJson>(openapi::DECISION),
        )
        .answers(
            200,
            "With `format=text`: `accept` or `reject`. With `format=count`: a bare number",
            Content::text("text/plain", "accept\n"),
        )
        .answers_bare(204, "With `format=status`: accept")
        .answers(
            403,
            "With `format=status`: reject, as empty text",
            Content::text("text/plain", ""),
        )
        .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE])
}

fn multi_queue_routes() -> Vec<Operation> {
    use problem_types::*;
    vec![
        Operation::get("/v1/decisions", decisions::list_decisions)
            .needing(Need::Ask)
            .called("decideMany", Tag::Decisions, "several decisions, and the best one; ?queue=a&queue=b")
            .query(decisions::LIST_PARAMETERS)
            .answers(200, "The decisions, in the order requested", Content::json::<DecisionsJson>(openapi::DECISIONS))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE]),
        Operation::get("/v1/watch", watch::watch_decisions)
            .needing(Need::Ask)
            .called("watch", Tag::Decisions, "decisions as they change, as server-sent events; ?queue=a&queue=b")
            .more("Starts with an event `snapshot` with all `decisions`, or resumes after `Last-Event-ID`. Then sends an event `decision` for \
                   each decision that changes, and a comment every 15 s. Before openseat ends a stream, it says why in an event `end`.")
            .query(watch::PARAMETERS)
            .headers(watch::HEADERS)
            .answers(200, "An endless stream of events", Content::events::<watch::Event>(openapi::EVENT))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, TOO_MANY_STREAMS, STOPPING]),
        Operation::get("/v1/queues", queues::list_queues)
            .called("getQueues", Tag::Queues, "all queues")
            .answers(200, "The queues, in the order of the config", Content::json::<QueuesJson>(openapi::QUEUES))
            .problems(&[BAD_PARAMETER]),
        Operation::get("/v1/accounts", accounts::list_accounts)
            .called("getAccounts", Tag::Queues, "all accounts: budget, pace, fault")
            .answers(200, "The accounts, in the order of the config", Content::json::<AccountsJson>(openapi::ACCOUNTS))
            .problems(&[BAD_PARAMETER]),
        Operation::get("/v1/calls/{call_id}", calls::get_call)
            .needing(Need::Read)
            .called("getCall", Tag::Decisions, "why was this call rejected? everything answered for its call_id")
            .more("Answers are recorded for requests with a `call_id`, and kept as long as the history. For a held seat, the answer also says how the hold ended.")
            .answers(200, "The answers, oldest first", Content::json::<CallJson>(openapi::CALL))
            .problems(&[BAD_PARAMETER, NO_SUCH_CALL, BUSY, HISTORY_UNREADABLE]),
        Operation::get("/v1/reservations", reservations::list_reservations)
            .called("getReservations", Tag::Reservations, "the seats held in all queues")
            .answers(200, "The seats held", Content::json::<ReservationsJson>(openapi::RESERVATIONS))
            .problems(&[BAD_PARAMETER]),
        Operation::delete("/v1/reservations/{id}", reservations::release_reservation)
            .needing(Need::Reserve)
            .called("release", Tag::Reservations, "releases a seat")
            .answers_bare(204, "The seat is free again")
            .problems(&[BAD_PARAMETER, NO_SUCH_RESERVATION, NO_LEADER]),
        Operation::post("/v1/reservations/{id}/release", reservations::release_reservation)
            .needing(Need::Reserve)
            .called("releaseByPost", Tag::Reservations, "the same, for clients that cannot send DELETE")
            .answers_bare(204, "The seat is free again")
            .problems(&[BAD_PARAMETER, NO_SUCH_RESERVATION, NO_LEADER]),
    ]
}

fn drop_in_routes() -> Vec<Operation> {
    let detail = || Content::json::<drop_in::Detail>(openapi::DETAIL);
    let guarded = |operation: Operation| {
        operation
            .guarded(Guard::Token)
            .answers(
                401,
                "The token is missing or belongs to no account",
                detail(),
            )
            .with_headers(&[("WWW-Authenticate", "`Token`")])
            .answers(503, "openseat does not know; the detail says why", detail())
    };
    let list = |operation: Operation| {
        guarded(operation)
            .answers(
                200,
                "A page of the rows, as CallTools sent them",
                Content::json::<drop_in::Rows>(openapi::ROWS),
            )
            .with_headers(&[("Age", "The age of the oldest row in seconds; only for agents. Whether agents are available is known as of later")])
            .answers(404, "There is no such page", detail())
    };
    vec![
        list(Operation::get(
            "/api/agentstatuses/",
            drop_in::list_agent_statuses,
        ))
        .called(
            "listAgentStatuses",
            Tag::DropIn,
            "agents as CallTools shows them, with the account's own token; ?queue={id}",
        )
        .query(drop_in::AGENT_PARAMETERS)
        .answers(
            400,
            "A filter is not a number, or names something that the account does not have",
            Content::json::<drop_in::Filters>(openapi::FILTER),
        ),
        guarded(Operation::get(
            "/api/agentstatuses/{agent}/",
            drop_in::get_agent_status,
        ))
        .called("getAgentStatus", Tag::DropIn, "one agent")
        .answers(
            200,
            "The agent's row, as CallTools sent it",
            Content::json::<drop_in::Row>(openapi::ROW),
        )
        .with_headers(&[("Age", "The age of the oldest known row in seconds")])
        .answers(404, "There is no such agent", detail()),
        list(Operation::get("/api/queues/", drop_in::list_queues))
            .called("listQueues", Tag::DropIn, "the account's queues")
            .query(drop_in::PAGE_PARAMETERS),
        list(Operation::get("/api/statuses/", drop_in::list_statuses))
            .called("listStatuses", Tag::DropIn, "the account's statuses")
            .query(drop_in::PAGE_PARAMETERS),
    ]
}

fn daemon_routes() -> Vec<Operation> {
    use problem_types::*;
    vec![
        Operation::post("/v1/reload", reload::reload_config)
            .called(
                "reload",
                Tag::Operations,
                "reloads the config; a bad one changes nothing",
            )
            .answers(
                200,
                "The new config is in force",
                Content::json::<Reloaded>(openapi::RELOADED),
            )
            .problems(&[
                BAD_PARAMETER,
                BAD_CONFIG,
                NEEDS_RESTART,
                UNUSABLE_CONFIG,
                NO_CONFIG_FILE,
                BUSY,
                STOPPING,
                RELOAD_TIMEOUT,
            ]),
        Operation::get("/metrics", probes::get_metrics)
            .called("getMetrics", Tag::Operations, "for Prometheus")
            .linked()
            .answers(
                200,
                "In the text format 0.0.4",
                Content::text("text/plain", openapi::METRICS),
            )
            .answers(
                200,
                "In OpenMetrics, if `Accept` asks for that",
                Content::text("application/openmetrics-text", openapi::METRICS),
            )
            .problems(&[BUSY]),
        Operation::get("/livez", probes::get_liveness)
            .called("live", Tag::Operations, "200 while the process runs")
            .guarded(Guard::Probe)
            .linked()
            .answers(
                200,
                "The process runs",
                Content::text("text/plain", "alive\n"),
            ),
        Operation::get("/readyz", probes::get_readiness)
            .called(
                "ready",
                Tag::Operations,
                "200 once every queue has a snapshot or a known fault, or is closed; ?verbose",
            )
            .guarded(Guard::Probe)
            .linked()
            .query(probes::READINESS_PARAMETERS)
            .answers(
                200,
                "Every queue has a snapshot or a known fault, or is closed",
                Content::text("text/plain", "ready\n"),
            )
            .answers(
                503,
                "Not yet, or openseat is stopping",
                Content::text("text/plain", "not ready\n"),
            )
            .problems(&[BAD_PARAMETER]),
        Operation::get("/openapi.json", get_document)
            .called(
                "getDocument",
                Tag::Operations,
                "this API for programs: OpenAPI 3.1",
            )
            .linked()
            .answers(
                200,
                "The document",
                Content::json::<openapi::OpenApi>("{\"openapi\": \"3.1.0\"}"),
            ),
        Operation::get(openapi::DOCS_PATH, get_docs)
            .called(
                "getReference",
                Tag::Operations,
                "this API for people: a reference",
            )
            .guarded(Guard::Page)
            .linked()
            .answers(
                200,
                "A page",
                Content::text("text/html", "<!doctype html>\n"),
            )
            .answers_bare(303, LOG_IN),
        Operation::get("/", get_index)
            .called("getIndex", Tag::Operations, "this list")
            .guarded(Guard::Page)
            .linked()
            .answers(
                200,
                "A list of all operations",
                Content::text("text/plain", "GET /livez  200 while the process runs\n"),
            )
            .answers(
                200,
                "For a browser: the dashboard",
                Content::text("text/html", "<!doctype html>\n"),
            )
            .answers_bare(
                304,
                "For a browser that already has this dashboard, according to `If-None-Match`",
            )
            .answers(
                503,
                "For a browser, while too many pages are being rendered",
                Content::text("text/html", "<!doctype html>\n"),
            )
            .answers_bare(303, LOG_IN),
    ]
}

/// `GET /openapi.json`
async fn get_document() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT_JSON.as_str()).into_response()
}

/// `GET /docs`
async fn get_docs() -> Response {
    ([openapi::policy()], Html(DOCS_PAGE.as_str())).into_response()
}

/// `GET /`: the dashboard for browsers, the list of all operations for other clients.
async fn get_index(
    State(app): State<Arc<App>>,
    Extension(pages): Extension<Arc<Pages>>,
    headers: HeaderMap,
) -> Response {
    match wants_html(&headers) {
        true => dashboard::get_overview(&app, &pages, &headers, &INDEX_LINES).await,
        false => INDEX.as_str().into_response(),
    }
}

/// Answers for a path without a route.
pub(super) async fn no_such_path(uri: Uri) -> Response {
    match drop_in::is_at(uri.path()) {
        true => drop_in::not_found(),
        false => Problem::no_such_path().into_response(),
    }
}

/// Answers for a path that has routes, but not for this method.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    match drop_in::is_at(uri.path()) {
        true => drop_in::method_not_allowed(&method),
        false => Problem::method_not_allowed().into_response(),
    }
}
