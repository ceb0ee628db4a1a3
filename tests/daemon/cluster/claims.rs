//! An account that nodes know under different names, addresses or budgets, and how it gets another one.

use super::*;
use crate::support::{LONG_TIMEOUTS, account as account_lines};

async fn node(redis: &LocalEngine, number: usize, accounts: &str) -> Node {
    let home = TestFolder::new();
    for name in ["main", "night"] {
        home.set_token(name, TOKEN);
    }
    Node::run(home, cluster(&redis.url(), number, ""), accounts).await
}

fn lines(calltools: &CallTools, name: &str, more: &str) -> String {
    let queue = "queue = \"sales\"\nmax_age = \"15m\"";
    let base_url = calltools.serving.base_url();
    account_lines(
        name,
        &base_url,
        &format!("{LONG_TIMEOUTS}\n{more}"),
        &[queue],
    )
}

async fn is_refused(node: &Node, words: &str) {
    let program = node.program.as_ref().expect("the node runs");
    program.logs(words).await;
    let metrics = get(node.address, "/metrics").await.body;
    let leads = |line: &&str| line.starts_with("openseat_cluster_leader{") && line.ends_with(" 1");
    assert_eq!(metrics.lines().find(leads), None);
    assert!(!known(&node.decision().await));
}

async fn stop(node: &mut Node) {
    node.signal(Signal::TERM);
    let program = node.program.as_mut().expect("the node runs");
    assert!(program.ended().await.success());
    node.program = None;
}

/// The key that `docs/cluster.md` says to delete.
fn documented_key() -> &'static str {
    let docs = include_str!("../../../docs/cluster.md");
    let (_, rest) = docs.split_once("delete the key\n  `").expect("the step");
    rest.split_once('`').expect("its end").0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_account_has_one_name_address_and_budget_until_the_documented_steps_give_it_others() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let elsewhere = CallTools::start(&time).await;
    let mut first = node(&redis, 0, &lines(&calltools, "main", "")).await;
    soon("the node leads", || first.leads()).await;
    let renamed = lines(&calltools, "night", "");
    let moved = lines(&elsewhere, "main", "");
    let shared = lines(&calltools, "main", "budget = \"acme\"");
    let other_name = "under another name or with another `budget`";
    let mut stray = Vec::new();
    for (number, (accounts, words)) in [
        (&renamed, other_name),
        (&moved, "an account of this name at another address"),
        (&shared, other_name),
    ]
    .into_iter()
    .enumerate()
    {
        let node = node(&redis, number + 1, accounts).await;
        is_refused(&node, words).await;
        stray.push(node);
    }
    assert_eq!(elsewhere.simulator.requests(), 0);

    // The steps, without the hour.
    stop(&mut first).await;
    for node in &mut stray {
        stop(node).await;
    }
    for accounts in [&renamed, &moved, &shared] {
        let deleted = cuts::redis_cli(&redis, &["del", documented_key()]);
        assert_eq!(deleted.trim(), "1");
        let mut node = node(&redis, 9, accounts).await;
        soon("the node polls", async || known(&node.decision().await)).await;
        stop(&mut node).await;
    }
    assert!(elsewhere.simulator.requests() > 0);
}
