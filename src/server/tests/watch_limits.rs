//! `/v1/watch`: how many streams may be open, what happens to clients that do not read, and how streams end.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    watching::{Client, within},
    *,
};
use crate::fixtures::available;

/// A name so long that a few dozen events fill the buffers of a connection.
fn long_name() -> String {
    format!("main/{}", "a".repeat(100_000))
}

fn dropped(metrics: &Metrics) -> bool {
    let text = metrics.render(
        crate::metrics::Scrape::default(),
        crate::metrics::Format::Text,
    );
    text.contains("openseat_connections_dropped_total{cause=\"slow_reader\"} 1\n")
}

impl Server {
    async fn streams_open(&self) -> String {
        let metrics = self.get("/metrics").await.body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("openseat_open_streams "));
        line.expect("the metric exists").to_owned()
    }
}

/// Sends a request and then reads nothing.
async fn negligent(server: &Server) -> TcpStream {
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("the connection is open");
    within(async {
        while server.app.watch.open_streams(&server.app.limits.watch) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stream
}

#[tokio::test]
async fn a_client_that_falls_too_far_behind_gets_the_reason_and_is_disconnected() {
    let queue = long_name();
    let mut world = World::with(&[&queue]);
    world.limits.watch.log = 4;
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut slow = negligent(&server).await;
    for seats in 0..200 {
        server.seats(&queue, seats);
        // The connection writes what its buffers hold.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut rest = Vec::new();
    within(slow.read_to_end(&mut rest))
        .await
        .expect("the stream ends");
    let rest = String::from_utf8(rest).expect("ASCII");
    let (_, end) = rest
        .split_once("event: end\n")
        .expect("the stream ends with an event");
    assert!(
        end.starts_with("data: {\"detail\":\"this client fell behind"),
        "{end}"
    );
    assert!(end.contains("\"reason\":\"too_slow\""), "{end}");
    assert!(dropped(&metrics));
    assert_eq!(server.streams_open().await, "0");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let queue = long_name();
    let mut world = World::with(&[&queue]);
    world.limits.write = Duration::from_millis(200);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let slow = negligent(&server).await;
    within(async {
        for seats in 0.. {
            if dropped(&metrics) {
                break;
            }
            server.seats(&queue, seats);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(server.streams_open().await, "0");
    drop(slow);
}

#[tokio::test]
async fn a_stream_without_events_does_not_count_as_a_slow_reader() {
    let mut world = World::with(&["main/a"]);
    // A busy machine must not be late for the head.
    let limit = Duration::from_secs(1);
    world.limits.write = limit;
    world.limits.head = limit;
    world.limits.idle = limit;
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.event().await;
    let event = tokio::time::timeout(limit * 2, client.event()).await;
    assert!(event.is_err(), "no event, and no end");
    server.seats("main/a", 1);
    assert_eq!(client.event().await.name, "decision");
}

#[tokio::test]
async fn streams_leave_connections_for_other_requests() {
    let mut world = World::with(&["main/a"]);
    world.limits = Limits::with_connections(8);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    let first = Client::connect(&server, "").await;
    let _second = Client::connect(&server, "").await;
    assert_eq!(server.streams_open().await, "2");
    let refused = Client::connect(&server, "").await;
    assert_eq!(refused.head.status, 503);
    assert_eq!(refused.head.problem(), "too-many-streams");
    assert_eq!(refused.head.header("retry-after"), Some("5"));
    drop(refused);
    assert_eq!(server.get("/v1/queues/a/decision").await.status, 200);
    // A client that disconnects frees its stream, even if there was no change to send.
    drop(first);
    within(async {
        while Client::connect(&server, "").await.head.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_streams_with_a_reason_and_without_waiting() {
    let mut world = World::with(&["main/a"]);
    world.limits.drain = Duration::from_secs(60);
    let mut server = world.serve().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(&server, "").await;
        client.event().await;
        clients.push(client);
    }
    // Changes from before the stop are sent first.
    server.seats("main/a", 1);
    server.stopping.cancel();
    server.stop.cancel();
    for client in &mut clients {
        assert_eq!(client.event().await.name, "decision");
        let end = client.event().await;
        assert_eq!(
            (&*end.name, &end.data["reason"]),
            ("end", &"stopping".into())
        );
        assert_eq!(end.id, None, "the client resumes from what it has seen");
        assert_eq!(within(client.block()).await, None);
    }
    // If one were cut, this would take as long as the drain and be logged. A busy machine needs far less.
    let drained = tokio::time::timeout(Duration::from_secs(20), &mut server.task).await;
    drained
        .expect("no stream delays the stop")
        .expect("the stream ends");
    assert_eq!(server.app.connections.open(), 0);
}

#[tokio::test]
async fn no_stream_begins_while_stopping() {
    let server = World::with(&["main/a"]).serve().await;
    server.stopping.cancel();
    let answer = server.get("/v1/watch").await;
    assert_eq!((answer.status, &*answer.problem()), (503, "stopping"));
}

#[tokio::test]
async fn a_thousand_queues_that_change_at_once_wake_a_stream_once() {
    let queues: Vec<_> = (0..1000).map(|n| format!("main/{n}")).collect();
    let queues: Vec<_> = queues.iter().map(String::as_str).collect();
    let server = World::with(&queues).serve().await;
    let mut client = Client::connect(&server, "").await;
    client.event().await;
    let mut grown = server.app.watch.subscribe();
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&wakes);
    let counting = tokio::spawn(async move {
        while grown.changed().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let now = server.clock.now();
    for queue in &queues {
        let snapshot = snapshot(now, available(1));
        server.board.publish(&key(queue), snapshot, now);
    }
    for queue in &queues {
        let event = client.event().await;
        assert_eq!(
            format!("main/{}", event.data["queue"].as_str().expect("a name")),
            *queue
        );
    }
    assert_eq!(wakes.load(Ordering::Relaxed), 1);
    counting.abort();
}
