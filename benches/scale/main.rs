//! How much memory and processor time openseat needs. The program runs in a process of its own; the simulated accounts run in this one.
//!
//! `cargo bench --bench scale` prints a table; `-- --check` fails if a bound is missed. `-- memory` measures only the rows about memory; the other
//! names are `idle`, `roster`, `start`, `growth`, `accounts`, `viewers` and `scrapes`. `-- accounts --seconds=600` counts the accounts' requests for ten
//! minutes; `-- accounts --accounts=200` starts 200 accounts instead of 1,000; `-- accounts --shared` makes each agent work for three queues. As a test
//! (`cargo test --bench scale`) everything is small and short: it shows that the benchmark works, and checks no figure.

#![allow(clippy::print_stdout)] // A benchmark prints its results.

mod account;
mod crowd;
mod process;
mod scrapes;
mod setting;
mod start;
mod thousand;
mod upstream;
mod viewers;

use std::time::Duration;

use account::Account;
use process::Daemon;
use scrapes::Scraper;
use setting::Setting;
use tokio::time::sleep;
use viewers::Viewers;

/// One row of the table: a scenario, and one result.
struct Row {
    what: &'static str,
    measured: &'static str,
    value: f64,
    /// The highest value that passes.
    bound: f64,
    unit: &'static str,
}

impl Row {
    fn holds(&self) -> bool {
        self.value <= self.bound
    }
}

/// How long and how large a run is: full size, or a short trial.
#[derive(Clone, Copy)]
struct Scale {
    trial: bool,
}

impl Scale {
    fn time(self, seconds: u64) -> Duration {
        if self.trial {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(seconds)
        }
    }

