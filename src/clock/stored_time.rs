//! A moment as files keep it, and how long ago that is: at the least, for the budget, and at the most, for the age of data.
//!
//! Boot time tells truly how much time has passed, but only between readings of one and the same clock: not over a reboot, and
//! not between two time namespaces of one boot. Wall time can be compared always, and trusted never. What tells clocks apart
//! is their *offset*, wall minus boot, which differs between namespaces, and changes when the wall clock is set. A process that
//! lives through such a step knows that it is still the same clock, and [moves](StoredTime::rebase) the ledger's stamps along.
//!
//! Over a reboot only wall time is left. A machine whose clock lost time while it was off cannot be found out; but it has been up
//! for as long as it says, so nothing from before the boot is younger than that, and a stamp that lies ahead of now says nothing.

use std::time::Duration;

use crate::clock::{Clock, Moment};

/// Offsets nearer than this are one: NTP slews a clock by at most 500 ppm, 1.8 s in the hour that a stamp matters.
const SAME_OFFSET_MS: i64 = 2_000;

/// A reading of both clocks, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTime {
    /// Of which boot.
    pub boot_id: String,
    /// Boot time, as this boot counts it.
    pub boot_ms: i64,
    /// Wall time, since 1970.
    pub wall_ms: i64,
}

impl StoredTime {
    /// Now, by this clock.
    pub fn now(clock: &dyn Clock) -> Self {
        Self::new(clock.now(), clock)
    }

    /// A moment that this clock showed.
    pub fn new(moment: Moment, clock: &dyn Clock) -> Self {
        let Moment { boot, wall } = moment;
        Self {
            boot_id: clock.boot_id().to_owned(),
            boot_ms: boot.as_millis() as i64,
            wall_ms: wall.as_millis() as i64,
        }
    }

    /// Whether both were read from one clock that nobody has set in between.
    pub fn shares_clock(&self, other: &StoredTime) -> bool {
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
        // Negative: the clock it was read from was ahead of ours, by who knows how much.
        Duration::from_millis(passed_ms.max(0) as u64)
    }

    /// The moment of this stamp on our clock, such that no age comes out younger than the most time that can have passed since;
    /// `None` where nobody can tell how long ago it was.
    pub fn to_moment(&self, clock: &dyn Clock) -> Option<Moment> {
        let now = clock.now();
        let millis = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
        let (boot, wall) = (millis(self.boot_ms)?, millis(self.wall_ms)?);
        if self.boot_id == clock.boot_id() {
            // Both clocks tell, and who asks for an age takes the longer reading: a wall that was set meanwhile does no harm.
            return (boot <= now.boot).then_some(Moment { boot, wall });
        }
        let by_wall = now.wall.checked_sub(wall)?;
        Some(now.earlier(by_wall.max(now.since_boot())))
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
    pub fn rebase(&self, now: &StoredTime) -> Self {
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
            assert_eq!(now.since(&sent.rebase(&now)), Duration::from_secs(60));
        }
    }

    #[test]
    fn another_time_namespace_of_the_same_boot_frees_nothing() {
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

    /// How old a stamp is on a clock that has been up for so long; `None` where it is not recalled.
    fn age(stamp: &StoredTime, up_s: u64, wall_ms: i64) -> Option<u64> {
        let clock = At(Moment {
            boot: BEFORE_BOOT + Duration::from_secs(up_s),
            wall: Duration::from_millis(wall_ms as u64),
        });
        let recalled = stamp.to_moment(&clock)?;
        Some(clock.now().longest_since(recalled).as_secs())
    }

    #[test]
    fn no_clock_makes_what_was_known_younger_than_it_is() {
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
            "who knows how long ago"
        );
    }

    #[test]
    fn what_was_known_before_a_boot_keeps_its_order_and_stays_old_when_the_wall_is_set_back() {
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
