//! The program in a process of its own, and what the system says of it.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

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
        let daemon = Self {
            child,
            url: format!("http://{}", address().expect("it was there")),
            client: openseat::process::tls::client_builder()
                .no_proxy()
                .build()
                .expect("a client"),
        };
        until("ready", async || daemon.status("/readyz").await == 200).await;
        daemon
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
    fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
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

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }
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
