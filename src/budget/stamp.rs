//! When a request was sent or answered, as the ledger keeps it, and how long ago that is at the least.
//!
//! Boot time tells truly how much time has passed, but only between readings of one and the same clock: not over a reboot, and
//! not between two time namespaces of one boot. Wall time can be compared always, and trusted never. What tells clocks apart
//! is their *offset*, wall minus boot, which differs between namespaces, and changes when the wall clock is set. A process that
//! lives through such a step knows that it is still the same clock, and [moves](Stamp::moved) the ledger's stamps along.

use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Offsets nearer than this are one: NTP slews a clock by at most 500 ppm, 1.8 s in the hour that a stamp matters.
const SAME_OFFSET_MS: i64 = 2_000;

/// A reading of both clocks, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub boot_id: String,
    pub boot_ms: i64,
    pub wall_ms: i64,
}

impl Stamp {
    /// Now, by this clock.
    pub fn now(clock: &dyn Clock) -> Self {
        let Moment { boot, wall } = clock.now();
        Self {
            boot_id: clock.boot_id().to_owned(),
            boot_ms: boot.as_millis() as i64,
            wall_ms: wall.as_millis() as i64,
        }
    }

    /// Whether both were read from one clock that nobody has set in between.
    pub fn shares_clock(&self, other: &Stamp) -> bool {
        self.boot_id == other.boot_id
            && (self.offset_ms() - other.offset_ms()).abs() <= SAME_OFFSET_MS
    }

    /// The least time that can have passed since `earlier`.
    pub fn since(&self, earlier: &Stamp) -> Duration {
        let boot_ms = self.boot_ms - earlier.boot_ms;
        let wall_ms = self.wall_ms - earlier.wall_ms;
        let passed_ms = if self.shares_clock(earlier) {
            boot_ms
        } else if self.boot_id == earlier.boot_id {
            boot_ms.min(wall_ms)
        } else {
            wall_ms
        };
        // Negative: the clock it was read from was ahead of ours, by who knows how much.
        Duration::from_millis(passed_ms.max(0) as u64)
    }

    /// What our clock would have shown `passed` before `self`.
    pub fn before(&self, passed: Duration) -> Self {
        let passed_ms = passed.as_millis() as i64;
        Self {
            boot_id: self.boot_id.clone(),
            boot_ms: self.boot_ms - passed_ms,
            wall_ms: self.wall_ms - passed_ms,
        }
    }

    /// `self`, read from our clock before it was set, as it would read now that it shows `now`.
    pub fn moved(&self, now: &Stamp) -> Self {
        Self {
            boot_id: now.boot_id.clone(),
            boot_ms: self.boot_ms,
            wall_ms: self.boot_ms + now.offset_ms(),
        }
    }

    fn offset_ms(&self) -> i64 {
        self.wall_ms - self.boot_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn stamp(boot_id: &str, boot_ms: i64, wall_ms: i64) -> Stamp {
        Stamp {
            boot_id: boot_id.to_owned(),
            boot_ms,
            wall_ms,
        }
    }

    #[test]
    fn a_step_that_nobody_watched_is_taken_the_careful_way() {
        let sent = stamp("a", 0, 100 * HOUR_MS);
        let forward = stamp("a", 60_000, 102 * HOUR_MS);
        assert_eq!(forward.since(&sent), Duration::from_secs(60));
        let back = stamp("a", 60_000, 99 * HOUR_MS);
        assert_eq!(back.since(&sent), Duration::ZERO);
    }

    #[test]
    fn a_step_that_was_watched_changes_no_age() {
        let sent = stamp("a", 0, 100 * HOUR_MS);
        for step_ms in [-2 * HOUR_MS, 5 * HOUR_MS] {
            let now = stamp("a", 60_000, 100 * HOUR_MS + 60_000 + step_ms);
            assert_eq!(now.since(&sent.moved(&now)), Duration::from_secs(60));
        }
    }

    #[test]
    fn another_time_namespace_of_the_same_boot_frees_nothing() {
        let sent = stamp("a", 0, 100 * HOUR_MS);
        let shifted = stamp("a", 24 * HOUR_MS, 100 * HOUR_MS + 60_000);
        assert_eq!(shifted.since(&sent), Duration::from_secs(60));
    }

    #[test]
    fn over_a_reboot_the_wall_clock_is_all_there_is() {
        let sent = stamp("a", 50 * HOUR_MS, 100 * HOUR_MS);
        let now = stamp("b", 10_000, 100 * HOUR_MS + 90_000);
        assert_eq!(now.since(&sent), Duration::from_secs(90));
        assert_eq!(
            now.since(&now.before(Duration::from_secs(90))),
            Duration::from_secs(90)
        );
    }
}
