//! Two tokens of one CallTools account: their accounts share a budget, and have leaders on different nodes.

use super::*;
use crate::support::{Behaviour, LONG_TIMEOUTS, Wire, account as account_lines};

/// How many requests both accounts together may send in an hour.
const LIMIT: usize = 40;

fn lines(wire: &Wire, name: &str, limit: usize, threshold: u32) -> String {
    let budget = format!("requests_per_hour = {limit}\nreserve = 30\nbudget = \"acme\"");
    let queue = format!("queue = \"sales\"\nmax_age = \"25m\"\nthreshold = {threshold}");
    let more = format!("{LONG_TIMEOUTS}\n{budget}");
    account_lines(name, &wire.base_url(), &more, &[&queue])
}

async fn node(redis: &LocalEngine, number: usize, name: &str, lines: &str) -> Node {
    let home = TestFolder::new();
    home.set_token("main", "wire0token0of0the0day000000000000000000");
    home.set_token("night", "wire0token0of0the0night0000000000000000");
    let node = Node::run(home, cluster(&redis.url(), number, ""), lines).await;
    let leads = format!("openseat_cluster_leader{{account=\"{name}\"}}");
    soon("it leads its account and knows the queue", async || {
        node.metric(&leads).await == Some(1.0) && known(&node.decision().await)
    })
    .await;
    node
}

async fn refresh(node: &Node) -> u16 {
    post(node.address, "/v1/queues/sales/refresh").await.status
}

/// Asks for more than the hour has, by both accounts, until both are told that it is spent.
async fn overspend(nodes: &[Node], wire: &Wire, limit: usize) {
    soon("the hour is spent", async || {
        let mut spent = 0;
        for node in nodes {
            spent += usize::from(refresh(node).await == 429);
            let sent = wire.heads().len();
            assert!(sent <= limit, "{sent} of {limit}");
        }
        spent == nodes.len()
    })
    .await;
}

async fn reload(nodes: &[Node], redis: &LocalEngine, lines: impl Fn(&str) -> String) {
    for (number, (node, name)) in nodes.iter().zip(["main", "night"]).enumerate() {
        node.home
            .config(&[cluster(&redis.url(), number, ""), lines(name)]);
        let answer = post(node.address, "/v1/reload").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn two_tokens_share_one_hour_with_leaders_on_different_nodes_over_reloads_and_a_crash() {
    let redis = start();
    let wire = Wire::start().await;
    wire.behave(Behaviour::good());
    let mut nodes = Vec::new();
    for (number, name) in ["main", "night"].into_iter().enumerate() {
        nodes.push(node(&redis, number, name, &lines(&wire, name, LIMIT, 0)).await);
    }
    // More than half of the hour, half of that by each.
    while wire.heads().len() < LIMIT - 16 {
        for node in &nodes {
            soon("it is refreshed", async || refresh(node).await == 200).await;
        }
    }
    reload(&nodes, &redis, |name| lines(&wire, name, LIMIT, 1)).await;
    soon("it is refreshed", async || refresh(&nodes[0]).await == 200).await;
    // The first node counts for both, because it came first. The other one continues with the same hour.
    nodes[0].kill();
    soon("it is refreshed", async || refresh(&nodes[1]).await == 200).await;
    nodes[0].start_again().await;
    soon("it is refreshed", async || refresh(&nodes[0]).await == 200).await;
    let before = wire.heads().len();
    overspend(&nodes, &wire, LIMIT).await;
    // A pause may cost single requests, which count and are not sent.
    let sent = wire.heads().len();
    assert!(
        sent > before + 3,
        "the rest of the hour was usable: {before}, {sent}"
    );
    let tokens = wire.heads().concat();
    assert!(tokens.contains("the0day") && tokens.contains("the0night"));
    // A reload with another limit counts by that one, on both nodes.
    let more = LIMIT + 6;
    reload(&nodes, &redis, |name| lines(&wire, name, more, 1)).await;
    for node in &nodes {
        soon("it is refreshed", async || refresh(node).await == 200).await;
    }
    overspend(&nodes, &wire, more).await;

    // An account cannot have a budget on one node and none on another: it would have two hours.
    let own = lines(&wire, "main", LIMIT, 0).replace("budget = \"acme\"", "");
    let home = TestFolder::new();
    home.set_token("main", "wire0token0of0the0day000000000000000000");
    let stray = Node::run(home, cluster(&redis.url(), 2, ""), &own).await;
    let log = stray.program.as_ref().expect("the process runs");
    log.logs("under another name or with another `budget`")
        .await;
    assert!(wire.heads().len() <= more);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_seat_is_released_although_another_account_has_no_leader() {
    let redis = start();
    let wire = Wire::start().await;
    wire.behave(Behaviour::good());
    let alone = |name: &str| {
        let lines = lines(&wire, name, LIMIT, 0);
        lines.replace("budget = \"acme\"", "")
    };
    let (main, night) = (alone("main"), alone("night"));
    let _leader = {
        let leader = node(&redis, 0, "night", &night).await;
        // Registered by another node, so the follower may neither lead nor follow it.
        let other = node(&redis, 1, "main", &main).await;
        (leader, other)
    };
    let home = TestFolder::new();
    home.set_token("main", "wire0token0of0the0day000000000000000000");
    home.set_token("night", "wire0token0of0the0night0000000000000000");
    let shared = lines(&wire, "main", LIMIT, 0);
    let follower = Node::run(home, cluster(&redis.url(), 2, ""), &(shared + &night)).await;
    let log = follower.program.as_ref().expect("the process runs");
    log.logs("under another name or with another `budget`")
        .await;
    let target = "/v1/queues/night/sales/reservations";
    let mut made = None;
    soon("a seat is held", async || {
        let answer = post_json(follower.address, target, "{\"call_id\":\"call\"}").await;
        let is_held = holds(&answer);
        made = Some(answer);
        is_held
    })
    .await;
    let id = made.expect("checked above").json()["id"].clone();
    let release = |id: &str| format!("/v1/reservations/{id}/release");
    let release_it = release(id.as_str().expect("an id"));
    soon("the leader of its account answers", async || {
        post(follower.address, &release_it).await.status == 204
    })
    .await;
    // Any leader may hold a seat that this node does not know.
    let unknown = post(follower.address, &release("unknown")).await;
    assert_eq!(unknown.status, 503, "{unknown:?}");
}
