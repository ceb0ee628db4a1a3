//! The pulses of the loops that must go on turning: one per account and one per accept loop.
//!
//! A loop beats at each turn, at least once in [`TURN`] even if there is nothing to do. Who watches asks for those that have stood
//! still; a loop that has ended is not stuck, since its owner has noticed. What to do about a stuck one is left to the
//! [watcher](crate::daemon::systemd).

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A loop that has nothing to do turns this often all the same.
pub const TURN: Duration = Duration::from_secs(1);

/// All pulses of a process. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<Vec<Weak<Beating>>>>);

/// One loop's pulse. Dropping it ends it.
#[derive(Debug)]
pub struct Pulse(Arc<Beating>);

#[derive(Debug)]
struct Beating {
    name: String,
    turns: AtomicU64,
    /// What the watcher saw when it last saw a change, and when that was.
    seen: Mutex<(u64, Instant)>,
}

impl Pulses {
    /// A pulse for a loop that begins now; `name` is what people call the loop.
    pub fn begin(&self, name: impl Into<String>) -> Pulse {
        let beating = Arc::new(Beating {
            name: name.into(),
            turns: AtomicU64::new(0),
            seen: Mutex::new((0, Instant::now())),
        });
        let mut pulses = lock(&self.0);
        // Loops that come and go must not make the list grow.
        pulses.retain(|beating| beating.strong_count() > 0);
        pulses.push(Arc::downgrade(&beating));
        Pulse(beating)
    }

    /// The names of the loops that have not been seen to turn for longer than `bound`. To be asked several times in a `bound`: a loop is
    /// only seen when somebody looks.
    pub fn stuck(&self, bound: Duration) -> Vec<String> {
        let pulses = lock(&self.0);
        let living = pulses.iter().filter_map(Weak::upgrade);
        living
            .filter(|beating| beating.still_for() > bound)
            .map(|beating| beating.name.clone())
            .collect()
    }
}

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Beating {
    fn still_for(&self) -> Duration {
        let turns = self.turns.load(Ordering::Relaxed);
        let mut seen = lock(&self.seen);
        if seen.0 != turns {
            *seen = (turns, Instant::now());
        }
        seen.1.elapsed()
    }
}

/// What these locks guard is changed in single steps: whoever panicked while holding one left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_named_and_others_are_not() {
        let pulses = Pulses::default();
        let (well, ill) = (pulses.begin("well"), pulses.begin("ill"));
        for _ in 0..15 {
            tokio::time::advance(TURN).await;
            well.beat();
            assert!(pulses.stuck(BOUND).is_empty());
        }
        tokio::time::advance(TURN).await;
        well.beat();
        assert_eq!(pulses.stuck(BOUND), ["ill"]);
        ill.beat();
        assert!(pulses.stuck(BOUND).is_empty(), "it turns again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_has_ended_is_not_stuck() {
        let pulses = Pulses::default();
        let pulse = pulses.begin("ended");
        tokio::time::advance(BOUND * 2).await;
        assert_eq!(pulses.stuck(BOUND), ["ended"]);
        drop(pulse);
        assert!(pulses.stuck(BOUND).is_empty());
        let _next = pulses.begin("next");
        assert_eq!(lock(&pulses.0).len(), 1, "the list does not grow");
    }
}
