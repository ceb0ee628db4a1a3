//! The record of calls: every way to ask, who may read it, and that it never contains a key.

use super::*;
use crate::{
    fixtures::available,
    state::calls::{Answer, MAX_FOUND, What},
};

const BEARER: &str = "s3cret-s3cret-s3cret";

/// Three queues with a record in memory: one with two seats, one without, and one that is unknown.
async fn world() -> World {
    let mut world = World::with(&["main/sales", "main/full", "main/dark"]);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let state = State::open(None, 0, &clock).await.expect("memory");
    world.state = Some(Arc::new(state));
    world.account("main", TOKEN);
    world.publish("main/sales", available(2));
    world.publish("main/full", available(0));
    world
}

impl Server {
    /// The answers about a call.
    pub(super) async fn call(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/calls/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let call = answer.json();
        assert_eq!(call["truncated"], false);
        call["answers"].as_array().expect("a list").clone()
    }

    /// Sends a request, and returns the only answer that is recorded for it.
    async fn recorded(&self, method: &str, target: &str, id: &str) -> Value {
        let answer = self.ask(method, target, "").await;
        assert!(answer.status < 404, "{answer:?}");
        let answers = self.call(id).await;
        assert_eq!(answers.len(), 1, "{method} {target}: {answers:?}");
        answers[0].clone()
    }
}

