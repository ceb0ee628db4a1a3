//! Three nodes that are asked for newer data from all sides, on and on, before, during and after each fault.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{
    spent::{Fault, Trial},
    *,
};

/// How many more requests the hour has for each fault: the first ones are sent when it happens, the others after it.
const ROUND: usize = 30;

/// How long CallTools takes to answer, so that polls are under way at each fault.
const ANSWERS_AFTER: Duration = Duration::from_millis(100);

/// What callers ask each node. Each request follows the answer to the one before.
const TARGETS: [(&str, &str); 4] = [
    ("POST", "/v1/queues/sales/refresh"),
    ("POST", "/v1/queues/support/refresh"),
    ("GET", "/v1/queues/sales/decision?fresh=0&wait=1s"),
    ("GET", "/v1/queues/support/decision"),
];

/// How long a caller waits for a node that may be paused.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pause between two requests of a caller: so short that the hour is spent in seconds, and so long that the machine has time for other tests.
const PAUSE: Duration = Duration::from_millis(25);

/// What the answers were: the status and the kind of problem, or the reason of a decision.
type Said = BTreeSet<String>;

fn said(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let of = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    format!("{} {}{}", answer.status, of("reason"), of("type"))
}

/// All of them. A decision is known, and accepts, whatever happens.
const EXPECTED: [&str; 4] = [
    "GET 200 seats",
    "POST 200 seats",
    "POST 429 urn:openseat:problem:budget-spent",
    "POST 503 urn:openseat:problem:cluster-down",
];

/// Asks a node on and on, wherever it is.
async fn ask_on(
    place: watch::Receiver<Option<SocketAddr>>,
    (method, target): (&'static str, &'static str),
    stops: watch::Receiver<bool>,
) -> Said {
    let mut all = Said::new();
    while !*stops.borrow() {
        let address = *place.borrow();
        if let Some(address) = address
            && let Some(answer) = ask_within(PATIENCE, address, method, target).await
        {
            all.insert(format!("{method} {}", said(&answer)));
        }
        tokio::time::sleep(PAUSE).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn no_fault_sends_more_than_the_hour_allows_while_all_nodes_are_refreshed() {
    let mut trial = Trial::start(ROUND).await;
    trial.calltools.simulator.set_latency(ANSWERS_AFTER);
    for node in &trial.nodes {
        soon("it knows the other queue as well", async || {
            let support = get(node.address, "/v1/queues/support/decision").await;
            known(&support.json())
        })
        .await;
    }
    let (stop, stops) = watch::channel(false);
    let mut callers = JoinSet::new();
    for node in &trial.nodes {
        for target in TARGETS {
            callers.spawn(ask_on(node.place.subscribe(), target, stops.clone()));
        }
    }
    trial.spend_all().await;
    for fault in [
        Fault::LeaderPaused,
        Fault::LeaderCutOff,
        Fault::EngineRestarted,
        Fault::EngineReplaced,
        Fault::LeaderKilled,
    ] {
        let before = trial.sent();
        trial.raise_the_limit(ROUND).await;
        soon("polls are under way", async || trial.sent() > before).await;
        let at_fault = trial.sent();
        trial.suffer(fault).await;
        trial.spend_all().await;
        // Requests may be counted and not sent, but there are polls after the fault.
        assert!(trial.sent() > at_fault + ROUND / 3, "{fault:?}");
    }
    stop.send_replace(true);
    let said: Said = callers.join_all().await.into_iter().flatten().collect();
    assert!(
        said.iter().all(|one| EXPECTED.contains(&&**one)),
        "{said:?}"
    );
    assert!(trial.calltools.simulator.worst_sliding_hour() <= trial.limit);
}
