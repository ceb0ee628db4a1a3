use axum::{Router, body::Body, response::Response};
use http::{Request, header};

use super::*;
use crate::{
    fixtures::available,
    server::{dashboard::Pages, net::arrival::Arrival, serve::router::router},
};

const BEARER: &str = "s3cret-s3cret-s3cret";
const PERSON: &str = "Accept: text/html,application/xhtml+xml\r\n";

fn behind_a_token() -> World {
    let mut world = World::with(&["main/sales"]);
    world.bearer = Some(BEARER.into());
    world.publish("main/sales", available(2));
    world
}

impl Server {
    /// Submits a form as a browser does.
    async fn submit(&self, target: &str, headers: &str, form: &str) -> Answer {
        let length = form.len();
        self.raw(&format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n{headers}\r\n{form}"
        ))
        .await
    }

    /// Logs in; returns the header that a browser then sends.
    pub(super) async fn log_in(&self) -> String {
        let answer = self.submit("/login", "", &format!("token={BEARER}")).await;
        let cookie = answer.header("set-cookie").expect("a cookie");
        let (pair, _) = cookie.split_once(';').expect("a pair and attributes");
        format!("Cookie: {pair}\r\n")
    }
}

#[tokio::test]
async fn a_person_without_a_session_gets_the_form_and_a_program_is_rejected() {
    let server = behind_a_token().serve().await;
    let long = format!("/queues/main/sales?field={}", "x".repeat(2_000));
    for (page, form) in [
        ("/", "/login?next=%2F"),
        ("/docs", "/login?next=%2Fdocs"),
        ("/queues/main/sales", "/login?next=%2Fqueues%2Fmain%2Fsales"),
        (
            "/calls?call_id=a%26b",
            "/login?next=%2Fcalls%3Fcall_id%3Da%2526b",
        ),
        (&long, "/login?next=%2Fqueues%2Fmain%2Fsales"),
    ] {
        let answer = server.ask("GET", page, PERSON).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some(form))
        );
        assert_eq!(server.get(page).await.status, 401, "{page}");
    }
    for target in ["/v1/queues", "/metrics", "/nowhere"] {
        assert_eq!(
            server.ask("GET", target, PERSON).await.status,
            401,
            "{target}"
        );
    }
    for open in ["/login", "/assets/openseat.css", "/assets/openseat.js"] {
        let answer = server.get(open).await;
        assert_eq!(answer.status, 200, "{open}");
        assert!(!answer.body.contains("sales"), "{open}");
    }
}

#[tokio::test]
async fn a_session_may_look_but_not_act() {
    let server = behind_a_token().serve().await;
    let cookie = server.log_in().await;
    for target in [
        "/v1/queues",
        "/v1/queues/sales/decision",
        "/metrics",
        "/queues/main/sales",
    ] {
        let answer = server.ask("GET", target, &cookie).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(
            server.ask("HEAD", target, &cookie).await.status,
            200,
            "{target}"
        );
    }
    for (method, target) in [
        ("POST", "/v1/queues/sales/refresh"),
        ("POST", "/v1/queues/sales/reservations"),
        ("DELETE", "/v1/reservations/1"),
    ] {
        let answer = server.ask(method, target, &cookie).await;
        assert_eq!(answer.status, 401, "{method} {target}");
    }
    let changed = cookie.replace("\r\n", "0\r\n");
    assert_eq!(server.ask("GET", "/v1/queues", &changed).await.status, 401);
    server.clock.pass(Duration::from_secs(12 * 3_600));
    assert_eq!(server.ask("GET", "/v1/queues", &cookie).await.status, 401);
}

#[tokio::test]
async fn logging_out_ends_the_session_for_everyone_with_the_cookie() {
    let server = behind_a_token().serve().await;
    let cookie = server.log_in().await;
    let answer = server.submit("/logout", &cookie, "").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/login"))
    );
    let gone = answer.header("set-cookie").expect("a cookie");
    assert!(
        gone.starts_with("openseat_session=; Path=/; Max-Age=0"),
        "{gone}"
    );
    assert_eq!(server.ask("GET", "/v1/queues", &cookie).await.status, 401);
}

#[tokio::test]
async fn the_cookie_is_only_for_this_server_and_never_the_token() {
    let server = behind_a_token().serve().await;
    let form = format!("token=+{BEARER}%0A&next=%2Fqueues%2Fmain%2Fsales");
    let cases = [
        ("", false),
        ("Origin: http://localhost\r\n", false),
        ("Origin: https://localhost\r\n", true),
        ("X-Forwarded-Proto: https\r\n", true),
    ];
    for (headers, secure) in cases {
        let answer = server.submit("/login", headers, &form).await;
        assert_eq!(answer.header("location"), Some("/queues/main/sales"));
        let cookie = answer.header("set-cookie").expect("a cookie");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(cookie.contains("; Max-Age=43200;"), "{cookie}");
        assert_eq!(cookie.ends_with("; Secure"), secure, "{headers}");
        assert!(!cookie.contains(BEARER));
    }
    let foreign = "Origin: https://evil.example\r\n";
    assert_eq!(server.submit("/login", foreign, &form).await.status, 403);
}

#[tokio::test]
async fn the_form_never_redirects_to_another_site() {
    let server = behind_a_token().serve().await;
    let form = format!("token={BEARER}&next=https%3A%2F%2Fevil.example");
    let answer = server.submit("/login", "", &form).await;
    assert_eq!(answer.header("location"), Some("/"));
}

