//! Simulates an account with `soon`, in virtual time.

#[path = "../support/setup.rs"]
mod setup;

use std::{cell::RefCell, f64::consts::TAU, rc::Rc, time::Duration};

use openseat::{
    account::Health,
    clock::Clock,
    config::Soon,
    decision::{
        Decision, DecisionInput, Reason, decide_with,
        reservations::{DEFAULT_TTL, Reserved},
        soon::rule::{Held, Prediction, Terms},
    },
    simulator::{Ordering, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::figures::{Figures, Outcome};
use setup::{POLICY, Setup, in_virtual_time};

/// How long a caller lets it ring before hanging up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a waiting call checks for a free agent.
const STEP: Duration = Duration::from_millis(500);

/// How agents behave. Wrap-ups take 45 s on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Wrap-ups have similar lengths: the standard deviation is half the mean.
    Alike,
    /// The standard deviation is a quarter of the mean.
    Regular,
    /// All wrap-ups have the same length.
    Exact,
    /// Wrap-ups have no memory: their lengths are distributed exponentially.
    Random,
    /// Agents have no wrap-ups.
    NoWrapUp,
    /// As `Alike`, but agents end half of the wrap-ups by hand, the mean lengths of calls and wrap-ups drift over hours, and calls that no router
    /// sent take agents.
    Hard,
    /// As `Regular`, but CallTools does not order lists. In a large account, statuses then come from the lists of available agents, and openseat rarely
    /// sees who is in wrap-up.
    Unordered,
    /// As `Alike`, but agents take only the accepted calls.
    Closed,
    /// As `Regular`, but agents take only the accepted calls.
    ClosedRegular,
}

impl World {
    pub fn name(self) -> &'static str {
        match self {
            Self::Alike => "wrap-ups alike",
            Self::Regular => "wrap-ups regular",
            Self::Exact => "wrap-ups exact",
            Self::Random => "wrap-ups random",
            Self::NoWrapUp => "no wrap-ups",
            Self::Hard => "hard",
            Self::Unordered => "no order",
            Self::Closed => "closed",
            Self::ClosedRegular => "closed, wrap-ups regular",
        }
    }

    /// Whether agents take only the accepted calls.
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::ClosedRegular)
    }

    fn people(self, setting: Setting, seed: u64) -> WorldSettings {
        let alike = WorldSettings {
            seed,
            queues: setting.queues,
            agents: setting.agents,
            wrap_up_parts: 4,
            ..WorldSettings::study()
        };
        let regular = WorldSettings {
            wrap_up_parts: 16,
            ..alike.clone()
        };
        let closed = |open| WorldSettings {
            // Longer than the benchmark, so that no call comes by itself.
            mean_idle: Duration::from_secs(100 * 86_400),
            ..open
        };
        match self {
            Self::Alike => alike,
            Self::Regular | Self::Unordered => regular,
            Self::Exact => WorldSettings {
                wrap_up_parts: 0,
                ..alike
            },
            Self::Random => WorldSettings {
                wrap_up_parts: 1,
                ..alike
            },
            Self::NoWrapUp => WorldSettings {
                mean_wrap_up: Duration::from_millis(1),
                ..alike
            },
            Self::Hard => WorldSettings {
                wrap_ups_by_hand: 50,
                ..alike
            },
            Self::Closed => closed(alike),
            Self::ClosedRegular => closed(regular),
        }
    }
}

/// In the hard world the lengths of calls and wrap-ups drift between this many times the usual length and one over it, once per period.
const DRIFT: f64 = 1.4;
const DRIFT_PERIOD: Duration = Duration::from_secs(3 * 3_600);

/// In the hard world an available agent gets this many other calls per hour: a quarter of the calls that they take by themselves.
const OTHER_CALLS: f64 = 2.0;

/// An account, and how long its calls are on the way.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub queues: usize,
    pub agents: usize,
    /// Per hour, over all queues.
    pub calls: u32,
    pub lead: Duration,
    /// The lead that the rule assumes.
    pub assumed: Duration,
    pub world: World,
}

