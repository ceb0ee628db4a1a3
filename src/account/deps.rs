//! What the daemon gives an account's task: its part of the config, and what it shares with other tasks.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{Ask, Health, TokenKeeper, schedule::Need};
use crate::{
    budget::{Budget, BudgetOwner},
    calltools::Client,
    clock::Clock,
    cluster::node::Membership,
    config::{QueueRef, Rule, ScheduleOptions, Soon},
    decision::{
        board::{Board, QueueKey},
        reservations::Reservations,
    },
    metrics::Metrics,
    model::{hours::OpeningHours, known::Known, names::Names, quantity::Quantity},
    process::heartbeat::Heartbeat,
    state::store::Store,
};

/// The settings of a queue.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Its key on the board.
    pub key: QueueKey,
    /// Its name or id in the config.
    pub reference: QueueRef,
    /// How its seats are counted.
    pub rule: Rule,
    /// What the count is compared with.
    pub threshold: Option<Quantity>,
    /// The maximum age of its data; `None` for the one in the plan.
    pub max_age: Option<Duration>,
    /// When it is open; `None` for always.
    pub hours: Option<Arc<OpeningHours>>,
    /// Whether it accepts calls at zero seats if an agent will soon be free, and on what terms.
    pub soon: Soon,
}

impl QueueSettings {
    /// Returns what the schedule needs to know about it.
    pub fn need(&self) -> Need {
        Need::new(&self.reference, &self.rule)
    }
}

/// The dependencies of an account's task.
#[derive(Debug)]
pub struct Deps {
    /// The owner of the budget at the start. It changes with the name and the token.
    pub owner: BudgetOwner,
    /// In the order of the config.
    pub queues: Vec<QueueSettings>,
    /// The operator's settings of the schedule.
    pub options: ScheduleOptions,
    /// Sends requests that have a permit.
    pub client: Client,
    /// The account's budget.
    pub budget: Arc<Budget>,
    /// Where snapshots are published.
    pub board: Arc<Board>,
    /// The reservations, which end when agents take calls.
    pub reservations: Arc<Reservations>,
    /// Counts what happens, and how often each queue is asked about.
    pub metrics: Arc<Metrics>,
    /// Keeps knowledge across restarts; `None` without a state folder.
    pub store: Option<Arc<Store>>,
    /// What an earlier task knew about these queues.
    pub known: Known,
    /// The account's place in a cluster of nodes; `None` without one.
    pub cluster: Option<Membership>,
    /// The clock for everything.
    pub clock: Arc<dyn Clock>,
    /// The account's names, shared with the server.
    pub names: watch::Sender<Arc<Names>>,
    /// Publishes the account's health.
    pub health: watch::Sender<Health>,
    /// Requests from outside.
    pub asks: mpsc::Receiver<Ask>,
    /// Reads the token again when CallTools refuses it; `None` if there is no token to read.
    pub token: Option<Arc<TokenKeeper>>,
    /// Beats while the task runs.
    pub heartbeat: Heartbeat,
}
