//! An account's role in a cluster, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::time::whole_ms;
use crate::{
    clock::Moment,
    cluster::{member::Status, trouble::Trouble},
};

/// An account's role in a cluster.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Cluster")]
pub struct ClusterJson {
    /// Whether the engine answered the last command.
    engine_answers: bool,
    /// Whether this node leads the account.
    leads: bool,
    /// The name of the node that leads the account; null if no living node does.
    leader: Option<String>,
    /// Increases with each change of leader.
    epoch: u64,
    /// How far this node lags behind the log, in milliseconds; null if it has never caught up.
    lag_ms: Option<u64>,
    /// The living nodes, by name.
    nodes: Vec<ClusterNodeJson>,
    /// What this node finds wrong with the cluster.
    trouble: Option<ClusterTroubleJson>,
}

/// A node of a cluster.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClusterNode")]
struct ClusterNodeJson {
    /// Its name.
    name: String,
    /// Whether it leads the account.
    leads: bool,
    /// How many log entries it was missing when it last reported.
    entries_behind: u64,
}

/// What is wrong with a cluster.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClusterTrouble")]
struct ClusterTroubleJson {
    /// What is wrong.
    message: String,
    /// What to do.
    advice: &'static str,
}

impl From<Trouble> for ClusterTroubleJson {
    fn from(trouble: Trouble) -> Self {
        Self {
            message: trouble.to_string(),
            advice: trouble.advice(),
        }
    }
}

impl ClusterJson {
    /// Creates the JSON of a cluster's status at `now`.
    pub fn new(status: &Status, now: Moment) -> Self {
        let nodes = status.nodes.iter().map(|node| ClusterNodeJson {
            name: node.name.clone(),
            leads: node.leads,
            entries_behind: node.behind,
        });
        Self {
            engine_answers: status.up,
            leads: status.leads,
            leader: status.leader().map(str::to_owned),
            epoch: status.epoch,
            lag_ms: status.lag(now).map(whole_ms),
            nodes: nodes.collect(),
            trouble: status.trouble(now).map(ClusterTroubleJson::from),
        }
    }
}
