//! Which path is answered by whom, and what there is to know of it.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri};

use super::{
    api::{accounts, decisions, probes, queues, reload, reservations},
    dashboard, drop_in,
    http::{problem::Problem, problem_types},
    openapi::{self, Content, Document, Operation, Tag, reference},
    route::{Guard, Route, Rule},
    serve::access,
    state::{app::App, reload_request::Reloaded},
    watch,
};

/// All routes, each behind what its row of the table says. HEAD works wherever GET does; a wrong method gets 405 with `Allow`.
pub(super) fn router(app: Arc<App>) -> Router {
    let guard = |rule| from_fn_with_state((Arc::clone(&app), rule), access::guard);
    let elsewhere = from_fn_with_state(Arc::clone(&app), elsewhere);
    let mut router = Router::new();
    for route in table() {
        let handler = route.handler.route_layer(guard(route.rule));
        router = router.route(&route.path, handler);
    }
    router
        .fallback(no_such_path.layer(elsewhere.clone()))
        .method_not_allowed_fallback(wrong_method.layer(elsewhere))
        .with_state(app)
}

/// In front of what has no row. CallTools' words for that tell nothing, so everybody may hear them.
async fn elsewhere(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let guard = match drop_in::is_at(request.uri().path()) {
        true => Guard::Open,
        false => Guard::Bearer,
    };
    let rule = Rule {
        guard,
        ..Rule::NOWHERE
    };
    access::guard(State((app, rule)), request, next).await
}

/// What only `control.sock` answers, behind the same guard: no other site's page, and no body that nobody reads.
pub(super) fn control(app: &Arc<App>) -> Router {
    let routes = app.control.clone();
    // axum takes a layer over no routes for a mistake.
    if !routes.has_routes() {
        return routes;
    }
    routes.route_layer(from_fn_with_state(
        (Arc::clone(app), Rule::NOWHERE),
        access::guard,
    ))
}

/// Everything that is answered: what the document describes, the pages, and CallTools' redirects.
pub(super) fn table() -> Vec<Route> {
    let operations = operations().into_iter().map(Operation::into_route);
    operations
        .chain(dashboard::routes())
        .chain(drop_in::redirects())
        .collect()
}

/// What holds for the plain decision, which the [express lane](super::serve::fast_path) answers in the router's place.
pub(super) static DECISION: LazyLock<Rule> = LazyLock::new(|| {
    let is_decision = |route: &Route| route.path.ends_with("/decision");
    let mut rules = table().into_iter().filter(is_decision);
    let rule = rules.next().expect("decisions are routed").rule;
    // The lane answers both spellings of the path.
    assert!(rules.all(|other| other.rule == rule));
    rule
});

const LOG_IN: &str = "For a browser that has not logged in where a token is wanted: to the form";

/// The document of all that follows.
pub(super) static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::of(&operations()));

/// Everything that can be asked, in the order in which people read of it.
pub(super) fn operations() -> Vec<Operation> {
    let mut operations = of_queue("/v1/queues/{queue}", "");
    operations.extend(beyond_one_queue());
    // For accounts that share a queue's name. A queue that is itself called "decision", "chart.svg", "refresh" or "reservations" is read as
    // `{account}/%64ecision`.
    operations.extend(of_queue("/v1/queues/{account}/{queue}", "OfAccount"));
    operations.extend(as_calltools());
    operations.extend(around());
    operations
}

