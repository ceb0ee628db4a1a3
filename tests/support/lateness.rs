//! Measures how much later than requested this machine wakes a task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// The time between two measurements. There are many in a second, so their sum is about the time that the steps of a fail-over may have lost.
const EVERY: Duration = Duration::from_millis(50);

/// Measures until it is dropped.
#[derive(Debug)]
pub struct Lateness {
    sum_micros: Arc<AtomicU64>,
    worst_micros: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lateness {
    pub fn watch() -> Self {
        let (sum_micros, worst_micros) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (sum, worst) = (Arc::clone(&sum_micros), Arc::clone(&worst_micros));
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                sleep(EVERY).await;
                let late = begun.elapsed().saturating_sub(EVERY).as_micros() as u64;
                sum.fetch_add(late, Ordering::Relaxed);
                worst.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self {
            sum_micros,
            worst_micros,
            task,
        }
    }

    /// Returns the sum of the delays so far.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros.load(Ordering::Relaxed))
    }

    /// Returns the longest delay so far.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed))
    }
}
