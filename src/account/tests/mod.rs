//! Tests an account's task against a simulated CallTools, in virtual time.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Mutex,
};

use futures_util::future::{BoxFuture, join_all};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use super::*;
use crate::{
    budget::{Budget, BudgetOwner},
    calltools::{Client, Reply, Transport},
    clock::{Clock, VirtualClock},
    config::{QueueRef, Rule, ScheduleOptions},
    decision::{
        Decision, OnUnknown, Policy, Reason,
        board::{Board, QueueKey, QueueState},
        criteria::{Condition, Criteria, Definition, Literal, Measure, SeatRule},
        decide,
        reservations::Reservations,
        staleness::Staleness,
    },
    fixtures,
    metrics::{Format, Metrics, Scrape},
    model::{agent::AgentId, fault::Down, hours::OpeningHours, known::Known, quantity::Quantity},
    simulator::{InjectedFault, Settings, Simulator, SweepQuirk, TOKEN, WorldSettings},
    state::store::Store,
};

mod cluster;
mod counted;
mod feeds;
mod few_queues;
mod floods;
mod foresight;
mod fresh;
mod handover;
mod lies;
mod naming;
mod on_demand;
mod opening;
mod outages;
mod pace;
mod reload;
mod slow_to_store;
mod start;
mod steps;
mod sweeps;
mod truth;
mod unanswered;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SEATS: Rule = Rule::Seats(SeatRule {
    forgotten_after: None,
    count_on_call: false,
});

/// A simulated account, and the task that polls it.
struct Fixture {
    clock: Arc<VirtualClock>,
    simulator: Simulator,
    wire: Arc<Wire>,
    budget: Arc<Budget>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    reservations: Arc<Reservations>,
    health: watch::Receiver<Health>,
    ids: Vec<u64>,
    keys: Vec<QueueKey>,
    queues: Vec<QueueSettings>,
    options: ScheduleOptions,
    asks: mpsc::Sender<Ask>,
    store: Option<Arc<Store>>,
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

/// The settings of a test.
struct Setting {
    world: WorldSettings,
    requests_per_hour: u32,
    /// How many of the account's queues the config has.
    configured: usize,
    options: ScheduleOptions,
    /// The rules of the last queues; the others count seats.
    rules: Vec<Rule>,
    max_age: Option<Duration>,
    sweep: SweepQuirk,
    /// The most rows on a page, if not 250.
    page_limit: Option<NonZeroUsize>,
    /// Whether the config has the queues' names rather than their ids.
    by_name: bool,
    /// The opening hours of the first queues; the others are always open.
    hours: Vec<Option<Arc<OpeningHours>>>,
    soon: crate::config::Soon,
}

impl Setting {
    fn new(world: WorldSettings) -> Self {
        Self {
            world,
            requests_per_hour: 1000,
            configured: usize::MAX,
            options: ScheduleOptions {
                sweep: true,
                idle_pace: 1.0,
            },
            rules: Vec::new(),
            max_age: None,
            sweep: SweepQuirk::Whole,
            page_limit: None,
            by_name: false,
            hours: Vec::new(),
            soon: crate::config::Soon::default(),
        }
    }

    fn start(self) -> Fixture {
        let clock = Arc::new(VirtualClock::default());
        let settings = Settings {
            latency: Duration::from_millis(300),
            ..Settings::new(self.world)
        };
        let simulator = Simulator::new(settings, clock.clone());
        simulator.quirks(|quirks| {
            quirks.sweep = self.sweep;
            quirks.page_limit = self.page_limit;
        });
        let limit = NonZeroU32::new(self.requests_per_hour).unwrap();
        let budget = Arc::new(Budget::in_memory(limit, 50, clock.clone()));
        let ids: Vec<u64> = simulator.world(|world| {
            let queues = world.queues().iter().take(self.configured);
            queues.map(|queue| queue.id).collect()
        });
        let names: Vec<String> = simulator.world(|world| {
            let names = world.queues().iter().map(|queue| queue.name.clone());
            names.collect()
        });
        let references: Vec<_> = ids
            .iter()
            .zip(&names)
            .map(|(id, name)| match self.by_name {
                true => QueueRef::Name(name.clone()),
                false => QueueRef::Id(*id),
            })
            .collect();
        let keys: Vec<_> = ids
            .iter()
            .zip(&names)
            .map(|(id, name)| match self.by_name {
                true => QueueKey::new("main", name.as_str()),
                false => QueueKey::new("main", id.to_string()),
            })
            .collect();
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
        let reservations = Arc::new(Reservations::new());
        let wire = Arc::new(Wire {
            inner: simulator.transport(TOKEN),
            fails: Mutex::default(),
            sweeps: Mutex::default(),
            lie: Mutex::default(),
            polls_take: Mutex::default(),
            sent: Mutex::default(),
        });
        let mut rules = vec![SEATS; ids.len() - self.rules.len()];
        rules.extend(self.rules);
        let hours = self.hours.into_iter().chain(std::iter::repeat(None));
        let queues = keys.iter().zip(references).zip(rules).zip(hours);
        let queues = queues.map(|(((key, reference), rule), hours)| QueueSettings {
            key: key.clone(),
            reference,
            rule,
            threshold: Some(Quantity::ZERO),
            max_age: self.max_age,
            hours,
            soon: self.soon,
        });
        let mut fixture = Fixture {
            task: tokio::spawn(async { Ok(()) }),
            queues: queues.collect(),
            options: self.options,
            clock,
            simulator,
            wire,
            budget,
            board,
            metrics,
            reservations,
            ids,
            keys,
            health: watch::channel(Health::default()).1,
            asks: mpsc::channel(1).0,
            store: None,
            stop: CancellationToken::new(),
        };
        fixture.start_task(Known::default());
        fixture
    }
}

impl Fixture {
    /// Replaces the task with one that starts with this knowledge.
    fn start_task(&mut self, known: Known) {
        self.task.abort();
        let (asks, asked) = mpsc::channel(64);
        let (health, healths) = watch::channel(Health::default());
        let account = self.account(known, health, asked);
        (self.asks, self.health) = (asks, healths);
        self.stop = CancellationToken::new();
        self.task = tokio::spawn(account.run(self.stop.clone()));
    }

