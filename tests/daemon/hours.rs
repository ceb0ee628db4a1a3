//! Hours of polling, in virtual time and without a network: how much is spent, how evenly, and how old answers become.

use std::{num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use openseat::{
    account::{self, Account, QueueSettings, plan::plan},
    budget::{Budget, BudgetOwner, Ledger},
    calltools::Client,
    clock::{Clock, VirtualClock},
    config::{Config, QueueRef, Rule, ScheduleOptions},
    decision::board::{Board, QueueKey},
    metrics::Metrics,
    model::names::Names,
    simulator::{InjectedFault, Received, Settings, Simulator, TOKEN, Window, WorldSettings},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// No router asks in these tests, so the idle pace is turned off.
const BUSY: ScheduleOptions = ScheduleOptions {
    sweep: true,
    idle_pace: 1.0,
};

const HOUR: Duration = Duration::from_secs(3_600);

/// An account's task, in the same process as its CallTools.
struct SimulatedAccount {
    clock: Arc<dyn Clock>,
    simulator: Simulator,
    board: Arc<Board>,
    budget: Arc<Budget>,
    keys: Vec<QueueKey>,
    task: JoinHandle<anyhow::Result<()>>,
    _asks: mpsc::Sender<openseat::account::Ask>,
}

impl Drop for SimulatedAccount {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SimulatedAccount {
    /// Polls all queues of a simulated account, by name.
    fn open(simulator: Simulator, clock: Arc<dyn Clock>, limit: u32, reserve: u32) -> Self {
        let ledger = Arc::new(Ledger::in_memory(clock.as_ref()));
        Self::with_ledger(simulator, clock, ledger, limit, reserve)
    }

    fn with_ledger(
        simulator: Simulator,
        clock: Arc<dyn Clock>,
        ledger: Arc<Ledger>,
        limit: u32,
        reserve: u32,
    ) -> Self {
        let names = simulator.world(|world| {
            let names = world.queues().iter().map(|queue| queue.name.clone());
            names.collect::<Vec<_>>()
        });
        let key = |name: &String| QueueKey::new("main", name.as_str());
        let keys: Vec<_> = names.iter().map(key).collect();
        let polled = |name: &String| QueueSettings {
            key: key(name),
            reference: QueueRef::Name(name.clone()),
            rule: Rule::Seats(openseat::decision::criteria::SeatRule::default()),
            threshold: Some(openseat::model::quantity::Quantity::ZERO),
            max_age: None,
            hours: None,
            soon: openseat::config::Soon::default(),
        };
        let owner = BudgetOwner {
            account: "main".to_owned(),
            identity: "main".to_owned(),
        };
        let limit = NonZeroU32::new(limit).expect("more than nothing");
        let budget = Budget::new(ledger, owner.clone(), limit, reserve, Arc::clone(&clock));
        let budget = Arc::new(budget);
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
        let client = Client::new(
            simulator.transport(TOKEN),
            Arc::clone(&budget),
            Arc::clone(&clock),
            Arc::new(()),
        );
        let (asks, asked) = mpsc::channel(1);
        let account = Account::new(account::Deps {
            owner,
            queues: names.iter().map(polled).collect(),
            client,
            budget: Arc::clone(&budget),
            board: Arc::clone(&board),
            metrics,
            reservations: Arc::default(),
            store: None,
            cluster: None,
            known: Default::default(),
            clock: Arc::clone(&clock),
            names: watch::channel(Arc::new(Names::default())).0,
            health: watch::channel(Default::default()).0,
            asks: asked,
            options: BUSY,
            token: None,
            heartbeat: openseat::process::heartbeat::Heartbeats::default().begin("main"),
        });
        let task = tokio::spawn(account.run(CancellationToken::new()));
        Self {
            clock,
            simulator,
            board,
            budget,
            keys,
            task,
            _asks: asks,
        }
    }

    /// The greatest age on the board; `None` if a queue has no snapshot.
    fn oldest(&self) -> Option<Duration> {
        let now = self.clock.now();
        let age = |key| {
            let snapshot = self.board.get(key)?.snapshot.clone()?;
            Some(now.longest_since(snapshot.as_of))
        };
        self.keys
            .iter()
            .map(age)
            .try_fold(Duration::ZERO, |oldest, age| Some(oldest.max(age?)))
    }

    /// Runs for this long, and returns the greatest age seen in that time.
    async fn live(&self, time: Duration) -> Duration {
        let end = self.clock.now().boot + time;
        let mut oldest = Duration::ZERO;
        while self.clock.now().boot < end {
            sleep(Duration::from_millis(700)).await;
            oldest = oldest.max(self.oldest().unwrap_or_default());
        }
        oldest
    }
}

/// Few agents, because these tests do not look at them and reading their rows takes real time.
fn lively(queues: usize, clock: &Arc<dyn Clock>) -> Simulator {
    let settings = Settings {
        world: WorldSettings {
            queues,
            agents: 6,
            ..WorldSettings::study()
        },
        ..Settings::lively()
    };
    Simulator::new(settings, Arc::clone(clock))
}

fn gaps(received: &[Received]) -> Vec<Duration> {
    received
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn three_hours_of_polling_stay_within_the_budget_and_evenly_spread() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let account = SimulatedAccount::open(lively(30, &clock), Arc::clone(&clock), 400, 20);

    sleep(Duration::from_secs(5)).await;
    // The names, the statuses and half of the queues, and the first request at the even pace.
    let cold = account.simulator.requests();
    assert!((17..=18).contains(&cold), "{cold} requests at the start");
    // The other queues follow in every second slot.
    sleep(Duration::from_secs(16 * 2 * 10)).await;
    assert!(account.oldest().is_some(), "every queue has a snapshot");

    let oldest = account.live(3 * HOUR).await;
    // The plan does not include what the cold start has spent. At the end of the first hour, that delays one request once.
    let planned = worst_planned_age(30, 400, 20);
    let period = HOUR / 380;
    assert!(oldest < planned + period, "{oldest:?}, {planned:?} planned");
    let worst = account.simulator.worst_sliding_hour();
    assert!(worst <= 380, "{worst} in an hour");
    assert!(worst > 350, "only {worst} of 380 were used");
    assert_eq!(account.simulator.throttled(), 0);

    let received = account.simulator.received();
    let even = gaps(&received[cold as usize..]);
    let longest = even.iter().max().expect("there are many gaps");
    // 9.5 s apart, somewhat more while the cold start is in the window; latency moves each by a second or two.
    assert!(*longest < Duration::from_secs(15), "{longest:?}");
    let crowded = even.iter().filter(|gap| **gap < Duration::from_secs(3));
    let crowded = crowded.count();
    assert!(
        crowded < even.len() / 20,
        "{crowded} of {} arrive at once",
        even.len()
    );
}

/// The greatest age that `openseat plan` predicts for an account with this many queues.
fn worst_planned_age(queues: usize, requests_per_hour: u32, reserve: u32) -> Duration {
    let queues: String = (1..=queues)
        .map(|id| format!("[[account.queue]]\nqueue = {id}\n"))
        .collect();
    let text = format!(
        "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"T\"\n\
         requests_per_hour = {requests_per_hour}\nreserve = {reserve}\n{queues}"
    );
    let config = Config::parse(&text, Path::new("openseat.toml"), &|_| None);
    let config = config.expect("the config is valid");
    let plan = plan(&config.accounts[0], |_| 1);
    let ages = plan.queues.iter().map(|queue| queue.expected.worst_age);
    ages.max().expect("there are queues")
}

#[tokio::test(start_paused = true)]
async fn restarts_in_a_row_do_not_spend_more_than_the_hour_has() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let (simulator, ledger) = (
        lively(10, &clock),
        Arc::new(Ledger::in_memory(clock.as_ref())),
    );
    for _ in 0..60 {
        // A crash every two minutes, each followed by a cold start of twelve requests.
        let account = SimulatedAccount::with_ledger(
            simulator.clone(),
            Arc::clone(&clock),
            Arc::clone(&ledger),
            200,
            20,
        );
        sleep(Duration::from_secs(120)).await;
        drop(account);
    }
    let worst = simulator.worst_sliding_hour();
    assert!(worst <= 180, "{worst} in an hour");
    assert!(worst > 150, "only {worst} of 180 were used");
    assert_eq!(simulator.throttled(), 0);
}

#[tokio::test(start_paused = true)]
async fn next_to_greedy_software_the_share_falls_and_recovers() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let simulator = lively(10, &clock);
    let account = SimulatedAccount::open(simulator.clone(), Arc::clone(&clock), 200, 20);
    simulator.set_limit(200);
    simulator.set_foreign(120);
    account.live(3 * HOUR).await;
    let usage = account.budget.usage();
    assert!(usage.share < 1.0, "{usage:?}");
    // Each 429 is followed by a pause, so hours have a few of them, not one for each request.
    let refused = simulator.throttled();
    assert!((1..60).contains(&refused), "{refused} refusals");

    simulator.set_foreign(0);
    account.live(2 * HOUR).await;
    let usage = account.budget.usage();
    assert_eq!(usage.share, 1.0, "{usage:?}");
    assert!(account.oldest().expect("all were polled") < Duration::from_secs(240));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_resets_at_each_full_hour_is_kept_too() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let simulator = lively(10, &clock);
    simulator.set_window(Window::FullHour);
    simulator.set_limit(200);
    let account = SimulatedAccount::open(simulator.clone(), Arc::clone(&clock), 200, 20);
    account.live(2 * HOUR).await;
    assert_eq!(simulator.throttled(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_costs_little_and_ends_by_itself() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let simulator = lively(10, &clock);
    let account = SimulatedAccount::open(simulator.clone(), Arc::clone(&clock), 1_000, 50);
    account.live(HOUR / 6).await;
    let before = simulator.requests();
    simulator.inject(usize::MAX, None, InjectedFault::WebPage(503));
    account.live(HOUR).await;
    // Ten queues, each retried every 30 to 60 s at most: no more than the pace of a good day.
    let tries = simulator.requests() - before;
    assert!((100..=950).contains(&tries), "{tries} tries");
    simulator.clear_faults();
    // The longest back-off, and one round at the pace.
    account.live(Duration::from_secs(120)).await;
    assert!(account.oldest().expect("all were polled") < Duration::from_secs(90));
    assert!(simulator.worst_sliding_hour() <= 950);
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_retried_after_five_seconds_then_later_up_to_five_minutes() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
    let simulator = lively(10, &clock);
    simulator.set_latency(Duration::ZERO);
    let account = SimulatedAccount::open(simulator.clone(), Arc::clone(&clock), 1_000, 50);
    account.live(Duration::from_secs(10)).await;
    let before = simulator.requests() as usize;
    simulator.inject(usize::MAX, None, InjectedFault::InvalidToken);
    account.live(HOUR).await;
    let gaps = gaps(&simulator.received()[before..]);
    for (n, gap) in gaps.iter().enumerate() {
        let longest = Duration::from_secs(5 << n.min(6)).min(Duration::from_secs(300));
        // Jitter takes up to half of it; the pace of polling may add a step.
        assert!(*gap >= longest / 2, "{n}: {gaps:?}");
        assert!(*gap <= longest + Duration::from_secs(5), "{n}: {gaps:?}");
    }
    assert!(gaps.len() >= 12, "{gaps:?}");

    simulator.clear_faults();
    account.live(Duration::from_secs(360)).await;
    assert!(account.oldest().expect("all were polled") < Duration::from_secs(60));
}
