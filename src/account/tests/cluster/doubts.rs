//! Tests what a follower does with rows of sweeps that have lost trust, and of agents who have left.

use super::*;
use crate::{
    cluster::entry::{Entry, Rows, SeenRow},
    fixtures::{agent, date, raw},
    model::{agent::Agent, known::Sighting, names::Names},
};

/// A queue's poll of half a minute ago, in which the only agent is at lunch.
fn polled(fixture: &Fixture) -> Entry {
    let rows = Rows {
        as_of: fixture.clock.now().earlier(MINUTE / 2),
        took: SECOND,
        complete: true,
        rows: vec![agent("a", "Ann", "Lunch").raw],
    };
    Entry {
        polls: vec![(fixture.ids[0], rows)],
        ..Entry::default()
    }
}

/// A sweep that shows the agent as available now.
fn swept(fixture: &Fixture) -> Entry {
    let row = SeenRow {
        agent: AgentId("a".into()),
        at: fixture.clock.now(),
        by_sweep: true,
        is_look: true,
        is_covered: false,
        row: agent("a", "Ann", "Available").raw,
    };
    Entry {
        seen: vec![row],
        ..Entry::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_uses_and_stores_no_sweep_that_lost_trust_even_if_it_missed_that() {
    let mut found = Vec::new();
    for misses in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut fixture, exchange) = fixture(1, 1);
        let path = folder.path().join("state.sqlite3");
        let open = |clock: &Arc<VirtualClock>| Arc::new(Store::open(&path, clock.clone()).unwrap());
        fixture.store = Some(open(&fixture.clock));
        let (node, mut task) = Running::without_task(&fixture, &exchange);
        task.hear(polled(&fixture));
        task.hear(swept(&fixture));
        sleep(SECOND).await;
        let decision = node.decide(&fixture, 0);
        assert_eq!(decision.count, Some(Quantity::from(1_u32)), "{decision:?}");
        task.hear(match misses {
            true => Entry {
                whole: true,
                ..polled(&fixture)
            },
            false => Entry {
                doubted: true,
                ..Entry::default()
            },
        });
        sleep(SECOND).await;
        let decision = node.decide(&fixture, 0);
        let is_old = decision.age.unwrap() >= MINUTE / 2;
        drop((node, task));
        fixture.store.take().unwrap().finish(20 * SECOND);
        let known = open(&fixture.clock).known(&owner(), &Names::default());
        let stored = (known.queues.len(), known.agents.len());
        found.push((decision.count.map(Quantity::get), is_old, stored));
    }
    assert_eq!(found, [(Some(0.0), true, (1, 0)); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_forgets_agents_who_belong_to_no_queue_and_are_not_seen_any_more() {
    let (fixture, exchange) = fixture(1, 1);
    let (node, mut task) = Running::without_task(&fixture, &exchange);
    let known = async || {
        let (reply, known) = oneshot::channel();
        node.asks.send(Ask::Known { reply }).await.unwrap();
        known.await.unwrap().presences.len()
    };
    task.hear(swept(&fixture));
    sleep(SECOND).await;
    assert_eq!(known().await, 1);
    // They are looked for with the next news.
    sleep(31 * MINUTE).await;
    task.hear(Entry::default());
    sleep(SECOND).await;
    assert_eq!(known().await, 0);
}

/// A row of an agent who has been at lunch since this many seconds after a fixed moment.
fn since(id: &str, seconds: i64) -> Agent {
    let row = json!({
        "app_user": id, "full_name": id, "agent_status": "Lunch", "status": "Lunch",
        "queue_logged_in": true, "agent_status_modified_on": date(seconds).to_string(),
    });
    Agent {
        status_since: Some(date(seconds)),
        raw: raw(&row).into(),
        ..agent(id, id, "Lunch")
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_told_again_leaves_its_agent_as_doubtful_as_the_leader_knows_them() {
    let (fixture, _) = fixture(2, 2);
    let account = || {
        let (health, asks) = (watch::Sender::default(), mpsc::channel(1).1);
        fixture.account(Known::default(), health, asks)
    };
    let (mut leader, mut follower) = (account(), account());
    let begun = fixture.clock.now().earlier(MINUTE);
    let at = |seconds: u32| begun.later(seconds * SECOND);
    let see = |leader: &mut Account, seconds, rows: [Agent; 2]| {
        let rows = rows.into_iter().map(|row| Sighting {
            agent: Arc::new(row),
            at: at(seconds),
            by_sweep: true,
        });
        leader.roster.see(rows.collect());
    };
    let known = |account: &Account| {
        let newest = account.roster.newest(&AgentId("a".into())).unwrap();
        account.roster.known_as_of(newest)
    };
    leader
        .roster
        .poll(0, at(0), SECOND, true, vec![since("a", 10)]);
    leader
        .roster
        .poll(1, at(0), SECOND, true, vec![since("b", 20)]);
    see(&mut leader, 1, [since("a", 10), since("b", 20)]);
    leader.roster.confirm_available(at(2), Vec::new());
    // A list contradicts both rows: they are known no better than before, whatever lists confirm by omission.
    see(&mut leader, 3, [since("a", 5), since("b", 15)]);
    leader.roster.confirm_available(at(4), Vec::new());
    follower.take_news(&leader.news());
    assert_eq!([known(&leader), known(&follower)], [at(2); 2]);
    // A list that lags as well shows one of them again. That renews the row, and proves nothing.
    see(&mut leader, 5, [since("a", 10), since("b", 15)]);
    let news = leader.news();
    assert_eq!(news.seen.len(), 1);
    follower.take_news(&news);
    assert_eq!([known(&leader), known(&follower)], [at(2); 2]);
}
