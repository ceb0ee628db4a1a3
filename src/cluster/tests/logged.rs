//! Tests what a node logs about the engine's data, and how often.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::VirtualClock,
    cluster::{
        command::Position,
        model::Exchange,
        node::{Node, Settings},
    },
    logged::listen,
    model::digest::Digest,
};

const LEASE: Duration = Duration::from_secs(10);

const BAD_ENTRY: &str = "an entry of the cluster's log cannot be used";
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
    let identity = Digest::new("identity").short();
    let accounts = &mut exchange.model.lock().unwrap().accounts;
    accounts.insert(identity, "another".to_owned());
}

#[tokio::test(start_paused = true)]
async fn an_unusable_entry_and_a_refused_claim_are_each_logged_once_in_either_order() {
    for is_entry_first in [true, false] {
        let (logged, _guard) = listen();
        let exchange = Exchange::new();
        let settings = Settings {
            name: "one".to_owned(),
            lease: LEASE,
            alone: None,
        };
        let clock = Arc::new(VirtualClock::default());
        let node = Node::new(Arc::clone(&exchange) as Arc<_>, settings, clock);
        let (member, seat) = node.member(&"main".into(), "origin", "identity");
        let mut membership = node.membership(seat.unwrap(), None);
        let task = membership.task.take().unwrap();
        have_another_claim(&exchange);
        if is_entry_first {
            spoil_the_log(&exchange); // It is read at once, and the account claimed after a lease.
        }
        let running = tokio::spawn(task.run(CancellationToken::new()));
        sleep(LEASE * 3).await;
        if !is_entry_first {
            spoil_the_log(&exchange);
            sleep(LEASE).await;
        }
        let lines = logged.lines();
        let line = |words| lines.iter().position(|line| line.contains(words));
        let (entry, refused) = (line(BAD_ENTRY), line(REFUSED));
        assert!(entry.is_some() && refused.is_some(), "{lines:#?}");
        assert_eq!(entry < refused, is_entry_first, "{lines:#?}");
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(!member.status().leads);
        running.abort();
    }
}
