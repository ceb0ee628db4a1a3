//! The gauges: the state at the moment of a scrape. Each scrape computes them again.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet},
    metrics::MetricType,
};

use super::agents::{self, ByStatus};
use crate::{
    budget::Usage,
    clock::Moment,
    decision::{
        Policy,
        board::{QueueKey, QueueState},
        decide_with,
        reservations::{End, Holds},
    },
    model::{fault::FaultKind, names::Names, quantity::Quantity},
};

/// The possible sources of statuses.
pub const FEEDS: [&str; 4] = ["delta", "available", "sweep", "queues"];

/// The state of everything, taken for one scrape.
#[derive(Debug, Default)]
pub struct Scrape {
    /// In the order of the config.
    pub queues: Vec<QueueGauges>,
    /// Each account's window.
    pub budgets: Vec<(Arc<str>, Usage)>,
    /// Each account with a known queue, and the agents of its known queues, each agent once.
    pub agents: Vec<(Arc<str>, ByStatus)>,
    /// What is wrong with each account.
    pub faults: Vec<(Arc<str>, Option<FaultKind>)>,
    /// The source of each account's statuses: one of [`FEEDS`].
    pub feeds: Vec<(Arc<str>, &'static str)>,
    /// Connections open now, over all listeners.
    pub open_connections: usize,
    /// How many of them are streams of decisions.
    pub open_streams: usize,
    /// The parts of the state folder; empty without one.
    pub state: Vec<StateGauges>,
    /// Each account's place in the cluster; empty without one.
    pub cluster: Vec<ClusterGauges>,
}

/// An account's place in a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterGauges {
    /// The account.
    pub account: Arc<str>,
    /// The engine answers.
    pub up: bool,
    /// This node leads the account.
    pub leads: bool,
    /// Increases with each change of the leader.
    pub epoch: u64,
    /// How far this node is behind the log; `None` before it has read it.
    pub lag: Option<Duration>,
    /// The number of living nodes.
    pub nodes: usize,
}

/// A part of the state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateGauges {
    /// `ledger`, `store`, `history` or `calls`.
    pub part: &'static str,
    /// Its file cannot be used now.
    pub degraded: bool,
    /// How much was dropped so far because the disk was too slow.
    pub dropped: u64,
}

/// One queue's gauges. `None` is unknown, and becomes an absent sample.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueGauges {
    /// The queue.
    pub key: QueueKey,
    /// Whether a decision would use fresh data now. Never absent, so alerts can start from it for queues that were never found.
    pub known: bool,
    /// What a decision would count now.
    pub seats: Option<Quantity>,
    /// Agents by status name.
    pub agents: Option<ByStatus>,
    /// The age of the snapshot, even if it is too old to answer from.
    pub snapshot_age: Option<Duration>,
    /// When the last poll began.
    pub last_attempt: Option<Moment>,
    /// When a poll last succeeded.
    pub last_success: Option<Moment>,
    /// Seats held for calls on their way.
    pub held: u32,
    /// Reservations made so far, and how they ended, in the order of [`End::ALL`].
    pub reservations: (u64, [u64; End::ALL.len()]),
    /// Whether `soon` acts; `None` if it is off.
    pub soon_acts: Option<bool>,
}

impl QueueGauges {
    /// Reads them from the board, as of a queue with `soon` off. The account's `names` add the statuses that no agent has at the moment; without names,
    /// agents are not counted by status.
    pub fn new(
        key: &QueueKey,
        state: &QueueState,
        policy: &Policy,
        holds: &Holds,
        names: Option<&Names>,
        now: Moment,
    ) -> Self {
        let held = holds.held(now);
        let decision = decide_with(state, policy, held, now);
        let snapshot = state.snapshot.as_deref();
        Self {
            key: key.clone(),
            known: decision.reason.is_known(),
            seats: decision.count,
            agents: snapshot
                .filter(|_| decision.is_fresh)
                .zip(names)
                .map(|(snapshot, names)| agents::count_one_queue(snapshot, names)),
            snapshot_age: decision.age,
            last_attempt: state.last_attempt,
            last_success: state.last_success,
            held: held.all,
            reservations: holds.counts(),
            soon_acts: None,
        }
    }

