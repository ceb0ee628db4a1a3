//! Tests what a fail-over to a replica costs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::spending::{Counter, LEASE, LIMIT, SECOND, start};
use crate::{
    budget::Witness as _,
    clock::VirtualClock,
    cluster::{
        message::{Said, What},
        model::{Exchange, Model},
    },
};

/// A budget of two nodes, whose engine has a replica.
struct Pair {
    exchange: Arc<Exchange>,
    nodes: [Counter; 2],
}

impl Pair {
    /// Starts both. `confirms` is whether writes count only once the replica has them.
    async fn start(confirms: bool) -> Self {
        let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
        exchange.has_replica.store(confirms, Ordering::Relaxed);
        let nodes = ["one", "two"].map(|name| start(&exchange, &clock, name));
        let pair = Self { exchange, nodes };
        sleep(LEASE * 3).await;
        pair
    }

    fn follower(&self) -> Option<&Counter> {
        let mut nodes = self.nodes.iter();
        let is_led = self.nodes.iter().any(|node| node.member.leads());
        nodes.find(|node| is_led && !node.member.leads())
    }

    /// Asks the leader for this many requests, for the node that follows. Returns how many are granted.
    async fn spend(&self, numbers: std::ops::Range<u64>) -> usize {
        let mut granted = 0;
        for number in numbers {
            let Some(follower) = self.follower() else {
                return granted;
            };
            let what = What::Spend {
                mark: (follower.member.process(), number),
                polling: false,
            };
            let said = follower.member.ask(what, SECOND).await;
            granted += usize::from(said == Some(Said::Done));
        }
        granted
    }

    /// Copies what the replica has.
    fn replica(&self) -> Model {
        self.exchange.model.lock().unwrap().clone()
    }

    /// The replica is gone until long after the leader's lease has ended, so that no node is sure to know everything.
    async fn lose_the_replica(&self) {
        self.exchange.is_unconfirmed.store(true, Ordering::Relaxed);
        // Written, read by both nodes, and never confirmed.
        assert_eq!(self.spend(100..110).await, 0);
        sleep(LEASE * 2).await;
        assert!(self.nodes.iter().all(|node| !node.member.leads()));
    }

    /// The same, and then it becomes the master.
    async fn fail_over(&self, replica: Model) {
        self.lose_the_replica().await;
        *self.exchange.model.lock().unwrap() = replica;
        self.recover().await;
        assert!(self.follower().is_some(), "one of them leads");
    }

    async fn recover(&self) {
        self.exchange.is_unconfirmed.store(false, Ordering::Relaxed);
        sleep(LEASE * 3).await;
    }

    fn used(&self) -> [u32; 2] {
        [0, 1].map(|node| self.nodes[node].budget.usage().used)
    }
}

#[tokio::test(start_paused = true)]
async fn a_fail_over_that_loses_only_what_was_not_confirmed_leaves_the_hour() {
    let pair = Pair::start(true).await;
    assert_eq!(pair.spend(0..5).await, 5);
    pair.fail_over(pair.replica()).await;
    // Requests that were not confirmed may count, although they were not sent.
    for used in pair.used() {
        assert!((5..=15).contains(&used), "{used}");
    }
    assert_eq!(pair.spend(200..210).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_comes_back_leaves_the_hour() {
    let pair = Pair::start(true).await;
    assert_eq!(pair.spend(0..5).await, 5);
    pair.lose_the_replica().await;
    pair.recover().await;
    for used in pair.used() {
        assert!((5..=15).contains(&used), "{used}");
    }
    assert_eq!(pair.spend(200..210).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_killed_in_a_fail_over_leaves_the_hour() {
    for waits in [Duration::ZERO, LEASE * 3] {
        let pair = Pair::start(true).await;
        assert_eq!(pair.spend(0..5).await, 5);
        sleep(waits).await;
        let replica = pair.replica();
        pair.exchange.is_unconfirmed.store(true, Ordering::Relaxed);
        assert_eq!(pair.spend(100..110).await, 0);
        let led = |node: &&Counter| node.member.leads();
        let leader = pair.nodes.iter().find(led).expect("one of them leads");
        leader.task.abort();
        sleep(LEASE * 2).await;
        *pair.exchange.model.lock().unwrap() = replica;
        pair.recover().await;
        let survivor = pair.nodes.iter().find(|node| !node.task.is_finished());
        let survivor = survivor.expect("one of them lives");
        assert!(survivor.member.leads());
        let used = survivor.budget.usage().used;
        assert!((5..=15).contains(&used), "{used}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fail_over_counts_the_rest_of_the_hour_as_sent_if_nothing_was_ever_confirmed() {
    let pair = Pair::start(false).await;
    assert_eq!(pair.spend(0..5).await, 5);
    pair.fail_over(pair.replica()).await;
    assert_eq!(pair.used(), [LIMIT; 2]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_restored_to_an_earlier_state_counts_the_rest_of_the_hour_as_sent() {
    let pair = Pair::start(true).await;
    let backup = pair.replica();
    assert_eq!(pair.spend(0..5).await, 5);
    sleep(LEASE * 3).await;
    pair.fail_over(backup).await;
    assert_eq!(pair.used(), [LIMIT; 2]);
    assert_eq!(pair.spend(200..201).await, 0);
}
