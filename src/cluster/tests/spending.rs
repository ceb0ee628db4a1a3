//! Tests the leader of a shared budget, which counts the requests of other nodes.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    budget::{Budget, Witness as _},
    clock::VirtualClock,
    cluster::{
        engine::Engine,
        member::Member,
        message::{Said, What},
        model::Exchange,
        node::{Node, Settings},
    },
};

pub(super) const LIMIT: u32 = 60;
pub(super) const LEASE: Duration = Duration::from_secs(10);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A node without accounts: only a member of the budget.
pub(super) struct Counter {
    pub(super) budget: Arc<Budget>,
    pub(super) member: Arc<Member>,
    pub(super) task: JoinHandle<()>,
    _node: Arc<Node>,
}

pub(super) fn start(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>, name: &str) -> Counter {
    let settings = Settings {
        name: name.to_owned(),
        lease: LEASE,
        alone: None,
    };
    let engine = Arc::clone(exchange) as Arc<dyn Engine>;
    let node = Arc::new(Node::new(engine, settings, clock.clone()));
    exchange.introduce(&node);
    let (member, seat) = node.budget(&"acme".into());
    let limit = NonZeroU32::new(LIMIT).unwrap();
    let budget = Arc::new(Budget::in_memory(limit, 0, clock.clone()));
    let task = node.budget_task(seat.unwrap(), Arc::clone(&budget));
    let task = tokio::spawn(task.run(CancellationToken::new()));
    Counter {
        budget,
        member,
        task,
        _node: node,
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_of_a_budget_grants_the_hours_requests_and_not_one_more() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let leader = start(&exchange, &clock, "one");
    while !leader.member.leads() {
        sleep(SECOND).await;
    }
    let other = start(&exchange, &clock, "two");
    sleep(LEASE).await;
    let spend = |number| {
        let what = What::Spend {
            mark: (other.member.process(), number),
            polling: false,
        };
        other.member.ask(what, SECOND * 10)
    };
    let answers = join_all((0..=u64::from(LIMIT)).map(spend)).await;
    let count = |wanted: Said| {
        answers
            .iter()
            .filter(|one| one.as_ref() == Some(&wanted))
            .count()
    };
    assert_eq!(count(Said::Done), LIMIT as usize);
    assert_eq!(count(Said::Full), 1);
    sleep(SECOND * 2).await;
    for node in [&leader, &other] {
        assert_eq!(node.budget.usage().used, LIMIT);
    }
    // A node that missed the answer asks again. That costs no second request.
    assert_eq!(spend(0).await, Some(Said::Done));
    assert_eq!(leader.budget.usage().used, LIMIT);
}
