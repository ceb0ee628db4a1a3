//! The pace of polling: evenly spread, with a small bucket for bursts.
//!
//! governor's token bucket says when the next poll may start. It alone would not keep the promise: `Quota::per_hour(1000)` lets 1,999
//! requests through in its first hour, because a full bucket comes on top of a full rate, and each restart fills the bucket again. So
//! the [window](super::window) decides, and also sets how fast the bucket fills: whenever the rate that the window allows for the next hour
//! changes, the bucket is fitted to it.

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as _,
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};

use super::window::Time;
use crate::clock::Clock;

/// A smaller change of the rate is not worth a new bucket. The window catches the difference.
const WORTH_FITTING: f64 = 0.02;

/// A window of at most this many requests is read in a few microseconds, so it is read for each admitted request.
const SMALL_WINDOW: usize = 1024;

/// How often a larger window is read. At 20,000 requests an hour that is about every fifth request.
const FIT_LARGE_EVERY: Duration = Duration::from_secs(1);

/// Boot time for governor, which needs a clock that does not step.
#[derive(Clone, Debug)]
struct BootTime(Arc<dyn Clock>);

impl governor::clock::Clock for BootTime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().boot
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, BootTime, StateInformationMiddleware>;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pace {
    clock: BootTime,
    /// The maximum of saved permits.
    capacity: NonZeroU32,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    limiter: Limiter,
    /// Permits per second that flow into the bucket.
    rate: f64,
    /// Permits per second that evenly spread polls take, including saved ones. It is higher than `rate`, so that permits saved by chance are
    /// used up instead of slowing the flow.
    pace: f64,
    /// Saved permits at the last take.
    in_hand: u32,
    /// Boot time of the last take.
    taken: Duration,
    /// When the bucket was last fitted, on the budget's clock.
    fitted: Option<Time>,
}

impl Pace {
    /// Creates an empty bucket that fills at `rate` permits per second.
    pub fn new(clock: Arc<dyn Clock>, capacity: NonZeroU32, rate: f64) -> Self {
        let clock = BootTime(clock);
        let bucket = Bucket::new(&clock, capacity, rate, 0);
        Self {
            clock,
            capacity,
            bucket: Mutex::new(bucket),
        }
    }

    /// Takes a permit from the bucket, or returns the time until the next one.
    pub fn take(&self) -> Result<(), Duration> {
        let mut bucket = self.lock();
        let outcome = bucket.limiter.check();
        match outcome {
            Ok(state) => {
                bucket.in_hand = state.remaining_burst_capacity();
                bucket.taken = self.clock.now();
                Ok(())
            }
            Err(not_until) => Err(not_until.wait_time_from(self.clock.now())),
        }
    }

    /// Returns whether to fit the bucket to a window with `used` requests now. Large windows change little within a second, and take longer to
    /// read.
    pub fn should_fit(&self, now: Time, used: usize) -> bool {
        let mut bucket = self.lock();
        let is_time = bucket
            .fitted
            .is_none_or(|last| now >= last + FIT_LARGE_EVERY);
        if is_time {
            bucket.fitted = Some(now);
        }
        is_time || used <= SMALL_WINDOW
    }

    /// Sets the rate to what `even_rate` returns for the saved permits, and the pace to what it returns for none, which uses the saved ones up.
    pub fn fit(&self, mut even_rate: impl FnMut(u32) -> f64) {
        let mut bucket = self.lock();
        let rate = even_rate(bucket.in_hand);
        if (rate / bucket.rate - 1.0).abs() > WORTH_FITTING {
            let fitted = bucket.fitted;
            *bucket = Bucket::new(&self.clock, self.capacity, rate, bucket.in_hand);
            bucket.fitted = fitted;
        }
        bucket.pace = even_rate(0);
    }

    /// Returns how full the bucket is, 0 to 1.
    #[cfg(test)]
    pub fn fill(&self) -> f64 {
        let bucket = self.lock();
        let earned = self.clock.now().saturating_sub(bucket.taken).as_secs_f64() * bucket.rate;
        ((f64::from(bucket.in_hand) + earned) / f64::from(self.capacity.get())).min(1.0)
    }

    /// Returns the time between two evenly spread polls.
    pub fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.lock().pace)
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        // Each change of the bucket is one assignment, so a panic leaves it whole.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn new(clock: &BootTime, capacity: NonZeroU32, rate: f64, in_hand: u32) -> Self {
        let period = Duration::from_secs_f64(1.0 / rate);
        let quota = Quota::with_period(period)
            .expect("an hour over at most 4 billion requests is more than 0 ns")
            .allow_burst(capacity);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        // governor's buckets start full.
        if let Some(surplus) = NonZeroU32::new(capacity.get().saturating_sub(in_hand)) {
            let emptied = limiter.check_n(surplus);
            debug_assert!(
                matches!(emptied, Ok(Ok(_))),
                "a full bucket holds its capacity"
            );
        }
        Self {
            limiter,
            rate,
            pace: rate,
            in_hand,
            taken: clock.now(),
            fitted: None,
        }
    }
}
