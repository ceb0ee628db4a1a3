//! A month of an account: its task, budget, board, reservations, metrics and decisions against the simulator, in virtual time, with four
//! bad hours a day and a crash every third day. Afterwards memory is as large as in the first days, no hour had too many requests, and nothing
//! has stopped.
//!
//! A month with a full budget takes long:
//! `OPENSEAT_SOAK_REQUESTS=1000 cargo test --release --test soak -- --nocapture`.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use openseat::{
    account::{self, Account, QueueSettings},
    budget::{Budget, BudgetOwner, Ledger},
    calltools::Client,
    clock::{Clock, SystemClock, VirtualClock},
    config::{QueueRef, Rule, ScheduleOptions, Soon},
    decision::{
        OnUnknown, Policy,
        board::{Board, QueueKey},
        choose, decide_with,
        reservations::Reservations,
        soon::rule::{Held, Terms},
    },
    metrics::{Format, Metrics, QueueGauges, Scrape},
    model::{names::Names, quantity::Quantity},
    simulator::{InjectedFault, Settings, Simulator, TOKEN, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{fault, resident_kb};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Thirty days.
const MONTH_HOURS: u64 = 720;

/// By then everything that is kept for an hour or a day has been full once.
const SETTLED_HOURS: u64 = 72;

/// How much the allocator may keep beyond that. A leak of a hundred bytes per request would be four times as much.
const MAX_GROWTH_KB: u64 = 1_024;

/// Few, so that a month takes little real time. A fault that needs ten thousand requests also shows at this rate.
const REQUESTS_PER_HOUR: u32 = 12;

/// All queues accept at zero seats, if anybody in wrap-up is half likely to come. With so few requests nothing is learnt about wrap-ups; with a full
/// budget, calls are accepted that way.
fn soon() -> Soon {
    let (lead, patience) = (Duration::from_secs(10), Duration::from_secs(20));
    Soon {
        is_on: true,
        terms: Terms::new(lead, patience, 0.5).expect("a valid cost"),
    }
}

/// After an outage the longest back-off, and the pause after a 429, end within an hour.
const MAX_AGE: Duration = HOUR;

/// The account, and everything that reads from it.
struct SimulatedAccount {
    clock: Arc<dyn Clock>,
    simulator: Simulator,
    ledger: Arc<Ledger>,
    limit: NonZeroU32,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    reservations: Arc<Reservations>,
    keys: Vec<QueueKey>,
    running: Option<Run>,
    calls: u64,
    by_soon: u64,
}

/// The part that crashes.
struct Run {
    task: JoinHandle<anyhow::Result<()>>,
    budget: Arc<Budget>,
    _asks: mpsc::Sender<account::Ask>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SimulatedAccount {
    fn open(requests_per_hour: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
        let world = WorldSettings {
            queues: 2,
            agents: 5,
            ..WorldSettings::lively()
        };
        let settings = Settings {
            world,
            requests_per_hour,
            ..Settings::lively()
        };
        let simulator = Simulator::new(settings, Arc::clone(&clock));
        let names = simulator.world(|world| {
            let names = world.queues().iter().map(|queue| queue.name.clone());
            names.collect::<Vec<_>>()
        });
        let key = |name: &String| QueueKey::new("main", name.as_str());
        let keys: Vec<_> = names.iter().map(key).collect();
        Self {
            simulator,
            ledger: Arc::new(Ledger::in_memory(clock.as_ref())),
            limit: NonZeroU32::new(requests_per_hour).expect("more than nothing"),
            board: Arc::new(Board::new(keys.clone())),
            metrics: Arc::new(Metrics::new(keys.clone(), clock.now())),
            reservations: Arc::default(),
            keys,
            clock,
            running: None,
            calls: 0,
            by_soon: 0,
        }
    }

    /// A twentieth, as by default.
    fn reserve(&self) -> u32 {
        self.limit.get() / 20
    }

    /// Starts polling; the task that polled before has crashed.
    fn start(&mut self) {
        self.running = None;
        let owner = BudgetOwner {
            account: "main".to_owned(),
            identity: "main".to_owned(),
        };
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.clock));
        let budget = Budget::new(ledger, owner.clone(), self.limit, self.reserve(), clock);
        let budget = Arc::new(budget);
        let client = Client::new(
            self.simulator.transport(TOKEN),
            Arc::clone(&budget),
            Arc::clone(&self.clock),
            Arc::new(()),
        );
        let polled = |key: &QueueKey| QueueSettings {
            key: key.clone(),
            reference: QueueRef::Name(key.queue.to_string()),
            rule: Rule::Seats(openseat::decision::criteria::SeatRule::default()),
            threshold: Some(Quantity::ZERO),
            max_age: Some(MAX_AGE),
            hours: None,
            soon: soon(),
        };
        let (asks, asked) = mpsc::channel(1);
        let account = Account::new(account::Deps {
            owner,
            queues: self.keys.iter().map(polled).collect(),
            client,
            budget: Arc::clone(&budget),
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            reservations: Arc::clone(&self.reservations),
            store: None,
            cluster: None,
            known: Default::default(),
            clock: Arc::clone(&self.clock),
            names: watch::channel(Arc::new(Names::default())).0,
            health: watch::Sender::default(),
            asks: asked,
            options: ScheduleOptions {
                sweep: true,
                idle_pace: 1.0,
            },
            heartbeat: openseat::process::heartbeat::Heartbeats::default().begin("main"),
            token: None,
        });
        self.running = Some(Run {
            task: tokio::spawn(account.run(CancellationToken::new())),
            budget,
            _asks: asks,
        });
    }

    /// A call for each queue: decides, and holds a seat for every other call that is accepted. Returns how many queues were known.
    fn ring(&mut self) -> usize {
        let (now, policy) = (self.clock.now(), self.policy());
        let mut known = 0;
        for key in &self.keys {
            let state = self.board.get(key).expect("the queue is on the board");
            let holds = self.reservations.queue(key);
            let decision = decide_with(&state, &policy, holds.held(now), now);
            let meters = self.metrics.queue(key).expect("the queue has meters");
            self.metrics.decision(&meters, &decision, Duration::ZERO);
            let young = decision.age.is_some_and(|age| age <= MAX_AGE);
            assert!(young || !decision.reason.is_known(), "{decision:?}");
            assert!(decision.count.is_some() || !decision.accept, "{decision:?}");
            known += usize::from(decision.reason.is_known());
            self.by_soon += u64::from(decision.prediction.is_some());
            self.calls += 1;
            if decision.accept && self.calls.is_multiple_of(2) {
                let call = format!("call-{}", self.calls);
                let choose = |held: Held<'_>| choose(&state, &policy, held, now);
                let _ = holds.reserve(&call, MINUTE, now, choose);
            }
        }
        known
    }

    fn policy(&self) -> Policy {
        Policy {
            threshold: Some(Quantity::ZERO),
            asks_threshold: false,
            max_age: Some(MAX_AGE),
            on_unknown: OnUnknown::Reject,
            hours: None,
        }
    }

    /// Runs for this long; with `healthy`, every queue must be known all the time.
    async fn run(&mut self, time: Duration, healthy: bool) {
        let end = self.clock.now().boot + time;
        while self.clock.now().boot < end {
            sleep(MINUTE).await;
            let known = self.ring();
            let all = known == self.keys.len();
            assert!(all || !healthy, "only {known} known at {:?}", end);
            let run = self.running.as_ref().expect("the account runs");
            assert!(!run.task.is_finished(), "the account's task has ended");
        }
    }

    /// Six hours with one bad hour.
    async fn quarter_of_a_day(&mut self, fault: InjectedFault, minutes: u64) {
        self.simulator.inject(usize::MAX, None, fault);
        self.run(MINUTE * minutes as u32, false).await;
        self.simulator.clear_faults();
        // The pause after a 429 is at most an hour, and then the slower pace follows.
        let bad = Duration::from_secs(2 * 3_600 + 1_800);
        self.run(bad - MINUTE * minutes as u32, false).await;
        self.run(6 * HOUR - bad, true).await;
    }

    /// The text that a scraper would get.
    async fn scrape(&self) -> String {
        let now = self.clock.now();
        let run = self.running.as_ref().expect("the account runs");
        let usage = run.budget.usage();
        let gauges = |key: &QueueKey| {
            let state = self.board.get(key).expect("the queue is on the board");
            let holds = self.reservations.queue(key);
            QueueGauges::new(
                key,
                &state,
                &self.policy(),
                &holds,
                Some(&Names::default()),
                now,
            )
        };
        let scrape = Scrape {
            faults: Vec::new(),
            queues: self.keys.iter().map(gauges).collect(),
            budgets: vec![("main".into(), usage)],
            ..Scrape::default()
        };
        self.metrics.render(scrape, Format::Text)
    }
}

