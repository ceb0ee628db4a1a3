//! A simulated machine: its clock, its ledger, and one process after another with the real code of lease, log, mirrors and budget.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, select_all};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    LEASE, LIMIT,
    world::{Faults, Link, MachineClock, Part, World},
};
use crate::{
    budget::{Budget, BudgetOwner, Ledger, Purpose, SharedBudget, Witness},
    clock::Clock,
    cluster::{
        engine::Engine,
        guest::Guest,
        member::Member,
        node::{Node, Settings},
        sharer::Sharer,
    },
};

/// The longest time that a request takes to arrive, in seconds.
const TIMEOUT: f64 = 10.0;

/// See the [module](self).
pub(super) struct Machine {
    number: usize,
    world: Arc<World>,
    faults: Faults,
    clock: Arc<MachineClock>,
    ledger: Mutex<Arc<Ledger>>,
    /// The numbers of its processes.
    processes: Mutex<HashSet<u64>>,
}

/// What sends requests in a process.
struct Sender<'a> {
    account: &'static str,
    budget: Arc<Budget>,
    member: Arc<Member>,
    /// Whose log has the requests.
    counter: Arc<Member>,
    link: &'a Link,
    /// Whether it sends for checks, which any node may.
    checks: bool,
}

impl Machine {
    pub fn new(number: usize, world: &Arc<World>, faults: Faults) -> Self {
        let clock = Arc::new(MachineClock {
            begun: world.begun,
            boot: Duration::from_secs(200_000 + 10_000 * number as u64),
            wall: Duration::from_secs(1_795_341_600 + 7 * number as u64),
        });
        Self {
            number,
            world: Arc::clone(world),
            faults,
            ledger: Mutex::new(Arc::new(Ledger::in_memory(clock.as_ref()))),
            clock,
            processes: Mutex::default(),
        }
    }

    /// Runs one process after another.
    pub async fn run(self) {
        loop {
            let stop = CancellationToken::new();
            let life = match self.faults.restarts {
                true => self.world.random(6_000.0),
                false => 1e9,
            };
            let until = Instant::now() + Duration::from_secs_f64(life);
            tokio::select! {
                () = self.process(stop.clone()) => {}
                () = sleep_until(until) => {}
            }
            sleep(Duration::from_secs_f64(self.world.random(20.0))).await;
        }
    }