    /// Returns a task that has not started.
    fn account(
        &self,
        known: Known,
        health: watch::Sender<Health>,
        asks: mpsc::Receiver<Ask>,
    ) -> Account {
        Account::new(Deps {
            owner: owner(),
            queues: self.queues.clone(),
            options: self.options,
            client: Client::new(
                self.wire.clone(),
                self.budget.clone(),
                self.clock.clone(),
                Arc::new(()),
            ),
            budget: self.budget.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            reservations: self.reservations.clone(),
            store: self.store.clone(),
            cluster: None,
            known,
            clock: self.clock.clone(),
            names: watch::Sender::new(Arc::default()),
            health,
            asks,
            token: None,
            heartbeat: crate::process::heartbeat::Heartbeats::default().begin("main"),
        })
    }

    /// Returns the task's knowledge.
    async fn knowledge(&self) -> Known {
        let (reply, known) = tokio::sync::oneshot::channel();
        self.asks.send(Ask::Known { reply }).await.unwrap();
        known.await.unwrap()
    }

    /// Replaces the task with one that has an empty board and the knowledge of the old one.
    async fn restart(&mut self) {
        let known = self.knowledge().await;
        self.board = Arc::new(Board::new(self.keys.clone()));
        self.start_task(known);
    }
}

/// Accepts any seat in these hours.
fn policy(hours: Option<Arc<OpeningHours>>) -> Policy {
    Policy {
        hours,
        ..fixtures::policy()
    }
}

/// The body of a page.
type Body = fn(u32) -> Value;

/// Changes the simulator's answer to a path.
type Lie = fn(&str, &mut Result<Reply, Fault>);

/// Which paths something concerns.
type Paths = fn(&str) -> bool;

/// The connection to the simulator. It records requests, and can fail for some lists alone.
#[derive(Debug)]
struct Wire {
    inner: Arc<dyn Transport>,
    /// Which paths fail, and how.
    fails: Mutex<Option<(Paths, Fault)>>,
    /// Bodies that replace the simulator's for the pages of sweeps.
    sweeps: Mutex<Option<Body>>,
    lie: Mutex<Option<Lie>>,
    /// How long answers to polls of queues are on their way, besides the simulator's time.
    polls_take: Mutex<Duration>,
    sent: Mutex<Vec<String>>,
}

/// Spends what is left of the hour.
async fn spend_the_hour(budget: &Budget) {
    let mut spent = 0;
    while let Ok(permit) = budget.permit(Purpose::OnDemand).await {
        drop(permit);
        spent += 1;
        assert!(spent <= budget.usage().limit, "the hour has an end");
    }
}

fn owner() -> BudgetOwner {
    BudgetOwner {
        account: "main".to_owned(),
        identity: String::new(),
    }
}

fn is_sweep(path: &str) -> bool {
    path.starts_with("agentstatuses/") && !path.contains("queue=")
}

impl Transport for Wire {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async {
            self.sent.lock().unwrap().push(path.to_owned());
            self.answer(path).await
        })
    }
}

