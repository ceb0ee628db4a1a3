//! Tests nodes of different versions: one reads only format 1, and others also a format 2, which is pretended.

use std::{io::Read as _, num::NonZeroU32};

use flate2::read::ZlibDecoder;
use tokio::time::sleep;

use super::*;
use crate::{
    budget::{Budget, Purpose, Witness as _},
    cluster::{entry::Entry, model::Model, trouble::Trouble},
};

const SECOND: Duration = Duration::from_secs(1);

const LIMIT: u32 = 20;

/// A node whose version reads formats up to `format`.
fn node(exchange: &Arc<Exchange>, name: &str, format: u32) -> (Arc<Member>, JoinHandle<()>) {
    let (member, _, running) = counting(exchange, name, format);
    (member, running)
}

/// The same, with its budget.
fn counting(
    exchange: &Arc<Exchange>,
    name: &str,
    format: u32,
) -> (Arc<Member>, Arc<Budget>, JoinHandle<()>) {
    let settings = Settings {
        name: name.to_owned(),
        lease: LEASE,
        alone: None,
    };
    let clock = Arc::new(VirtualClock::default());
    let node = Node::new(Arc::clone(exchange) as Arc<_>, settings, clock.clone());
    let node = Arc::new(node.with_format(format));
    exchange.introduce(&node);
    let (member, new) = node.member(&"main".into(), "origin", "identity");
    let budget = Budget::in_memory(NonZeroU32::new(LIMIT).unwrap(), 0, clock);
    let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
    let mut membership = node.membership(new.unwrap(), Some(Arc::clone(&budget)));
    let task = membership.task.take().unwrap();
    let running = tokio::spawn(async move {
        task.run(CancellationToken::new()).await;
        drop(node);
    });
    (member, budget, running)
}

fn format_of(data: &[u8]) -> u64 {
    let mut json = Vec::new();
    ZlibDecoder::new(data).read_to_end(&mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    json["format"].as_u64().unwrap()
}

/// Publishes an entry. Returns its format, and that of the last checkpoint.
async fn written(exchange: &Exchange, leader: &Member) -> [u64; 2] {
    let entry = Entry {
        doubted: true,
        ..Entry::default()
    };
    assert!(leader.publish_and_wait(entry).await);
    let model = exchange.model.lock().unwrap();
    let (_, (_, last)) = model.log.last_key_value().unwrap();
    let checkpoint = model.checkpoint.as_ref().unwrap();
    [format_of(last), format_of(&checkpoint.parts[0])]
}

async fn until_it_leads(member: &Member) {
    while !member.leads() {
        sleep(SECOND / 10).await;
    }
}

/// Returns whether a node follows: it has just read the whole log.
fn follows(member: &Member) -> bool {
    let status = member.status();
    status.trouble(member.clock.now()).is_none() && status.up_to_date.is_some()
}

#[tokio::test(start_paused = true)]
async fn the_older_format_is_written_until_the_last_node_that_needs_it_is_gone() {
    let exchange = Exchange::new();
    let (new, running) = node(&exchange, "new", 2);
    until_it_leads(&new).await;
    assert_eq!(written(&exchange, &new).await, [2, 2]);
    // An older version joins: it reads what it can.
    let (old, old_running) = node(&exchange, "old", 1);
    assert_eq!(old.status().trouble(old.clock.now()), None, "not asked yet");
    sleep(LEASE).await;
    assert_eq!(written(&exchange, &new).await, [1, 1]);
    sleep(SECOND * 2).await;
    assert!(follows(&old), "{:?}", old.status());
    // It may be stopped for as long as a node is not taken for gone.
    old_running.abort();
    sleep(LEASE * 2).await;
    assert_eq!(written(&exchange, &new).await, [1, 1]);
    sleep(LEASE * 2).await;
    assert_eq!(written(&exchange, &new).await, [2, 2]);
    // Each leads after the other, although one has begun with a log that it cannot read.
    let (old, _old_running) = node(&exchange, "old", 1);
    sleep(LEASE).await;
    assert!(follows(&old), "{:?}", old.status());
    running.abort();
    until_it_leads(&old).await;
    let (newer, _running) = node(&exchange, "newer", 2);
    sleep(LEASE).await;
    assert!(follows(&newer), "{:?}", newer.status());
    assert_eq!(written(&exchange, &old).await, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_format_nobody_writes_any_more_only_says_so() {
    let exchange = Exchange::new();
    let (new, _running) = node(&exchange, "new", 2);
    until_it_leads(&new).await;
    // Older than the oldest format that is written.
    let (older, _older_running) = node(&exchange, "older", 0);
    sleep(LEASE * 2).await;
    assert_eq!(written(&exchange, &new).await, [1, 1]);
    sleep(SECOND * 2).await;
    assert!(!follows(&older) && !older.leads());
    let trouble = older.status().trouble(older.clock.now());
    assert_eq!(trouble, Some(Trouble::Behind));
    assert!(follows(&new));
}

/// How many requests a leader sends, before the engine loses its data.
const SENT: u32 = 5;

/// A leader of format 2 sends some requests. The engine loses its data, the leader stores again what it knows, and is gone. Returns how many requests
/// the next leader counts, which reads formats up to this one.
async fn counted_by_a_node_of(format: u32) -> u32 {
    let exchange = Exchange::new();
    let (new, budget, running) = counting(&exchange, "new", 2);
    until_it_leads(&new).await;
    for _ in 0..SENT {
        let permit = budget.permit(Purpose::OnDemand).await.unwrap();
        permit.answered();
    }
    sleep(SECOND).await;
    *exchange.model.lock().unwrap() = Model::default();
    // It has looked twice, and does not lead again before a whole lease has passed.
    sleep(LEASE * 4 / 5).await;
    running.abort();
    let (old, budget, _running) = counting(&exchange, "old", format);
    until_it_leads(&old).await;
    budget.usage().used
}

#[tokio::test(start_paused = true)]
async fn an_older_leader_counts_what_a_newer_node_has_stored() {
    assert_eq!(counted_by_a_node_of(1).await, SENT);
    // It cannot read any format that is written, so it does not know the hour.
    assert_eq!(counted_by_a_node_of(0).await, LIMIT);
}
