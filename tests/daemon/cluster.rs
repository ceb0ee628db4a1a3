//! Three daemons of one account, each a process, with a real Redis between them and a CallTools that counts.

mod claims;
mod configs;
mod cuts;
mod engines;
mod leaders;
mod password;
mod secure;
mod shared;
mod spent;
mod way;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use openseat::{cluster::local::LocalEngine, simulator::TOKEN};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use self::way::Way;
use crate::support::{
    Answer, CallTools, Lateness, Program, TestFolder, Time, ask, get, known, post, post_json, soon,
};

/// The shortest that a config may have.
const LEASE: Duration = Duration::from_secs(3);

/// The hour's requests, as a node counts them.
const USED: &str = "openseat_budget_used_requests{account=\"main\"}";

/// How long after the end of the lease the next leader may poll.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(2);

/// Requests that are under way when the leader is killed arrive within this time. The next leader needs more than two seconds.
const UNDER_WAY: Duration = Duration::from_secs(1);

fn start() -> LocalEngine {
    LocalEngine::start().expect("redis-server, of Debian's package of that name")
}

fn signal(redis: &LocalEngine, signal: Signal) {
    let pid = Pid::from_raw(redis.id() as i32).expect("a process has an id");
    kill_process(pid, signal).expect("the process runs");
}

/// `[cluster]` of a node.
fn cluster(url: &str, number: usize, more: &str) -> String {
    format!("\n[cluster]\nurl = \"{url}\"\nlease = \"3s\"\nnode = \"node-{number}\"\n{more}\n")
}

struct Node {
    home: TestFolder,
    config: PathBuf,
    program: Option<Program>,
    address: SocketAddr,
}

impl Node {
    async fn start(
        redis: &LocalEngine,
        calltools: &CallTools,
        number: usize,
        account: &str,
    ) -> Self {
        Self::start_at(&redis.url(), calltools, number, account).await
    }

    async fn start_at(url: &str, calltools: &CallTools, number: usize, account: &str) -> Self {
        Self::start_with(url, calltools, number, account, "").await
    }

    /// The same with an additional line in `[cluster]`.
    async fn start_with(
        url: &str,
        calltools: &CallTools,
        number: usize,
        account: &str,
        more: &str,
    ) -> Self {
        let home = TestFolder::new();
        home.set_token("main", TOKEN);
        let account = calltools.account_with(account, "max_age = \"60s\"");
        Self::run(home, cluster(url, number, more), &account).await
    }

    /// Starts with this config.
    async fn run(home: TestFolder, cluster: String, accounts: &str) -> Self {
        let config = home.config(&[cluster, accounts.to_owned()]);
        let program = Program::run(&home, &config);
        let address = program.address().await;
        Self {
            home,
            config,
            program: Some(program),
            address,
        }
    }

    fn kill(&mut self) {
        self.program = None;
    }

    async fn start_again(&mut self) {
        let program = Program::run(&self.home, &self.config);
        self.address = program.address().await;
        self.program = Some(program);
    }

    fn signal(&self, signal: Signal) {
        self.program
            .as_ref()
            .expect("the process runs")
            .signal(signal);
    }

    async fn decision(&self) -> Value {
        get(self.address, "/v1/queues/sales/decision").await.json()
    }

    async fn metric(&self, sample: &str) -> Option<f64> {
        let text = get(self.address, "/metrics").await.body;
        let line = text.lines().find_map(|line| line.strip_prefix(sample));
        line.and_then(|value| value.trim().parse().ok())
    }

    async fn leads(&self) -> bool {
        let sample = "openseat_cluster_leader{account=\"main\"}";
        self.metric(sample).await == Some(1.0)
    }
}

/// Requests a seat in `sales` as a router does: it repeats the request after a 503. On a busy machine, the leader's answer may take longer than
/// a node waits.
async fn reserve(address: SocketAddr, body: &str) -> Answer {
    let mut answer = None;
    soon("the leader answers", async || {
        let response = post_json(address, "/v1/queues/sales/reservations", body).await;
        let is_answered = response.status != 503;
        answer = Some(response);
        if !is_answered {
            // A hundred callers that retry at once would keep the leader busy.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        is_answered
    })
    .await;
    answer.expect("checked above")
}

/// Whether a seat is held for the call: by this request, or by one whose answer came too late.
fn holds(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 201)
}

/// Three nodes that all know the queue, the leader first.
async fn three(redis: &LocalEngine, calltools: &CallTools, account: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..3 {
        nodes.push(Node::start(redis, calltools, number, account).await);
    }
    for node in &nodes {
        soon("every node knows the queue", async || {
            known(&node.decision().await)
        })
        .await;
    }
    let leader = leader(&nodes).await;
    nodes.swap(0, leader);
    nodes
}

