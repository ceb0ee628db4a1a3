//! The counters of queues: decisions, and what was wrong with their rows.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::decision::{Decision, Reason, board::QueueKey};

/// The counters of all queues, in the order of the config.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) in_order: Vec<Arc<QueueMeters>>,
    by_key: HashMap<QueueKey, Arc<QueueMeters>>,
}

impl Queues {
    /// Replaces the queues. Those that stay keep their counts, those that are gone are no longer shown.
    pub(super) fn replace(&mut self, keys: impl IntoIterator<Item = QueueKey>) {
        let meters = |key| match self.by_key.get(&key) {
            Some(known) => Arc::clone(known),
            None => Arc::new(QueueMeters::new(key)),
        };
        self.in_order = keys.into_iter().map(meters).collect();
        let queues = self.in_order.iter();
        self.by_key = queues
            .map(|queue| (queue.key.clone(), Arc::clone(queue)))
            .collect();
    }

    pub(super) fn get(&self, key: &QueueKey) -> Option<Arc<QueueMeters>> {
        self.by_key.get(key).map(Arc::clone)
    }
}

/// The counters of one queue. Counting a decision is one atomic addition, without a look-up.
#[derive(Debug)]
pub struct QueueMeters {
    key: QueueKey,
    /// By reason, in the order of [`Reason::ALL`]: rejected, accepted.
    decisions: [[AtomicU64; 2]; Reason::ALL.len()],
    pub(super) incomplete_snapshots: AtomicU64,
    pub(super) skipped_rows: AtomicU64,
    /// Situations at zero seats, by predicted likelihood in tenths, and by whether a seat was seen then.
    soon: [[AtomicU64; 2]; 10],
    /// Answers at zero seats that were given to load balancers, which ask all the time and not about calls: rejected, accepted.
    checks: [AtomicU64; 2],
    /// Questions that wait for a fresher answer if that helps.
    patient: AtomicU64,
    /// Lists of agents that the drop-in was asked for. No scrape shows them: they are no decisions.
    listed: AtomicU64,
}

impl QueueMeters {
    /// Creates counters that no scrape shows.
    pub fn new(key: QueueKey) -> Self {
        Self {
            key,
            decisions: Default::default(),
            incomplete_snapshots: AtomicU64::new(0),
            skipped_rows: AtomicU64::new(0),
            soon: Default::default(),
            checks: Default::default(),
            patient: AtomicU64::new(0),
            listed: AtomicU64::new(0),
        }
    }

