use super::*;
use crate::{fixtures::available, logged::listen};

#[tokio::test]
async fn ambiguous_requests_are_rejected() {
    let server = World::with(&["main/sales"]).serve().await;
    let cases = [
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        (
            "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            400,
        ),
        ("GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: me@localhost\r\n\r\n", 400),
        (
            "GET http://elsewhere/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (
            "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
            400,
        ),
        (
            "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n",
            400,
        ),
        (
            "POST /v1/queues/sales/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8193\r\n\r\n",
            413,
        ),
        (
            "GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            421,
        ),
        // HTTP/2 without an upgrade: hyper closes the connection without an answer.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
        ("GET /livez HTTP/1.1\r\nHost localhost\r\n\r\n", 400),
    ];
    for (request, status) in cases {
        assert_eq!(server.raw(request).await.status, status, "{request:?}");
    }
    let long = "x".repeat(20_000);
    let request = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
    assert_eq!(server.raw(&request).await.status, 431);
}

#[tokio::test]
async fn what_is_no_request_is_counted_and_logged_once() {
    let (logged, _guard) = listen();
    let world = World::with(&["main/sales"]);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let long = "x".repeat(20_000);
    for (request, status) in [
        (
            "GET /v1/queues/sales/decision?name=J Doe HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            &*format!("GET /livez?{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            431,
        ),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
    ] {
        assert_eq!(server.raw(request).await.status, status, "{request:.60}");
    }
    // What is parsed and refused has an answer with words.
    let refused = "GET /livez HTTP/1.1\r\n\r\n";
    assert_eq!(server.raw(refused).await.problem(), "bad-request");
    assert!(
        dropped(&metrics, "bad_request", 3),
        "{}",
        metrics_text(&metrics)
    );
    let lines = logged.lines();
    let said: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("cannot be parsed"))
        .collect();
    let [said] = *said else {
        panic!("{lines:?}");
    };
    for part in [
        "WARN",
        "client=this machine",
        "listener=127.0.0.1:",
        "cause=",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn unusual_but_valid_requests_are_answered() {
    let server = World::with(&["main/sales"]).serve().await;
    let cases = [
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET http://localhost/livez HTTP/1.1\r\nHost: LOCALHOST\r\nConnection: close\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: [::1]:7717\r\nConnection: close\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: 192.168.7.9\r\nConnection: close\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: openseat:7717\r\nConnection: close\r\nUpgrade: h2c\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    ];
    for request in cases {
        assert_eq!(server.raw(request).await.status, 200, "{request:?}");
    }
}

#[tokio::test]
async fn a_wrong_method_gets_the_list_of_allowed_ones() {
    let server = World::with(&["main/sales"]).serve().await;
    let cases = [
        ("DELETE", "/v1/queues/sales/decision", "GET,HEAD,POST"),
        ("GET", "/v1/queues/sales/refresh", "POST"),
        ("DELETE", "/v1/queues", "GET,HEAD"),
        ("TRACE", "/v1/queues", "GET,HEAD"),
        ("CONNECT", "/v1/queues", "GET,HEAD"),
        ("PRI", "/v1/queues", "GET,HEAD"),
    ];
    for (method, target, allow) in cases {
        let answer = server.ask(method, target, "X-Secret: 7c3e\r\n").await;
        assert!(!answer.body.contains("7c3e"), "{answer:?}");
        assert_eq!(
            (answer.status, &*answer.problem()),
            (405, "method-not-allowed")
        );
        assert_eq!(answer.header("allow"), Some(allow), "{method} {target}");
    }
    for method in ["GET", "PUT", "TRACE", "CONNECT"] {
        let answer = server.ask(method, "/v2", "").await;
        assert_eq!((answer.status, &*answer.problem()), (404, "no-such-path"));
        let answer = server.ask(method, "/api/nope", "").await;
        let found = (answer.status, &*answer.body);
        assert_eq!(found, (404, "{\"detail\":\"Not found.\"}"), "{method}");
    }
    for method in ["PUT", "TRACE", "CONNECT"] {
        let answer = server.ask(method, "/api/queues/", "").await;
        let words = format!("{{\"detail\":\"Method \\\"{method}\\\" not allowed.\"}}");
        assert_eq!((answer.status, answer.body), (405, words));
    }
}

#[tokio::test]
async fn an_answer_that_has_no_body_has_no_length() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let person = "Accept: text/html\r\n";
    let page = server.ask("GET", "/", person).await;
    let tag = page.header("etag").expect("a tag");
    let unchanged = format!("{person}If-None-Match: {tag}\r\n");
    for method in ["GET", "HEAD"] {
        for (target, headers, status) in [
            ("/v1/queues/sales/decision?format=status", "", 204),
            ("/", &*unchanged, 304),
        ] {
            let answer = server.ask(method, target, headers).await;
            let found = (answer.status, answer.header("content-length"));
            assert_eq!(found, (status, None), "{method} {target}");
        }
    }
    let head = server.ask("HEAD", "/livez", "").await;
    let length = server.get("/livez").await.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(&*length));
}

#[tokio::test]
async fn a_connection_goes_on_after_a_method_that_no_path_has() {
    let server = World::with(&["main/sales"]).serve().await;
    for method in ["PUT", "TRACE", "CONNECT"] {
        let requests = format!(
            "{method} /livez HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let answer = server.raw(&requests).await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.body.contains("HTTP/1.1 200 OK\r\n"), "{answer:?}");
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = World::with(&["main/sales"]).serve().await;
    for target in ["/", "/v1/queues", "/nowhere", "/api/queues/", "/metrics"] {
        let answer = server.get(target).await;
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{target}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
        let policy = answer.header("content-security-policy");
        assert_eq!(
            policy,
            Some("default-src 'none'; frame-ancestors 'none'"),
            "{target}"
        );
    }
}

#[tokio::test]
async fn with_a_bearer_token_only_probes_and_the_drop_in_are_open() {
    let mut world = World::with(&["main/sales"]);
    world.bearer = Some("s3cret".into());
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let closed = [
        "/",
        "/metrics",
        "/v1/queues",
        "/v1/queues/sales/decision",
        "/nowhere",
        "/readyz?verbose",
        "/apis",
    ];
    let wrong = [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Basic s3cret\r\n",
        "Authorization: Bearer s3cret\r\nAuthorization: Bearer s3cret\r\n",
    ];
    for target in closed {
        for headers in wrong {
            let answer = server.ask("GET", target, headers).await;
            assert_eq!(
                (answer.status, &*answer.problem()),
                (401, "unauthorized"),
                "{target} {headers}"
            );
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer, Basic realm=\"openseat\"")
            );
        }
        // A browser would open a window for the password.
        for browser in [
            "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n",
            "Accept-Language: de\r\n",
        ] {
            let answer = server.ask("GET", target, browser).await;
            assert_eq!(answer.status, 401, "{target}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let answer = server
            .ask("GET", target, "Authorization: bearer s3cret\r\n")
            .await;
        assert_ne!(answer.status, 401, "{target}");
    }
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    // A parameter against caches asks for nothing.
    for target in [
        "/livez?_=1",
        "/readyz?cb=1",
        "/readyz?",
        "/readyz?x=verbose",
    ] {
        assert_eq!(server.get(target).await.status, 200, "{target}");
    }
    for target in ["/readyz?_=1&verbose=0", "/readyz?%76erbose"] {
        assert_eq!(server.get(target).await.status, 401, "{target}");
    }
    assert_eq!(
        server.get("/api/queues/").await.header("www-authenticate"),
        Some("Token")
    );
    // A caller with the token may use any host name.
    let named = "GET /v1/queues HTTP/1.1\r\nHost: openseat.example\r\nConnection: close\r\nAuthorization: Bearer s3cret\r\n\r\n";
    assert_eq!(server.raw(named).await.status, 200);
}

#[tokio::test]
async fn names_in_allowed_hosts_are_answered_and_the_rejection_of_others_names_the_key() {
    let mut world = World::with(&["main/sales"]);
    world.allowed_hosts = vec![
        "openseat.default.svc.cluster.local".to_owned(),
        "host.docker.internal".to_owned(),
    ];
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let ask = async |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        server.raw(&request).await
    };
    for path in ["/v1/queues/sales/decision", "/v1/queues", "/livez"] {
        for host in [
            "openseat.default.svc.cluster.local",
            "openseat.default.svc.cluster.local:7717",
            "OpenSeat.default.SVC.cluster.local.",
            "host.docker.internal.:80",
            "localhost.",
            "[::1]:7717",
            "10.0.0.7:7717",
        ] {
            assert_eq!(ask(host, path).await.status, 200, "{host} {path}");
        }
        for host in [
            "evil.example",
            "docker.internal",
            "x.host.docker.internal",
            "host.docker.internal.evil.example:7717",
        ] {
            let answer = ask(host, path).await;
            assert_eq!((answer.status, &*answer.problem()), (421, "foreign-host"));
            assert!(answer.body.contains("allowed_hosts under [server]"));
        }
    }
}

#[tokio::test]
async fn an_empty_token_is_never_accepted() {
    let mut world = World::with(&["main/sales"]);
    world.bearer = Some("".into());
    let server = world.serve().await;
    for headers in ["", "Authorization: Bearer \r\n"] {
        assert_eq!(server.ask("GET", "/", headers).await.status, 401);
    }
}

#[tokio::test]
async fn another_sites_page_cannot_spend_requests() {
    let mut world = World::with(&["main/sales"]);
    let _ends = world.account("main", TOKEN);
    world.stopping.cancel();
    let server = world.serve().await;
    for origin in ["http://evil.example", "null", "http://localhost:99"] {
        let answer = server
            .ask(
                "POST",
                "/v1/queues/sales/refresh",
                &format!("Origin: {origin}\r\n"),
            )
            .await;
        assert_eq!(
            (answer.status, &*answer.problem()),
            (403, "foreign-origin"),
            "{origin}"
        );
    }
    let answer = server
        .ask(
            "POST",
            "/v1/queues/sales/refresh",
            "Origin: http://localhost\r\n",
        )
        .await;
    assert_eq!(answer.problem(), "stopping");
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let broken = || async { panic!("broken invariant") as () };
    let router = axum::Router::new().route("/", axum::routing::get(broken));
    let answer =
        crate::server::serve::access::guarded(&router, axum::extract::Request::default()).await;
    assert_eq!(answer.status(), 500);
}
