//! What pay-per-call routers send, and what they get: parameters of their own, placeholders that were not filled in, one number to compare, and
//! one URL that decides and reserves.

use super::*;
use crate::{fixtures::available, logged::listen_to};

const DECISION: &str = "/v1/queues/sales/decision";

/// A queue with this many seats, and one that is unknown.
fn world(seats: usize) -> World {
    let world = World::with(&["main/sales", "main/dark"]);
    world.publish("main/sales", available(seats));
    world
}

impl Server {
    async fn decide(&self, query: &str) -> Answer {
        self.get(&format!("{DECISION}?{query}")).await
    }

    async fn held(&self) -> usize {
        let held = self.get("/v1/reservations").await.json();
        held["reservations"].as_array().map_or(0, Vec::len)
    }
}

#[tokio::test]
async fn parameters_of_routers_change_nothing() {
    let server = world(2).serve().await;
    let plain = server.get(DECISION).await;
    for query in [
        "",
        "caller_id=%2B13105550100&zip=90210",
        "callerId=1&CALLER_ID=2&call_uuid=3&CallSid=CA1",
        "caller=[CALLER_ID]&tag_state={{state}}",
        "_=1764189134&utm_source=a&utm_source=b&x[]=1&x[]=2",
        "verbose&%F0%9F%93%9E=1&=&&",
        "queue=other&format_id=7&waiting=1&reservation=no",
        "call_id=a84b4c76e66710",
    ] {
        assert_eq!(server.decide(query).await.body, plain.body, "{query}");
        let text = server.decide(&format!("{query}&format=text&{query}")).await;
        assert_eq!((text.status, &*text.body), (200, "accept\n"), "{query}");
    }
    for target in [
        "/v1/decisions?queue=sales&caller_id=1",
        "/v1/queues?_=1",
        "/v1/queues/sales?_=1",
        "/v1/accounts?_=1",
        "/v1/reservations?_=1",
        "/readyz?_=1",
    ] {
        let status = server.get(target).await.status;
        assert!(status == 200 || target.starts_with("/readyz"), "{target}");
    }
}

#[tokio::test]
async fn a_repeated_parameter_is_rejected_but_a_repeated_call_id_costs_no_call() {
    let server = world(5).serve().await;
    for query in [
        "threshold=1&threshold=1",
        "format=text&format=json",
        "fresh=1s&fresh=1s",
        "wait=1s&wait=2s",
        "call_id=a&reserve=45s&reserve=45s",
    ] {
        let answer = server.decide(query).await;
        let found = (answer.status, &*answer.problem());
        assert_eq!(found, (400, "bad-parameter"), "{query}");
    }
    for (query, warns) in [
        ("call_id=a&call_id=a", false),
        ("call_id=a%2Db&zip=1&call_id=a-b", false),
        ("call_id=a&call_id=b", true),
        ("call_id=a&call_id=%5BCALLER_ID%5D", true),
        ("call_id=a&call_id=", true),
    ] {
        let answer = server.decide(query).await;
        let json = answer.json();
        let found = (answer.status, json["accept"].clone());
        assert_eq!(found, (200, true.into()), "{query}");
        assert_eq!(json.get("warning").is_some(), warns, "{query}");
        let answer = server.decide(&format!("{query}&reserve=45s")).await;
        let holds = answer.json().get("reservation").is_some();
        let expected = if warns { 400 } else { 200 };
        assert_eq!((answer.status, holds), (expected, !warns), "{query}");
        if warns {
            assert_eq!(&*answer.problem(), "bad-parameter");
        }
    }
    assert_eq!(server.held().await, 2);
}

#[tokio::test]
async fn misspellings_of_known_parameters_are_reported() {
    let server = world(2).serve().await;
    for (slip, own) in [
        ("treshold=2", "threshold"),
        ("Threshold=2", "threshold"),
        ("formt=text", "format"),
        ("FORMAT=text", "format"),
        ("frech=2s", "fresh"),
        ("waits=1s", "wait"),
        ("Reserve=45s&call_id=a", "reserve"),
        ("reserved=45s&call_id=a", "reserve"),
    ] {
        for query in [slip.to_owned(), format!("caller_id=1&{slip}&zip=2")] {
            let answer = server.decide(&query).await;
            assert_eq!(
                (answer.status, &*answer.problem()),
                (400, "bad-parameter"),
                "{query}"
            );
            let detail = answer.json()["detail"].to_string();
            assert!(
                detail.contains(&format!("did you mean \\\"{own}\\\"?")),
                "{detail}"
            );
        }
    }
    assert_eq!(server.held().await, 0);
}

