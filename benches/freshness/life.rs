//! Simulates an account under one policy, in virtual time.

#[path = "../support/setup.rs"]
mod setup;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use openseat::{
    account::{Ask, Health, feeds::Feed, wait_for_newer},
    budget::{Permit, Purpose},
    clock::{Clock, Moment},
    config::Soon,
    decision::{
        Decision, Patience,
        board::QueueState,
        criteria::{self, Seat, SeatRule},
        decide,
    },
    model::{agent::Agent, names::Names},
    simulator::{Ordering, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use setup::{LIMIT, POLICY, Queue, RESERVE, Setup, in_virtual_time};

/// An account's size.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub queues: usize,
    pub agents: usize,
    /// Per hour, over all queues.
    pub questions: u32,
    /// On a busy floor: how long an available agent waits for the next call, on average.
    pub busy: Option<Duration>,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.busy.map_or("", |_| "-busy");
        write!(f, "{}x{}{kind}", self.queues, self.agents)
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
    /// openseat, asked with `fresh=` of this many milliseconds, and `wait=800ms`.
    Waiting(u64),
}

/// What CallTools can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Everything that openseat uses.
    Whole,
    /// CallTools ignores `ordering=`.
    Unordered,
    /// CallTools also ignores the filter by status.
    SweepsOnly,
    /// One call in ten begins without a change of status.
    SilentCalls,
    /// No list but those of the queues.
    QueuesOnly,
}

/// One column of the tables.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub policy: Policy,
    pub api: Api,
    /// Whether people come and go, as in a morning. Otherwise all of them work all the time.
    pub shifts: bool,
}

/// The column in which people work in shifts.
pub const IN_SHIFTS: &str = "in shifts";

pub const COLUMNS: [Column; 12] = [
    column("round robin", Policy::RoundRobin, Api::Whole),
    column("cache", Policy::Cache, Api::Whole),
    column("openseat", Policy::Openseat, Api::Whole),
    column("fresh=300ms", Policy::Waiting(300), Api::Whole),
    column("fresh=2s", Policy::Waiting(2_000), Api::Whole),
    Column {
        shifts: true,
        ..column(IN_SHIFTS, Policy::Openseat, Api::Whole)
    },
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
    column("queues only", Policy::Openseat, Api::QueuesOnly),
];

const fn column(name: &'static str, policy: Policy, api: Api) -> Column {
    Column {
        name,
        policy,
        api,
        shifts: false,
    }
}

impl Column {
    /// Whether this column can differ from the others. A roster of one page is swept with one request, so openseat never tries other lists.
    pub fn fits(&self, size: Size) -> bool {
        let needs_pages = matches!(self.api, Api::Unordered | Api::SweepsOnly);
        !needs_pages || size.agents > PAGE_SIZE
    }

    /// How fresh an answer must be, and how long the router waits for a newer one. `None` if it does not wait.
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

/// The result.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub questions: u64,
    pub wrong_accepts: u64,
    pub wrong_rejects: u64,
    /// How many answers would have been wrong if all had been accepts.
    pub nobody_there: u64,
    /// Ages of the answers, in milliseconds.
    pub ages_ms: Vec<u32>,
    /// The most requests in any sliding hour.
    pub worst_hour: usize,
    /// The feed in use at the end.
    pub feed: Option<Feed>,
}

