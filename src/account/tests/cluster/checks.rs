//! Tests a check on any node: the node sends the requests, and the leader counts each before that.

use super::*;
use crate::{
    budget::{Cause, Purpose},
    calltools::RequestError,
    cluster::{
        guest::Guest,
        model::Mishap::{Doubled, Lost, None as Arrives},
    },
};

impl Running {
    /// Returns the budget and the client of this node's checks.
    fn check(&self, fixture: &Fixture) -> (Arc<Budget>, Client) {
        let member = || Arc::clone(&self.member);
        let guest = Arc::new(Guest::new(member(), member()));
        let budget = Arc::new(self.budget.witnessed_by(guest));
        let client = Client::new(
            fixture.wire.clone(),
            Arc::clone(&budget),
            fixture.clock.clone(),
            Arc::new(()),
        );
        (budget, client)
    }
}

/// Reads a list. Returns why it could not.
async fn read(client: &Client) -> Option<Cause> {
    match client.statuses(Purpose::OnDemand, None).await {
        Ok(_) => None,
        Err(RequestError::Refused(refusal)) => Some(refusal.cause),
        Err(other) => panic!("{other:?}"),
    }
}

/// Starts two nodes of an account with 60 requests an hour, without a reserve.
async fn small() -> (Fixture, Arc<Exchange>, Running, Running) {
    let (fixture, exchange) = frozen(1);
    let start = |name| Running::of(&fixture, &exchange, name, Known::default(), 1, 60);
    let leader = start("one");
    leader.until_it_leads().await;
    let follower = start("two");
    sleep(MINUTE).await;
    assert!(leader.member.leads() && !follower.member.leads());
    fixture.sent();
    (fixture, exchange, leader, follower)
}

#[tokio::test(start_paused = true)]
async fn checks_on_all_nodes_together_get_what_the_hour_has_and_not_one_more() {
    let (fixture, _exchange, leader, follower) = small().await;
    let before = leader.budget.usage().used;
    let clients = [&leader, &follower].map(|node| node.check(&fixture).1);
    let mut sent = 0;
    let mut refused = Vec::new();
    while refused.len() < 10 {
        for client in &clients {
            match read(client).await {
                None => sent += 1,
                Some(cause) => refused.push(cause),
            }
        }
        assert!(sent <= 60, "{sent}");
    }
    assert!(sent > 20, "both sent some: {sent}");
    assert!(refused.contains(&Cause::Spent), "{refused:?}");
    // The leader polls as well.
    let all = before as usize + fixture.sent().len();
    assert!((58..=60).contains(&all), "{all}");
    sleep(SECOND).await;
    for node in [&leader, &follower] {
        assert_eq!(node.budget.usage().used as usize, all);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_whose_messages_are_lost_sends_nothing_that_is_not_counted() {
    let (fixture, exchange, leader, follower) = small().await;
    let (_, client) = follower.check(&fixture);
    for (mishaps, refused) in [
        (&[][..], None),
        (&[Doubled, Doubled][..], None),
        (&[Lost][..], Some(Cause::NotLeading)),
        // The leader has counted it.
        (&[Arrives, Lost][..], Some(Cause::NotLeading)),
    ] {
        fixture.sent();
        let used = leader.budget.usage().used;
        *exchange.mishaps.lock().unwrap() = mishaps.iter().copied().collect();
        assert_eq!(read(&client).await, refused, "{mishaps:?}");
        sleep(SECOND * 2).await;
        exchange.mishaps.lock().unwrap().clear();
        let counted = leader.budget.usage().used - used;
        let sent = fixture.sent().len();
        assert!(counted as usize >= sent, "{counted} {sent}");
        assert_eq!(sent > 0, refused.is_none(), "{mishaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_a_check_meets_is_the_leaders_pause() {
    let (fixture, _exchange, leader, follower) = small().await;
    let (budget, client) = follower.check(&fixture);
    budget.throttled(Some(10 * MINUTE));
    sleep(SECOND).await;
    let (throttled, _) = leader.budget.silence();
    assert!(throttled >= Some(9 * MINUTE), "{throttled:?}");
    assert_eq!(read(&client).await, Some(Cause::Throttled));
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_or_with_another_accounts_token_a_check_sends_nothing() {
    let (fixture, exchange, leader, follower) = small().await;
    let (_, client) = follower.check(&fixture);
    drop(leader);
    let begun = tokio::time::Instant::now();
    assert_eq!(read(&client).await, Some(Cause::NotLeading));
    assert!(begun.elapsed() <= SECOND * 2, "{:?}", begun.elapsed());
    assert_eq!(fixture.sent().len(), 0);
    follower.until_it_leads().await;
    assert_eq!(read(&client).await, None);

    let late = Running::of(&fixture, &exchange, "three", Known::default(), 1, 60);
    sleep(MINUTE).await;
    let others = |model: &mut crate::cluster::model::Model| {
        for account in model.accounts.values_mut() {
            *account = "another".to_owned();
        }
    };
    others(&mut exchange.model.lock().unwrap());
    let (_, client) = late.check(&fixture);
    let used = follower.budget.usage().used;
    assert_eq!(read(&client).await, Some(Cause::NotLeading));
    assert_eq!(follower.budget.usage().used, used);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_on_alone_checks_without_the_engine() {
    let (fixture, exchange) = frozen(1);
    *exchange.alone.lock().unwrap() = Some("two".to_owned());
    let start = |name| Running::of(&fixture, &exchange, name, Known::default(), 1, 60);
    let named = start("two");
    named.node.lead_last();
    let other = start("one");
    other.until_it_leads().await;
    sleep(MINUTE).await;
    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    named.until_it_leads().await;
    // It has never led before, so it has never claimed the account.
    let (_, client) = named.check(&fixture);
    assert_eq!(read(&client).await, None);
    let (_, client) = other.check(&fixture);
    assert_eq!(read(&client).await, Some(Cause::NotLeading));
}
