//! The program in a process of its own, and what the system reports about it.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::setting::Setting;

/// The limit for all waiting before a measurement. At 26 requests a second, polling 1,000 queues takes less than a minute.
const WAIT_LIMIT: Duration = Duration::from_secs(240);

const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// `openseat run`; dropping it kills it.
pub struct Daemon {
    child: Child,
    pub url: String,
    /// The time from its start until it was ready.
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
    /// Starts the daemon and waits until every queue has been polled.
    pub async fn start(setting: &Setting) -> Self {
        let begun = Instant::now();
        let log = setting.config.with_extension("log");
        let child = Self::spawn(setting);
        let address = || {
            let log = fs::read_to_string(&log).ok()?;
            let (_, rest) = log.split_once("\"listener\":\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        until("the log has an address", async || address().is_some()).await;
        let mut daemon = Self {
            child,
            start: Duration::ZERO,
            url: format!("http://{}", address().expect("the log has the address")),
            client: openseat::process::tls::client_builder()
                .no_proxy()
                .build()
                .expect("a client"),
        };
        until("the daemon is ready", async || {
            daemon.status("/readyz").await == 200
        })
        .await;
        daemon.start = begun.elapsed();
        daemon
    }

    /// Starts the process alone.
    pub fn spawn(setting: &Setting) -> Child {
        let log = setting.config.with_extension("log");
        Command::new(env!("CARGO_BIN_EXE_openseat"))
            .args(["run", "--config"])
            .arg(&setting.config)
            .env_clear()
            .env("MALLOC_MMAP_THRESHOLD_", "65536") // as in deploy/openseat.service
            .stdin(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("the program starts")
    }

    /// Stops the daemon as systemd does, and returns how long that took.
    pub fn stop(mut self) -> Duration {
        let begun = Instant::now();
        let id = Pid::from_child(&self.child);
        rustix::process::kill_process(id, Signal::TERM).expect("the process runs");
        // On a busy machine the daemon may have to cut its stop short; the time shows that, so the exit code is not checked.
        let _ = self.child.wait().expect("the process ends");
        begun.elapsed()
    }

    /// Reloads the config, and returns how long the response took: it comes when the new config is in use, or says that this takes longer.
    pub async fn reload(&self) -> Duration {
        let begun = Instant::now();
        let response = self.client.post(format!("{}/v1/reload", self.url)).send();
        let response = response.await.expect("a response");
        if !response.status().is_success() {
            println!("the reload returned {}", response.status());
        }
        begun.elapsed()
    }

    /// The text at a path.
    pub async fn text(&self, path: &str) -> String {
        let response = self.client.get(format!("{}{path}", self.url)).send().await;
        response.expect("a response").text().await.expect("a text")
    }

    /// Disk syncs per second; `None` if `perf` is missing or may not count them.
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
        let response = self.client.get(format!("{}{path}", self.url)).send().await;
        response.map_or(0, |response| response.status().as_u16())
    }

    /// Waits until every queue reports this number of seats.
    pub async fn wait_for_count(&self, seats: u64) {
        let all = async || {
            let text = self.text("/v1/queues").await;
            let summary: Value = serde_json::from_str(&text).expect("JSON");
            let queues = summary["queues"].as_array().expect("a list");
            queues.iter().all(|queue| queue["count"] == seats)
        };
        until("every queue has the expected count", all).await;
    }

    /// Asks about one queue after another, and scrapes once a second.
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

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let pages = self.proc("statm");
        let pages = pages
            .split(' ')
            .nth(1)
            .expect("the second field is resident");
        let pages: u64 = pages.parse().expect("a number");
        pages * rustix::param::page_size() as u64
    }

    /// The share of a core that it uses during `time`.
    pub async fn cpu_during(&self, time: Duration) -> f64 {
        let (before, begun) = (self.cpu(), Instant::now());
        sleep(time).await;
        (self.cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64()
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> Duration {
        cpu_of(&self.proc("stat"))
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the process runs")
    }
}

/// The processor time that this process has used so far.
pub fn own_cpu() -> Duration {
    cpu_of(&fs::read_to_string("/proc/self/stat").expect("Linux has this file"))
}

fn cpu_of(stat: &str) -> Duration {
    // The program's name comes before the fields, in parentheses, and may contain spaces.
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
            sleep(RETRY_INTERVAL).await;
        }
    };
    timeout(WAIT_LIMIT, wait)
        .await
        .unwrap_or_else(|_| panic!("timed out waiting: {what}"));
}
