//! Every metric name and help text, and how they are written down for a scraper.
//!
//! Counters and histograms are kept here from the first event on. Gauges are not kept at all: a [`Scrape`] works them out
//! from the board and the budgets at the moment of asking, so that a number never outlives what it was true of. An unknown
//! is an absent sample, never 0. Labels come from closed sets: the config's accounts and queues, our own words, and a bounded
//! number of status names.
//!
//! The registry writes OpenMetrics; [`Format::Text`] is what scrapers without it understand.

mod agents;
mod durations;
mod process;
mod scrape;
mod text;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text as openmetrics},
    metrics::{
        MetricType, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

pub use agents::{ByStatus, STATUS_LABELS, each_once};
pub use scrape::{QueueGauges, Scrape, StateGauges};

use self::durations::Durations;
use crate::{
    clock::Moment,
    decision::{Decision, Reason, board::QueueKey},
};

/// How a scraper wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format 0.0.4, which every scraper reads.
    Text,
}

impl Format {
    /// OpenMetrics for those who name it in `Accept`, whatever weight they give it: both say the same.
    pub fn wanted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Text,
        }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Why a connection was cut from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// As many connections were open as may be.
    OverLimit,
    /// No complete request head, or TLS handshake, in time.
    SlowRequest,
    /// The client did not take its answer in time, or fell too far behind on a stream.
    SlowReader,
    /// The TLS handshake failed: plain HTTP, a client that does not trust our certificate, no version in common.
    TlsFailed,
}

impl Dropped {
    /// The value of the label `cause`.
    pub fn word(self) -> &'static str {
        match self {
            Dropped::OverLimit => "over_limit",
            Dropped::SlowRequest => "slow_request",
            Dropped::SlowReader => "slow_reader",
            Dropped::TlsFailed => "tls_failed",
        }
    }
}

