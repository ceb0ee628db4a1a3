//! Clients with tokens of their own: what each may do, and that a key in a URL is never shown.

use super::*;
use crate::{fixtures::available, logged::listen_to};

const BEARER: &str = "s3cret-s3cret-s3cret";

/// Queues that one client may ask about, and one that it may not.
fn world() -> World {
    let mut world = World::with(&["main/sales", "main/support", "main/private"]);
    world.bearer = Some(BEARER.into());
    for queue in ["main/sales", "main/support", "main/private"] {
        world.publish(queue, available(3));
    }
    world.clients = vec![
        client("asks", May::Ask, Some(&["sales", "main/support"]), false),
        client("reserves", May::Reserve, Some(&["sales"]), false),
        client("reads", May::Read, None, false),
        client("reads-one", May::Read, Some(&["sales"]), false),
        client("url", May::Ask, Some(&["sales"]), true),
    ];
    world
}

fn bearer_of(name: &str) -> String {
    format!("Authorization: Bearer token-of-{name}\r\n")
}

#[tokio::test]
async fn each_client_may_do_what_the_config_says_and_nothing_else() {
    let server = world().serve().await;
    // In the order of the clients: asks, reserves, reads, reads-one, url.
    for (method, target, expected) in [
        (
            "GET",
            "/v1/queues/sales/decision",
            [200, 200, 200, 200, 200],
        ),
        (
            "POST",
            "/v1/queues/sales/decision",
            [200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/v1/queues/support/decision",
            [200, 403, 200, 403, 403],
        ),
        (
            "GET",
            "/v1/queues/main/private/decision",
            [403, 403, 200, 403, 403],
        ),
        (
            "GET",
            "/v1/queues/nowhere/decision",
            [403, 403, 404, 403, 403],
        ),
        (
            "GET",
            "/v1/decisions?queue=sales",
            [200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/v1/decisions?queue=sales&queue=private",
            [403, 403, 200, 403, 403],
        ),
        ("GET", "/v1/watch?queue=private", [403, 403, 0, 403, 403]),
        ("GET", "/v1/watch", [403, 403, 0, 403, 403]),
        ("GET", "/v1/queues/sales", [403, 403, 200, 200, 403]),
        ("GET", "/v1/queues/private", [403, 403, 200, 403, 403]),
        (
            "GET",
            "/v1/queues/sales/reservations",
            [403, 403, 200, 200, 403],
        ),
        ("GET", "/v1/queues", [403, 403, 200, 403, 403]),
        ("GET", "/v1/reservations", [403, 403, 200, 403, 403]),
        ("GET", "/metrics", [403, 403, 200, 403, 403]),
        ("GET", "/", [403, 403, 200, 403, 403]),
        ("GET", "/nowhere", [403, 403, 403, 403, 403]),
        (
            "POST",
            "/v1/queues/sales/refresh",
            [403, 403, 403, 403, 403],
        ),
        ("POST", "/v1/reload", [403, 403, 403, 403, 403]),
    ] {
        let clients = ["asks", "reserves", "reads", "reads-one", "url"];
        for (name, status) in clients.into_iter().zip(expected) {
            if status == 0 {
                continue; // A stream has no end.
            }
            let answer = server.ask(method, target, &bearer_of(name)).await;
            assert_eq!(answer.status, status, "{method} {target} {name}");
            if status == 403 {
                assert_eq!(answer.problem(), "may-not", "{method} {target} {name}");
                let detail = answer.json()["detail"].to_string();
                assert!(!detail.contains("private"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn only_a_client_that_may_reserve_holds_and_releases_seats() {
    let server = world().serve().await;
    let target = "/v1/queues/sales/decision?call_id=a&reserve=45s";
    for name in ["asks", "reads", "url"] {
        let answer = server.ask("GET", target, &bearer_of(name)).await;
        assert_eq!(
            (answer.status, &*answer.problem()),
            (403, "may-not"),
            "{name}"
        );
    }
    let held = server
        .ask("GET", target, &bearer_of("reserves"))
        .await
        .json();
    let id = held["reservation"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let bearer = format!("Authorization: Bearer {BEARER}\r\n");
    let other = "/v1/queues/private/decision?call_id=b&reserve=45s";
    let other = server.ask("GET", other, &bearer).await.json();
    let other = other["reservation"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let release = async |id: &str, headers: &str| {
        let target = format!("/v1/reservations/{id}/release");
        server.ask("POST", &target, headers).await.status
    };
    assert_eq!(release(&id, &bearer_of("asks")).await, 403);
    assert_eq!(
        release(&other, &bearer_of("reserves")).await,
        404,
        "as if it did not exist"
    );
    assert_eq!(release(&id, &bearer_of("reserves")).await, 204);
    assert_eq!(release(&other, &bearer).await, 204);
}

#[tokio::test]
async fn a_key_in_the_url_works_only_for_its_client_and_wrong_ones_are_slowed_down() {
    let server = world().serve().await;
    let decide = async |key: &str| {
        server
            .get(&format!("/v1/queues/sales/decision?{key}"))
            .await
    };
    assert_eq!(decide("zip=1&key=token-of-url&x=2").await.status, 200);
    assert_eq!(decide("key=token%2Dof%2Durl").await.status, 200);
    // Neither another client's token, nor the bearer token, nor two keys.
    for wrong in ["key=token-of-asks", &format!("key={BEARER}"), "key="] {
        assert_eq!(decide(wrong).await.status, 401, "{wrong}");
    }
    assert_eq!(
        decide("key=token-of-url&key=token-of-url").await.status,
        401
    );
    assert_eq!(decide("key=token-of-nobody").await.status, 401);
    let slowed = decide("key=token-of-url").await;
    assert_eq!(
        (slowed.status, slowed.header("retry-after")),
        (401, Some("1"))
    );
    let detail = slowed.json()["detail"].to_string();
    assert!(detail.contains("too many wrong keys"), "{detail}");
    // A caller with a token in a header does not wait because of others' guesses.
    let answer = server
        .ask("GET", "/v1/queues/sales/decision", &bearer_of("asks"))
        .await;
    assert_eq!(answer.status, 200);
    server.clock.pass(Duration::from_secs(5));
    assert_eq!(decide("key=token-of-url").await.status, 200);
}

#[tokio::test]
async fn a_stale_key_in_a_url_does_not_lock_out_another_caller() {
    let server = world().serve().await;
    let decide = async |key: &str| {
        let target = format!("/v1/queues/sales/decision?key={key}");
        server.get(&target).await.status
    };
    for _ in 0..20 {
        assert_eq!(decide("token-of-last-month").await, 401);
        assert_eq!(decide("token-of-url").await, 200);
    }
}

#[tokio::test]
async fn a_key_in_the_url_reaches_no_log_no_metric_and_no_answer() {
    let (logged, _guard) = listen_to(tracing::Level::TRACE);
    let server = world().serve().await;
    let mut answers = Vec::new();
    for (method, target) in [
        ("GET", "/v1/queues/sales/decision?key=token-of-url"),
        (
            "POST",
            "/v1/queues/sales/decision?key=token-of-url&call_id=%5BID%5D",
        ),
        (
            "GET",
            "/v1/queues/sales/decision?key=token-of-url&treshold=1",
        ),
        ("GET", "/v1/queues/private/decision?key=token-of-url"),
        ("GET", "/v1/queues?key=token-of-url"),
        ("GET", "/nowhere?key=token-of-url"),
        ("GET", "/?key=token-of-url"),
        (
            "GET",
            "/v1/queues/sales/decision?key=token-of-url-but-wrong",
        ),
    ] {
        answers.push(server.ask(method, target, "Accept: text/html\r\n").await);
    }
    let asks = bearer_of("asks");
    for _ in 0..3 {
        let decision = server.ask("GET", "/v1/queues/sales/decision", &asks).await;
        assert_eq!(decision.status, 200);
    }
    let bearer = format!("Authorization: Bearer {BEARER}\r\n");
    let metrics = server.ask("GET", "/metrics", &bearer).await;
    for counted in ["client=\"url\"} 7", "client=\"asks\"} 3"] {
        let counted = format!("openseat_client_requests_total{{{counted}");
        assert!(metrics.body.contains(&counted), "{}", metrics.body);
    }
    answers.push(metrics);
    for answer in answers {
        assert!(!format!("{answer:?}").contains("token-of"), "{answer:?}");
    }
    for line in logged.lines() {
        assert!(!line.contains("token-of"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn queues_that_the_config_names_wrongly_are_reported_once_their_names_are_known() {
    let (logged, _guard) = listen_to(tracing::Level::WARN);
    let mut world = World::with(&["main/sales", "main/5450"]);
    let ends = world.account("main", TOKEN);
    let named = |place: &str, queue: &str| config::NamedQueue {
        place: place.to_owned(),
        queue: queue.into(),
    };
    world.named_queues = vec![
        named("a", "sales"),
        named("b", "slaes"),
        named("c", "main/support"),
        named("d", "main/suport"),
        named("e", "7"),
        named("f", "8"),
    ];
    let app = world.app();
    let current = Current::new(Arc::clone(&app));
    let stop = CancellationToken::new();
    let task = tokio::spawn(super::super::check_spellings(
        move || current.app(),
        stop.clone(),
    ));
    tokio::time::sleep(Duration::from_secs(60)).await;
    app.board
        .identify(&key("main/sales"), 7, Some("sales".into()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(logged.lines(), [""; 0], "not all names are known");
    ends.names.send_replace(Arc::new(Names {
        queues: Some(Vec::new()),
        ..Names::default()
    }));
    app.board
        .identify(&key("main/5450"), 5450, Some("support".into()));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    app.board.notify();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let lines = logged.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, place, meant) in [
        (&lines[0], "place=\"b\"", "did_you_mean=\"sales\""),
        (&lines[1], "place=\"d\"", "queue=\"main/suport\""),
        (&lines[2], "place=\"f\"", "no queue"),
    ] {
        assert!(line.contains(place) && line.contains(meant), "{line}");
    }
    stop.cancel();
    task.await.expect("it ends");
}
