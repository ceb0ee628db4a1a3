//! Tests the cluster's parts together: scripts against their model, and nodes in virtual time.

mod busy;
mod claims;
mod fail_over;
mod formats;
mod gap;
mod logged;
mod long;
mod losses;
mod lost_ledger;
mod member;
mod nodes;
mod refusals;
mod renewals;
mod scripts;
mod silence;
mod simulated;
mod spending;
mod spoilt;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    engine::Engine,
    member::Member,
    model::Exchange,
    node::{Node, Settings},
};
use crate::clock::VirtualClock;

const LEASE: Duration = Duration::from_secs(10);

/// Starts the only node of a cluster, whose account has this identity.
fn start(exchange: &Arc<Exchange>, identity: &str) -> (Node, Arc<Member>, JoinHandle<()>) {
    start_on(Arc::clone(exchange) as Arc<_>, identity)
}

/// The same with another engine.
fn start_on(engine: Arc<dyn Engine>, identity: &str) -> (Node, Arc<Member>, JoinHandle<()>) {
    let settings = Settings {
        name: "one".to_owned(),
        lease: LEASE,
        alone: None,
    };
    let clock = Arc::new(VirtualClock::default());
    let node = Node::new(engine, settings, clock);
    let (member, new) = node.member(&"main".into(), "origin", identity);
    let mut membership = node.membership(new.unwrap(), None);
    let task = membership.task.take().unwrap();
    let running = tokio::spawn(async move {
        let _ = task.run(CancellationToken::new()).await;
    });
    (node, member, running)
}
