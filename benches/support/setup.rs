//! The account task and everything that it needs, with the simulator in virtual time. The benchmarks share it.

use std::{future::Future, num::NonZeroU32, sync::Arc, time::Duration};

use openseat::{
    account::{Account, Ask, Deps, Health, QueueSettings},
    budget::{Budget, BudgetOwner},
    calltools::Client,
    clock::{Clock, VirtualClock},
    config::{QueueRef, Rule, ScheduleOptions, Soon},
    decision::{
        OnUnknown, Policy,
        board::{Board, QueueKey},
        criteria::SeatRule,
        reservations::Reservations,
    },
    metrics::{Metrics, QueueMeters},
    model::{names::Names, quantity::Quantity},
    process::heartbeat::Heartbeats,
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};
use tokio::sync::{mpsc, watch};

/// CallTools' limit, and openseat's default reserve.
pub const LIMIT: u32 = 1000;
pub const RESERVE: u32 = 50;

/// CallTools' usual response time.
const LATENCY: Duration = Duration::from_millis(300);

/// The policy of every queue.
pub const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: None,
    on_unknown: OnUnknown::Reject,
    hours: None,
};

pub struct Queue {
    pub id: u64,
    pub key: QueueKey,
    pub meters: Arc<QueueMeters>,
    /// Its share of all calls.
    pub part: f64,
}

/// See the [module](self).
pub struct Setup {
    pub clock: Arc<VirtualClock>,
    pub simulator: Simulator,
    pub budget: Arc<Budget>,
    pub client: Client,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub reservations: Arc<Reservations>,
    pub queues: Vec<Queue>,
    pub options: ScheduleOptions,
}

impl Setup {
    pub fn new(people: WorldSettings) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let settings = Settings {
            latency: LATENCY,
            requests_per_hour: LIMIT,
            ..Settings::new(people)
        };
        let simulator = Simulator::new(settings, clock.clone());
        let limit = NonZeroU32::new(LIMIT).expect("the limit is not 0");
        let budget = Arc::new(Budget::in_memory(limit, RESERVE, clock.clone()));
        let client = Client::new(
            simulator.transport(TOKEN),
            Arc::clone(&budget),
            clock.clone(),
            Arc::new(()),
        );
        let known: Vec<_> = simulator.world(|world| {
            let queues = world.queues().iter();
            queues.map(|queue| (queue.id, queue.popularity)).collect()
        });
        let key = |(id, _): &(u64, f64)| QueueKey::new("main", id.to_string());
        let keys: Vec<_> = known.iter().map(key).collect();
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
        let all: f64 = known.iter().map(|(_, popularity)| popularity).sum();
        let queues = known.iter().zip(keys);
        let queues = queues.map(|(&(id, popularity), key)| Queue {
            id,
            meters: metrics.queue(&key).expect("the metrics have these queues"),
            key,
            part: popularity / all,
        });
        Self {
            queues: queues.collect(),
            clock,
            simulator,
            budget,
            client,
            board,
            metrics,
            reservations: Arc::default(),
            options: ScheduleOptions::default(),
        }
    }

    /// The daemon's own task.
    pub fn account(
        &self,
        soon: Soon,
        asks: mpsc::Receiver<Ask>,
        health: watch::Sender<Health>,
    ) -> Account {
        let queue = |queue: &Queue| QueueSettings {
            key: queue.key.clone(),
            reference: QueueRef::Id(queue.id),
            rule: Rule::Seats(SeatRule::default()),
            threshold: POLICY.threshold,
            max_age: POLICY.max_age,
            hours: None,
            soon,
        };
        Account::new(Deps {
            owner: BudgetOwner {
                account: "main".to_owned(),
                identity: String::new(),
            },
            queues: self.queues.iter().map(queue).collect(),
            options: self.options,
            client: self.client.clone(),
            budget: Arc::clone(&self.budget),
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            reservations: Arc::clone(&self.reservations),
            store: None,
            cluster: None,
            known: Default::default(),
            clock: self.clock.clone(),
            names: watch::Sender::new(Arc::new(Names::default())),
            health,
            asks,
            token: None,
            heartbeat: Heartbeats::default().begin("main"),
        })
    }

    /// The place of the queue that the next call is for. `dice` is at least 0 and below 1.
    pub fn pick(&self, dice: f64) -> usize {
        let mut left = dice;
        let hit = self.queues.iter().position(|queue| {
            left -= queue.part;
            left <= 0.0
        });
        hit.unwrap_or(self.queues.len() - 1)
    }
}

/// Runs a future to its end, with a clock that jumps to the next event.
pub fn in_virtual_time<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets");
    tokio::task::LocalSet::new().block_on(&runtime, life)
}
