//! The last decision about each queue that was noticed, for notifications.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    app::{App, Queue},
    decision_log::Gist,
};
use crate::{decision::board::QueueKey, server::json::decision::DecisionJson};

impl App {
    /// Is told of each change of a decision from now on.
    pub(crate) fn decision_changes(&self) -> watch::Receiver<()> {
        self.watch.subscribe()
    }

    /// The last decision about each queue for which one has been noticed.
    pub(crate) fn last_decisions(&self) -> Vec<(QueueKey, Gist)> {
        let log = self.watch.log();
        let last = |queue: &Arc<Queue>| {
            let last = log.last(&queue.key)?;
            Some((queue.key.clone(), Gist::new(&last.decision)))
        };
        self.queues().iter().filter_map(last).collect()
    }

    /// The last decision about a queue as JSON, with its age now. `None` if the queue no longer exists.
    pub(crate) fn last_decision(&self, key: &QueueKey) -> Option<(Gist, Bytes)> {
        let queue = self.queue(key)?;
        let last = self.watch.log().last(key)?.clone();
        let now = self.clock.now();
        let (state, decision) = (&last.state, last.aged(now));
        let json = DecisionJson::new(key, &queue.rules.policy, state, &decision, now);
        let json = serde_json::to_vec(&json).expect("texts and numbers can be written");
        Some((Gist::new(&decision), json.into()))
    }
}
