//! Tests what a node does about a log that lacks an entry.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock as _, VirtualClock},
    cluster::{
        codec::{Writing, encode},
        command::{MAX_READ, Position},
        entry::Entry,
        model::Exchange,
        node::{Node, Settings},
    },
};

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_log_that_lacks_entries_is_read_to_its_end() {
    let reads = MAX_READ as u64;
    let last = 4 * reads - 1;
    for lacks in [
        vec![1],
        vec![reads / 2],
        vec![reads + 1],
        vec![reads + 2],
        vec![2 * reads + 5],
        vec![3, reads + 2, 3 * reads],
        (reads..3 * reads).collect(),
        vec![last - 1],
    ] {
        let exchange = Exchange::new();
        let clock = Arc::new(VirtualClock::default());
        let writing = Writing {
            now: clock.now(),
            engine: Duration::from_secs(1_795_000_000),
        };
        let entry = encode(&Entry::default(), &writing);
        let numbers = (1..=last).filter(|number| !lacks.contains(number));
        for number in numbers {
            let position = Position { epoch: 1, number };
            let logged = (Duration::ZERO, entry.clone());
            exchange.model.lock().unwrap().log.insert(position, logged);
        }
        let settings = Settings {
            name: "one".to_owned(),
            lease: LEASE,
            alone: None,
        };
        let node = Node::new(Arc::clone(&exchange) as Arc<_>, settings, clock);
        let (member, seat) = node.member(&"main".into(), "origin", "identity");
        let mut membership = node.membership(seat.unwrap(), None);
        let task = membership.task.take().unwrap();
        let running = tokio::spawn(task.run(CancellationToken::new()));
        sleep(LEASE * 3).await;
        assert!(member.status().leads, "{lacks:?}");
        running.abort();
    }
}
