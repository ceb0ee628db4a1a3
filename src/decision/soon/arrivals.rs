//! How long reserved calls take to reach an agent. A lead that is longer than this costs calls.

use std::time::Duration;

/// How many calls are remembered: enough for a median, and few enough to follow a change within a day.
const KEPT: usize = 14;

/// The fewest calls for a meaningful median.
const MIN_CALLS: usize = 7;

/// Times are kept in tenths of a second, up to 25 s, which is also the longest lead.
const PER_SECOND: f64 = 10.0;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    tenths: [u8; KEPT],
    next: u8,
    count: u8,
}

impl Arrivals {
    /// Records that a call reached its agent this long after its reservation.
    pub fn arrived(&mut self, after: Duration) {
        // A cast of a number that is too large gives the largest value.
        self.tenths[usize::from(self.next)] = (after.as_secs_f64() * PER_SECOND) as u8;
        self.next = (self.next + 1) % KEPT as u8;
        self.count = (self.count + 1).min(KEPT as u8);
    }

    /// Returns the time within which half of the calls reached their agent; `None` if too few are known.
    pub fn median(&self) -> Option<Duration> {
        let mut known = self.tenths;
        let known = &mut known[..usize::from(self.count)];
        known.sort_unstable();
        let median = known.get(known.len() / 2)?;
        (known.len() >= MIN_CALLS).then(|| Duration::from_secs_f64(f64::from(*median) / PER_SECOND))
    }
}
