//! Tests what a node reports about the others.

use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::{
    budget::Witness as _,
    cluster::{codec, command::Position, entry::Entry},
};

/// Reports as a node does: which entry it has read.
fn publish(exchange: &Exchange, name: &str, epoch: u64, number: u64) {
    let info = json!({
        "name": name, "beat": 1, "epoch": epoch, "number": number, "format": codec::FORMAT,
    });
    let info = serde_json::to_vec(&info).unwrap();
    let mut model = exchange.model.lock().unwrap();
    model.nodes.insert(name.to_owned(), info);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_reads_no_entry_of_this_epoch_is_behind_by_all_of_them() {
    let exchange = Exchange::new();
    let (_node, member, running) = start(&exchange, "identity");
    while !member.leads() {
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..4 {
        let entry = Entry {
            doubted: true,
            ..Entry::default()
        };
        assert!(member.publish_and_wait(entry).await);
    }
    let last = *exchange
        .model
        .lock()
        .unwrap()
        .log
        .last_key_value()
        .unwrap()
        .0;
    let Position { epoch, number } = last;
    assert!(number >= 5, "{last}");
    // One has read nothing since the last leader, one never anything, and one follows.
    publish(&exchange, "stuck", epoch - 1, number + 100);
    publish(&exchange, "empty", 0, 0);
    publish(&exchange, "slow", epoch, number - 2);
    publish(&exchange, "current", epoch, number);
    sleep(LEASE / 2).await;
    let nodes = member.status().nodes;
    let behind: Vec<_> = nodes.iter().map(|one| (&*one.name, one.behind)).collect();
    let expected = [
        ("current", 0),
        ("empty", number),
        ("one", 0),
        ("slow", 2),
        ("stuck", number),
    ];
    assert_eq!(behind, expected);
    running.abort();
}
