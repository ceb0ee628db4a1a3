//! Runs three nodes that always want to spend, in virtual time, with the real code of lease, log, mirrors and budget. The engine is the model.
//!
//! An upstream counts arrivals. Through all faults of nodes, engine and clocks, no hour has more than the limit, and no two nodes lead at once.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::{BoxFuture, select_all};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    budget::{Budget, BudgetOwner, Ledger, Purpose, SharedBudget, Witness},
    clock::{Clock, Moment},
    cluster::{
        codec::{self, Writing},
        command::{Command, Listener, Log, Reply},
        engine::{Engine, EngineError, Heard},
        entry::Entry,
        member::{Member, Role},
        model::Model,
        node::{Node, Settings},
        sharer::Sharer,
    },
};

const LIMIT: u32 = 60;
const LEASE: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest time that a request takes to arrive, in seconds.
const TIMEOUT: f64 = 10.0;

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// Nodes freeze for minutes, even between a permit and its request.
    pauses: bool,
    /// The engine loses all data, or all of one account or budget.
    forgets: bool,
    /// The engine answers nobody for minutes, and one node goes on alone.
    stops: bool,
    /// The engine's clock jumps by up to 5,000 s.
    jumps: bool,
    /// Nodes and the engine cannot reach each other for a while, although commands may happen.
    splits: bool,
    /// Nodes are killed and restarted with their ledgers.
    restarts: bool,
    /// What nodes read from the log lacks its requests. This must break the limit: otherwise the simulation would prove nothing.
    empty_log: bool,
}

/// The clock of one machine, which follows the runtime's.
struct MachineClock {
    begun: Instant,
    /// Machines have booted at different times, and their wall clocks differ.
    boot: Duration,
    wall: Duration,
}

impl fmt::Debug for MachineClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineClock")
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Moment {
        let passed = self.begun.elapsed();
        Moment {
            boot: self.boot + passed,
            wall: self.wall + passed,
        }
    }

    fn boot_id(&self) -> &str {
        "simulated"
    }
}

/// The state that all nodes share.
struct World {
    begun: Instant,
    /// The engine's data by account and budget, and the error of its clock in seconds.
    engine: Mutex<(HashMap<String, Model>, f64)>,
    /// The engine answers nobody until then.
    stopped_until: Mutex<f64>,
    /// The receivers of messages.
    nodes: Mutex<Vec<(Weak<Node>, Arc<Link>)>>,
    /// The accounts of each node, which share one budget; a single account has its own.
    accounts: &'static [&'static str],
    /// The true times of arrivals, in seconds.
    arrivals: Mutex<Vec<f64>>,
    leading: Mutex<Vec<(&'static str, Arc<Member>)>>,
    twice: Mutex<u32>,
    /// How many requests another node's count permitted.
    granted: Mutex<u32>,
    random: Mutex<Rng>,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        Self::with(seed, &["main"])
    }

    fn with(seed: u64, accounts: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            engine: Mutex::default(),
            stopped_until: Mutex::default(),
            nodes: Mutex::default(),
            accounts,
            arrivals: Mutex::default(),
            leading: Mutex::default(),
            twice: Mutex::default(),
            granted: Mutex::default(),
            random: Mutex::new(Rng::with_seed(seed)),
        })
    }

    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn random(&self, up_to: f64) -> f64 {
        self.random.lock().unwrap().f64() * up_to
    }

    fn chance(&self, of: f64) -> bool {
        self.random(1.0) < of
    }

    /// Delivers a message to all reachable addressees, sometimes twice.
    fn deliver(&self, message: &Heard, to: Option<&str>) -> bool {
        let mut is_heard = false;
        for (node, link) in &*self.nodes.lock().unwrap() {
            let node = node.upgrade().filter(|_| !link.is_cut());
            if let Some(node) = node.filter(|node| to.is_none_or(|to| to == node.id())) {
                is_heard = true;
                let twice = link.faults.splits && self.chance(0.05);
                (0..=u8::from(twice)).for_each(|_| node.hear(message.clone()));
            }
        }
        is_heard
    }

    /// Returns the most arrivals in any hour.
    fn max_in_an_hour(&self) -> usize {
        let mut arrivals = self.arrivals.lock().unwrap().clone();
        arrivals.sort_by(f64::total_cmp);
        let is_within = |at: f64, one: f64| one > at - 3600.0 && one <= at;
        let window = |at: &f64| arrivals.iter().filter(|one| is_within(*at, **one)).count();
        arrivals.iter().map(window).max().unwrap_or(0)
    }
}

