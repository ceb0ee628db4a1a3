//! Tests what a node claims for its account, and what a refusal means.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{LEASE, spending, start, start_on};
use crate::{
    budget::Witness as _,
    clock::VirtualClock,
    cluster::{
        command::{Command, Reply},
        engine::{Engine, EngineError},
        member::claim_of,
        model::{Exchange, Model},
    },
};

#[tokio::test(start_paused = true)]
async fn a_leader_claims_its_new_token_and_stops_if_another_account_has_it() {
    let exchange = Exchange::new();
    let (node, member, running) = start(&exchange, "first");
    let claimed = |identity| {
        let accounts = &exchange.model.lock().unwrap().accounts;
        accounts.get(&claim_of(identity)).cloned()
    };
    sleep(LEASE * 3).await;
    assert!(member.leads());
    member.goes_on_as("second");
    sleep(LEASE).await;
    assert!(member.leads());
    for identity in ["first", "second"] {
        assert_eq!(claimed(identity).as_deref(), Some(member.key()));
    }
    let others = (claim_of("another's"), "another".to_owned());
    let accounts = |model: &mut Model| model.accounts.extend([others]);
    accounts(&mut exchange.model.lock().unwrap());
    member.goes_on_as("another's");
    assert!(!member.leads(), "not even until the claim is refused");
    sleep(LEASE * 3).await;
    assert!(!member.leads());
    member.goes_on_as("third");
    sleep(LEASE * 3).await;
    assert!(member.leads());
    assert_eq!(claimed("third").as_deref(), Some(member.key()));
    // A config that is read again, with another token, has the same account. It may yet be rejected.
    let (same, new) = node.member(&"main".into(), "origin", "another's");
    assert!(Arc::ptr_eq(&same, &member) && new.is_none());
    sleep(LEASE).await;
    assert!(member.leads());
    member.goes_on_as("another's");
    assert!(!member.leads(), "although the config has named it before");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gets_an_account_from_another_key_sends_nothing_for_an_hour() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let register = || exchange.model.lock().unwrap().accounts.clone();
    let node = spending::start_account(&exchange, &clock, "one");
    let others = (claim_of("identity"), "another".to_owned());
    let accounts = |model: &mut Model| model.accounts.extend([others]);
    accounts(&mut exchange.model.lock().unwrap());
    sleep(LEASE * 3).await;
    assert!(!node.member.leads());
    // The register is lost, and the other key's leader has not claimed again yet.
    exchange.model.lock().unwrap().accounts.clear();
    while !node.member.leads() {
        sleep(LEASE / 10).await;
    }
    assert_eq!(node.budget.usage().used, spending::LIMIT);
    // A leader claims again now and then.
    let claimed = register();
    assert!(claimed.contains_key(&claim_of("identity")));
    exchange.model.lock().unwrap().accounts.clear();
    sleep(LEASE * 40).await;
    assert_eq!(register(), claimed);
    assert!(node.member.leads());
}

#[tokio::test(start_paused = true)]
async fn what_a_follower_does_not_know_counts_for_an_hour() {
    let hour = Duration::from_secs(3600);
    for (waits, used) in [(LEASE, spending::LIMIT), (hour * 2, 0)] {
        let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
        let leader = spending::start_account(&exchange, &clock, "one");
        sleep(LEASE * 3).await;
        assert!(leader.member.leads());
        let follower = spending::start_account(&exchange, &clock, "two");
        sleep(LEASE).await;
        // Another key has the account for a moment.
        let register = exchange.model.lock().unwrap().accounts.clone();
        let others = (claim_of("identity"), "another".to_owned());
        let accounts = |model: &mut Model| model.accounts.extend([others]);
        accounts(&mut exchange.model.lock().unwrap());
        assert!(!follower.member.has_claim().await);
        exchange.model.lock().unwrap().accounts = register;
        assert!(follower.member.has_claim().await);
        sleep(waits).await;
        assert!(leader.member.leads());
        leader.task.abort();
        while !follower.member.leads() {
            sleep(LEASE / 10).await;
        }
        assert_eq!(follower.budget.usage().used, used);
    }
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_register_spoilt_knows_the_hour_only_if_it_leads() {
    for (is_leader, used) in [(false, spending::LIMIT), (true, 0)] {
        let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
        let spoil = || exchange.model.lock().unwrap().has_spoilt_register = true;
        if !is_leader {
            spoil();
        }
        let node = spending::start_account(&exchange, &clock, "one");
        sleep(LEASE * 3).await;
        if is_leader {
            spoil();
        }
        // A leader claims again now and then.
        sleep(LEASE * 40).await;
        assert!(!exchange.model.lock().unwrap().has_spoilt_register);
        assert!(node.member.leads());
        assert_eq!(node.budget.usage().used, used);
    }
}

/// A node's connection to the engine, which counts looks at the lease and may lose claims.
#[derive(Debug)]
struct Line {
    exchange: Arc<Exchange>,
    looks: AtomicUsize,
    loses_claims: AtomicBool,
}

impl Engine for Line {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            match command {
                Command::Look { .. } => {
                    self.looks.fetch_add(1, Ordering::Relaxed);
                }
                Command::Claim { .. } if self.loses_claims.load(Ordering::Relaxed) => {
                    return Err(EngineError::Silent);
                }
                _ => {}
            }
            self.exchange.run(account, command).await
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.exchange.keeps_what_it_confirms()
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_not_granted_is_repeated_only_with_the_next_look() {
    for is_refused in [true, false] {
        let exchange = Exchange::new();
        let line = Arc::new(Line {
            exchange: Arc::clone(&exchange),
            looks: AtomicUsize::new(0),
            loses_claims: AtomicBool::new(!is_refused),
        });
        if is_refused {
            let others = (claim_of("identity"), "another".to_owned());
            let accounts = |model: &mut Model| model.accounts.extend([others]);
            accounts(&mut exchange.model.lock().unwrap());
        }
        let (_node, member, running) = start_on(Arc::clone(&line) as Arc<_>, "identity");
        sleep(LEASE * 3).await;
        let before = line.looks.load(Ordering::Relaxed);
        sleep(LEASE * 10).await;
        // One in each third of a lease.
        let looks = line.looks.load(Ordering::Relaxed) - before;
        assert!((29..=31).contains(&looks), "{is_refused}: {looks}");
        assert!(!member.leads());

        exchange.model.lock().unwrap().accounts.clear();
        line.loses_claims.store(false, Ordering::Relaxed);
        sleep(LEASE / 2).await;
        assert!(member.leads(), "{is_refused}");
        running.abort();
    }
}
