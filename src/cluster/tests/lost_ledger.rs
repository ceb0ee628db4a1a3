//! Tests a node that has lost its ledger, and so counts what it may have sent.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::spending::{Counter, LEASE, LIMIT, SECOND, start, start_with};
use crate::{
    budget::{Budget, BudgetOwner, Ledger, Purpose, Witness as _},
    clock::VirtualClock,
    cluster::model::Exchange,
};

/// How many requests the cluster has sent.
const SENT: u32 = 5;

fn start_lost(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>, name: &str) -> Counter {
    let ledger = Arc::new(Ledger::lost(clock.as_ref()));
    let owner = BudgetOwner {
        account: "acme".to_owned(),
        identity: String::new(),
    };
    let limit = NonZeroU32::new(LIMIT).unwrap();
    let budget = Budget::new(ledger, owner, limit, 0, clock.clone());
    assert_eq!(budget.usage().used, LIMIT);
    start_with(exchange, clock, name, budget)
}

async fn until_it_leads(counter: &Counter) {
    while !counter.member.leads() {
        sleep(SECOND).await;
    }
}

/// Longer than anybody may lack requests of the hour before the log began.
const LONG: Duration = Duration::from_secs(2 * 3600);

/// Starts a node that has led for long and has sent some requests.
async fn leader(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>) -> Counter {
    let leader = start(exchange, clock, "one");
    until_it_leads(&leader).await;
    sleep(LONG).await;
    for _ in 0..SENT {
        let permit = leader.budget.permit(Purpose::OnDemand).await.unwrap();
        permit.answered();
    }
    leader
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_ledger_learns_the_hour_from_the_cluster() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let leader = leader(&exchange, &clock).await;
    let lost = start_lost(&exchange, &clock, "two");
    sleep(LEASE * 2).await;
    for node in [&leader, &lost] {
        assert_eq!(node.budget.usage().used, SENT);
    }
    leader.task.abort();
    until_it_leads(&lost).await;
    assert_eq!(lost.budget.usage().used, SENT);
    assert!(lost.budget.permit(Purpose::OnDemand).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_ledger_when_no_other_knows_the_hour_tells_all() {
    // The engine lost its data as well, or may have lost the end of its log.
    for has_log in [false, true] {
        let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
        if has_log {
            leader(&exchange, &clock).await.task.abort();
        }
        let lost = start_lost(&exchange, &clock, "two");
        until_it_leads(&lost).await;
        let other = start(&exchange, &clock, "three");
        sleep(LEASE).await;
        for node in [&lost, &other] {
            let used = node.budget.usage().used;
            assert!(used >= LIMIT, "{has_log}: {used}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_may_have_been_alone_when_it_lost_its_ledger_tells_all() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    *exchange.alone.lock().unwrap() = Some("two".to_owned());
    let other = start(&exchange, &clock, "one");
    sleep(LEASE * 2).await;
    let _lost = start_lost(&exchange, &clock, "two");
    sleep(LEASE * 2).await;
    let used = other.budget.usage().used;
    assert!(used >= LIMIT, "{used}");
}

/// Starts a fresh node, which leads an empty log, and then one that has lost its ledger. Returns how many requests both of them count then, and again
/// after the second has succeeded the first.
async fn counted_by_a_fresh_leader(was_there_before: bool, name: &str) -> [u32; 3] {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let fresh = start(&exchange, &clock, "one");
    until_it_leads(&fresh).await;
    if was_there_before {
        let before = start(&exchange, &clock, name);
        sleep(LEASE).await;
        before.task.abort();
    }
    let lost = start_lost(&exchange, &clock, name);
    sleep(LEASE * 2).await;
    assert!(fresh.member.leads());
    let [one, two] = [&fresh, &lost].map(|node| node.budget.usage().used);
    fresh.task.abort();
    until_it_leads(&lost).await;
    [one, two, lost.budget.usage().used]
}

#[tokio::test(start_paused = true)]
async fn a_fresh_leader_counts_what_a_node_that_lost_its_ledger_may_have_sent() {
    assert_eq!(counted_by_a_fresh_leader(false, "two").await, [LIMIT; 3]);
    // What it has sent since it joined the cluster for the first time is in the log.
    assert_eq!(counted_by_a_fresh_leader(true, "two").await, [0; 3]);
    // A node that lives is no earlier process of it, whatever its name.
    assert_eq!(counted_by_a_fresh_leader(false, "one").await, [LIMIT; 3]);
}

#[tokio::test(start_paused = true)]
async fn the_followers_of_a_fresh_leader_do_not_know_the_hour_either() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let fresh = start(&exchange, &clock, "one");
    until_it_leads(&fresh).await;
    let heir = start(&exchange, &clock, "three");
    sleep(LEASE).await;
    fresh.task.abort();
    until_it_leads(&heir).await;
    let lost = start_lost(&exchange, &clock, "two");
    sleep(LEASE * 2).await;
    for node in [&heir, &lost] {
        assert_eq!(node.budget.usage().used, LIMIT);
    }
}
