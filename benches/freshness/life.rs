//! An account's life under one policy, in virtual time.

use std::{cell::RefCell, num::NonZeroU32, rc::Rc, sync::Arc, time::Duration};

use openseat::{
    account::{Account, Ask, Deps, QueueSettings, wait_for_newer},
    budget::{Budget, BudgetOwner, Permit, Purpose},
    calltools::Client,
    clock::{Clock, Moment, VirtualClock},
    config::{QueueRef, Rule, ScheduleOptions},
    decision::{
        Decision, OnUnknown, Patience, Policy as Terms,
        board::{Board, QueueKey},
        criteria::{self, Seat, SeatRule},
        decide,
    },
    metrics::{Metrics, QueueMeters},
    model::{agent::Agent, names::Names, quantity::Quantity},
    simulator::{Ordering, Settings, Simulator, TOKEN, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// An account's size.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub queues: usize,
    pub agents: usize,
    /// In an hour, over all queues.
    pub questions: u32,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.queues, self.agents)
    }
}

/// A way to spend the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One queue after another, as fast as the budget allows.
    RoundRobin,
    /// A cache with a time to live, filled on demand: a proxy in front of the API.
    Cache,
    /// openseat, answering from memory.
    Openseat,
    /// openseat, asked with this many milliseconds as `fresh=`, and `wait=800ms`.
    Waiting(u64),
}

/// What CallTools can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// All that openseat makes use of.
    Whole,
    /// `ordering=` is ignored.
    Unordered,
    /// So is the filter by status.
    SweepsOnly,
    /// One call in ten begins without a change of status.
    SilentCalls,
}

/// One column of the tables.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub policy: Policy,
    pub api: Api,
}

pub const COLUMNS: [Column; 10] = [
    column("round robin", Policy::RoundRobin, Api::Whole),
    column("cache", Policy::Cache, Api::Whole),
    column("openseat", Policy::Openseat, Api::Whole),
    column("fresh=300ms", Policy::Waiting(300), Api::Whole),
    column("fresh=2s", Policy::Waiting(2_000), Api::Whole),
    column("calls without a status", Policy::Openseat, Api::SilentCalls),
    column("no order", Policy::Openseat, Api::Unordered),
    column(
        "no order; fresh=300ms",
        Policy::Waiting(300),
        Api::Unordered,
    ),
    column("no order nor filter", Policy::Openseat, Api::SweepsOnly),
    column(
        "no order nor filter; fresh=300ms",
        Policy::Waiting(300),
        Api::SweepsOnly,
    ),
];

const fn column(name: &'static str, policy: Policy, api: Api) -> Column {
    Column { name, policy, api }
}

impl Column {
    /// Whether it says something of its own. A roster of one page is swept with one request, so that other lists are never tried.
    pub fn fits(&self, size: Size) -> bool {
        let needs_pages = matches!(self.api, Api::Unordered | Api::SweepsOnly);
        !needs_pages || size.agents > PAGE_SIZE
    }

