//! Tests what a node logs about the engine's data, and how often.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{LEASE, start, start_on};
use crate::{
    cluster::{
        command::{Command, Position, Reply},
        engine::{Engine, EngineError},
        member::claim_of,
        model::Exchange,
    },
    logged::listen,
};

const SPOILT: &str = "the cluster's data about the account was spoilt";
const REFUSED: &str = "another node of the cluster has this account";

fn spoil_the_log(exchange: &Exchange) {
    let position = Position {
        epoch: 1,
        number: 1,
    };
    let entry = (Duration::ZERO, b"no entry".to_vec());
    exchange.model.lock().unwrap().log.insert(position, entry);
}

fn have_another_claim(exchange: &Exchange) {
    let accounts = &mut exchange.model.lock().unwrap().accounts;
    accounts.insert(claim_of("identity"), "another".to_owned());
}

#[tokio::test(start_paused = true)]
async fn a_spoilt_log_and_a_refused_claim_are_each_logged_once_in_either_order() {
    for is_entry_first in [true, false] {
        let (logged, _guard) = listen();
        let exchange = Exchange::new();
        have_another_claim(&exchange);
        if is_entry_first {
            spoil_the_log(&exchange); // It is read at once, and the account claimed after a lease.
        }
        let (_node, member, running) = start(&exchange, "identity");
        sleep(LEASE * 3).await;
        if !is_entry_first {
            spoil_the_log(&exchange);
            sleep(LEASE).await;
        }
        let lines = logged.lines();
        let line = |words| lines.iter().position(|line| line.contains(words));
        let (entry, refused) = (line(SPOILT), line(REFUSED));
        assert!(entry.is_some() && refused.is_some(), "{lines:#?}");
        assert_eq!(entry < refused, is_entry_first, "{lines:#?}");
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(!member.status().leads);
        running.abort();
    }
}

/// An engine that takes longer to discard the data than an answer may.
#[derive(Debug)]
struct Slow {
    exchange: Arc<Exchange>,
    has_discarded: AtomicBool,
}

impl Engine for Slow {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            let answered = self.exchange.run(account, command).await;
            let discards = matches!(command, Command::Discard { .. });
            match discards && !self.has_discarded.swap(true, Ordering::Relaxed) {
                true => Err(EngineError::Silent),
                false => answered,
            }
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.exchange.keeps_what_it_confirms()
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_discarded_slowly_is_logged_once() {
    let (logged, _guard) = listen();
    let exchange = Exchange::new();
    spoil_the_log(&exchange);
    let engine = Slow {
        exchange,
        has_discarded: AtomicBool::new(false),
    };
    let (_node, member, running) = start_on(Arc::new(engine), "identity");
    sleep(LEASE * 3).await;
    let lines = logged.lines();
    let spoilt = lines.iter().filter(|line| line.contains(SPOILT)).count();
    assert_eq!(spoilt, 1, "{lines:#?}");
    assert!(member.status().leads);
    running.abort();
}
