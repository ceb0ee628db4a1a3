//! Tests what the nodes know of the hour after the engine has lost its data.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{
    spending::{Counter, LEASE, LIMIT, SECOND, start},
    start_on,
};
use crate::{
    budget::{Purpose, Witness as _},
    clock::VirtualClock,
    cluster::{
        command::{Command, Reply},
        engine::{Engine, EngineError},
        entry::Entry,
        model::{Exchange, Model},
    },
    logged::listen,
};

/// How many requests are sent before the engine fails.
const SENT: u32 = 5;

/// Three nodes that have led for long, so that they know the whole hour.
struct Nodes {
    exchange: Arc<Exchange>,
    clock: Arc<VirtualClock>,
    nodes: Vec<Counter>,
}

impl Nodes {
    async fn start() -> Self {
        let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
        let nodes = ["one", "two", "three"].map(|name| start(&exchange, &clock, name));
        let nodes = Self {
            exchange,
            clock,
            nodes: nodes.into(),
        };
        sleep(Duration::from_secs(2 * 3600)).await;
        for _ in 0..SENT {
            let leader = &nodes.nodes[nodes.leader().unwrap()];
            let permit = leader.budget.permit(Purpose::OnDemand).await.unwrap();
            permit.answered();
        }
        sleep(SECOND).await;
        nodes
    }

    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.member.leads())
    }

    fn set_down(&self, is_down: bool) {
        self.exchange.is_down.store(is_down, Ordering::Relaxed);
    }

    fn lose_data(&self) {
        *self.exchange.model.lock().unwrap() = Model::default();
    }

    /// Returns how many requests count once a node leads.
    async fn used(&self) -> u32 {
        for _ in 0..100 {
            sleep(SECOND).await;
            if let Some(leader) = self.leader() {
                return self.nodes[leader].budget.usage().used;
            }
        }
        panic!("no node leads");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_with_a_loss_the_nodes_together_know_the_hour() {
    for losses in [1, 2] {
        let nodes = Nodes::start().await;
        for _ in 0..losses {
            nodes.set_down(true);
            sleep(LEASE * 6).await;
            nodes.lose_data();
            nodes.set_down(false);
            // The second time before any node leads again.
            sleep(LEASE / 2).await;
        }
        assert_eq!(nodes.used().await, SENT, "{losses}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_while_all_nodes_live_is_logged_and_whether_they_know_the_hour() {
    for is_leader_asked_first in [true, false] {
        let nodes = Nodes::start().await;
        let leader = &nodes.nodes[nodes.leader().unwrap()];
        let (logged, _guard) = listen();
        nodes.lose_data();
        if is_leader_asked_first {
            // The log rejects this one.
            assert!(leader.budget.permit(Purpose::OnDemand).await.is_err());
        }
        let used = nodes.used().await;
        assert!((SENT..=SENT + 1).contains(&used), "{used}");
        let lines = logged.lines();
        let count = |words| lines.iter().filter(|line| line.contains(words)).count();
        assert_eq!(count("the engine lost its data"), 3, "{lines:#?}");
        let told = "this node led until then, so it knows the whole hour";
        assert_eq!(count(told), 1, "{lines:#?}");
        let known = "the engine lost data, and one of its nodes has all of it";
        assert_eq!(count(known), 1, "{lines:#?}");
        let rejected = usize::from(is_leader_asked_first);
        assert_eq!(count("so this node leads no more"), rejected, "{lines:#?}");
        let gone = "this node's lease is gone from the engine";
        assert_eq!(count(gone), 1 - rejected, "{lines:#?}");
        assert_eq!(count("another node"), 0, "{lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_one_of_the_nodes_nobody_knows_what_it_has_sent() {
    for is_the_leader in [true, false] {
        let mut nodes = Nodes::start().await;
        let leader = nodes.leader().unwrap();
        nodes.set_down(true);
        sleep(LEASE * 6).await;
        let gone = if is_the_leader {
            leader
        } else {
            (leader + 1) % 3
        };
        let gone = nodes.nodes.remove(gone);
        gone.task.abort();
        // A later process of it is no proof: its ledger may be lost.
        nodes
            .nodes
            .push(start(&nodes.exchange, &nodes.clock, "again"));
        nodes.lose_data();
        nodes.set_down(false);
        assert_eq!(nodes.used().await, LIMIT, "{is_the_leader}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_returns_late_is_missing() {
    let mut nodes = Nodes::start().await;
    let leader = nodes.leader().unwrap();
    nodes.set_down(true);
    sleep(LEASE * 6).await;
    nodes.lose_data();
    // Nobody who is here knows the others, because the data set that all were in is lost twice.
    let late = nodes.nodes.remove((leader + 1) % 3);
    late.task.abort();
    nodes.set_down(false);
    sleep(LEASE / 2).await;
    nodes.lose_data();
    assert_eq!(nodes.used().await, LIMIT);
}

/// An engine that may be too busy for mirrors.
#[derive(Debug)]
struct Busy {
    exchange: Arc<Exchange>,
    is_busy: AtomicBool,
}

impl Engine for Busy {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        let is_mirror = matches!(command, Command::Mirror { .. });
        match is_mirror && self.is_busy.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(EngineError::Silent) }),
            false => self.exchange.run(account, command),
        }
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.exchange.keeps_what_it_confirms()
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_mirror_got_no_answer_writes_it_again() {
    let exchange = Exchange::new();
    let engine = Arc::new(Busy {
        exchange: Arc::clone(&exchange),
        is_busy: AtomicBool::new(false),
    });
    let (_node, member, running) = start_on(engine.clone(), "identity");
    while !member.leads() {
        sleep(SECOND / 20).await;
    }
    let publish = async || {
        let entry = Entry {
            doubted: true,
            ..Entry::default()
        };
        assert!(member.publish_and_wait(entry).await);
    };
    sleep(LEASE).await;
    publish().await;
    publish().await;
    assert_eq!(exchange.model.lock().unwrap().mirrors.len(), 1);
    // A fail-over loses the last entry, and the mirror.
    engine.is_busy.store(true, Ordering::Relaxed);
    {
        let mut model = exchange.model.lock().unwrap();
        model.log.pop_last();
        model.mirrors.clear();
    }
    sleep(LEASE / 2).await;
    publish().await;
    assert!(exchange.model.lock().unwrap().mirrors.is_empty());
    engine.is_busy.store(false, Ordering::Relaxed);
    sleep(LEASE / 2).await;
    assert!(member.leads());
    assert_eq!(exchange.model.lock().unwrap().mirrors.len(), 1);
    running.abort();
}
