//! Tracks attempts to read a list, and when to retry after a failure.

use std::time::Duration;

/// The first wait after a fault.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// The attempts to read one list, in the schedule's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    pub in_flight: bool,
    pub last_start: Option<Duration>,
    pub last_success: Option<Duration>,
    pub failures: u32,
    pub not_before: Duration,
    /// Whether failures since the last success were forgiven.
    pub is_forgiven: bool,
}

impl Attempts {
    pub fn start(&mut self, now: Duration) {
        self.in_flight = true;
        self.last_start = Some(now);
    }

    pub fn succeed(&mut self, now: Duration) {
        *self = Self {
            in_flight: false,
            last_success: Some(now),
            failures: 0,
            not_before: Duration::ZERO,
            is_forgiven: false,
            ..*self
        };
    }

    pub fn fail(&mut self, now: Duration, longest: Duration, jitter: f64) {
        self.in_flight = false;
        self.failures += 1;
        self.not_before = now + backoff(self.failures, longest, jitter);
    }

    pub fn is_ready(&self, now: Duration) -> bool {
        !self.in_flight && now >= self.not_before
    }
}

/// Returns the wait after `failures` in a row: doubled each time, up to `longest`. `jitter` in 0..1 removes up to half of it, so that requests
/// that failed together are not retried together.
pub(super) fn backoff(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(longest).mul_f64(1.0 - jitter / 2.0)
}
