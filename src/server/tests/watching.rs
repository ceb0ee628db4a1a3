//! `/v1/watch`: what a client gets when it connects, reads on and reconnects.

use super::*;
use crate::fixtures::available;
use crate::server::state::watch_task;

/// Long enough for a machine that is busy with other tests, short enough to notice a hang.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The interval of a task that must not look during the test.
const NEVER: Duration = Duration::from_secs(3600);

/// How long a test waits for events that must not come.
const SILENCE: Duration = Duration::from_millis(300);

pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, what)
        .await
        .expect("no timeout")
}

/// A block of a stream, ended by an empty line.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) data: Value,
    /// The whole block.
    pub(super) text: String,
}

impl Event {
    fn parse(text: &str) -> Self {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ").map(|data| serde_json::from_str(data).expect("data is JSON"));
        Self {
            id: field("id: ").map(str::to_owned),
            name: field("event: ").unwrap_or_default().to_owned(),
            data: data.unwrap_or_default(),
            text: text.to_owned(),
        }
    }
}

/// A client that remembers the last event.
pub(super) struct Client {
    stream: TcpStream,
    /// The part of the body that has arrived and is not read yet.
    text: String,
    pub(super) head: Answer,
    /// The id of the last event.
    pub(super) last: Option<String>,
}

impl Client {
    pub(super) async fn connect(server: &Server, query: &str) -> Self {
        Self::resume(server, query, None).await
    }

    /// Connects as a client that has seen the event with this id.
    pub(super) async fn resume(server: &Server, query: &str, last: Option<&str>) -> Self {
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n"));
        let mut stream = server.connect().await;
        // HTTP/1.0 gets the stream without chunk lengths.
        let request = format!(
            "GET /v1/watch{query} HTTP/1.0\r\nHost: localhost\r\n{}\r\n",
            last.unwrap_or_default()
        );
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("the connection is open");
        let mut text = String::new();
        while !text.contains("\r\n\r\n") {
            assert!(read(&mut stream, &mut text).await, "no head: {text:?}");
        }
        let head = Answer::parse(&text);
        Self {
            stream,
            text: head.body.clone(),
            head,
            last: None,
        }
    }

    /// The next block; `None` once the stream has ended.
    pub(super) async fn block(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = Event::parse(block);
                self.text = rest.to_owned();
                self.last = event.id.clone().or(self.last.take());
                return Some(event);
            }
            if !read(&mut self.stream, &mut self.text).await {
                assert_eq!(self.text, "", "an event was cut");
                return None;
            }
        }
    }

    /// The next block that has data.
    pub(super) async fn event(&mut self) -> Event {
        let event = async {
            loop {
                let block = self.block().await.expect("the stream continues");
                if block.data != Value::Null {
                    return block;
                }
            }
        };
        within(event).await
    }

    /// The next change, which must be of one decision: its queue, reason and count.
    async fn change(&mut self) -> (String, String, Value) {
        let event = self.event().await;
        assert_eq!(event.name, "decision", "{event:?}");
        let text = |key: &str| event.data[key].as_str().expect("a text").to_owned();
        (text("queue"), text("reason"), event.data["count"].clone())
    }

    async fn snapshot(&mut self) -> Vec<Value> {
        let event = self.event().await;
        assert_eq!(event.name, "snapshot", "{event:?}");
        let decisions = event.data["decisions"].as_array();
        decisions.expect("a list").clone()
    }

    pub(super) async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(SILENCE, self.event()).await.is_err()
    }
}

async fn read(stream: &mut TcpStream, text: &mut String) -> bool {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).await.unwrap_or_default();
    // Everything that these tests watch is plain ASCII.
    text.push_str(str::from_utf8(&buffer[..length]).expect("ASCII"));
    length > 0
}

fn change(queue: &str, reason: &str, count: impl Into<Value>) -> (String, String, Value) {
    (queue.to_owned(), reason.to_owned(), count.into())
}

impl Server {
    /// Publishes this many seats, and looks.
    pub(super) fn seats(&self, queue: &str, seats: usize) {
        let now = self.clock.now();
        let snapshot = snapshot(now, available(seats));
        self.board.publish(&key(queue), snapshot, now);
        watch_task::look(&self.app);
    }

