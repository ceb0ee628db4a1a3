//! Heartbeats of the loops that must keep running: one for each account and one for each accept loop.
//!
//! A loop beats in each turn, and at least once in [`TURN`] if there is nothing to do. The [watcher](crate::daemon::systemd) asks which loops
//! are stuck, and decides what to do. A loop that has ended is not stuck: its owner has noticed.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A loop beats at least this often, even if it has nothing to do.
pub const TURN: Duration = Duration::from_secs(1);

/// All heartbeats of a process. Clones are cheap and share the list.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<Vec<Weak<Beats>>>>);

/// The heartbeat of one loop, until it is dropped.
#[derive(Debug)]
pub struct Heartbeat(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    name: String,
    turns: AtomicU64,
    /// The number of turns when the watcher last saw a change, and when that was.
    seen: Mutex<(u64, Instant)>,
}

impl Heartbeats {
    /// Adds a loop that starts now. `name` is shown to people.
    pub fn begin(&self, name: impl Into<String>) -> Heartbeat {
        let beats = Arc::new(Beats {
            name: name.into(),
            turns: AtomicU64::new(0),
            seen: Mutex::new((0, Instant::now())),
        });
        let mut heartbeats = lock(&self.0);
        // Drops the heartbeats of ended loops, so that the list does not grow.
        heartbeats.retain(|beats| beats.strong_count() > 0);
        heartbeats.push(Arc::downgrade(&beats));
        Heartbeat(beats)
    }

    /// Returns the names of the loops that have not beaten for longer than `bound`. Call it several times per `bound`: a beat is noticed only by the
    /// next call.
    pub fn stuck(&self, bound: Duration) -> Vec<String> {
        let heartbeats = lock(&self.0);
        let living = heartbeats.iter().filter_map(Weak::upgrade);
        living
            .filter(|beats| beats.still_for() > bound)
            .map(|beats| beats.name.clone())
            .collect()
    }
}

impl Heartbeat {
    /// Beats.
    pub fn beat(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Beats {
    fn still_for(&self) -> Duration {
        let turns = self.turns.load(Ordering::Relaxed);
        let mut seen = lock(&self.seen);
        if seen.0 != turns {
            *seen = (turns, Instant::now());
        }
        seen.1.elapsed()
    }
}

/// Data behind these locks changes in single steps, so a panic leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn only_a_stuck_loop_is_named() {
        let heartbeats = Heartbeats::default();
        let (well, ill) = (heartbeats.begin("well"), heartbeats.begin("ill"));
        for _ in 0..15 {
            tokio::time::advance(TURN).await;
            well.beat();
            assert!(heartbeats.stuck(BOUND).is_empty());
        }
        tokio::time::advance(TURN).await;
        well.beat();
        assert_eq!(heartbeats.stuck(BOUND), ["ill"]);
        ill.beat();
        assert!(heartbeats.stuck(BOUND).is_empty(), "the loop beats again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_has_ended_is_not_stuck() {
        let heartbeats = Heartbeats::default();
        let heartbeat = heartbeats.begin("ended");
        tokio::time::advance(BOUND * 2).await;
        assert_eq!(heartbeats.stuck(BOUND), ["ended"]);
        drop(heartbeat);
        assert!(heartbeats.stuck(BOUND).is_empty());
        let _next = heartbeats.begin("next");
        assert_eq!(lock(&heartbeats.0).len(), 1, "the list does not grow");
    }
}
