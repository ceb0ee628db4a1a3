use super::{watching::within, *};
use crate::{fixtures::available, server::serve_agent_checks};

/// Long enough for a machine that is busy with other tests, short enough to notice a hang.
const TIMEOUT: Duration = Duration::from_secs(20);

/// HAProxy's side of an agent-check.
struct Agent {
    address: SocketAddr,
    server: Server,
}

impl Agent {
    async fn with_world(world: World) -> Self {
        let server = world.serve().await;
        let listener = bind(&Listen::Tcp(([127, 0, 0, 1], 0).into())).await;
        let listener = listener.expect("a free port is free");
        let address = listener.local_addr().expect("the server listens on TCP");
        let (current, stop) = (server.current.clone(), server.stop.clone());
        tokio::spawn(serve_agent_checks(listener, current, stop));
        Self { address, server }
    }

    /// Sends these bytes, and reads until the agent closes.
    async fn check(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("the server listens");
        stream
            .write_all(line.as_bytes())
            .await
            .expect("the connection is open");
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(TIMEOUT, stream.read_to_string(&mut text)).await;
    // A client that is cut while it is still sending gets an error, which is an end too.
    let _ = read.expect("no timeout");
    text
}

#[tokio::test]
async fn a_queues_weight_is_its_number_of_seats() {
    let world = World::with(&["main/sales", "main/support"]);
    world.publish("main/sales", available(3));
    world.publish("main/support", available(0));
    let agent = Agent::with_world(world).await;
    assert_eq!(agent.check("sales\n").await, "up 300%\n");
    assert_eq!(agent.check("main/sales\r\n").await, "up 300%\n");
    assert_eq!(agent.check("support\n").await, "up 0%\n");
}

#[tokio::test]
async fn an_unknown_queue_follows_on_unknown() {
    let mut world = World::with(&["main/careful", "main/bold"]);
    world.policy("main/bold").on_unknown = OnUnknown::Accept;
    let agent = Agent::with_world(world).await;
    assert_eq!(agent.check("careful\n").await, "up 0%\n");
    assert_eq!(agent.check("bold\n").await, "up 100%\n");
}

#[tokio::test]
async fn an_unconfigured_queue_is_down_with_the_cause() {
    let agent = Agent::with_world(World::with(&["one/sales", "two/sales"])).await;
    for (line, expected) in [
        ("slaes\n", "fail #no such queue"),
        ("\n", "fail #no such queue"),
        ("ready\n", "fail #no such queue"),
        ("sales\n", "fail #more than one queue"),
    ] {
        let answer = agent.check(line).await;
        assert!(answer.starts_with(expected), "{line}: {answer}");
        assert_eq!(answer.lines().count(), 1);
    }
}

#[tokio::test]
async fn a_check_is_counted_as_a_decision() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    let metrics = world.metrics.clone();
    let agent = Agent::with_world(world).await;
    agent.check("sales\n").await;
    let text = metrics_text(&metrics);
    let counted = text.lines().any(|line| {
        line.starts_with("openseat_decisions_total{")
            && line.contains("reason=\"seats\"")
            && line.ends_with(" 1")
    });
    assert!(counted, "{text}");
}

#[tokio::test]
async fn an_endless_line_is_cut_by_length_or_by_time() {
    let mut world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    // Long enough for a whole line on a busy machine.
    world.limits.head = Duration::from_secs(5);
    let metrics = world.metrics.clone();
    let agent = Agent::with_world(world).await;
    assert_eq!(agent.check(&"a".repeat(100_000)).await, "");
    assert!(!dropped(&metrics, "slow_request", 1));
    let silent = tokio::join!(agent.check(""), agent.check("sales"));
    assert_eq!((&*silent.0, &*silent.1), ("", ""));
    assert!(dropped(&metrics, "slow_request", 2));
    assert_eq!(agent.check("sales\n").await, "up 100%\n");
}

#[tokio::test]
async fn checks_and_requests_share_the_connections() {
    let mut world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    world.limits.connections = 1;
    let agent = Agent::with_world(world).await;
    let holding = agent.server.connect().await;
    // The connection counts once the server has accepted it.
    within(async { while !agent.check("sales\n").await.is_empty() {} }).await;
    drop(holding);
    let answer = within(async {
        loop {
            let answer = agent.check("sales\n").await;
            if !answer.is_empty() {
                break answer;
            }
        }
    });
    assert_eq!(answer.await, "up 100%\n");
}

#[tokio::test]
async fn a_check_at_zero_seats_is_no_call() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(0));
    let agent = Agent::with_world(world).await;
    assert_eq!(agent.check("sales\n").await, "up 0%\n");
    let at_zero_seats = || {
        let meters = agent.server.app.metrics.queue(&key("main/sales"));
        meters.expect("the queue is counted").at_zero_seats()
    };
    assert_eq!(at_zero_seats(), (0, 0));
    agent.server.get("/v1/queues/sales/decision").await;
    assert_eq!(at_zero_seats(), (1, 0));
}
