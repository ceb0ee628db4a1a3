//! The hour's requests: who may spend them, and what happens when there are none left.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use openseat::{
    budget::{Budget, Cause, Purpose},
    config::Config,
    daemon::{open_ledger, payer},
    simulator::TOKEN,
};

use crate::support::{CallTools, Home, Running, Time, known, post, soon};

/// A daemon with so few requests that they can be counted: four for the cold start, and one kept back.
async fn frugal(calltools: &CallTools, home: &Home, time: &Time) -> Running {
    home.set_token("main", TOKEN);
    let lines = calltools.account_with("requests_per_hour = 8\nreserve = 2", "max_age = \"25m\"");
    let daemon = home.start(time, &[lines]).await;
    daemon.ready().await;
    daemon
}

#[tokio::test]
async fn refreshes_spend_the_reserve_and_are_refused_when_all_is_spent() {
    let (time, home) = (Time::new(), Home::new());
    let calltools = CallTools::start(&time).await;
    let daemon = frugal(&calltools, &home, &time).await;
    assert_eq!(daemon.used().await, 4.0);
    let refresh = async || post(daemon.address, "/v1/queues/sales/refresh").await;
    for used in 5..=8 {
        assert_eq!(refresh().await.status, 200, "request {used} of 8");
        assert_eq!(daemon.used().await, f64::from(used));
    }
    let refused = refresh().await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(refused.json()["type"], "urn:openseat:problem:budget-spent");
    let wait = refused
        .header("retry-after")
        .and_then(|wait| wait.parse::<u64>().ok());
    assert!(
        wait.is_some_and(|wait| (3_500..3_700).contains(&wait)),
        "{wait:?}"
    );
    assert_eq!(calltools.simulator.requests(), 8);
    // What is known is answered all the same, for as long as it may be.
    assert_eq!(daemon.decision("sales").await["reason"], "seats");
    time.pass_by(Duration::from_secs(1_600), Duration::from_secs(5))
        .await;
    let unknown = daemon.decision("sales").await;
    assert!(!known(&unknown), "{unknown}");
    assert_eq!(calltools.simulator.requests(), 8);
}

#[tokio::test]
async fn polling_leaves_the_reserve_alone() {
    let (time, home) = (Time::new(), Home::new());
    let calltools = CallTools::start(&time).await;
    let daemon = frugal(&calltools, &home, &time).await;
    time.pass_by(Duration::from_secs(3_000), Duration::from_secs(5))
        .await;
    assert_eq!(calltools.simulator.requests(), 6);
    assert_eq!(daemon.used().await, 6.0);
    let answer = post(daemon.address, "/v1/queues/sales/refresh").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_process_beside_the_daemon_spends_from_the_same_hour() {
    let (time, home) = (Time::new(), Home::new());
    let calltools = CallTools::start(&time).await;
    let daemon = frugal(&calltools, &home, &time).await;

    // As `check` does it: the same config, a ledger of its own at the same file.
    let config = Config::load(&home.path().join("openseat.toml")).expect("it is good");
    let account = &config.accounts[0];
    let token = account.upstream.token.read().expect("there is one");
    let clock = time.clock();
    let ledger = open_ledger(&home.state(), clock.as_ref()).expect("it can be shared");
    let limit = NonZeroU32::new(8).expect("more than nothing");
    let beside = Budget::new(Arc::new(ledger), payer(account, &token), limit, 2, clock);
    let beside = beside.expect("it can be read");
    assert_eq!(beside.usage().await.expect("it can be read").used, 4);
    for _ in 0..3 {
        let permit = beside
            .permit(Purpose::OnDemand)
            .await
            .expect("there are some left");
        permit.answered().await;
    }
    soon("the daemon sees it", async || daemon.used().await == 7.0).await;
    assert_eq!(
        post(daemon.address, "/v1/queues/sales/refresh")
            .await
            .status,
        200
    );
    assert_eq!(
        post(daemon.address, "/v1/queues/sales/refresh")
            .await
            .status,
        429
    );
    let refusal = beside
        .permit(Purpose::OnDemand)
        .await
        .expect_err("all are spent");
    assert_eq!(refusal.cause, Cause::Spent);
    assert_eq!(calltools.simulator.requests() + 3, 8);
}
