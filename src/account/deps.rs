//! What an account's task is made of.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{Ask, Health, TokenKeeper, schedule::Need};
use crate::{
    budget::{Budget, BudgetOwner},
    calltools::Client,
    clock::Clock,
    config::{QueueRef, Rule, ScheduleOptions},
    decision::{
        board::{Board, QueueKey},
        reservations::Reservations,
    },
    metrics::Metrics,
    model::{known::Known, names::Names, quantity::Quantity},
    process::pulse::Pulse,
    state::store::Store,
};

/// A queue, as the task that polls it needs it.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// Its place on the board.
    pub key: QueueKey,
    /// How the config names it.
    pub reference: QueueRef,
    /// How its seats are counted.
    pub rule: Rule,
    /// What the count is compared with.
    pub threshold: Option<Quantity>,
    /// How old knowledge of it may get; `None` leaves it to the plan.
    pub max_age: Option<Duration>,
}

impl QueueSettings {
    /// What the schedule has to know of it.
    pub fn need(&self) -> Need {
        Need::new(&self.reference, &self.rule)
    }
}

/// What an account's task is made of.
#[derive(Debug)]
pub struct Deps {
    /// Whose requests they are.
    pub owner: BudgetOwner,
    /// In the order of the config.
    pub queues: Vec<QueueSettings>,
    /// What the operator says of the schedule.
    pub options: ScheduleOptions,
    /// Sends what the budget permits.
    pub client: Client,
    /// The account's.
    pub budget: Arc<Budget>,
    /// Where snapshots are published.
    pub board: Arc<Board>,
    /// Told of agents who have taken a call.
    pub reservations: Arc<Reservations>,
    /// Told of what people should see, and knows how often each queue is asked about.
    pub metrics: Arc<Metrics>,
    /// Keeps over a restart what it can.
    pub store: Option<Arc<Store>>,
    /// What an earlier task knew of these queues.
    pub known: Known,
    /// For stamps.
    pub clock: Arc<dyn Clock>,
    /// Shared with the server.
    pub names: watch::Sender<Arc<Names>>,
    /// Tells others how the account is.
    pub health: watch::Sender<Health>,
    /// What others ask.
    pub asks: mpsc::Receiver<Ask>,
    /// Reads the token again when CallTools refuses it; `None` where there is nothing to read.
    pub token: Option<Arc<TokenKeeper>>,
    /// Shows that the task turns.
    pub pulse: Pulse,
}
