//! Tests a pause that CallTools asked for while the leader changes.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::spending::{Counter, LEASE, SECOND, start};
use crate::{budget::Witness as _, clock::VirtualClock, cluster::model::Exchange};

const PAUSE: Duration = Duration::from_secs(1_800);

/// What a node adds to the rest of a pause that it hears of, at most.
const JITTER: Duration = Duration::from_secs(10);

/// Starts a node that leads, and has written an entry since it read the mirrors.
async fn leader(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>) -> Counter {
    let first = start(exchange, clock, "one");
    while !first.member.leads() {
        sleep(SECOND).await;
    }
    sleep(LEASE).await;
    first.member.silenced(false, Some(Duration::ZERO));
    sleep(SECOND).await;
    first
}

fn left(node: &Counter) -> Duration {
    node.budget.silence().0.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_it_would_on_one_machine_however_many_nodes_start_during_it() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let node = |name| start(&exchange, &clock, name);
    let first = leader(&exchange, &clock).await;
    first.budget.throttled(Some(PAUSE));
    first.member.silenced(true, Some(PAUSE));
    sleep(PAUSE - 100 * SECOND).await;
    // It reads the checkpoint that came with the entry.
    let second = node("two");
    sleep(5 * SECOND).await;
    let rest = left(&second);
    assert!(rest >= 94 * SECOND, "{rest:?}");
    assert!(rest <= 95 * SECOND + 2 * JITTER, "{rest:?}");
    first.task.abort();
    sleep(2 * LEASE).await;
    assert!(second.member.leads());
    // It reads the checkpoint of the second one.
    let third = node("three");
    sleep(5 * SECOND).await;
    let rest = left(&third);
    assert!(rest >= 69 * SECOND, "{rest:?}");
    assert!(rest <= 70 * SECOND + 3 * JITTER, "{rest:?}");
    sleep(70 * SECOND + 3 * JITTER).await;
    for node in [second, third] {
        assert_eq!(left(&node), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_no_given_length_is_as_long_on_a_node_that_starts_during_it() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let first = leader(&exchange, &clock).await;
    // Each is twice as long as the one before.
    for _ in 0..6 {
        sleep(left(&first)).await;
        // A checkpoint that does not know of the pause yet.
        first.member.silenced(false, Some(Duration::ZERO));
        sleep(SECOND).await;
        first.budget.throttled(None);
        first.member.silenced(true, None);
    }
    assert!(left(&first) > 1_500 * SECOND, "{:?}", left(&first));
    sleep(500 * SECOND).await;
    let second = start(&exchange, &clock, "two");
    sleep(5 * SECOND).await;
    let (one, other) = (left(&first), left(&second));
    assert!(
        other >= one && other <= one + 2 * JITTER,
        "{one:?} {other:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_no_given_length_grows_on_all_nodes_alike() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let first = leader(&exchange, &clock).await;
    let mut others = vec![start(&exchange, &clock, "two")];
    sleep(LEASE).await;
    for pause in 0..6 {
        first.budget.throttled(None);
        first.member.silenced(true, None);
        sleep(SECOND).await;
        if pause == 4 {
            // It knows only the last pause.
            others.push(start(&exchange, &clock, "three"));
            sleep(5 * SECOND).await;
        }
        let rest = left(&first);
        for other in &others {
            let known = left(other);
            assert!(known + SECOND >= rest, "{pause}: {known:?} of {rest:?}");
        }
        sleep(rest + SECOND).await;
    }
    assert_eq!(others.len(), 2);
}
