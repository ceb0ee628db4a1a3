//! Tests the one node that may go on without the engine.

use std::collections::BTreeSet;

use super::*;
use crate::cluster::member::Status;

#[tokio::test(start_paused = true)]
async fn the_named_node_goes_on_without_the_engine_and_the_others_wait_for_it() {
    let (fixture, exchange) = fixture(1, 10);
    *exchange.alone.lock().unwrap() = Some("two".to_owned());
    let other = Running::start(&fixture, &exchange, "one");
    sleep(MINUTE).await;
    assert!(!other.member.leads(), "the named node may be alone");
    let named = Running::start(&fixture, &exchange, "two");
    sleep(MINUTE).await;
    assert!(named.member.leads() != other.member.leads());

    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(3 * LEASE).await;
    assert!(named.member.leads() && !other.member.leads());
    assert_eq!(named.budget.usage().limit, 750);
    says_that_it_is_alone(&named.member.status(), &fixture);
    fixture.sent();
    for _ in 0..10 {
        sleep(MINUTE).await;
        assert!(named.decide(&fixture, 0).age.unwrap() < MINUTE);
    }
    assert!(!fixture.sent().is_empty());
    let spent = named.budget.usage().used;
    assert!(other.budget.usage().used < spent);

    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    sleep(MINUTE).await;
    assert!(named.member.leads() != other.member.leads());
    assert!(
        other.budget.usage().used >= spent,
        "the node knows what was spent"
    );
    assert_eq!(named.budget.usage().limit, 1000);
    let status = named.member.status();
    assert_eq!(status.nodes.len(), 2);
    assert_eq!(status.trouble(fixture.clock.now()), None);
    // Nobody knows whether a node that cannot be seen goes on alone.
    drop(named);
    sleep(3 * LEASE).await;
    fixture.sent();
    sleep(MINUTE).await;
    assert!(!other.member.leads() && fixture.sent().is_empty());
}

/// Checks that this is the status of the node `two`, which leads without the engine.
fn says_that_it_is_alone(status: &Status, fixture: &Fixture) {
    assert!(!status.up);
    assert_eq!(status.leader(), Some("two"));
    assert_eq!(status.nodes.len(), 1, "{:?}", status.nodes);
    let trouble = status.trouble(fixture.clock.now()).unwrap().to_string();
    let told =
        "does not answer, so this node goes on alone, with three quarters of the hour's requests";
    assert!(trouble.ends_with(told), "{trouble}");
}

/// Returns how many different requests the mirrors in the engine have.
fn mirrored(fixture: &Fixture, exchange: &Exchange) -> usize {
    let reading = reading(fixture);
    let model = exchange.model.lock().unwrap();
    let mirrors = model.mirrors.values();
    let requests = mirrors.flat_map(|mirror| decode(mirror, &reading).unwrap().requests);
    let marks = requests.map(|request| (request.mark.process, request.mark.number));
    marks.collect::<BTreeSet<_>>().len()
}

#[tokio::test(start_paused = true)]
async fn what_the_named_node_sent_alone_is_in_its_mirror_once_the_engine_is_back() {
    let (fixture, exchange) = fixture(1, 10);
    *exchange.alone.lock().unwrap() = Some("two".to_owned());
    // With so few requests, it publishes nothing while the engine is lost. An entry without an answer would have the mirror stored anyway.
    let named = Running::of(&fixture, &exchange, "two", Known::default(), 1, 60);
    named.until_it_leads().await;
    sleep(3 * MINUTE).await;

    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(LEASE).await;
    assert!(!named.member.leads());
    sleep(LEASE * 2).await;
    assert!(named.member.leads());
    let before = mirrored(&fixture, &exchange);
    for _ in 0..5 {
        assert_eq!(named.refresh(&fixture, 0).await.0, Ok(()));
    }
    let spent = named.budget.usage().used as usize;
    assert!(spent >= before + 5, "{before} {spent}");

    // The data set and the lease have not changed, and no other node asks for its mirror.
    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    sleep(MINUTE).await;
    let stored = mirrored(&fixture, &exchange);
    assert!(stored >= spent, "{stored} of {spent}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_loses_nothing_leaves_the_hour() {
    // The old leader goes on alone, or waits for the engine.
    for alone in [Some("two"), None] {
        let (fixture, exchange) = fixture(1, 10);
        *exchange.alone.lock().unwrap() = alone.map(str::to_owned);
        let named = Running::start(&fixture, &exchange, "two");
        named.until_it_leads().await;
        sleep(3 * MINUTE).await;
        // What it publishes now gets no answer.
        exchange.is_down.store(true, AtomicOrdering::Relaxed);
        for _ in 0..5 {
            let (reply, _refreshed) = oneshot::channel();
            let queue = fixture.keys[0].clone();
            named
                .asks
                .send(Ask::Refresh { queue, reply })
                .await
                .unwrap();
            sleep(SECOND).await;
        }
        sleep(LEASE * 4).await;
        assert_eq!(named.member.leads(), alone.is_some());
        exchange.is_down.store(false, AtomicOrdering::Relaxed);
        sleep(MINUTE).await;
        assert!(named.member.leads());
        let usage = named.budget.usage();
        assert!(usage.used < usage.limit / 2, "{usage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_named_node_did_alone_is_told_to_all_at_once_if_it_leads_again_in_the_same_epoch()
{
    let (fixture, exchange) = fixture(1, 10);
    *exchange.alone.lock().unwrap() = Some("two".to_owned());
    // With so few requests, it publishes little, so a checkpoint that only time makes due comes late.
    let start = |name| Running::of(&fixture, &exchange, name, Known::default(), 1, 60);
    let named = start("two");
    named.until_it_leads().await;
    let other = start("one");
    sleep(3 * MINUTE).await;
    let epoch = named.member.status().epoch;

    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(3 * LEASE).await;
    assert!(named.member.leads());
    for _ in 0..5 {
        assert_eq!(named.refresh(&fixture, 0).await.0, Ok(()));
    }
    let spent = named.budget.usage().used;
    assert!(spent >= other.budget.usage().used + 5);

    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    sleep(LEASE / 2).await;
    assert!(named.member.leads());
    assert_eq!(named.member.status().epoch, epoch);
    let known = other.budget.usage().used;
    assert!(known >= spent, "{known} of {spent}");
    let age = other.decide(&fixture, 0).age;
    assert_eq!(age.map(|age| age < LEASE), Some(true), "{age:?}");
}
