//! A histogram of decisions' durations that takes no lock.
//!
//! The registry's own histogram has a lock that all serving threads would share. Here an observation is two atomic additions. A scrape reads
//! the numbers one by one, so one may include an observation that another does not yet. The next scrape corrects that.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

/// Upper bounds in nanoseconds. A decision reads memory only: microseconds, unless the machine is overloaded.
const BOUNDS: [u64; 10] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// See the [module](self). Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The last bucket counts durations above all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Overflows after five centuries.
    sum_ns: AtomicU64,
}

impl Durations {
    pub(super) fn observe(&self, took: Duration) {
        let ns = took.as_nanos() as u64;
        // Nearly all fall into the first bucket.
        let bucket = BOUNDS.iter().position(|bound| ns <= *bound);
        self.0.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        self.0.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let bounds = BOUNDS.iter().map(|ns| seconds(*ns)).chain([f64::INFINITY]);
        let counts = self
            .0
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.sum_ns.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text, metrics::histogram::Histogram, registry::Registry};

    use super::*;

    fn written(metric: impl prometheus_client::registry::Metric) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register("took_seconds", "Time", metric);
        text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn it_is_written_like_the_registrys_own_histogram() {
        let ours = Durations::default();
        let theirs = Histogram::new(BOUNDS.map(|ns| ns as f64 / 1e9));
        for ns in [0, 500, 1_000, 1_001, 2_500, 7_000, 100_000_000, 100_000_001] {
            ours.observe(Duration::from_nanos(ns));
            theirs.observe(Duration::from_nanos(ns).as_secs_f64());
        }
        let without_sum = |text: String| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.contains("_sum"));
            lines.map(str::to_owned).collect()
        };
        let ours = written(ours);
        assert!(ours.contains("took_seconds_sum 0.200012002"), "{ours}");
        assert_eq!(without_sum(ours), without_sum(written(theirs)));
    }
}
