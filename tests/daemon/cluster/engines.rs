//! Engines with several servers: behind Sentinel, with replicas that must confirm, and as a Redis Cluster.

use std::{
    net::TcpListener as StdListener,
    process::{Child, Command, Stdio},
};

use openseat::cluster::{
    command::{Command as EngineCommand, Reply},
    engine::{Address, Engine as _, EngineError, RedisEngine},
    local::LocalEngine,
};

use super::*;

/// Ports below the system's ephemeral ports, so that no connection of another test has one.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port that is free now.
fn port() -> u16 {
    loop {
        let port = fastrand::u16(PORTS);
        if StdListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How many ports to try. One in a thousand is taken between the look and its use.
const TRIES: usize = 5;

/// Starts something at a free port, given the port. If another process has taken the port meanwhile, it returns `None` and gets another.
pub async fn at_a_port<T>(start: impl AsyncFn(u16) -> Option<T>) -> (T, u16) {
    for _ in 0..TRIES {
        let port = port();
        if let Some(started) = start(port).await {
            return (started, port);
        }
    }
    panic!("{TRIES} ports were taken");
}

/// A server at a port, with additional lines in its `redis.conf`.
fn server_at(port: u16, more: &str) -> LocalEngine {
    let more = format!("--port {port} {more}");
    let arguments: Vec<_> = more.split_whitespace().collect();
    LocalEngine::with(&arguments).expect("redis-server, of Debian's package of that name")
}

/// A server at a free port, with additional lines in its `redis.conf`, once it answers.
async fn server(more: &str) -> (LocalEngine, u16) {
    at_a_port(async |port| {
        let server = server_at(port, more);
        let answers = || redis_cli(&server, &["ping"]).is_some();
        is_up(server.id(), answers).await.then_some(server)
    })
    .await
}

/// Waits until a process answers. Returns false if it ends instead: its port was taken.
pub async fn is_up(process: u32, answers: impl Fn() -> bool) -> bool {
    let mut up = false;
    soon("a server answers or ends", async || {
        up = answers();
        up || has_ended(process)
    })
    .await;
    up
}

/// Whether a child process has ended; it stays a zombie until its parent asks.
fn has_ended(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    status.is_ok_and(|status| status.contains("State:\tZ"))
}

/// Sends a command to a server until the answer has these words.
async fn until_it_says(server: &LocalEngine, command: &[&str], words: &str) {
    soon(words, async || {
        redis_cli(server, command).is_some_and(|answer| answer.contains(words))
    })
    .await;
}

/// A server's answer, as `redis-cli` prints it.
pub fn redis_cli(server: &LocalEngine, command: &[&str]) -> Option<String> {
    let mut cli = Command::new("redis-cli");
    cli.arg("-s").arg(server.socket()).args(command);
    let output = cli.stderr(Stdio::null()).output().expect("redis-cli");
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A process that the test has started. Dropping it is `kill -9`.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A master, its replica, and three Sentinels, which notice within five seconds that the master is gone: a busy machine
/// answers late, and a shorter time begins fail-overs that the test did not ask for.
struct Watched {
    servers: Vec<LocalEngine>,
    ports: Vec<u16>,
    sentinels: Vec<u16>,
    _processes: Vec<Killed>,
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn start() -> Self {
        let (master, master_port) = server("").await;
        let of_master = format!("--replicaof 127.0.0.1 {master_port}");
        let (replica, replica_port) = server(&of_master).await;
        let folder = tempfile::tempdir().expect("a folder");
        until_it_says(&replica, &["info", "replication"], "master_link_status:up").await;
        let run = async |at| {
            let config = folder.path().join(format!("{at}.conf"));
            let text = format!(
                "port {at}\ndir {}\nsentinel monitor calls 127.0.0.1 {} 2\nsentinel down-after-milliseconds calls 5000\nsentinel failover-timeout calls 6000\n",
                folder.path().display(),
                master_port
            );
            std::fs::write(&config, text).expect("a config");
            let mut sentinel = Command::new("redis-server");
            let sentinel = sentinel.arg(config).arg("--sentinel");
            let sentinel = sentinel.stdout(Stdio::null()).spawn().expect("a Sentinel");
            let answers = || ask_sentinel(at, &["ping"]).contains("PONG");
            let sentinel = Killed(sentinel);
            is_up(sentinel.0.id(), answers).await.then_some(sentinel)
        };
        let (mut processes, mut sentinels) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (process, at) = at_a_port(&run).await;
            processes.push(process);
            sentinels.push(at);
        }
        let watched = Self {
            servers: vec![master, replica],
            ports: vec![master_port, replica_port],
            sentinels,
            _processes: processes,
            _folder: folder,
        };
        soon("Sentinels know each other and the replica", async || {
            watched.sentinels.iter().all(|at| {
                let reply = ask_sentinel(*at, &["sentinel", "master", "calls"]);
                reply.contains("num-slaves\n1\n") && reply.contains("num-other-sentinels\n2\n")
            })
        })
        .await;
        watched
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self
            .sentinels
            .iter()
            .map(|at| format!("127.0.0.1:{at}"))
            .collect();
        format!("redis-sentinel://{}/calls", hosts.join(","))
    }
}

fn ask_sentinel(port: u16, command: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    cli.arg("-p").arg(port.to_string()).args(command);
    let output = cli.stderr(Stdio::null()).output().expect("redis-cli");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Refreshes the queue on every node until CallTools gets another request, and all nodes know its answer.
async fn polls_continue(nodes: &[Node], calltools: &CallTools, limit: usize) {
    let before = calltools.simulator.requests();
    for node in nodes {
        soon(
            "polls to continue, and every node to learn of it",
            async || {
                // A request to a leader that is gone would wait for half a minute.
                let refresh = post(node.address, "/v1/queues/sales/refresh");
                let _ = tokio::time::timeout(Duration::from_secs(2), refresh).await;
                calltools.simulator.requests() > before && known(&node.decision().await)
            },
        )
        .await;
    }
    assert!(calltools.simulator.requests() as usize <= limit);
    assert_eq!(calltools.simulator.throttled(), 0);
    leader_counts_all(nodes, calltools).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn polls_continue_after_a_planned_or_unplanned_fail_over_and_the_limit_holds() {
    const LIMIT: usize = 120;
    let (mut watched, time) = (Watched::start().await, Time::new());
    let calltools = CallTools::start(&time).await;
    let account = format!("requests_per_hour = {LIMIT}\nreserve = 50");
    let mut nodes = Vec::new();
    for number in 0..2 {
        let url = watched.url();
        nodes.push(Node::start_with(&url, &calltools, number, &account, "replicas = 1").await);
    }
    all_know(&nodes).await;
    let body = "{\"call_id\":\"call\",\"ttl\":\"5m\"}";
    assert!(holds(&reserve(nodes[1].address, body).await));

    // Planned: the old master becomes a replica of the new one.
    soon("a fail-over begins", async || {
        ask_sentinel(watched.sentinels[0], &["sentinel", "failover", "calls"]).contains("OK")
    })
    .await;
    // On a slow machine, Sentinel may give it up, after six seconds.
    soon("the replica is the master", async || {
        let role = redis_cli(&watched.servers[1], &["info", "replication"]);
        let is_done = role.is_some_and(|role| role.contains("role:master"));
        if !is_done {
            ask_sentinel(watched.sentinels[0], &["sentinel", "failover", "calls"]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        is_done
    })
    .await;
    until_it_says(
        &watched.servers[0],
        &["info", "replication"],
        "master_link_status:up",
    )
    .await;
    polls_continue(&nodes, &calltools, LIMIT).await;

    // By kill -9: nothing is sent until the configured number of replicas confirms again.
    let port = watched.ports[1];
    watched.servers[1].kill();
    until_it_says(&watched.servers[0], &["info", "replication"], "role:master").await;
    let of_old = format!("--replicaof 127.0.0.1 {}", watched.ports[0]);
    watched.servers[1] = server_at(port, &of_old);
    polls_continue(&nodes, &calltools, LIMIT).await;
    for node in &nodes {
        soon("the seat is still held", async || {
            node.decision().await["capacity"] == 1
        })
        .await;
    }
}

/// Repeats a command until it is answered: on a busy machine an answer may take longer than an engine waits.
async fn answered(engine: &RedisEngine, account: &str, command: &EngineCommand) -> Reply {
    let mut reply = None;
    soon("the engine answers", async || {
        reply = engine.run(account, command).await.ok();
        reply.is_some()
    })
    .await;
    reply.expect("checked above")
}

#[tokio::test]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_write_counts_once_all_replicas_have_it() {
    let (master, at) = server("").await;
    let (mut replica, _) = server(&format!("--replicaof 127.0.0.1 {at}")).await;
    until_it_says(&replica, &["info", "replication"], "master_link_status:up").await;
    let engine = |replicas, url| {
        let address = Address {
            url,
            password: None,
            prefix: "p".to_owned(),
            replicas,
        };
        RedisEngine::new(&address).expect("an engine")
    };
    let one = engine(1, master.url());
    let claim = EngineCommand::Claim {
        account: "a".to_owned(),
        claims: vec!["i".to_owned()],
    };
    let look = EngineCommand::Look {
        node: "n".to_owned(),
        info: Vec::new(),
        generation: "g".to_owned(),
    };
    answered(&one, "a", &look).await;
    let take = EngineCommand::Take {
        generation: "g".to_owned(),
        seen: String::new(),
        lease: "n 1 1".to_owned(),
    };
    answered(&one, "a", &take).await;
    let held = redis_cli(&replica, &["get", "p:{a}:lease"]);
    assert_eq!(held.as_deref(), Some("n 1 1\n"));
    assert!(one.keeps_what_it_confirms());
    // With a second replica, the wrong one may become the master.
    let (second, _) = server(&format!("--replicaof 127.0.0.1 {at}")).await;
    until_it_says(&second, &["info", "replication"], "master_link_status:up").await;
    let one_of_two = engine(1, master.url());
    answered(&one_of_two, "a", &look).await;
    assert!(!one_of_two.keeps_what_it_confirms());
    drop(second);
    // A replica alone is not an engine.
    assert!(engine(0, replica.url()).run("a", &claim).await.is_err());
    replica.kill();
    let renew = EngineCommand::Renew {
        generation: "g".to_owned(),
        holder: "n".to_owned(),
        lease: "n 2 1".to_owned(),
    };
    soon("nobody confirms it", async || {
        match one.run("a", &renew).await {
            Err(EngineError::Unconfirmed { confirmed, .. }) => confirmed == 0,
            Err(_) => false,
            Ok(reply) => panic!("{reply:?}"),
        }
    })
    .await;
    // Until it is back, the engine is not used for reading either: a node would seem to work, and could not send.
    for _ in 0..10 {
        let error = one.run("a", &look).await.expect_err("not used");
        let advice = error.refusal().map_or("", |refusal| refusal.advice);
        assert!(
            advice.contains("the missing replica") && !one.is_up(),
            "{error}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    replica.start_again().expect("redis-server starts");
    answered(&one, "a", &renew).await;
    assert!(one.is_up());
}

/// Three masters that share the slots, each a process.
async fn slots() -> Vec<(LocalEngine, u16)> {
    let (mut nodes, mut ports) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (node, bus) = at_a_port(async |bus| {
            let more =
                format!("--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 2000");
            let at = port();
            let server = server_at(at, &more);
            let answers = || redis_cli(&server, &["ping"]).is_some();
            is_up(server.id(), answers).await.then_some((server, at))
        })
        .await;
        ports.push((node.1, bus));
        nodes.push(node);
    }
    for (place, (node, _)) in nodes.iter().enumerate() {
        // 16,384 slots in three parts.
        let first = place * 5_462;
        let last = (first + 5_461).min(16_383);
        let range = [first.to_string(), last.to_string()];
        let taken = redis_cli(node, &["cluster", "addslotsrange", &range[0], &range[1]]);
        assert_eq!(taken.as_deref(), Some("OK\n"));
        for (at, bus) in &ports {
            redis_cli(
                node,
                &[
                    "cluster",
                    "meet",
                    "127.0.0.1",
                    &at.to_string(),
                    &bus.to_string(),
                ],
            );
        }
    }
    for (node, _) in &nodes {
        until_it_says(node, &["cluster", "info"], "cluster_state:ok").await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn in_a_redis_cluster_each_account_uses_the_server_of_its_slot() {
    let (mut slots, time) = (slots().await, Time::new());
    let url = format!("redis-cluster://127.0.0.1:{}", slots[0].1);
    let engine = RedisEngine::new(&Address {
        url: url.clone(),
        password: None,
        prefix: "p".to_owned(),
        replicas: 0,
    });
    let engine = engine.expect("an engine");
    for account in 0..24 {
        let look = EngineCommand::Look {
            node: "n".to_owned(),
            info: Vec::new(),
            generation: "g".to_owned(),
        };
        let seen = answered(&engine, &format!("account-{account}"), &look).await;
        assert!(matches!(seen, Reply::Seen(_)), "{seen:?}");
    }
    // Each server has some of them, with all keys of an account together.
    for (node, _) in &slots {
        let keys = redis_cli(node, &["keys", "p:{account-*}:generation"]).expect("keys");
        assert!(keys.lines().count() > 0);
    }

    let calltools = CallTools::start(&time).await;
    let nodes = [
        Node::start_at(&url, &calltools, 0, "").await,
        Node::start_at(&url, &calltools, 1, "").await,
    ];
    all_know(&nodes).await;
    let leader = leader(&nodes).await;
    let follower = nodes[1 - leader].address;
    // The request and its answer may go through any server, and the seat through the account's own.
    let body = "{\"call_id\":\"call\"}";
    let made = reserve(follower, body).await;
    assert!(holds(&made), "{made:?}");
    nodes[1 - leader].is_refreshed().await;
    // Each server of the cluster is killed and restarted once, so the account's own is among them.
    for (node, _) in &mut slots {
        node.kill();
        node.start_again().expect("the engine starts");
    }
    for (node, _) in &slots {
        until_it_says(node, &["cluster", "info"], "cluster_state:ok").await;
    }
    polls_continue(&nodes, &calltools, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn the_documented_user_may_do_all_that_is_needed_and_nothing_else() {
    const PASSWORD: &str = "correct horse battery staple";
    let folder = TestFolder::new();
    let rights = include_str!("../../../deploy/cluster/users.acl");
    let digest = Command::new("sh")
        .args([
            "-c",
            "printf %s \"$1\" | sha256sum | cut -c 1-64",
            "-",
            PASSWORD,
        ])
        .output()
        .expect("sha256sum, of every system");
    let digest = String::from_utf8(digest.stdout).expect("hexadecimal");
    let rights = rights.replace("SHA256-OF-THE-PASSWORD", digest.trim());
    folder.write("users.acl", &rights);
    folder.write("password", PASSWORD);
    let file = folder.path().join("users.acl");
    // With all of the documented settings.
    let settings = include_str!("../../../deploy/cluster/valkey.conf");
    let documented = "aclfile /etc/valkey/users.acl";
    assert!(settings.contains(documented));
    let settings = settings.replace(documented, &format!("aclfile {}", file.display()));
    folder.write("valkey.conf", &settings);
    let settings = folder.path().join("valkey.conf");
    let ((_server, at), time) = (
        server(&format!("--include {}", settings.display())).await,
        Time::new(),
    );
    let calltools = CallTools::start(&time).await;
    let url = format!("redis://openseat@127.0.0.1:{at}/0");
    let password = format!(
        "password_file = \"{}\"",
        folder.path().join("password").display()
    );
    let nodes = [
        Node::start_with(&url, &calltools, 0, "", &password).await,
        Node::start_with(&url, &calltools, 1, "", &password).await,
    ];
    all_know(&nodes).await;
    let follower = &nodes[1 - leader(&nodes).await];
    let body = "{\"call_id\":\"call\"}";
    let made = reserve(follower.address, body).await;
    assert!(holds(&made), "messages arrive: {made:?}");

    let as_openseat = |command: &[&str]| {
        let mut cli = Command::new("redis-cli");
        cli.args([
            "-p",
            &at.to_string(),
            "--user",
            "openseat",
            "--pass",
            PASSWORD,
        ]);
        let output = cli.args(command).stderr(Stdio::null()).output();
        String::from_utf8_lossy(&output.expect("redis-cli").stdout).into_owned()
    };
    assert!(as_openseat(&["ping"]).contains("PONG"));
    for refused in [
        &["get", "other:key"][..],
        &["flushall"],
        &["config", "get", "*"],
        &["keys", "*"],
        &["publish", "other", "x"],
        &["acl", "list"],
    ] {
        let output = as_openseat(refused);
        assert!(output.contains("NOPERM"), "{refused:?}: {output}");
    }
    // A missing permission is reported at the start.
    let less = rights.replace(" +xtrim", "");
    assert_ne!(less, rights);
    folder.write("less.acl", &less);
    let file = folder.path().join("less.acl");
    let (_less, less_at) = server(&format!("--aclfile {}", file.display())).await;
    let url = format!("redis://openseat@127.0.0.1:{less_at}/0");
    let node = Node::start_with(&url, &calltools, 2, "", &password).await;
    let log = node
        .program
        .as_ref()
        .expect("the process runs")
        .logs("may not run XTRIM")
        .await;
    assert!(log.contains("the cluster's engine is lost"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_engine_that_may_evict_keys_is_refused_until_it_may_not() {
    let ((server, at), time) = (
        server("--maxmemory 100mb --maxmemory-policy allkeys-lru").await,
        Time::new(),
    );
    let calltools = CallTools::start(&time).await;
    let node = Node::start_at(&format!("redis://127.0.0.1:{at}"), &calltools, 0, "").await;
    let program = node.program.as_ref().expect("the process runs");
    let words = "the engine's maxmemory-policy is allkeys-lru, so it may discard leases and requests: set it to noeviction";
    program.logs(words).await;
    soon("it says so", async || {
        let ready = get(node.address, "/readyz?verbose").await.body;
        ready.contains("allkeys-lru")
            && ready.contains("set the engine's maxmemory-policy to noeviction")
    })
    .await;
    assert_eq!(node.metric("openseat_cluster_up").await, Some(0.0));
    assert!(!node.leads().await);
    assert_eq!(calltools.simulator.requests(), 0);
    let set = ["config", "set", "maxmemory-policy", "noeviction"];
    assert_eq!(redis_cli(&server, &set).as_deref(), Some("OK\n"));
    soon("it leads", || node.leads()).await;
    node.is_refreshed().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn nodes_that_lose_the_right_to_append_say_so_and_go_on_once_they_have_it_again() {
    let ((server, at), time) = (server("").await, Time::new());
    let calltools = CallTools::start(&time).await;
    let url = format!("redis://127.0.0.1:{at}");
    let nodes = [
        Node::start_at(&url, &calltools, 0, "").await,
        Node::start_at(&url, &calltools, 1, "").await,
    ];
    all_know(&nodes).await;
    let rights = |xadd| redis_cli(&server, &["acl", "setuser", "default", xadd]);
    assert_eq!(rights("-xadd").as_deref(), Some("OK\n"));
    // The leader finds it with its next entry, and the others once they take the lease.
    for node in &nodes {
        soon("it says what it lacks", async || {
            let _ = tokio::time::timeout(
                Duration::from_secs(1),
                post(node.address, "/v1/queues/sales/refresh"),
            )
            .await;
            let ready = get(node.address, "/readyz?verbose").await.body;
            ready.contains("may not run XADD (give the engine's user")
                && node.metric("openseat_cluster_up").await == Some(0.0)
        })
        .await;
    }
    assert_eq!(rights("+xadd").as_deref(), Some("OK\n"));
    polls_continue(&nodes, &calltools, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn the_demo_shows_nodes_that_share_an_account() {
    let home = TestFolder::new();
    let mut demo = Program::start(&home, &["demo", "--nodes", "3", "--listen", "127.0.0.1:0"]);
    let addresses = || -> Vec<SocketAddr> {
        let output = std::fs::read_to_string(home.path().join("stdout.txt")).expect("its output");
        let nodes = output
            .lines()
            .filter_map(|line| line.strip_prefix("       http://"));
        nodes
            .filter_map(|address| address.trim_end_matches('/').parse().ok())
            .collect()
    };
    soon("it names its nodes", async || addresses().len() == 3).await;
    for address in addresses() {
        soon("it knows who is free", async || {
            known(&get(address, "/v1/queues/sales-queue/decision").await.json())
        })
        .await;
    }
    soon("one of them leads", async || {
        let mut leaders = 0;
        for address in addresses() {
            let metrics = get(address, "/metrics").await.body;
            leaders += metrics
                .matches("openseat_cluster_leader{account=\"demo\"} 1")
                .count();
        }
        leaders == 1
    })
    .await;
    // If the demo were killed, it could not end its engine.
    demo.signal(Signal::TERM);
    assert!(demo.ended().await.success());
    let mut demo = home.command(&["demo", "--nodes", "2", "--listen", "127.0.0.1:0"]);
    let output = demo
        .env("PATH", "/nowhere")
        .output()
        .expect("the process runs");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && why.contains("redis-server in PATH"),
        "{why}"
    );
}