/// Simulates `warm_up`, then counts calls for `measured`.
pub fn live(setting: Setting, seed: u64, warm_up: Duration, measured: Duration) -> Figures {
    let live = |drives| {
        in_virtual_time(async {
            let life = Life::begin(setting, seed, drives);
            life.calls(seed, warm_up, measured).await
        })
    };
    if !setting.world.is_closed() {
        return live(Drives::Nothing);
    }
    let today = live(Drives::Today);
    let [one, two] = [1, 2].map(|cost| live(Drives::Soon { cost }));
    Figures {
        today: today.today,
        soon: [one.soon[0], two.soon[1]],
        worst_hour: today.worst_hour.max(one.worst_hour).max(two.worst_hour),
        ..two
    }
}

/// The rule whose accepted calls the agents take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drives {
    /// No rule: all rules decide about the same calls, and agents take other calls.
    Nothing,
    Today,
    Soon {
        cost: u8,
    },
}

struct Life {
    setup: Setup,
    setting: Setting,
    drives: Drives,
    health: watch::Receiver<Health>,
}

impl Life {
    fn begin(setting: Setting, seed: u64, drives: Drives) -> Rc<Self> {
        let setup = Setup::new(setting.world.people(setting, seed));
        if setting.world == World::Unordered {
            setup
                .simulator
                .quirks(|quirks| quirks.ordering = Ordering::Off);
        }
        // A cost of 1 accepts every call that a higher cost accepts, and the answer carries the probability.
        let cost = match drives {
            Drives::Soon { cost } => f64::from(cost),
            _ => 1.0,
        };
        let soon = Soon {
            is_on: drives != Drives::Today,
            terms: Terms::new(setting.assumed, PATIENCE, cost).expect("a cost of 1 or 2 is fine"),
        };
        let (health_sender, health) = watch::channel(Health::default());
        let account = setup.account(soon, mpsc::channel(64).1, health_sender);
        drop(tokio::spawn(account.run(CancellationToken::new())));
        let life = Rc::new(Self {
            setup,
            setting,
            drives,
            health,
        });
        if setting.world == World::Hard {
            tokio::task::spawn_local(Rc::clone(&life).drift());
            tokio::task::spawn_local(Rc::clone(&life).other_calls(seed));
        }
        life
    }

    /// Changes the mean lengths of calls and wrap-ups over time.
    async fn drift(self: Rc<Self>) {
        let usual = self.setting.world.people(self.setting, 0);
        let start = Instant::now();
        loop {
            sleep(Duration::from_secs(60)).await;
            let turns = start.elapsed().as_secs_f64() / DRIFT_PERIOD.as_secs_f64();
            let factor = DRIFT.powf((TAU * turns).sin());
            self.setup.simulator.world(|world| {
                world.change_behaviour(|people| {
                    people.mean_call = usual.mean_call.mul_f64(factor);
                    people.mean_wrap_up = usual.mean_wrap_up.mul_f64(factor);
                });
            });
        }
    }

    /// Offers calls that no router sent.
    async fn other_calls(self: Rc<Self>, seed: u64) {
        let mut dice = fastrand::Rng::with_seed(seed ^ 0x07e5);
        let mean_gap = 3600.0 / (OTHER_CALLS * self.setting.agents as f64);
        loop {
            sleep(random(&mut dice, mean_gap)).await;
            let place = self.setup.pick(dice.f64());
            self.offer(place);
        }
    }

    /// Offers a call of this queue, and returns whether an agent takes it.
    fn offer(&self, place: usize) -> bool {
        let queue = self.setup.queues[place].id;
        let taken = self.setup.simulator.world(|world| world.offer_call(queue));
        taken.is_some()
    }

    fn is_anybody_free(&self, place: usize) -> bool {
        self.setup.simulator.seats(self.setup.queues[place].id) > 0
    }

