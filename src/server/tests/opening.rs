//! Opening hours: a closed queue rejects every kind of request, and the answer changes exactly on the minute.

use super::{
    fast_path::Caller,
    watching::{Client, within},
    *,
};
use crate::{
    fixtures::{available, opening_hours},
    model::names::NamedQueue,
    server::state::watch_task,
};

/// The queue opens at 05:10 in New York, ten minutes after the tests begin, and closes at 05:20.
const OPEN: &str = "Sun 05:10-05:20";

const ZONE: &str = "America/New_York";

const MS: Duration = Duration::from_millis(1);

/// From the start of the tests to the opening, and from there to the closing.
const TO_OPENING: Duration = Duration::from_millis(600_000 - 123);
const TO_CLOSING: Duration = Duration::from_secs(600);

const DECISION: &str = "/v1/queues/sales/decision";

/// A queue with opening hours, which would accept while it is unknown, and one without.
fn world() -> World {
    let mut world = World::with(&["main/sales", "main/always"]);
    let policy = world.policy("main/sales");
    policy.hours = opening_hours(&[OPEN], ZONE);
    policy.on_unknown = OnUnknown::Accept;
    world.publish("main/sales", available(2));
    world.publish("main/always", available(1));
    world
}

impl Server {
    /// Publishes two seats, seen now.
    fn poll(&self) {
        let now = self.clock.now();
        let key = key("main/sales");
        self.board.publish(&key, snapshot(now, available(2)), now);
    }

    async fn reason(&self) -> Value {
        self.get(DECISION).await.json()["reason"].clone()
    }
}

#[tokio::test]
async fn every_format_rejects_while_the_queue_is_closed() {
    let server = world().serve().await;
    let answer = server.get(DECISION).await;
    assert_eq!(
        answer.body,
        "{\"queue\":\"sales\",\"queue_id\":null,\"account\":\"main\",\"accept\":false,\"reason\":\"closed\",\"count\":null,\"threshold\":0,\
         \"as_of\":null,\"age_ms\":null,\"membership_age_ms\":null,\"valid_until\":\"2026-11-22T10:10:00.000Z\",\"capacity\":0,\
         \"detail\":\"the queue is closed until Sun 05:10 in America/New_York\"}"
    );
    for (query, status, body) in [
        ("format=text", 200, "reject\n"),
        ("format=count", 200, "0"),
        ("format=status", 403, ""),
        ("threshold=0&format=text", 200, "reject\n"),
    ] {
        let answer = server.get(&format!("{DECISION}?{query}")).await;
        assert_eq!((answer.status, &*answer.body), (status, body), "{query}");
    }
    assert_eq!(
        server.ask("POST", DECISION, "").await.json()["reason"],
        "closed"
    );
    let both = server
        .get("/v1/decisions?queue=sales&queue=always")
        .await
        .json();
    assert_eq!(both["decisions"][0]["reason"], "closed");
    assert_eq!(both["best"]["queue"], "always");
    let queue = server.get("/v1/queues/sales").await.json();
    assert_eq!(queue["reason"], "closed");
}

#[tokio::test]
async fn the_answer_changes_on_the_minute_on_the_fast_path_and_on_the_router() {
    let server = world().serve().await;
    let mut caller = Caller(server.connect().await);
    server.clock.pass(TO_OPENING - MS);
    server.poll();
    for (pass, reason) in [
        (Duration::ZERO, "closed"),
        (MS, "seats"),
        (Duration::from_secs(91), "too_old"),
        (TO_CLOSING - Duration::from_secs(91) - MS, "too_old"),
        (MS, "closed"),
        (Duration::from_secs(7 * 86_400 - 600) - MS, "closed"),
        (MS, "too_old"),
    ] {
        server.clock.pass(pass);
        let (fast, routed) = caller.asks_both(DECISION).await;
        assert_eq!(fast.json()["reason"], reason, "after {pass:?}");
        assert_eq!(fast, routed);
        let (fast, routed) = caller.asks_for_many("queue=sales&queue=always").await;
        assert_eq!(fast.json()["decisions"][0]["reason"], reason);
        assert_eq!(fast, routed);
    }
}

