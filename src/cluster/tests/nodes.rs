//! Tests what a node reports about the others.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Mutex as StdMutex};

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::{
    budget::{Budget, Mark, Mirrored, Witness as _},
    clock::Clock as _,
    cluster::{
        codec::{self, Writing},
        command::{Command, Position, Reply},
        engine::EngineError,
        entry::Entry,
    },
};

/// Reports as a node does: which entry it has read.
fn publish(exchange: &Exchange, name: &str, epoch: u64, number: u64) {
    let info = json!({
        "name": name, "beat": 1, "epoch": epoch, "number": number, "format": codec::FORMAT,
    });
    let info = serde_json::to_vec(&info).unwrap();
    let mut model = exchange.model.lock().unwrap();
    model.nodes.insert(name.to_owned(), info);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_reads_no_entry_of_this_epoch_is_behind_by_all_of_them() {
    let exchange = Exchange::new();
    let (_node, member, running) = start(&exchange, "identity");
    while !member.leads() {
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..4 {
        let entry = Entry {
            doubted: true,
            ..Entry::default()
        };
        assert!(member.publish_and_wait(entry).await);
    }
    let last = *exchange
        .model
        .lock()
        .unwrap()
        .log
        .last_key_value()
        .unwrap()
        .0;
    let Position { epoch, number } = last;
    assert!(number >= 5, "{last}");
    // One has read nothing since the last leader, one never anything, and one follows.
    publish(&exchange, "stuck", epoch - 1, number + 100);
    publish(&exchange, "empty", 0, 0);
    publish(&exchange, "slow", epoch, number - 2);
    publish(&exchange, "current", epoch, number);
    sleep(LEASE / 2).await;
    let nodes = member.status().nodes;
    let behind: Vec<_> = nodes.iter().map(|one| (&*one.name, one.behind)).collect();
    let expected = [
        ("current", 0),
        ("empty", number),
        ("one", 0),
        ("slow", 2),
        ("stuck", number),
    ];
    assert_eq!(behind, expected);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn nodes_that_read_each_entry_at_once_are_not_behind_a_busy_leader() {
    let exchange = Exchange::new();
    let nodes = [(); 3].map(|()| {
        let (node, member, running) = start(&exchange, "identity");
        let node = Arc::new(node);
        exchange.introduce(&node);
        (node, member, running)
    });
    let leader = loop {
        sleep(Duration::from_millis(50)).await;
        let mut members = nodes.iter().map(|(_, member, _)| member);
        if let Some(leader) = members.find(|member| member.leads()) {
            break leader;
        }
    };
    sleep(LEASE).await;
    for _ in 0..300 {
        let entry = Entry {
            doubted: true,
            ..Entry::default()
        };
        assert!(leader.publish_and_wait(entry).await);
        sleep(Duration::from_millis(100)).await;
        for (_, member, _) in &nodes {
            let behind = member.status().nodes;
            assert!(behind.iter().all(|node| node.behind == 0), "{behind:?}");
        }
    }
    for (_, _, running) in &nodes {
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_of_thousands_of_mirrors_is_read_and_the_last_of_thousands_of_nodes() {
    const MANY: usize = 5_000;
    let exchange = Exchange::new();
    let clock = Arc::new(VirtualClock::default());
    let writing = Writing {
        now: clock.now(),
        engine: Duration::from_secs(1_795_000_000),
        format: codec::FORMAT,
    };
    let mark = Mark {
        process: 1,
        number: 1,
    };
    let mirror = |requests| {
        let mirror = Entry {
            requests,
            ..Entry::default()
        };
        codec::encode(&mirror, &writing)
    };
    {
        let mut model = exchange.model.lock().unwrap();
        let mirrors = (0..MANY).map(|number| (format!("a-{number}"), mirror(Vec::new())));
        model.mirrors.extend(mirrors);
        let last = mirror(vec![Mirrored::asked_for(mark, true)]);
        model.mirrors.insert("z".to_owned(), last);
    }
    (0..MANY).for_each(|number| publish(&exchange, &format!("a-{number}"), 0, 0));
    publish(&exchange, "z", 0, 0);
    let settings = Settings {
        name: "one".to_owned(),
        lease: LEASE,
        alone: None,
    };
    let node = Node::new(Arc::clone(&exchange) as Arc<_>, settings, clock.clone());
    let (member, seat) = node.member(&"main".into(), "origin", "identity");
    let budget = Budget::in_memory(NonZeroU32::new(60).unwrap(), 0, clock);
    let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
    let mut membership = node.membership(seat.unwrap(), Some(Arc::clone(&budget)));
    let task = membership.task.take().unwrap();
    let running = tokio::spawn(task.run(CancellationToken::new()));
    sleep(LEASE).await;
    let nodes = member.status().nodes;
    assert!(nodes.iter().any(|node| node.name == "z"), "{}", nodes.len());
    while !member.leads() {
        sleep(LEASE / 10).await;
    }
    assert_eq!(budget.usage().used, 1);
    running.abort();
}

/// An engine with the data of several accounts.
#[derive(Debug, Default)]
struct Accounts(StdMutex<BTreeMap<String, Arc<Exchange>>>);

impl Engine for Accounts {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        let mut accounts = self.0.lock().unwrap();
        let exchange = accounts.entry(account.to_owned());
        let exchange = Arc::clone(exchange.or_insert_with(Exchange::new));
        Box::pin(async move { exchange.run(account, command).await })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_start_at_the_same_moment_share_the_accounts() {
    const ACCOUNTS: usize = 10;
    let engine = Arc::new(Accounts::default());
    let clock = Arc::new(VirtualClock::default());
    let start = |name: &str| {
        let settings = Settings {
            name: name.to_owned(),
            lease: LEASE,
            alone: None,
        };
        let node = Node::new(Arc::clone(&engine) as Arc<_>, settings, clock.clone());
        let members = (0..ACCOUNTS).map(|number| {
            let account = format!("account {number}");
            let (member, new) = node.member(&account.as_str().into(), "origin", &account);
            let mut membership = node.membership(new.unwrap(), None);
            let task = membership.task.take().unwrap();
            tokio::spawn(task.run(CancellationToken::new()));
            member
        });
        (members.collect::<Vec<_>>(), node)
    };
    let nodes = ["one", "two"].map(start);
    sleep(LEASE * 3).await;
    let led = nodes.each_ref().map(|(members, _)| {
        let led = members.iter().filter(|member| member.leads());
        led.count()
    });
    assert_eq!(led[0] + led[1], ACCOUNTS, "{led:?}");
    assert!(led.iter().all(|led| *led >= 3), "{led:?}");
}
