//! The whole table of routes, with every kind of caller and with other sites' pages.

use axum::body::Body;

use super::*;
use crate::{
    fixtures::available,
    server::{
        net::listen::Via,
        routes::table,
        serve::{access::guarded, router::router},
    },
};

const BEARER: &str = "s3cret-s3cret-s3cret";

/// A world in which every handler answers at once.
fn world(bearer: bool) -> (World, AccountEnds) {
    let mut world = World::with(&["main/sales-queue"]);
    world.bearer = bearer.then(|| BEARER.into());
    let ends = world.account("main", TOKEN);
    world.publish("main/sales-queue", available(1));
    // Refreshes and streams then end at once.
    world.stopping.cancel();
    (world, ends)
}

/// A row of the table, with examples for the parameters in its path.
struct Row {
    method: String,
    path: String,
    target: String,
}

fn rows() -> Vec<Row> {
    let rows = table().into_iter().map(|route| {
        let target = route
            .path
            .replace("{queue}", "sales-queue")
            .replace("{account}", "main")
            .replace("{agent}", "7133")
            .replace("{call_id}", "a84b4c76e66710")
            .replace("{id}", "5f0c2a9be41d8c3760b2d94c1a7e8f35");
        Row {
            method: route.method.to_string(),
            path: route.path.into_owned(),
            target,
        }
    });
    rows.collect()
}

/// The status that each caller gets if a token is configured. The callers are: no token, a wrong token, the bearer token, a browser's session,
/// the account's CallTools token, and `control.sock`. After the bar: the status of a caller without a token if none is configured.
///
/// 401 comes from the guard; all other statuses come from the handler. No caller fills in the log-in form, and the same wrong token again is no
/// further guess.
const ANSWERS: &str = "\
GET    /v1/queues/{queue}/decision                        401 401 200 200 401 200 | 200
POST   /v1/queues/{queue}/decision                        401 401 200 401 401 200 | 200
GET    /v1/queues/{queue}                                 401 401 200 200 401 200 | 200
POST   /v1/queues/{queue}/refresh                         401 401 503 401 401 503 | 503
GET    /v1/queues/{queue}/chart.svg                       401 401 200 200 401 200 | 200
GET    /v1/queues/{queue}/history                         401 401 200 200 401 200 | 200
POST   /v1/queues/{queue}/reservations                    401 401 400 401 401 400 | 400
GET    /v1/queues/{queue}/reservations                    401 401 200 200 401 200 | 200
GET    /v1/decisions                                      401 401 400 400 401 400 | 400
GET    /v1/watch                                          401 401 503 503 401 503 | 503
GET    /v1/queues                                         401 401 200 200 401 200 | 200
GET    /v1/accounts                                       401 401 200 200 401 200 | 200
GET    /v1/calls/{call_id}                                401 401 404 404 401 404 | 404
GET    /v1/reservations                                   401 401 200 200 401 200 | 200
DELETE /v1/reservations/{id}                              401 401 404 401 401 404 | 404
POST   /v1/reservations/{id}/release                      401 401 404 401 401 404 | 404
GET    /v1/queues/{account}/{queue}/decision              401 401 200 200 401 200 | 200
POST   /v1/queues/{account}/{queue}/decision              401 401 200 401 401 200 | 200
GET    /v1/queues/{account}/{queue}                       401 401 200 200 401 200 | 200
POST   /v1/queues/{account}/{queue}/refresh               401 401 503 401 401 503 | 503
GET    /v1/queues/{account}/{queue}/chart.svg             401 401 200 200 401 200 | 200
GET    /v1/queues/{account}/{queue}/history               401 401 200 200 401 200 | 200
POST   /v1/queues/{account}/{queue}/reservations          401 401 400 401 401 400 | 400
GET    /v1/queues/{account}/{queue}/reservations          401 401 200 200 401 200 | 200
GET    /api/agentstatuses/                                401 401 401 401 200 401 | 401
GET    /api/agentstatuses/{agent}/                        401 401 401 401 404 401 | 401
GET    /api/queues/                                       401 401 401 401 503 401 | 401
GET    /api/statuses/                                     401 401 401 401 503 401 | 401
POST   /v1/reload                                         401 401 409 401 401 409 | 409
GET    /metrics                                           401 401 200 200 401 200 | 200
GET    /livez                                             200 200 200 200 200 200 | 200
GET    /readyz                                            503 503 503 503 503 503 | 503
GET    /openapi.json                                      401 401 200 200 401 200 | 200
GET    /docs                                              401 401 200 200 401 200 | 200
GET    /                                                  401 401 200 200 401 200 | 200
GET    /queues/{queue}                                    401 401 200 200 401 200 | 200
GET    /calls                                             401 401 200 200 401 200 | 200
GET    /queues/{account}/{queue}                          401 401 200 200 401 200 | 200
GET    /login                                             200 200 200 303 200 200 | 303
POST   /login                                             401 401 401 401 401 401 | 303
POST   /logout                                            303 303 303 303 303 303 | 303
GET    /assets/openseat.css                               200 200 200 200 200 200 | 200
GET    /assets/openseat.js                                200 200 200 200 200 200 | 200
GET    /assets/openseat.svg                               200 200 200 200 200 200 | 200
GET    /api/agentstatuses                                 301 301 301 301 301 301 | 301
GET    /api/agentstatuses/{agent}                         301 301 301 301 301 301 | 301
GET    /api/queues                                        301 301 301 301 301 301 | 301
GET    /api/statuses                                      301 301 301 301 301 301 | 301
";

