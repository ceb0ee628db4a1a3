//! What the task knows about one queue besides its settings.

use std::sync::Arc;

use crate::{
    decision::board::QueueKey,
    metrics::{Metrics, QueueMeters},
    model::fault::Fault,
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct QueueAtWork {
    /// Its id, once that is known.
    pub id: Option<u64>,
    /// Stays with it when a new config moves it.
    pub number: u64,
    /// Its counters.
    pub meters: Arc<QueueMeters>,
    /// How many questions its counters had at the last look.
    pub asked: u64,
    /// Questions to other nodes that the schedule does not know yet.
    pub asked_elsewhere: u64,
    /// The fault that the board shows.
    pub shown: Option<Arc<Fault>>,
    /// Whether another node says that its own polls fail. A follower has it from the leader. A node that polls has it from the last leader or the task
    /// before, until its own poll succeeds.
    pub failing_elsewhere: bool,
}

impl QueueAtWork {
    /// A queue about which nothing is known yet.
    pub fn new(number: u64, metrics: &Metrics, key: &QueueKey) -> Self {
        let meters = meters(metrics, key);
        Self {
            id: None,
            number,
            asked: meters.asked(),
            meters,
            asked_elsewhere: 0,
            shown: None,
            failing_elsewhere: false,
        }
    }

    /// The same queue under another key. Earlier questions about that do not count.
    pub fn with_key(self, metrics: &Metrics, key: &QueueKey) -> Self {
        let meters = meters(metrics, key);
        Self {
            asked: meters.asked(),
            meters,
            ..self
        }
    }

    /// Returns whether it was asked about on this node since the last look.
    pub fn is_asked_again(&self) -> bool {
        self.meters.asked() != self.asked
    }

    /// Looks how often it was asked about on this node since the last look.
    pub fn new_questions(&mut self) -> u64 {
        let asked = self.meters.asked();
        asked - std::mem::replace(&mut self.asked, asked)
    }
}

fn meters(metrics: &Metrics, key: &QueueKey) -> Arc<QueueMeters> {
    // Those of other nodes' queues are not shown here.
    let unseen = || Arc::new(QueueMeters::new(key.clone()));
    metrics.queue(key).unwrap_or_else(unseen)
}
