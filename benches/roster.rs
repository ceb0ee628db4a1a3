//! What one answer with statuses costs in an account of 10,000 agents and 300 queues: reading it, and applying it to the roster, the queues and
//! the board.
//!
//! The account's real task runs with the simulator in virtual time. The measured time is from CallTools' answer until the account waits for
//! the next one. The account's work of each second is not included. `list of changes` is a page of 250 rows, some of which have changed since the
//! page before; `sweep page` is one of the 40 pages of the full list; `queue` is the poll of one queue. The bound for the first two is 2 ms on
//! one core.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::BoxFuture;
use openseat::{
    account::{Account, Deps, QueueSettings},
    budget::{Budget, BudgetOwner},
    calltools::{Client, Reply, Transport},
    clock::{Clock, VirtualClock},
    config::{QueueRef, Rule, ScheduleOptions},
    decision::{
        board::{Board, QueueKey},
        criteria::SeatRule,
    },
    metrics::Metrics,
    model::{fault::Fault, names::Names, quantity::Quantity},
    process::heartbeat::Heartbeats,
    simulator::{Ordering, Quirks, Settings, Simulator, TOKEN, WorldSettings},
};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

/// A request, by what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Changes,
    SweepPage,
    Queue,
    Other,
}

impl Kind {
    fn of(path: &str) -> Self {
        let is = |word: &str| path.contains(word);
        match path.starts_with("agentstatuses/") {
            true if is("queue=") => Self::Queue,
            true if is("ordering=") => Self::Changes,
            true if !is("agent_status=") => Self::SweepPage,
            _ => Self::Other,
        }
    }
}

/// How long the answers to requests of one kind took.
#[derive(Debug, Default)]
struct Watch {
    answers: u64,
    /// The number, kind and time of the answer that the account is processing.
    answered: Option<(u64, Kind, Instant)>,
    spent: Vec<(Kind, Duration)>,
}

impl Watch {
    fn answer(&mut self, kind: Kind) -> u64 {
        #[allow(clippy::disallowed_methods)] // The benchmark measures real time.
        let now = Instant::now();
        self.answers += 1;
        self.answered = Some((self.answers, kind, now));
        self.answers
    }

    /// Notes that the account is done with this answer.
    fn done(&mut self, answer: u64) {
        let is_this = |(number, _, _): &mut (u64, Kind, Instant)| *number == answer;
        if let Some((_, kind, at)) = self.answered.take_if(is_this) {
            self.spent.push((kind, at.elapsed()));
        }
    }
}

/// The connection to the simulator. It notes when an answer arrives, and when the account is done with it.
#[derive(Debug)]
struct Wire {
    inner: Arc<dyn Transport>,
    watch: Arc<Mutex<Watch>>,
}

impl Transport for Wire {
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        let kind = Kind::of(path_and_query);
        Box::pin(async move {
            let watch = Arc::clone(&self.watch);
            let lock = || self.watch.lock().expect("no holder panics");
            let last = lock().answers;
            lock().done(last);
            let reply = self.inner.get(path_and_query).await;
            let answer = lock().answer(kind);
            tokio::spawn(async move {
                // The paused clock advances when all tasks are idle.
                tokio::time::sleep(Duration::from_millis(1)).await;
                watch.lock().expect("no holder panics").done(answer);
            });
            reply
        })
    }
}

/// An account and its task.
struct LargeAccount {
    runtime: Runtime,
    watch: Arc<Mutex<Watch>>,
}

