//! Tests an engine that answers, but refuses what a node needs.

use super::*;
use crate::{
    cluster::trouble::Trouble,
    model::{digest::Digest, fault::FaultKind},
};

/// Returns what `status`, a queue and the account say of the refusal, each with its advice.
fn refusals(node: &Running, fixture: &Fixture) -> [(String, String); 3] {
    let now = fixture.clock.now();
    let trouble = node.member.status().trouble(now).unwrap();
    assert!(matches!(trouble, Trouble::Refused(_)), "{trouble}");
    let of_queue = node.board.get(&fixture.keys[0]).unwrap().fault.clone();
    let of_queue = of_queue.unwrap();
    let of_account = node.health.borrow().fault.clone().unwrap().fault;
    [
        (trouble.to_string(), trouble.advice().to_owned()),
        (of_queue.message(now), of_queue.advice()),
        (of_account.message(now), of_account.advice()),
    ]
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_refuses_a_command_no_node_sends_and_all_say_which_and_what_to_do() {
    let (fixture, exchange) = fixture(2, 20);
    let (leader, follower) = pair(&fixture, &exchange).await;
    *exchange.lacks.lock().unwrap() = Some("XADD".to_owned());
    sleep(LEASE).await;
    assert!(!leader.member.leads());
    let _ = fixture.sent();
    // Silence for a while is another cause.
    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(MINUTE).await;
    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    sleep(MINUTE * 20).await;
    assert_eq!(fixture.sent(), Vec::<String>::new());
    for node in [&leader, &follower] {
        assert_eq!(node.decide(&fixture, 0).reason, Reason::ClusterDown);
        for (said, advice) in refusals(node, &fixture) {
            assert!(said.contains("may not run XADD"), "{said}");
            assert!(advice.contains("users.acl"), "{advice}");
        }
    }
    *exchange.lacks.lock().unwrap() = None;
    sleep(LEASE * 2 + MINUTE).await;
    assert!(leader.member.leads() || follower.member.leads());
    for node in [&leader, &follower] {
        assert!(node.decide(&fixture, 0).reason.is_known());
        assert_eq!(node.member.status().trouble(fixture.clock.now()), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_account_another_one_has_differently_says_so_everywhere() {
    let (fixture, exchange) = fixture(1, 10);
    let (logged, _guard) = crate::logged::listen();
    let name = format!("name {}", Digest::new("main").short());
    let others = BTreeMap::from([(name, "another".to_owned())]);
    exchange.model.lock().unwrap().accounts = others;
    let node = Running::start(&fixture, &exchange, "one");
    sleep(MINUTE).await;
    assert_eq!(node.decide(&fixture, 0).reason, Reason::ClusterDown);
    for (said, advice) in refusals(&node, &fixture) {
        let why = "another node of the cluster has an account of this name at another address";
        assert!(said.contains(why), "{said}");
        assert!(advice.starts_with("give it the same address"), "{advice}");
    }

    exchange.model.lock().unwrap().accounts.clear();
    sleep(LEASE * 2).await;
    assert!(node.member.leads());
    assert_eq!(node.member.status().trouble(fixture.clock.now()), None);
    let on_board = node.board.get(&fixture.keys[0]).unwrap().fault.clone();
    let kind = on_board.map(|fault| fault.kind());
    assert_ne!(kind, Some(FaultKind::ClusterDown));
    let lines = logged.lines();
    let refused = "another node of the cluster has an account of this name";
    let refused = lines.iter().filter(|line| line.contains(refused));
    assert_eq!(refused.count(), 1, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("engine is back")));
}
