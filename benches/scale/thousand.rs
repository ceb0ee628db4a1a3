//! 1,000 accounts in one process, each using its full budget: what they cost, whether all get their requests, and how a faulty one affects the others.

use tokio::time::{Instant, sleep};

use crate::{
    MIB, Row, Scale,
    account::Account,
    process::{Daemon, own_cpu},
    setting::Setting,
    upstream::{Trouble, Upstream},
    viewers,
};

/// How long requests are counted, by default. Each account sends 16 in this time.
pub const SECONDS: u64 = 60;

/// The default number of accounts.
pub const ACCOUNTS: usize = 1_000;
const QUEUES: usize = 5;
const AGENTS: usize = 100;

/// An account sends a request every 3.8 s, so each sends four in this time.
const LOOK_SECONDS: u64 = 16;

const WHAT: &str = "1,000 accounts, 5 queues and 100 agents each";

/// How large a run is, how long it is, and what the accounts are like.
pub struct Size {
    pub accounts: usize,
    /// How long requests are counted.
    pub seconds: u64,
    /// Whether an agent belongs to three of the queues on average, so that a queue has 60. Otherwise a queue has 20 of its own.
    pub shared: bool,
}

pub async fn accounts(scale: Scale, size: Size) -> Vec<Row> {
    // At the start, each account may have several connections.
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);

    let number = scale.number(size.accounts);
    println!("{number} accounts");
    let accounts = (0..number).map(|number| {
        let account = Account::lively(number, QUEUES, AGENTS);
        match size.shared {
            true => account,
            false => account.with_one_queue_each(),
        }
    });
    let (setting, upstream) = Setting::with_upstream(accounts.collect()).await;
    let daemon = Daemon::start(&setting).await;
    let mut rows = vec![
        row(
            "from the start to all ready, with no stored state",
            daemon.start.as_secs_f64(),
            60.0,
            "s",
        ),
        row(
            "processor time of this start",
            daemon.cpu().as_secs_f64(),
            60.0,
            "s",
        ),
    ];
    // By then the start's burst is over, and the account knows which feeds it can trust.
    sleep(scale.time(60)).await;
    rows.extend(steady(scale, size.seconds, &setting, &daemon).await);
    rows.extend(reload(scale, &setting, &upstream, &daemon).await);
    rows.extend(troubles(scale, &setting, &upstream, &daemon).await);
    rows.push(row(
        "resident at the end",
        daemon.resident() as f64 / MIB,
        600.0,
        "MiB",
    ));
    rows.push(row("a stop", daemon.stop().as_secs_f64(), 2.8, "s"));
    let daemon = Daemon::start(&setting).await;
    rows.push(row(
        "from the start to all ready, with stored state",
        daemon.start.as_secs_f64(),
        60.0,
        "s",
    ));
    rows.push(row(
        "processor time of that start",
        daemon.cpu().as_secs_f64(),
        60.0,
        "s",
    ));
    rows
}

fn row(measured: &'static str, value: f64, bound: f64, unit: &'static str) -> Row {
    Row {
        what: WHAT,
        measured,
        value,
        bound,
        unit,
    }
}

/// The cost in steady state.
async fn steady(scale: Scale, seconds: u64, setting: &Setting, daemon: &Daemon) -> Vec<Row> {
    let time = scale.time(seconds);
    let (before, begun, own) = (setting.received(), Instant::now(), own_cpu());
    let cpu_before = daemon.cpu();
    let syncs = daemon.syncs_during(time).await;
    sleep(time.saturating_sub(begun.elapsed())).await;
    let elapsed = begun.elapsed().as_secs_f64();
    let cpu = (daemon.cpu() - cpu_before).as_secs_f64() / elapsed;
    let upstream = (own_cpu() - own).as_secs_f64() / elapsed;
    let sent = since(setting, &before);
    let sum: u64 = sent.iter().sum();
    let mean = sum as f64 / sent.len() as f64;
    let farthest = sent.iter().map(|sent| (*sent as f64 - mean).abs());
    let farthest = farthest.max_by(f64::total_cmp).unwrap_or_default();
    println!(
        "{sum} requests in {elapsed:.1} s, {mean:.1} from each account; the upstream used {:.0} % of a core",
        upstream * 100.0
    );
    let mut rows = vec![
        row("of a core", cpu * 100.0, 50.0, "%"),
        row("resident", daemon.resident() as f64 / MIB, 600.0, "MiB"),
        // One request more or less depends on when the count begins and ends.
        row(
            "the account farthest from the mean, beyond one request",
            (farthest - 1.0).max(0.0) / mean.max(1.0) * 100.0,
            2.0,
            "%",
        ),
    ];
    match syncs {
        Some(syncs) => rows.push(row("disk syncs", syncs, 100.0, "a second")),
        None => println!("disk syncs were not counted: this needs perf and permission to trace"),
    }
    rows
}

