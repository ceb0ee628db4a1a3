//! Tests queues that only a follower has: guests of the leader.

use super::*;
use crate::{
    cluster::{codec::decode_all, engine::Heard, member::MAX_NODES, message::Question},
    config,
};

/// Asks the leader through this node to hold a seat in its second queue, until it does. Returns how long that took.
async fn until_it_holds(node: &Running, fixture: &Fixture) -> Duration {
    let begun = tokio::time::Instant::now();
    loop {
        let what = node.reserve_in(fixture, 1, "call");
        match node.member.ask(what, SECOND / 4).await {
            Some(Said::Made { .. } | Said::AlreadyHeld { .. }) => return begun.elapsed(),
            // A caller gets 503, and tries again.
            Some(Said::Unlogged) | None => sleep(Duration::from_millis(10)).await,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_the_leader_removes_stays_known_on_a_node_that_has_it() {
    let (fixture, exchange) = frozen(2);
    let (leader, follower) = pair(&fixture, &exchange).await;
    until_it_holds(&follower, &fixture).await;
    leader.take(&fixture, &fixture.queues[..1]).await;
    for _ in 0..120 {
        sleep(SECOND).await;
        let decision = follower.decide(&fixture, 1);
        assert!(decision.reason.is_known(), "{decision:?}");
        assert!(decision.age.unwrap() < MINUTE, "{decision:?}");
        if fixture.clock.now().boot.as_secs() % 30 == 0 {
            until_it_holds(&follower, &fixture).await;
        }
    }
    let queue = fixture.keys[1].queue.to_string();
    assert!(leader.board.find(None, &queue, |_| true).is_err());
    // In the leader's config again, it is an ordinary queue.
    leader.take(&fixture, &fixture.queues).await;
    drop(follower);
    sleep(2 * MINUTE).await;
    assert!(leader.decide(&fixture, 1).reason.is_known());
}

#[tokio::test(start_paused = true)]
async fn new_hours_of_a_queue_that_only_another_node_has_wake_it() {
    let (logged, _guard) = crate::logged::listen();
    let (fixture, exchange) = frozen(2);
    let leader = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    leader.until_it_leads().await;
    let mut queues = fixture.queues.clone();
    // The tests start on a Sunday.
    queues[1].hours = crate::fixtures::opening_hours(&["Mon 08:00-09:00"], "UTC");
    let (known, closed) = (Known::default(), queues.clone());
    let follower = Running::configured(&fixture, &exchange, "two", known, closed, 1000);
    sleep(30 * MINUTE).await;
    let _ = fixture.sent();
    sleep(10 * MINUTE).await;
    let of_the_queue = format!("queue={}", fixture.ids[1]);
    let polls = |sent: Vec<String>| {
        sent.iter()
            .filter(|path| path.contains(&of_the_queue))
            .count()
    };
    assert_eq!(polls(fixture.sent()), 0, "it is closed");
    queues[1].hours = None;
    follower.take(&fixture, &queues).await;
    sleep(2 * MINUTE).await;
    assert!(polls(fixture.sent()) > 0);
    drop(follower);
    sleep(2 * MINUTE).await;
    let lines = logged.lines().into_iter();
    let lines = lines.filter(|line| line.contains("queues that only other nodes"));
    let lines: Vec<_> = lines.collect();
    let queue = format!("{:?}", [&fixture.keys[1].queue]);
    let begin = ["also polling", "no longer polling"];
    assert_eq!(lines.len(), begin.len(), "{lines:?}");
    for (line, begin) in lines.iter().zip(begin) {
        assert!(line.contains(begin) && line.contains(&queue), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seat_outlives_the_wish_for_its_queue() {
    let (fixture, exchange) = frozen(2);
    let leader = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 2, 1000);
    let third = Running::of(&fixture, &exchange, "three", Known::default(), 1, 1000);
    sleep(MINUTE).await;
    let mut what = follower.reserve_in(&fixture, 1, "call");
    if let What::Reserve { ttl_ms, .. } = &mut what {
        *ttl_ms = 600_000;
    }
    let said = follower.member.ask(what, SECOND).await;
    assert!(matches!(said, Some(Said::Made { .. })), "{said:?}");
    drop(follower);
    sleep(3 * MINUTE).await;
    assert!(leader.board.get(&fixture.keys[1]).is_none());
    for node in [&leader, &third] {
        assert_eq!(node.reservations.list(fixture.clock.now()).len(), 1);
    }
}

/// Returns of how many queues the last checkpoint has agents, and of how many it has what the board shows.
async fn queues_in_checkpoint(fixture: &Fixture, exchange: &Exchange) -> (usize, usize) {
    let reading = reading(fixture);
    let checkpoint = exchange.model.lock().unwrap().checkpoint.clone();
    let whole = decode_all(&checkpoint.unwrap(), &reading).await.unwrap();
    (whole.polls.len(), whole.shown.len())
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_no_node_has_any_more_leaves_the_log_and_stays_away() {
    let (fixture, exchange) = frozen(2);
    let leader = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 2, 1000);
    let third = Running::of(&fixture, &exchange, "three", Known::default(), 1, 1000);
    sleep(3 * MINUTE).await;
    assert_eq!(queues_in_checkpoint(&fixture, &exchange).await, (2, 2));
    drop(follower);
    sleep(5 * MINUTE).await;
    assert_eq!(queues_in_checkpoint(&fixture, &exchange).await, (1, 1));
    leader.stop.cancel();
    third.until_it_leads().await;
    assert_eq!(queues_in_checkpoint(&fixture, &exchange).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_hears_at_once_which_queues_only_others_have() {
    let (fixture, exchange) = frozen(2);
    let one = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    one.until_it_leads().await;
    let two = Running::of(&fixture, &exchange, "two", Known::default(), 2, 1000);
    let three = Running::of(&fixture, &exchange, "three", Known::default(), 1, 1000);
    two.node.lead_last();
    // Not at the moment at which its wish is due anyway.
    sleep(MINUTE + SECOND * 5).await;
    assert!(one.member.leads() && two.decide(&fixture, 1).count.is_some());
    one.stop.cancel();
    three.until_it_leads().await;
    let took = until_it_holds(&two, &fixture).await;
    assert!(took < SECOND, "{took:?}");
    assert!(three.member.leads());
}

impl Running {
    /// Hears from a node that it wants a second queue.
    async fn hear_wish(&self, fixture: &Fixture, node: &str) {
        let queue = &fixture.queues[1];
        let lines = config::Queue::lines(&queue.reference, queue.hours.as_deref(), &queue.rule);
        let question = Question {
            id: fastrand::u64(..),
            node: node.to_owned(),
            what: What::Wish {
                digest: "digest".to_owned(),
                queues: Some(vec![lines]),
                asked: Vec::new(),
            },
            patience_ms: None,
        };
        let question = serde_json::to_vec(&question).unwrap();
        let heard = Heard::question(self.member.key(), question);
        self.node.hear(heard);
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_wishes_of_too_many_nodes_are_refused_and_so_are_endless_names() {
    let (fixture, exchange) = frozen(2);
    let leader = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    leader.until_it_leads().await;
    let is_polled = || leader.board.get(&fixture.keys[1]).is_some();
    leader.hear_wish(&fixture, &"n".repeat(10_000)).await;
    assert!(!is_polled());
    for node in 0..MAX_NODES {
        leader.hear_wish(&fixture, &format!("node-{node}")).await;
        assert!(is_polled());
    }
    // If it were heard, the queue would be polled for as long as it.
    sleep(MINUTE + SECOND * 20).await;
    leader.hear_wish(&fixture, "late").await;
    sleep(SECOND * 20).await;
    assert!(!is_polled());
    leader.hear_wish(&fixture, "next").await;
    assert!(is_polled());
}
