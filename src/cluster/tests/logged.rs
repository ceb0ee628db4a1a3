//! Tests what a node logs about the engine's data, and how often.

use std::time::Duration;

use tokio::time::sleep;

use super::{LEASE, start};
use crate::{
    cluster::{command::Position, member::claim_of, model::Exchange},
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
