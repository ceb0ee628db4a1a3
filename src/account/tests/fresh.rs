//! Tests questions that wait for a fresher answer.

use super::*;
use crate::{account::feeds::Feed, decision::Patience, simulator::Ordering as SimulatedOrdering};

const PRESSING: Staleness = Staleness {
    chance: 1.0,
    of_membership: 0.0,
};

/// Lets permits be saved up, by asking from time to time for callers that would wait.
async fn save_up(fixture: &Fixture) {
    for _ in 0..10 {
        fixture
            .wait(
                0,
                Staleness {
                    chance: 1e-9,
                    ..PRESSING
                },
                Duration::ZERO,
            )
            .await;
        sleep(MINUTE).await;
    }
    assert!(fixture.budget.fill() > 0.8, "{}", fixture.budget.fill());
}

impl Fixture {
    pub(super) async fn wait(&self, place: usize, staleness: Staleness, longest: Duration) {
        wait_for_newer(&self.asks, &self.keys[place], staleness, longest).await;
    }

    /// Waits until just after a request was answered, so that the next request of the background is seconds away.
    async fn quiet(&self) {
        self.sent();
        while self.sent().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
        self.simulator.set_latency(Duration::from_millis(200));
        sleep(3 * SECOND).await;
        self.sent();
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_serves_fifty_callers_at_once() {
    let fixture = still(20, 60).start();
    save_up(&fixture).await;
    fixture.quiet().await;
    let before = fixture.state(5).snapshot.clone().unwrap().as_of;
    let begun = fixture.clock.now();
    join_all((0..50).map(|_| fixture.wait(5, PRESSING, 5 * SECOND))).await;
    let elapsed = fixture.clock.now().longest_since(begun);
    assert!(
        elapsed > Duration::ZERO && elapsed < 3 * SECOND,
        "{elapsed:?}"
    );
    assert_eq!(fixture.sent().len(), 1);
    assert!(fixture.state(5).snapshot.clone().unwrap().as_of.boot > before.boot);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_no_longer_than_requested() {
    let fixture = still(20, 60).start();
    save_up(&fixture).await;
    fixture
        .simulator
        .inject(usize::MAX, None, InjectedFault::Hang);
    for ms in [0, 1, 50, 400] {
        let (begun, longest) = (tokio::time::Instant::now(), Duration::from_millis(ms));
        fixture.wait(5, PRESSING, longest).await;
        let waited = begun.elapsed();
        assert!(
            waited <= longest + Duration::from_millis(2),
            "{waited:?} of {longest:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_does_not_wait_if_no_request_is_sent() {
    let fixture = still(20, 60).start();
    save_up(&fixture).await;
    fixture.quiet().await;
    let begun = tokio::time::Instant::now();
    fixture.wait(5, Staleness::NONE, 5 * SECOND).await;
    assert!(begun.elapsed() < SECOND, "the answer is not stale");
    assert_eq!(fixture.sent().len(), 0);
    // A queue that has just failed is not polled again for each caller.
    fixture
        .simulator
        .world(|world| world.remove_queue(fixture.ids[7]));
    for _ in 0..20 {
        fixture.wait(7, Staleness::UNKNOWN, 5 * SECOND).await;
    }
    let of_it = fixture.sent().into_iter().filter(|path| {
        path.contains(&format!("queue={}&", fixture.ids[7]))
            || path.ends_with(&format!("queue={}", fixture.ids[7]))
    });
    assert!(of_it.count() <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_doubt_about_a_queues_members_is_settled_by_polling_it() {
    let fixture = still(20, 60).start();
    save_up(&fixture).await;
    fixture.quiet().await;
    fixture.wait(5, Staleness::UNKNOWN, 5 * SECOND).await;
    let sent = fixture.sent();
    assert!(sent.len() == 1 && !is_sweep(&sent[0]), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_waiting_questions_stays_within_the_budget() {
    let fixture = still(12, 30).start();
    for _ in 0..4200 {
        let places = [3, 5, 5];
        join_all(places.map(|place| fixture.wait(place, PRESSING, Duration::from_millis(400))))
            .await;
        for place in places {
            fixture.question(place);
        }
        sleep(SECOND / 2).await;
    }
    assert!(
        fixture.simulator.worst_sliding_hour() <= 1000,
        "{}",
        fixture.simulator.worst_sliding_hour()
    );
    assert_eq!(fixture.simulator.throttled(), 0);
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn callers_do_not_wait_if_statuses_take_several_requests() {
    let fixture = feeds::large(3).start();
    sleep(10 * MINUTE).await;
    save_up(&fixture).await;
    assert_eq!(feeds::feed(&fixture), Feed::Delta);
    fixture.simulator.quirks(|quirks| {
        quirks.ordering = SimulatedOrdering::Off;
        quirks.status_filter_ignored = true;
    });
    // One list after the other loses trust, until the pages of the full list are left.
    sleep(MINUTE).await;
    assert_eq!(feeds::feed(&fixture), Feed::Sweep);
    assert!(fixture.budget.fill() > 0.5, "{}", fixture.budget.fill());
    fixture.sent();
    let asked = fixture.clock.now();
    for place in 0..10 {
        fixture.wait(place, PRESSING, SECOND).await;
    }
    let waited = fixture.clock.now().longest_since(asked);
    assert!(waited < SECOND, "{waited:?}: only for polls under way");
    // The background may have sent one meanwhile.
    let sent = fixture.sent();
    assert!(sent.len() <= 1, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_who_wait_from_the_start_do_not_keep_the_list_of_changes_from_use() {
    // A fifth of an account with 2,000 agents, on pages with a fifth of the rows.
    let mut setting = feeds::large(1);
    (setting.world.queues, setting.world.agents) = (100, 400);
    let fixture = setting.start();
    let asked = Patience {
        fresh: SECOND / 3,
        ..Patience::USUAL
    };
    let begun = fixture.clock.now();
    let mut places = fixture.places().cycle();
    while fixture.clock.now().longest_since(begun) < 15 * MINUTE {
        for place in places.by_ref().step_by(37).take(5) {
            let decision = fixture.question(place);
            if let Some(staleness) = asked.staleness(&decision, &fixture.state(place)) {
                fixture.wait(place, staleness, SECOND / 3).await;
            }
        }
        sleep(SECOND).await;
    }
    let feeds = fixture.health.borrow().feeds.clone();
    assert_eq!(feeds::feed(&fixture), Feed::Delta, "{feeds:?}");
}