    /// How fresh an answer has to be not to be waited for.
    fn patience(&self) -> Option<Patience> {
        let Policy::Waiting(fresh_ms) = self.policy else {
            return None;
        };
        Some(Patience {
            fresh: Duration::from_millis(fresh_ms),
            ..Patience::USUAL
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub questions: u64,
    pub wrong_accepts: u64,
    pub wrong_rejects: u64,
    /// What always accepting would have got wrong.
    pub nobody_there: u64,
    /// Ages of the answers, in milliseconds.
    pub ages_ms: Vec<u32>,
    /// The most requests in any sliding hour.
    pub worst_hour: usize,
}

impl Score {
    pub fn plus(mut self, other: Self) -> Self {
        self.questions += other.questions;
        self.wrong_accepts += other.wrong_accepts;
        self.wrong_rejects += other.wrong_rejects;
        self.nobody_there += other.nobody_there;
        self.ages_ms.extend(other.ages_ms);
        self.worst_hour = self.worst_hour.max(other.worst_hour);
        self
    }

    fn take(&mut self, accept: bool, truth: bool, age: Option<Duration>) {
        self.questions += 1;
        self.wrong_accepts += u64::from(accept && !truth);
        self.wrong_rejects += u64::from(!accept && truth);
        self.nobody_there += u64::from(!truth);
        self.ages_ms.extend(age.map(|age| age.as_millis() as u32));
    }
}

/// Rows of a page, at most.
const PAGE_SIZE: usize = 250;

/// CallTools' limit, and openseat's default reserve.
const LIMIT: u32 = 1000;
const RESERVE: u32 = 50;

/// What CallTools usually takes.
const LATENCY: Duration = Duration::from_millis(300);

/// Lives through `warm_up`, then counts for `measured`.
pub fn live(
    size: Size,
    column: &'static Column,
    seed: u64,
    warm_up: Duration,
    measured: Duration,
) -> Score {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let world = Rc::new(World::new(size, column.api, seed));
        match column.policy {
            Policy::RoundRobin => drop(tokio::task::spawn_local(round_robin(Rc::clone(&world)))),
            Policy::Cache => {}
            Policy::Openseat | Policy::Waiting(_) => {
                let account = world.account();
                drop(tokio::spawn(account.run(CancellationToken::new())));
            }
        }
        world.questions(column, warm_up, measured).await
    })
}

/// A queue, and how often it is asked about.
struct Queue {
    id: u64,
    key: QueueKey,
    meters: Arc<QueueMeters>,
    /// Its part of all questions.
    part: f64,
    /// The last count, for the policies that keep no more.
    count: RefCell<Option<(Moment, bool)>>,
    being_asked: RefCell<bool>,
}

struct World {
    clock: Arc<VirtualClock>,
    simulator: Simulator,
    budget: Arc<Budget>,
    client: Client,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    queues: Vec<Queue>,
    size: Size,
    seed: u64,
    asks: mpsc::Sender<Ask>,
    wishes: RefCell<Option<mpsc::Receiver<Ask>>>,
    names: RefCell<Option<Names>>,
}

const TERMS: Terms = Terms {
    threshold: Some(Quantity::ZERO),
    max_age: None,
    on_unknown: OnUnknown::Reject,
    hours: None,
};

impl World {
    fn new(size: Size, api: Api, seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let people = WorldSettings {
            seed,
            queues: size.queues,
            agents: size.agents,
            calls_without_status: if api == Api::SilentCalls { 10 } else { 0 },
            ..WorldSettings::study()
        };
        let settings = Settings {
            latency: LATENCY,
            requests_per_hour: LIMIT,
            ..Settings::new(people)
        };
        let simulator = Simulator::new(settings, clock.clone());
        simulator.quirks(|quirks| {
            if matches!(api, Api::Unordered | Api::SweepsOnly) {
                quirks.ordering = Ordering::Off;
            }
            quirks.status_filter_ignored = api == Api::SweepsOnly;
        });
        let limit = NonZeroU32::new(LIMIT).expect("it is not 0");
        let budget = Arc::new(Budget::in_memory(limit, RESERVE, clock.clone()));
        let client = Client::new(
            simulator.transport(TOKEN),
            Arc::clone(&budget),
            clock.clone(),
            Arc::new(()),
        );
        let known: Vec<_> = simulator.world(|world| {
            world
                .queues()
                .iter()
                .map(|queue| (queue.id, queue.popularity))
                .collect()
        });
        let keys: Vec<_> = known
            .iter()
            .map(|(id, _)| QueueKey::new("main", id.to_string()))
            .collect();
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
        let all: f64 = known.iter().map(|(_, popularity)| popularity).sum();
        let queues = known.iter().zip(keys);
        let queues = queues.map(|(&(id, popularity), key)| Queue {
            id,
            meters: metrics
                .queue(&key)
                .expect("the metrics are of these queues"),
            key,
            part: popularity / all,
            count: RefCell::new(None),
            being_asked: RefCell::new(false),
        });
        let (asks, wishes) = mpsc::channel(64);
        Self {
            queues: queues.collect(),
            clock,
            simulator,
            budget,
            client,
            board,
            metrics,
            size,
            seed,
            asks,
            wishes: RefCell::new(Some(wishes)),
            names: RefCell::new(None),
        }
    }

    /// The daemon's own task.
    fn account(&self) -> Account {
        let queue = |queue: &Queue| QueueSettings {
            key: queue.key.clone(),
            reference: QueueRef::Id(queue.id),
            rule: Rule::Seats(SeatRule::default()),
            threshold: Some(Quantity::ZERO),
            max_age: None,
            hours: None,
            soon: openseat::config::Soon::default(),
        };
        Account::new(Deps {
            owner: BudgetOwner {
                account: "main".to_owned(),
                identity: String::new(),
            },
            queues: self.queues.iter().map(queue).collect(),
            options: ScheduleOptions::default(),
            client: self.client.clone(),
            budget: Arc::clone(&self.budget),
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            reservations: Arc::default(),
            store: None,
            cluster: None,
            known: Default::default(),
            clock: self.clock.clone(),
            names: watch::Sender::new(Arc::new(Names::default())),
            health: watch::Sender::default(),
            asks: self
                .wishes
                .borrow_mut()
                .take()
                .expect("there is one account"),
            token: None,
            heartbeat: openseat::process::heartbeat::Heartbeats::default().begin("main"),
        })
    }

