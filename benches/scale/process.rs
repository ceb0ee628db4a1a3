//! The program in a process of its own, and what the system says of it.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::setting::Setting;

/// For whatever has to happen before anything is measured: at 26 requests a second, 1,000 queues are polled within a minute.
const PATIENCE: Duration = Duration::from_secs(240);

const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// `openseat run`; dropping it kills it.
pub struct Daemon {
    child: Child,
    pub url: String,
    /// From its start until it was ready.
    pub start: Duration,
    client: reqwest::Client,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Starts it and waits until every queue has been polled.
    pub async fn start(setting: &Setting) -> Self {
        let begun = Instant::now();
        let log = setting.config.with_extension("log");
        let child = Command::new(env!("CARGO_BIN_EXE_openseat"))
            .args(["run", "--config"])
            .arg(&setting.config)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("the program starts");
        let address = || {
            let log = fs::read_to_string(&log).ok()?;
            let (_, rest) = log.split_once("\"listener\":\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        until("an address", async || address().is_some()).await;
        let mut daemon = Self {
            child,
            start: Duration::ZERO,
            url: format!("http://{}", address().expect("it was there")),
            client: openseat::process::tls::client_builder()
                .no_proxy()
                .build()
                .expect("a client"),
        };
        until("ready", async || daemon.status("/readyz").await == 200).await;
        daemon.start = begun.elapsed();
        daemon
    }

    /// Ends it as systemd would, and returns how long that took.
    pub fn stop(mut self) -> Duration {
        let begun = Instant::now();
        let id = Pid::from_child(&self.child);
        rustix::process::kill_process(id, Signal::TERM).expect("it runs");
        // On a busy machine it may have to cut its stop short, which the time shows.
        let _ = self.child.wait().expect("it ends");
        begun.elapsed()
    }

    /// Lets it read its config again, and returns how long it took until that was in force, or until the answer said that it takes longer.
    pub async fn reload(&self) -> Duration {
        let begun = Instant::now();
        let answer = self.client.post(format!("{}/v1/reload", self.url)).send();
        let answer = answer.await.expect("an answer");
        if !answer.status().is_success() {
            println!("the reload was answered with {}", answer.status());
        }
        begun.elapsed()
    }

    /// The text at a path.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        answer.expect("an answer").text().await.expect("a text")
    }

    /// How often it waits for the disk, a second; `None` where `perf` may not count it.
    pub async fn syncs_during(&self, time: Duration) -> Option<f64> {
        let counting = Command::new("perf")
            .args(["stat", "-x", ",", "-e"])
            .arg("syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync")
            .args(["-p", &self.child.id().to_string(), "--", "sleep"])
            .arg(time.as_secs_f64().to_string())
            .stderr(Stdio::piped())
            .spawn();
        let counting = counting.ok()?;
        sleep(time).await;
        let counted = counting.wait_with_output().ok()?;
        let counted = String::from_utf8_lossy(&counted.stderr).into_owned();
        let numbers = counted
            .lines()
            .map(|line| line.split(',').next()?.parse().ok());
        let sum: f64 = numbers.collect::<Option<Vec<f64>>>()?.into_iter().sum();
        Some(sum / time.as_secs_f64())
    }

    async fn status(&self, path: &str) -> u16 {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    /// Waits until every queue of an account counts so many seats.
    pub async fn counts(&self, seats: u64) {
        let all = async || {
            let answer = self
                .client
                .get(format!("{}/v1/queues", self.url))
                .send()
                .await;
            let text = answer.expect("an answer").text().await.expect("a text");
            let summary: Value = serde_json::from_str(&text).expect("JSON");
            let queues = summary["queues"].as_array().expect("a list");
            queues.iter().all(|queue| queue["count"] == seats)
        };
        until("the count", all).await;
    }

    /// Asks about one queue after the other, and scrapes once a second.
    pub async fn ask_for(&self, setting: &Setting, time: Duration) {
        let queues = setting.accounts[0].queues();
        let end = Instant::now() + time;
        let mut scrape = Instant::now();
        let mut asked = queues.iter().cycle();
        while Instant::now() < end {
            let queue = asked.next().expect("a cycle never ends");
            assert_eq!(
                self.status(&format!("/v1/queues/{queue}/decision")).await,
                200
            );
            if scrape <= Instant::now() {
                assert_eq!(self.status("/metrics").await, 200);
                scrape += Duration::from_secs(1);
            }
        }
    }

    /// Bytes of it that are in memory.
    pub fn resident(&self) -> u64 {
        let pages = self.proc("statm");
        let pages = pages
            .split(' ')
            .nth(1)
            .expect("the second field is resident");
        let pages: u64 = pages.parse().expect("a number");
        pages * rustix::param::page_size() as u64
    }

    /// The part of a core that it takes during `time`.
    pub async fn cpu_during(&self, time: Duration) -> f64 {
        let (before, begun) = (self.cpu(), Instant::now());
        sleep(time).await;
        (self.cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64()
    }

    /// The time that it has spent on a core so far.
    pub fn cpu(&self) -> Duration {
        cpu_of(&self.proc("stat"))
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }
}

/// The time that this process has spent on cores so far.
pub fn own_cpu() -> Duration {
    cpu_of(&fs::read_to_string("/proc/self/stat").expect("a Linux kernel tells"))
}

fn cpu_of(stat: &str) -> Duration {
    // The name before it, in parentheses, may have spaces in it.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| {
        let ticks: u64 = ticks.parse().expect("a number");
        ticks
    });
    Duration::from_secs_f64(
        ticks.sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64,
    )
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}
