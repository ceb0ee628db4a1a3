//! Seats and agents over time: turns the samples of a range into means of its equal parts.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::limit::{HistoryError, MAX_BUCKETS};

/// A sample holds until the next one, but at most for two of its queue's polls. After that the seats are unknown, because nothing recorded them any
/// more: while openseat runs, a sample without counts follows as soon as the data is too old for a decision. Data that was old already when
/// it was recorded, such as what a restart restores, holds no longer than that either.
pub const HOLDS_MS: i64 = 600_000;

/// A range of time in equal parts.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) bucket_ms: i64,
}

impl Range {
    /// The range from a moment, included, to another, excluded.
    ///
    /// # Errors
    /// [`HistoryError::Range`] if it is empty or has too many parts.
    pub fn new(from: Timestamp, to: Timestamp, bucket: Duration) -> Result<Self, HistoryError> {
        let range = Self {
            from_ms: from.as_millisecond(),
            to_ms: to.as_millisecond(),
            bucket_ms: i64::try_from(bucket.as_millis()).map_err(|_| HistoryError::Range)?,
        };
        let makes_sense = range.bucket_ms >= 1_000
            && range.from_ms < range.to_ms
            && range.len() <= MAX_BUCKETS as usize;
        makes_sense.then_some(range).ok_or(HistoryError::Range)
    }

    pub(super) fn len(self) -> usize {
        self.to_ms
            .abs_diff(self.from_ms)
            .div_ceil(self.bucket_ms.unsigned_abs()) as usize
    }

    pub(super) fn start_ms(self, bucket: usize) -> i64 {
        self.from_ms + bucket as i64 * self.bucket_ms
    }

    fn bucket_of(self, at_ms: i64) -> usize {
        ((at_ms - self.from_ms) / self.bucket_ms) as usize
    }

    /// Splits a time within the range at the borders of buckets: their numbers, and the milliseconds in each.
    pub(super) fn split(self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = (usize, i64)> {
        let mut from_ms = from_ms;
        std::iter::from_fn(move || {
            let n = (from_ms < to_ms).then(|| self.bucket_of(from_ms))?;
            let end_ms = to_ms.min(self.start_ms(n + 1));
            let ms = end_ms - from_ms;
            from_ms = end_ms;
            Some((n, ms))
        })
    }
}

/// What was known about a queue at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was recorded.
    pub at: Timestamp,
    /// The time of CallTools' data.
    pub as_of: Timestamp,
    /// What the queue's criteria counted; `None` if unknown.
    pub seats: Option<f64>,
    /// Agents by status.
    pub agents: BTreeMap<String, u32>,
}

impl Sample {
    /// Until when it holds if no other one follows.
    pub(crate) fn holds_until_ms(&self) -> i64 {
        self.at.min(self.as_of).as_millisecond() + HOLDS_MS
    }
}

/// What was known about a queue in a part of a range. Means cover only the time in which something was known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// When the part begins.
    pub from: Timestamp,
    /// How long the seats were known.
    pub known: Duration,
    /// The least, mean and most seats; `None` if they were never known.
    pub seats: Option<[f64; 3]>,
    /// The mean number of agents by status.
    pub agents: BTreeMap<String, f64>,
}

/// Buckets under construction: sums of values times milliseconds.
pub(super) struct Series {
    range: Range,
    buckets: Vec<Bucket>,
    seats_ms: Vec<(f64, i64)>,
    all_ms: Vec<i64>,
}

impl Series {
    pub fn over(range: Range, samples: &[Sample]) -> Vec<Bucket> {
        let bucket = |n| Bucket {
            from: timestamp(range.start_ms(n)),
            ..Bucket::default()
        };
        let mut series = Self {
            range,
            buckets: (0..range.len()).map(bucket).collect(),
            seats_ms: vec![(0.0, 0); range.len()],
            all_ms: vec![0; range.len()],
        };
        let ends = samples.iter().skip(1).map(|next| next.at.as_millisecond());
        for (sample, next) in samples.iter().zip(ends.chain([i64::MAX])) {
            let from = sample.at.as_millisecond();
            series.hold(
                sample,
                from.max(range.from_ms),
                next.min(sample.holds_until_ms()).min(range.to_ms),
            );
        }
        series.finish()
    }

    /// Adds a sample that held between two times.
    fn hold(&mut self, sample: &Sample, from_ms: i64, to_ms: i64) {
        if sample.seats.is_none() && sample.agents.is_empty() {
            return; // Nothing was known.
        }
        for (n, ms) in self.range.split(from_ms, to_ms) {
            self.add(n, sample, ms);
        }
    }

    fn add(&mut self, n: usize, sample: &Sample, ms: i64) {
        let bucket = &mut self.buckets[n];
        self.all_ms[n] += ms;
        for (status, count) in &sample.agents {
            *bucket.agents.entry(status.clone()).or_default() += f64::from(*count) * ms as f64;
        }
        let Some(seats) = sample.seats else { return };
        let [least, _, most] = bucket.seats.unwrap_or([seats; 3]);
        bucket.seats = Some([least.min(seats), 0.0, most.max(seats)]);
        bucket.known += Duration::from_millis(ms.max(0) as u64);
        self.seats_ms[n].0 += seats * ms as f64;
        self.seats_ms[n].1 += ms;
    }

    fn finish(mut self) -> Vec<Bucket> {
        let sums = self.seats_ms.iter().zip(&self.all_ms);
        for (bucket, ((seats, seats_ms), all_ms)) in self.buckets.iter_mut().zip(sums) {
            if let Some([_, mean, _]) = &mut bucket.seats {
                *mean = seats / *seats_ms as f64;
            }
            bucket
                .agents
                .values_mut()
                .for_each(|sum| *sum /= *all_ms as f64);
        }
        self.buckets
    }
}

pub(super) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
