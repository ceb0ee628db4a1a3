//! An account's life with `soon`, in virtual time.

use std::{cell::RefCell, num::NonZeroU32, rc::Rc, sync::Arc, time::Duration};

use openseat::{
    account::{Account, Deps, Health, QueueSettings},
    budget::{Budget, BudgetOwner},
    calltools::Client,
    clock::{Clock, VirtualClock},
    config::{QueueRef, Rule, ScheduleOptions, Soon},
    decision::{
        DecisionInput, OnUnknown, Policy,
        board::{Board, QueueKey},
        criteria::SeatRule,
        soon::{
            rule::{Held, Terms},
            week::Tenths,
        },
    },
    metrics::{Metrics, QueueMeters},
    model::{names::Names, quantity::Quantity},
    process::heartbeat::Heartbeats,
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// CallTools' limit, and openseat's default reserve.
const LIMIT: u32 = 1000;
const RESERVE: u32 = 50;

/// What CallTools usually takes.
const LATENCY: Duration = Duration::from_millis(300);

/// A caller who hears it ring hangs up after some seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether a waiting call finds an agent.
const STEP: Duration = Duration::from_millis(500);

/// How long wrap-ups are: 45 s on average.
#[derive(Clone, Copy, Debug)]
pub enum WrapUp {
    /// Each about as long as the others: a deviation of half the mean.
    Alike,
    /// All of the same length.
    Exact,
    /// Without memory.
    Random,
    /// There are none.
    None,
}

impl WrapUp {
    pub fn name(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Exact => "exact",
            Self::Random => "random",
            Self::None => "none",
        }
    }
}

/// An account, and how its calls travel.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub queues: usize,
    pub agents: usize,
    /// In an hour, over all queues.
    pub calls: u32,
    pub lead: Duration,
    pub wrap_up: WrapUp,
}

/// What became of calls under one rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Accepted where today's decision rejects.
    pub accepted: u32,
    /// Of these, so many met nobody.
    pub lost: u32,
    /// All that were accepted and met nobody, and all that were rejected and would have met somebody.
    all_lost: u32,
    good_rejected: u32,
}

impl Outcome {
    fn take(&mut self, accepts: bool, is_today: bool, meets: bool) {
        let is_new = accepts && !is_today;
        self.accepted += u32::from(is_new);
        self.lost += u32::from(is_new && !meets);
        self.all_lost += u32::from(accepts && !meets);
        self.good_rejected += u32::from(!accepts && meets);
    }

    fn loss(&self, cost: u32) -> f64 {
        f64::from(self.all_lost * cost + self.good_rejected)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            lost: self.lost + other.lost,
            all_lost: self.all_lost + other.all_lost,
            good_rejected: self.good_rejected + other.good_rejected,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub calls: u32,
    today: Outcome,
    /// With a cost of 1 and of 2.
    pub soon: [Outcome; 2],
    pub tenths: Tenths,
    /// The most requests in any sliding hour.
    pub worst_hour: usize,
}

impl Figures {
    /// The loss with `soon`, where today's is 1.
    pub fn relative_loss(&self, cost: u32) -> f64 {
        self.soon[cost as usize - 1].loss(cost) / self.today.loss(cost).max(1.0)
    }

    pub fn plus(mut self, other: Self) -> Self {
        for (sum, one) in self
            .tenths
            .iter_mut()
            .flatten()
            .zip(other.tenths.iter().flatten())
        {
            *sum += one;
        }
        Self {
            calls: self.calls + other.calls,
            today: self.today.plus(other.today),
            soon: [0, 1].map(|cost| self.soon[cost].plus(other.soon[cost])),
            worst_hour: self.worst_hour.max(other.worst_hour),
            ..self
        }
    }
}

/// Lives through `warm_up`, then counts for `measured`.
pub fn live(setting: Setting, seed: u64, warm_up: Duration, measured: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (world, account, health) = World::new(setting, seed);
        drop(tokio::spawn(account.run(CancellationToken::new())));
        let figures = Rc::new(world).calls(seed, warm_up, measured).await;
        let report = health.borrow().soon.clone();
        Figures {
            tenths: report.map(|report| report.tenths).unwrap_or_default(),
            ..figures
        }
    })
}

struct Queue {
    id: u64,
    key: QueueKey,
    meters: Arc<QueueMeters>,
    /// Its part of all calls.
    part: f64,
}

struct World {
    clock: Arc<VirtualClock>,
    simulator: Simulator,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    queues: Vec<Queue>,
    setting: Setting,
}

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    max_age: None,
    on_unknown: OnUnknown::Reject,
    hours: None,
};

fn people(setting: Setting, seed: u64) -> WorldSettings {
    let usual = WorldSettings::study();
    let (mean_wrap_up, wrap_up_parts) = match setting.wrap_up {
        WrapUp::Alike => (usual.mean_wrap_up, 4),
        WrapUp::Exact => (usual.mean_wrap_up, 0),
        WrapUp::Random => (usual.mean_wrap_up, 1),
        WrapUp::None => (Duration::from_millis(1), 1),
    };
    WorldSettings {
        seed,
        queues: setting.queues,
        agents: setting.agents,
        mean_wrap_up,
        wrap_up_parts,
        ..usual
    }
}