#[tokio::test]
async fn every_route_answers_every_kind_of_caller_as_its_row_says() {
    let (world_with_token, _ends) = world(true);
    let server = world_with_token.serve().await;
    let (open, _ends) = world(false);
    let open = open.serve().await;
    let session = server.log_in().await;
    let callers = [
        ("", ""),
        ("Authorization: Bearer wrong\r\n", ""),
        (&*format!("Authorization: Bearer {BEARER}\r\n"), ""),
        (&session, ""),
        (&format!("Authorization: Token {TOKEN}\r\n"), ""),
    ];
    let mut answers = String::new();
    for Row {
        method,
        path,
        target,
    } in rows()
    {
        answers += &format!("{method:<6} {path:<50}");
        for (headers, query) in callers {
            let target = format!("{target}{query}");
            let answer = server.ask(&method, &target, headers).await;
            answers += &format!(" {}", answer.status);
            if method == "GET" {
                let head = server.ask("HEAD", &target, headers).await;
                assert_eq!(head.status, answer.status, "HEAD {target} {headers}");
            }
        }
        answers += &format!(" {}", by_control(&server, &method, &target).await);
        let answer = open.ask(&method, &target, "").await;
        answers += &format!(" | {}\n", answer.status);
    }
    assert!(answers == ANSWERS, "{answers}");
}

/// The answer to a request over `control.sock` without a token.
async fn by_control(server: &Server, method: &str, target: &str) -> u16 {
    let request = http::Request::builder().method(method).uri(target);
    let request = request.extension(Via::Control).body(Body::empty());
    let router = router(server.app.clone(), server.pages());
    let answer = guarded(&router, request.expect("a request")).await;
    answer.status().as_u16()
}

/// Headers that a browser adds to a request that another site's page has caused.
const FOREIGN: [&str; 10] = [
    "Sec-Fetch-Site: cross-site\r\n",
    "Sec-Fetch-Site: same-site\r\n",
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
    "Sec-Fetch-Site: something-new\r\n",
    "Origin: https://evil.example\r\n",
    "Origin: null\r\n",
    "Origin: http://localhost:3000\r\n",
    "Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
];

/// Headers that it adds to a request that our own page or a person has caused.
const OWN: [&str; 4] = [
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
    "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
    "Origin: http://localhost\r\n",
    "Origin: https://localhost\r\nSec-Fetch-Site: same-origin\r\n",
];