impl Wire {
    fn answer<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        if let Some((fails, fault)) = self.fails.lock().unwrap().clone()
            && fails(path)
        {
            return Box::pin(async move {
                if let Fault::UpstreamDown {
                    kind: Down::TimeOut,
                    ..
                } = fault
                {
                    sleep(10 * SECOND).await;
                }
                Err(fault)
            });
        }
        if let (true, Some(body)) = (is_sweep(path), *self.sweeps.lock().unwrap()) {
            let (_, query) = path.split_once('?').unwrap_or((path, ""));
            let mut query = url::form_urlencoded::parse(query.as_bytes());
            let page = query.find(|(name, _)| name == "page");
            let page = page.map_or(1, |(_, page)| page.parse().unwrap());
            let body = body(page).to_string();
            return Box::pin(async move {
                Ok(Reply {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    body: body.into(),
                })
            });
        }
        let (lie, answer) = (*self.lie.lock().unwrap(), self.inner.get(path));
        let way = match path.contains("queue=") {
            true => *self.polls_take.lock().unwrap(),
            false => Duration::ZERO,
        };
        if lie.is_none() && way.is_zero() {
            return answer;
        }
        Box::pin(async move {
            let mut answer = answer.await;
            sleep(way).await;
            if let Some(lie) = lie {
                lie(path, &mut answer);
            }
            answer
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fixture {
    fn state(&self, place: usize) -> Arc<QueueState> {
        self.board.get(&self.keys[place]).unwrap()
    }

    fn decide(&self, place: usize) -> Decision {
        let policy = policy(self.queues[place].hours.clone());
        decide(&self.state(place), &policy, 0, self.clock.now())
    }

    /// Decides, and counts it as a question.
    fn question(&self, place: usize) -> Decision {
        let decision = self.decide(place);
        let meters = self.metrics.queue(&self.keys[place]).unwrap();
        self.metrics.decision(&meters, &decision, Duration::ZERO);
        decision
    }

    fn places(&self) -> std::ops::Range<usize> {
        0..self.keys.len()
    }

    fn seats(&self, place: usize) -> Quantity {
        Quantity::from(self.simulator.seats(self.ids[place]) as u32)
    }

    /// Returns the paths sent since the last call.
    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.wire.sent.lock().unwrap())
    }

    fn sweeps_sent(&self) -> usize {
        self.sent().iter().filter(|path| is_sweep(path)).count()
    }

    fn distrusted(&self) -> u64 {
        let text = self.metrics.render(Scrape::default(), Format::Text);
        let name = "openseat_sweeps_distrusted_total{account=\"main\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
    }

    fn between_sweeps(&self) -> Duration {
        self.budget.usual_period() * 4 / 3
    }

    fn status(&self, name: &str) -> u64 {
        self.simulator
            .world(|world| world.status_named(name).unwrap())
    }

    /// Returns an agent with seats in at least two queues, and the places of all their queues.
    fn busy_agent(&self) -> (AgentId, Vec<usize>) {
        let (id, queues) = self.simulator.world(|world| {
            let agents = world.agents();
            let agents = agents.iter().map(|id| world.agent(id).unwrap());
            let mut agents =
                agents.filter(|agent| agent.queues.iter().filter(|(_, on)| *on).count() >= 2);
            let agent = agents.next().unwrap();
            (agent.id, agent.queues)
        });
        let places = queues
            .iter()
            .map(|(id, _)| self.ids.iter().position(|known| known == id).unwrap());
        (id, places.collect())
    }

    fn shows(&self, place: usize, agent: &AgentId) -> Option<bool> {
        let snapshot = self.state(place).snapshot.clone()?;
        let row = snapshot.agents.iter().find(|row| row.id == *agent)?;
        row.available
    }

    /// Lets requests for these paths fail from now on.
    fn fail(&self, paths: Paths, fault: Fault) {
        *self.wire.fails.lock().unwrap() = Some((paths, fault));
    }

    async fn watch(&self, time: Duration, mut look: impl FnMut(&Self)) {
        let end = self.clock.now().boot + time;
        while self.clock.now().boot < end {
            sleep(SECOND).await;
            look(self);
        }
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = self.clock.now();
        while !is_so(self) {
            let waited = self.clock.now().boot_since(begun);
            assert!(waited < 10 * MINUTE, "never: {what}");
            sleep(SECOND).await;
        }
    }

    /// Asserts that an answer's count, age and end are consistent.
    fn assert_coherent(&self, place: usize) {
        let (decision, now) = (self.decide(place), self.clock.now());
        let max_age = self.state(place).planned_max_age;
        let is_valid = decision
            .valid_until
            .is_some_and(|until| until.wall >= now.wall);
        assert_eq!(decision.count.is_some(), is_valid, "{place}: {decision:?}");
        let is_young = decision.age.is_some_and(|age| age <= max_age);
        assert_eq!(decision.count.is_some(), is_young, "{place}: {decision:?}");
    }

    fn assert_all_known(&self) {
        for place in self.places() {
            let decision = self.decide(place);
            assert!(
                decision.reason.is_known(),
                "{place}: {decision:?} {:?}",
                self.state(place).fault
            );
        }
    }

    /// Asserts that known counts are true. The world must stand still.
    fn assert_true(&self) {
        for place in self.places() {
            if let Some(count) = self.decide(place).count {
                assert_eq!(count, self.seats(place), "{place}");
            }
        }
    }
}

fn still(queues: usize, agents: usize) -> Setting {
    Setting::new(WorldSettings::still(queues, agents))
}

fn custom(field: &str) -> Rule {
    let definition = Definition {
        field: field.to_owned(),
        measure: Some(Measure::Count),
        condition: Condition::GreaterThan,
        value: Some(Literal::Number(Quantity::ZERO)),
    };
    Rule::Custom(Arc::new(Criteria::compile(&definition).unwrap()))
}
