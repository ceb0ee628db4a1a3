//! Times that are kept for each call at zero seats.

use std::{num::NonZeroU64, time::Duration};

pub(super) const NANOS_PER_SECOND: u64 = 1_000_000_000;
pub(super) const NANOS_PER_MS: u64 = 1_000_000;

/// Returns a time in nanoseconds. Five hundred years fit; computing more exactly takes decisions longer.
#[inline]
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs()
        .wrapping_mul(NANOS_PER_SECOND)
        .wrapping_add(u64::from(time.subsec_nanos()))
}

/// A time in nanoseconds, one of which is added. It takes 8 bytes even if there may be none; a [`Duration`] takes 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(NonZeroU64);

impl Nanos {
    /// The time.
    pub(super) fn time(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }
}

impl From<Duration> for Nanos {
    fn from(time: Duration) -> Self {
        // Five hundred years fit.
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }
}