/// A node's connection to the engine.
struct Link {
    world: Arc<World>,
    faults: Faults,
    /// Nothing gets through until then.
    cut_until: Mutex<f64>,
    /// The node is frozen until then.
    paused_until: Mutex<f64>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    fn is_cut(&self) -> bool {
        let stopped_until = *self.world.stopped_until.lock().unwrap();
        let until = self.cut_until.lock().unwrap().max(stopped_until);
        until > self.world.seconds()
    }

    async fn wait_while_frozen(&self) {
        loop {
            let until = *self.paused_until.lock().unwrap();
            let now = self.world.seconds();
            if until <= now {
                return;
            }
            sleep(Duration::from_secs_f64(until - now)).await;
        }
    }
}

/// Returns a log whose entries say nothing.
fn emptied(mut log: Log) -> Log {
    let writing = Writing {
        now: Moment {
            boot: Duration::ZERO,
            wall: Duration::ZERO,
        },
        engine: log.time,
    };
    let empty = |whole| {
        let entry = Entry {
            whole,
            ..Entry::default()
        };
        codec::encode(&entry, &writing)
    };
    for entry in &mut log.entries {
        entry.data = empty(false);
    }
    if let Some(checkpoint) = &mut log.checkpoint {
        checkpoint.parts = vec![empty(true)];
    }
    log
}

impl Engine for Link {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            assert!(!account.is_empty());
            self.wait_while_frozen().await;
            let is_cut = self.is_cut();
            // The command may arrive although its answer is lost.
            let is_lost = self.faults.splits && self.world.chance(0.002);
            let takes = self.world.random(0.05);
            sleep(Duration::from_secs_f64(takes)).await;
            let reply = (!is_cut).then(|| {
                let (models, offset) = &mut *self.world.engine.lock().unwrap();
                let time = 1e6 + self.world.begun.elapsed().as_secs_f64() + *offset;
                let model = models.entry(account.to_owned()).or_default();
                match (command, model.run(command, Duration::from_secs_f64(time))) {
                    (Command::Send { to, message }, _) => {
                        let (heard, to) = match to {
                            Listener::Leader => {
                                (Heard::Question(account.to_owned(), message.clone()), None)
                            }
                            Listener::Bell => (Heard::Bell(account.to_owned()), None),
                            Listener::Node(node) => (Heard::Answer(message.clone()), Some(&**node)),
                        };
                        Reply::Done(self.world.deliver(&heard, to))
                    }
                    (_, reply) => reply,
                }
            });
            self.wait_while_frozen().await;
            match reply {
                Some(Reply::Log(log)) if !is_lost && self.faults.empty_log => {
                    Ok(Reply::Log(emptied(log)))
                }
                Some(reply) if !is_lost => Ok(reply),
                _ => {
                    sleep(Duration::from_millis(400)).await;
                    Err(EngineError::Silent)
                }
            }
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        false
    }
}

/// One machine: its clock, its ledger, and its process.
struct Machine {
    number: usize,
    world: Arc<World>,
    faults: Faults,
    clock: Arc<MachineClock>,
    ledger: Arc<Ledger>,
}

impl Machine {
    fn new(number: usize, world: &Arc<World>, faults: Faults) -> Self {
        let clock = Arc::new(MachineClock {
            begun: world.begun,
            boot: Duration::from_secs(200_000 + 10_000 * number as u64),
            wall: Duration::from_secs(1_795_341_600 + 7 * number as u64),
        });
        Self {
            number,
            world: Arc::clone(world),
            faults,
            ledger: Arc::new(Ledger::in_memory(clock.as_ref())),
            clock,
        }
    }

