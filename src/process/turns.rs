//! Turns: of all requests for one path, one is at work at a time.
//!
//! A file system that hangs may never answer, so a wait for a turn is bounded. A path that has not answered for long is tried
//! once more, because something else may be mounted there by now: more and more rarely, since each try may leave another thread behind.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// After how many waits in vain a path is tried again; doubled with each try. A refused token is read every 5 s, so this is two minutes or
/// more, and a day leaves some ten threads behind.
const IN_VAIN: u64 = 24;

/// How often the number is doubled at most: four years then, and no overflow.
const MAX_DOUBLED: u32 = 20;

/// See the [module](self).
pub(super) struct Turns {
    taken: Mutex<Taken>,
    ended: Condvar,
}

struct Taken {
    paths: BTreeMap<PathBuf, Holder>,
    /// The number of the last turn.
    last: u64,
}

/// Who is at work with a path.
struct Holder {
    turn: u64,
    /// How many have waited in vain since the last try.
    in_vain: u64,
    /// How often it has been tried since it last answered.
    tries: u32,
}

/// A turn; dropping it lets the next one begin.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    path: PathBuf,
    number: u64,
}

impl Turns {
    pub const fn new() -> Self {
        Self {
            taken: Mutex::new(Taken {
                paths: BTreeMap::new(),
                last: 0,
            }),
            ended: Condvar::new(),
        }
    }

    /// Waits for a turn; `None` if the path is still taken after `longest`, and is not to be tried again.
    pub fn take(
        &self,
        path: &Path,
        longest: Duration,
        may_retry: impl FnOnce() -> bool,
    ) -> Option<Turn<'_>> {
        let is_taken = |taken: &mut Taken| taken.paths.contains_key(path);
        let waited = self
            .ended
            .wait_timeout_while(self.taken(), longest, is_taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let number = taken.last + 1;
        let tries = match taken.paths.get_mut(path) {
            None => 1,
            Some(holder) => {
                holder.in_vain += 1;
                let many = IN_VAIN << (holder.tries - 1).min(MAX_DOUBLED);
                if holder.in_vain < many || !may_retry() {
                    return None;
                }
                holder.tries + 1
            }
        };
        taken.last = number;
        let holder = Holder {
            turn: number,
            in_vain: 0,
            tries,
        };
        taken.paths.insert(path.to_owned(), holder);
        Some(Turn {
            turns: self,
            path: path.to_owned(),
            number,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Each change is one step, so a panic leaves nothing half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken();
        // A try that has been given up ends no other's turn.
        let is_its = |holder: &Holder| holder.turn == self.number;
        if taken.paths.get(&self.path).is_some_and(is_its) {
            taken.paths.remove(&self.path);
            self.turns.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_hangs_is_tried_again_more_and_more_rarely() {
        let turns = Turns::new();
        let take = |may| turns.take(Path::new("/hangs"), Duration::ZERO, || may);
        let first = take(true).expect("nobody has it");
        // How many wait in vain before the next try.
        let until_next = || {
            let mut in_vain = 0;
            loop {
                match take(true) {
                    Some(turn) => return (in_vain, turn),
                    None => in_vain += 1,
                }
            }
        };
        let (in_vain, second) = until_next();
        assert_eq!(in_vain, IN_VAIN - 1);
        drop(first);
        let (in_vain, third) = until_next();
        assert_eq!(in_vain, 2 * IN_VAIN - 1, "the second still has its turn");
        // Something else is mounted there, and answers, although the second never ends.
        drop(third);
        let fourth = take(false).expect("the path works");
        drop(second);
        for _ in 0..2 * IN_VAIN {
            assert!(take(false).is_none(), "too many threads are taken");
        }
        drop(fourth);
        assert!(take(false).is_some());
    }

    #[test]
    fn paths_do_not_wait_for_each_other_and_equal_ones_do() {
        let turns = Turns::new();
        let take = |path| turns.take(Path::new(path), Duration::from_secs(60), || false);
        let first = take("/a").expect("nobody has it");
        assert!(take("/b").is_some());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| take("/a").is_some());
            drop(first);
            assert!(second.join().expect("no panic"), "it waits for its turn");
        });
    }
}
