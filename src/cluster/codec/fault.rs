//! The JSON form of a fault.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ms;
use crate::{
    clock::Moment,
    model::fault::{Down, Fault, NoSuchQueue, QueueListing},
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireFault {
    BadToken,
    NoPermission,
    NoQueue {
        asked: String,
        nearest: Vec<String>,
    },
    SeveralQueues {
        asked: String,
        ids: Vec<u64>,
    },
    NoId(u64),
    Throttled(Option<u64>),
    Spent(u64),
    Cluster,
    Down {
        kind: usize,
        detail: String,
        wait: Option<u64>,
    },
}

/// The causes, in the order of their numbers in the format.
const DOWNS: [Down; 14] = [
    Down::Dns,
    Down::Refused,
    Down::Proxy,
    Down::Tls,
    Down::TimeOut,
    Down::ConnectionLost,
    Down::ServerError,
    Down::Redirect,
    Down::NotFound,
    Down::UnexpectedStatus,
    Down::NotJson,
    Down::UnexpectedShape,
    Down::TooLarge,
    Down::Incomplete,
];

impl WireFault {
    pub fn new(fault: &Fault, now: Moment) -> Self {
        let left = |until: Moment| ms(until.boot.saturating_sub(now.boot));
        match fault {
            Fault::BadToken => Self::BadToken,
            Fault::NoPermission => Self::NoPermission,
            Fault::NoSuchQueue(NoSuchQueue::Name { asked, nearest, .. }) => Self::NoQueue {
                asked: asked.clone(),
                nearest: nearest.clone(),
            },
            Fault::NoSuchQueue(NoSuchQueue::Ambiguous { asked, ids }) => Self::SeveralQueues {
                asked: asked.clone(),
                ids: ids.clone(),
            },
            Fault::NoSuchQueue(NoSuchQueue::Id(id)) => Self::NoId(*id),
            Fault::Throttled { until } => Self::Throttled(until.map(left)),
            Fault::BudgetSpent { until } => Self::Spent(left(*until)),
            Fault::ClusterDown(_) => Self::Cluster,
            Fault::UpstreamDown { kind, detail, wait } => Self::Down {
                kind: DOWNS.iter().position(|one| one == kind).unwrap_or_default(),
                detail: detail.clone(),
                wait: wait.map(ms),
            },
        }
    }

    pub fn fault(self, now: Moment) -> Fault {
        let after = |left: u64| now.later(Duration::from_millis(left));
        match self {
            Self::BadToken => Fault::BadToken,
            Self::NoPermission => Fault::NoPermission,
            Self::NoQueue { asked, nearest } => {
                // Other nodes only name the nearest queues; the leader's log has them all.
                let there = QueueListing::default();
                Fault::NoSuchQueue(NoSuchQueue::Name {
                    asked,
                    nearest,
                    there,
                })
            }
            Self::SeveralQueues { asked, ids } => {
                Fault::NoSuchQueue(NoSuchQueue::Ambiguous { asked, ids })
            }
            Self::NoId(id) => Fault::NoSuchQueue(NoSuchQueue::Id(id)),
            Self::Throttled(left) => Fault::Throttled {
                until: left.map(after),
            },
            Self::Spent(left) => Fault::BudgetSpent { until: after(left) },
            Self::Cluster => Fault::ClusterDown(None),
            Self::Down { kind, detail, wait } => Fault::UpstreamDown {
                kind: DOWNS.get(kind).copied().unwrap_or(Down::TimeOut),
                detail,
                wait: wait.map(Duration::from_millis),
            },
        }
    }
}
