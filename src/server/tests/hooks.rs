//! Records that CallTools posts, and what a flood of them does to the budget: nothing.

use std::num::NonZeroU32;

use super::*;
use crate::{
    account::{self, Account, Health, Polled},
    budget::Payer,
    calltools::Client,
    clock::VirtualClock,
    config::{QueueRef, Rule, ScheduleOptions},
    fixtures::available,
    model::agent::AgentId,
    server::{routes::router, serve::access::guarded},
    simulator::{Settings, Simulator, TOKEN as SIMULATED, WorldSettings},
};

const SECRET: &str = "0123456789+/&=#%";

/// As an address bears it.
const SHOWN: &str = "secret=0123456789%2B%2F%26%3D%23%25";

/// A world with two agents in the only queue of an account that takes hooks, and an account that takes none.
fn world() -> (World, AccountEnds) {
    let mut world = World::with(&["main/sales", "Zoë's/sales"]);
    let ends = world.account("main", TOKEN);
    world.accounts[0].hook_secret = Some(Digest::of(SECRET));
    world.account("Zoë's", TOKEN);
    world.publish("main/sales", available(2));
    (world, ends)
}

impl Server {
    async fn post(&self, target: &str, body: &str) -> Answer {
        self.ask_with(target, "", body).await
    }

