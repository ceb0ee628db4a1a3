//! Tests what passes from task to task, and to reservations.

use super::*;
use crate::{
    decision::soon::rule::Held,
    fixtures::agent,
    model::known::{Confirmed, Poll, Sighting},
};

#[tokio::test(start_paused = true)]
async fn an_agent_who_takes_a_call_ends_one_reservation_of_their_queues() {
    let fixture = still(4, 12).start();
    let (agent, places) = fixture.busy_agent();
    let set_status = |name| {
        let status = fixture.status(name);
        fixture
            .simulator
            .world(|world| world.set_status(&agent, status));
    };
    set_status("Available");
    sleep(MINUTE / 2).await;
    let calls = || {
        let held = fixture.reservations.list(fixture.clock.now());
        held.into_iter()
            .map(|(_, one)| one.call_id.into_string())
            .collect::<Vec<_>>()
    };
    for (place, call) in [(places[0], "first"), (places[1], "second")] {
        let holds = fixture.reservations.queue(&fixture.keys[place]);
        let accept = |_: Held<'_>| Decision {
            accept: true,
            ..fixture.decide(place)
        };
        holds.reserve(call, MINUTE, fixture.clock.now(), accept);
        sleep(SECOND).await;
    }
    sleep(MINUTE / 6).await;
    assert_eq!(calls().len(), 2, "no agent has left");
    set_status("On a Call");
    sleep(MINUTE / 6).await;
    assert_eq!(calls(), ["second"], "one departure ends one reservation");
}

#[tokio::test(start_paused = true)]
async fn a_task_takes_over_the_knowledge_of_another_with_its_age() {
    let fixture = still(5, 20).start();
    sleep(2 * MINUTE).await;
    let (reply, known) = tokio::sync::oneshot::channel();
    fixture.asks.send(Ask::Known { reply }).await.unwrap();
    let known = known.await.unwrap();
    assert_eq!(known.queues.len(), 5);
    assert!(!known.agents.is_empty(), "sweeps are newer than polls");
    let before: Vec<_> = fixture
        .places()
        .map(|place| fixture.decide(place))
        .collect();
    fixture.task.abort();
    sleep(7 * SECOND).await;

    let board = Arc::new(Board::new(fixture.keys.clone()));
    let queues = fixture
        .keys
        .iter()
        .zip(&fixture.ids)
        .map(|(key, id)| QueueSettings {
            key: key.clone(),
            reference: QueueRef::Id(*id),
            rule: SEATS,
            threshold: Some(Quantity::ZERO),
            max_age: None,
            hours: None,
            soon: crate::config::Soon::default(),
        });
    let account = Account::new(Deps {
        owner: BudgetOwner {
            account: "main".to_owned(),
            identity: String::new(),
        },
        // One queue fewer, and in another order.
        queues: queues.skip(1).rev().collect(),
        options: ScheduleOptions::default(),
        client: Client::new(
            fixture.wire.clone(),
            fixture.budget.clone(),
            fixture.clock.clone(),
            Arc::new(()),
        ),
        budget: fixture.budget.clone(),
        board: board.clone(),
        metrics: fixture.metrics.clone(),
        store: None,
        cluster: None,
        known,
        reservations: Arc::default(),
        clock: fixture.clock.clone(),
        names: watch::Sender::new(Arc::default()),
        health: watch::Sender::default(),
        asks: mpsc::channel(1).1,
        token: None,
        heartbeat: crate::process::heartbeat::Heartbeats::default().begin("another"),
    });
    for (key, was) in fixture.keys.iter().zip(before).skip(1) {
        let state = board.get(key).unwrap();
        let snapshot = state
            .snapshot
            .clone()
            .expect("known before the first request");
        let now = fixture.clock.now();
        assert_eq!(
            snapshot.measured.as_ref().unwrap().count,
            was.count.unwrap()
        );
        assert_eq!(
            now.longest_since(snapshot.as_of),
            was.age.unwrap() + 7 * SECOND
        );
        let polled = state.last_success.unwrap();
        assert!(
            now.longest_since(polled) > 7 * SECOND,
            "the poll was long ago"
        );
    }
    let none = board.get(&fixture.keys[0]).unwrap();
    assert!(none.snapshot.is_none());
    drop(account);
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_agents_is_as_old_as_what_an_earlier_tasks_lists_have_confirmed() {
    let mut fixture = still(1, 1).start();
    let now = fixture.clock.now();
    let nobody = Poll {
        as_of: now.earlier(10 * MINUTE),
        took: SECOND,
        complete: true,
        agents: Vec::new(),
    };
    let elsewhere = Sighting {
        agent: Arc::new(agent("a", "Ann", "Lunch")),
        at: now.earlier(5 * MINUTE),
        by_sweep: true,
    };
    fixture.board = Arc::new(Board::new(fixture.keys.clone()));
    fixture.start_task(Known {
        queues: vec![(fixture.ids[0], nobody)],
        agents: vec![elsewhere],
        confirmed: Confirmed {
            everybody: Some(now.earlier(MINUTE)),
            ..Confirmed::default()
        },
        ..Known::default()
    });
    let snapshot = fixture.state(0).snapshot.clone().expect("handed over");
    assert_eq!(now.longest_since(snapshot.as_of), MINUTE);
}
