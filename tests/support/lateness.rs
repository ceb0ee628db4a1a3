//! Measures how much later than requested this machine wakes a task, and how long processes waited for a core.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::Pid;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// The time between two measurements. It is short, so that one falls into nearly each pause.
const EVERY: Duration = Duration::from_millis(50);

/// Measures until it is dropped.
#[derive(Debug)]
pub struct Lateness {
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
        let worst_micros = Arc::<AtomicU64>::default();
        let worst = Arc::clone(&worst_micros);
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                sleep(EVERY).await;
                let late = begun.elapsed().saturating_sub(EVERY).as_micros() as u64;
                worst.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self { worst_micros, task }
    }

    /// Returns the longest delay so far.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed))
    }
}

/// How long all threads of a process together were ready to run and had no core. Zero for a process that has ended, and on systems that do not
/// count it.
pub fn waited(process: Pid) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()));
    let threads = threads.into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        // The time on a core, the time without one, and the number of turns.
        let counts = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        counts.split(' ').nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