impl LargeAccount {
    fn open(queues: usize, agents: usize, quirk: impl FnOnce(&mut Quirks)) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without sockets");
        let watch = Arc::new(Mutex::new(Watch::default()));
        let account = runtime.block_on(async { account(queues, agents, quirk, &watch) });
        runtime.spawn(account.run(CancellationToken::new()));
        Self { runtime, watch }
    }

    /// Runs for this long, and drops the times measured so far.
    fn live(&self, time: Duration) {
        self.pass(time);
        self.take(Kind::Other);
    }

    fn pass(&self, time: Duration) {
        // A timer must be created inside the runtime.
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }

    /// The times of answers of this kind since the last call.
    fn take(&self, kind: Kind) -> Vec<Duration> {
        let mut watch = self.watch.lock().expect("no holder panics");
        let spent = std::mem::take(&mut watch.spent).into_iter();
        let spent = spent.filter(|(of, _)| *of == kind);
        spent.map(|(_, spent)| spent).collect()
    }

    /// The time that this many answers of this kind take.
    fn spend(&self, kind: Kind, answers: u64) -> Duration {
        let (mut seen, mut spent) = (0, Duration::ZERO);
        while seen < answers {
            self.pass(Duration::from_secs(5));
            for answer in self.take(kind) {
                if seen < answers {
                    (seen, spent) = (seen + 1, spent + answer);
                }
            }
        }
        spent
    }
}

fn account(
    queues: usize,
    agents: usize,
    quirk: impl FnOnce(&mut Quirks),
    watch: &Arc<Mutex<Watch>>,
) -> Account {
    let clock = Arc::new(VirtualClock::default());
    let world = WorldSettings {
        queues,
        agents,
        ..WorldSettings::study()
    };
    let simulator = Simulator::new(Settings::new(world), clock.clone());
    simulator.quirks(quirk);
    let ids: Vec<u64> =
        simulator.world(|world| world.queues().iter().map(|queue| queue.id).collect());
    let keys: Vec<_> = ids
        .iter()
        .map(|id| QueueKey::new("main", id.to_string()))
        .collect();
    let settings = ids.iter().zip(&keys).map(|(id, key)| QueueSettings {
        key: key.clone(),
        reference: QueueRef::Id(*id),
        rule: Rule::Seats(SeatRule::default()),
        threshold: Some(Quantity::ZERO),
        max_age: None,
        hours: None,
        soon: openseat::config::Soon::default(),
    });
    let limit = NonZeroU32::new(1000).expect("the limit is not 0");
    let budget = Arc::new(Budget::in_memory(limit, 50, clock.clone()));
    let wire = Arc::new(Wire {
        inner: simulator.transport(TOKEN),
        watch: Arc::clone(watch),
    });
    Account::new(Deps {
        owner: BudgetOwner {
            account: "main".to_owned(),
            identity: String::new(),
        },
        queues: settings.collect(),
        options: ScheduleOptions {
            idle_pace: 1.0,
            ..ScheduleOptions::default()
        },
        client: Client::new(wire, Arc::clone(&budget), clock.clone(), Arc::new(())),
        budget,
        board: Arc::new(Board::new(keys.clone())),
        metrics: Arc::new(Metrics::new(keys, clock.now())),
        reservations: Arc::default(),
        store: None,
        cluster: None,
        known: Default::default(),
        clock,
        names: watch::Sender::new(Arc::new(Names::default())),
        health: watch::Sender::default(),
        // No router asks.
        asks: mpsc::channel(1).1,
        token: None,
        heartbeat: Heartbeats::default().begin("main"),
    })
}

/// By then every queue has been polled, one in every two slots, and the feeds have been tried.
const START: Duration = Duration::from_secs(50 * 60);

fn answers(criterion: &mut Criterion) {
    // As a test it only has to work.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (queues, agents, start) = match is_measured {
        true => (300, 10_000, START),
        false => (10, 600, START / 5),
    };
    let mut group = criterion.benchmark_group(format!("{queues} queues and {agents} agents"));
    group.sample_size(10);
    let fed = LargeAccount::open(queues, agents, |_| {});
    fed.live(start);
    group.bench_function("list of changes", |bencher| {
        bencher.iter_custom(|answers| fed.spend(Kind::Changes, answers));
    });
    group.bench_function("queue", |bencher| {
        bencher.iter_custom(|answers| fed.spend(Kind::Queue, answers));
    });
    drop(fed);
    let swept = LargeAccount::open(queues, agents, |quirks| {
        quirks.ordering = Ordering::Off;
        quirks.status_filter_ignored = true;
    });
    swept.live(start);
    group.bench_function("sweep page", |bencher| {
        bencher.iter_custom(|answers| swept.spend(Kind::SweepPage, answers));
    });
    group.finish();
}

criterion_group!(benches, answers);
criterion_main!(benches);