    /// Runs one process after another.
    async fn run(self) {
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
    async fn process(&self, stop: CancellationToken) {
        let link = Arc::new(Link {
            world: Arc::clone(&self.world),
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
        let (member, seat) = node.member(&name.into(), "origin", name);
        let (counter, budget_seat) = match &shared {
            Some(shared) => node.budget(&shared.name),
            None => (Arc::clone(&member), None),
        };
        let witness: Arc<dyn Witness> = match &shared {
            Some(_) => Arc::new(Sharer::new(Arc::clone(&member), Arc::clone(&counter))),
            None => Arc::clone(&member) as _,
        };
        let owner = BudgetOwner {
            account: name.to_owned(),
            identity: name.to_owned(),
        };
        let limit = NonZeroU32::new(LIMIT).unwrap();
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.clock));
        let budget = Budget::shared(ledger, owner, limit, 0, shared.as_ref(), clock);
        let budget = Arc::new(budget.with_witness(witness));
        let own = shared.is_none().then(|| Arc::clone(&budget));
        let mut membership = node.membership(seat.unwrap(), own);
        let task = membership.task.take().unwrap();
        parts.push(Box::pin(task.run(stop.clone())));
        if let Some(seat) = budget_seat {
            let task = node.budget_task(seat, Arc::clone(&budget));
            parts.push(Box::pin(task.run(stop.clone())));
        }
        let leading = (name, Arc::clone(&member));
        self.world.leading.lock().unwrap().push(leading);
        let mut role = membership.role.clone();
        parts.push(Box::pin(
            async move { while role.changed().await.is_ok() {} },
        ));
        parts.push(Box::pin(async move {
            while membership.news.recv().await.is_some() {}
        }));
        parts.push(Box::pin(async move {
            self.spend(name, &budget, &member, &counter, link).await;
        }));
    }

    /// Sends whenever it may.
    async fn spend(
        &self,
        name: &str,
        budget: &Budget,
        member: &Member,
        counter: &Member,
        link: &Link,
    ) {
        loop {
            sleep(Duration::from_secs_f64(0.2 + self.world.random(6.0))).await;
            link.wait_while_frozen().await;
            let Ok(permit) = budget.permit(Purpose::OnDemand).await else {
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
            let leaders = self.world.leading.lock().unwrap().clone();
            let others = leaders.iter().filter(|(account, one)| {
                *account == name && !std::ptr::eq(Arc::as_ptr(one), member)
            });
            // A killed process no longer acts, but its tenure remains for a while.
            if others
                .filter(|(_, one)| Arc::strong_count(one) > 2 && one.leads())
                .count()
                > 0
            {
                *self.world.twice.lock().unwrap() += 1;
            }
            *self.world.granted.lock().unwrap() += u32::from(!counter.leads());
            let slow = self.faults.pauses && self.world.chance(0.1);
            let takes = self.world.random(if slow { TIMEOUT } else { 0.3 });
            // The request is under way, even if the process is killed now.
            let world = Arc::clone(&self.world);
            world.arrivals.lock().unwrap().push(world.seconds() + takes);
            sleep(Duration::from_secs_f64(takes)).await;
            permit.answered();
        }
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

/// Disturbs the engine.
async fn engine_troubles(world: Arc<World>, faults: Faults) {
    loop {
        sleep(Duration::from_secs_f64(world.random(3_000.0))).await;
        if faults.forgets && world.chance(0.5) {
            let models = &mut world.engine.lock().unwrap().0;
            let only = world.random(2.0 * models.len() as f64) as usize;
            let mut keys: Vec<_> = models.keys().cloned().collect();
            keys.sort();
            match keys.get(only) {
                Some(key) => drop(models.remove(key)),
                None => models.clear(),
            }
        }
        if faults.stops && world.chance(0.7) {
            *world.stopped_until.lock().unwrap() = world.seconds() + world.random(900.0);
        }
        if faults.jumps {
            let by = world.random(10_000.0) - 5_000.0;
            world.engine.lock().unwrap().1 += by;
        }
    }
}

/// The result of some simulated hours.
#[derive(Debug)]
struct Simulated {
    /// The most arrivals in any hour.
    most: usize,
    all: usize,
    /// How often two nodes led at once.
    twice: u32,
    granted: u32,
}

/// Simulates some hours of three nodes.
fn simulate(seed: u64, accounts: &'static [&'static str], faults: Faults, hours: u32) -> Simulated {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    fastrand::seed(seed);
    runtime.block_on(async {
        let world = World::with(seed, accounts);
        let machines = (0..3).map(|number| Machine::new(number, &world, faults).run());
        let machines: Vec<_> = machines.collect();
        tokio::select! {
            _ = futures_util::future::join_all(machines) => {}
            () = engine_troubles(Arc::clone(&world), faults) => {}
            () = sleep(HOUR * hours) => {}
        }
        Simulated {
            most: world.max_in_an_hour(),
            all: world.arrivals.lock().unwrap().len(),
            twice: *world.twice.lock().unwrap(),
            granted: *world.granted.lock().unwrap(),
        }
    })
}

const ALL: Faults = Faults {
    pauses: true,
    forgets: true,
    stops: false,
    jumps: true,
    splits: true,
    restarts: true,
    empty_log: false,
};

fn mixes() -> [(&'static str, Faults); 8] {
    let none = Faults::default();
    [
        ("none", none),
        (
            "pauses",
            Faults {
                pauses: true,
                ..none
            },
        ),
        (
            "forgets",
            Faults {
                forgets: true,
                ..none
            },
        ),
        (
            "jumps",
            Faults {
                jumps: true,
                ..none
            },
        ),
        (
            "splits",
            Faults {
                splits: true,
                ..none
            },
        ),
        (
            "restarts",
            Faults {
                restarts: true,
                ..none
            },
        ),
        ("all", ALL),
        (
            "all but splits",
            Faults {
                splits: false,
                ..ALL
            },
        ),
    ]
}

#[test]
fn no_hour_has_more_requests_than_the_limit_and_no_two_nodes_lead_at_once() {
    for (name, faults) in mixes() {
        // Combinations of faults need more seeds.
        let seeds = if name.starts_with("all") { 2 } else { 1 };
        for seed in 0..seeds {
            holds(name, seed, &simulate(seed, &["main"], faults, 3));
        }
    }
}

fn holds(name: &str, seed: u64, simulated: &Simulated) {
    let case = format!("{name}, seed {seed}: {simulated:?}");
    assert!(simulated.most <= LIMIT as usize, "{case}");
    assert_eq!(simulated.twice, 0, "{case}");
    assert!(simulated.all >= LIMIT as usize, "{case}");
}

#[test]
fn without_the_requests_in_the_log_the_limit_breaks() {
    let faults = Faults {
        empty_log: true,
        ..ALL
    };
    for seed in 0..2 {
        let simulated = simulate(seed, &["main"], faults, 3);
        assert!(simulated.most > LIMIT as usize, "{seed}: {simulated:?}");
    }
}

#[test]
fn accounts_that_share_a_budget_share_its_hour_whichever_nodes_lead_them() {
    let none = Faults::default();
    let mut granted = 0;
    for (name, faults, seed) in [("none", none, 0), ("all", ALL, 0), ("all", ALL, 1)] {
        let simulated = simulate(seed, &["one", "two"], faults, 2);
        let case = format!("{name}, seed {seed}: {simulated:?}");
        assert!(simulated.most <= LIMIT as usize, "{case}");
        assert_eq!(simulated.twice, 0, "{case}");
        granted += simulated.granted;
    }
    // The node that leads an account is not always the one that counts.
    assert!(granted > 0);
}

#[test]
fn a_node_that_goes_on_alone_stays_within_the_hour_and_no_other_leads_meanwhile() {
    let faults = Faults {
        forgets: false,
        stops: true,
        ..ALL
    };
    for seed in 0..2 {
        holds("alone", seed, &simulate(seed, &["main"], faults, 3));
    }
}

#[test]
fn without_faults_the_whole_hour_is_used() {
    let simulated = simulate(7, &["main"], Faults::default(), 4);
    assert_eq!(simulated.most, LIMIT as usize);
    assert!(simulated.all >= 3 * LIMIT as usize, "{simulated:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_gone_is_replaced_within_its_lease_and_two_seconds() {
    let world = World::new(3);
    let first = tokio::spawn(Machine::new(0, &world, Faults::default()).run());
    until_led(&world).await;
    let second = tokio::spawn(Machine::new(1, &world, Faults::default()).run());
    sleep(LEASE).await;
    first.abort();
    let _ = first.await;
    world.leading.lock().unwrap().remove(0);
    let gone = Instant::now();
    until_led(&world).await;
    let elapsed = gone.elapsed();
    assert!(elapsed <= LEASE + Duration::from_secs(2), "{elapsed:?}");
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_still_has_the_lease_after_an_outage_leads_at_once() {
    let world = World::new(5);
    let only = tokio::spawn(Machine::new(0, &world, Faults::default()).run());
    until_led(&world).await;
    for outage in [9.5, 12.0, 60.0] {
        sleep(LEASE).await;
        *world.stopped_until.lock().unwrap() = world.seconds() + outage;
        sleep(Duration::from_secs_f64(outage)).await;
        let back = Instant::now();
        assert!(!is_led(&world), "{outage}");
        until_led(&world).await;
        let elapsed = back.elapsed();
        let longest = LEASE / 3 + Duration::from_secs(1);
        assert!(elapsed <= longest, "{outage}: {elapsed:?}");
    }
    only.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_send_if_the_engine_forgets_without_a_leader() {
    let world = World::new(4);
    let first = tokio::spawn(Machine::new(0, &world, Faults::default()).run());
    until_led(&world).await;
    let second = tokio::spawn(Machine::new(1, &world, Faults::default()).run());
    sleep(LEASE * 2).await;
    let sent = || world.arrivals.lock().unwrap().len();
    first.abort();
    let _ = first.await;
    world.engine.lock().unwrap().0.clear();
    world.leading.lock().unwrap().remove(0);
    until_led(&world).await;
    let before = sent();
    assert!(before < LIMIT as usize / 2, "{before} were sent");
    sleep(HOUR / 4).await;
    assert_eq!(sent(), before, "the old leader may have sent the rest");
    sleep(HOUR).await;
    assert!(sent() > before, "an hour later that no longer counts");
    second.abort();
}

fn is_led(world: &World) -> bool {
    let leading = world.leading.lock().unwrap();
    let leads = |one: &Member| *one.role().borrow() == Role::Leading && one.leads();
    leading.iter().any(|(_, one)| leads(one))
}

async fn until_led(world: &World) {
    while !is_led(world) {
        sleep(Duration::from_millis(50)).await;
    }
}