    /// Starts calls at random times, and follows each to its end.
    async fn calls(self: Rc<Self>, seed: u64, warm_up: Duration, measured: Duration) -> Figures {
        let figures = Rc::new(RefCell::new(Figures::default()));
        // A random sequence other than the world's.
        let mut dice = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mean_gap = 3600.0 / f64::from(self.setting.calls);
        let (start, mut at) = (Instant::now(), Duration::ZERO);
        while at < warm_up + measured {
            at += random(&mut dice, mean_gap);
            sleep_until(start + at).await;
            let place = self.setup.pick(dice.f64());
            let counts = at >= warm_up;
            let (life, figures) = (Rc::clone(&self), Rc::clone(&figures));
            let call_id = format!("call-{}", at.as_nanos());
            tokio::task::spawn_local(async move {
                let one = life.call(place, &call_id).await;
                if counts {
                    let sum = figures.take();
                    figures.replace(sum.plus(one));
                }
            });
        }
        sleep(self.setting.lead + PATIENCE + Duration::from_secs(5)).await;
        let report = self.health.borrow().soon.clone();
        Figures {
            tenths: report.map(|report| report.tenths).unwrap_or_default(),
            worst_hour: self.setup.simulator.worst_sliding_hour(),
            ..figures.take()
        }
    }

    /// One call, from the decision to its end.
    async fn call(&self, place: usize, call_id: &str) -> Figures {
        match self.drives {
            Drives::Nothing => self.call_that_changes_nothing(place).await,
            Drives::Today | Drives::Soon { .. } => self.call_that_is_sent(place, call_id).await,
        }
    }

    /// A call that all rules decide about, and that takes no agent.
    async fn call_that_changes_nothing(&self, place: usize) -> Figures {
        let queue = &self.setup.queues[place];
        let state = self.setup.board.get(&queue.key).expect("on the board");
        let now = self.setup.clock.now();
        let input = DecisionInput::new(&state, &POLICY, now);
        let today = input.decide(None, Held::default(), now);
        let snapshot = state.snapshot.as_deref();
        let outlook = snapshot.and_then(|snapshot| snapshot.outlook.as_ref());
        let soon = input.decide(outlook, Held::default(), now);
        // Only the decision without `soon` is counted: calls do not change this world, so none may count as on its way.
        self.count(place, &today);
        let likely = soon.prediction.map_or(0.0, Prediction::likely);
        let meets = self.meets(|| self.is_anybody_free(place)).await;
        let mut figures = Figures {
            calls: 1,
            ..Figures::default()
        };
        figures.today.take(today.accept, None, meets);
        let accepts = [soon.accept, today.accept || likely > 2.0 / 3.0];
        for (outcome, accepts) in figures.soon.iter_mut().zip(accepts) {
            let by_soon = (accepts && !today.accept).then_some(likely);
            outcome.take(accepts, by_soon, meets);
        }
        figures
    }

    /// A call that holds a seat and takes an agent, if the rule accepts it.
    async fn call_that_is_sent(&self, place: usize, call_id: &str) -> Figures {
        let queue = &self.setup.queues[place];
        let state = self.setup.board.get(&queue.key).expect("on the board");
        let now = self.setup.clock.now();
        let holds = self.setup.reservations.queue(&queue.key);
        let decide = |held: Held<'_>| decide_with(&state, &POLICY, held, now);
        let reserved = holds.reserve(call_id, DEFAULT_TTL, now, decide);
        let decision = *reserved.decision().expect("no two calls share an id");
        self.count(place, &decision);
        let meets = match &reserved {
            Reserved::Made(..) => self.meets(|| self.offer(place)).await,
            _ => self.meets(|| self.is_anybody_free(place)).await,
        };
        let mut outcome = Outcome::default();
        let by_soon = decision
            .prediction
            .filter(|_| decision.reason == Reason::Soon);
        let by_soon = by_soon.map(Prediction::likely);
        outcome.take(decision.accept, by_soon, meets);
        Figures {
            calls: 1,
            today: outcome,
            soon: [outcome; 2],
            ..Figures::default()
        }
    }

    fn count(&self, place: usize, decision: &Decision) {
        let meters = &self.setup.queues[place].meters;
        let metrics = &self.setup.metrics;
        metrics.decision(meters, decision, Duration::ZERO);
    }

    /// Whether a call that is sent now meets an agent. `finds` is called from its arrival on, until it returns true or the patience ends.
    async fn meets(&self, mut finds: impl FnMut() -> bool) -> bool {
        sleep(self.setting.lead).await;
        let end = Instant::now() + PATIENCE;
        loop {
            if finds() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(STEP).await;
        }
    }
}

/// The time until the next of several independent events.
fn random(dice: &mut fastrand::Rng, mean_seconds: f64) -> Duration {
    Duration::from_secs_f64(-mean_seconds * (1.0 - dice.f64()).ln())
}
