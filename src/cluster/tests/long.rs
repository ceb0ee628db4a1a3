//! Tests an entry that is too long for the log.

use serde_json::{json, value::to_raw_value};
use tokio::{sync::mpsc, time::sleep};

use super::*;
use crate::{
    budget::Witness as _,
    cluster::{
        codec::MAX_UNPACKED,
        entry::{Entry, Rows},
    },
};

/// The rows of each queue: as many as a part of a checkpoint has.
const ROWS: usize = 1_000;

/// A node, and the news for its account's task.
struct Peer {
    member: Arc<Member>,
    news: mpsc::Receiver<Arc<Entry>>,
    _node: Node,
}

impl Peer {
    fn start(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>, name: &str) -> Self {
        let settings = Settings {
            name: name.to_owned(),
            lease: LEASE,
            alone: None,
        };
        let node = Node::new(Arc::clone(exchange) as Arc<_>, settings, clock.clone());
        let (member, new) = node.member(&"main".into(), "origin", "identity");
        let mut membership = node.membership(new.unwrap(), None);
        let task = membership.task.take().unwrap();
        tokio::spawn(task.run(CancellationToken::new()));
        Self {
            member,
            news: membership.news,
            _node: node,
        }
    }

    /// Returns how many rows of queues the account's task has got.
    fn rows(&mut self) -> usize {
        let news = std::iter::from_fn(|| self.news.try_recv().ok());
        let polls = news.map(|entry| entry.polls.iter().map(|(_, rows)| rows.rows.len()).sum());
        polls.fold(0, |most: usize, rows| most.max(rows))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_for_an_entry_reaches_all_nodes_with_a_checkpoint() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let leader = Peer::start(&exchange, &clock, "one");
    sleep(LEASE * 3).await;
    assert!(leader.member.leads());
    let mut follower = Peer::start(&exchange, &clock, "two");
    sleep(LEASE).await;

    let row = to_raw_value(&json!({ "app_user": "x".repeat(1_000) })).unwrap();
    let queues = MAX_UNPACKED / row.get().len() as u64 / ROWS as u64 + 1;
    let rows = Rows {
        as_of: crate::clock::Clock::now(&*clock),
        took: Duration::ZERO,
        complete: true,
        rows: vec![row.into(); ROWS],
    };
    let entry = Entry {
        polls: (1..=queues).map(|queue| (queue, rows.clone())).collect(),
        ..Entry::default()
    };
    let generation = || exchange.model.lock().unwrap().generation.clone();
    let before = generation();
    assert!(leader.member.publish_and_wait(entry).await);
    sleep(LEASE).await;
    let mut new = Peer::start(&exchange, &clock, "three");
    sleep(LEASE * 3).await;
    for node in [&mut follower, &mut new] {
        assert_eq!(node.rows(), queues as usize * ROWS);
    }
    assert!(leader.member.leads());
    assert_eq!(generation(), before, "nothing was spoilt");
}