    async fn ask_with(&self, target: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.raw(&format!(
            "POST {target} HTTP/1.1\r\nHost: openseat.example\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
    }

    async fn hooks_counted(&self) -> Vec<String> {
        let text = self.get("/metrics").await.body;
        let mut lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("openseat_hooks_total{"))
            .map(|line| line.replace('"', ""))
            .collect();
        lines.sort();
        lines
    }
}

fn hint(ends: &mut AccountEnds) -> Option<AgentId> {
    match ends.asks.try_recv().ok()? {
        Ask::Hint { agent } => Some(agent),
        other => panic!("not a hint: {other:?}"),
    }
}

#[tokio::test]
async fn a_record_hints_at_its_agent() {
    let (world, mut ends) = world();
    let server = world.serve().await;
    let target = format!("/v1/hooks/main?{SHOWN}");
    for app_user in [
        r#""id-1""#,
        r#""https://east-1.calltools.io/api/users/id-1/""#,
        r#"{"id": "id-1"}"#,
    ] {
        let record = format!(r#"{{"id": 9, "app_user": {app_user}, "duration": 95}}"#);
        let answer = server.post(&target, &record).await;
        assert_eq!((answer.status, &*answer.body), (204, ""), "{answer:?}");
        assert_eq!(hint(&mut ends), Some(AgentId("id-1".into())));
    }
    assert_eq!(
        server.hooks_counted().await,
        ["account=main,outcome=taken} 3"]
    );
}

#[tokio::test]
async fn what_helps_nobody_is_taken_without_effect() {
    let (world, mut ends) = world();
    let server = world.serve().await;
    let target = format!("/v1/hooks/main?{SHOWN}&proxy=1");
    for record in [r#"{"app_user": "nobody"}"#, r#"{"app_user": null}"#] {
        assert_eq!(server.post(&target, record).await.status, 204, "{record}");
        assert_eq!(hint(&mut ends), None, "{record}");
    }
    // The channel of the tests has room for one.
    for _ in 0..3 {
        let answer = server.post(&target, r#"{"app_user": "id-0"}"#).await;
        assert_eq!(answer.status, 204);
    }
    assert_eq!(hint(&mut ends), Some(AgentId("id-0".into())));
    assert_eq!(hint(&mut ends), None);
    drop(ends);
    let answer = server.post(&target, r#"{"app_user": "id-0"}"#).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        server.hooks_counted().await,
        [
            "account=main,outcome=dropped} 3",
            "account=main,outcome=no_agent} 1",
            "account=main,outcome=taken} 1",
            "account=main,outcome=unknown_agent} 1",
        ]
    );
}

#[tokio::test]
async fn without_the_secret_every_account_looks_alike() {
    let (world, mut ends) = world();
    let server = world.serve().await;
    let record = r#"{"app_user": "id-0"}"#;
    let mut answers = Vec::new();
    for target in [
        "/v1/hooks/main",
        "/v1/hooks/main?secret=",
        "/v1/hooks/main?secret=0123456789%2B%2F%26%3D%23",
        "/v1/hooks/main?secret=0123456789%2B%2F%26%3D%23%25%25",
        "/v1/hooks/main?Secret=0123456789%2B%2F%26%3D%23%25",
        &format!("/v1/hooks/main?{SHOWN}&{SHOWN}"),
        &format!("/v1/hooks/Zo%C3%AB's?{SHOWN}"),
        "/v1/hooks/Zo%C3%AB's?secret=",
        "/v1/hooks/Zo%C3%AB's?secret=no%20secret%20opens%20this",
        &format!("/v1/hooks/nobody?{SHOWN}"),
        "/v1/hooks/nobody?secret=no%20secret%20opens%20this",
        &format!("/v1/hooks/%ff?{SHOWN}"),
    ] {
        let answer = server.post(target, record).await;
        assert_eq!(
            (answer.status, &*answer.problem()),
            (403, "wrong-secret"),
            "{target}"
        );
        assert!(!answer.body.contains("0123456789"), "{answer:?}");
        let mut said = answer.json();
        said["instance"].take();
        answers.push(said);
    }
    assert!(answers.iter().all(|said| *said == answers[0]));
    // Rubbish from strangers is not even looked at.
    let answer = server.post("/v1/hooks/main", "rubbish").await;
    assert_eq!(answer.status, 403);
    assert_eq!(hint(&mut ends), None);
    assert_eq!(
        server.hooks_counted().await,
        [
            "account=Zoë's,outcome=rejected} 3",
            "account=main,outcome=rejected} 7"
        ]
    );
}

#[tokio::test]
async fn rubbish_is_refused_with_words() {
    let (mut world, mut ends) = world();
    world.limits.head = Duration::from_millis(300);
    let server = world.serve().await;
    let target = format!("/v1/hooks/main?{SHOWN}");
    for (body, words) in [
        ("", "not sound JSON"),
        ("app_user=id-0", "not sound JSON"),
        ("[]", "not an object"),
        (r#"{"agent": "id-0"}"#, "no app_user"),
        (r#"{"app_user": []}"#, "not an id"),
    ] {
        let answer = server.post(&target, body).await;
        assert_eq!((answer.status, &*answer.problem()), (400, "bad-request"));
        assert!(answer.body.contains(words), "{answer:?}");
    }
    let long = format!(
        r#"{{"app_user": "id-0", "notes": "{}"}}"#,
        "x".repeat(64 * 1024)
    );
    let answer = server.post(&target, &long).await;
    assert_eq!((answer.status, &*answer.problem()), (413, "body-too-large"));
    let fits = format!(
        r#"{{"app_user": "id-0", "notes": "{}"}}"#,
        "x".repeat(60 * 1024)
    );
    assert_eq!(server.post(&target, &fits).await.status, 204);
    let stuck = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{\"app_user\""
    );
    let answer = server.raw(&stuck).await;
    assert_eq!((answer.status, &*answer.problem()), (408, "slow-request"));
    assert!(hint(&mut ends).is_some() && hint(&mut ends).is_none());
    assert_eq!(
        server.hooks_counted().await,
        [
            "account=main,outcome=taken} 1",
            "account=main,outcome=unreadable} 7"
        ]
    );
}

#[tokio::test]
async fn the_secret_stands_for_bearer_token_host_and_origin() {
    let (mut world, mut ends) = world();
    world.bearer = Some("s3cret".into());
    let server = world.serve().await;
    let (target, record) = (format!("/v1/hooks/main?{SHOWN}"), r#"{"app_user": "id-0"}"#);
    let origin = "Origin: https://east-1.calltools.io\r\n";
    assert_eq!(server.ask_with(&target, origin, record).await.status, 204);
    assert!(hint(&mut ends).is_some());
    // For nothing else.
    for (method, target) in [("GET", &*target), ("POST", "/v1/queues/sales/refresh")] {
        let answer = server.ask(method, target, "").await;
        assert_eq!(answer.status, 401, "{method} {target}");
    }
}

#[tokio::test]
async fn without_a_bearer_token_too_any_host_will_do() {
    let (world, mut ends) = world();
    let server = world.serve().await;
    let target = format!("/v1/hooks/main?{SHOWN}");
    let answer = server.post(&target, r#"{"app_user": "id-0"}"#).await;
    assert_eq!(answer.status, 204, "the host is openseat.example");
    assert!(hint(&mut ends).is_some());
    let answer = server.ask("GET", &target, "").await;
    assert_eq!(
        (answer.status, &*answer.problem()),
        (405, "method-not-allowed")
    );
    assert_eq!(answer.header("allow"), Some("POST"));
}

/// An hour of an account that polls the simulated CallTools in virtual time, while so many records come in bursts.
struct Hour {
    requests: u64,
    /// Those of them that asked for one queue.
    polls: usize,
    worst: usize,
}

/// Twice as many as there are slots to poll in.
const BURSTS: u32 = 2_000;

async fn hour_with(records: u32) -> Hour {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let simulator = Simulator::new(
        Settings::new(WorldSettings::still(4, 20)),
        Arc::clone(&clock),
    );
    let queues = simulator.world(|world| {
        let queues = world.queues().iter().map(|queue| queue.id);
        queues.collect::<Vec<_>>()
    });
    let agents: Vec<_> = simulator.world(|world| {
        let agents = queues.iter().flat_map(|queue| world.agents_of(*queue));
        agents.map(|agent| agent.to_string()).collect()
    });
    let keys: Vec<_> = queues
        .iter()
        .map(|queue| QueueKey::new("main", queue.to_string()))
        .collect();
    let policy = Policy {
        threshold: Some(Quantity::ZERO),
        max_age: Some(MAX_AGE),
        on_unknown: OnUnknown::Reject,
    };
    let board = Arc::new(Board::new(keys.clone()));
    let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
    let limit = NonZeroU32::new(1000).expect("it is not 0");
    let budget = Arc::new(Budget::in_memory(limit, 50, Arc::clone(&clock)));
    let (names, named) = watch::channel(Arc::default());
    let (health, healths) = watch::channel(Health::default());
    let (asks, wishes) = mpsc::channel(64);
    let account = Account::new(account::Parts {
        payer: Payer {
            account: "main".to_owned(),
            identity: String::new(),
        },
        queues: keys
            .iter()
            .zip(&queues)
            .map(|(key, id)| Polled {
                key: key.clone(),
                reference: QueueRef::Id(*id),
                rule: Rule::Seats {
                    forgotten_after: None,
                },
                threshold: Some(Quantity::ZERO),
                max_age: None,
            })
            .collect(),
        options: ScheduleOptions {
            idle_pace: 1.0,
            ..ScheduleOptions::default()
        },
        client: Client::new(
            simulator.transport(SIMULATED),
            Arc::clone(&budget),
            Arc::clone(&clock),
            Arc::new(()),
        ),
        budget: Arc::clone(&budget),
        board: Arc::clone(&board),
        metrics: Arc::clone(&metrics),
        reservations: Arc::default(),
        store: None,
        known: Default::default(),
        clock: Arc::clone(&clock),
        names,
        health,
        asks: wishes,
        token: None,
        pulse: crate::process::pulse::Pulses::default().begin("main"),
    });
    let app = Arc::new(App::new(Parts {
        board,
        policies: keys.iter().map(|key| (key.clone(), policy)).collect(),
        patience: HashMap::new(),
        accounts: vec![AccountHandle {
            name: "main".into(),
            token: watch::channel(None).1,
            hook_secret: Some(Digest::of(SECRET)),
            budget,
            names: named,
            health: healths,
            asks,
        }],
        metrics,
        reservations: Arc::default(),
        clock,
        state: None,
        bearer: None,
        allowed_hosts: Vec::new(),
        tls: None,
        limits: Limits::with_connections(1),
        stopping: CancellationToken::new(),
        pulses: Default::default(),
        reloads: None,
        control: axum::Router::new(),
    }));
    let router = router(app);
    let stop = CancellationToken::new();
    let task = tokio::spawn(account.run(stop.clone()));
    let mut agent = agents.iter().cycle();
    for _ in 0..BURSTS {
        for _ in 0..records / BURSTS {
            let agent = agent.next().expect("there are agents");
            let record = format!(r#"{{"app_user": "{agent}"}}"#);
            let request = http::Request::post(format!("/v1/hooks/main?{SHOWN}"));
            let answer = guarded(&router, request.body(record.into()).expect("a request")).await;
            assert_eq!(answer.status(), 204);
        }
        tokio::time::sleep(Duration::from_secs(3600) / BURSTS).await;
    }
    stop.cancel();
    task.await.expect("no panic").expect("it ends well");
    Hour {
        requests: simulator.requests(),
        polls: simulator
            .received()
            .iter()
            .filter(|request| request.target.contains("queue="))
            .count(),
        worst: simulator.worst_sliding_hour(),
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_records_in_an_hour_cost_no_request() {
    let (calm, flooded) = (hour_with(0).await, hour_with(10_000).await);
    assert!(calm.requests > 800, "{}", calm.requests);
    assert!(flooded.worst <= 1000, "{}", flooded.worst);
    let differ = calm.requests.abs_diff(flooded.requests);
    assert!(
        differ * 50 <= calm.requests,
        "{} requests without records and {} with them",
        calm.requests,
        flooded.requests
    );
    assert!(
        flooded.polls * 4 >= calm.polls * 3,
        "{} polls without records and {} with them",
        calm.polls,
        flooded.polls
    );
}
