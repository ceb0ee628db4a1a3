//! Tests questions with `fresh=` that come to followers: many of them share one poll.

use super::*;
use crate::cluster::{
    engine::Heard,
    message::Question,
    model::Mishap::{Doubled, Lost, None as Arrives},
};

const FOLLOWERS: usize = 10;

/// How many callers wait on each follower.
const CALLERS: usize = 3;

/// The queue that all ask about.
const PLACE: usize = 5;

/// Only a poll of the queue helps.
const OF_MEMBERSHIP: Staleness = Staleness {
    chance: 1.0,
    of_membership: 1.0,
};

/// Longer than a poll takes, shorter than the time to the queue's next poll in the background.
const PATIENCE: Duration = Duration::from_secs(3);

impl Running {
    async fn wait(&self, fixture: &Fixture, staleness: Staleness, longest: Duration) {
        wait_for_newer(&self.asks, &fixture.keys[PLACE], staleness, longest).await;
    }

    fn as_of(&self, fixture: &Fixture) -> Duration {
        let state = self.board.get(&fixture.keys[PLACE]).unwrap();
        state.snapshot.as_ref().unwrap().members_as_of.boot
    }
}

/// Returns how many polls of the queue were sent since the last look.
fn polls(fixture: &Fixture) -> usize {
    let queue = format!("queue={}&", fixture.ids[PLACE]);
    let sent = fixture.sent();
    sent.iter().filter(|one| one.contains(&queue)).count()
}

/// Starts a leader and ten followers.
async fn many() -> (Fixture, Arc<Exchange>, Running, Vec<Running>) {
    let fixture = still(20, 60).start();
    fixture.task.abort();
    let exchange = Exchange::new();
    let leader = Running::start(&fixture, &exchange, "leader");
    leader.until_it_leads().await;
    let names = (0..FOLLOWERS).map(|number| format!("follower-{number}"));
    let followers = names.map(|name| Running::start(&fixture, &exchange, &name));
    let followers: Vec<_> = followers.collect();
    sleep(MINUTE).await;
    assert!(leader.member.leads());
    (fixture, exchange, leader, followers)
}

/// Waits until the leader has requests saved up, and polls the queue by itself only later.
async fn rest(fixture: &Fixture, follower: &Running) {
    // Requests are saved up while callers would wait.
    let patient = Staleness {
        chance: 1e-9,
        ..OF_MEMBERSHIP
    };
    for _ in 0..4 {
        follower.wait(fixture, patient, SECOND / 10).await;
        sleep(MINUTE / 2).await;
    }
    polls(fixture);
    while polls(fixture) == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(3 * SECOND).await;
    assert_eq!(polls(fixture), 0);
}

#[tokio::test(start_paused = true)]
async fn many_fresh_questions_on_followers_cost_one_poll_whatever_happens_to_them() {
    let all_doubled = [Doubled; 2 * FOLLOWERS * CALLERS];
    let half_lost = [Lost, Arrives, Lost, Doubled, Arrives, Lost, Doubled, Lost];
    let (fixture, exchange, _leader, followers) = many().await;
    for mishaps in [&[][..], &all_doubled, &half_lost] {
        rest(&fixture, &followers[0]).await;
        *exchange.mishaps.lock().unwrap() = mishaps.iter().copied().collect();
        let begun = tokio::time::Instant::now();
        let callers = followers
            .iter()
            .flat_map(|node| (0..CALLERS).map(move |_| node));
        join_all(callers.map(async |node| {
            let before = node.as_of(&fixture);
            node.wait(&fixture, OF_MEMBERSHIP, PATIENCE).await;
            // A caller whose question is lost gets the newer answer as well: it is in the log.
            assert!(node.as_of(&fixture) > before, "{mishaps:?}");
        }))
        .await;
        if !mishaps.contains(&Lost) {
            assert!(begun.elapsed() < SECOND * 2, "{:?}", begun.elapsed());
        }
        exchange.mishaps.lock().unwrap().clear();
        sleep(PATIENCE).await;
        assert_eq!(polls(&fixture), 1, "{mishaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_question_that_arrives_again_after_its_poll_costs_nothing() {
    let (fixture, _exchange, leader, followers) = many().await;
    rest(&fixture, &followers[0]).await;
    let question = Question {
        id: 7,
        node: "gone".to_owned(),
        what: What::Freshen {
            queue: fixture.keys[PLACE].queue.to_string(),
            chance: OF_MEMBERSHIP.chance,
            of_membership: OF_MEMBERSHIP.of_membership,
        },
        patience_ms: None,
    };
    let question = serde_json::to_vec(&question).unwrap();
    for _ in 0..3 {
        let heard = Heard::question(leader.member.key(), question.clone());
        leader.node.hear(heard);
        sleep(SECOND).await;
    }
    assert_eq!(polls(&fixture), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_who_have_left_keep_no_place_among_the_questions_that_wait() {
    let (fixture, exchange) = frozen(6);
    let (leader, follower) = pair(&fixture, &exchange).await;
    // Its lease lasts for some seconds.
    drop(leader);
    let patience = Duration::from_millis(100);
    // Together more than may wait.
    for _ in 0..25 {
        let callers = (0..50).map(|_| follower.wait(&fixture, OF_MEMBERSHIP, patience));
        join_all(callers).await;
    }
    let begun = tokio::time::Instant::now();
    let queue = fixture.keys[PLACE].queue.to_string();
    let said = follower.member.ask(What::Refresh { queue }, patience);
    assert_eq!(said.await, None);
    assert_eq!(begun.elapsed(), patience, "it was put");
    assert!(!follower.member.leads());
}