    pub(super) fn fail(&self, queue: &str, fault: Fault) {
        self.board.fault(&key(queue), Some(Arc::new(fault)));
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_and_continues_with_changes() {
    let world = World::with(&["main/a", "main/b", "main/c"]);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    let mut client = Client::connect(&server, "?queue=b&queue=a").await;
    assert_eq!(client.head.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("connection", "close"),
    ] {
        assert_eq!(client.head.header(name), Some(value));
    }
    let hint = client.block().await.expect("the stream continues");
    assert_eq!(hint.text, "retry: 1000");
    let snapshot = client.snapshot().await;
    let asked = server.get("/v1/decisions?queue=b&queue=a").await.json();
    assert_eq!(Value::from(snapshot), asked["decisions"], "in this order");

    server.seats("main/c", 5);
    server.seats("main/b", 2);
    let event = client.event().await;
    assert_eq!(event.name, "decision");
    let asked = server.get("/v1/queues/b/decision").await.json();
    assert_eq!(event.data, asked);
    server.seats("main/a", 0);
    assert_eq!(client.change().await, change("a", "below_threshold", 0));
}

#[tokio::test]
async fn without_a_parameter_all_queues_are_watched() {
    let world = World::with(&["main/a", "main/b"]);
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    let snapshot = client.snapshot().await;
    let queues: Vec<_> = snapshot.iter().map(|decision| &decision["queue"]).collect();
    assert_eq!(queues, ["a", "b"]);
    server.seats("main/b", 1);
    assert_eq!(client.change().await, change("b", "seats", 1));
}

#[tokio::test]
async fn a_poll_without_a_change_sends_no_event() {
    let world = World::with(&["main/a"]);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    server.clock.pass(Duration::from_secs(5));
    server.seats("main/a", 1);
    // A fault does not change a decision while the snapshot is still fresh.
    server.fail("main/a", Fault::NoPermission);
    assert!(client.is_silent().await);
    server.seats("main/a", 2);
    assert_eq!(client.change().await, change("a", "seats", 2));
}

#[tokio::test]
async fn a_poll_with_a_change_sends_an_event() {
    let mut world = World::with(&["main/a"]);
    world.limits.watch.look = NEVER;
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    let now = server.clock.now();
    let snapshot = snapshot(now, available(3));
    server.board.publish(&key("main/a"), snapshot, now);
    assert_eq!(client.change().await, change("a", "seats", 3));
    server.fail("main/a", Fault::BadToken);
    server.clock.pass(MAX_AGE + Duration::from_millis(1));
    server.board.notify();
    assert_eq!(client.change().await, change("a", "bad_token", Value::Null));
}

#[tokio::test]
async fn a_change_by_time_alone_sends_an_event() {
    let mut world = World::with(&["main/a"]);
    world.limits.watch.look = Duration::from_millis(20);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    server.clock.pass(MAX_AGE);
    assert!(client.is_silent().await, "it is still valid at that moment");
    server.clock.pass(Duration::from_millis(1));
    let event = client.event().await;
    assert_eq!(
        (&event.data["reason"], &event.data["count"]),
        (&"too_old".into(), &Value::Null)
    );
    assert!(event.data["detail"].is_string(), "{event:?}");
}

#[tokio::test]
async fn a_decision_that_becomes_stale_sends_an_event_at_that_moment() {
    let mut world = World::with(&["main/a", "main/b"]);
    world.limits.watch.look = NEVER;
    let max_age = Duration::from_millis(200);
    world.policy("main/a").max_age = Some(max_age);
    world.publish("main/a", available(1));
    world.publish("main/b", available(1));
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    let look = || watch_task::look(&server.app);
    let after = Duration::from_millis(1);
    assert_eq!(look(), max_age + after);
    server.clock.pass(max_age + after);
    // The task looks after the same time has passed in real time.
    assert_eq!(client.change().await, change("a", "too_old", Value::Null));
    assert_eq!(look(), MAX_AGE - max_age, "b is next");
    server.clock.pass(MAX_AGE);
    assert_eq!(look(), NEVER, "nothing is left to become stale");
}

#[tokio::test]
async fn a_fault_sends_an_event_while_seats_are_unknown() {
    let world = World::with(&["main/a"]);
    let server = world.serve().await;
    let mut client = Client::connect(&server, "?queue=main/a").await;
    assert_eq!(client.snapshot().await[0]["reason"], "never_polled");
    server.fail("main/a", Fault::BadToken);
    assert_eq!(client.change().await, change("a", "bad_token", Value::Null));
    server.seats("main/a", 0);
    assert_eq!(client.change().await, change("a", "below_threshold", 0));
}

#[tokio::test]
async fn a_client_that_reconnects_gets_exactly_what_it_missed() {
    let world = World::with(&["main/a", "main/b", "main/c"]);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    let query = "?queue=a&queue=b";
    let mut client = Client::connect(&server, query).await;
    client.snapshot().await;
    server.seats("main/b", 1);
    client.change().await;
    let last = client.last.take();
    drop(client);

    // This includes changes that were reverted later.
    server.seats("main/a", 0);
    server.seats("main/c", 9);
    server.seats("main/a", 1);
    // The order in which queues are named makes no difference.
    let mut client = Client::resume(&server, "?queue=b&queue=a", last.as_deref()).await;
    let hint = client.block().await.expect("the stream continues");
    assert_eq!(hint.text, "retry: 1000");
    assert_eq!(client.change().await, change("a", "below_threshold", 0));
    let half_way = client.last.clone();
    assert_eq!(client.change().await, change("a", "seats", 1));
    assert!(client.is_silent().await);

    let mut again = Client::resume(&server, query, half_way.as_deref()).await;
    assert_eq!(again.change().await, change("a", "seats", 1));
    let mut up_to_date = Client::resume(&server, query, client.last.as_deref()).await;
    assert!(up_to_date.is_silent().await);
    server.seats("main/b", 4);
    assert_eq!(up_to_date.change().await, change("b", "seats", 4));
}

#[tokio::test]
async fn a_change_between_two_looks_is_not_missed() {
    let mut world = World::with(&["main/a"]);
    // The task sleeps through the test: only new connections look.
    world.limits.watch.rest = NEVER;
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    let now = server.clock.now();
    let snapshot = snapshot(now, available(1));
    server.board.publish(&key("main/a"), snapshot, now);
    let mut back = Client::resume(&server, "", client.last.as_deref()).await;
    assert_eq!(back.change().await, change("a", "seats", 1));
    assert_eq!(client.change().await, change("a", "seats", 1));
}

#[tokio::test]
async fn an_unknown_event_id_gets_a_snapshot() {
    let mut world = World::with(&["main/a", "main/b"]);
    world.limits.watch.log = 4;
    let server = world.serve().await;
    let mut client = Client::connect(&server, "?queue=a").await;
    client.snapshot().await;
    let old = client.last.clone().expect("a snapshot has an id");
    let (run, number) = old.split_once('-').expect("two parts");
    let number: u64 = number.parse().expect("a number");

    let mut strangers = vec![
        format!("{run}-{}", number + 1),
        format!("{run}-18446744073709551615"),
        format!("0000000000000000-{number}"),
        run.to_owned(),
        "17".to_owned(),
        "-".to_owned(),
        "\u{e9}".to_owned(),
        String::new(),
    ];
    // Another run of the same openseat, with the same queues.
    let other = World::with(&["main/a", "main/b"]).serve().await;
    let mut there = Client::connect(&other, "?queue=a").await;
    there.snapshot().await;
    strangers.extend(there.last);
    for id in &strangers {
        let mut client = Client::resume(&server, "?queue=a", Some(id)).await;
        assert_eq!(client.snapshot().await.len(), 1, "{id:?}");
    }
    // This client knows nothing about queue b.
    let mut wider = Client::resume(&server, "?queue=a&queue=b", Some(&old)).await;
    assert_eq!(wider.snapshot().await.len(), 2);

    for seats in [1, 2, 3, 4] {
        server.seats("main/a", seats);
    }
    let mut client = Client::resume(&server, "?queue=a", Some(&old)).await;
    assert_eq!(client.change().await, change("a", "seats", 1));
    server.seats("main/a", 5);
    let mut client = Client::resume(&server, "?queue=a", Some(&old)).await;
    let snapshot = client.snapshot().await;
    assert_eq!(snapshot[0]["count"], 5, "one change too far back");
}

#[tokio::test]
async fn a_silent_stream_has_a_heartbeat() {
    let mut world = World::with(&["main/a", "main/b"]);
    world.limits.watch.heartbeat = Duration::from_millis(100);
    let server = world.serve().await;
    let mut client = Client::connect(&server, "?queue=a").await;
    client.snapshot().await;
    // Changes in other queues do not delay the heartbeat of this stream.
    let busy = async {
        for seats in 0.. {
            server.seats("main/b", seats);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let begun = tokio::time::Instant::now();
    let beats = async {
        for _ in 0..4 {
            let beat = within(client.block()).await;
            assert_eq!(beat.expect("the stream continues").text, ":");
        }
    };
    tokio::select! { () = busy => {} () = beats => {} }
    // The first heartbeat may have been in flight.
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_millis(300), "{elapsed:?}");
    server.seats("main/a", 1);
    assert_eq!(client.change().await, change("a", "seats", 1));
}

#[tokio::test]
async fn watching_is_not_demand() {
    let mut world = World::with(&["main/a"]);
    let mut ends = world.account("main", TOKEN);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    server.seats("main/a", 1);
    client.change().await;
    let queue = metrics
        .queue(&key("main/a"))
        .expect("the queue is configured");
    assert_eq!(queue.asked(), 0);
    assert!(ends.asks.try_recv().is_err());
}

#[tokio::test]
async fn a_wrong_request_for_a_stream_is_rejected() {
    let world = World::with(&["main/a", "main/b", "second/b"]);
    let server = world.serve().await;
    let too_many = format!("?{}", "queue=a&".repeat(101));
    for (query, status, problem, detail) in [
        (
            "?queue=a&threshold=2",
            400,
            "bad-parameter",
            "this path has no parameter \"threshold\": it takes queue",
        ),
        (
            &*too_many,
            400,
            "bad-parameter",
            "give \"queue\" 1 to 100 times; this request has it 101 times",
        ),
        (
            "?queue=a&queue=nobody",
            404,
            "unknown-queue",
            "no queue \"nobody\" is configured",
        ),
        (
            "?queue=b",
            409,
            "ambiguous-queue",
            "several accounts have a queue \"b\": ask for one of main/b, second/b",
        ),
    ] {
        let answer = server.get(&format!("/v1/watch{query}")).await;
        assert_eq!((answer.status, &*answer.problem()), (status, problem));
        assert_eq!(answer.json()["detail"], detail);
    }
    assert_eq!(server.ask("POST", "/v1/watch", "").await.status, 405);
    let head = server.ask("HEAD", "/v1/watch", "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    let mut twice = Client::connect(&server, "?queue=a&queue=main/a").await;
    twice.snapshot().await;
    server.seats("main/a", 1);
    assert_eq!(twice.change().await, change("a", "seats", 1));
    assert!(twice.is_silent().await, "the event comes once");
}

#[tokio::test]
async fn a_watch_needs_the_bearer_token() {
    let mut world = World::with(&["main/a"]);
    world.bearer = Some("0123456789abcdef".into());
    let server = world.serve().await;
    let answer = server.get("/v1/watch").await;
    assert_eq!((answer.status, &*answer.problem()), (401, "unauthorized"));
    assert_eq!(server.app.watch.open_streams(&server.app.limits.watch), 0);
}

#[tokio::test]
async fn held_and_released_seats_send_events() {
    let mut world = World::with(&["main/a"]);
    world.limits.watch.look = NEVER;
    world.publish("main/a", available(1));
    let server = world.serve().await;
    let mut client = Client::connect(&server, "").await;
    client.snapshot().await;
    let reserve = async |call: &str, ttl: &str| {
        let body = format!("{{\"call_id\":\"{call}\",\"ttl\":\"{ttl}\"}}");
        let head = format!("Content-Length: {}\r\nConnection: close", body.len());
        let path = "/v1/queues/a/reservations";
        let request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n{body}");
        let answer = server.raw(&request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let id = reserve("one", "45s").await;
    assert_eq!(client.change().await, change("a", "reserved", 0));
    let path = format!("/v1/reservations/{id}");
    assert_eq!(server.ask("DELETE", &path, "").await.status, 204);
    assert_eq!(client.change().await, change("a", "seats", 1));
    // The expiry of a reservation is sent at that moment: in real time, after the look that is due then.
    reserve("two", "1s").await;
    assert_eq!(client.change().await, change("a", "reserved", 0));
    server.clock.pass(Duration::from_secs(1));
    assert_eq!(client.change().await, change("a", "seats", 1));
}

#[tokio::test]
async fn a_push_has_the_age_at_which_it_is_sent() {
    let mut world = World::with(&["main/sales"]);
    world.limits.watch.look = NEVER;
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    let sales = key("main/sales");
    within(async {
        while server.app.last_decision(&sales).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // Nothing changes, so the decision is not noticed again.
    server.clock.pass(Duration::from_millis(900));
    let (_, pushed) = server.app.last_decision(&sales).expect("it was noticed");
    let pushed: Value = serde_json::from_slice(&pushed).expect("JSON");
    assert_eq!(
        (&pushed["age_ms"], &pushed["membership_age_ms"]),
        (&900.into(), &900.into())
    );
    let asked = server.get("/v1/queues/sales/decision").await.json();
    assert_eq!(pushed, asked);
}