#[tokio::test(start_paused = true)]
async fn a_month_does_not_grow_memory_and_no_hour_has_too_many_requests() {
    let wanted = std::env::var("OPENSEAT_SOAK_REQUESTS").ok();
    let limit = wanted.map_or(REQUESTS_PER_HOUR, |text| text.parse().expect("a number"));
    let begun = SystemClock::new().now();
    let mut account = SimulatedAccount::open(limit);
    let mut chance = fastrand::Rng::with_seed(1);
    account.start();
    let mut settled = (0, 0);
    for quarter in 0..MONTH_HOURS / 6 {
        let (fault, minutes) = (fault(&mut chance), chance.u64(1..40));
        account.quarter_of_a_day(fault, minutes).await;
        if quarter % 12 == 11 {
            account.start();
        }
        let scrape = account.scrape().await;
        if quarter == SETTLED_HOURS / 6 {
            settled = (resident_kb("self"), scrape.lines().count());
        }
        if quarter > SETTLED_HOURS / 6 {
            // One series for each outcome that had not occurred before, and no more.
            assert!(scrape.lines().count() < settled.1 + 60, "{scrape}");
        }
    }
    let after = resident_kb("self");
    let worst = account.simulator.worst_sliding_hour();
    let now = account.clock.now();
    let mut made_in_all = 0;
    for key in &account.keys {
        let holds = account.reservations.queue(key);
        let held = u64::from(holds.held(now).all);
        let (made, ended) = holds.counts();
        assert_eq!(made, ended.iter().sum::<u64>() + held, "a seat was lost");
        made_in_all += made;
    }
    println!(
        "{MONTH_HOURS} h: {} requests, {worst} of {} in the worst hour; {} calls, {} of them accepted by soon, {made_in_all} seats held; \
         {} kB after {SETTLED_HOURS} h, {after} kB at the end; elapsed {:?}",
        account.simulator.requests(),
        limit - account.reserve(),
        account.calls,
        account.by_soon,
        settled.0,
        SystemClock::new().now().boot - begun.boot,
    );
    assert!(worst as u32 <= limit - account.reserve());
    assert_eq!(account.simulator.throttled(), 0);
    assert!(made_in_all > 1_000, "{made_in_all} seats held");
    assert!(
        after < settled.0 + MAX_GROWTH_KB,
        "{} kB, then {after} kB",
        settled.0
    );
}
