//! Three daemons of one account, each a process, with a real Redis between them and a CallTools that counts.

mod claims;
mod configs;
mod cuts;
mod engines;
mod leaders;
mod password;
mod refreshed;
mod secure;
mod shared;
mod spent;
mod way;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use openseat::{cluster::local::LocalEngine, simulator::TOKEN};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use self::way::Way;
use crate::support::{
    Answer, CallTools, Lateness, Program, TestFolder, Time, ask, ask_within, get, known, post,
    post_json, soon, waited,
};

/// The shortest that a config may have.
const LEASE: Duration = Duration::from_secs(3);

/// The hour's requests, as a node counts them.
const USED: &str = "openseat_budget_used_requests{account=\"main\"}";

/// Requests that are under way when the leader is killed arrive within this time. The next leader needs more than two seconds.
const UNDER_WAY: Duration = Duration::from_secs(1);

fn start() -> LocalEngine {
    LocalEngine::start().expect("redis-server, of Debian's package of that name")
}

fn pid(redis: &LocalEngine) -> Pid {
    Pid::from_raw(redis.id() as i32).expect("a process has an id")
}

fn signal(redis: &LocalEngine, signal: Signal) {
    kill_process(pid(redis), signal).expect("the process runs");
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
    /// The address while it runs, for those who ask it on and on.
    place: watch::Sender<Option<SocketAddr>>,
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
            place: watch::Sender::new(Some(address)),
        }
    }

    fn kill(&mut self) {
        self.place.send_replace(None);
        self.program = None;
    }

    async fn start_again(&mut self) {
        let program = Program::run(&self.home, &self.config);
        self.address = program.address().await;
        self.place.send_replace(Some(self.address));
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

    /// How many requests it has sent to CallTools.
    async fn sent(&self) -> f64 {
        let metrics = get(self.address, "/metrics").await.body;
        let samples = metrics
            .lines()
            .filter(|line| line.starts_with("openseat_upstream_requests_total{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        samples.sum()
    }

    async fn leads(&self) -> bool {
        let sample = "openseat_cluster_leader{account=\"main\"}";
        self.metric(sample).await == Some(1.0)
    }

    /// The newest epoch that it knows: each leader has a later one. Zero before it knows any.
    async fn epoch(&self) -> f64 {
        let sample = "openseat_cluster_epoch{account=\"main\"}";
        self.metric(sample).await.unwrap_or_default()
    }

    /// Waits until the engine answers it: one late answer counts as a loss until the next answer.
    async fn reaches_the_engine(&self) {
        soon("the engine answers", async || {
            self.metric("openseat_cluster_up").await == Some(1.0)
        })
        .await;
    }

    /// Refreshes `sales`, and repeats that while the answer is an error: a paused leader or engine costs an answer.
    async fn is_refreshed(&self) {
        soon("it is refreshed", async || {
            post(self.address, "/v1/queues/sales/refresh").await.status == 200
        })
        .await;
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

/// Waits until every node knows the queue.
async fn all_know(nodes: &[Node]) {
    for node in nodes {
        soon("the node knows the queue", async || {
            known(&node.decision().await)
        })
        .await;
    }
}

/// Three nodes that all know the queue, the leader first.
async fn three(redis: &LocalEngine, calltools: &CallTools, account: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..3 {
        nodes.push(Node::start(redis, calltools, number, account).await);
    }
    all_know(&nodes).await;
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
        node.reaches_the_engine().await;
        // A node hears of another one with that one's next beat.
        soon("it sees all nodes", async || {
            node.metric("openseat_cluster_nodes").await == Some(3.0)
        })
        .await;
    }
    // CallTools' own clock says when the next poll came. How soon that is depends on the machine here: the bound is tested in virtual time, by
    // `a_killed_leader_is_replaced_and_all_decisions_stay_known`.
    let killed = calltools.simulator.now();
    nodes[0].kill();
    let has_polled = || {
        let received = calltools.simulator.received();
        received.iter().any(|one| one.at > killed + UNDER_WAY)
    };
    soon("polls to continue", async || {
        for node in &nodes[1..] {
            let decision = node.decision().await;
            assert!(known(&decision), "{decision}");
        }
        has_polled()
    })
    .await;
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

/// How many lines of a node's log have these words.
fn lines(node: &Node, words: &str) -> usize {
    let log = node.program.as_ref().expect("the process runs").log();
    log.lines().filter(|line| line.contains(words)).count()
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
    // Each request of a check waits at most 1 s for the leader, which counts it.
    soon(
        "a check whose requests the leader counts in time",
        async || {
            let check = openseat(&far, "check");
            check.contains("sent by the running daemon") && check.contains("accept")
        },
    )
    .await;
    assert!(calltools.simulator.requests() > spent);
    leader_counts_all(std::slice::from_ref(&near), &calltools).await;

    // A pause may lose the engine as well, before the cut and after it.
    let losses = || lines(&far, "the cluster's engine is lost");
    let before_the_cut = losses();
    way.cut.send_replace(true);
    soon("the cut is seen and logged", async || {
        far.metric("openseat_cluster_up").await == Some(0.0) && losses() > before_the_cut
    })
    .await;
    let logged = losses();
    let before = far.decision().await;
    let early = lag().await;
    let asked = Instant::now();
    calltools.set_status(0, "On a Call");
    near.is_refreshed().await;
    assert_eq!(near.decision().await["count"], 1);
    // Longer than the lease, so that a node which believed that nobody leads would have taken over.
    tokio::time::sleep_until(asked + LEASE + Duration::from_secs(1)).await;
    let later = far.decision().await;
    assert_eq!((known(&later), &later["count"]), (true, &2.into()));
    let age = |decision: &Value| decision["age_ms"].as_u64().expect("an age");
    assert!(age(&later) >= age(&before) + 3_500, "{before} {later}");
    let late = lag().await;
    assert!(late >= early + 3.5, "{early} {late}");
    assert_eq!(losses(), logged, "it is logged once");
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
    far.reaches_the_engine().await;
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
    // It sent nothing to CallTools, neither while it was cut off nor to catch up. A leader that was paused says that it leads once it has renewed.
    soon("the other one leads", || near.leads()).await;
    assert!(!far.leads().await);
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
    // Longer than a busy machine needs to tell all nodes, also if one of them is paused for seconds.
    const TTL: Duration = Duration::from_secs(30);
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let nodes = three(&redis, &calltools, "").await;
    let body = "{\"call_id\":\"call\",\"ttl\":\"30s\"}";
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
