//! A moment in a file, and how long ago it was: at least, for the budget, and at most, for the age of data.
//!
//! Boot time is exact, but only between readings of the same clock: not across a reboot, and not between two time namespaces of one boot.
//! Wall time can always be compared, but may have been set. The *offset*, wall minus boot, tells clocks apart: it differs between namespaces,
//! and changes when the wall clock is set.
//!
//! Across a reboot only wall time is left. A clock that lost time while the machine was off goes unnoticed. But nothing from before the boot
//! is younger than the time since boot, and a stored time in the future has an unknown age.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Moment};

/// Offsets closer than this are the same: NTP slews a clock by at most 500 ppm, which is 1.8 s in the hour for which the budget needs it.
const SAME_OFFSET_MS: i64 = 2_000;

/// A reading of both clocks, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTime {
    /// Which boot of which machine.
    pub boot_id: String,
    /// Boot time, as this boot counts it.
    pub boot_ms: i64,
    /// Wall time, since 1970.
    pub wall_ms: i64,
}

impl StoredTime {
    /// Reads the time now, on this clock.
    pub fn now(clock: &dyn Clock) -> Self {
        Self::new(clock.now(), clock)
    }

    /// Converts a moment of this clock.
    pub fn new(moment: Moment, clock: &dyn Clock) -> Self {
        let Moment { boot, wall } = moment;
        Self {
            boot_id: clock.boot_id().to_owned(),
            boot_ms: boot.as_millis() as i64,
            wall_ms: wall.as_millis() as i64,
        }
    }

    /// Returns whether both are from the same clock, which was not set in between.
    fn shares_clock(&self, other: &StoredTime) -> bool {
        self.boot_id == other.boot_id
            && (self.offset_ms() - other.offset_ms()).abs() <= SAME_OFFSET_MS
    }

    /// Returns the least time that can have passed since `earlier`.
    pub fn since(&self, earlier: &StoredTime) -> Duration {
        let boot_ms = self.boot_ms - earlier.boot_ms;
        let wall_ms = self.wall_ms - earlier.wall_ms;
        let passed_ms = if self.shares_clock(earlier) {
            boot_ms
        } else if self.boot_id == earlier.boot_id {
            boot_ms.min(wall_ms)
        } else {
            wall_ms
        };
        // If negative, the other clock was ahead of ours by an unknown time.
        Duration::from_millis(passed_ms.max(0) as u64)
    }

    /// Converts this time to a moment of our clock whose age is the most time that can have passed. `None` if its age is unknown.
    pub fn to_moment(&self, clock: &dyn Clock) -> Option<Moment> {
        let now = clock.now();
        let millis = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
        let (boot, wall) = (millis(self.boot_ms)?, millis(self.wall_ms)?);
        if self.boot_id == clock.boot_id() {
            // An age is the longer reading of both clocks, so a wall clock that was set in between does no harm.
            return (boot <= now.boot).then_some(Moment { boot, wall });
        }
        let by_wall = now.wall.checked_sub(wall)?;
        Some(now.earlier(by_wall.max(now.since_boot())))
    }

    fn offset_ms(&self) -> i64 {
        self.wall_ms - self.boot_ms
    }
}
