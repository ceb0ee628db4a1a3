//! How long a scrape of many queues takes, and how much scrapes slow down decisions.

use std::time::Duration;

use tokio::{task::JoinHandle, time::Instant};

use crate::process::Daemon;

/// A scraper that starts the next scrape as soon as one ends: far more often than any Prometheus does.
pub struct Scraper(JoinHandle<Vec<Duration>>);

impl Scraper {
    /// Scrapes for this long.
    pub fn start(daemon: &Daemon, time: Duration) -> Self {
        let url = format!("{}/metrics", daemon.url);
        Self(tokio::spawn(async move {
            let client = openseat::process::tls::client_builder().no_proxy().build();
            let client = client.expect("a client");
            let (end, mut durations) = (Instant::now() + time, Vec::new());
            while Instant::now() < end {
                let begun = Instant::now();
                let response = client.get(&url).send().await.expect("a response");
                let text = response.bytes().await.expect("a body");
                assert!(text.starts_with(b"# HELP"), "not metrics");
                durations.push(begun.elapsed());
            }
            durations
        }))
    }

    /// How long each scrape took, including the transfer.
    pub async fn durations(self) -> Vec<Duration> {
        self.0.await.expect("no panic")
    }
}

/// The median, in milliseconds.
pub fn median(mut durations: Vec<Duration>) -> f64 {
    durations.sort();
    let middle = durations.get(durations.len() / 2);
    middle.map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
}