#[tokio::test]
async fn every_way_to_ask_about_a_call_is_recorded() {
    let server = world().await.serve().await;
    let decision = "/v1/queues/full/decision";
    for (n, (method, target)) in [
        // On the fast path, and through the router.
        ("GET", format!("{decision}?call_id=ID")),
        ("GET", format!("{decision}?zip=1&call_id=ID&tag_a=1")),
        ("GET", format!("{decision}?call_id=ID&threshold=0")),
        ("GET", format!("{decision}?call_id=ID&format=status")),
        ("GET", format!("{decision}?call_id=ENCODED")),
        ("HEAD", format!("{decision}?call_id=ID")),
        ("POST", format!("{decision}?call_id=ID")),
        ("POST", format!("{decision}?call_id=ID&reserve=45s")),
        ("GET", "/v1/decisions?queue=full&call_id=ID".to_owned()),
        ("GET", "/v1/decisions?%71ueue=full&call_id=ID".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("call-{n}");
        let target = target.replace("ENCODED", &id.replace('c', "%63"));
        let target = target.replace("ID", &id);
        let answer = server.recorded(method, &target, &id).await;
        assert_eq!(
            (&answer["accept"], &answer["reason"], &answer["count"]),
            (&false.into(), &"below_threshold".into(), &0.into()),
            "{target}"
        );
        assert_eq!(answer["reservation"], Value::Null, "{target}");
        assert_eq!(answer["client"], Value::Null, "{target}");
    }
    let answers = server.call("call-1").await;
    assert_eq!(
        answers[0],
        serde_json::json!({
            "at": "2026-11-22T10:00:00.123Z", "client": null, "account": "main", "queue": "full", "accept": false, "reason": "below_threshold",
            "count": 0, "threshold": 0, "age_ms": 0, "tags": {"tag_a": "1"}, "reservation": null,
        })
    );
}

#[tokio::test]
async fn a_phone_number_as_an_id_is_found_however_its_plus_sign_is_sent() {
    let server = world().await.serve().await;
    let decision = "/v1/queues/full/decision";
    // A plus sign that is not encoded arrives as a space.
    server
        .get(&format!("{decision}?call_id=+13105550100"))
        .await;
    for id in [
        "13105550100",
        "+13105550100",
        "%2B13105550100",
        "%2013105550100",
    ] {
        let call = server.get(&format!("/v1/calls/{id}")).await.json();
        assert_eq!(call["call_id"], "13105550100", "{id}");
        assert_eq!(call["answers"].as_array().map(Vec::len), Some(1), "{id}");
        let page = server.get(&format!("/calls?call_id={id}")).await.body;
        assert!(
            page.contains("reject") && !page.contains("Nothing is recorded"),
            "{id}"
        );
    }
    let body = r#"{"call_id":" +13105550199 "}"#;
    server.post_json("/v1/queues/full/reservations", body).await;
    for id in ["+13105550199", "13105550199"] {
        let call = server.get(&format!("/v1/calls/{id}")).await.json();
        assert_eq!(call["call_id"], "+13105550199", "{id}");
    }
    assert_eq!(server.get("/v1/calls/13105550177").await.status, 404);
}

#[tokio::test]
async fn ids_that_are_no_text_do_not_share_a_seat() {
    let server = world().await.serve().await;
    for (id, why) in [("%ff", "UTF-8"), ("%fe", "UTF-8"), ("a%00b", "control")] {
        let target = format!("/v1/queues/sales/decision?call_id={id}");
        let answer = server.get(&target).await.json();
        assert_eq!(answer["accept"], true, "{id}");
        let warning = answer["warning"].as_str().unwrap_or_default();
        assert!(warning.contains(why), "{id}: {answer}");
        let reserve = server.get(&format!("{target}&reserve=45s")).await;
        assert_eq!(
            (reserve.status, &*reserve.problem()),
            (400, "bad-parameter"),
            "{id}"
        );
    }
    let body = r#"{"call_id":"a\u0000"}"#;
    let answer = server
        .post_json("/v1/queues/sales/reservations", body)
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_call_with_many_answers_has_all_of_them_in_order() {
    let server = world().await.serve().await;
    for queue in ["dark", "full", "sales"] {
        let target = format!("/v1/queues/{queue}/decision?call_id=a%2Fb");
        assert_eq!(server.get(&target).await.status, 200);
        server.clock.pass(Duration::from_secs(1));
    }
    server
        .get("/v1/decisions?queue=sales&queue=full&call_id=a%2Fb")
        .await;
    let answers = server.call("a%2Fb").await;
    let listed: Vec<_> = answers
        .iter()
        .map(|answer| {
            let text = |name: &str| answer[name].as_str().expect("text").to_owned();
            (text("at"), text("queue"), text("reason"))
        })
        .collect();
    let expected = [
        ("2026-11-22T10:00:00.123Z", "dark", "never_polled"),
        ("2026-11-22T10:00:01.123Z", "full", "below_threshold"),
        ("2026-11-22T10:00:02.123Z", "sales", "seats"),
        ("2026-11-22T10:00:03.123Z", "sales", "seats"),
        ("2026-11-22T10:00:03.123Z", "full", "below_threshold"),
    ];
    let expected = expected.map(|(at, queue, reason)| (at.into(), queue.into(), reason.into()));
    assert_eq!(listed, expected);
    assert_eq!(answers[0]["count"], Value::Null, "unknown is not zero");
    assert_eq!(answers[2]["age_ms"], 2_000);
}

#[tokio::test]
async fn a_reservation_is_recorded_with_how_it_ended() {
    let server = world().await.serve().await;
    let reserve = "/v1/queues/sales/decision?call_id=a&reserve=45s";
    let id = server.get(reserve).await.json()["reservation"]["id"].clone();
    // The same call, by either way, gets the same seat.
    server.clock.pass(Duration::from_secs(1));
    server.get(reserve).await;
    let body = r#"{"call_id":"a","ttl":"45s"}"#;
    let reservations = "/v1/queues/sales/reservations";
    assert_eq!(server.post_json(reservations, body).await.status, 200);
    let answers = server.call("a").await;
    assert_eq!(answers.len(), 3);
    for answer in &answers {
        assert_eq!(
            answer["reservation"],
            serde_json::json!({"id": id, "expires_at": "2026-11-22T10:00:45.123Z", "ended": null, "ended_at": null})
        );
        assert_eq!(
            (&answer["accept"], &answer["reason"]),
            (&true.into(), &"seats".into())
        );
    }
    server.clock.pass(Duration::from_secs(2));
    let path = format!("/v1/reservations/{}", id.as_str().expect("text"));
    assert_eq!(server.ask("DELETE", &path, "").await.status, 204);
    let ended = &server.call("a").await[0]["reservation"];
    assert_eq!(
        (&ended["ended"], &ended["ended_at"]),
        (&"released".into(), &"2026-11-22T10:00:03.123Z".into())
    );
    // One reservation that expires, and one request that finds no seat.
    let target = format!("{reservations}?tag_x=1");
    let make = async |call: &str| {
        let body = format!(r#"{{"call_id":"{call}","ttl":"30s"}}"#);
        server.post_json(&target, &body).await.status
    };
    assert_eq!(
        [make("b").await, make("c").await, make("d").await],
        [201, 201, 409]
    );
    server.clock.pass(Duration::from_secs(31));
    let ended = &server.call("b").await[0];
    assert_eq!(ended["tags"]["tag_x"], "1");
    assert_eq!(
        (
            &ended["reservation"]["ended"],
            &ended["reservation"]["ended_at"]
        ),
        (&"expired".into(), &"2026-11-22T10:00:33.123Z".into())
    );
    let refused = &server.call("d").await[0];
    assert_eq!(
        (
            &refused["accept"],
            &refused["reason"],
            &refused["reservation"]
        ),
        (&false.into(), &"reserved".into(), &Value::Null)
    );
}

#[tokio::test]
async fn the_drop_in_records_what_it_listed_and_not_a_decision() {
    let world = world().await;
    world.board.identify(&key("main/sales"), 5450, None);
    world.board.identify(&key("main/dark"), 5451, None);
    let server = world.serve().await;
    let token = format!("Authorization: Token {TOKEN}\r\n");
    for (target, status) in [
        ("/api/agentstatuses/?queue=5450&call_id=a&page_size=1", 200),
        ("/api/agentstatuses/?queue=5451&call_id=a", 503),
        ("/api/agentstatuses/?queue=5450&call_id=%5BID%5D", 200),
        ("/api/agentstatuses/?queue=5450&page=9&call_id=a", 404),
        ("/api/queues/?call_id=a", 503),
    ] {
        assert_eq!(
            server.ask("GET", target, &token).await.status,
            status,
            "{target}"
        );
    }
    let answers = server.call("a").await;
    let listed: Vec<_> = answers
        .iter()
        .map(|answer| {
            [
                &answer["queue"],
                &answer["accept"],
                &answer["reason"],
                &answer["count"],
            ]
        })
        .collect();
    let null = &Value::Null;
    assert_eq!(
        listed,
        [
            [&"sales".into(), null, &"listed".into(), &2.into()],
            [&"dark".into(), null, &"never_polled".into(), null],
        ]
    );
}

#[tokio::test]
async fn only_answers_about_a_call_are_recorded() {
    let server = world().await.serve().await;
    for target in [
        "/v1/queues/sales/decision",
        "/v1/queues/sales/decision?call_id=",
        "/v1/queues/sales/decision?call_id=%5BCALLER_ID%5D",
        "/v1/queues/sales/decision?call_id=null",
        "/v1/queues/sales/decision?call_id=a&treshold=1",
        "/v1/queues/sales/decision?call_id=a&call_id=b",
        "/v1/queues/nowhere/decision?call_id=a",
        "/v1/decisions?queue=sales&queue=nowhere&call_id=a",
    ] {
        server.get(target).await;
    }
    for id in ["a", "b", "null", "%5BCALLER_ID%5D"] {
        let answer = server.get(&format!("/v1/calls/{id}")).await;
        assert_eq!(
            (answer.status, &*answer.problem()),
            (404, "no-such-call"),
            "{id}"
        );
    }
    let warned = server
        .get("/v1/decisions?queue=sales&call_id=%7Bid%7D")
        .await
        .json();
    let warning = warned["warning"].as_str().expect("a warning");
    assert!(warning.contains("placeholder"), "{warning}");
    assert_eq!(
        server
            .get("/v1/decisions?queue=sales")
            .await
            .json()
            .get("warning"),
        None
    );
}

/// Clients with different rights, and one that sends its token in the URL.
async fn with_clients() -> World {
    let mut world = world().await;
    world.bearer = Some(BEARER.into());
    world.clients = vec![
        client("asks", May::Ask, None, true),
        client("reads", May::Read, None, false),
        client("reads-one", May::Read, Some(&["sales"]), false),
    ];
    world
}

fn bearer_of(name: &str) -> String {
    format!("Authorization: Bearer token-of-{name}\r\n")
}

#[tokio::test]
async fn a_client_is_told_that_answers_about_other_queues_cut_a_search_short() {
    let world = with_clients().await;
    let state = world.state.clone().expect("a record");
    let server = world.serve().await;
    let record = |queue: &str, times: usize| {
        let queue = server.app.queue(&key(queue)).expect("it is configured");
        let (_, decision) = server.app.decide_and_count(queue, &queue.rules.policy);
        for _ in 0..times {
            let answer = What::Answered(Answer::new(&decision));
            let now = server.clock.now();
            state.calls.record(now, &queue.key, "a".into(), answer);
        }
    };
    let read = async || {
        let bearer = bearer_of("reads-one");
        let answer = server.ask("GET", "/v1/calls/a", &bearer).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let call = answer.json();
        let answers = call["answers"].as_array().map(Vec::len);
        (answers, call["truncated"].clone())
    };
    record("main/sales", 1);
    record("main/full", MAX_FOUND - 2);
    assert_eq!(read().await, (Some(1), false.into()));
    record("main/full", 1);
    assert_eq!(read().await, (Some(1), true.into()));
    // Its only answer is not found any more.
    record("main/full", 1);
    assert_eq!(read().await, (Some(0), true.into()));
}

#[tokio::test]
async fn a_client_reads_only_answers_about_its_queues_and_each_has_its_client() {
    let server = with_clients().await.serve().await;
    for queue in ["sales", "full"] {
        let target = format!("/v1/queues/{queue}/decision?call_id=a");
        assert_eq!(
            server.ask("GET", &target, &bearer_of("asks")).await.status,
            200
        );
    }
    let target = "/v1/queues/full/decision?call_id=b";
    let bearer = format!("Authorization: Bearer {BEARER}\r\n");
    assert_eq!(server.ask("GET", target, &bearer).await.status, 200);
    let read = async |call: &str, headers: &str| {
        let answer = server
            .ask("GET", &format!("/v1/calls/{call}"), headers)
            .await;
        let clients = |answers: &Value| -> Vec<_> {
            let answers = answers.as_array().into_iter().flatten();
            answers.map(|answer| answer["client"].clone()).collect()
        };
        match answer.status {
            200 => (200, clients(&answer.json()["answers"])),
            status => (status, Vec::new()),
        }
    };
    assert_eq!(read("a", "").await.0, 401);
    assert_eq!(read("a", &bearer_of("asks")).await.0, 403);
    let asks = Value::from("asks");
    for headers in [&bearer, &bearer_of("reads")] {
        assert_eq!(
            read("a", headers).await,
            (200, vec![asks.clone(), asks.clone()])
        );
        assert_eq!(read("b", headers).await, (200, vec![Value::Null]));
    }
    assert_eq!(read("a", &bearer_of("reads-one")).await, (200, vec![asks]));
    assert_eq!(
        read("b", &bearer_of("reads-one")).await.0,
        404,
        "as if it did not exist"
    );
    let page = server
        .ask("GET", "/calls?call_id=a", &bearer_of("reads-one"))
        .await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn a_key_in_the_url_never_reaches_the_record() {
    let server = with_clients().await.serve().await;
    let key = "key=token-of-asks";
    let target = "/v1/queues/sales/decision";
    let body = r#"{"call_id":"a"}"#;
    for (method, target) in [
        (
            "GET",
            format!(
                "{target}?call_id=a&{key}&tag_a=1&tag_b=token-of-asks&tag_c=x%2Dtoken%2Dof%2Dasks"
            ),
        ),
        (
            "POST",
            format!("{target}?{key}&call_id=a&tag_u=http%3A%2F%2Fa%2F%3Fkey%3Dtoken-of-asks"),
        ),
        ("GET", format!("{target}?call_id=token-of-asks&{key}")),
        (
            "GET",
            format!("/v1/decisions?queue=sales&call_id=a&{key}&tag_token-of-asks=1"),
        ),
    ] {
        assert_eq!(
            server.ask(method, &target, "").await.status,
            200,
            "{target}"
        );
    }
    let posted = server
        .post_json(&format!("/v1/queues/sales/reservations?{key}"), body)
        .await;
    assert_eq!(posted.status, 403);
    let bearer = format!("Authorization: Bearer {BEARER}\r\n");
    let record = server.ask("GET", "/v1/calls/a", &bearer).await;
    assert!(!record.body.contains("token-of"), "{record:?}");
    let answers = record.json()["answers"].clone();
    assert_eq!(answers.as_array().map(Vec::len), Some(3), "{answers}");
    assert_eq!(answers[0]["tags"], serde_json::json!({"tag_a": "1"}));
    let none = server.ask("GET", "/v1/calls/token-of-asks", &bearer).await;
    assert_eq!(none.status, 404);
}

const PERSON: &str = "Accept: text/html\r\n";

#[tokio::test]
async fn a_person_finds_out_why_a_call_was_rejected() {
    let server = world().await.serve().await;
    let overview = server.ask("GET", "/", PERSON).await.body;
    assert!(
        overview.contains("Why was this call rejected?"),
        "{overview}"
    );
    let id = "a&<b>-_%20";
    let encoded = "a%26%3Cb%3E-_%2520";
    let target = format!("/v1/queues/full/decision?call_id={encoded}&tag_campaign=%3Cscript%3E");
    server.get(&target).await;
    server.get(&target.replace("full", "dark")).await;
    let page = server
        .ask("GET", &format!("/calls?call_id={encoded}"), PERSON)
        .await;
    assert_eq!(page.status, 200);
    for words in [
        "the rule does not hold",
        "its first poll has not finished yet",
        "tag_campaign=&lt;script&gt;",
        "a&amp;&lt;b&gt;-_%20",
        "0, threshold 0",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    // The queue's page links there.
    let queue = server.ask("GET", "/queues/main/full", PERSON).await.body;
    let link = format!("href=\"/calls?call_id={encoded}\"");
    assert!(queue.contains(&link), "{queue}");
    assert!(!queue.contains(id), "{queue}");
    let none = server.ask("GET", "/calls?call_id=nobody", PERSON).await;
    assert!(
        none.body.contains("Nothing is recorded about this call"),
        "{none:?}"
    );
    let empty = server.ask("GET", "/calls", PERSON).await;
    assert_eq!(empty.status, 200);
    assert!(!empty.body.contains("Nothing is recorded"), "{empty:?}");
    // Looking does not count as an answer.
    server.get(&format!("/v1/calls/{encoded}")).await;
    assert_eq!(server.call(encoded).await.len(), 2);
}

#[tokio::test]
async fn a_queues_page_lists_the_last_hundred_calls() {
    let server = world().await.serve().await;
    let mut caller = super::fast_path::Caller(server.connect().await);
    for n in 0..130 {
        let target = format!("/v1/queues/sales/decision?call_id=call-{n}-x");
        caller.ask(&target, "Host: localhost\r\n").await;
    }
    let page = server.ask("GET", "/queues/main/sales", PERSON).await.body;
    let listed = |n: usize| page.contains(&format!("call-{n}-x"));
    assert_eq!((listed(29), listed(30), listed(129)), (false, true, true));
    let other = server.ask("GET", "/queues/main/full", PERSON).await.body;
    assert!(other.contains("No router has named a call yet"), "{other}");
}
