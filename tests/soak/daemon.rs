//! The real program for as long as time allows: a full budget, routers that ask and hold seats, faults, kills, and reloads of good and bad
//! configs. Its memory and its descriptors stay flat, no hour has too many requests, and no answer claims more than the data supports.
//!
//! `scripts/soak.sh 8h` runs it.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use openseat::{
    budget::{BudgetOwner, origin},
    calltools::Token,
    clock::{Clock, SystemClock},
    daemon::STORE_FILE,
    decision::soon::{
        learnt::Learnt,
        stay::{Ended, Passed},
        week::Record,
    },
    simulator::{InjectedFault, Settings, Simulator, TOKEN, WorldSettings},
    state::store::{Note, Store},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    fault, resident_kb,
    support::{CallTools, Program, TestFolder, account, get, post, soon},
};

/// How long it runs in seconds, unless `OPENSEAT_SOAK_SECONDS` says otherwise.
const SECONDS: u64 = 600;

/// The maximum for an account: 5.5 requests a second. Faults that depend on the number of requests show sooner.
const REQUESTS_PER_HOUR: u32 = 20_000;

/// The reserve, which polling does not use: a twentieth, the default.
const RESERVE: u32 = REQUESTS_PER_HOUR / 20;

/// How often the program is started. Each run but the last ends by a kill. The longer they are, the more of a leak shows.
const RUNS: u32 = 6;

/// The terms of queues that accept at zero seats, which is every other queue. They take nearly any agent in wrap-up for likely to come, and calls that
/// hold a seat bring about zero seats all the time.
const SOON: &str = "soon = true\nlead = \"10s\"\npatience = \"20s\"\ncost = 0.5";

/// The program learns for an hour before it accepts at zero seats, so each run begins with what such an hour has taught.
const LEARNT: Duration = Duration::from_secs(2 * 3_600);

/// How long wrap-ups take: they are alike, as `soon` needs them.
const WRAP_UP: Duration = Duration::from_secs(45);

/// `max_age` in milliseconds.
const MAX_AGE_MS: u64 = 20_000;

/// How much memory may grow from the first third of a run to its end: an hour of requests, the last calls of each queue, SQLite's caches. A leak
/// of 100 bytes per decision would reach this in three hours.
const MAX_GROWTH_KB: u64 = 24 * 1_024;

/// Descriptors that come and go: connections of this test, files that are being read.
const SPARE_DESCRIPTORS: usize = 12;

/// A program, its account, and what the test has seen of it.
struct Soak {
    calltools: CallTools,
    home: TestFolder,
    config: PathBuf,
    queues: Vec<String>,
    chance: fastrand::Rng,
    asked: u64,
    unknown: u64,
    held: u64,
    by_soon: u64,
}

impl Soak {
    async fn open() -> Self {
        let world = WorldSettings {
            queues: 10,
            agents: 60,
            mean_wrap_up: WRAP_UP,
            wrap_up_parts: 16,
            ..WorldSettings::lively()
        };
        let settings = Settings {
            world,
            requests_per_hour: REQUESTS_PER_HOUR,
            ..Settings::lively()
        };
        let calltools =
            CallTools::serve(Simulator::new(settings, Arc::new(SystemClock::new()))).await;
        let queues = calltools.simulator.world(|world| {
            let names = world.queues().iter().map(|queue| queue.name.clone());
            names.collect()
        });
        let home = TestFolder::new();
        home.set_token("main", TOKEN);
        let config = home.path().join("openseat.toml");
        Self {
            calltools,
            home,
            config,
            queues,
            chance: fastrand::Rng::with_seed(fastrand::u64(..)),
            asked: 0,
            unknown: 0,
            held: 0,
            by_soon: 0,
        }
    }