#[tokio::test]
async fn the_form_redirects_only_to_what_a_header_may_contain() {
    let open = World::with(&["main/sales"]).serve().await;
    let behind_a_token = behind_a_token().serve().await;
    for (next, location) in [
        ("%2Fqueues%2F%0A", "/"),
        ("%2Fqueues%2Fa%20b", "/"),
        ("%2Fqueues%2F%C3%BC", "/"),
        ("%2Fqueues%2Fa%2520b", "/queues/a%20b"),
    ] {
        let shown = open.get(&format!("/login?next={next}")).await;
        let form = format!("token={BEARER}&next={next}");
        let logged_in = behind_a_token.submit("/login", "", &form).await;
        for answer in [shown, logged_in] {
            let is = (answer.status, answer.header("location"));
            assert_eq!(is, (303, Some(location)), "{next}");
        }
    }
}

/// Tries to log in from an address, without a network in between.
async fn try_token(router: &Router, from: &str, token: &str) -> Response {
    let body = Body::from(format!("token={token}"));
    let peer = Some(from.parse().expect("an address"));
    let request = Request::post("/login").extension(Arrival::by_tcp(peer, false));
    let request = request.body(body).expect("a request");
    crate::server::serve::access::guarded(router, request).await
}

#[tokio::test]
async fn guessing_is_slow_only_for_the_guesser() {
    let world = behind_a_token();
    let clock = world.clock.clone();
    let router = router(world.app(), Arc::new(Pages::new()));
    for second in 0..5 {
        let mut looked_at = 0;
        for n in 0..50 {
            let guess = try_token(&router, "203.0.113.7", &format!("wrong{second}-{n}")).await;
            match guess.status().as_u16() {
                401 => looked_at += 1,
                429 => assert!(guess.headers().contains_key(header::RETRY_AFTER)),
                status => panic!("{status}"),
            }
        }
        assert_eq!(looked_at, if second == 0 { 4 } else { 1 });
        // The right token is not checked either while its address has no guess left; otherwise the wait would reveal it.
        let same = try_token(&router, "203.0.113.7", BEARER).await;
        assert_eq!(same.status(), 429);
        for other in ["203.0.113.8", "127.0.0.1", "2001:db8::7"] {
            let answer = try_token(&router, other, BEARER).await;
            assert_eq!(answer.status(), 303, "{other}");
            assert!(answer.headers().contains_key(header::SET_COOKIE));
        }
        clock.pass(Duration::from_secs(1));
    }
    assert_eq!(
        try_token(&router, "203.0.113.7", BEARER).await.status(),
        303
    );
}

#[tokio::test]
async fn a_guesser_behind_a_local_proxy_locks_out_no_other_client_of_it() {
    let server = behind_a_token().serve().await;
    let submit = |client: &str, token: &str| {
        let headers = format!("X-Forwarded-For: 198.51.100.1, {client}\r\n");
        let form = format!("token={token}");
        let server = &server;
        async move { server.submit("/login", &headers, &form).await.status }
    };
    for n in 0..4 {
        let wrong = format!("wrong{n}");
        assert_eq!(submit("203.0.113.7", &wrong).await, 401);
        assert_eq!(
            submit("203.0.113.7", "wrong0").await,
            if n < 3 { 401 } else { 429 }
        );
    }
    assert_eq!(submit("203.0.113.7", "wrong").await, 429);
    assert_eq!(submit("203.0.113.7", BEARER).await, 429);
    assert_eq!(submit("203.0.113.8", BEARER).await, 303);
    assert_eq!(
        server
            .submit("/login", "", &format!("token={BEARER}"))
            .await
            .status,
        303
    );
}

#[tokio::test]
async fn without_a_token_there_is_no_log_in() {
    let server = World::with(&["main/sales"]).serve().await;
    let answer = server.get("/login").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let page = server.ask("GET", "/", PERSON).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("Log out"));
}

#[tokio::test]
async fn pages_have_a_policy_of_their_own_and_programs_get_text() {
    let server = World::with(&["main/sales"]).serve().await;
    for target in ["/", "/queues/main/sales", "/queues/sales"] {
        let page = server.ask("GET", target, PERSON).await;
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert!(page.body.starts_with("<!DOCTYPE html>"));
    }
    let list = server.get("/").await;
    assert!(list.body.starts_with("openseat "), "{}", list.body);
    let nowhere = server.ask("GET", "/queues/main/none", PERSON).await;
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.body.contains("There is no such queue"));
}

#[tokio::test]
async fn an_unknown_is_never_shown_as_a_number() {
    let mut world = World::with(&["main/sales"]);
    let _ends = world.account("main", TOKEN);
    world.publish("main/sales", available(7));
    let server = world.serve().await;
    let page = server.ask("GET", "/", PERSON).await.body;
    assert!(page.contains(r#"<span class="number">7</span>"#), "{page}");
    server.clock.pass(MAX_AGE * 2);
    let page = server.ask("GET", "/", PERSON).await.body;
    assert!(
        page.contains(r#"<span class="number unknown">?</span>"#),
        "{page}"
    );
    assert!(page.contains("too old to answer from"), "{page}");
    assert!(page.contains("Problems"), "{page}");
}

#[tokio::test]
async fn only_callers_who_may_spend_get_a_button_that_asks_calltools() {
    let open = World::with(&["main/sales"]).serve().await;
    let page = open
        .ask("GET", "/queues/main/sales", "Accept: text/html\r\n")
        .await;
    let button = "data-test=\"/v1/queues/main/sales/refresh\"";
    assert!(page.body.contains(button), "{}", page.body);
    let mut world = World::with(&["main/sales"]);
    world.bearer = Some("a bearer token".into());
    let guarded = world.serve().await;
    let headers = "Accept: text/html\r\nAuthorization: Bearer a bearer token\r\n";
    let page = guarded.ask("GET", "/queues/main/sales", headers).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("data-test="), "{}", page.body);
    assert!(page.body.contains("openseat check main/sales"));
}
