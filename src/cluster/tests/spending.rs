//! Tests the leader of a shared budget, which counts the requests of other nodes.

use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    budget::{Budget, BudgetOwner, Ledger, Purpose, SharedBudget, Witness as _},
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
    let limit = NonZeroU32::new(LIMIT).unwrap();
    let budget = Budget::in_memory(limit, 0, clock.clone());
    start_with(exchange, clock, name, budget)
}

/// Starts a node of an account with the identity `identity`, which shares no budget.
pub(super) fn start_account(
    exchange: &Arc<Exchange>,
    clock: &Arc<VirtualClock>,
    name: &str,
) -> Counter {
    let node = node(exchange, clock, name);
    let (member, new) = node.member(&"main".into(), "origin", "identity");
    let limit = NonZeroU32::new(LIMIT).unwrap();
    let budget = Budget::in_memory(limit, 0, clock.clone());
    let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
    let mut membership = node.membership(new.unwrap(), Some(Arc::clone(&budget)));
    let task = membership.task.take().unwrap();
    let task = tokio::spawn(task.run(CancellationToken::new()));
    Counter {
        budget,
        member,
        task,
        _node: node,
    }
}

fn node(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>, name: &str) -> Arc<Node> {
    let settings = Settings {
        name: name.to_owned(),
        lease: LEASE,
        alone: exchange.alone.lock().unwrap().clone(),
    };
    let engine = Arc::clone(exchange) as Arc<dyn Engine>;
    let node = Arc::new(Node::new(engine, settings, clock.clone()));
    exchange.introduce(&node);
    node
}

pub(super) fn start_with(
    exchange: &Arc<Exchange>,
    clock: &Arc<VirtualClock>,
    name: &str,
    budget: Budget,
) -> Counter {
    let node = node(exchange, clock, name);
    let (member, new) = node.budget(&"acme".into());
    let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
    let task = node.budget_task(new.unwrap(), Arc::clone(&budget));
    let task = tokio::spawn(task.run(CancellationToken::new()));
    Counter {
        budget,
        member,
        task,
        _node: node,
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_no_more_once_its_node_has_given_up() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let leader = start(&exchange, &clock, "one");
    sleep(LEASE * 2).await;
    let other = start(&exchange, &clock, "two");
    sleep(LEASE).await;
    assert!(leader.member.leads());
    let spend = |number| {
        let what = What::Spend {
            mark: (other.member.process(), number),
            polling: false,
        };
        other.member.ask(what, SECOND)
    };
    let hold = |waits| *exchange.holds_questions.lock().unwrap() = waits;
    hold(SECOND * 3);
    assert_eq!(spend(1).await, None);
    sleep(SECOND * 5).await;
    assert_eq!(leader.budget.usage().used, 0);
    hold(SECOND / 2);
    assert_eq!(spend(2).await, Some(Said::Done));
    assert_eq!(leader.budget.usage().used, 1);
}

#[tokio::test(start_paused = true)]
async fn the_leader_of_a_budget_grants_the_hours_requests_and_not_one_more() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let leader = start(&exchange, &clock, "one");
    let leads = async {
        while !leader.member.leads() {
            sleep(SECOND).await;
        }
    };
    let led = tokio::time::timeout(LEASE * 10, leads).await;
    led.expect("it leads");
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

/// Two accounts of one node, `a` and `b`, that spend from one hour. The cluster's task counts with the budget of `a`.
struct Accounts {
    clock: Arc<VirtualClock>,
    ledger: Arc<Ledger>,
    counter: Counter,
    b: Budget,
}

impl Accounts {
    fn start(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>) -> Self {
        let ledger = Arc::new(Ledger::in_memory(clock.as_ref()));
        let a = sharing(&ledger, clock, "a", LIMIT);
        let counter = start_with(exchange, clock, "one", a);
        let b = sharing(&ledger, clock, "b", LIMIT);
        let b = b.with_witness(Arc::clone(&counter.member) as Arc<_>);
        Self {
            clock: Arc::clone(clock),
            ledger,
            counter,
            b,
        }
    }

    /// Returns how many requests `b` may send, at most its whole limit.
    async fn spend(&self) -> u32 {
        let mut spent = 0;
        for _ in 0..LIMIT {
            if let Ok(permit) = self.b.permit(Purpose::OnDemand).await {
                permit.answered();
                spent += 1;
            }
        }
        spent
    }

    /// Reloads a config in which both accounts have this limit. Returns the limit that applies to each of them.
    async fn reload(&self, limit: u32) -> [u32; 2] {
        let [a, b] = ["a", "b"].map(|name| sharing(&self.ledger, &self.clock, name, limit));
        let a = Arc::new(a);
        self.counter.member.count(Arc::clone(&a)).await;
        sleep(SECOND).await;
        [a.usage().limit, b.usage().limit]
    }
}

fn sharing(ledger: &Arc<Ledger>, clock: &Arc<VirtualClock>, name: &str, limit: u32) -> Budget {
    let owner = BudgetOwner {
        account: name.to_owned(),
        identity: name.to_owned(),
    };
    let shared = SharedBudget {
        name: "acme".into(),
        accounts: NonZeroU32::new(2).unwrap(),
    };
    let limit = NonZeroU32::new(limit).unwrap();
    Budget::shared(
        Arc::clone(ledger),
        owner,
        limit,
        0,
        Some(&shared),
        clock.clone(),
    )
}

#[tokio::test(start_paused = true)]
async fn the_smallest_limit_holds_for_every_account_that_shares_the_budget() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let accounts = Accounts::start(&exchange, &clock);
    while !accounts.counter.member.leads() {
        sleep(SECOND).await;
    }
    let limit = NonZeroU32::new(LIMIT / 2).unwrap();
    let smaller = Budget::in_memory(limit, 0, clock.clone());
    let _other = start_with(&exchange, &clock, "two", smaller);
    sleep(LEASE).await;
    assert!(accounts.counter.member.leads());
    assert_eq!(accounts.spend().await, LIMIT / 2);
    assert_eq!(accounts.reload(LIMIT * 2).await, [LIMIT / 2; 2]);
}

#[tokio::test(start_paused = true)]
async fn alone_every_account_stays_within_three_quarters_also_after_a_reload() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    *exchange.alone.lock().unwrap() = Some("one".to_owned());
    let accounts = Accounts::start(&exchange, &clock);
    sleep(LEASE * 2).await;
    assert_eq!(accounts.reload(LIMIT).await, [LIMIT; 2]);
    exchange.is_down.store(true, Ordering::Relaxed);
    sleep(LEASE * 3).await;
    assert!(accounts.counter.member.leads());
    assert_eq!(accounts.spend().await, LIMIT / 4 * 3);
    // Neither the age of what it knows of the nodes nor their number matters.
    for _ in 0..3 {
        assert_eq!(accounts.reload(40).await, [30; 2]);
        assert_eq!(accounts.reload(LIMIT * 2).await, [LIMIT / 4 * 3; 2]);
        sleep(LEASE).await;
    }
    exchange.is_down.store(false, Ordering::Relaxed);
    sleep(LEASE).await;
    assert_eq!(accounts.reload(LIMIT).await, [LIMIT; 2]);
}