async fn leader(nodes: &[Node]) -> usize {
    let mut found = None;
    soon("one node leads", async || {
        for (place, node) in nodes.iter().enumerate() {
            if node.program.is_some() && node.leads().await {
                found = Some(place);
            }
        }
        found.is_some()
    })
    .await;
    found.expect("checked above")
}

/// Asserts that the leader counts at least what CallTools got.
async fn leader_counts_all(nodes: &[Node], calltools: &CallTools) {
    let leader = &nodes[leader(nodes).await];
    let got = calltools.simulator.requests() as f64;
    let used = leader.metric(USED).await;
    assert!(used >= Some(got), "{used:?} of {got}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn followers_answer_and_one_takes_over_when_the_leader_is_killed() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let mut nodes = three(&redis, &calltools, "").await;
    for node in &nodes {
        let decision = node.decision().await;
        assert_eq!(decision["count"], 2, "{decision}");
        assert_eq!(node.metric("openseat_cluster_up").await, Some(1.0));
        assert_eq!(node.metric("openseat_cluster_nodes").await, Some(3.0));
    }
    // CallTools' own clock says when the next poll came. A busy machine delays every step, so the delay that the test has seen meanwhile is added.
    // The bound without it is tested in virtual time, by `a_killed_leader_is_replaced_and_all_decisions_stay_known`.
    let (killed, lateness) = (calltools.simulator.now(), Lateness::watch());
    nodes[0].kill();
    let next = || {
        let received = calltools.simulator.received();
        let mut times = received.iter().map(|one| one.at);
        times.find(|at| *at > killed + UNDER_WAY)
    };
    soon("polls to continue", async || {
        for node in &nodes[1..] {
            let decision = node.decision().await;
            assert!(known(&decision), "{decision}");
        }
        next().is_some()
    })
    .await;
    let (elapsed, late) = (next().expect("checked above") - killed, lateness.sum());
    assert!(
        elapsed <= LEASE + TAKES_OVER_WITHIN + late,
        "took {elapsed:?} on a machine that was late by {late:?}"
    );
    leader_counts_all(&nodes, &calltools).await;
    // The other node gets what the new leader reads.
    calltools.set_status(0, "On a Call");
    for node in &nodes[1..] {
        soon("the change is known", async || {
            node.decision().await["count"] == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn three_of_a_hundred_calls_on_three_nodes_get_the_three_seats() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    calltools.add_agent("Cid");
    let nodes = three(&redis, &calltools, "").await;
    let ask = |call: usize| {
        let address = nodes[call % 3].address;
        let body = format!("{{\"call_id\":\"call-{call}\",\"ttl\":\"5m\"}}");
        async move { reserve(address, &body).await }
    };
    let answers = join_all((0..100).map(ask)).await;
    let made: Vec<usize> = (0..100).filter(|call| holds(&answers[*call])).collect();
    assert_eq!(made.len(), 3);
    let others = answers.iter().filter(|answer| !holds(answer));
    others.for_each(|answer| assert_eq!(answer.status, 409, "{answer:?}"));
    let id = answers[made[0]].json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // Another node returns the call's existing reservation.
    let elsewhere = nodes[(made[0] + 1) % 3].address;
    let target = format!(
        "/v1/queues/sales/decision?reserve=45s&call_id=call-{}",
        made[0]
    );
    soon("it gets its own", async || {
        get(elsewhere, &target).await.json()["reservation"]["id"] == *id
    })
    .await;
    // Released there, the seat is free on every node.
    let release = format!("/v1/reservations/{id}/release");
    soon("the leader answers", async || {
        post(elsewhere, &release).await.status != 503
    })
    .await;
    for node in &nodes {
        soon("one seat is left", async || {
            node.decision().await["capacity"] == 1
        })
        .await;
    }
}

/// How long ago a node had read the whole log.
const LAG: &str = "openseat_cluster_lag_seconds{account=\"main\"}";

/// Whether a text names two nodes, of which the first leads. It also says how many entries each was behind when it last reported.
fn names_both(text: &str) -> bool {
    text.contains("node-0 leads; nodes: node-0") && text.contains("node-1")
}

/// What a command prints that asks this node.
fn openseat(node: &Node, command: &str) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_openseat"))
        .args([command, "--config"])
        .arg(&node.config)
        .env_clear()
        .current_dir(node.home.path())
        .output();
    let output = output.expect("the program runs");
    String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
}

/// What a node says about its cluster: its probe, its overview, and `openseat status`.
async fn shown(node: &Node) -> [String; 3] {
    [
        get(node.address, "/readyz?verbose").await.body,
        ask(node.address, "GET", "/", "Accept: text/html\r\n")
            .await
            .body,
        openseat(node, "status"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_node_that_is_cut_off_answers_from_memory_and_recovers_by_itself() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let way = Way::to(&redis).await;
    let near = Node::start(&redis, &calltools, 0, "").await;
    soon("it leads", || near.leads()).await;
    let far = Node::start_at(&way.url, &calltools, 1, "").await;
    soon("it follows", async || known(&far.decision().await)).await;

    let lag = async || far.metric(LAG).await.expect("it has read the log");
    soon("it is up to date", async || lag().await < 2.0).await;
    let spent = calltools.simulator.requests();
    let check = openseat(&far, "check");
    assert!(check.contains("sent by the running daemon"), "{check}");
    assert!(check.contains("accept"), "{check}");
    assert!(calltools.simulator.requests() > spent);
    leader_counts_all(std::slice::from_ref(&near), &calltools).await;

    way.cut.send_replace(true);
    soon("the cut is seen", async || {
        far.metric("openseat_cluster_up").await == Some(0.0)
    })
    .await;
    let (asked, before) = (Instant::now(), far.decision().await);
    let early = lag().await;
    calltools.set_status(0, "On a Call");
    assert_eq!(
        post(near.address, "/v1/queues/sales/refresh").await.status,
        200
    );
    assert_eq!(near.decision().await["count"], 1);
    // Longer than the lease, so that a node which believed that nobody leads would have taken over.
    tokio::time::sleep_until(asked + LEASE + Duration::from_secs(1)).await;
    let later = far.decision().await;
    assert_eq!((known(&later), &later["count"]), (true, &2.into()));
    let age = |decision: &Value| decision["age_ms"].as_u64().expect("an age");
    assert!(age(&later) >= age(&before) + 3_500, "{before} {later}");
    let late = lag().await;
    assert!(late >= early + 3.5, "{early} {late}");
    for shown in shown(&far).await {
        assert!(names_both(&shown), "{shown}");
        assert!(
            shown.contains("cluster's engine does not answer"),
            "{shown}"
        );
    }
    let reserve = post_json(
        far.address,
        "/v1/queues/sales/reservations",
        "{\"call_id\":\"call\"}",
    );
    assert_eq!(reserve.await.status, 503);

    way.cut.send_replace(false);
    soon("it has caught up", async || {
        far.decision().await["count"] == 1
    })
    .await;
    assert_eq!(far.metric("openseat_cluster_up").await, Some(1.0));
    for node in [&near, &far] {
        soon("it is up to date, and says so", async || {
            let shown = shown(node).await;
            let is_current = |text: &String| text.contains("this node is up to date");
            lag().await < 2.0
                && shown
                    .iter()
                    .all(|text| names_both(text) && is_current(text))
        })
        .await;
    }
    let log = far.program.as_ref().expect("the process runs").log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("the cluster's engine is lost"), 1, "{log}");
    // It sent nothing to CallTools, neither while it was cut off nor to catch up.
    assert!(near.leads().await && !far.leads().await);
    let metrics = get(far.address, "/metrics").await.body;
    let sent = metrics
        .lines()
        .filter(|line| line.starts_with("openseat_upstream_requests_total{"))
        .filter(|line| !line.ends_with(" 0"));
    assert_eq!(sent.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_seat_held_through_one_node_is_free_on_all_when_it_expires() {
    // Longer than a busy machine needs to tell all nodes.
    const TTL: Duration = Duration::from_secs(10);
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let nodes = three(&redis, &calltools, "").await;
    let body = "{\"call_id\":\"call\",\"ttl\":\"10s\"}";
    let asked = Instant::now();
    let made = reserve(nodes[1].address, body).await;
    assert!(holds(&made), "{made:?}");
    for node in [&nodes[0], &nodes[2]] {
        soon("the seat is held", async || {
            node.decision().await["capacity"] == 1
        })
        .await;
    }
    for node in &nodes {
        soon("the seat is free", async || {
            node.decision().await["capacity"] == 2
        })
        .await;
        assert!(asked.elapsed() >= TTL);
    }
    let again = reserve(nodes[2].address, body).await;
    assert!(holds(&again), "{again:?}");
    assert_ne!(again.json()["id"], made.json()["id"]);
}
