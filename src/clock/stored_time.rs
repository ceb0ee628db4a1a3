//! A moment in a file, and how long ago it was: at least, for the budget, and at most, for the age of data.
//!
//! Boot time is exact, but only between readings of the same clock: not across a reboot, and not between two time namespaces of one boot.
//! Wall time can always be compared, but may have been set. The *offset*, wall minus boot, tells clocks apart: it differs between namespaces,
//! and changes when the wall clock is set.
//!
//! Across a reboot only wall time is left. A clock that lost time while the machine was off goes unnoticed. But nothing from before the boot
//! is younger than the time since the boot, and a stored time in the future has no age at all.

use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Offsets closer than this are the same: NTP slews a clock by at most 500 ppm, which is 1.8 s in the hour for which the budget needs it.
const SAME_OFFSET_MS: i64 = 2_000;

/// A reading of both clocks, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTime {
    /// Which boot of which machine.
    pub boot_id: String,
    /// Boot time, as this boot counts it.
    pub boot_ms: i64,
    /// Wall time, since 1970.
    pub wall_ms: i64,
}

impl StoredTime {
    /// The time now, on this clock.
    pub fn now(clock: &dyn Clock) -> Self {
        Self::new(clock.now(), clock)
    }

    /// A moment of this clock.
    pub fn new(moment: Moment, clock: &dyn Clock) -> Self {
        let Moment { boot, wall } = moment;
        Self {
            boot_id: clock.boot_id().to_owned(),
            boot_ms: boot.as_millis() as i64,
            wall_ms: wall.as_millis() as i64,
        }
    }

    /// Whether both are from the same clock, which was not set in between.
    fn shares_clock(&self, other: &StoredTime) -> bool {
        self.boot_id == other.boot_id
            && (self.offset_ms() - other.offset_ms()).abs() <= SAME_OFFSET_MS
    }

    /// The least time that can have passed since `earlier`.
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

    /// This time as a moment of our clock, such that its age is the most time that can have passed. `None` if its age is unknown.
    pub fn to_moment(&self, clock: &dyn Clock) -> Option<Moment> {
        let now = clock.now();
        let millis = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
        let (boot, wall) = (millis(self.boot_ms)?, millis(self.wall_ms)?);
        if self.boot_id == clock.boot_id() {
            // An age is the longer reading of both clocks, so a wall clock that was set meanwhile does no harm.
            return (boot <= now.boot).then_some(Moment { boot, wall });
        }
        let by_wall = now.wall.checked_sub(wall)?;
        Some(now.earlier(by_wall.max(now.since_boot())))
    }

    fn offset_ms(&self) -> i64 {
        self.wall_ms - self.boot_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::BEFORE_BOOT;

    const HOUR_MS: i64 = 3_600_000;

    fn stamp(boot_id: &str, boot_ms: i64, wall_ms: i64) -> StoredTime {
        StoredTime {
            boot_id: boot_id.to_owned(),
            boot_ms,
            wall_ms,
        }
    }

    #[test]
    fn a_clock_that_was_set_frees_no_request_early() {
        let sent = stamp("a", 0, 100 * HOUR_MS);
        let forward = stamp("a", 60_000, 102 * HOUR_MS);
        assert_eq!(forward.since(&sent), Duration::from_secs(60));
        let back = stamp("a", 60_000, 99 * HOUR_MS);
        assert_eq!(back.since(&sent), Duration::ZERO);
    }

    #[test]
    fn another_time_namespace_of_the_same_boot_frees_no_request_early() {
        let sent = stamp("a", 0, 100 * HOUR_MS);
        let shifted = stamp("a", 24 * HOUR_MS, 100 * HOUR_MS + 60_000);
        assert_eq!(shifted.since(&sent), Duration::from_secs(60));
    }

    /// A clock that stands still, on boot "b".
    #[derive(Debug)]
    struct At(Moment);

    impl Clock for At {
        fn now(&self) -> Moment {
            self.0
        }

        fn boot_id(&self) -> &str {
            "b"
        }
    }

    /// The age of a stored time on a clock that has been up for `up_s`; `None` if it is unknown.
    fn age(stamp: &StoredTime, up_s: u64, wall_ms: i64) -> Option<u64> {
        let clock = At(Moment {
            boot: BEFORE_BOOT + Duration::from_secs(up_s),
            wall: Duration::from_millis(wall_ms as u64),
        });
        let recalled = stamp.to_moment(&clock)?;
        Some(clock.now().longest_since(recalled).as_secs())
    }

    #[test]
    fn no_clock_makes_data_look_younger_than_it_is() {
        let up_ms = BEFORE_BOOT.as_millis() as i64;
        let same_boot = stamp("b", up_ms + 100_000, 100 * HOUR_MS);
        assert_eq!(age(&same_boot, 160, 100 * HOUR_MS + 60_000), Some(60));
        assert_eq!(
            age(&same_boot, 160, 99 * HOUR_MS),
            Some(60),
            "the wall was set back"
        );
        assert_eq!(
            age(&same_boot, 160, 101 * HOUR_MS),
            Some(3_600),
            "or forward"
        );
        assert_eq!(
            age(&same_boot, 99, 101 * HOUR_MS),
            None,
            "boot time does not go back"
        );
        let other_boot = stamp("a", up_ms + 9 * HOUR_MS, 100 * HOUR_MS);
        assert_eq!(age(&other_boot, 30, 100 * HOUR_MS + 90_000), Some(90));
        assert_eq!(
            age(&other_boot, 300, 100 * HOUR_MS + 90_000),
            Some(300),
            "the boot came after it"
        );
        assert_eq!(
            age(&other_boot, 30, 100 * HOUR_MS - 1),
            None,
            "a time in the future has no age"
        );
    }

    #[test]
    fn data_from_before_a_boot_keeps_its_order_and_stays_old_when_the_wall_clock_is_set_back() {
        let clock = At(Moment {
            boot: BEFORE_BOOT + Duration::from_secs(30),
            wall: Duration::from_millis(101 * HOUR_MS as u64),
        });
        let recalled = |wall_ms| {
            stamp("a", 0, wall_ms)
                .to_moment(&clock)
                .expect("it was before")
        };
        let (first, second) = (recalled(100 * HOUR_MS), recalled(100 * HOUR_MS + 1));
        assert!(first.boot < second.boot);
        let set_back = Moment {
            wall: Duration::from_millis(90 * HOUR_MS as u64),
            ..clock.now()
        };
        assert_eq!(set_back.longest_since(first), Duration::from_secs(3_600));
    }

    #[test]
    fn across_a_reboot_only_the_wall_clock_counts() {
        let sent = stamp("a", 50 * HOUR_MS, 100 * HOUR_MS);
        let now = stamp("b", 10_000, 100 * HOUR_MS + 90_000);
        assert_eq!(now.since(&sent), Duration::from_secs(90));
    }
}
