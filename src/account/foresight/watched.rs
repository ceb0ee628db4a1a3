//! What is remembered about each queue between two counts. It is small, because an account may have thousands of queues, and most say nothing.

use std::{num::NonZeroU8, time::Duration};

use super::Decided;
use crate::decision::soon::calibration::APART;

/// Moments are remembered in steps of this length …
const STEP: Duration = Duration::from_millis(250);

/// … as their number modulo this, which is a minute. Each queue is looked at every second, and older moments are dropped then.
const STEPS: u64 = NonZeroU8::MAX.get() as u64;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watched {
    /// The last digits of the numbers of decisions at the last count; `None` before the first one.
    counted: Option<[u16; 2]>,
    /// When a call was last counted that was rejected, and one that was accepted.
    called: [Option<NonZeroU8>; 2],
}

impl Watched {
    /// Returns whether there are new calls since the last count: rejected ones, and accepted ones. Calls within four seconds count once.
    pub fn new_calls(&mut self, decided: Decided, now: Duration) -> [bool; 2] {
        let digits = [decided.rejected as u16, decided.accepted as u16];
        let before = self.counted.replace(digits).unwrap_or(digits);
        let steps = (now.as_millis() / STEP.as_millis()) as u64;
        let passed = |at: NonZeroU8| (steps + STEPS + 1 - u64::from(at.get())) % STEPS;
        let is_recent = |at: &NonZeroU8| STEP * (passed(*at) as u32) < APART;
        let mut is_new = |kind: usize| {
            let called = &mut self.called[kind];
            *called = called.filter(is_recent);
            // The numbers only grow.
            let is_new = digits[kind] != before[kind] && called.is_none();
            if is_new {
                *called = NonZeroU8::new((steps % STEPS) as u8 + 1);
            }
            is_new
        };
        [is_new(0), is_new(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_within_four_seconds_count_once_at_any_time() {
        let (mut watched, mut decided) = (
            Watched::default(),
            Decided {
                rejected: 65_530,
                accepted: 7,
            },
        );
        let mut count = |seconds: u64, rejected, accepted| {
            decided.rejected += rejected;
            decided.accepted += accepted;
            watched.new_calls(decided, Duration::from_secs(seconds))
        };
        // Those before the first look are not new.
        assert_eq!(count(1_000, 3, 2), [false, false]);
        for start in (1_001..1_400).step_by(8) {
            assert_eq!(count(start, 1, 0), [true, false], "{start}");
            assert_eq!(count(start + 1, 1, 2), [false, true], "{start}");
            assert_eq!(count(start + 2, 0, 1), [false, false], "{start}");
            assert_eq!(count(start + 4, 5, 1), [true, false], "{start}");
            assert_eq!(count(start + 5, 0, 1), [false, true], "{start}");
        }
    }
}
