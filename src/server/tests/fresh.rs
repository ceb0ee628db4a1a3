//! Requests that wait for newer data: `fresh=` and `wait=`, in the request or in the config.

use std::time::Instant;

use super::*;
use crate::{decision::staleness::Staleness, fixtures::available};

/// A queue with one seat in a snapshot of this age: the next change may turn the decision.
fn at_the_edge(age: Duration) -> (World, AccountEnds) {
    let mut world = World::with(&["main/sales", "main/other"]);
    let ends = world.account("main", TOKEN);
    world.publish("main/sales", available(1));
    world.clock.pass(age);
    (world, ends)
}

const AGE: Duration = Duration::from_secs(20);

#[allow(clippy::disallowed_methods)] // Sockets and waits are real in these tests.
fn now() -> Instant {
    Instant::now()
}

/// How long something takes at best. A pause of the machine may delay one of them; a wait delays each.
async fn fastest_of_three(mut what: impl AsyncFnMut()) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let begun = now();
        what().await;
        fastest = fastest.min(begun.elapsed());
    }
    fastest
}

#[tokio::test]
async fn no_decision_waits_unless_asked_to() {
    let (world, mut ends) = at_the_edge(AGE);
    let server = world.serve().await;
    for path in [
        "sales/decision",
        "sales/decision?format=text",
        "other/decision",
    ] {
        server.get(&format!("/v1/queues/{path}")).await;
    }
    server.get("/v1/decisions?queue=sales&queue=other").await;
    assert!(ends.asks.try_recv().is_err(), "the account got no request");
}

#[tokio::test]
async fn a_request_with_fresh_waits_for_newer_data() {
    let (world, mut ends) = at_the_edge(AGE);
    let server = world.serve().await;
    let answer = server.get("/v1/queues/sales/decision?fresh=2s&wait=5s");
    let account = async {
        let Some(Ask::Fresh {
            queue,
            staleness,
            reply,
        }) = ends.asks.recv().await
        else {
            panic!("not a request for newer data");
        };
        assert_eq!(queue, key("main/sales"));
        assert!(staleness != Staleness::NONE && staleness.is_about_statuses());
        let now = server.clock.now();
        server
            .board
            .publish(&queue, snapshot(now, available(0)), now);
        reply.send(()).expect("the request waits");
    };
    let (answer, ()) = tokio::join!(answer, account);
    let decision = answer.json();
    assert_eq!(
        (&decision["accept"], &decision["age_ms"]),
        (&false.into(), &0.into())
    );
}

#[tokio::test]
async fn a_wait_that_times_out_is_answered_from_the_board() {
    let (world, mut ends) = at_the_edge(AGE);
    let server = world.serve().await;
    let begun = now();
    // Longer than the default of `wait`.
    let answer = server
        .get("/v1/queues/sales/decision?fresh=2s&wait=1s")
        .await;
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    let decision = answer.json();
    assert_eq!(
        (&decision["accept"], &decision["age_ms"]),
        (&true.into(), &20_000.into())
    );
    assert!(matches!(ends.asks.try_recv(), Ok(Ask::Fresh { .. })));
}

#[tokio::test]
async fn a_wait_ends_at_once_if_the_account_drops_the_request() {
    let (world, mut ends) = at_the_edge(AGE);
    let server = world.serve().await;
    let fastest = fastest_of_three(async || {
        let answer = server.get("/v1/queues/sales/decision?fresh=2s&wait=5s");
        let account = async { drop(ends.asks.recv().await) };
        let (answer, ()) = tokio::join!(answer, account);
        assert_eq!(answer.status, 200);
    })
    .await;
    assert!(fastest < Duration::from_secs(4), "{fastest:?}");
}

#[tokio::test]
async fn fresh_or_certain_decisions_are_answered_at_once() {
    let (mut world, mut ends) = at_the_edge(AGE);
    world.publish("main/other", available(7));
    world.clock.pass(AGE);
    world.policy("main/other").max_age = Some(Duration::from_secs(600));
    let server = world.serve().await;
    for path in [
        "sales/decision?fresh=1m&wait=5s",
        "other/decision?fresh=0s&wait=5s",
    ] {
        assert_eq!(server.get(&format!("/v1/queues/{path}")).await.status, 200);
    }
    assert!(ends.asks.try_recv().is_err());
}

#[tokio::test]
async fn the_config_sets_the_wait_of_a_queue_and_a_request_overrides_it() {
    let (mut world, mut ends) = at_the_edge(AGE);
    let patience = Patience {
        fresh: Duration::from_secs(30),
        // Longer than the default.
        wait: Duration::from_secs(1),
    };
    world.rules("main/sales").patience = Some(patience);
    let server = world.serve().await;
    server.get("/v1/queues/sales/decision").await;
    assert!(ends.asks.try_recv().is_err(), "20 s are fresh enough");
    let begun = now();
    server.get("/v1/queues/sales/decision?fresh=3s").await;
    assert!(begun.elapsed() >= patience.wait, "the queue's own wait");
    assert!(matches!(ends.asks.try_recv(), Ok(Ask::Fresh { .. })));
    server.clock.pass(AGE);
    server.get("/v1/queues/sales/decision").await;
    assert!(
        matches!(ends.asks.try_recv(), Ok(Ask::Fresh { .. })),
        "40 s are not fresh enough"
    );
}

#[tokio::test]
async fn a_busy_account_makes_no_request_wait() {
    let (world, ends) = at_the_edge(AGE);
    let server = world.serve().await;
    // The channel has room for one request, and nothing takes it out.
    server
        .get("/v1/queues/sales/decision?fresh=2s&wait=1ms")
        .await;
    let fastest = fastest_of_three(async || {
        server
            .get("/v1/queues/sales/decision?fresh=2s&wait=5s")
            .await;
    })
    .await;
    assert!(fastest < Duration::from_secs(4), "{fastest:?}");
    drop(ends);
    assert_eq!(
        server
            .get("/v1/queues/sales/decision?fresh=2s")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_wrong_fresh_or_wait_is_named_in_the_detail() {
    let (world, _ends) = at_the_edge(AGE);
    let server = world.serve().await;
    for (query, words) in [
        (
            "fresh=soon",
            "\"fresh\" is not a duration such as 2s or 400ms",
        ),
        (
            "fresh=-2s",
            "\"fresh\" is not a duration such as 2s or 400ms",
        ),
        ("fresh=2", "\"fresh\" is not a duration such as 2s or 400ms"),
        ("wait=", "\"wait\" is not a duration such as 2s or 400ms"),
        ("wait=6s", "\"wait\" must be at most 5s"),
        ("fresh=2s&fresh=3s", "\"fresh\" may be given only once"),
        ("wait=1s&wait=1s", "\"wait\" may be given only once"),
    ] {
        let answer = server
            .get(&format!("/v1/queues/sales/decision?{query}"))
            .await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "bad-parameter"),
            "{query}"
        );
        assert_eq!(answer.json()["detail"], words, "{query}");
    }
    let answer = server.get("/v1/decisions?queue=sales&fresh=2s").await;
    assert_eq!(
        answer.status, 400,
        "requests for several decisions never wait"
    );
}