/// Everything that openseat counts. One per process, made once, handed to everybody.
pub struct Metrics {
    registry: Registry,
    queues: Arc<RwLock<Queues>>,
    decision_duration: Durations,
    upstream_requests: Family<UpstreamLabels, Counter>,
    upstream_duration: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    budget_wait: Family<AccountLabels, Histogram, fn() -> Histogram>,
    sweeps_distrusted: Family<AccountLabels, Counter>,
    config_is_newest: Gauge,
    config_read: Gauge<f64, AtomicU64>,
    connections_dropped: Family<CauseLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    account: Arc<str>,
    endpoint: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    account: Arc<str>,
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountLabels {
    account: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

/// CallTools answers in up to half a second; ten seconds is where we give up.
fn upstream_seconds() -> Histogram {
    Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// A permit comes at once, after the few seconds between evenly spread requests, or when the hour frees one.
fn wait_seconds() -> Histogram {
    Histogram::new([0.001, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
}

impl Metrics {
    /// Nothing counted yet, for these queues, in a process that started at `started`.
    pub fn new(queues: impl IntoIterator<Item = QueueKey>, started: Moment) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            queues: Arc::default(),
            decision_duration: Durations::default(),
            upstream_requests: Family::default(),
            upstream_duration: Family::new_with_constructor(upstream_seconds),
            budget_wait: Family::new_with_constructor(wait_seconds),
            sweeps_distrusted: Family::default(),
            config_is_newest: Gauge::default(),
            config_read: Gauge::default(),
            connections_dropped: Family::default(),
        };
        metrics.count_for(queues);
        let queues = QueueCounters(Arc::clone(&metrics.queues));
        metrics.register(queues, started);
        metrics.reloaded(true, started);
        metrics
    }

    /// The config was read; `well`, if it is in force.
    pub fn reloaded(&self, well: bool, now: Moment) {
        self.config_is_newest.set(i64::from(well));
        if well {
            self.config_read.set(now.wall.as_secs_f64());
        }
    }

    /// From now on these are the queues: those that stay go on counting, those that are gone are shown no more.
    pub fn count_for(&self, keys: impl IntoIterator<Item = QueueKey>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let in_order: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let known = queues.by_key.get(&key).cloned();
                known.unwrap_or_else(|| Arc::new(QueueMeters::new(key)))
            })
            .collect();
        queues.by_key = in_order
            .iter()
            .map(|queue| (queue.key.clone(), Arc::clone(queue)))
            .collect();
        queues.in_order = in_order;
    }

    fn queues(&self) -> RwLockReadGuard<'_, Queues> {
        // Changed whole: whoever panicked while holding it left nothing half done.
        self.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&mut self, queues: QueueCounters, started: Moment) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("openseat_build", "The version that runs", build);
        registry.register(
            "openseat_decision_duration_seconds",
            "Time to decide about one queue, without reading the request or writing the answer",
            self.decision_duration.clone(),
        );
        registry.register(
            "openseat_upstream_requests",
            "Requests sent to CallTools, by how they ended",
            self.upstream_requests.clone(),
        );
        registry.register(
            "openseat_upstream_request_duration_seconds",
            "Time from sending a request to CallTools to its complete answer or failure",
            self.upstream_duration.clone(),
        );
        registry.register(
            "openseat_budget_wait_seconds",
            "Time that a request waited for its permit",
            self.budget_wait.clone(),
        );
        registry.register(
            "openseat_sweeps_distrusted",
            "Times that sweeps of the whole account were given up, since they were refused or contradicted its queues",
            self.sweeps_distrusted.clone(),
        );
        registry.register(
            "openseat_config_last_reload_successful",
            "Whether the config that was read last is in force: 1, or 0 where it was refused",
            self.config_is_newest.clone(),
        );
        registry.register(
            "openseat_config_last_reload_success_timestamp_seconds",
            "When the config that is in force was read, since the epoch",
            self.config_read.clone(),
        );
        registry.register(
            "openseat_connections_dropped",
            "Connections that openseat cut, by cause",
            self.connections_dropped.clone(),
        );
        registry.register_collector(Box::new(queues));
        registry.register_collector(Box::new(process::Process::started(started)));
    }

    /// The counters of one queue, to look up once and keep; `None` for a queue that is not configured.
    pub fn queue(&self, key: &QueueKey) -> Option<Arc<QueueMeters>> {
        self.queues().by_key.get(key).map(Arc::clone)
    }

    /// A decision about a queue was given to somebody.
    pub fn decision(&self, queue: &QueueMeters, decision: &Decision, took: Duration) {
        queue.count(decision);
        self.decision_duration.observe(took);
    }

    /// A request to CallTools has ended: `endpoint` such as `agentstatuses`, `outcome` is `ok` or
    /// [`Fault::as_str`](crate::model::fault::Fault::as_str).
    pub fn upstream_request(
        &self,
        account: &Arc<str>,
        endpoint: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let account = || Arc::clone(account);
        self.upstream_requests
            .get_or_create_owned(&UpstreamLabels {
                account: account(),
                endpoint,
                outcome,
            })
            .inc();
        self.upstream_duration
            .get_or_create_owned(&EndpointLabels {
                account: account(),
                endpoint,
            })
            .observe(took.as_secs_f64());
    }

    /// A request got its permit after this time, which may be none at all.
    pub fn budget_wait(&self, account: &Arc<str>, waited: Duration) {
        let account = Arc::clone(account);
        self.budget_wait
            .get_or_create_owned(&AccountLabels { account })
            .observe(waited.as_secs_f64());
    }

    /// Sweeps of an account were given up for a while.
    pub fn sweep_distrusted(&self, account: &Arc<str>) {
        let account = Arc::clone(account);
        self.sweeps_distrusted
            .get_or_create_owned(&AccountLabels { account })
            .inc();
    }

    /// A snapshot was published whose rows are not as many as CallTools counted.
    pub fn incomplete_snapshot(&self, key: &QueueKey) {
        if let Some(queue) = self.queue(key) {
            queue.incomplete_snapshots.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many rows of a poll could not be read and were left out.
    pub fn skipped_rows(&self, key: &QueueKey, rows: u64) {
        if let Some(queue) = self.queue(key) {
            queue.skipped_rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// We cut a connection.
    pub fn connection_dropped(&self, cause: Dropped) {
        let cause = cause.word();
        self.connections_dropped
            .get_or_create_owned(&CauseLabels { cause })
            .inc();
    }

    /// Everything, written down.
    pub fn render(&self, scrape: Scrape, format: Format) -> String {
        let mut gauges = Registry::default();
        gauges.register_collector(Box::new(scrape));
        let mut text = String::with_capacity(16 * 1024);
        openmetrics::encode_registry(&mut text, &self.registry)
            .and_then(|()| openmetrics::encode_registry(&mut text, &gauges))
            .and_then(|()| openmetrics::encode_eof(&mut text))
            .expect("writing to a String cannot fail");
        match format {
            Format::OpenMetrics => text,
            Format::Text => text::from_openmetrics(&text),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("queues", &self.queues().in_order.len())
            .finish_non_exhaustive()
    }
}

/// The counters of all queues, in the order of the config.
#[derive(Debug, Default)]
struct Queues {
    in_order: Vec<Arc<QueueMeters>>,
    by_key: HashMap<QueueKey, Arc<QueueMeters>>,
}

/// The counters of one queue. Counting a decision is one atomic addition, without a look-up.
#[derive(Debug)]
pub struct QueueMeters {
    key: QueueKey,
    /// By reason, in the order of [`Reason::ALL`]: rejected, accepted.
    decisions: [[AtomicU64; 2]; Reason::ALL.len()],
    incomplete_snapshots: AtomicU64,
    skipped_rows: AtomicU64,
}

impl QueueMeters {
    fn new(key: QueueKey) -> Self {
        Self {
            key,
            decisions: Default::default(),
            incomplete_snapshots: AtomicU64::new(0),
            skipped_rows: AtomicU64::new(0),
        }
    }

    fn count(&self, decision: &Decision) {
        // `Reason::ALL` is in the order of declaration.
        self.decisions[decision.reason as usize][usize::from(decision.accept)]
            .fetch_add(1, Ordering::Relaxed);
    }

    /// The questions about the queue so far.
    pub fn asked(&self) -> u64 {
        let counts = self.decisions.iter().flatten();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The decisions given so far, as (result, reason, number). The two everyday ones are there from the start, so that a
    /// rate can be taken over the first one; the rest once they happen, which keeps 1,000 queues at a few thousand series.
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
                (count > 0 || everyday).then_some((result_word(accept), reason, count))
            })
        })
    }
}

fn result_word(accept: bool) -> &'static str {
    if accept { "accept" } else { "reject" }
}

/// Writes the counters of all queues.
#[derive(Debug)]
struct QueueCounters(Arc<RwLock<Queues>>);

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

impl Collector for QueueCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let queues = self.queues();
        if queues.is_empty() {
            return Ok(());
        }
        Self::encode_decisions(&queues, &mut encoder)?;
        let incomplete = (
            "openseat_incomplete_snapshots",
            "Snapshots published whose rows are not as many as CallTools counted.",
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

#[cfg(test)]
mod tests;