/// Reloads a config in which one account has changed. The others must keep their connections and send no extra requests.
async fn reload(scale: Scale, setting: &Setting, upstream: &Upstream, daemon: &Daemon) -> Vec<Row> {
    let line = "ca_file = \"./upstream.pem\"\n";
    let opened = upstream.connections();
    let quiet = Look::at(scale, setting, daemon).await;
    let usual = upstream.connections() - opened;
    let (opened, cpu) = (upstream.connections(), daemon.cpu());
    setting.configure(line, "timeout = \"9s\"\n");
    let elapsed = daemon.reload().await;
    let cpu = daemon.cpu() - cpu;
    let after = Look::at(scale, setting, daemon).await;
    let opened = upstream.connections() - opened;
    println!("{opened} new connections after the reload, {usual} in as much time before it");
    vec![
        row(
            "a reload that changes one of them",
            elapsed.as_secs_f64() * 1e3,
            1_000.0,
            "ms",
        ),
        row(
            "processor time of this reload",
            cpu.as_secs_f64() * 1e3,
            1_000.0,
            "ms",
        ),
        row(
            "new connections after it, beyond those in as much time before",
            opened.saturating_sub(usual) as f64,
            // All accounts together use about a hundred. How many requests are on their way at once changes from second to second.
            20.0,
            "",
        ),
        row(
            "requests of the others after it, relative to before",
            after.requests_relative_to(&quiet),
            1.02,
            "times",
        ),
    ]
}

/// What a faulty account costs the others. Each kind of fault is measured between two quiet periods.
async fn troubles(
    scale: Scale,
    setting: &Setting,
    upstream: &Upstream,
    daemon: &Daemon,
) -> Vec<Row> {
    let first = &setting.accounts[0];
    let mut rows = Vec::new();
    for (trouble, names) in [
        (
            Trouble::Hang,
            [
                "one account hangs: requests that the others miss",
                "one account hangs: age of the others' snapshots, relative to a run without it",
                "one account hangs: 99th percentile of a decision",
                "one account hangs: more of a core",
            ],
        ),
        (
            Trouble::Flood,
            [
                "one account's lists never end: requests that the others miss",
                "one account's lists never end: age of the others' snapshots, relative to a run without it",
                "one account's lists never end: 99th percentile of a decision",
                "one account's lists never end: more of a core",
            ],
        ),
        (
            Trouble::Large,
            [
                "one account's answers have 10 MB: requests that the others miss",
                "one account's answers have 10 MB: age of the others' snapshots, relative to a run without it",
                "one account's answers have 10 MB: 99th percentile of a decision",
                "one account's answers have 10 MB: more of a core",
            ],
        ),
    ] {
        let before = Look::at(scale, setting, daemon).await;
        upstream.set_trouble(first, Some(trouble));
        let during = Look::at(scale, setting, daemon).await;
        upstream.set_trouble(first, None);
        let after = Look::at(scale, setting, daemon).await;
        let quiet = before.mean(&after);
        let [missing, age, slowest, cpu] = names;
        println!("{trouble:?}: {during:?}, without {quiet:?}");
        rows.extend([
            row(
                missing,
                (1.0 - during.requests_relative_to(&quiet)).max(0.0) * 100.0,
                2.0,
                "%",
            ),
            row(age, during.age / quiet.age, 1.1, "times"),
            row(slowest, during.slowest, 10.0, "ms"),
            row(cpu, (during.cpu - quiet.cpu) * 100.0, 10.0, "%"),
        ]);
    }
    rows
}

/// The figures of all accounts but the first, measured over a short time.
#[derive(Debug)]
struct Look {
    /// Requests per second.
    requests: f64,
    /// The mean age of snapshots, in seconds.
    age: f64,
    /// The 99th percentile of a decision, in ms.
    slowest: f64,
    /// The share of a core that the process uses, first account included.
    cpu: f64,
}

impl Look {
    async fn at(scale: Scale, setting: &Setting, daemon: &Daemon) -> Self {
        let before = setting.received();
        let (begun, cpu) = (Instant::now(), daemon.cpu());
        let queues = |account: &Account| {
            let name = account.name.clone();
            let queues = account.queues().into_iter();
            queues.map(move |queue| format!("{name}/{queue}"))
        };
        let queues: Vec<_> = setting.accounts[1..].iter().flat_map(queues).collect();
        let decisions = viewers::decisions(daemon, &queues, scale.time(LOOK_SECONDS)).await;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = (daemon.cpu() - cpu).as_secs_f64() / seconds;
        let sent: u64 = since(setting, &before)[1..].iter().sum();
        Self {
            requests: sent as f64 / seconds,
            age: age(daemon, &setting.accounts[0].name).await,
            slowest: viewers::slowest(decisions),
            cpu,
        }
    }

    fn mean(&self, other: &Self) -> Self {
        Self {
            requests: f64::midpoint(self.requests, other.requests),
            age: f64::midpoint(self.age, other.age),
            slowest: f64::midpoint(self.slowest, other.slowest),
            cpu: f64::midpoint(self.cpu, other.cpu),
        }
    }

    fn requests_relative_to(&self, other: &Self) -> f64 {
        self.requests / other.requests.max(f64::MIN_POSITIVE)
    }
}

/// The mean age of all snapshots except those of one account, in seconds.
async fn age(daemon: &Daemon, except: &str) -> f64 {
    let metrics = daemon.text("/metrics").await;
    let except = format!("account=\"{except}\"");
    let ages = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix("openseat_queue_snapshot_age_seconds{")?;
        let (labels, age) = rest.rsplit_once(' ')?;
        (!labels.contains(&except)).then(|| age.parse::<f64>().ok())?
    });
    let (number, sum) = ages.fold((0.0, 0.0), |(number, sum), age| (number + 1.0, sum + age));
    sum / f64::max(number, 1.0)
}

fn since(setting: &Setting, before: &[u64]) -> Vec<u64> {
    let now = setting.received();
    now.iter()
        .zip(before)
        .map(|(now, before)| now - before)
        .collect()
}
