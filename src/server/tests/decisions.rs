use std::time::Duration;

use super::*;
use crate::{
    decision::criteria::{Measured, Mismatch, Verdict},
    fixtures::available,
    logged::listen_to,
    model::fault::Down,
};

#[tokio::test]
async fn a_known_decision_reads_as_documented() {
    let world = World::with(&["main/sales-queue"]);
    world
        .board
        .identify(&key("main/sales-queue"), 5450, Some("sales-queue".into()));
    world.publish("main/sales-queue", available(7));
    let server = world.serve().await;
    server.clock.pass(Duration::from_millis(1834));
    let answer = server.get("/v1/queues/sales-queue/decision").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.body,
        "{\"queue\":\"sales-queue\",\"queue_id\":5450,\"account\":\"main\",\"accept\":true,\"reason\":\"seats\",\
         \"count\":7,\"threshold\":0,\"as_of\":\"2026-11-22T10:00:00.123Z\",\"age_ms\":1834,\"membership_age_ms\":1834,\
         \"valid_until\":\"2026-11-22T10:01:30.123Z\",\"capacity\":7}"
    );
    assert_eq!(
        server.get("/v1/queues/5450/decision").await.body,
        answer.body
    );
}

#[tokio::test]
async fn unknown_values_are_null_and_the_detail_says_what_is_missing() {
    let server = World::with(&["main/sales"]).serve().await;
    let answer = server.get("/v1/queues/sales/decision").await;
    assert_eq!(
        answer.body,
        "{\"queue\":\"sales\",\"queue_id\":null,\"account\":\"main\",\"accept\":false,\"reason\":\"never_polled\",\
         \"count\":null,\"threshold\":0,\"as_of\":null,\"age_ms\":null,\"membership_age_ms\":null,\"valid_until\":null,\"capacity\":0,\
         \"detail\":\"the first poll of this queue has not finished yet\"}"
    );
}

