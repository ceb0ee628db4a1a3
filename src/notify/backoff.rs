//! The wait after a failed attempt.

use std::time::Duration;

/// The first wait. It doubles with each further failure.
const FIRST: Duration = Duration::from_secs(1);

/// Returns the wait after this many failures in a row: at most `longest`, plus or minus a quarter, so that clients of one address spread out.
pub(super) fn wait(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound() {
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (9, 60.0), (u32::MAX, 60.0)] {
            let wait = wait(failures, Duration::from_secs(60)).as_secs_f64();
            assert!((0.75 * seconds..=1.25 * seconds).contains(&wait), "{wait}");
        }
    }
}