impl Score {
    pub fn plus(mut self, other: Self) -> Self {
        self.questions += other.questions;
        self.wrong_accepts += other.wrong_accepts;
        self.wrong_rejects += other.wrong_rejects;
        self.nobody_there += other.nobody_there;
        self.ages_ms.extend(other.ages_ms);
        self.worst_hour = self.worst_hour.max(other.worst_hour);
        self.feed = other.feed;
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

/// The most rows on a page.
const PAGE_SIZE: usize = 250;

/// Simulates `warm_up`, then counts answers for `measured`.
pub fn live(
    size: Size,
    column: &'static Column,
    seed: u64,
    warm_up: Duration,
    measured: Duration,
) -> Score {
    in_virtual_time(async {
        let (world, wishes) = World::new(size, column, seed);
        let world = Rc::new(world);
        match column.policy {
            Policy::RoundRobin => drop(tokio::task::spawn_local(round_robin(Rc::clone(&world)))),
            Policy::Cache => {}
            Policy::Openseat | Policy::Waiting(_) => {
                let health = world.health.clone();
                let account = world.setup.account(Soon::default(), wishes, health);
                drop(tokio::spawn(account.run(CancellationToken::new())));
            }
        }
        world.questions(column, warm_up, measured).await
    })
}

/// The simulated account, and the questions about it.
struct World {
    setup: Setup,
    size: Size,
    seed: u64,
    asks: mpsc::Sender<Ask>,
    /// What a proxy has cached, by the queue's place.
    cached: Vec<Cached>,
    names: RefCell<Option<Names>>,
    health: watch::Sender<Health>,
}

/// What a proxy has cached about one queue.
#[derive(Default)]
struct Cached {
    /// When the queue was last polled, and whether an agent was free then.
    seat: RefCell<Option<(Moment, bool)>>,
    /// Whether a poll of the queue is running.
    is_polled: RefCell<bool>,
}

impl World {
    /// Also returns the other end of `asks`, for the account.
    fn new(size: Size, column: &Column, seed: u64) -> (Self, mpsc::Receiver<Ask>) {
        let api = column.api;
        let study = WorldSettings::study();
        let mut setup = Setup::new(WorldSettings {
            seed,
            queues: size.queues,
            agents: size.agents,
            shifts: column.shifts,
            calls_without_status: if api == Api::SilentCalls { 10 } else { 0 },
            mean_idle: size.busy.unwrap_or(study.mean_idle),
            ..study
        });
        setup.simulator.quirks(|quirks| {
            if matches!(api, Api::Unordered | Api::SweepsOnly) {
                quirks.ordering = Ordering::Off;
            }
            quirks.status_filter_ignored = api == Api::SweepsOnly;
        });
        setup.options.sweep = api != Api::QueuesOnly;
        let (asks, wishes) = mpsc::channel(64);
        let world = Self {
            cached: setup.queues.iter().map(|_| Cached::default()).collect(),
            setup,
            size,
            seed,
            asks,
            names: RefCell::new(None),
            health: watch::Sender::default(),
        };
        (world, wishes)
    }

    /// Asks about random queues at random times, and compares each answer with the truth.
    async fn questions(
        self: &Rc<Self>,
        column: &'static Column,
        warm_up: Duration,
        measured: Duration,
    ) -> Score {
        let score = Rc::new(RefCell::new(Score::default()));
        // A random sequence other than the world's.
        let mut dice = fastrand::Rng::with_seed(self.seed ^ 0x5eed);
        let mean_gap = 3600.0 / f64::from(self.size.questions);
        let (start, mut at) = (Instant::now(), Duration::ZERO);
        let ttl = self.time_to_live();
        while at < warm_up + measured {
            at += Duration::from_secs_f64(-mean_gap * (1.0 - dice.f64()).ln());
            sleep_until(start + at).await;
            let place = self.setup.pick(dice.f64());
            let counts = at >= warm_up;
            let (world, score) = (Rc::clone(self), Rc::clone(&score));
            // Each question has a task of its own, so that waiting for one answer does not delay the others.
            tokio::task::spawn_local(async move {
                let (accept, age) = world.answer(column, place, ttl).await;
                let id = world.setup.queues[place].id;
                let truth = world.setup.simulator.seats(id) > 0;
                if counts {
                    score.borrow_mut().take(accept, truth, age);
                }
            });
        }
        sleep(Duration::from_secs(5)).await;
        let mut score = score.take();
        score.worst_hour = self.setup.simulator.worst_sliding_hour();
        score.feed = Some(self.health.borrow().feed);
        score
    }

    /// The policy's answer about a queue: whether it accepts, and the age of the data.
    async fn answer(
        &self,
        column: &Column,
        place: usize,
        ttl: Duration,
    ) -> (bool, Option<Duration>) {
        match column.policy {
            Policy::RoundRobin => self.cached(place),
            Policy::Cache => {
                let (_, age) = self.cached(place);
                let is_old = age.is_none_or(|age| age > ttl);
                if is_old && !self.cached[place].is_polled.replace(true) {
                    // A cache has no pace: it polls on demand until the hour's budget is spent.
                    if let Ok(permit) = self.setup.budget.permit(Purpose::Unpaced).await {
                        self.poll(place, Purpose::Unpaced, permit).await;
                    }
                    self.cached[place].is_polled.replace(false);
                }
                self.cached(place)
            }
            Policy::Openseat | Policy::Waiting(_) => {
                let queue = &self.setup.queues[place];
                if let Some(patience) = column.patience() {
                    let (state, decision) = self.decision(queue);
                    queue.meters.count_patient();
                    let doubt = patience.staleness(&decision, &state);
                    if let Some(doubt) = doubt {
                        let key = &queue.key;
                        wait_for_newer(&self.asks, key, doubt, patience.wait).await;
                    }
                }
                self.decided(queue)
            }
        }
    }

    fn decision(&self, queue: &Queue) -> (Arc<QueueState>, Decision) {
        let state = self.setup.board.get(&queue.key);
        let state = state.expect("the queue is on the board");
        let decision = decide(&state, &POLICY, 0, self.setup.clock.now());
        (state, decision)
    }

    fn decided(&self, queue: &Queue) -> (bool, Option<Duration>) {
        let (_, decision) = self.decision(queue);
        self.setup
            .metrics
            .decision(&queue.meters, &decision, Duration::ZERO);
        (decision.accept, decision.age)
    }

    fn cached(&self, place: usize) -> (bool, Option<Duration>) {
        match *self.cached[place].seat.borrow() {
            Some((as_of, seat)) => (seat, Some(self.setup.clock.now().longest_since(as_of))),
            None => (false, None),
        }
    }

    /// Polls one queue and remembers whether it has a seat.
    async fn poll(&self, place: usize, purpose: Purpose, permit: Permit) {
        let names = self.names().await;
        let id = self.setup.queues[place].id;
        let list = self.setup.client.agents(id, &names, purpose, Some(permit));
        if let Ok(list) = list.await {
            let is_open = |agent: &Agent| {
                criteria::seat(agent, SeatRule::default(), list.as_of) == Seat::Open
            };
            let seat = list.rows.iter().any(is_open);
            self.cached[place].seat.replace(Some((list.as_of, seat)));
        }
    }

    async fn names(&self) -> Names {
        if self.names.borrow().is_none() {
            let statuses = self.setup.client.statuses(Purpose::Unpaced, None);
            let statuses = statuses.await.ok();
            self.names.replace(Some(Names {
                queues: None,
                statuses,
            }));
        }
        self.names.borrow().clone().unwrap_or_default()
    }

    /// The shortest time to live for which the expected number of polls fits the hour's budget: a queue that is asked about λ times an hour is
    /// polled 1/(ttl + 1/λ) times.
    fn time_to_live(&self) -> Duration {
        let polls = |ttl: f64| -> f64 {
            let rate = |queue: &Queue| queue.part * f64::from(self.size.questions) / 3600.0;
            self.setup
                .queues
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
    let Setup { budget, clock, .. } = &world.setup;
    for place in (0..world.setup.queues.len()).cycle() {
        let permit = loop {
            match budget.permit(Purpose::Poll).await {
                Ok(permit) => break permit,
                Err(refusal) => {
                    let wait = refusal.wait(clock.now());
                    sleep(wait.max(Duration::from_millis(1))).await
                }
            }
        };
        world.poll(place, Purpose::Poll, permit).await;
    }
}