#[tokio::test]
async fn every_unknown_names_its_cause() {
    let world = World::with(&["main/old", "main/faulty", "main/odd"]);
    world.publish("main/old", available(1));
    world.publish("main/faulty", available(1));
    world.fail(
        "main/faulty",
        Fault::down(Down::Dns, "east-9.calltools.io cannot be resolved"),
    );
    let mut odd = snapshot(world.clock.now(), available(1));
    odd.measured = Err(Mismatch("\"count\" is a text".to_owned()));
    world
        .board
        .publish(&key("main/odd"), odd, world.clock.now());
    let server = world.serve().await;
    let odd = server.get("/v1/queues/odd/decision").await.json();
    assert_eq!(odd["reason"], "upstream_down");
    let detail = odd["detail"].as_str().expect("an unknown has a detail");
    assert!(
        detail.ends_with("criteria: \"count\" is a text"),
        "{detail}"
    );

    let still = server.get("/v1/queues/faulty/decision").await.json();
    assert_eq!(
        (&still["reason"], &still["detail"]),
        (&"seats".into(), &Value::Null)
    );
    server.clock.pass(MAX_AGE + Duration::from_millis(1));
    let cases = [
        ("old", "too_old", "older than the 1m 30s"),
        (
            "faulty",
            "upstream_down",
            "cannot be resolved: check the spelling of the silo",
        ),
    ];
    for (queue, reason, words) in cases {
        let decision = server
            .get(&format!("/v1/queues/{queue}/decision"))
            .await
            .json();
        assert_eq!(decision["reason"], reason);
        assert_eq!(decision["count"], Value::Null);
        assert_eq!(decision["age_ms"], 90_001);
        let detail = decision["detail"]
            .as_str()
            .expect("an unknown has a detail");
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn threshold_changes_the_decision_and_format_the_answer() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    let cases = [
        ("?threshold=1&format=text", 200, "accept\n"),
        ("?threshold=2&format=text", 200, "reject\n"),
        ("?threshold=1.5&format=status", 204, ""),
        ("?threshold=2&format=status", 403, ""),
        ("?format=status", 204, ""),
    ];
    for (query, status, body) in cases {
        let answer = server
            .get(&format!("/v1/queues/sales/decision{query}"))
            .await;
        assert_eq!((answer.status, &*answer.body), (status, body), "{query}");
    }
    let json = server
        .get("/v1/queues/sales/decision?threshold=2&format=json")
        .await
        .json();
    assert_eq!(json["reason"], "below_threshold");
    assert_eq!(json["threshold"], 2);
    let head = server
        .ask(
            "HEAD",
            "/v1/queues/sales/decision?format=status&threshold=2",
            "",
        )
        .await;
    assert_eq!((head.status, &*head.body), (403, ""));
    let head = server.ask("HEAD", "/v1/queues/sales/decision", "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
}

#[tokio::test]
async fn a_wrong_parameter_is_named_in_the_detail() {
    let mut world = World::with(&["main/sales", "main/texts"]);
    world.policy("main/texts").threshold = None;
    let server = world.serve().await;
    let cases = [
        (
            "sales/decision?treshold=2",
            "there is no parameter \"treshold\"; did you mean \"threshold\"?",
        ),
        (
            "sales/decision?threshold=two",
            "\"threshold\" is not a finite number",
        ),
        (
            "sales/decision?threshold=NaN",
            "\"threshold\" is not a finite number",
        ),
        (
            "sales/decision?threshold=1&threshold=2",
            "\"threshold\" may be given only once",
        ),
        (
            "sales/decision?format=xml",
            "\"format\" must be json, text, count or status",
        ),
        (
            "texts/decision?threshold=2",
            "this queue's criteria contain no comparison with a number, so \"threshold\" does not apply",
        ),
        (
            "sales?threshold=2",
            "this path has no parameter \"threshold\": it takes none",
        ),
        (
            "sales/decision?reserve=45s",
            "\"reserve\" needs \"call_id\"",
        ),
        (
            "sales/decision?call_id=a&reserve=45",
            "\"reserve\" must be a duration such as \"45s\", from 1s to 10m",
        ),
    ];
    for (target, detail) in cases {
        let answer = server.get(&format!("/v1/queues/{target}")).await;
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.problem(), "bad-parameter");
        assert_eq!(answer.json()["detail"], detail);
    }
}

#[tokio::test]
async fn a_threshold_below_0_is_refused_for_seats() {
    let mut world = World::with(&["main/sales", "main/own"]);
    world.rules("main/own").counts_seats = false;
    world.account("main", TOKEN);
    for queue in ["main/sales", "main/own"] {
        world.publish(queue, available(0));
    }
    let server = world.serve().await;
    for threshold in ["-1", "-0.5", "-1e300"] {
        for (method, path) in [
            ("GET", "decision"),
            ("POST", "decision"),
            ("POST", "refresh"),
            ("POST", "reservations"),
        ] {
            let target = format!("/v1/queues/sales/{path}?threshold={threshold}");
            let answer = server.ask(method, &target, "").await;
            let found = (answer.status, &*answer.problem());
            assert_eq!(found, (400, "bad-parameter"), "{method} {target}");
            let detail = answer.json()["detail"].to_string();
            let expected = "and a count of seats is never below 0, so every call would be accepted; write 0 to ask for one seat";
            assert!(detail.contains(expected), "{detail}");
        }
    }
    for target in ["sales/decision?threshold=-0", "own/decision?threshold=-1"] {
        let answer = server.get(&format!("/v1/queues/{target}")).await;
        assert_eq!(answer.status, 200, "{target}");
    }
    let detail = server.get("/v1/queues/sales/decision?threshold=-1").await;
    let detail = detail.json()["detail"].to_string();
    assert!(detail.contains("\\\"threshold\\\" is -1, and"), "{detail}");
}

#[tokio::test]
async fn criteria_without_a_number_to_compare_ignore_the_threshold() {
    let mut world = World::with(&["main/texts"]);
    world.policy("main/texts").threshold = None;
    let mut holds = snapshot(world.clock.now(), available(1));
    holds.measured = Ok(Measured {
        count: Quantity::from(1_u32),
        verdict: Verdict::Holds(true),
    });
    world
        .board
        .publish(&key("main/texts"), holds, world.clock.now());
    let server = world.serve().await;
    let decision = server.get("/v1/queues/texts/decision").await.json();
    assert_eq!(decision["accept"], true);
    assert_eq!(decision["threshold"], Value::Null);
}

#[tokio::test]
async fn a_queue_is_found_by_name_or_id_with_or_without_its_account() {
    let world = World::with(&[
        "main/a/b",
        "main/sales",
        "second/sales",
        "second/Vertrieb Süd",
        "main/decision",
    ]);
    let server = world.serve().await;
    let found = [
        ("/v1/queues/a%2Fb/decision", "main", "a/b"),
        ("/v1/queues/main/sales/decision", "main", "sales"),
        ("/v1/queues/second/sales/decision", "second", "sales"),
        ("/v1/queues/main/a%2Fb/decision", "main", "a/b"),
        ("/v1/queues/main%2Fsales/decision", "main", "sales"),
        (
            "/v1/queues/second%2fsales/decision?format=json",
            "second",
            "sales",
        ),
        ("/v1/queues/main%2Fa%2Fb/decision", "main", "a/b"),
        (
            "/v1/queues/Vertrieb%20S%C3%BCd/decision",
            "second",
            "Vertrieb Süd",
        ),
        ("/v1/queues/decision/decision", "main", "decision"),
        ("/v1/queues/main/decision/decision", "main", "decision"),
        ("/v1/queues/main/%64ecision", "main", "decision"),
    ];
    for (target, account, queue) in found {
        let decision = server.get(target).await.json();
        assert_eq!(
            (&decision["account"], &decision["queue"]),
            (&account.into(), &queue.into()),
            "{target}"
        );
    }
    let not_found = [
        ("/v1/queues/Sales/decision", 404, "unknown-queue"),
        ("/v1/queues/third/sales/decision", 404, "unknown-queue"),
        ("/v1/queues/third%2Fsales/decision", 404, "unknown-queue"),
        ("/v1/queues/sales/decision", 409, "ambiguous-queue"),
        ("/v1/queues/%ff/decision", 400, "bad-request"),
        ("/v1/queues//decision", 404, "unknown-queue"),
        ("/v1/queues/a/b/c/decision", 404, "no-such-path"),
        ("/v1/queues/sales/decision/", 404, "no-such-path"),
    ];
    for (target, status, problem) in not_found {
        let answer = server.get(target).await;
        assert_eq!(
            (answer.status, &*answer.problem()),
            (status, problem),
            "{target}"
        );
    }
}

#[tokio::test]
async fn a_problem_has_the_members_of_rfc_9457() {
    let server = World::with(&["main/sales"]).serve().await;
    let answer = server
        .get("/v1/queues/%3Cscript%3E/decision?format=text")
        .await;
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "type": "urn:openseat:problem:unknown-queue",
            "title": "This queue is not configured",
            "status": 404,
            "detail": "no queue \"<script>\" is configured",
            "instance": "/v1/queues/%3Cscript%3E/decision",
        })
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn several_decisions_come_in_order_with_the_best_one() {
    let world = World::with(&["main/a", "main/b", "main/c/d", "main/e", "second/b"]);
    world.publish("main/a", available(2));
    world.publish("main/b", available(5));
    world.publish("main/c/d", available(5));
    world.publish("main/e", available(0));
    let server = world.serve().await;
    let many = server
        .get("/v1/decisions?queue=e&queue=a&queue=c/d&queue=main/b")
        .await
        .json();
    let queues: Vec<_> = many["decisions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| &d["queue"])
        .collect();
    assert_eq!(queues, ["e", "a", "c/d", "b"]);
    assert_eq!(many["best"], many["decisions"][2], "the first of equals");
    let many = server.get("/v1/decisions?queue=e").await.json();
    assert_eq!(many["best"], Value::Null);
}

#[tokio::test]
async fn a_queue_that_accepts_unknown_is_best_only_if_no_known_one_accepts() {
    let mut world = World::with(&["main/known", "main/unknown"]);
    world.policy("main/unknown").on_unknown = OnUnknown::Accept;
    world.publish("main/known", available(1));
    let server = world.serve().await;
    let many = server
        .get("/v1/decisions?queue=unknown&queue=known")
        .await
        .json();
    assert_eq!(many["best"]["queue"], "known");
    let many = server.get("/v1/decisions?queue=unknown").await.json();
    assert_eq!(many["best"]["queue"], "unknown");
}

#[tokio::test]
async fn a_list_of_decisions_is_complete_or_rejected() {
    let server = World::with(&["main/a"]).serve().await;
    let answer = server.get("/v1/decisions?queue=a&queue=nobody").await;
    assert_eq!((answer.status, &*answer.problem()), (404, "unknown-queue"));
    assert_eq!(answer.json()["detail"], "no queue \"nobody\" is configured");
    for query in [String::new(), "queue=a&".repeat(101)] {
        let answer = server.get(&format!("/v1/decisions?{query}")).await;
        assert_eq!((answer.status, &*answer.problem()), (400, "bad-parameter"));
    }
    assert_eq!(
        server
            .get(&format!("/v1/decisions?{}", "queue=a&".repeat(100)))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn every_decision_is_logged_at_trace_level() {
    let (logged, _guard) = listen_to(tracing::Level::TRACE);
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    for target in [
        "/v1/queues/sales/decision",
        "/v1/queues/sales/decision?format=text",
        "/v1/queues/main/sales/decision?threshold=2",
        "/v1/decisions?queue=sales",
    ] {
        assert_eq!(server.get(target).await.status, 200, "{target}");
    }
    let body = r#"{"call_id":"secret-of-the-caller"}"#;
    let made = server
        .post_json("/v1/queues/sales/reservations", body)
        .await;
    assert_eq!(made.status, 201);
    let lines = logged.lines();
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("message=a decision"))
        .collect();
    assert_eq!(logged.len(), 5, "{lines:#?}");
    for line in &logged {
        assert!(
            line.starts_with("TRACE") && line.contains("queue=main/sales"),
            "{line}"
        );
    }
    assert!(
        logged[0].contains("reason=\"seats\"") && logged[0].contains("count=2"),
        "{logged:#?}"
    );
    assert!(
        logged[2].contains("reason=\"below_threshold\""),
        "{logged:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("secret-of")),
        "{lines:#?}"
    );
}