    fn configure(&self, threshold: u32) {
        let lines = |(place, name): (usize, &String)| {
            let soon = if place % 2 == 0 { SOON } else { "" };
            format!(
                "queue = \"{name}\"\nmax_age = \"{MAX_AGE_MS}ms\"\nthreshold = {threshold}\n{soon}"
            )
        };
        let lines: Vec<_> = self.queues.iter().enumerate().map(lines).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let more = format!(
            "timeout = \"5s\"\nrequests_per_hour = {REQUESTS_PER_HOUR}\nreserve = {RESERVE}"
        );
        self.home.config(&[account(
            "main",
            &self.calltools.serving.base_url(),
            &more,
            &lines,
        )]);
    }

    /// Starts the program for a moment, so that there is a state folder, and stores there how long wrap-ups take.
    async fn teach(&self) {
        self.configure(0);
        let program = Program::run(&self.home, &self.config);
        program.address().await;
        drop(program);
        let clock = Arc::new(SystemClock::new());
        let now = clock.now();
        let mut learnt = Learnt::new(now.earlier(LEARNT));
        // Around the mean, by a quarter of it.
        for n in 0..200_u32 {
            let length = WRAP_UP.mul_f64(0.75 + f64::from(n % 11) / 20.0);
            learnt.learn(&Passed {
                status: "Post Call".into(),
                time: length,
                ended: Some(Ended {
                    lasted: Some(length),
                    available: true,
                }),
            });
        }
        let stored = json!({
            "learnt": learnt.to_stored(now), "sums": [0.0, 0.0], "record": Record::default(),
        });
        let token = Token::parse(TOKEN).expect("a token");
        let base_url = self
            .calltools
            .serving
            .base_url()
            .parse()
            .expect("an address");
        let owner = BudgetOwner {
            account: "main".to_owned(),
            identity: token.identity(&origin(&base_url)),
        };
        let store = Store::open(&self.home.state().join(STORE_FILE), clock).expect("a thread");
        store.keep(Note::Learnt(owner.clone(), stored.to_string()));
        store.finish(Duration::from_secs(20));
        assert!(store.foresight(&owner).is_some(), "it is stored");
    }

    /// A call for each queue; every third one asks for a seat to be held.
    async fn ring(&mut self, address: SocketAddr) {
        for queue in self.queues.clone() {
            let reserve = if self.asked.is_multiple_of(3) {
                "&reserve=30s"
            } else {
                ""
            };
            let target = format!(
                "/v1/queues/{}/decision?call_id=call-{}{reserve}",
                queue.replace(' ', "%20"),
                self.asked
            );
            let answer = get(address, &target).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            self.judge(&answer.json());
        }
    }

    /// Checks that unknown is not zero and stale is not fresh.
    fn judge(&mut self, decision: &Value) {
        self.asked += 1;
        let is_known = decision["count"].is_number();
        let is_young = decision["age_ms"]
            .as_u64()
            .is_some_and(|age| age <= MAX_AGE_MS);
        assert!(is_young || !is_known, "{decision}");
        assert!(is_known || decision["accept"] == false, "{decision}");
        self.unknown += u64::from(!is_known);
        self.held += u64::from(decision["reservation"].is_object());
        if decision["reason"] == "soon" {
            let is_enough = decision["likely"].as_f64() > decision["needed"].as_f64();
            assert!(is_enough && decision["accept"] == true, "{decision}");
            self.by_soon += 1;
        }
    }