    fn labels(&self) -> [(&str, &str); 2] {
        [("account", &*self.key.account), ("queue", &*self.key.queue)]
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_queues(&mut encoder)?;
        self.encode_agents(&mut encoder)?;
        self.encode_reservations(&mut encoder)?;
        self.encode_budgets(&mut encoder)?;
        self.encode_faults(&mut encoder)?;
        self.encode_feeds(&mut encoder)?;
        self.encode_state(&mut encoder)?;
        self.encode_cluster(&mut encoder)?;
        let counts = [
            (
                "openseat_open_connections",
                "Connections open now.",
                self.open_connections,
            ),
            (
                "openseat_open_streams",
                "Open connections that are streams of decisions.",
                self.open_streams,
            ),
        ];
        for (name, help, count) in counts {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&count)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn encode_queues(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Read = fn(&QueueGauges) -> Option<f64>;
        let families: [(&str, &str, Read); 7] = [
            (
                "openseat_queue_known",
                "Whether a decision about the queue would rest on fresh data now: 1, or 0 if not.",
                |queue| Some(u8::from(queue.known).into()),
            ),
            (
                "openseat_queue_reservations",
                "Seats held for calls on their way.",
                |queue| Some(queue.held.into()),
            ),
            (
                "openseat_queue_seats",
                "Seats that a decision would count now; absent when unknown.",
                |queue| queue.seats.map(Quantity::get),
            ),
            (
                "openseat_queue_snapshot_age_seconds",
                "Age of the newest snapshot; absent before the first.",
                |queue| queue.snapshot_age.map(|age| age.as_secs_f64()),
            ),
            (
                "openseat_queue_last_attempt_timestamp_seconds",
                "When the last poll began, in seconds since the epoch.",
                |queue| queue.last_attempt.map(seconds),
            ),
            (
                "openseat_queue_last_success_timestamp_seconds",
                "When a poll last succeeded, in seconds since the epoch.",
                |queue| queue.last_success.map(seconds),
            ),
            (
                "openseat_soon_acts",
                "Whether calls are accepted at zero seats if an agent will likely be free: 1, or 0 if not; absent where `soon` is off.",
                |queue| Some(u8::from(queue.soon_acts?).into()),
            ),
        ];
        for (name, help, read) in families {
            let samples = self
                .queues
                .iter()
                .filter_map(|queue| Some((queue.labels(), read(queue)?)));
            gauges(encoder, name, help, samples)?;
        }
        Ok(())
    }

    fn encode_agents(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let samples = self.queues.iter().flat_map(|queue| {
            let agents = queue.agents.iter().flatten();
            agents.map(|(status, count)| {
                let [account, name] = queue.labels();
                ([account, name, ("status", &**status)], *count as f64)
            })
        });
        gauges(
            encoder,
            "openseat_queue_agents",
            "Agents of the queue by status; absent when unknown.",
            samples,
        )?;
        let samples = self.agents.iter().flat_map(|(account, agents)| {
            let labels = |status| [("account", &**account), ("status", status)];
            agents
                .iter()
                .map(move |(status, count)| (labels(&**status), *count as f64))
        });
        gauges(
            encoder,
            "openseat_account_agents",
            "Agents of the account's known queues by status, each agent once.",
            samples,
        )
    }

    /// Writes counters for queues that ever held a seat.
    fn encode_reservations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let held_ever = |queue: &&QueueGauges| queue.reservations != Default::default();
        let queues: Vec<_> = self.queues.iter().filter(held_ever).collect();
        if queues.is_empty() {
            return Ok(());
        }
        let mut made = encoder.encode_descriptor(
            "openseat_reservations",
            "Reservations made.",
            None,
            MetricType::Counter,
        )?;
        for queue in &queues {
            made.encode_family(&queue.labels())?
                .encode_counter::<NoLabelSet, _, u64>(&queue.reservations.0, None)?;
        }
        let mut ended = encoder.encode_descriptor(
            "openseat_reservations_ended",
            "Reservations ended, by cause.",
            None,
            MetricType::Counter,
        )?;
        for queue in &queues {
            let [account, name] = queue.labels();
            for (end, count) in End::ALL.iter().zip(queue.reservations.1) {
                ended
                    .encode_family(&[account, name, ("cause", end.as_str())])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn encode_budgets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Read = fn(&Usage) -> f64;
        let families: [(&str, &str, Read); 4] = [
            (
                "openseat_budget_limit_requests",
                "Requests allowed in any 3600 s.",
                |usage| f64::from(usage.limit),
            ),
            (
                "openseat_budget_used_requests",
                "Requests in the last 3600 s, including those under way.",
                |usage| f64::from(usage.used),
            ),
            (
                "openseat_budget_reserve_requests",
                "Requests kept back from polling.",
                |usage| f64::from(usage.reserve),
            ),
            (
                "openseat_budget_share_ratio",
                "Share of the limit that openseat uses: below 1 while other software spends from the account.",
                |usage| usage.share,
            ),
        ];
        for (name, help, read) in families {
            let samples = self
                .budgets
                .iter()
                .map(|(account, usage)| ([("account", &**account)], read(usage)));
            gauges(encoder, name, help, samples)?;
        }
        Ok(())
    }

    /// Every account has a sample of every kind from the first scrape on, so that no alert waits for a series to appear.
    fn encode_faults(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let samples = self.faults.iter().flat_map(|(account, present)| {
            FaultKind::ALL.iter().map(move |kind| {
                let lasts = u8::from(*present == Some(*kind));
                (
                    [("account", &**account), ("kind", kind.as_str())],
                    f64::from(lasts),
                )
            })
        });
        gauges(
            encoder,
            "openseat_account_fault",
            "1 while the account as a whole has this fault.",
            samples,
        )
    }

    fn encode_feeds(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let samples = self.feeds.iter().flat_map(|(account, in_use)| {
            FEEDS.iter().map(move |feed| {
                let is_used = u8::from(feed == in_use);
                (
                    [("account", &**account), ("feed", *feed)],
                    f64::from(is_used),
                )
            })
        });
        gauges(
            encoder,
            "openseat_feed",
            "1 for the feed that the account's statuses come from, 0 for the others.",
            samples,
        )
    }

    fn encode_state(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let parts = self.state.iter();
        let degraded =
            parts.map(|state| ([("part", state.part)], f64::from(u8::from(state.degraded))));
        gauges(
            encoder,
            "openseat_state_degraded",
            "1 while a file of the state folder cannot be used.",
            degraded,
        )?;
        if self.state.is_empty() {
            return Ok(());
        }
        let name = "openseat_state_dropped";
        let help = "Items that were not stored because the disk was too slow.";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for state in &self.state {
            metric
                .encode_family(&[("part", state.part)])?
                .encode_counter::<NoLabelSet, _, u64>(&state.dropped, None)?;
        }
        Ok(())
    }

    fn encode_cluster(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.cluster.is_empty() {
            return Ok(());
        }
        let up = f64::from(u8::from(self.cluster.iter().all(|account| account.up)));
        let nodes = self.cluster.iter().map(|account| account.nodes).max();
        let whole = [
            (
                "openseat_cluster_up",
                "1 while the engine answers and refuses nothing.",
                up,
            ),
            (
                "openseat_cluster_nodes",
                "Living nodes of the cluster.",
                nodes.unwrap_or_default() as f64,
            ),
        ];
        for (name, help, value) in whole {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        type Read = fn(&ClusterGauges) -> Option<f64>;
        let families: [(&str, &str, Read); 3] = [
            (
                "openseat_cluster_leader",
                "1 on the node that sends the account's requests.",
                |account| Some(u8::from(account.leads).into()),
            ),
            (
                "openseat_cluster_epoch",
                "Grows with each change of the account's leader.",
                |account| Some(account.epoch as f64),
            ),
            (
                "openseat_cluster_lag_seconds",
                "How long ago this node knew everything in the account's log.",
                |account| account.lag.map(|lag| lag.as_secs_f64()),
            ),
        ];
        for (name, help, read) in families {
            let samples = self
                .cluster
                .iter()
                .filter_map(|account| Some(([("account", &*account.account)], read(account)?)));
            gauges(encoder, name, help, samples)?;
        }
        Ok(())
    }
}

fn seconds(moment: Moment) -> f64 {
    moment.wall.as_secs_f64()
}

/// Writes one family, or nothing if it has no samples.
fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