    fn number(self, number: usize) -> usize {
        if self.trial {
            number.div_ceil(50)
        } else {
            number
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let given = |word: &str| arguments.iter().any(|argument| argument == word);
    // Distinguishes `cargo bench` from `cargo test --benches`, as criterion does.
    let scale = Scale {
        trial: given("--test") || !given("--bench"),
    };
    let chosen = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = |word: &str| chosen.is_none_or(|chosen| chosen == word);

    let mut rows = Vec::new();
    if wanted("memory") || wanted("idle") {
        rows.extend(small(scale).await);
    }
    if wanted("memory") {
        rows.push(large(scale).await);
    }
    if wanted("roster") {
        rows.extend(roster(scale).await);
    }
    if wanted("start") {
        rows.extend(start::start(scale).await);
    }
    if wanted("growth") {
        rows.push(growth(scale).await);
    }
    if wanted("accounts") {
        let number = |name: &str| {
            let mut texts = arguments.iter().filter_map(|text| text.strip_prefix(name));
            texts.next().map(|text| text.parse().expect("a number"))
        };
        let size = thousand::Size {
            accounts: number("--accounts=").map_or(thousand::ACCOUNTS, |number| number as usize),
            seconds: number("--seconds=").unwrap_or(thousand::SECONDS),
            shared: given("--shared"),
        };
        rows.extend(thousand::accounts(scale, size).await);
    }
    if wanted("viewers") {
        rows.extend(viewers(scale).await);
    }
    if wanted("scrapes") {
        rows.extend(scrapes(scale).await);
    }
    print(&rows);
    let missed = rows.iter().any(|row| !row.holds());
    if missed && given("--check") {
        std::process::exit(1);
    }
}

/// 20 queues, polled with 1000 requests an hour. No router asks.
async fn small(scale: Scale) -> [Row; 2] {
    const WHAT: &str = "20 queues, 100 agents";
    let setting = Setting::begin(vec![Account::lively(0, 20, 100)]).await;
    let daemon = Daemon::start(&setting).await;
    sleep(scale.time(20)).await;
    let cpu = daemon.cpu_during(scale.time(60)).await;
    [
        Row {
            what: WHAT,
            measured: "resident",
            value: daemon.resident() as f64 / MIB,
            bound: 24.0,
            unit: "MiB",
        },
        Row {
            what: WHAT,
            measured: "of a core, idle",
            value: cpu * 100.0,
            bound: 1.0,
            unit: "%",
        },
    ]
}

/// 1,000 queues with 25 agents each. No agent is in two queues, and every agent has changed status since the queue was first polled.
async fn large(scale: Scale) -> Row {
    let account = Account::crowded(scale.number(1_000), 25);
    let setting = Setting::begin(vec![account]).await;
    let daemon = Daemon::start(&setting).await;
    let account = &setting.accounts[0];
    for (status, seats) in [("On a Call", 0), ("Available", 25)] {
        account.set_everyone(status);
        daemon.wait_for_count(seats).await;
    }
    Row {
        what: "1,000 queues, 25 agents each",
        measured: "resident",
        value: daemon.resident() as f64 / MIB,
        bound: 96.0,
        unit: "MiB",
    }
}

/// The largest account that CallTools' limit allows to follow. Every queue has been polled, and most agents have changed status since.
async fn roster(scale: Scale) -> Vec<Row> {
    let account = Account::hasty(0, scale.number(300), scale.number(10_000));
    let (setting, upstream) = Setting::with_upstream(vec![account]).await;
    let daemon = Daemon::start(&setting).await;
    // 5.5 requests a second: the queues take a minute or two, and so do the 40 pages of the full list.
    sleep(scale.time(300)).await;
    let mut rows = vec![Row {
        what: "300 queues, 10,000 agents in one to four of them",
        measured: "resident",
        value: daemon.resident() as f64 / MIB,
        bound: 192.0,
        unit: "MiB",
    }];
    rows.extend(crowd::crowd(scale, &setting, &upstream, &daemon).await);
    rows
}

/// Two minutes of fast polling, with requests and scrapes throughout. Memory must not grow in the second minute.
async fn growth(scale: Scale) -> Row {
    let setting = Setting::begin(vec![Account::hasty(0, 20, 100)]).await;
    let daemon = Daemon::start(&setting).await;
    daemon.ask_for(&setting, scale.time(60)).await;
    let before = daemon.resident() as f64;
    daemon.ask_for(&setting, scale.time(60)).await;
    Row {
        what: "20 queues, 5 polls a second, under constant requests",
        measured: "growth in the second of two minutes",
        value: (daemon.resident() as f64 / before - 1.0) * 100.0,
        // openseat remembers an hour of requests, and the hour is not full yet.
        bound: 5.0,
        unit: "%",
    }
}

/// 120 queues with 5 polls a second, so that the dashboard changes all the time. Eight viewers watch it, or none.
async fn viewers(scale: Scale) -> [Row; 3] {
    const WHAT: &str = "120 queues, 5 polls a second";
    /// Rounds with and without viewers, in turn: other load on the machine affects both equally.
    const TURNS: usize = 4;
    let setting = Setting::begin(vec![Account::hasty(0, scale.number(120), 600)]).await;
    let daemon = Daemon::start(&setting).await;
    let queues = setting.accounts[0].queues();
    let (mut alone, mut watched, mut seen) = (Vec::new(), Vec::new(), 0);
    for _ in 0..if scale.trial { 1 } else { TURNS } {
        alone.extend(viewers::decisions(&daemon, &queues, scale.time(5)).await);
        let mut viewers = Viewers::open(&daemon, 8).await;
        watched.extend(viewers::decisions(&daemon, &queues, scale.time(5)).await);
        seen += viewers.seen();
    }
    let [plain, packed] = viewers::sizes(&daemon).await;
    println!(
        "{} decisions without viewers, {} with 8, who read {seen} pages of {plain} bytes, sent as {packed} bytes",
        alone.len(),
        watched.len()
    );
    [
        Row {
            what: WHAT,
            measured: "99th percentile of a decision, no viewers",
            value: viewers::slowest(alone),
            bound: 10.0,
            unit: "ms",
        },
        Row {
            what: WHAT,
            measured: "99th percentile of a decision, eight viewers",
            value: viewers::slowest(watched),
            bound: 10.0,
            unit: "ms",
        },
        Row {
            what: WHAT,
            measured: "the dashboard's page, compressed",
            value: packed as f64 / 1024.0,
            // Even one load a second per viewer takes a small part of a slow line.
            bound: 64.0,
            unit: "KiB",
        },
    ]
}

/// 1,000 queues, scraped without a pause or not at all.
async fn scrapes(scale: Scale) -> [Row; 3] {
    const WHAT: &str = "1,000 queues, 5,000 agents";
    /// Rounds with and without scrapes, as for viewers.
    const TURNS: usize = 4;
    let account = Account::hasty(0, scale.number(1_000), scale.number(5_000));
    let setting = Setting::begin(vec![account]).await;
    let daemon = Daemon::start(&setting).await;
    let queues = setting.accounts[0].queues();
    let (mut alone, mut scraped, mut scrapes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..if scale.trial { 1 } else { TURNS } {
        alone.extend(viewers::decisions(&daemon, &queues, scale.time(5)).await);
        let scraper = Scraper::start(&daemon, scale.time(5));
        scraped.extend(viewers::decisions(&daemon, &queues, scale.time(5)).await);
        scrapes.extend(scraper.durations().await);
    }
    println!(
        "{} scrapes during {} decisions",
        scrapes.len(),
        scraped.len()
    );
    [
        Row {
            what: WHAT,
            measured: "a scrape of /metrics, median",
            value: scrapes::median(scrapes),
            bound: 20.0,
            unit: "ms",
        },
        Row {
            what: WHAT,
            measured: "99th percentile of a decision, no scrapes",
            value: viewers::slowest(alone),
            bound: 10.0,
            unit: "ms",
        },
        Row {
            what: WHAT,
            measured: "99th percentile of a decision, scrapes without a pause",
            value: viewers::slowest(scraped),
            bound: 10.0,
            unit: "ms",
        },
    ]
}

fn print(rows: &[Row]) {
    println!("\n| | measured | value | at most | |\n|---|---|---:|---:|---|");
    for row in rows {
        let Row {
            what,
            measured,
            value,
            bound,
            unit,
        } = row;
        let verdict = if row.holds() { "holds" } else { "**missed**" };
        println!("| {what} | {measured} | {value:.1} {unit} | {bound} {unit} | {verdict} |");
    }
}