fn of_queue(queue: &str, suffix: &str) -> Vec<Operation> {
    use problem_types::*;
    let path = |tail: &str| format!("{queue}{tail}");
    let id = |name: &str| format!("{name}{suffix}");
    let decided = |operation: Operation| {
        operation
            .query(decisions::ONE)
            .answers(
                200,
                "The decision, whichever it is",
                Content::json::<decisions::View>(openapi::DECISION),
            )
            .answers(
                200,
                "With `format=text`: `accept` or `reject`",
                Content::text("text/plain", "accept\n"),
            )
            .answers_bare(204, "With `format=status`: accept")
            .answers(
                403,
                "With `format=status`: reject, as an empty text",
                Content::text("text/plain", ""),
            )
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE])
    };
    vec![
        decided(Operation::get(path("/decision"), decisions::one))
            .problems(&[MAY_ONLY_LOOK])
            .called(id("decide"), Tag::Decisions, "accept or reject; ?threshold=2, ?format=text, ?format=status")
            .more("Never waits for CallTools, unless it is asked to with `fresh`."),
        Operation::get(path(""), queues::one)
            .called(id("getQueue"), Tag::Queues, "one queue with its agents")
            .answers(200, "The queue, as far as it is known", Content::json::<queues::Whole>(openapi::QUEUE))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE]),
        decided(Operation::post(path("/refresh"), queues::refresh))
            .called(id("refresh"), Tag::Queues, "polls the queue now, at the cost of a request")
            .more("Spends one request of the account's hour, the reserve included, and answers as `decision` does once the new snapshot is there.")
            .problems(&[
                BUDGET_SPENT, THROTTLED, BAD_TOKEN, NO_PERMISSION, NO_SUCH_QUEUE, UPSTREAM_DOWN, BUSY, STOPPING, UPSTREAM_SLOW, REFRESH_TIMEOUT,
            ]),
        Operation::get(path("/chart.svg"), dashboard::chart)
            .called(id("draw"), Tag::Queues, "its seats over time, as a picture; ?range=1h, ?range=24h, ?range=7d")
            .query(dashboard::RANGE)
            .answers(200, "The picture", Content::text("image/svg+xml", "<svg/>"))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, BUSY, HISTORY_UNREADABLE]),
        Operation::post(path("/reservations"), reservations::make)
            .called(id("reserve"), Tag::Reservations, "holds a seat for a call that is being sent; {\"call_id\":\"…\",\"ttl\":\"45s\"}")
            .more("The decision and the reservation in one step. It ends when an agent of the queue is seen leaving *available* after it, when it is \
                   given back, or after its `ttl`, whichever is first.")
            .query(decisions::OF_A_CALL)
            .body(reservations::LONGEST_WISH, Content::json::<reservations::Wish>(openapi::WISH))
            .answers(201, "A seat is held now", Content::json::<reservations::View>(openapi::RESERVATION))
            .answers(200, "The call has a reservation already: this one", Content::json::<reservations::View>(openapi::RESERVATION))
            .problems(&[
                BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, NO_SEAT, SLOW_REQUEST, TOO_MANY_RESERVATIONS,
            ]),
        Operation::get(path("/reservations"), reservations::of_queue)
            .called(id("getReservationsOfQueue"), Tag::Reservations, "the seats held in a queue")
            .answers(200, "The seats held", Content::json::<reservations::All>(openapi::RESERVATIONS))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE]),
    ]
}

fn beyond_one_queue() -> Vec<Operation> {
    use problem_types::*;
    vec![
        Operation::get("/v1/decisions", decisions::many)
            .called(
                "decideMany",
                Tag::Decisions,
                "several decisions, and the best of them; ?queue=a&queue=b",
            )
            .query(decisions::MANY)
            .answers(
                200,
                "The decisions, in the order asked",
                Content::json::<decisions::Many>(openapi::DECISIONS),
            )
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE]),
        Operation::get("/v1/watch", watch::open)
            .called("watch", Tag::Decisions, "decisions as they change, as server-sent events; ?queue=a&queue=b")
            .more("Begins with an event `snapshot` that has all `decisions`, or goes on after `Last-Event-ID`; then one event `decision` for each that has \
                   changed, and a comment every 15 s. Before openseat ends a stream it says why in an event `end`.")
            .query(watch::QUEUES)
            .headers(watch::RESUME)
            .answers(200, "A stream of events, without end", Content::events::<watch::Event>(openapi::EVENT))
            .problems(&[BAD_PARAMETER, UNKNOWN_QUEUE, AMBIGUOUS_QUEUE, TOO_MANY_STREAMS, STOPPING]),
        Operation::get("/v1/queues", queues::summary)
            .called("getQueues", Tag::Queues, "all queues")
            .answers(
                200,
                "The queues, in the order of the config",
                Content::json::<queues::All>(openapi::QUEUES),
            )
            .problems(&[BAD_PARAMETER]),
        Operation::get("/v1/accounts", accounts::all)
            .called(
                "getAccounts",
                Tag::Queues,
                "all accounts: budget, pace, fault",
            )
            .answers(
                200,
                "The accounts, in the order of the config",
                Content::json::<accounts::All>(openapi::ACCOUNTS),
            )
            .problems(&[BAD_PARAMETER]),
        Operation::get("/v1/reservations", reservations::all)
            .called(
                "getReservations",
                Tag::Reservations,
                "the seats held in all queues",
            )
            .answers(
                200,
                "The seats held",
                Content::json::<reservations::All>(openapi::RESERVATIONS),
            )
            .problems(&[BAD_PARAMETER]),
        Operation::delete("/v1/reservations/{id}", reservations::release)
            .called("release", Tag::Reservations, "gives a seat back")
            .answers_bare(204, "The seat is open again")
            .problems(&[BAD_PARAMETER, NO_SUCH_RESERVATION]),
        Operation::post("/v1/reservations/{id}/release", reservations::release)
            .called(
                "releaseByPost",
                Tag::Reservations,
                "the same, for those who cannot send DELETE",
            )
            .answers_bare(204, "The seat is open again")
            .problems(&[BAD_PARAMETER, NO_SUCH_RESERVATION]),
    ]
}

