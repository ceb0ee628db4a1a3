//! Whether the wall clock may say what is old.
//!
//! A machine may start with a wrong time, which NTP corrects seconds later. Until then everything that is stored can look old, and removing it would
//! lose it for good. So nothing is removed by age before the process has seen an hour in which nobody has set the clock. A process that never lives
//! that long removes by size alone.

use std::time::Duration;

use crate::clock::Moment;

/// How long nobody may have set the clock. NTP needs minutes at most once it has a network, and keeping old entries for an hour longer costs little.
const LONG_ENOUGH: Duration = Duration::from_secs(3_600);

/// The wall clock was set if it differs by more than this from what boot time leads to expect. Leap seconds and small corrections are less.
const SET: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct SteadyWall {
    /// Since when nobody has set it, as far as it is known.
    since: Moment,
}

impl SteadyWall {
    /// Begins to watch the clock.
    pub fn new(now: Moment) -> Self {
        Self { since: now }
    }

    /// Returns `now` if its wall time may be trusted.
    pub fn trusted(&mut self, now: Moment) -> Option<Moment> {
        let passed = now.boot_since(self.since);
        let expected = self.since.wall + passed;
        if now.wall.abs_diff(expected) > SET {
            self.since = now;
            return None;
        }
        (passed >= LONG_ENOUGH).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    #[test]
    fn a_wall_clock_is_trusted_if_nobody_has_set_it_for_an_hour() {
        let mut wall = SteadyWall::new(at(0));
        assert_eq!(wall.trusted(at(3_599)), None);
        assert_eq!(wall.trusted(at(3_600)), Some(at(3_600)));
        let set_back = |seconds, by| Moment {
            wall: at(seconds).wall - Duration::from_secs(by),
            ..at(seconds)
        };
        assert!(wall.trusted(set_back(3_700, 60)).is_some());
        assert_eq!(wall.trusted(set_back(3_800, 61)), None);
        assert_eq!(wall.trusted(set_back(7_399, 61)), None);
        assert!(wall.trusted(set_back(7_400, 61)).is_some());
        assert_eq!(wall.trusted(at(7_500)), None, "it was set forward");
    }
}
