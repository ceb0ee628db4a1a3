//! The fast path gives the same answers as the router.

use proptest::prelude::*;

use super::*;
use crate::{
    clock::Moment,
    decision::criteria::{Comparison, Measured, Mismatch, Verdict},
    fixtures::{available, opening_hours},
    model::fault::{Down, NoSuchQueue},
};

/// A client that keeps its connection.
pub(super) struct Caller(pub(super) TcpStream);

impl Caller {
    pub(super) async fn ask(&mut self, target: &str, headers: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1\r\n{headers}\r\n"))
            .await
    }

    /// Sends exactly these bytes, and reads the answer.
    pub(super) async fn send(&mut self, request: &str) -> Answer {
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        loop {
            self.0.read_buf(&mut text).await.unwrap();
            let so_far = std::str::from_utf8(&text).unwrap();
            let answer = Answer::parse(so_far);
            let length = answer.header("content-length");
            if so_far.contains("\r\n\r\n") && length == Some(&answer.body.len().to_string()) {
                return answer;
            }
        }
    }

    /// Sends the same request twice: once unchanged, once with a parameter that only moves it from the fast path to the router.
    pub(super) async fn asks_both(&mut self, path: &str) -> (Answer, Answer) {
        self.asks_with(path, &format!("{path}?format=json")).await
    }

    /// The same for several decisions, whose parameters the fast path reads only if they are not encoded.
    pub(super) async fn asks_for_many(&mut self, query: &str) -> (Answer, Answer) {
        let path = format!("/v1/decisions?{query}");
        self.asks_with(&path, &path.replace("queue=", "%71ueue="))
            .await
    }

    async fn asks_with(&mut self, path: &str, to_router: &str) -> (Answer, Answer) {
        const HOST: &str = "Host: localhost\r\n";
        let mut fast = self.ask(path, HOST).await;
        let mut routed = self.ask(to_router, HOST).await;
        // A second may end between the two.
        for answer in [&mut fast, &mut routed] {
            assert!(answer.headers.remove("date").is_some());
        }
        (fast, routed)
    }
}

/// Something that happens to a queue or to the time.
#[derive(Clone, Debug)]
enum Event {
    Publish(Result<(u32, bool), ()>),
    /// Statuses that are newer than the list of members by this much.
    Renew(u32, u64),
    Fail(u8),
    Recover,
    Plan(u64, u64),
    Identify(bool),
    Pass(u64),
    StepBack(u64),
    Nothing,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        prop_oneof![
            (0..4_u32, any::<bool>()).prop_map(Ok),
            Just(Err::<(u32, bool), ()>(()))
        ]
        .prop_map(Event::Publish),
        (0..4_u32, 0..4_000_u64).prop_map(|(seats, ago)| Event::Renew(seats, ago)),
        (0..6_u8).prop_map(Event::Fail),
        Just(Event::Recover),
        (0..200_u64, 0..8_000_u64).prop_map(|(age, members)| Event::Plan(age, members)),
        any::<bool>().prop_map(Event::Identify),
        prop_oneof![0..3_000_u64, 0..200_000_u64, 0..10_000_000_u64].prop_map(Event::Pass),
        (0..100_000_u64).prop_map(Event::StepBack),
        Just(Event::Nothing),
    ]
}

fn measured(seats: u32, more: bool) -> Measured {
    let comparison = match more {
        true => Comparison::GreaterThan,
        false => Comparison::LessThan,
    };
    Measured {
        count: Quantity::from(seats),
        verdict: Verdict::Compare(comparison),
    }
}

fn fault(which: u8, now: Moment) -> Fault {
    match which {
        0 => Fault::BadToken,
        1 => Fault::NoPermission,
        2 => Fault::NoSuchQueue(NoSuchQueue::Id(5450)),
        3 => Fault::Throttled { until: None },
        4 => Fault::BudgetSpent {
            until: now.later(Duration::from_secs(2_573)),
        },
        _ => Fault::down(Down::TimeOut, "no \"answer\" in 10 s"),
    }
}