#[tokio::test]
async fn a_placeholder_is_not_a_call_id_and_the_answer_and_one_log_line_say_so() {
    let (logged, _guard) = listen_to(tracing::Level::WARN);
    let server = world(2).serve().await;
    for raw in [
        "",
        "null",
        "UNDEFINED",
        "[CALLER_ID]",
        "%5BCALLER_ID%5D",
        "%5bcaller_id%5d",
        "%255BCALLER_ID%255D",
        "{{call.id}}",
        "%7B%7Bcall.id%7D%7D",
        "{id}",
        "${id}",
        "%24%7Bid%7D",
        "%id%",
        "%25id%25",
        "%call_id%",
        "%CALLER_ID%",
    ] {
        let answer = server.decide(&format!("zip=1&call_id={raw}")).await;
        assert_eq!(answer.status, 200, "{raw}");
        let json = answer.json();
        let warning = json["warning"].as_str().unwrap_or_default();
        assert!(warning.starts_with("\"call_id\" is "), "{raw}: {warning}");
        assert_eq!(json["accept"], true, "{raw}");
        let held = server.decide(&format!("call_id={raw}&reserve=45s")).await;
        assert_eq!(
            (held.status, &*held.problem()),
            (400, "bad-parameter"),
            "{raw}"
        );
    }
    assert_eq!(server.held().await, 0);
    let lines = logged.lines();
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("call_id"))
        .collect();
    assert_eq!(logged.len(), 1, "{lines:#?}");
    assert!(logged[0].contains("queue=main/sales"), "{logged:#?}");
    let answer = server.decide("call_id=a84b4c76e66710").await.json();
    assert_eq!(answer.get("warning"), None);
}

#[tokio::test]
async fn capacity_and_format_count_are_above_zero_exactly_if_the_answer_accepts() {
    let mut world = World::with(&["main/sales", "main/open", "main/last", "main/dark"]);
    world.policy("main/open").on_unknown = OnUnknown::Accept;
    world.policy("main/last").on_unknown = OnUnknown::Last;
    world.publish("main/sales", available(3));
    world.publish("main/last", available(5));
    let server = world.serve().await;
    let ask = async |queue: &str, query: &str, expected: u32| {
        let get = async |format: &str| {
            server
                .get(&format!(
                    "/v1/queues/{queue}/decision?{query}&format={format}"
                ))
                .await
        };
        let (count, json, text) = (get("count").await, get("json").await, get("text").await);
        let case = format!("{queue} {query}");
        assert_eq!(
            (count.status, count.body),
            (200, expected.to_string()),
            "{case}"
        );
        assert_eq!(json.json()["capacity"], expected, "{case}");
        assert_eq!(json.json()["accept"], expected > 0, "{case}");
        let word = if expected > 0 { "accept\n" } else { "reject\n" };
        assert_eq!(text.body, word, "{case}");
    };
    for (threshold, capacity) in [("0", 3), ("1", 2), ("2", 1), ("2.5", 1), ("3", 0), ("9", 0)] {
        ask("sales", &format!("threshold={threshold}"), capacity).await;
    }
    ask("open", "", 1).await;
    ask("dark", "", 0).await;
    ask("last", "", 5).await;
    assert_eq!(server.decide("call_id=a&reserve=45s").await.status, 200);
    ask("sales", "", 2).await;
    ask("sales", "threshold=2", 0).await;
    server.clock.pass(MAX_AGE + Duration::from_millis(1));
    ask("sales", "", 0).await;
    ask("last", "", 1).await;
    ask("last", "threshold=5", 0).await;
}