#[tokio::test]
async fn an_answer_is_valid_at_most_until_the_queue_closes() {
    let server = world().serve().await;
    let valid_until = async || server.get(DECISION).await.json()["valid_until"].clone();
    assert_eq!(
        valid_until().await,
        "2026-11-22T10:10:00.000Z",
        "valid until the queue opens"
    );
    server.clock.pass(TO_OPENING);
    server.poll();
    assert_eq!(valid_until().await, "2026-11-22T10:11:30.000Z", "max_age");
    server.clock.pass(TO_CLOSING - Duration::from_secs(60));
    server.poll();
    assert_eq!(
        valid_until().await,
        "2026-11-22T10:20:00.000Z",
        "valid until the queue closes"
    );
}

#[tokio::test]
async fn streams_get_an_event_when_a_queue_opens_and_closes() {
    let server = world().serve().await;
    let mut client = Client::connect(&server, "?queue=sales").await;
    let first = within(client.event()).await;
    assert_eq!(first.data["decisions"][0]["reason"], "closed");
    server.clock.pass(TO_OPENING);
    // A poll of the queue has ended in time, but nothing notifies the stream.
    let opened = within(client.event()).await;
    assert_eq!(opened.data["reason"], "too_old");
    assert_eq!(opened.data["accept"], true, "on_unknown");
    server.clock.pass(TO_CLOSING);
    let closed = within(client.event()).await;
    assert_eq!(closed.data["reason"], "closed");
}

/// The queue is unknown when it closes, so that no age wakes the task.
#[tokio::test]
async fn the_task_that_looks_for_changes_wakes_for_opening_and_closing() {
    let mut world = world();
    world.limits.watch.look = Duration::from_secs(3600);
    let server = world.serve().await;
    let next = || watch_task::look(&server.app);
    // The other queue becomes too old before this one opens.
    server.clock.pass(Duration::from_secs(120));
    assert_eq!(next(), TO_OPENING - Duration::from_secs(120));
    server.clock.pass(TO_OPENING - Duration::from_secs(120));
    assert_eq!(next(), TO_CLOSING);
}

#[tokio::test]
async fn no_new_seat_is_held_while_the_queue_is_closed_but_a_held_one_stays() {
    let mut world = world();
    let _ends = world.account("main", TOKEN);
    let server = world.serve().await;
    let reserve = async || {
        let call = r#"{"call_id":"a84b","ttl":"10m"}"#;
        server
            .post_json("/v1/queues/sales/reservations", call)
            .await
    };
    let refused = reserve().await;
    assert_eq!((refused.status, &*refused.problem()), (409, "no-seat"));
    let problem = refused.json();
    assert_eq!(problem["reason"], "closed");
    assert_eq!(
        problem["detail"],
        "the queue is closed until Sun 05:10 in America/New_York"
    );
    let in_one_step = format!("{DECISION}?call_id=a84b&reserve=45s");
    let refused = server.get(&in_one_step).await.json();
    assert_eq!(
        (&refused["accept"], refused.get("reservation")),
        (&false.into(), None)
    );
    server
        .clock
        .pass(TO_OPENING + TO_CLOSING - Duration::from_secs(5));
    server.poll();
    assert_eq!(reserve().await.status, 201);
    server.clock.pass(Duration::from_secs(10));
    assert_eq!(server.reason().await, "closed");
    let again = server.get(&in_one_step).await.json();
    assert_eq!(
        again["accept"], true,
        "the call already holds its seat: {again}"
    );
    // Ten minutes after it was reserved, not until the queue opens again.
    assert_eq!(again["valid_until"], "2026-11-22T10:29:55.000Z");
}

