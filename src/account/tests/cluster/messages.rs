//! Tests messages between a follower and the leader that are lost, doubled or late.

use super::*;
use crate::{
    account::RefreshError,
    budget::Cause,
    cluster::{
        engine::Heard,
        message::{Question, SEAT_WITHIN},
        model::Mishap::{self, Doubled, Lost, None as Arrives},
    },
    decision::reservations::Reserved,
    simulator::InjectedFault,
};

/// Starts an account that polls no queue by itself within the next minutes.
async fn quiet() -> (Fixture, Arc<Exchange>, Running, Running) {
    let (fixture, exchange) = frozen(1);
    let one = Running::of(&fixture, &exchange, "one", Known::default(), 1, 60);
    one.until_it_leads().await;
    let two = Running::of(&fixture, &exchange, "two", Known::default(), 1, 60);
    sleep(3 * MINUTE).await;
    assert!(one.member.leads() && !two.member.leads());
    let _ = fixture.sent();
    (fixture, exchange, one, two)
}

#[tokio::test(start_paused = true)]
async fn a_refresh_asked_of_a_follower_is_polled_by_the_leader() {
    let (fixture, exchange) = fixture(2, 20);
    let (_leader, follower) = pair(&fixture, &exchange).await;
    let before = fixture.clock.now();
    assert_eq!(follower.refresh(&fixture, 1).await.0, Ok(()));
    let state = follower.board.get(&fixture.keys[1]).unwrap();
    let snapshot = state.snapshot.as_ref().unwrap();
    assert!(snapshot.members_as_of.boot + SECOND >= before.boot);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_costs_one_poll_whatever_happens_to_its_messages() {
    for mishaps in [
        // The question, the answer that it is under way, and the last answer.
        &[][..],
        &[Lost],
        &[Lost, Lost],
        &[Arrives, Lost, Lost],
        &[Arrives, Lost, Doubled, Doubled],
        &[Doubled, Doubled, Doubled],
    ] {
        let (fixture, exchange, _leader, follower) = quiet().await;
        *exchange.mishaps.lock().unwrap() = mishaps.iter().copied().collect();
        let (refreshed, took) = follower.refresh(&fixture, 0).await;
        assert_eq!(refreshed, Ok(()), "{mishaps:?}");
        assert!(took < SECOND * 3, "{mishaps:?}: {took:?}");
        // A repeated question, or a late one, would cost another poll by now.
        sleep(SECOND * 10).await;
        let sent = fixture.sent();
        assert_eq!(sent.len(), 1, "{mishaps:?}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_arrives_again_long_after_its_answer_costs_nothing() {
    let (fixture, _exchange, leader, _follower) = quiet().await;
    let question = Question {
        id: 7,
        node: "gone".to_owned(),
        what: What::Refresh {
            queue: fixture.keys[0].queue.to_string(),
        },
        patience_ms: None,
    };
    let question = serde_json::to_vec(&question).unwrap();
    for _ in 0..3 {
        let heard = Heard::question(leader.member.key(), question.clone());
        leader.node.hear(heard);
        sleep(SECOND * 5).await;
    }
    assert_eq!(fixture.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_does_nothing_once_the_node_that_asks_has_given_up() {
    let (fixture, exchange, leader, follower) = quiet().await;
    let held = || leader.reservations.list(fixture.clock.now()).len();
    // Such as in the buffers of a leader that is paused for less than its lease.
    for waits in [SEAT_WITHIN, SECOND, 5 * SECOND] {
        *exchange.holds_questions.lock().unwrap() = waits;
        let reserve = follower.reserve(&fixture, "call");
        assert_eq!(follower.member.ask(reserve, SEAT_WITHIN).await, None);
        sleep(waits).await;
        assert_eq!(held(), 0, "{waits:?}");
    }
    let (refreshed, _) = follower.refresh(&fixture, 0).await;
    assert!(
        matches!(refreshed, Err(RefreshError::Refused(_))),
        "{refreshed:?}"
    );
    sleep(10 * SECOND).await;
    assert_eq!(fixture.sent(), [""; 0]);
    // One that waits for longer than the question has waited gets its answer.
    *exchange.holds_questions.lock().unwrap() = SECOND;
    assert_eq!(follower.refresh(&fixture, 0).await.0, Ok(()));
    *exchange.holds_questions.lock().unwrap() = Duration::ZERO;
    follower.hold_seat(&fixture, "call").await;
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_a_refresh_is_refused_within_seconds_and_a_seat_at_once() {
    let (fixture, exchange, leader, follower) = quiet().await;
    drop(leader);
    let (refreshed, took) = follower.refresh(&fixture, 0).await;
    let Err(RefreshError::Refused(refusal)) = refreshed else {
        panic!("{refreshed:?}")
    };
    assert_eq!(refusal.cause, Cause::NotLeading);
    assert!(refusal.wait(fixture.clock.now()) <= SECOND);
    assert!(took <= SECOND * 2 + SECOND / 10, "{took:?}");
    let reserve = follower.reserve(&fixture, "call");
    assert_eq!(follower.member.ask(reserve, SECOND / 4).await, None);
    assert!(!follower.member.leads(), "all this was before a node led");
    follower.until_it_leads().await;
    // The same when every message is lost.
    let late = Running::of(&fixture, &exchange, "three", Known::default(), 1, 60);
    sleep(MINUTE).await;
    *exchange.mishaps.lock().unwrap() = [Mishap::Lost; 1_000].into();
    let (refreshed, took) = late.refresh(&fixture, 0).await;
    assert!(
        matches!(refreshed, Err(RefreshError::Refused(_))),
        "{refreshed:?}"
    );
    assert!(took <= SECOND * 2 + SECOND / 10, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_waits_while_its_node_becomes_the_leader_is_answered() {
    let (fixture, _exchange, leader, follower) = quiet().await;
    drop(leader);
    let killed = tokio::time::Instant::now();
    let mut asked = Vec::new();
    for _ in 0..30 {
        let (reply, refreshed) = oneshot::channel();
        let queue = fixture.keys[0].clone();
        follower
            .asks
            .send(Ask::Refresh { queue, reply })
            .await
            .unwrap();
        asked.push((killed.elapsed(), refreshed));
        sleep(SECOND / 2).await;
    }
    assert!(follower.member.leads());
    let mut polled = 0;
    for (at, refreshed) in asked {
        match refreshed.await.expect("an answer") {
            Ok(()) => polled += 1,
            Err(RefreshError::Refused(refusal)) => {
                assert_eq!(refusal.cause, Cause::NotLeading, "asked after {at:?}");
                assert_eq!(polled, 0, "asked after {at:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(polled > 0);
}

#[tokio::test(start_paused = true)]
async fn a_follower_says_why_the_leader_may_not_poll() {
    let (fixture, _exchange, leader, follower) = quiet().await;
    spend_the_hour(&leader.budget).await;
    let (refreshed, _) = follower.refresh(&fixture, 0).await;
    let Err(RefreshError::Refused(refusal)) = refreshed else {
        panic!("{refreshed:?}")
    };
    assert_eq!(refusal.cause, Cause::Spent);
    let wait = refusal.wait(fixture.clock.now());
    assert!(wait > 30 * MINUTE, "{wait:?}");
}

/// Asks for a seat through the follower, or takes one on the leader as its own HTTP does. Returns whether the call got it.
async fn gets_a_seat(fixture: &Fixture, leader: &Running, follower: Option<&Running>) -> bool {
    if let Some(follower) = follower {
        let what = follower.reserve(fixture, "call");
        let said = follower.member.ask(what, SECOND).await;
        return matches!(said, Some(Said::Made { .. }));
    }
    let (key, accepts) = (&fixture.keys[0], leader.decide(fixture, 0));
    let (seats, now) = (&leader.reservations, fixture.clock.now());
    let reserved = seats
        .queue(key)
        .reserve("call", 45 * SECOND, now, |_| accepts);
    let Reserved::Made(made, _) = reserved else {
        panic!("{reserved:?}")
    };
    let tenure = leader.member.tenures();
    leader.member.log_made(tenure, seats, key, &made).await
}

#[tokio::test(start_paused = true)]
async fn a_seat_whose_entry_is_not_confirmed_is_held_by_no_node() {
    let long = 3 * SECOND;
    for (is_asked, unconfirmed, down) in [
        // Its entry and that of its end are in the log.
        (true, SECOND / 10, Duration::ZERO),
        (true, long, Duration::ZERO),
        // Only its own entry is.
        (true, SECOND / 10, long),
        (false, SECOND / 10, long),
        // Neither is.
        (false, Duration::ZERO, long),
    ] {
        let (fixture, exchange) = frozen(1);
        let (leader, follower) = pair(&fixture, &exchange).await;
        let asked = is_asked.then_some(&follower);
        let (has_seat, ()) = tokio::join!(gets_a_seat(&fixture, &leader, asked), async {
            for (fault, lasts) in [
                (&exchange.is_unconfirmed, unconfirmed),
                (&exchange.is_down, down),
            ] {
                fault.store(!lasts.is_zero(), AtomicOrdering::Relaxed);
                sleep(lasts).await;
                fault.store(false, AtomicOrdering::Relaxed);
            }
        });
        let case = format!("{is_asked} {unconfirmed:?} {down:?}");
        assert!(!has_seat, "{case}");
        sleep(10 * SECOND).await;
        assert!(leader.member.leads(), "{case}");
        let held = |node: &Running| node.reservations.list(fixture.clock.now()).len();
        assert_eq!((held(&leader), held(&follower)), (0, 0), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seat_is_held_once_whatever_happens_to_its_messages() {
    for mishaps in [&[Doubled, Doubled][..], &[Arrives, Lost], &[Lost]] {
        let (fixture, exchange) = frozen(1);
        let (leader, follower) = pair(&fixture, &exchange).await;
        *exchange.mishaps.lock().unwrap() = mishaps.iter().copied().collect();
        let reserve = || follower.reserve(&fixture, "call");
        let mut said = follower.member.ask(reserve(), SECOND / 4).await;
        if mishaps.contains(&Lost) {
            assert_eq!(said, None, "a clear answer in time");
            said = follower.member.ask(reserve(), SECOND / 4).await;
        }
        let id = match said {
            Some(Said::Made { id } | Said::AlreadyHeld { id, .. }) => id,
            other => panic!("{mishaps:?}: {other:?}"),
        };
        sleep(SECOND).await;
        for node in [&leader, &follower] {
            let held = node.reservations.list(fixture.clock.now());
            let ids: Vec<_> = held.iter().map(|(_, one)| one.id.to_string()).collect();
            assert_eq!(ids, std::slice::from_ref(&id), "{mishaps:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_hears_no_bell_reads_the_log_once_a_second() {
    let (fixture, exchange) = fixture(3, 30);
    let (leader, follower) = pair(&fixture, &exchange).await;
    exchange.loses_bells.store(true, AtomicOrdering::Relaxed);
    let step = SECOND / 10;
    let (mut late, mut latest) = ([Duration::ZERO; 3], Duration::ZERO);
    for _ in 0..20 * 60 {
        sleep(step).await;
        for place in fixture.places() {
            let age = |node: &Running| node.decide(&fixture, place).age.unwrap();
            let is_late = age(&follower) > age(&leader) + step;
            late[place] = if is_late {
                late[place] + step
            } else {
                Duration::ZERO
            };
            latest = latest.max(late[place]);
        }
    }
    assert!((SECOND / 2..=SECOND).contains(&latest), "{latest:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_poll_of_a_leader_that_leads_no_more_is_told_that() {
    let (fixture, _exchange, leader, _follower) = quiet().await;
    fixture.simulator.inject(1, None, InjectedFault::Hang);
    let loses_the_engine = async {
        sleep(SECOND).await;
        leader
            .engine
            .is_cut_off
            .store(true, AtomicOrdering::Relaxed);
    };
    let ((refreshed, took), ()) = tokio::join!(leader.refresh(&fixture, 0), loses_the_engine);
    let Err(RefreshError::Refused(refusal)) = refreshed else {
        panic!("{refreshed:?} after {took:?}")
    };
    assert_eq!(refusal.cause, Cause::NotLeading);
}
