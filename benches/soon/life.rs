//! Simulates an account with `soon`, in virtual time.

#[path = "../support/setup.rs"]
mod setup;

use std::{cell::RefCell, f64::consts::TAU, rc::Rc, time::Duration};

use openseat::{
    account::Health,
    clock::{Clock, Moment},
    config::Soon,
    decision::{
        Decision, DecisionInput, Reason,
        board::QueueState,
        decide_with,
        reservations::{DEFAULT_TTL, Reserved},
        snapshot::Snapshot,
        soon::rule::{Held, Prediction, Seats, Terms},
    },
    simulator::{Ordering, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    figures::{Figures, Outcome},
    reference::{Doing, Reference},
    world::World,
};
use setup::{POLICY, Setup, in_virtual_time};

/// How long a caller lets it ring before hanging up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a waiting call checks for a free agent.
const STEP: Duration = Duration::from_millis(500);

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
    /// Whether rules that know more decide, too.
    pub references: bool,
}

impl Setting {
    fn people(self, seed: u64) -> WorldSettings {
        self.world.people((self.queues, self.agents), seed)
    }
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
    let mut references = two.references;
    if setting.references {
        for (which, reference) in references.iter_mut().enumerate().take(2) {
            *reference = [1, 2].map(|cost| live(Drives::Reference { cost, which }).today);
        }
    }
    Figures {
        references,
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
    /// The first or the second of the references. The first decides only where the rule applies, as `soon` does.
    Reference {
        cost: u8,
        which: usize,
    },
}

struct Life {
    setup: Setup,
    setting: Setting,
    drives: Drives,
    health: watch::Receiver<Health>,
    reference: Option<Reference>,
    /// How many accepted calls of each queue have not ended yet.
    under_way: RefCell<Vec<usize>>,
}

impl Life {
    fn begin(setting: Setting, seed: u64, drives: Drives) -> Rc<Self> {
        let people = setting.people(seed);
        let reference = setting
            .references
            .then(|| Reference::new(&people, PATIENCE));
        let setup = Setup::new(people);
        let under_way = RefCell::new(vec![0; setup.queues.len()]);
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
            is_on: matches!(drives, Drives::Nothing | Drives::Soon { .. }),
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
            reference,
            under_way,
        });
        if setting.world == World::Hard {
            tokio::task::spawn_local(Rc::clone(&life).drift());
            tokio::task::spawn_local(Rc::clone(&life).other_calls(seed));
        }
        life
    }

    /// Changes the mean lengths of calls and wrap-ups over time.
    async fn drift(self: Rc<Self>) {
        let usual = self.setting.people(0);
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
            _ => self.call_that_is_sent(place, call_id).await,
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
        let known = self.reference.as_ref().zip(snapshot);
        let known = known.filter(|_| today.reason == Reason::BelowThreshold);
        let known = known.map(|(reference, known)| self.likely(reference, place, (known, 0), now));
        let meets = self.meets(|| self.is_anybody_free(place)).await;
        let mut figures = Figures {
            calls: 1,
            ..Figures::default()
        };
        let [by_rows, by_statuses] = known.unwrap_or_default();
        let by_future = f64::from(u8::from(known.is_some() && meets));
        let likely_by = [by_rows, by_statuses, by_future];
        for (outcomes, likely) in figures.references.iter_mut().zip(likely_by) {
            for (outcome, needed) in outcomes.iter_mut().zip([1.0 / 2.0, 2.0 / 3.0]) {
                let accepts = today.accept || likely > needed;
                outcome.take(accepts, (accepts && !today.accept).then_some(likely), meets);
            }
        }
        figures.today.take(today.accept, None, meets);
        let accepts = [soon.accept, today.accept || likely > 2.0 / 3.0];
        for (outcome, accepts) in figures.soon.iter_mut().zip(accepts) {
            let by_soon = (accepts && !today.accept).then_some(likely);
            outcome.take(accepts, by_soon, meets);
        }
        figures
    }

    /// How likely a call meets an agent, by what openseat knows of statuses and calls, and by what is true now.
    fn likely(
        &self,
        reference: &Reference,
        place: usize,
        (known, held): (&Snapshot, u32),
        now: Moment,
    ) -> [f64; 2] {
        let as_of = known.as_of.timestamp();
        let rows = known.agents.iter().filter(|agent| agent.queue_logged_in);
        let rows = rows.filter_map(|agent| {
            let lasted = as_of.duration_since(agent.status_since?);
            let lasted = Duration::try_from(lasted).unwrap_or_default();
            Some(Doing::new(agent.status.as_deref()?, lasted))
        });
        let (lead, age) = (self.setting.lead, now.longest_since(known.as_of));
        let by_rows = reference.likely(rows, lead + age, held as usize);
        let taken = self.under_way.borrow()[place];
        let queue = self.setup.queues[place].id;
        let by_statuses = self.setup.simulator.world(|world| {
            let statuses = world.statuses_in(queue);
            let doing = statuses.map(|(status, lasted)| Doing::new(status, lasted));
            reference.likely(doing, lead, taken)
        });
        [by_rows, by_statuses]
    }

    /// Decides as the rule does that drives the world.
    fn decide(&self, place: usize, state: &QueueState, held: Held<'_>, now: Moment) -> Decision {
        let today = decide_with(state, &POLICY, held, now);
        let is_at_zero = matches!(today.reason, Reason::BelowThreshold | Reason::Reserved);
        let Drives::Reference { cost, which } = self.drives else {
            return today;
        };
        let known = self.reference.as_ref().zip(state.snapshot.as_deref());
        let known = known.filter(|(_, known)| is_at_zero && (which > 0 || applies(known, held)));
        let likely = known
            .map(|(reference, known)| self.likely(reference, place, (known, held.all), now)[which]);
        let likely = likely.unwrap_or_default();
        let needed = f64::from(cost) / f64::from(1 + cost);
        if likely <= needed {
            return today;
        }
        Decision {
            accept: true,
            capacity: 1,
            reason: Reason::Soon,
            prediction: Prediction::from_figures(((100.0 * likely) as u8, needed)),
            ..today
        }
    }

    /// A call that holds a seat and takes an agent, if the rule accepts it.
    async fn call_that_is_sent(&self, place: usize, call_id: &str) -> Figures {
        let queue = &self.setup.queues[place];
        let state = self.setup.board.get(&queue.key).expect("on the board");
        let now = self.setup.clock.now();
        let holds = self.setup.reservations.queue(&queue.key);
        let decide = |held: Held<'_>| self.decide(place, &state, held, now);
        let reserved = holds.reserve(call_id, DEFAULT_TTL, now, decide);
        let decision = *reserved.decision().expect("no two calls share an id");
        self.count(place, &decision);
        let meets = match &reserved {
            Reserved::Made(..) => {
                self.under_way.borrow_mut()[place] += 1;
                let meets = self.meets(|| self.offer(place)).await;
                self.under_way.borrow_mut()[place] -= 1;
                meets
            }
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

/// Whether no more agents are missing than calls under way that count on one.
fn applies(known: &Snapshot, held: Held<'_>) -> bool {
    let seats = known.measured.as_ref().map(|measured| Seats {
        count: measured.count.get(),
        threshold: 0.0,
        held,
    });
    seats.is_ok_and(|seats| seats.bets_at_threshold().is_some())
}

/// The time until the next of several independent events.
fn random(dice: &mut fastrand::Rng, mean_seconds: f64) -> Duration {
    Duration::from_secs_f64(-mean_seconds * (1.0 - dice.f64()).ln())
}