#[tokio::test]
async fn a_closed_queue_needs_no_poll_to_be_ready() {
    let mut world = World::with(&["main/sales"]);
    world.policy("main/sales").hours = opening_hours(&[OPEN], ZONE);
    let server = world.serve().await;
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "ready\nmain/sales: closed until Sun 05:10\n");
    server.clock.pass(TO_OPENING);
    assert_eq!(server.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn the_drop_in_lists_no_agents_while_the_queue_is_closed() {
    let mut world = world();
    let ends = world.account("main", TOKEN);
    let named = |id: u64, name: &str| NamedQueue {
        id,
        name: name.to_owned(),
        raw: crate::fixtures::raw(&serde_json::json!({"id": id, "name": name})),
    };
    ends.names.send_replace(Arc::new(Names {
        queues: Some(vec![named(5450, "sales"), named(5451, "always")]),
        statuses: None,
    }));
    let board = &world.board;
    board.identify(&key("main/sales"), 5450, Some("sales".into()));
    board.identify(&key("main/always"), 5451, Some("always".into()));
    let server = world.serve().await;
    let count = async |query: &str| {
        let target = format!("/api/agentstatuses/?{query}");
        let token = format!("Authorization: Token {TOKEN}\r\n");
        let answer = server.ask("GET", &target, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["count"].clone()
    };
    assert_eq!(count("queue=5450").await, 0);
    assert_eq!(count("").await, 1, "only the other queue's");
    server.clock.pass(TO_OPENING);
    server.poll();
    assert_eq!(count("queue=5450").await, 2);
}

#[tokio::test]
async fn metrics_of_a_closed_queue_raise_no_alert() {
    let server = world().serve().await;
    let metrics = server.get("/metrics").await.body;
    let value = |name: &str, queue: &str| {
        let start = format!("{name}{{account=\"main\",queue=\"{queue}\"");
        let mut lines = metrics.lines().filter(|line| line.starts_with(&start));
        lines
            .next()
            .and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    assert_eq!(
        value("openseat_queue_known", "sales").as_deref(),
        Some("1.0")
    );
    for absent in [
        "openseat_queue_seats",
        "openseat_queue_agents",
        "openseat_queue_snapshot_age_seconds",
    ] {
        assert_eq!(value(absent, "sales"), None, "{absent}");
        assert!(value(absent, "always").is_some(), "{absent}");
    }
}

#[tokio::test]
async fn no_request_waits_for_a_fresher_answer_of_a_closed_queue() {
    let mut world = world();
    let mut ends = world.account("main", TOKEN);
    let server = world.serve().await;
    server.clock.pass(Duration::from_secs(60));
    for on_demand in [false, true] {
        server.board.set_on_demand(&key("main/sales"), on_demand);
        let answer = server.get(&format!("{DECISION}?fresh=1s&wait=5s")).await;
        assert_eq!(answer.json()["reason"], "closed");
        assert!(ends.asks.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_closed_queue_is_not_listed_under_problems() {
    let mut world = world();
    world.account("main", TOKEN);
    world.fail("main/sales", Fault::NoPermission);
    let server = world.serve().await;
    let problem = "may not read";
    let closed = server.words("/").await;
    assert!(!closed.contains(problem), "{closed}");
    server.clock.pass(TO_OPENING);
    let open = server.words("/").await;
    assert!(open.contains(problem), "{open}");
}

#[tokio::test]
async fn queues_that_are_closed_do_not_answer_from_earlier_data() {
    let mut world = world();
    let ends = world.account("main", TOKEN);
    let present = crate::account::PresentFault {
        fault: Arc::new(Fault::BadToken),
        since: world.clock.now(),
    };
    ends.health
        .send_modify(|health| health.fault = Some(present));
    let server = world.serve().await;
    let words = server.words("/").await;
    assert!(
        words.contains("All of them still answer from earlier data."),
        "{words}"
    );
    server.clock.pass(Duration::from_secs(3_600));
    let words = server.words("/").await;
    assert!(!words.contains("from earlier data"), "{words}");
}

#[tokio::test]
async fn pages_say_when_a_closed_queue_opens() {
    let mut world = world();
    world.account("main", TOKEN);
    let server = world.serve().await;
    let page = async |path: &str| server.ask("GET", path, "Accept: text/html\r\n").await.body;
    let overview = page("/").await;
    for text in ["closed until Sun 05:10 (in 10 min)", "1 queue is closed."] {
        assert!(overview.contains(text), "{text}: {overview}");
    }
    let page = page("/queues/main/sales").await;
    assert!(
        page.contains("closed until Sun 05:10 (in 10 min)"),
        "{page}"
    );
}
