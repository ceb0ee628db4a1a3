use super::*;
use crate::{
    account::RefreshError,
    budget::{Cause, Refusal},
    fixtures::{agent, available},
    model::fault::{Down, NoSuchQueue},
};

#[tokio::test]
async fn the_list_shows_what_is_known_about_every_queue() {
    let world = World::with(&["main/sales", "main/support"]);
    world
        .board
        .identify(&key("main/sales"), 5450, Some("sales".into()));
    world.publish("main/sales", available(3));
    world.fail("main/support", Fault::BadToken);
    let server = world.serve().await;
    let queues = server.get("/v1/queues").await.json()["queues"].clone();
    assert_eq!(queues[0]["queue"], "sales");
    assert_eq!(queues[0]["name"], "sales");
    assert_eq!(queues[0]["agent_count"], 3);
    assert_eq!(queues[0]["accept"], true);
    assert_eq!(queues[0]["fault"], Value::Null);
    assert_eq!(queues[0]["last_success"], "2026-11-22T10:00:00.123Z");
    assert_eq!(
        queues[0]["agents_by_status"],
        serde_json::json!({ "Available": 3 })
    );
    assert_eq!(queues[1]["agent_count"], Value::Null);
    assert_eq!(queues[1]["agents_by_status"], Value::Null);
    assert_eq!(queues[1]["reason"], "bad_token");
    assert_eq!(queues[1]["fault"]["kind"], "bad_token");
    assert_eq!(queues[1]["last_success"], Value::Null);
    assert_eq!(queues[1]["last_attempt"], "2026-11-22T10:00:00.123Z");
}

