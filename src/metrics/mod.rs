//! Every metric's name and help text, and how they are written for a scraper.
//!
//! Counters and histograms are kept here. Gauges are not: each [`Scrape`] reads them from the board and the budgets, so a gauge never
//! outlives the state that it describes. An unknown is an absent sample, never 0. Label values come from closed sets: the accounts and
//! queues of the config, fixed names, and a bounded number of status names.
//!
//! The registry writes OpenMetrics. [`Format::Text`] is for scrapers that do not read it.

mod agents;
mod durations;
mod process;
mod queues;
mod scrape;
#[cfg(test)]
mod tests;
mod text;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text as openmetrics},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};
use strum::{IntoStaticStr, VariantArray};

pub use self::{
    agents::{ByStatus, MAX_STATUS_LABELS, each_once},
    queues::QueueMeters,
    scrape::{ClusterGauges, QueueGauges, Scrape, StateGauges},
};
use self::{
    durations::Durations,
    queues::{QueueCounters, Queues},
};
use crate::{
    clock::Moment,
    decision::{Decision, board::QueueKey},
};

/// The format that a scraper accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format 0.0.4, which every scraper reads.
    Text,
}

impl Format {
    /// Chooses OpenMetrics if `Accept` names it, with any weight: both formats contain the same.
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

/// Why openseat closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Dropped {
    /// The limit of open connections was reached.
    OverLimit,
    /// The request head or the TLS handshake was not complete in time.
    SlowRequest,
    /// The client did not read its answer in time, or fell too far behind on a stream.
    SlowReader,
    /// The TLS handshake failed: plain HTTP, a client that does not trust our certificate, or no common version.
    TlsFailed,
    /// The client did not send a request that could be parsed.
    BadRequest,
}

impl Dropped {
    /// Returns the value of the label `cause`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The outcome of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Notified {
    /// Its recipient accepted it.
    Sent,
    /// An attempt failed; it is retried, or lost.
    Failed,
    /// It was given up.
    Lost,
    /// A newer answer of the queue replaced it before it was sent.
    Replaced,
}

/// Everything that openseat counts. One per process, shared by everything that counts.
pub struct Metrics {
    registry: Registry,
    queues: Arc<RwLock<Queues>>,
    decision_duration: Durations,
    upstream_requests: Family<UpstreamLabels, Counter>,
    upstream_duration: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    budget_wait: Family<AccountLabels, Histogram, fn() -> Histogram>,
    sweeps_distrusted: Family<AccountLabels, Counter>,
    feed_skipped_rows: Family<FeedLabels, Counter>,
    config_is_newest: Gauge,
    config_read: Gauge<f64, AtomicU64>,
    connections_dropped: Family<CauseLabels, Counter>,
    client_requests: Family<ClientLabels, Counter>,
    notifications: Family<OutcomeLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    client: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
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
struct FeedLabels {
    account: Arc<str>,
    feed: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

/// CallTools usually answers within half a second. After ten seconds the default timeout gives up.
fn upstream_seconds() -> Histogram {
    Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// A permit comes at once, after the seconds between evenly spread requests, or when a request leaves the hour's window.
fn wait_seconds() -> Histogram {
    Histogram::new([0.001, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
}

impl Metrics {
    /// Creates metrics that have counted nothing, for these queues, in a process that started at `started`.
    pub fn new(queues: impl IntoIterator<Item = QueueKey>, started: Moment) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            queues: Arc::default(),
            decision_duration: Durations::default(),
            upstream_requests: Family::default(),
            upstream_duration: Family::new_with_constructor(upstream_seconds),
            budget_wait: Family::new_with_constructor(wait_seconds),
            sweeps_distrusted: Family::default(),
            feed_skipped_rows: Family::default(),
            config_is_newest: Gauge::default(),
            config_read: Gauge::default(),
            connections_dropped: Family::default(),
            client_requests: Family::default(),
            notifications: Family::default(),
        };
        metrics.count_for(queues);
        let queues = QueueCounters(Arc::clone(&metrics.queues));
        metrics.register(queues, started);
        metrics.reloaded(true, started);
        metrics
    }

    /// Counts a reload of the config, which is in force if `well`.
    pub fn reloaded(&self, well: bool, now: Moment) {
        self.config_is_newest.set(i64::from(well));
        if well {
            self.config_read.set(now.wall.as_secs_f64());
        }
    }

    /// Replaces the queues. Those that stay keep their counts, those that are gone are no longer shown.
    pub fn count_for(&self, keys: impl IntoIterator<Item = QueueKey>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.replace(keys);
    }

    fn queues(&self) -> RwLockReadGuard<'_, Queues> {
        // It is replaced as a whole, so a panic leaves nothing half done.
        self.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&mut self, queues: QueueCounters, started: Moment) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("openseat_build", "The running version", build);
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
            "Time a request waited for its permit",
            self.budget_wait.clone(),
        );
        registry.register(
            "openseat_sweeps_distrusted",
            "Times that sweeps of the whole account were suspended, because they were refused, were not answered, or contradicted the queues",
            self.sweeps_distrusted.clone(),
        );
        registry.register(
            "openseat_feed_skipped_rows",
            "Rows of lists of all agents that could not be read and were skipped",
            self.feed_skipped_rows.clone(),
        );
        registry.register(
            "openseat_config_last_reload_successful",
            "Whether the config that was read last is in force: 1, or 0 if it was rejected",
            self.config_is_newest.clone(),
        );
        registry.register(
            "openseat_config_last_reload_success_timestamp_seconds",
            "When the config in force was read, in seconds since the epoch",
            self.config_read.clone(),
        );
        registry.register(
            "openseat_connections_dropped",
            "Connections that openseat closed, by cause",
            self.connections_dropped.clone(),
        );
        registry.register(
            "openseat_client_requests",
            "Requests by each client of the config, with its own token",
            self.client_requests.clone(),
        );
        // Each outcome exists from the start, so that a rate includes the first one.
        for outcome in Notified::VARIANTS {
            let outcome = outcome.into();
            drop(
                self.notifications
                    .get_or_create_owned(&OutcomeLabels { outcome }),
            );
        }
        registry.register(
            "openseat_notifications",
            "Messages and pushes to recipients of [[notify]], by outcome",
            self.notifications.clone(),
        );
        registry.register_collector(Box::new(queues));
        registry.register_collector(Box::new(process::Process::started(started)));
    }