fn as_calltools() -> Vec<Operation> {
    let guarded = |operation: Operation| {
        operation
            .guarded(Guard::Token)
            .answers(
                401,
                "The token is missing or no account's",
                Content::json::<drop_in::Detail>(openapi::DETAIL),
            )
            .bearing(&[("WWW-Authenticate", "`Token`")])
            .answers(
                503,
                "openseat does not know, and says why",
                Content::json::<drop_in::Detail>(openapi::DETAIL),
            )
    };
    let list = |operation: Operation| {
        guarded(operation)
            .answers(
                200,
                "A page of the rows, as CallTools sent them",
                Content::json::<drop_in::Rows>(openapi::ROWS),
            )
            .bearing(&[(
                "Age",
                "How old the rows are, in seconds; where they are of agents",
            )])
            .answers(
                404,
                "There is no such page",
                Content::json::<drop_in::Detail>(openapi::DETAIL),
            )
    };
    vec![
        list(Operation::get("/api/agentstatuses/", drop_in::agents))
            .called(
                "listAgentStatuses",
                Tag::DropIn,
                "agents as CallTools shows them, with the account's own token; ?queue={id}",
            )
            .query(drop_in::AGENTS)
            .answers(
                400,
                "A filter makes no sense, or names what the account does not have",
                Content::json::<drop_in::Filters>(openapi::FILTER),
            ),
        guarded(Operation::get(
            "/api/agentstatuses/{agent}/",
            drop_in::agent,
        ))
        .called("getAgentStatus", Tag::DropIn, "one agent")
        .answers(
            200,
            "The agent's row, as CallTools sent it",
            Content::json::<drop_in::Row>(openapi::ROW),
        )
        .bearing(&[("Age", "How old the row is, in seconds")])
        .answers(
            404,
            "There is no such agent",
            Content::json::<drop_in::Detail>(openapi::DETAIL),
        ),
        list(Operation::get("/api/queues/", drop_in::queues))
            .called("listQueues", Tag::DropIn, "the account's queues")
            .query(drop_in::PAGES),
        list(Operation::get("/api/statuses/", drop_in::statuses))
            .called("listStatuses", Tag::DropIn, "the account's statuses")
            .query(drop_in::PAGES),
    ]
}

fn around() -> Vec<Operation> {
    use problem_types::*;
    vec![
        Operation::post("/v1/reload", reload::wish)
            .called(
                "reload",
                Tag::Operations,
                "reads the config again; a bad one changes nothing",
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
        Operation::get("/metrics", probes::metrics)
            .called("getMetrics", Tag::Operations, "for Prometheus")
            .linked()
            .answers(
                200,
                "In the text format 0.0.4",
                Content::text("text/plain", openapi::METRICS),
            )
            .answers(
                200,
                "In OpenMetrics, where `Accept` asks for that",
                Content::text("application/openmetrics-text", openapi::METRICS),
            ),
        Operation::get("/livez", probes::live)
            .called("live", Tag::Operations, "200 while the process runs")
            .guarded(Guard::Probe)
            .linked()
            .answers(
                200,
                "The process runs",
                Content::text("text/plain", "alive\n"),
            ),
        Operation::get("/readyz", probes::ready)
            .called(
                "ready",
                Tag::Operations,
                "200 once every queue has a snapshot or a known fault; ?verbose",
            )
            .guarded(Guard::Probe)
            .linked()
            .query(probes::READY)
            .answers(
                200,
                "Every queue has a snapshot or a known fault",
                Content::text("text/plain", "ready\n"),
            )
            .answers(
                503,
                "Not yet, or no more",
                Content::text("text/plain", "not ready\n"),
            )
            .problems(&[BAD_PARAMETER]),
        Operation::get("/openapi.json", reference::openapi)
            .called(
                "getDocument",
                Tag::Operations,
                "this API for programs: OpenAPI 3.1",
            )
            .linked()
            .answers(
                200,
                "The document",
                Content::json::<reference::OpenApi>("{\"openapi\": \"3.1.0\"}"),
            ),
        Operation::get("/docs", reference::page)
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
        Operation::get("/", index)
            .called("getIndex", Tag::Operations, "this list")
            .guarded(Guard::Page)
            .linked()
            .answers(
                200,
                "A list of all that can be asked",
                Content::text("text/plain", "GET /livez  200 while the process runs\n"),
            )
            .answers(
                200,
                "For a browser: the dashboard",
                Content::text("text/html", "<!doctype html>\n"),
            )
            .answers_bare(
                304,
                "For a browser that has the dashboard as it is, as `If-None-Match` says",
            )
            .answers(
                503,
                "For a browser, while too many pages are asked for",
                Content::text("text/html", "<!doctype html>\n"),
            )
            .answers_bare(303, LOG_IN),
    ]
}

/// `GET /`: the dashboard for people, the list of all that can be asked for everybody else.
async fn index(state: State<Arc<App>>, headers: HeaderMap) -> Response {
    if dashboard::wants_page(&headers) {
        dashboard::overview(state, headers).await
    } else {
        openapi::index().into_response()
    }
}

async fn no_such_path(uri: Uri) -> Response {
    if drop_in::is_at(uri.path()) {
        return drop_in::not_found();
    }
    Problem::no_such_path().into_response()
}

async fn wrong_method(method: http::Method, uri: Uri) -> Response {
    if drop_in::is_at(uri.path()) {
        return drop_in::method_not_allowed(&method);
    }
    Problem::method_not_allowed().into_response()
}