impl World {
    fn new(setting: Setting, seed: u64) -> (Self, Account, watch::Receiver<Health>) {
        let clock = Arc::new(VirtualClock::default());
        let settings = Settings {
            latency: LATENCY,
            requests_per_hour: LIMIT,
            ..Settings::new(people(setting, seed))
        };
        let simulator = Simulator::new(settings, clock.clone());
        let limit = NonZeroU32::new(LIMIT).expect("it is not 0");
        let budget = Arc::new(Budget::in_memory(limit, RESERVE, clock.clone()));
        let known: Vec<_> = simulator.world(|world| {
            let queues = world.queues().iter();
            queues.map(|queue| (queue.id, queue.popularity)).collect()
        });
        let key = |(id, _): &(u64, f64)| QueueKey::new("main", id.to_string());
        let keys: Vec<_> = known.iter().map(key).collect();
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
        // With a cost of 1 everything is accepted that a higher cost accepts, and the answer says how likely it was.
        let terms = Terms::new(setting.lead, PATIENCE, 1.0).expect("a cost of 1 is fine");
        let settings = |((id, _), key): (&(u64, f64), &QueueKey)| QueueSettings {
            key: key.clone(),
            reference: QueueRef::Id(*id),
            rule: Rule::Seats(SeatRule::default()),
            threshold: Some(Quantity::ZERO),
            max_age: None,
            hours: None,
            soon: Soon { is_on: true, terms },
        };
        let (health, told) = watch::channel(Health::default());
        let account = Account::new(Deps {
            owner: BudgetOwner {
                account: "main".to_owned(),
                identity: String::new(),
            },
            queues: known.iter().zip(&keys).map(settings).collect(),
            options: ScheduleOptions::default(),
            client: Client::new(
                simulator.transport(TOKEN),
                Arc::clone(&budget),
                clock.clone(),
                Arc::new(()),
            ),
            budget,
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
            reservations: Arc::default(),
            store: None,
            known: Default::default(),
            clock: clock.clone(),
            names: watch::Sender::new(Arc::new(Names::default())),
            health,
            asks: mpsc::channel(64).1,
            token: None,
            cluster: None,
            heartbeat: Heartbeats::default().begin("main"),
        });
        let all: f64 = known.iter().map(|(_, popularity)| popularity).sum();
        let queues = known.iter().zip(keys);
        let queues = queues.map(|(&(id, popularity), key)| Queue {
            id,
            meters: metrics
                .queue(&key)
                .expect("the metrics are of these queues"),
            key,
            part: popularity / all,
        });
        let world = Self {
            queues: queues.collect(),
            clock,
            simulator,
            board,
            metrics,
            setting,
        };
        (world, account, told)
    }

    /// Calls come at random times; each is followed to its end.
    async fn calls(self: &Rc<Self>, seed: u64, warm_up: Duration, measured: Duration) -> Figures {
        let figures = Rc::new(RefCell::new(Figures::default()));
        // Other dice than the world's.
        let mut dice = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mean_gap = 3600.0 / f64::from(self.setting.calls);
        let (start, mut at) = (Instant::now(), Duration::ZERO);
        while at < warm_up + measured {
            at += Duration::from_secs_f64(-mean_gap * (1.0 - dice.f64()).ln());
            sleep_until(start + at).await;
            let place = self.pick(dice.f64());
            let counts = at >= warm_up;
            let (world, figures) = (Rc::clone(self), Rc::clone(&figures));
            tokio::task::spawn_local(async move {
                let (today, soon) = world.decide(place);
                let meets = world.meets(place).await;
                if counts {
                    let mut figures = figures.borrow_mut();
                    figures.calls += 1;
                    figures.today.take(today, today, meets);
                    for (outcome, accepts) in figures.soon.iter_mut().zip(soon) {
                        outcome.take(accepts, today, meets);
                    }
                }
            });
        }
        sleep(self.setting.lead + PATIENCE + Duration::from_secs(5)).await;
        let mut figures = figures.take();
        figures.worst_hour = self.simulator.worst_sliding_hour();
        figures
    }

    fn pick(&self, dice: f64) -> usize {
        let mut left = dice;
        let hit = self.queues.iter().position(|queue| {
            left -= queue.part;
            left <= 0.0
        });
        hit.unwrap_or(self.queues.len() - 1)
    }

    /// Whether today's decision accepts, and those of `soon` with a cost of 1 and of 2.
    fn decide(&self, place: usize) -> (bool, [bool; 2]) {
        let queue = &self.queues[place];
        let state = self.board.get(&queue.key).expect("it is on the board");
        let now = self.clock.now();
        let input = DecisionInput::new(&state, &POLICY, now);
        let today = input.decide(None, Held::default(), now);
        let snapshot = state.snapshot.as_deref();
        let outlook = snapshot.and_then(|snapshot| snapshot.outlook.as_deref());
        let soon = input.decide(outlook, Held::default(), now);
        // Today's is counted: calls do not change the world here, so none of them may be counted as on its way.
        self.metrics.decision(&queue.meters, &today, Duration::ZERO);
        let likely = soon.foretold.map_or(0.0, |foretold| foretold.likely);
        (
            today.accept,
            [soon.accept, today.accept || likely > 2.0 / 3.0],
        )
    }

    /// Whether a call that comes now meets an agent.
    async fn meets(&self, place: usize) -> bool {
        sleep(self.setting.lead).await;
        let end = Instant::now() + PATIENCE;
        loop {
            if self.simulator.seats(self.queues[place].id) > 0 {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(STEP).await;
        }
    }
}