    /// Returns the counters of one queue. Look them up once and keep them. `None` for a queue that is not configured.
    pub fn queue(&self, key: &QueueKey) -> Option<Arc<QueueMeters>> {
        self.queues().get(key)
    }

    /// Counts a request of a client of the config.
    pub fn client_request(&self, client: &Arc<str>) {
        let labels = ClientLabels {
            client: Arc::clone(client),
        };
        self.client_requests.get_or_create(&labels).inc();
    }

    /// Counts notifications with the same outcome.
    pub fn notified(&self, outcome: Notified, count: u64) {
        let outcome = outcome.into();
        self.notifications
            .get_or_create_owned(&OutcomeLabels { outcome })
            .inc_by(count);
    }

    /// Counts a decision that was given to a caller.
    pub fn decision(&self, queue: &QueueMeters, decision: &Decision, took: Duration) {
        queue.count(decision);
        self.decision_duration.observe(took);
    }

    /// Counts a request to CallTools that has ended. `endpoint` is a name such as `agentstatuses`, `outcome` is `ok` or
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

    /// Counts a permit, and how long the request waited for it, which may be zero.
    pub fn budget_wait(&self, account: &Arc<str>, waited: Duration) {
        let account = Arc::clone(account);
        self.budget_wait
            .get_or_create_owned(&AccountLabels { account })
            .observe(waited.as_secs_f64());
    }

    /// Counts that an account's sweeps were suspended.
    pub fn sweep_distrusted(&self, account: &Arc<str>) {
        let account = Arc::clone(account);
        self.sweeps_distrusted
            .get_or_create_owned(&AccountLabels { account })
            .inc();
    }

    /// Counts the rows of a feed's list that could not be read and were left out.
    pub fn feed_skipped_rows(&self, account: &Arc<str>, feed: &'static str, rows: u64) {
        let account = Arc::clone(account);
        self.feed_skipped_rows
            .get_or_create_owned(&FeedLabels { account, feed })
            .inc_by(rows);
    }

    /// Counts a published snapshot with more or fewer rows than CallTools counted.
    pub fn incomplete_snapshot(&self, key: &QueueKey) {
        if let Some(queue) = self.queue(key) {
            queue.incomplete_snapshots.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the rows of a poll that could not be read and were left out.
    pub fn skipped_rows(&self, key: &QueueKey, rows: u64) {
        if let Some(queue) = self.queue(key) {
            queue.skipped_rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// Counts a situation at zero seats that has ended: the predicted likelihood in tenths, and whether a seat was seen.
    pub fn soon(&self, key: &QueueKey, tenth: usize, seen: bool) {
        if let Some(queue) = self.queue(key) {
            queue.count_soon(tenth, seen);
        }
    }

    /// Counts a connection that openseat closed.
    pub fn connection_dropped(&self, cause: Dropped) {
        let cause = cause.as_str();
        self.connections_dropped
            .get_or_create_owned(&CauseLabels { cause })
            .inc();
    }

    /// Writes everything for a scraper.
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