fn happen(event: &Event, server: &Server, queue: &QueueKey) {
    let (board, now) = (&server.board, server.clock.now());
    match *event {
        Event::Publish(seats) => {
            let mut snapshot = snapshot(now, Vec::new());
            snapshot.measured = match seats {
                Ok((seats, more)) => Ok(measured(seats, more)),
                Err(()) => Err(Mismatch("\"age_ms\": is a \\ text".to_owned())),
            };
            board.publish(queue, snapshot, now);
        }
        Event::Renew(seats, ago) => {
            let mut snapshot = snapshot(now, Vec::new());
            snapshot.members_as_of = now.earlier(Duration::from_secs(ago));
            snapshot.measured = Ok(measured(seats, true));
            board.renew(queue, snapshot);
        }
        Event::Fail(which) => board.fault(queue, Some(Arc::new(fault(which, now)))),
        Event::Recover => board.fault(queue, None),
        Event::Plan(age, members) => board.plan(
            queue,
            Duration::from_secs(age),
            Duration::from_secs(members),
        ),
        Event::Identify(named) => board.identify(queue, 5450, named.then(|| "Sales".into())),
        Event::Pass(ms) => server.clock.pass(Duration::from_millis(ms)),
        Event::StepBack(ms) => server.clock.step_wall_back(Duration::from_millis(ms)),
        Event::Nothing => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_gives_the_same_answers_as_the_router(
        events in prop::collection::vec((any::<bool>(), event()), 1..40),
        on_unknown in prop_oneof![Just(OnUnknown::Reject), Just(OnUnknown::Accept), Just(OnUnknown::Last)],
        max_age in prop_oneof![Just(None), (1..120_u64).prop_map(Some)],
        threshold in 0..3_u32,
        open in prop::option::of(prop::sample::select(vec!["Sun 05:00-05:01,05:30-09:00", "Sat-Mon 05:01-05:00"])),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            const NAME: &str = "main/a \"name\" with \"age_ms\":1,";
            const OTHER: &str = "main/other";
            let mut world = World::with(&[NAME, OTHER]);
            for queue in [NAME, OTHER] {
                *world.policy(queue) = Policy {
                    threshold: Some(Quantity::from(threshold)), asks_threshold: false,
                    max_age: max_age.map(Duration::from_secs),
                    on_unknown,
                    hours: open.and_then(|open| opening_hours(&[open], "America/New_York")),
                };
            }
            let server = world.serve().await;
            let mut caller = Caller(server.connect().await);
            for (to_other, event) in events {
                happen(&event, &server, &key(if to_other { OTHER } else { NAME }));
                let path = "/v1/queues/a%20%22name%22%20with%20%22age_ms%22:1,/decision";
                let (fast, routed) = caller.asks_both(path).await;
                prop_assert_eq!(routed.status, 200);
                prop_assert_eq!(fast, routed, "after {:?}", event);
                let query = "queue=a+%22name%22+with+%22age_ms%22:1,&queue=other&zip=1&queue=main%2Fother";
                let (fast, routed) = caller.asks_for_many(query).await;
                prop_assert_eq!(routed.status, 200);
                prop_assert_eq!(fast, routed, "many, after {:?}", event);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn parameters_of_routers_are_answered_on_the_fast_path() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    for query in [
        "caller_id=1&zip=90210&_=1764189134",
        "call_id=a84b4c76e66710",
    ] {
        let path = format!("/v1/queues/sales/decision?{query}");
        let mut fast = caller.ask(&path, "Host: localhost\r\n").await;
        let routed = format!("{path}&format=json");
        let mut routed = caller.ask(&routed, "Host: localhost\r\n").await;
        for answer in [&mut fast, &mut routed] {
            assert!(answer.headers.remove("date").is_some());
        }
        assert_eq!(fast, routed, "{query}");
    }
}

#[tokio::test]
async fn it_counts_decisions_as_the_router_does() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    for _ in 0..3 {
        caller.asks_both("/v1/queues/sales/decision").await;
    }
    let (fast, routed) = caller.asks_for_many("queue=sales&queue=main/sales").await;
    assert_eq!((fast.status, &fast), (200, &routed));
    // A request for an unknown queue gets no decision, and none is counted.
    let (fast, routed) = caller.asks_for_many("queue=sales&queue=nowhere").await;
    assert_eq!((fast.status, &fast.body), (404, &routed.body));
    let meters = server.app.metrics.queue(&key("main/sales")).unwrap();
    assert_eq!(meters.asked(), 10);
    let metrics = server.get("/metrics").await.body;
    let count = "openseat_decision_duration_seconds_count 10";
    assert!(metrics.lines().any(|line| line == count), "{metrics}");
}

#[tokio::test]
async fn every_spelling_of_a_queue_is_answered_unless_it_has_become_ambiguous() {
    let world = World::with(&["main/sales", "other/5450", "third/77"]);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    for path in ["sales", "s%61les", "main/sales", "m%61in/sales"] {
        let path = format!("/v1/queues/{path}/decision");
        let (fast, routed) = caller.asks_both(&path).await;
        assert_eq!((fast.status, &fast), (200, &routed), "{path}");
    }
    for path in ["", "main/", "/sales", "main/sales/sales", "%FF", "sale"] {
        let path = format!("/v1/queues/{path}/decision");
        let (fast, routed) = caller.asks_both(&path).await;
        assert_eq!((fast.status / 100, &fast), (4, &routed), "{path}");
    }
    // CallTools now has a queue of the same name in the other account.
    let named = |queue: &str, name: &str| {
        let (key, name) = (key(queue), Some(name.into()));
        server.board.identify(&key, 5450, name);
    };
    let path = "/v1/queues/sales/decision";
    named("other/5450", "sales");
    let (fast, routed) = caller.asks_both(path).await;
    assert_eq!((fast.status, &fast), (200, &routed));
    assert_eq!(fast.json()["account"], "main", "as the config spells it");
    // Two accounts have a queue of a name that the config does not use.
    let path = "/v1/queues/support/decision";
    named("other/5450", "support");
    let (fast, routed) = caller.asks_both(path).await;
    assert_eq!((fast.status, &fast), (200, &routed));
    named("third/77", "support");
    let (fast, routed) = caller.asks_both(path).await;
    assert_eq!((fast.status, &*fast.problem()), (409, "ambiguous-queue"));
    assert_eq!(fast, routed);
    let path = "/v1/queues/third/support/decision";
    assert_eq!(server.get(path).await.status, 200);
}

#[tokio::test]
async fn more_spellings_than_the_cache_holds_are_still_answered() {
    let world = World::with(&["main/abcdefgh"]);
    world.publish("main/abcdefgh", available(1));
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    for bits in 0..40_u32 {
        let letter = |(place, letter): (usize, char)| match bits >> place & 1 {
            0 => letter.to_string(),
            _ => format!("%{:02x}", letter as u32),
        };
        let name: String = "abcdefgh".chars().enumerate().map(letter).collect();
        let path = format!("/v1/queues/{name}/decision");
        let answer = caller.ask(&path, "Host: localhost\r\n").await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

#[tokio::test]
async fn access_is_checked_with_every_request_of_a_connection() {
    const PATH: &str = "/v1/queues/sales/decision";
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    for (headers, status) in [
        ("Host: evil.example\r\n", 421),
        ("Host: \r\n", 400),
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: user@localhost\r\n", 400),
    ] {
        let mut caller = Caller(server.connect().await);
        assert_eq!(caller.ask(PATH, "Host: localhost\r\n").await.status, 200);
        assert_eq!(
            caller.ask(PATH, headers).await.status,
            status,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn the_token_is_checked_with_every_request_of_a_connection() {
    const PATH: &str = "/v1/queues/sales/decision";
    let mut world = World::with(&["main/sales"]);
    world.bearer = Some("sesame".into());
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let mut caller = Caller(server.connect().await);
    for (token, status) in [("sesame", 200), ("sesamo", 401), ("", 401), ("sesame", 200)] {
        let headers = format!("Host: a.example\r\nAuthorization: Bearer {token}\r\n");
        let answer = caller.ask(PATH, &headers).await;
        assert_eq!(answer.status, status, "{token:?}");
    }
    let answer = caller.ask(PATH, "Host: a.example\r\n").await;
    assert_eq!(answer.status, 401);
}
