//! What scrapes of many queues take, and what they cost those who decide.

use std::time::Duration;

use tokio::{task::JoinHandle, time::Instant};

use crate::process::Daemon;

/// A scraper that asks again as soon as it has its answer: far more than any Prometheus does.
pub struct Scraper(JoinHandle<Vec<Duration>>);

impl Scraper {
    /// Scrapes for so long.
    pub fn start(daemon: &Daemon, time: Duration) -> Self {
        let url = format!("{}/metrics", daemon.url);
        Self(tokio::spawn(async move {
            let client = openseat::process::tls::client_builder().no_proxy().build();
            let client = client.expect("a client");
            let (end, mut took) = (Instant::now() + time, Vec::new());
            while Instant::now() < end {
                let begun = Instant::now();
                let answer = client.get(&url).send().await.expect("an answer");
                let text = answer.bytes().await.expect("a text");
                assert!(text.starts_with(b"# HELP"), "not metrics");
                took.push(begun.elapsed());
            }
            took
        }))
    }

    /// How long each scrape took, with the transfer of its text.
    pub async fn took(self) -> Vec<Duration> {
        self.0.await.expect("no panic")
    }
}

/// The median, in milliseconds.
pub fn median(mut took: Vec<Duration>) -> f64 {
    took.sort();
    let middle = took.get(took.len() / 2);
    middle.map_or(0.0, |took| took.as_secs_f64() * 1e3)
}