#[tokio::test]
async fn every_answer_about_a_queue_has_its_capacity() {
    let server = world(3).serve().await;
    let many = server
        .get("/v1/decisions?queue=sales&queue=dark")
        .await
        .json();
    assert_eq!(
        (
            &many["decisions"][0]["capacity"],
            &many["decisions"][1]["capacity"]
        ),
        (&3.into(), &0.into())
    );
    assert_eq!(many["best"]["capacity"], 3);
    assert_eq!(server.ask("POST", DECISION, "").await.json()["capacity"], 3);
    assert_eq!(server.get("/v1/queues/sales").await.json()["capacity"], 3);
    let made = server
        .post_json("/v1/queues/sales/reservations", r#"{"call_id":"a"}"#)
        .await;
    assert_eq!(made.json()["capacity"], 2);
}

#[tokio::test]
async fn one_url_decides_and_reserves() {
    let server = world(2).serve().await;
    let made = server
        .decide("call_id=a84b4c76e66710&reserve=30s&caller=1")
        .await;
    assert_eq!(made.status, 200);
    let json = made.json();
    assert_eq!(
        (&json["accept"], &json["count"], &json["capacity"]),
        (&true.into(), &2.into(), &2.into())
    );
    assert_eq!(
        json["reservation"]["expires_at"],
        "2026-11-22T10:00:30.123Z"
    );
    let id = json["reservation"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    server.clock.pass(Duration::from_secs(1));
    for method in ["GET", "POST"] {
        let again = server
            .ask(
                method,
                &format!("{DECISION}?call_id=a84b4c76e66710&reserve=30s"),
                "",
            )
            .await;
        assert_eq!(
            (again.status, &again.json()["reservation"]),
            (200, &json["reservation"]),
            "{method}"
        );
        assert_eq!(again.json()["accept"], true);
    }
    assert_eq!(server.held().await, 1);
    let other = server
        .ask("POST", &format!("{DECISION}?call_id=b&reserve=30s"), "")
        .await;
    assert_ne!(other.json()["reservation"]["id"], *id);
    let third = server.decide("call_id=c&reserve=30s").await;
    let third = (third.status, third.json());
    assert_eq!(
        (
            third.0,
            &third.1["accept"],
            &third.1["reason"],
            &third.1["capacity"]
        ),
        (200, &false.into(), &"reserved".into(), &0.into())
    );
    assert_eq!(third.1.get("reservation"), None);
    let released = server
        .ask("DELETE", &format!("/v1/reservations/{id}"), "")
        .await;
    assert_eq!(released.status, 204);
    assert_eq!(
        server.decide("call_id=c&reserve=30s").await.json()["accept"],
        true
    );
}

#[tokio::test]
async fn every_format_reserves_and_only_format_status_uses_the_status_code() {
    for (format, accepted, rejected) in [
        ("text", (200, "accept\n"), (200, "reject\n")),
        ("count", (200, "1"), (200, "0")),
        ("status", (204, ""), (403, "")),
    ] {
        let server = world(1).serve().await;
        for (call, expected) in [("a", accepted), ("b", rejected), ("a", accepted)] {
            let answer = server
                .decide(&format!("format={format}&call_id={call}&reserve=45s"))
                .await;
            assert_eq!((answer.status, &*answer.body), expected, "{format} {call}");
        }
        assert_eq!(server.held().await, 1, "{format}");
    }
}

#[tokio::test]
async fn a_call_that_holds_its_seat_stays_accepted() {
    let server = world(1).serve().await;
    assert_eq!(
        server.decide("call_id=a&reserve=10m").await.json()["accept"],
        true
    );
    let now = server.clock.now();
    server
        .board
        .publish(&key("main/sales"), snapshot(now, available(0)), now);
    let again = server.decide("call_id=a&reserve=10m").await.json();
    assert_eq!(
        (&again["accept"], &again["reason"], &again["capacity"]),
        (&true.into(), &"seats".into(), &1.into())
    );
    server.clock.pass(MAX_AGE + Duration::from_millis(1));
    let again = server.decide("call_id=a&reserve=10m").await.json();
    assert_eq!(
        (&again["accept"], &again["reason"], &again["count"]),
        (&true.into(), &"too_old".into(), &Value::Null)
    );
    assert_eq!(
        server.decide("call_id=b&reserve=10m").await.json()["accept"],
        false
    );
}

#[tokio::test]
async fn callers_who_may_only_look_reserve_nothing() {
    let mut world = world(1);
    // The header that `log_in` returns.
    world.bearer = Some("s3cret-s3cret-s3cret".into());
    let server = world.serve().await;
    let target = format!("{DECISION}?call_id=a&reserve=45s");
    let head = server
        .ask(
            "HEAD",
            &target,
            "Authorization: Bearer s3cret-s3cret-s3cret\r\n",
        )
        .await;
    assert_eq!(head.status, 200);
    let session = server.log_in().await;
    let looked = server.ask("GET", &target, &session).await;
    assert_eq!((looked.status, &*looked.problem()), (403, "may-only-look"));
    let list = server.ask("GET", "/v1/reservations", &session).await.json();
    assert_eq!(list["reservations"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_body_of_any_length_is_left_unread() {
    let server = world(1).serve().await;
    for length in [0, 10, 8 * 1024, 60_000] {
        let body = "x".repeat(length);
        let answer = server
            .post_json(&format!("{DECISION}?threshold=0"), &body)
            .await;
        assert_eq!(
            (answer.status, &answer.json()["accept"]),
            (200, &true.into()),
            "{length}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_calls_at_once_three_get_the_three_seats() {
    let server = Arc::new(world(3).serve().await);
    let asks: Vec<_> = (0..100)
        .map(|call| {
            let server = Arc::clone(&server);
            let method = if call % 2 == 0 { "GET" } else { "POST" };
            let target = format!("{DECISION}?call_id=call-{call}&reserve=45s");
            tokio::spawn(async move { server.ask(method, &target, "").await })
        })
        .collect();
    let mut accepted = 0;
    for ask in asks {
        let answer = ask.await.expect("no panic");
        let json = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(json["accept"], json.get("reservation").is_some());
        accepted += usize::from(json["accept"] == true);
    }
    assert_eq!((accepted, server.held().await), (3, 3));
}

#[tokio::test]
async fn a_caller_with_basic_authentication_sends_the_token_as_its_password() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut world = world(1);
    world.bearer = Some("ses:ame".into());
    let server = world.serve().await;
    for (shown, status) in [
        ("router:ses:ame", 200),
        (":ses:ame", 200),
        ("ses:ame:", 401),
        ("ses:ame", 401),
        ("router:sesame", 401),
        ("router:", 401),
        ("", 401),
    ] {
        let encoded = BASE64_STANDARD.encode(shown);
        for scheme in ["Basic", "basic", "BASIC"] {
            let headers = format!("Authorization: {scheme} {encoded}\r\n");
            let answer = server.ask("GET", DECISION, &headers).await;
            assert_eq!(answer.status, status, "{scheme} {shown:?}");
        }
    }
    let odd = "Authorization: Basic ???\r\n";
    assert_eq!(server.ask("GET", DECISION, odd).await.status, 401);
    let twice = format!(
        "Authorization: Basic {0}\r\nAuthorization: Basic {0}\r\n",
        BASE64_STANDARD.encode("a:ses:ame")
    );
    assert_eq!(server.ask("GET", DECISION, &twice).await.status, 401);
}

/// `cargo test --lib one_url_takes -- --ignored --nocapture` prints the figures: medians over one connection, with a new id for each call.
#[tokio::test]
#[ignore = "a measurement, for a machine that does nothing else"]
async fn one_url_takes_at_most_a_third_longer_than_a_reservation() {
    let world = World::with(&["main/one", "main/two"]);
    world.publish("main/one", available(900));
    world.publish("main/two", available(900));
    let server = world.serve().await;
    let mut caller = super::fast_path::Caller(server.connect().await);
    let mut times = [Vec::new(), Vec::new()];
    for call in 0..800 {
        let body = format!(r#"{{"call_id":"call-{call}","ttl":"45s"}}"#);
        let length = body.len();
        let requests = [
            format!(
                "POST /v1/queues/one/reservations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            ),
            format!(
                "GET /v1/queues/two/decision?call_id=call-{call}&reserve=45s HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ),
        ];
        for (request, times) in requests.iter().zip(&mut times) {
            let begun = tokio::time::Instant::now();
            let answer = caller.send(request).await;
            times.push(begun.elapsed());
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        }
    }
    let [reservation, one_url] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("a reservation takes {reservation:?}, one URL {one_url:?}");
    assert!(
        one_url < reservation.mul_f64(1.3),
        "{one_url:?} {reservation:?}"
    );
}