    /// Ten seconds with a fault, or without.
    async fn ten_seconds(&mut self, program: &Program, address: SocketAddr) {
        match self.chance.u8(..24) {
            // Every two minutes or so: after some of them, openseat waits a minute before it asks again.
            0 | 1 => {
                let fault = match fault(&mut self.chance) {
                    // A short run would see nothing but a pause of twenty minutes.
                    InjectedFault::Throttled(_) => {
                        InjectedFault::Throttled(Some(Duration::from_secs(5)))
                    }
                    fault => fault,
                };
                self.calltools.simulator.inject(usize::MAX, None, fault);
            }
            2..=5 => {
                let threshold = self.chance.u32(..3);
                self.configure(threshold);
                program.signal(Signal::HUP);
            }
            6..=9 => {
                fs::write(&self.config, "[server\n").expect("the file can be written");
                program.signal(Signal::HUP);
            }
            10..=13 => drop(
                post(
                    address,
                    &format!("/v1/queues/{}/refresh", self.queues[0].replace(' ', "%20")),
                )
                .await,
            ),
            _ => {}
        }
        for _ in 0..10 {
            self.ring(address).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.calltools.simulator.clear_faults();
        // The next run must not begin with a bad config.
        self.configure(0);
    }

    /// Runs for this long. Returns memory and descriptors after a third of it and at the end.
    async fn run(&mut self, time: Duration) -> [(u64, usize); 2] {
        self.configure(0);
        let mut program = Program::run(&self.home, &self.config);
        let address = program.address().await;
        // An earlier run may have been asked for a pause; then the daemon becomes ready only after it.
        soon("an answer", async || {
            get(address, "/livez").await.status == 200
        })
        .await;
        let (begun, mut settled) = (Instant::now(), None);
        while begun.elapsed() < time {
            self.ten_seconds(&program, address).await;
            assert_eq!(program.has_ended(), None, "{}", program.log());
            if begun.elapsed() >= time / 3 && settled.is_none() {
                settled = Some(measured(&program));
            }
        }
        let end = measured(&program);
        let log = program.log();
        assert!(!log.contains("panicked"), "{log}");
        [settled.unwrap_or(end), end]
    }
}

/// The program's memory in kB, and its open descriptors.
fn measured(program: &Program) -> (u64, usize) {
    let number = program.pid().as_raw_nonzero().to_string();
    let open = fs::read_dir(format!("/proc/{number}/fd")).expect("the process runs");
    (resident_kb(&number), open.count())
}

#[tokio::test]
#[ignore = "runs for as long as requested; see scripts/soak.sh"]
async fn hours_of_faults_kills_and_reloads_grow_nothing_and_break_no_promise() {
    let wanted = std::env::var("OPENSEAT_SOAK_SECONDS").ok();
    let seconds = wanted.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let mut soak = Soak::open().await;
    soak.teach().await;
    let time = Duration::from_secs(seconds) / RUNS;
    let mut runs = Vec::new();
    for n in 1..=RUNS {
        let [settled, end] = soak.run(time).await;
        println!(
            "run {n} of {RUNS}: {} kB and {} descriptors after a third, {} kB and {} at the end; {} requests, {} decisions, {} of them unknown, {} by soon, {} seats",
            settled.0,
            settled.1,
            end.0,
            end.1,
            soak.calltools.simulator.requests(),
            soak.asked,
            soak.unknown,
            soak.by_soon,
            soak.held,
        );
        runs.push((settled, end));
    }
    let simulator = &soak.calltools.simulator;
    let worst = simulator.worst_sliding_hour();
    println!(
        "{worst} requests in the worst hour, of {REQUESTS_PER_HOUR}; {} refused by the limit",
        simulator.throttled()
    );
    // Refreshes may use the reserve.
    assert!(worst as u32 <= REQUESTS_PER_HOUR, "{worst}");
    assert_eq!(simulator.throttled(), 0);
    // A short run may consist of faults.
    let earned = seconds * u64::from(REQUESTS_PER_HOUR - RESERVE) / 3_600;
    let is_long = seconds >= SECONDS;
    assert!(
        !is_long || simulator.requests() >= earned / 2,
        "{} of {earned} requests",
        simulator.requests()
    );
    assert!(soak.asked > soak.unknown, "no decision was ever known");
    assert!(soak.by_soon > 0, "no call was accepted at zero seats");
    let least = runs.iter().map(|(settled, _)| *settled);
    let (kb, open) = least
        .reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
        .expect("at least one run");
    for (settled, end) in runs {
        assert!(
            end.0 < settled.0 + MAX_GROWTH_KB,
            "memory grew from {} to {} kB",
            settled.0,
            end.0
        );
        assert!(
            end.0 < kb + 2 * MAX_GROWTH_KB,
            "{} kB, and {kb} kB in another run",
            end.0
        );
        assert!(
            end.1 <= open + SPARE_DESCRIPTORS,
            "{} descriptors, and {open} in another run",
            end.1
        );
    }
}
