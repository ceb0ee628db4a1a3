//! How a queue is named everywhere but in requests.

use std::{fmt, sync::Arc};

/// A queue as the config names it: the account, and the queue's name or id as written there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    /// The account's name.
    pub account: Arc<str>,
    /// The queue's name or id, as written.
    pub queue: Arc<str>,
}

impl QueueKey {
    /// Creates the key of a queue of an account.
    pub fn new(account: impl Into<Arc<str>>, queue: impl Into<Arc<str>>) -> Self {
        Self {
            account: account.into(),
            queue: queue.into(),
        }
    }
}

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.queue)
    }
}
