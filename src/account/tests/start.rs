//! Tests how an account starts: without knowledge, and after a restart.

use super::{super::schedule::Need, *};
use crate::{
    account::{feeds::Feed, schedule::Expected},
    logged::listen,
    model::names::Names,
};

impl Fixture {
    fn known(&self) -> usize {
        let known = |place: &usize| self.decide(*place).reason.is_known();
        self.places().filter(known).count()
    }

    fn planned_max_ages(&self) -> Vec<Duration> {
        let mut ages: Vec<_> = self
            .places()
            .map(|place| self.state(place).planned_max_age)
            .collect();
        ages.dedup();
        ages
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_queues_share_the_first_hour() {
    let (logged, _guard) = listen();
    let fixture = still(1_000, 300).start();
    sleep(15 * SECOND).await;
    let burst = u64::from(fixture.budget.burst());
    assert_eq!(burst, 38, "4 % of 950");
    // The statuses, the ration, and the polls that the pace allows.
    let spent = fixture.simulator.requests();
    assert!(spent <= 1 + burst + 5, "{spent} requests in 15 s");
    assert!(fixture.known() >= 38);
    fixture.question(900);
    fixture.question(997);
    sleep(25 * SECOND).await;
    for place in [900, 997] {
        assert!(
            fixture.decide(place).reason.is_known(),
            "asked about: {place}"
        );
    }
    for _ in 0..10 {
        sleep(MINUTE).await;
        let now = fixture.clock.now();
        for place in fixture.places() {
            let decision = fixture.decide(place);
            assert!(
                decision.reason.is_known() || decision.reason == Reason::NeverPolled,
                "{place}: {decision:?}"
            );
            let until = decision.valid_until.unwrap_or(now).wall;
            assert!(until <= now.wall + MINUTE, "{place}: {decision:?}");
        }
    }
    // A queue in every other slot, 3.8 s each.
    let known = fixture.known();
    assert!((100..=150).contains(&known), "{known} are known");
    assert!(fixture.simulator.requests() < 250, "at the pace");
    assert!(logged.lines().len() <= 3, "{:?}", logged.lines());
}

#[tokio::test(start_paused = true)]
async fn a_small_account_is_known_at_once() {
    for queues in [1, 5, 30] {
        let fixture = still(queues, 60).start();
        sleep(5 * SECOND).await;
        fixture.assert_all_known();
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_restarts_in_a_row_cost_almost_nothing() {
    let mut fixture = still(60, 120).start();
    sleep(20 * MINUTE).await;
    fixture.assert_all_known();
    fixture.sent();
    for _ in 0..20 {
        fixture.restart().await;
        fixture.assert_all_known();
        // Long enough for a slot: without a store each task reads the statuses before anything else.
        for _ in 0..16 {
            sleep(SECOND / 2).await;
            fixture.assert_all_known();
            fixture.assert_true();
            assert_eq!(fixture.planned_max_ages(), [MINUTE]);
        }
    }
    let time = 20 * 8 * SECOND;
    let earned = time.as_secs_f64() / fixture.budget.usual_period().as_secs_f64();
    let mut sent = fixture.sent();
    sent.retain(|path| !path.contains("/statuses/"));
    let sent = sent.len() as f64;
    // A task starts with a slot, so each restart costs at most one request.
    assert!(
        sent <= earned + 20.0,
        "{sent} requests in a time that earns {earned}"
    );
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_were_trusted_are_trusted_after_a_restart() {
    let mut fixture = still(60, 600).start();
    sleep(20 * MINUTE).await;
    let planned = fixture.planned_max_ages();
    fixture.restart().await;
    sleep(SECOND).await;
    assert!(fixture.health.borrow().sweeps);
    assert_eq!(
        fixture.planned_max_ages(),
        planned,
        "with as many pages as before"
    );
    fixture.watch(3 * MINUTE, Fixture::assert_all_known).await;
}

#[tokio::test(start_paused = true)]
async fn the_list_of_changes_continues_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite3");
    let mut fixture = feeds::large(7).start();
    let open = |clock: &Arc<VirtualClock>| Arc::new(Store::open(&path, clock.clone()).unwrap());
    fixture.store = Some(open(&fixture.clock));
    fixture.start_task(Known::default());
    sleep(10 * MINUTE).await;
    for downtime in [SECOND, 10 * SECOND] {
        assert_eq!(feeds::feed(&fixture), Feed::Delta);
        fixture.stop.cancel();
        sleep(SECOND).await;
        fixture.store.take().unwrap().finish(20 * SECOND);
        sleep(downtime).await;
        let store = open(&fixture.clock);
        let (names, _) = store.names(&owner(), fixture.clock.now()).unwrap();
        let known = store.known(&owner(), &names);
        fixture.store = Some(store);
        fixture.board = Arc::new(Board::new(fixture.keys.clone()));
        fixture.start_task(known);
        // Statuses first; and what was seen within the last ten seconds proves nothing.
        sleep(MINUTE / 2).await;
        let oldest = fixture.places().map(|place| fixture.decide(place).age);
        let oldest = oldest.max().unwrap();
        assert!(oldest < Some(MINUTE / 4), "{downtime:?}: {oldest:?}");
        fixture.watch(5 * MINUTE, Fixture::assert_all_known).await;
    }
    assert!(fixture.simulator.requests() < 500, "at the pace");
}

/// Leaves out the field that makes two rows of an agent differ although nothing has happened.
fn without_idle_time(path: &str, answer: &mut Result<Reply, Fault>) {
    if path.starts_with("agentstatuses/") {
        feeds::edit(answer, |body| {
            for row in body["results"].as_array_mut().unwrap() {
                row.as_object_mut().unwrap().remove("idle_time");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn distrusted_sweeps_are_not_trusted_after_a_restart() {
    for lie in [None, Some(without_idle_time as Lie)] {
        let folder = tempfile::tempdir().unwrap();
        let mut setting = still(20, 60);
        setting.sweep = SweepQuirk::Stale;
        let mut fixture = setting.start();
        let path = folder.path().join("state.sqlite3");
        let open = |clock: &Arc<VirtualClock>| Arc::new(Store::open(&path, clock.clone()).unwrap());
        fixture.store = Some(open(&fixture.clock));
        feeds::lie(&fixture, lie);
        fixture.start_task(Known::default());
        let ready = fixture.status("Available");
        fixture.simulator.world(|world| world.set_everyone(ready));
        sleep(5 * MINUTE).await;
        assert_eq!(fixture.distrusted(), 1);
        let known = fixture.knowledge().await;
        fixture.stop.cancel();
        sleep(SECOND).await;
        fixture.store.take().unwrap().finish(20 * SECOND);
        let stored = open(&fixture.clock).known(&owner(), &Names::default());
        fixture.board = Arc::new(Board::new(fixture.keys.clone()));
        fixture.start_task(known);
        sleep(SECOND).await;
        let is_trusted = fixture.health.borrow().sweeps;
        let found = (stored.queues.len(), stored.agents.len(), is_trusted);
        assert_eq!(found, (20, 0, false), "neither in memory nor in the file");
        fixture.watch(10 * MINUTE, Fixture::assert_true).await;
        assert!(!fixture.health.borrow().sweeps);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_makes_old_queues_due_at_once() {
    let mut fixture = still(20, 60).start();
    sleep(20 * MINUTE).await;
    let (reply, known) = tokio::sync::oneshot::channel();
    fixture.asks.send(Ask::Known { reply }).await.unwrap();
    let known = known.await.unwrap();
    fixture.task.abort();
    sleep(60 * MINUTE).await;
    fixture.board = Arc::new(Board::new(fixture.keys.clone()));
    fixture.start_task(known);
    sleep(10 * SECOND).await;
    fixture.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn max_age_follows_the_plan_from_the_start() {
    for (queues, agents) in [(60, 100), (20, 60), (1, 5)] {
        let fixture = still(queues, agents).start();
        let planned = plan_of(queues);
        fixture
            .watch(5 * MINUTE, |fixture| {
                assert_eq!(fixture.planned_max_ages(), [planned]);
            })
            .await;
        // With every request spent: max_age does not depend on the rest of the hour.
        spend_the_hour(&fixture.budget).await;
        fixture
            .watch(5 * MINUTE, |fixture| {
                assert_eq!(fixture.planned_max_ages(), [planned]);
            })
            .await;
    }
}

/// Returns the `max_age` in `openseat plan` for this many queues that count seats.
fn plan_of(queues: usize) -> Duration {
    let need = Need {
        id: false,
        statuses: true,
        alone: false,
        undated: false,
    };
    let schedule = Schedule::planned(vec![(need, 1); queues], ScheduleOptions::default());
    let period = Duration::from_secs(3600) / 950;
    let Expected { statuses, .. } = schedule.expected(period)[0];
    crate::account::plan::default_max_age(statuses, Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn the_first_hour_is_as_planned() {
    for queues in [20, 300] {
        let fixture = still(queues, 120).start();
        let need = fixture.queues[0].need();
        let planned =
            crate::account::plan::first_hour(&vec![(need, 1); queues], fixture.options, 950);
        let polled = |fixture: &Fixture| {
            let polled = |place: &usize| fixture.state(*place).last_success.is_some();
            fixture.places().filter(polled).count()
        };
        sleep(3 * SECOND).await;
        assert_eq!(polled(&fixture), planned.at_once);
        let begin = fixture.clock.now().boot;
        let all_after = planned.all_after.expect("an hour is enough");
        while polled(&fixture) < queues {
            sleep(SECOND).await;
        }
        let elapsed = fixture.clock.now().boot - begin;
        assert!(
            elapsed.abs_diff(all_after) <= all_after / 10 + 5 * SECOND,
            "{elapsed:?}, planned {all_after:?}"
        );
    }
}
