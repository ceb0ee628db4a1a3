//! Tests a lease whose renewals get no answer, and one that was given away.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::*;
use crate::{
    budget::Witness as _,
    clock::Clock as _,
    cluster::{
        command::{Command, Reply},
        engine::EngineError,
        model::Model,
    },
};

/// An engine that does not answer the next renewals, although it applies them.
#[derive(Debug)]
struct Quiet {
    exchange: Arc<Exchange>,
    renewals: AtomicUsize,
}

impl Engine for Quiet {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            let answered = self.exchange.run(account, command).await;
            let fewer = |left: usize| left.checked_sub(1);
            let order = Ordering::Relaxed;
            if matches!(command, Command::Renew { .. })
                && self.renewals.fetch_update(order, order, fewer).is_ok()
            {
                sleep(Duration::from_millis(400)).await;
                return Err(EngineError::Silent);
            }
            answered
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.exchange.keeps_what_it_confirms()
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_renewals_get_no_answer_acts_no_longer_than_others_wait() {
    let (exchange, clock) = (Exchange::new(), VirtualClock::default());
    let quiet = Arc::new(Quiet {
        exchange: Arc::clone(&exchange),
        renewals: AtomicUsize::new(0),
    });
    let (_node, member, running) = start_on(Arc::clone(&quiet) as Arc<_>, "identity");
    sleep(LEASE * 3).await;
    // Others count from when the lease's text changed, and one may lead half a second after a whole lease.
    let mut seen = (String::new(), clock.now().boot);
    for lost in [0, 1, 2, 0] {
        quiet.renewals.store(lost, Ordering::Relaxed);
        for _ in 0..LEASE.as_secs() * 20 {
            sleep(Duration::from_millis(100)).await;
            let lease = exchange.model.lock().unwrap().lease.clone();
            if lease != seen.0 {
                seen = (lease, clock.now().boot);
            }
            // Without two renewals in a row, it waits for the third.
            assert!(member.leads() || lost == 2, "{lost}");
            let until = member.tenure.until();
            let latest = seen.1 + LEASE - Duration::from_millis(900);
            assert!(until <= latest, "{lost}: {until:?} {latest:?}");
        }
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_given_its_lease_away_does_not_say_that_it_knows_the_hour() {
    for gives_away in [false, true] {
        let exchange = Exchange::new();
        let settings = Settings {
            name: "one".to_owned(),
            lease: LEASE,
            alone: None,
        };
        let clock = Arc::new(VirtualClock::default());
        let node = Node::new(Arc::clone(&exchange) as Arc<_>, settings, clock);
        let (member, new) = node.member(&"main".into(), "origin", "identity");
        let mut membership = node.membership(new.unwrap(), None);
        let (task, stop) = (membership.task.take().unwrap(), CancellationToken::new());
        tokio::spawn(task.run(stop.clone()));
        sleep(LEASE * 3).await;
        assert!(member.leads());
        if gives_away {
            stop.cancel();
            sleep(Duration::from_millis(100)).await;
        }
        *exchange.model.lock().unwrap() = Model::default();
        sleep(LEASE * 4 / 5).await;
        let infos = exchange.model.lock().unwrap().nodes.clone();
        let (_, info) = infos.first_key_value().unwrap();
        let info: serde_json::Value = serde_json::from_slice(info).unwrap();
        assert_eq!(info["knows_all_of"].is_null(), gives_away, "{info}");
    }
}
