//! A leader that loses the engine, an engine that comes back with its data or without, and messages that arrive twice.

use std::process::{Command, Stdio};

use super::*;

/// What `redis-cli` prints.
pub fn redis_cli(redis: &LocalEngine, command: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    cli.arg("-s").arg(redis.socket()).args(command);
    let output = cli.stderr(Stdio::null()).output().expect("redis-cli");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_leader_that_is_cut_off_sends_nothing_and_follows_when_it_is_back() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let way = Way::to(&redis).await;
    let far = Node::start_at(&way.url, &calltools, 0, "").await;
    soon("it leads", || far.leads()).await;
    let near = Node::start(&redis, &calltools, 1, "").await;
    soon("it follows", async || known(&near.decision().await)).await;

    way.cut.send_replace(true);
    soon("the other node leads", || near.leads()).await;
    soon("the one before has noticed", async || !far.leads().await).await;
    calltools.set_status(0, "On a Call");
    let (before, sent) = (calltools.simulator.requests(), far.sent().await);
    // Each of them wants a poll at once, and waits for a second.
    for _ in 0..3 {
        let refused = post(far.address, "/v1/queues/sales/refresh");
        let refused = tokio::time::timeout(Duration::from_secs(1), refused).await;
        assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status != 200));
    }
    let decision = far.decision().await;
    assert_eq!((known(&decision), &decision["count"]), (true, &2.into()));
    near.is_refreshed().await;
    assert_eq!(near.decision().await["count"], 1);
    assert!(calltools.simulator.requests() > before);
    assert_eq!(far.sent().await, sent, "it sent nothing");

    way.cut.send_replace(false);
    soon("it follows the new leader", async || {
        far.decision().await["count"] == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_held_seat_and_the_hour_survive_an_engine_restart_with_and_without_its_data() {
    let keep = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis =
        LocalEngine::with(&keep).expect("redis-server, of Debian's package of that name");
    let time = Time::new();
    let calltools = CallTools::start(&time).await;
    let nodes = three(&redis, &calltools, "").await;
    let body = "{\"call_id\":\"call\",\"ttl\":\"5m\"}";
    assert!(holds(&reserve(nodes[1].address, body).await));
    for is_emptied in [false, true] {
        let spent = calltools.simulator.requests() as f64;
        if is_emptied {
            redis_cli(&redis, &["flushall"]);
        } else {
            redis.start_again().expect("the engine starts");
        }
        // The engine's log has the leader's polls of CallTools.
        soon("polls to continue", async || {
            for node in &nodes {
                let refresh = post(node.address, "/v1/queues/sales/refresh");
                let _ = tokio::time::timeout(Duration::from_secs(2), refresh).await;
            }
            calltools.simulator.requests() as f64 > spent
        })
        .await;
        for node in &nodes {
            soon("the seat is held and the hour is known", async || {
                node.decision().await["capacity"] == 1 && node.metric(USED).await > Some(spent)
            })
            .await;
        }
    }
}

/// The channel of questions to the account's leader.
fn channel(redis: &LocalEngine) -> String {
    let lease = redis_cli(redis, &["--scan", "--pattern", "openseat:{*}:lease"]);
    let key = lease.lines().find_map(|key| {
        let account = key.strip_prefix("openseat:{")?.strip_suffix("}:lease")?;
        (account != "trial").then(|| account.to_owned())
    });
    format!("openseat:ask:{}", key.expect("an account's lease"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_duplicate_or_late_request_holds_one_seat() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let nodes = three(&redis, &calltools, "").await;
    let channel = channel(&redis);
    // The node that asks is not a real one, so it gets no answer, like a node that has given up.
    let question = "{\"id\":7,\"node\":\"gone\",\"what\":{\"reserve\":{\"queue\":\"sales\",\"call_id\":\"call\",\"ttl_ms\":300000,\"threshold\":0.0,\"max_age_ms\":null,\"on_unknown\":\"reject\"}}}";
    for _ in 0..2 {
        soon("three nodes hear it", async || {
            redis_cli(&redis, &["publish", &channel, question]).trim() == "3"
        })
        .await;
    }
    for node in &nodes {
        soon("a seat is held", async || {
            // On a busy machine the leader may have heard those too late.
            redis_cli(&redis, &["publish", &channel, question]);
            node.decision().await["capacity"] == 1
        })
        .await;
    }
    // The call asks again, and gets the seat that it has.
    let body = "{\"call_id\":\"call\",\"ttl\":\"5m\"}";
    let again = reserve(nodes[2].address, body).await;
    assert_eq!(again.status, 200, "{again:?}");
    for node in &nodes {
        assert_eq!(node.decision().await["capacity"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_refresh_that_arrives_twice_costs_one_poll_and_one_that_is_lost_is_put_again() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    // Ten polls an hour in the background: nearly all that come are asked for.
    let account = "requests_per_hour = 60\nreserve = 50";
    let nodes = three(&redis, &calltools, account).await;
    let polls = || {
        let received = calltools.simulator.received();
        let of_sales = |target: &str| target.contains("queue=1&") || target.ends_with("queue=1");
        received.iter().filter(|one| of_sales(&one.target)).count()
    };
    let (before, epoch) = (polls(), nodes[1].epoch().await);
    let channel = channel(&redis);
    let question = "{\"id\":8,\"node\":\"gone\",\"what\":{\"refresh\":{\"queue\":\"sales\"}}}";
    for _ in 0..2 {
        soon("three nodes hear it", async || {
            redis_cli(&redis, &["publish", &channel, question]).trim() == "3"
        })
        .await;
        soon("it is polled", async || polls() > before).await;
    }
    // The leader has handled the second one before this.
    assert!(holds(
        &reserve(nodes[1].address, "{\"call_id\":\"call\"}").await
    ));
    // A leader that is paused for longer than its lease is replaced, and the next one does not know that the first has polled.
    let (polled, has_new_leader) = (polls() - before, nodes[1].epoch().await > epoch);
    assert!(
        polled == 1 || (polled == 2 && has_new_leader),
        "{polled} polls"
    );

    // Nobody hears the next one: all nodes have lost their connections for messages, and open new ones half a second later. A pause may cost the
    // answer of one that is put again, so there are several, each of which is lost.
    let before = polls();
    soon("it is put again", async || {
        redis_cli(&redis, &["client", "kill", "type", "pubsub"]);
        let refreshed = post(nodes[1].address, "/v1/queues/sales/refresh").await;
        refreshed.status == 200
    })
    .await;
    assert!(polls() > before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn the_named_node_goes_on_while_the_engine_is_stopped_and_tells_what_it_sent() {
    const LIMIT: usize = 60;
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let account = format!("requests_per_hour = {LIMIT}\nreserve = 50");
    let mut nodes = Vec::new();
    for number in 0..2 {
        let alone = "alone = \"node-1\"";
        nodes.push(Node::start_with(&redis.url(), &calltools, number, &account, alone).await);
    }
    all_know(&nodes).await;
    let named = &nodes[1];
    signal(&redis, Signal::STOP);
    let limit = "openseat_budget_limit_requests{account=\"main\"}";
    soon("the named node goes on alone", async || {
        named.metric(limit).await == Some(45.0) && named.leads().await
    })
    .await;
    assert!(!nodes[0].leads().await);
    let before = calltools.simulator.requests();
    named.is_refreshed().await;
    let spent = calltools.simulator.requests();
    assert!(spent > before);

    signal(&redis, Signal::CONT);
    soon("the other node knows what was sent", async || {
        nodes[0].metric(USED).await >= Some(spent as f64)
    })
    .await;
    let _ = leader(&nodes).await;
    polls_on(&nodes, &calltools).await;
    assert!(calltools.simulator.requests() as usize <= LIMIT);
    assert_eq!(calltools.simulator.throttled(), 0);
}

/// Asks each node for a poll until there was one more.
async fn polls_on(nodes: &[Node], calltools: &CallTools) {
    let before = calltools.simulator.requests();
    soon("polls go on", async || {
        for node in nodes {
            let refresh = post(node.address, "/v1/queues/sales/refresh");
            let _ = tokio::time::timeout(Duration::from_secs(2), refresh).await;
        }
        calltools.simulator.requests() > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_follower_that_lost_its_ledger_learns_the_hour_and_slows_nobody_down() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let mut nodes = three(&redis, &calltools, "requests_per_hour = 1000").await;
    nodes[2].kill();
    let folder = nodes[2].home.state();
    std::fs::write(folder.join("budget.sqlite3"), "").expect("the ledger is there");
    std::fs::remove_file(folder.join("budget.sqlite3-wal")).expect("its log");
    nodes[2].start_again().await;
    let log = nodes[2].program.as_ref().expect("the process runs");
    log.logs("the budget ledger is lost").await;
    log.logs("the cluster knows the hour").await;
    assert!(nodes[2].metric(USED).await < Some(500.0));
    // Its mirror has been read by now.
    let epoch = nodes[1].epoch().await;
    nodes[0].kill();
    soon("one of the others leads", async || {
        nodes[1].epoch().await > epoch
    })
    .await;
    polls_on(&nodes[1..], &calltools).await;
    for node in &nodes[1..] {
        assert!(node.metric(USED).await < Some(500.0));
    }
}
