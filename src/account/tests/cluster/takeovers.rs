//! Tests what the next leader does first, and what a follower knows of faults after it was cut off.

use super::*;
use crate::{
    cluster::{
        entry::{Entry, Shown},
        message::SEAT_WITHIN,
    },
    simulator::InjectedFault,
};

#[tokio::test(start_paused = true)]
async fn a_new_leader_polls_within_two_seconds_of_the_lease_and_reads_no_list_of_names() {
    for limit in [300, 1000] {
        let mut setting = Setting::new(WorldSettings {
            queues: 10,
            agents: 40,
            ..WorldSettings::default()
        });
        setting.by_name = true;
        let fixture = setting.start();
        fixture.task.abort();
        let exchange = Exchange::new();
        let start = |name| Running::of(&fixture, &exchange, name, Known::default(), 10, limit);
        let leader = start("one");
        leader.until_it_leads().await;
        let follower = start("two");
        // The hour is full. The lists of names were read ten minutes ago.
        sleep(70 * MINUTE).await;
        assert!(leader.member.leads());
        drop(leader);
        let _ = fixture.sent();
        let (killed, mut polled) = (tokio::time::Instant::now(), None);
        while killed.elapsed() < 5 * MINUTE {
            sleep(SECOND / 10).await;
            let sent = fixture.sent();
            let are_polls = sent.iter().all(|path| path.starts_with("agentstatuses/"));
            assert!(are_polls, "{limit}: {sent:?} after {:?}", killed.elapsed());
            if !sent.is_empty() {
                polled.get_or_insert(killed.elapsed());
            }
        }
        assert!(follower.member.leads());
        let most = Some(LEASE + 2 * SECOND);
        assert!(polled.is_some() && polled <= most, "{limit}: {polled:?}");
        assert!(follower.budget.usage().used <= limit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_cut_off_knows_the_leaders_faults_again() {
    let (fixture, exchange) = frozen(3);
    let (leader, follower) = pair(&fixture, &exchange).await;
    fixture
        .simulator
        .inject(usize::MAX, None, InjectedFault::Forbidden);
    sleep(5 * MINUTE).await;
    let faults = || {
        let of_queue = |node: &Running| node.decide(&fixture, 0).reason;
        let of_account = |node: &Running| {
            let health = node.health.borrow();
            health.fault.as_ref().map(|present| present.fault.kind())
        };
        [&leader, &follower].map(|node| (of_queue(node), of_account(node)))
    };
    let [known, same] = faults();
    assert!(known.1.is_some(), "{known:?}");
    assert_eq!(known, same);
    follower
        .engine
        .is_cut_off
        .store(true, AtomicOrdering::Relaxed);
    sleep(MINUTE / 2).await;
    assert_eq!(faults()[1].0, Reason::ClusterDown);
    follower
        .engine
        .is_cut_off
        .store(false, AtomicOrdering::Relaxed);
    sleep(10 * SECOND).await;
    let [one, other] = faults();
    assert_eq!(one, other);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_in_which_the_leader_changed_everything_is_known_again_at_once() {
    let (fixture, exchange) = fixture(30, 60);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let third = Running::start(&fixture, &exchange, "three");
    sleep(5 * MINUTE).await;
    assert!(leader.health.borrow().sweeps);
    fixture
        .simulator
        .inject(usize::MAX, None, InjectedFault::WebPage(502));
    sleep(5 * MINUTE).await;
    leader.stop.cancel();
    sleep(5 * MINUTE).await;
    assert!(follower.member.leads() || third.member.leads());
    fixture.simulator.clear_faults();
    // The longest backoff, and two sweeps.
    sleep(MINUTE + fixture.between_sweeps() * 2).await;
    for node in [&follower, &third] {
        for place in fixture.places() {
            let decision = node.decide(&fixture, place);
            assert!(decision.reason.is_known(), "{place}: {decision:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_shows_a_leader_that_may_not_send_and_asks_for_nothing_again() {
    let (fixture, exchange) = fixture(1, 1);
    let (node, mut task) = Running::without_task(&fixture, &exchange);
    sleep(SECOND).await;
    task.hear(Entry {
        shown: vec![Shown {
            queue: fixture.keys[0].queue.clone(),
            fault: Some(Arc::new(Fault::ClusterDown(None))),
            max_age: MINUTE,
            members_max_age: MINUTE,
            fails: false,
        }],
        ..Entry::default()
    });
    sleep(SECOND).await;
    assert_eq!(node.decide(&fixture, 0).reason, Reason::ClusterDown);
    assert_eq!(task.ordered(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_for_a_seat_that_waits_longer_than_its_call_holds_none() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let calls = || {
        let held = leader.reservations.list(fixture.clock.now()).into_iter();
        held.map(|(_, one)| one.call_id.to_string())
            .collect::<Vec<_>>()
    };
    // The leader does one thing after the other, and waits for the log in between.
    *exchange.confirms_after.lock().unwrap() = SEAT_WITHIN * 2;
    let ask = |call| {
        let what = follower.reserve(&fixture, call);
        follower.member.ask(what, SEAT_WITHIN)
    };
    let second = async {
        sleep(SEAT_WITHIN / 10).await;
        ask("second").await
    };
    assert_eq!(tokio::join!(ask("first"), second), (None, None));
    *exchange.confirms_after.lock().unwrap() = Duration::ZERO;
    sleep(5 * SECOND).await;
    assert!(!calls().contains(&"second".to_owned()), "{:?}", calls());
    follower.hold_seat(&fixture, "second").await;
    assert!(calls().contains(&"second".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn questions_of_calls_that_went_elsewhere_hold_no_seats() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let held = || leader.reservations.list(fixture.clock.now()).len();
    follower
        .engine
        .is_cut_off
        .store(true, AtomicOrdering::Relaxed);
    for call in 0..20 {
        let what = follower.reserve(&fixture, &format!("call-{call}"));
        let answer = follower.member.ask(what, SECOND / 4).await;
        assert_eq!(answer, None);
    }
    follower
        .engine
        .is_cut_off
        .store(false, AtomicOrdering::Relaxed);
    sleep(5 * SECOND).await;
    assert!(held() <= 1, "{}", held());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_a_reload_adds_while_the_engine_is_silent_has_that_fault() {
    let (fixture, exchange) = frozen(2);
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 1, 1000);
    sleep(MINUTE).await;
    let cut_off = &follower.engine.is_cut_off;
    cut_off.store(true, AtomicOrdering::Relaxed);
    sleep(MINUTE / 2).await;
    let (logged, _guard) = crate::logged::listen();
    follower.take(&fixture, &fixture.queues).await;
    sleep(2 * LISTEN).await;
    for place in 0..2 {
        let state = follower.board.get(&fixture.keys[place]).unwrap();
        let kind = state.fault.as_ref().map(|fault| fault.kind());
        assert_eq!(kind, Some(crate::model::fault::FaultKind::ClusterDown));
    }
    let lines = logged.lines();
    let told = |line: &&String| line.contains("engine does not answer");
    assert_eq!(lines.iter().filter(told).count(), 0, "it is told once");
}