/// Headers when a person follows a link on another site's page.
const LINK: &str =
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";

/// Where such a link may lead.
const LINKED: [&str; 10] = [
    "/",
    "/calls",
    "/docs",
    "/livez",
    "/login",
    "/metrics",
    "/openapi.json",
    "/queues/{account}/{queue}",
    "/queues/{queue}",
    "/readyz",
];

#[tokio::test]
async fn no_route_answers_another_sites_page_but_pages_answer_a_person_who_follows_a_link() {
    let (world, _ends) = world(false);
    let server = world.serve().await;
    let asked = || server.app.metrics.queue(&key("main/sales-queue"));
    for Row {
        method,
        path,
        target,
    } in rows()
    {
        let usual = server.ask(&method, &target, "").await.status;
        for headers in OWN {
            let answer = server.ask(&method, &target, headers).await;
            assert_eq!(answer.status, usual, "{method} {target} {headers}");
        }
        let before = asked().map(|meters| meters.asked());
        for headers in FOREIGN {
            let answer = server.ask(&method, &target, headers).await;
            let found = (answer.status, &*answer.problem());
            assert_eq!(
                found,
                (403, "foreign-origin"),
                "{method} {target} {headers}"
            );
        }
        let follows = server.ask(&method, &target, LINK).await;
        let may = method == "GET" && LINKED.contains(&&*path);
        let expected = if may { usual } else { 403 };
        assert_eq!(follows.status, expected, "{method} {target}");
        assert_eq!(asked().map(|meters| meters.asked()), before, "{target}");
    }
}

#[tokio::test]
async fn another_sites_page_cannot_make_a_kept_connection_count_as_demand() {
    let (world, _ends) = world(false);
    let server = world.serve().await;
    let mut browser = super::fast_path::Caller(server.connect().await);
    let target = "/v1/queues/sales-queue/decision";
    let host = "Host: localhost\r\n";
    assert_eq!(browser.ask(target, host).await.status, 200);
    for target in [target, "/v1/queues/sales-queue/decision?fresh=0s"] {
        for headers in FOREIGN {
            let answer = browser.ask(target, &format!("{host}{headers}")).await;
            assert_eq!(answer.status, 403, "{target} {headers}");
        }
    }
    assert_eq!(browser.ask(target, host).await.status, 200);
    let meters = server.app.metrics.queue(&key("main/sales-queue"));
    assert_eq!(meters.map(|meters| meters.asked()), Some(2));
}

#[tokio::test]
async fn a_session_neither_spends_nor_counts_as_demand() {
    let (mut world, mut ends) = world(true);
    world.rules("main/sales-queue").patience = Some(Patience {
        fresh: Duration::ZERO,
        wait: Duration::from_secs(5),
    });
    world.publish("main/sales-queue", available(0));
    let server = world.serve().await;
    server.clock.pass(Duration::from_secs(30));
    let session = server.log_in().await;
    for query in ["?fresh=0s", "?wait=5s", "?threshold=0&fresh=1ms&wait=1ms"] {
        for path in ["sales-queue", "main/sales-queue"] {
            let target = format!("/v1/queues/{path}/decision{query}");
            let answer = server.ask("GET", &target, &session).await;
            let found = (answer.status, &*answer.problem());
            assert_eq!(found, (403, "may-only-look"), "{target}");
        }
    }
    for target in [
        "/v1/queues/sales-queue/decision",
        "/v1/queues/sales-queue/decision?threshold=2&format=text",
        "/v1/decisions?queue=sales-queue",
    ] {
        let answer = server.ask("GET", target, &session).await;
        assert_eq!(answer.status, 200, "{target}");
    }
    assert!(ends.asks.try_recv().is_err(), "the account got no request");
    let meters = server.app.metrics.queue(&key("main/sales-queue"));
    assert_eq!(meters.map(|meters| meters.asked()), Some(0));
}
