//! How an account begins: from nothing, and after a restart.

use super::{super::schedule::Need, *};
use crate::{account::schedule::Expected, logged::listen};

impl Stage {
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
async fn a_thousand_queues_share_out_the_first_hour() {
    let (logged, _guard) = listen();
    let stage = still(1_000, 300).start();
    sleep(15 * SECOND).await;
    let burst = u64::from(stage.budget.burst());
    assert_eq!(burst, 38, "4 % of 950");
    // The statuses, the ration, and what the pace allows for.
    let spent = stage.simulator.requests();
    assert!(spent <= 1 + burst + 5, "{spent} requests in 15 s");
    assert!(stage.known() >= 38);
    stage.question(900);
    stage.question(997);
    sleep(25 * SECOND).await;
    for place in [900, 997] {
        assert!(
            stage.decide(place).reason.is_known(),
            "asked about: {place}"
        );
    }
    for _ in 0..10 {
        sleep(MINUTE).await;
        let now = stage.clock.now();
        for place in stage.places() {
            let decision = stage.decide(place);
            assert!(
                decision.reason.is_known() || decision.reason == Reason::NeverPolled,
                "{place}: {decision:?}"
            );
            let until = decision.valid_until.unwrap_or(now).wall;
            assert!(until <= now.wall + MINUTE, "{place}: {decision:?}");
        }
    }
    // A queue in every other slot, 3.8 s each.
    let known = stage.known();
    assert!((100..=150).contains(&known), "{known} are known");
    assert!(stage.simulator.requests() < 250, "at the pace");
    assert!(logged.lines().len() <= 3, "{:?}", logged.lines());
}

#[tokio::test(start_paused = true)]
async fn a_small_account_is_known_at_once() {
    for queues in [1, 5, 30] {
        let stage = still(queues, 60).start();
        sleep(5 * SECOND).await;
        stage.assert_all_known();
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_restarts_in_a_row_cost_hardly_more_than_none() {
    let mut stage = still(60, 120).start();
    sleep(20 * MINUTE).await;
    stage.assert_all_known();
    stage.sent();
    for _ in 0..20 {
        stage.restart().await;
        stage.assert_all_known();
        // Long enough for a slot: without a store each task reads the statuses before anything else.
        for _ in 0..16 {
            sleep(SECOND / 2).await;
            stage.assert_all_known();
            stage.assert_true();
            assert_eq!(stage.planned_max_ages(), [MINUTE]);
        }
    }
    let time = 20 * 8 * SECOND;
    let earned = time.as_secs_f64() / stage.budget.usual_period().as_secs_f64();
    let mut sent = stage.sent();
    sent.retain(|path| !path.contains("/statuses/"));
    let sent = sent.len() as f64;
    // A task begins with a slot, so one request for each restart and no more.
    assert!(
        sent <= earned + 20.0,
        "{sent} requests in a time that earns {earned}"
    );
    assert_eq!(stage.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_were_trusted_are_trusted_after_a_restart() {
    let mut stage = still(60, 600).start();
    sleep(20 * MINUTE).await;
    let planned = stage.planned_max_ages();
    stage.restart().await;
    sleep(SECOND).await;
    assert!(stage.health.borrow().sweeps);
    assert_eq!(
        stage.planned_max_ages(),
        planned,
        "and as long as they were"
    );
    stage.watch(3 * MINUTE, Stage::assert_all_known).await;
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_were_found_wanting_are_not_trusted_after_a_restart() {
    let mut setting = still(20, 60);
    setting.sweep = SweepQuirk::Stale;
    let mut stage = setting.start();
    let ready = stage.status("Available");
    stage.simulator.world(|world| world.set_everyone(ready));
    sleep(5 * MINUTE).await;
    assert_eq!(stage.distrusted(), 1);
    stage.restart().await;
    stage.watch(10 * MINUTE, Stage::assert_true).await;
    assert!(!stage.health.borrow().sweeps);
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_makes_old_queues_due_at_once() {
    let mut stage = still(20, 60).start();
    sleep(20 * MINUTE).await;
    let (reply, known) = tokio::sync::oneshot::channel();
    stage.asks.send(Ask::Known { reply }).await.unwrap();
    let known = known.await.unwrap();
    stage.task.abort();
    sleep(60 * MINUTE).await;
    stage.board = Arc::new(Board::new(stage.keys.clone()));
    stage.employ(known);
    sleep(10 * SECOND).await;
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn max_age_is_the_plans_from_the_first_moment_on() {
    for (queues, agents) in [(60, 100), (20, 60), (1, 5)] {
        let stage = still(queues, agents).start();
        let planned = plan_of(queues);
        stage
            .watch(5 * MINUTE, |stage| {
                assert_eq!(stage.planned_max_ages(), [planned]);
            })
            .await;
        // Spent to the last: what is left of the hour is nothing to max_age.
        while let Ok(permit) = stage.budget.permit(Purpose::OnDemand).await {
            drop(permit);
        }
        stage
            .watch(5 * MINUTE, |stage| {
                assert_eq!(stage.planned_max_ages(), [planned]);
            })
            .await;
    }
}

/// What `openseat plan` says of so many queues that count seats.
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
    crate::account::plan::default_max_age(statuses)
}

#[tokio::test(start_paused = true)]
async fn the_first_hour_is_as_planned() {
    for queues in [20, 300] {
        let stage = still(queues, 120).start();
        let need = stage.queues[0].need();
        let planned =
            crate::account::plan::first_hour(&vec![(need, 1); queues], stage.options, 950);
        let polled = |stage: &Stage| {
            let polled = |place: &usize| stage.state(*place).last_success.is_some();
            stage.places().filter(polled).count()
        };
        sleep(3 * SECOND).await;
        assert_eq!(polled(&stage), planned.at_once);
        let begin = stage.clock.now().boot;
        let all_after = planned.all_after.expect("an hour is enough");
        while polled(&stage) < queues {
            sleep(SECOND).await;
        }
        let took = stage.clock.now().boot - begin;
        assert!(
            took.abs_diff(all_after) <= all_after / 10 + 5 * SECOND,
            "{took:?}, planned {all_after:?}"
        );
    }
}