    /// Asks at random times, and compares each answer with the truth.
    async fn questions(
        self: &Rc<Self>,
        column: &'static Column,
        warm_up: Duration,
        measured: Duration,
    ) -> Score {
        let score = Rc::new(RefCell::new(Score::default()));
        // Other dice than the world's.
        let mut dice = fastrand::Rng::with_seed(self.seed ^ 0x5eed);
        let mean_gap = 3600.0 / f64::from(self.size.questions);
        let (start, mut at) = (Instant::now(), Duration::ZERO);
        let ttl = self.time_to_live();
        while at < warm_up + measured {
            at += Duration::from_secs_f64(-mean_gap * (1.0 - dice.f64()).ln());
            sleep_until(start + at).await;
            let place = self.pick(dice.f64());
            let counts = at >= warm_up;
            let (world, score) = (Rc::clone(self), Rc::clone(&score));
            // Each question is a task: one that waits holds up no other.
            tokio::task::spawn_local(async move {
                let (accept, age) = world.answer(column, place, ttl).await;
                let truth = world.simulator.seats(world.queues[place].id) > 0;
                if counts {
                    score.borrow_mut().take(accept, truth, age);
                }
            });
        }
        sleep(Duration::from_secs(5)).await;
        let mut score = score.take();
        score.worst_hour = self.simulator.worst_sliding_hour();
        score
    }

    fn pick(&self, dice: f64) -> usize {
        let mut left = dice;
        let hit = self.queues.iter().position(|queue| {
            left -= queue.part;
            left <= 0.0
        });
        hit.unwrap_or(self.queues.len() - 1)
    }

    async fn answer(
        &self,
        column: &Column,
        place: usize,
        ttl: Duration,
    ) -> (bool, Option<Duration>) {
        let queue = &self.queues[place];
        match column.policy {
            Policy::RoundRobin => self.counted(queue),
            Policy::Cache => {
                let (_, age) = self.counted(queue);
                if age.is_none_or(|age| age > ttl) && !queue.being_asked.replace(true) {
                    // A cache knows of no pace: it asks when it is asked, until the hour is spent.
                    if let Ok(permit) = self.budget.permit(Purpose::ColdStart).await {
                        self.poll(queue, Purpose::ColdStart, permit).await;
                    }
                    queue.being_asked.replace(false);
                }
                self.counted(queue)
            }
            Policy::Openseat | Policy::Waiting(_) => {
                if let Some(patience) = column.patience() {
                    let (state, decision) = self.decision(queue);
                    let doubt = patience.staleness(&decision, state.snapshot.as_deref());
                    if let Some(doubt) = doubt {
                        wait_for_newer(&self.asks, &queue.key, doubt, patience.wait).await;
                    }
                }
                self.decided(queue)
            }
        }
    }

    fn decision(&self, queue: &Queue) -> (Arc<openseat::decision::board::QueueState>, Decision) {
        let state = self
            .board
            .get(&queue.key)
            .expect("the queue is on the board");
        let decision = decide(&state, &TERMS, 0, self.clock.now());
        (state, decision)
    }

    fn decided(&self, queue: &Queue) -> (bool, Option<Duration>) {
        let (_, decision) = self.decision(queue);
        self.metrics
            .decision(&queue.meters, &decision, Duration::ZERO);
        (decision.accept, decision.age)
    }

    fn counted(&self, queue: &Queue) -> (bool, Option<Duration>) {
        match *queue.count.borrow() {
            Some((as_of, accept)) => (accept, Some(self.clock.now().longest_since(as_of))),
            None => (false, None),
        }
    }

    /// Polls one queue and keeps whether it has a seat.
    async fn poll(&self, queue: &Queue, purpose: Purpose, permit: Permit) {
        let names = self.names().await;
        let list = self.client.agents(queue.id, &names, purpose, Some(permit));
        if let Ok(list) = list.await {
            let is_open = |agent: &Agent| {
                criteria::seat(agent, SeatRule::default(), list.as_of) == Seat::Open
            };
            let seat = list.rows.iter().any(is_open);
            queue.count.replace(Some((list.as_of, seat)));
        }
    }

    async fn names(&self) -> Names {
        if self.names.borrow().is_none() {
            let statuses = self.client.statuses(Purpose::ColdStart, None).await.ok();
            self.names.replace(Some(Names {
                queues: None,
                statuses,
            }));
        }
        self.names.borrow().clone().unwrap_or_default()
    }

    /// The shortest time to live with which the expected requests fit the hour: a queue that is asked λ times an hour is polled
    /// 1/(ttl + 1/λ) times.
    fn time_to_live(&self) -> Duration {
        let polls = |ttl: f64| -> f64 {
            let rate = |queue: &Queue| queue.part * f64::from(self.size.questions) / 3600.0;
            self.queues
                .iter()
                .map(|queue| 3600.0 / (ttl + 1.0 / rate(queue)))
                .sum()
        };
        let (mut low, mut high) = (0.0, 3600.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if polls(middle) > f64::from(LIMIT - RESERVE) {
                low = middle
            } else {
                high = middle
            }
        }
        Duration::from_secs_f64(high)
    }
}

/// One queue after another, as fast as the budget allows.
async fn round_robin(world: Rc<World>) {
    for place in (0..world.queues.len()).cycle() {
        let queue = &world.queues[place];
        let permit = loop {
            match world.budget.permit(Purpose::Poll).await {
                Ok(permit) => break permit,
                Err(refusal) => {
                    sleep(
                        refusal
                            .wait(world.clock.now())
                            .max(Duration::from_millis(1)),
                    )
                    .await
                }
            }
        };
        world.poll(queue, Purpose::Poll, permit).await;
    }
}