#[tokio::test]
async fn an_unknown_queue_comes_with_the_nearest_names() {
    let names = ["main/sales-queue", "main/support", "second/billing"];
    let server = World::with(&names).serve().await;
    let detail = async |target: &str| {
        let answer = server.get(target).await;
        assert_eq!((answer.status, &*answer.problem()), (404, "unknown-queue"));
        answer.json()["detail"].as_str().expect("a text").to_owned()
    };
    for (target, expected) in [
        (
            "/v1/queues/slaes-queue/decision",
            "no queue \"slaes-queue\" is configured; did you mean \"sales-queue\"?",
        ),
        (
            "/v1/queues/main/suport",
            "no queue \"main/suport\" is configured; did you mean \"main/support\"?",
        ),
        (
            "/v1/decisions?queue=second/biling",
            "no queue \"second/biling\" is configured; did you mean \"second/billing\"?",
        ),
        ("/v1/queues/xyz", "no queue \"xyz\" is configured"),
    ] {
        assert_eq!(detail(target).await, expected, "{target}");
    }
    let many: Vec<String> = (0..=250)
        .map(|number| format!("main/queue-{number}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let server = World::with(&many).serve().await;
    let answer = server.get("/v1/queues/queu-1").await.json();
    assert_eq!(answer["detail"], "no queue \"queu-1\" is configured");
}

#[tokio::test]
async fn one_queue_comes_with_its_agents() {
    let world = World::with(&["main/sales"]);
    world.publish(
        "main/sales",
        vec![agent("7", "Ann", "Available"), agent("8", "Bob", "Lunch")],
    );
    let server = world.serve().await;
    for target in ["/v1/queues/sales", "/v1/queues/main/sales"] {
        let queue = server.get(target).await.json();
        assert_eq!(queue["complete"], true);
        assert_eq!(queue["took_ms"], 321);
        assert_eq!(
            queue["agents"][1],
            serde_json::json!({
                "id": "8", "name": "Bob", "status": "Lunch", "available": false, "queue_logged_in": true,
                "on_call": false, "ready": null, "status_since": "2026-11-22T09:50:00.000Z",
            })
        );
    }
}

#[tokio::test]
async fn agents_who_are_available_on_a_call_or_not_ready_are_shown_separately() {
    let world = World::with(&["main/sales", "main/new"]);
    let one = |id: &str, status: &str, on_call, ready, queue_logged_in| Agent {
        on_call,
        ready,
        queue_logged_in,
        ..agent(id, id, status)
    };
    world.publish(
        "main/sales",
        vec![
            one("free", "Available", false, Some(true), true),
            one("silent", "Available", false, None, true),
            one("calls", "Available", true, Some(true), true),
            one("calls, too", "Available", true, Some(false), true),
            one("elsewhere", "Available", true, Some(true), false),
            one("usual", "On a Call", true, Some(false), true),
            one("not ready", "Available", false, Some(false), true),
        ],
    );
    let server = world.serve().await;
    let queue = server.get("/v1/queues/sales").await.json();
    assert_eq!(
        (&queue["available_on_call"], &queue["available_not_ready"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (&queue["agents"][2]["on_call"], &queue["agents"][6]["ready"]),
        (&true.into(), &false.into())
    );
    let new = server.get("/v1/queues/new").await.json();
    assert_eq!(new["available_on_call"], Value::Null);
    let page = server
        .ask("GET", "/queues/sales", "Accept: text/html\r\n")
        .await
        .body;
    assert!(page.contains("no: on a call"), "{page}");
    assert!(page.contains(", but not ready"), "{page}");
}

#[tokio::test]
async fn without_a_snapshot_agents_are_null_and_not_an_empty_list() {
    let server = World::with(&["main/sales"]).serve().await;
    let queue = server.get("/v1/queues/sales").await.json();
    assert_eq!(queue["agents"], Value::Null);
    assert_eq!(queue["complete"], Value::Null);
}

#[tokio::test]
async fn a_refresh_answers_with_the_new_decision() {
    let mut world = World::with(&["main/sales"]);
    let mut ends = world.account("main", TOKEN);
    let server = world.serve().await;
    let (board, now) = (server.board.clone(), server.clock.now());
    let task = tokio::spawn(async move {
        let (queue, reply) = refresh_of(&mut ends).await;
        board.publish(&queue, snapshot(now, available(4)), now);
        reply.send(Ok(())).expect("the server waits");
    });
    let answer = server
        .ask("POST", "/v1/queues/sales/refresh", "Content-Length: 0\r\n")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["count"], 4);
    task.await.expect("the task did not panic");
}

#[tokio::test]
async fn a_refresh_that_fails_says_why() {
    let mut world = World::with(&["main/sales"]);
    let mut ends = world.account("main", TOKEN);
    let server = world.serve().await;
    let now = server.clock.now();
    let refused = |wait| {
        RefreshError::Refused(Refusal {
            until: now.later(wait),
            cause: Cause::Spent,
        })
    };
    let cases = [
        (
            refused(Duration::from_millis(2_100)),
            429,
            "budget-spent",
            Some("3"),
        ),
        (refused(Duration::ZERO), 429, "budget-spent", Some("1")),
        (
            Fault::Throttled {
                until: Some(now.later(Duration::from_secs(60))),
            }
            .into(),
            429,
            "throttled",
            Some("60"),
        ),
        (
            Fault::Throttled { until: None }.into(),
            429,
            "throttled",
            None,
        ),
        (Fault::BadToken.into(), 502, "bad-token", None),
        (Fault::NoPermission.into(), 502, "no-permission", None),
        (
            Fault::NoSuchQueue(NoSuchQueue::Id(1)).into(),
            502,
            "no-such-queue",
            None,
        ),
        (
            Fault::down(Down::ServerError, "CallTools answered 503").into(),
            502,
            "upstream-down",
            None,
        ),
        (
            Fault::down(Down::TimeOut, "no answer within 10 s").into(),
            504,
            "upstream-down",
            None,
        ),
    ];
    for (error, status, problem, retry_after) in cases {
        let (answer, ()) =
            tokio::join!(server.ask("POST", "/v1/queues/sales/refresh", ""), async {
                let (_, reply) = refresh_of(&mut ends).await;
                reply.send(Err(error)).expect("the server waits");
            });
        assert_eq!((answer.status, &*answer.problem()), (status, problem));
        assert_eq!(answer.header("retry-after"), retry_after);
    }
}

#[tokio::test]
async fn a_refresh_is_rejected_when_busy_or_stopping() {
    let mut world = World::with(&["main/sales", "main/support"]);
    let mut ends = world.account("main", TOKEN);
    let server = world.serve().await;
    let post = || server.ask("POST", "/v1/queues/sales/refresh", "");

    // The task takes the request and drops it.
    let (answer, ()) = tokio::join!(post(), async { drop(ends.asks.recv().await) });
    assert_eq!((answer.status, &*answer.problem()), (503, "stopping"));

    // The task is busy: one refresh waits in the channel, the next finds it full.
    let (first, second) = tokio::join!(post(), async {
        while ends.asks.is_empty() {
            tokio::task::yield_now().await;
        }
        let second = post().await;
        server.stopping.cancel();
        second
    });
    assert_eq!((second.status, &*second.problem()), (503, "busy"));
    assert_eq!(second.header("retry-after"), Some("1"));
    assert_eq!(
        (first.status, &*first.problem()),
        (503, "stopping"),
        "stopping ends the wait"
    );

    drop(ends);
    assert_eq!(post().await.problem(), "stopping");
}