    pub(super) fn count(&self, decision: &Decision) {
        // `Reason::ALL` is in the order of declaration.
        self.decisions[decision.reason as usize][usize::from(decision.accept)]
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a situation at zero seats that has ended.
    pub(super) fn count_soon(&self, tenth: usize, seen: bool) {
        self.soon[tenth][usize::from(seen)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a decision for a load balancer, which was also counted as a decision.
    pub fn count_check(&self, decision: &Decision) {
        use Reason::{BelowThreshold, Reserved, Soon};
        if matches!(decision.reason, BelowThreshold | Reserved | Soon) {
            self.checks[usize::from(decision.accept)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many decisions have rejected a call because there was no seat, and how many have accepted one at zero seats.
    pub fn at_zero_seats(&self) -> (u64, u64) {
        let count = |reason: Reason, accept: bool| {
            self.decisions[reason as usize][usize::from(accept)].load(Ordering::Relaxed)
        };
        let rejected = count(Reason::BelowThreshold, false) + count(Reason::Reserved, false);
        let [checked, checked_soon] = [0, 1].map(|one| self.checks[one].load(Ordering::Relaxed));
        let accepted = count(Reason::Soon, true).saturating_sub(checked_soon);
        (rejected.saturating_sub(checked), accepted)
    }

    /// Counts a question that waits for a fresher answer if that helps.
    pub fn count_patient(&self) {
        self.patient.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many of these there were so far.
    pub fn patient(&self) -> u64 {
        self.patient.load(Ordering::Relaxed)
    }

    /// Counts a request for the list of the queue's agents, from which a client decides by itself.
    pub fn count_listed(&self) {
        self.listed.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often the queue was asked about so far: for decisions, and for its list of agents.
    pub fn asked(&self) -> u64 {
        let counts = self.decisions.iter().flatten().chain([&self.listed]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns the decisions given so far, as (result, reason, number). The two everyday kinds are present from the start, so that a rate includes
    /// the first one. The others appear once they happen, which keeps 1,000 queues at a few thousand series.
    pub(crate) fn decided(&self) -> impl Iterator<Item = (&'static str, Reason, u64)> {
        let by_reason = Reason::ALL.iter().copied().zip(&self.decisions);
        by_reason.flat_map(|(reason, counts)| {
            let results = [false, true].into_iter().zip(counts);
            results.filter_map(move |(accept, count)| {
                let count = count.load(Ordering::Relaxed);
                let everyday = matches!(
                    (accept, reason),
                    (true, Reason::Seats) | (false, Reason::BelowThreshold)
                );
                (count > 0 || everyday).then_some((result(accept), reason, count))
            })
        })
    }
}

fn result(accept: bool) -> &'static str {
    if accept { "accept" } else { "reject" }
}

/// Writes the counters of all queues.
#[derive(Debug)]
pub(super) struct QueueCounters(pub(super) Arc<RwLock<Queues>>);

impl QueueCounters {
    fn queues(&self) -> Vec<Arc<QueueMeters>> {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        queues.in_order.clone()
    }

    fn encode_plain(
        queues: &[Arc<QueueMeters>],
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        count: impl Fn(&QueueMeters) -> &AtomicU64,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for queue in queues {
            let labels = [
                ("account", &*queue.key.account),
                ("queue", &*queue.key.queue),
            ];
            let count = count(queue).load(Ordering::Relaxed);
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn encode_decisions(
        queues: &[Arc<QueueMeters>],
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "openseat_decisions",
            "Decisions given, by result and reason.",
            None,
            MetricType::Counter,
        )?;
        for queue in queues {
            for (result, reason, count) in queue.decided() {
                let labels = [
                    ("account", &*queue.key.account),
                    ("queue", &*queue.key.queue),
                    ("result", result),
                    ("reason", reason.as_str()),
                ];
                metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}

/// The tenths in which probabilities are counted, named by their lower ends.
const TENTHS: [&str; 10] = [
    "0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9",
];

impl QueueCounters {
    /// Only combinations that have occurred, so that 1,000 queues are not 20,000 series.
    fn encode_soon(
        queues: &[Arc<QueueMeters>],
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let has_any = |queue: &Arc<QueueMeters>| {
            let mut counts = queue.soon.iter().flatten();
            counts.any(|count| count.load(Ordering::Relaxed) > 0)
        };
        if !queues.iter().any(has_any) {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(
            "openseat_soon",
            "Situations at zero seats that looks have settled, by the predicted probability of a free agent (in tenths, by their lower ends), and by whether one was seen.",
            None,
            MetricType::Counter,
        )?;
        for queue in queues {
            for (predicted, counts) in TENTHS.iter().zip(&queue.soon) {
                for (seen, count) in ["false", "true"].iter().zip(counts) {
                    let count = count.load(Ordering::Relaxed);
                    if count == 0 {
                        continue;
                    }
                    let labels = [
                        ("account", &*queue.key.account),
                        ("queue", &*queue.key.queue),
                        ("foretold", *predicted),
                        ("seen", *seen),
                    ];
                    metric
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        Ok(())
    }
}

impl Collector for QueueCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let queues = self.queues();
        if queues.is_empty() {
            return Ok(());
        }
        Self::encode_decisions(&queues, &mut encoder)?;
        Self::encode_soon(&queues, &mut encoder)?;
        let incomplete = (
            "openseat_incomplete_snapshots",
            "Published snapshots that do not have as many rows as CallTools counted.",
        );
        Self::encode_plain(&queues, &mut encoder, incomplete, |queue| {
            &queue.incomplete_snapshots
        })?;
        let skipped = (
            "openseat_skipped_rows",
            "Rows from CallTools that could not be read and were left out.",
        );
        Self::encode_plain(&queues, &mut encoder, skipped, |queue| &queue.skipped_rows)
    }
}