    /// Runs one process. Dropping it is `kill -9`: it gives no lease away. The next process has its ledger.
    pub async fn process(&self, stop: CancellationToken) {
        if self.faults.without == Some(Part::Ledger) {
            self.forget_others();
        }
        let link = Arc::new(Link {
            world: Arc::clone(&self.world),
            machine: self.number,
            faults: self.faults,
            cut_until: Mutex::new(0.0),
            paused_until: Mutex::new(0.0),
        });
        let settings = Settings {
            name: format!("node-{}", self.number),
            lease: LEASE,
            alone: self.faults.stops.then(|| "node-0".to_owned()),
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let engine = Arc::clone(&link) as Arc<dyn Engine>;
        let node = Arc::new(Node::new(engine, settings, clock));
        let place = (Arc::downgrade(&node), Arc::clone(&link));
        self.world.nodes.lock().unwrap().push(place);
        let mut parts: Vec<BoxFuture<'_, ()>> = vec![Box::pin(self.trouble(&link))];
        for account in self.world.accounts {
            self.account(account, &node, &link, &stop, &mut parts);
        }
        select_all(parts).await;
    }

    /// Drops what other machines sent from the ledger.
    fn forget_others(&self) {
        let mut ledger = self.ledger.lock().unwrap();
        let processes = self.processes.lock().unwrap();
        let mut requests = self.budget(&ledger, "main", None).mirrored(0);
        requests.retain(|request| processes.contains(&request.mark.process));
        *ledger = Arc::new(Ledger::in_memory(self.clock.as_ref()));
        self.budget(&ledger, "main", None).mirror(&requests);
    }

    fn budget(&self, ledger: &Arc<Ledger>, name: &str, shared: Option<&SharedBudget>) -> Budget {
        let owner = BudgetOwner {
            account: name.to_owned(),
            identity: name.to_owned(),
        };
        let limit = NonZeroU32::new(LIMIT).unwrap();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Budget::shared(Arc::clone(ledger), owner, limit, 0, shared, clock)
    }

    /// Adds the work of an account of a process.
    fn account<'a>(
        &'a self,
        name: &'static str,
        node: &Node,
        link: &'a Link,
        stop: &CancellationToken,
        parts: &mut Vec<BoxFuture<'a, ()>>,
    ) {
        let shared = (self.world.accounts.len() > 1).then(|| SharedBudget {
            name: "acme".into(),
            accounts: NonZeroU32::new(self.world.accounts.len() as u32).unwrap(),
        });
        let (member, new) = node.member(&name.into(), "origin", name);
        let (counter, new_budget) = match &shared {
            Some(shared) => node.budget(&shared.name),
            None => (Arc::clone(&member), None),
        };
        let witness: Arc<dyn Witness> = match &shared {
            Some(_) => Arc::new(Sharer::new(Arc::clone(&member), Arc::clone(&counter))),
            None => Arc::clone(&member) as _,
        };
        self.processes.lock().unwrap().insert(member.process());
        let budget = self.budget(&self.ledger.lock().unwrap(), name, shared.as_ref());
        let budget = Arc::new(budget.with_witness(witness));
        let own = shared.is_none().then(|| Arc::clone(&budget));
        let mut membership = node.membership(new.unwrap(), own);
        let task = membership.task.take().unwrap();
        parts.push(Box::pin(task.run(stop.clone())));
        if let Some(new) = new_budget {
            let task = node.budget_task(new, Arc::clone(&budget));
            parts.push(Box::pin(task.run(stop.clone())));
        }
        let leading = (name, Arc::clone(&member));
        self.world.leading.lock().unwrap().push(leading);
        let guest = Guest::new(Arc::clone(&member), Arc::clone(&counter));
        let for_checks = Arc::new(budget.witnessed_by(Arc::new(guest)));
        let senders = [(false, budget), (true, for_checks)].into_iter();
        for (checks, budget) in senders.filter(|(checks, _)| self.faults.checks || !checks) {
            let sender = Sender {
                account: name,
                budget,
                member: Arc::clone(&member),
                counter: Arc::clone(&counter),
                link,
                checks,
            };
            parts.push(Box::pin(self.spend(sender)));
        }
        parts.push(Box::pin(async move {
            let mut role = membership.role.clone();
            loop {
                tokio::select! {
                    Ok(()) = role.changed() => {}
                    Some(_) = membership.news.recv() => {}
                    Some(question) = membership.questions.recv() => {
                        let question = serde_json::from_slice(&question.question).unwrap();
                        member.count_for(question).await;
                    }
                    else => return,
                }
            }
        }));
    }

    /// Sends whenever it may.
    async fn spend(&self, sender: Sender<'_>) {
        let link = sender.link;
        loop {
            let pause = if sender.checks { 60.0 } else { 6.0 };
            sleep(Duration::from_secs_f64(0.2 + self.world.random(pause))).await;
            link.wait_while_frozen().await;
            let Ok(permit) = sender.budget.permit(Purpose::OnDemand).await else {
                continue;
            };
            if self.faults.pauses && self.world.chance(0.03) {
                let until = self.world.seconds() + self.world.random(400.0);
                *link.paused_until.lock().unwrap() = until;
            }
            link.wait_while_frozen().await;
            if !permit.is_valid() {
                continue;
            }
            let Ok(permit) = sender.budget.confirm(permit) else {
                continue;
            };
            if !sender.checks && self.leads_elsewhere(&sender) {
                *self.world.twice.lock().unwrap() += 1;
            }
            *self.world.granted.lock().unwrap() += u32::from(!sender.counter.leads());
            let slow = self.faults.pauses && self.world.chance(0.1);
            let takes = self.world.random(if slow { TIMEOUT } else { 0.3 });
            // The request is under way, even if the process is killed now.
            let world = Arc::clone(&self.world);
            world.arrivals.lock().unwrap().push(world.seconds() + takes);
            sleep(Duration::from_secs_f64(takes)).await;
            permit.answered();
        }
    }

    /// Returns whether another node leads the sender's account as well.
    fn leads_elsewhere(&self, sender: &Sender<'_>) -> bool {
        let leaders = self.world.leading.lock().unwrap().clone();
        let mut others = leaders.iter().filter(|(account, one)| {
            *account == sender.account && !Arc::ptr_eq(one, &sender.member)
        });
        // A killed process no longer acts, but its tenure remains for a while.
        others.any(|(_, one)| Arc::strong_count(one) > 2 && one.leads())
    }

    /// Cuts the node off from time to time.
    async fn trouble(&self, link: &Link) {
        loop {
            sleep(Duration::from_secs_f64(self.world.random(3_000.0))).await;
            if self.faults.splits {
                let until = self.world.seconds() + self.world.random(120.0);
                *link.cut_until.lock().unwrap() = until;
            }
        }
    }
}
