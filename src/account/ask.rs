//! Requests to an account's task.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Terms, remote::Remote};
use crate::{
    budget::Refusal,
    decision::{board::QueueKey, staleness::Staleness},
    model::{fault::Fault, known::Known},
};

/// A request to the account's task, sent over a bounded channel.
#[derive(Debug)]
pub enum Ask {
    /// Poll this queue now, from the reserve.
    Refresh {
        /// The queue.
        queue: QueueKey,
        /// Answered once the new snapshot is on the board, or the poll failed. Dropped if the task stops.
        reply: oneshot::Sender<Result<(), RefreshError>>,
    },
    /// Get a fresher answer for a caller that waits a moment, if there is a permit to spare.
    Fresh {
        /// The queue.
        queue: QueueKey,
        /// How stale the answer probably is.
        staleness: Staleness,
        /// Answered once there is newer data; dropped if there will be none.
        reply: oneshot::Sender<()>,
    },
    /// The token may have changed: if it was refused, try it at once.
    TryToken,
    /// The config has changed: continue with it.
    Take(Box<Terms>),
    /// Return all knowledge.
    Known {
        /// Answered at once.
        reply: oneshot::Sender<Known>,
    },
}

/// Asks an account's task for newer data for a queue, and waits up to `longest` until it is on the board.
pub async fn wait_for_newer(
    asks: &mpsc::Sender<Ask>,
    queue: &QueueKey,
    staleness: Staleness,
    longest: Duration,
) {
    let (reply, newer) = oneshot::channel();
    let ask = Ask::Fresh {
        queue: queue.clone(),
        staleness,
        reply,
    };
    // If the task is too busy for this request, waiting is useless.
    if asks.try_send(ask).is_ok() {
        let _ = tokio::time::timeout(longest, newer).await;
    }
}

/// Why a refresh produced no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// No request was sent: the budget has no permit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request failed.
    #[error(transparent)]
    Failed(#[from] Fault),
}

/// A caller that waits for a job to end.
#[derive(Debug)]
pub(super) enum Waiter {
    Refresh(oneshot::Sender<Result<(), RefreshError>>),
    Fresh(oneshot::Sender<()>),
    /// Another node of the cluster; see [`Remote`].
    Remote(Remote),
}

impl Waiter {
    /// Tells the caller, which may be gone, how the job ended.
    pub fn tell(self, ended: Result<(), RefreshError>) {
        match self {
            Waiter::Refresh(reply) => drop(reply.send(ended)),
            Waiter::Fresh(reply) if ended.is_ok() => drop(reply.send(())),
            Waiter::Fresh(_) | Waiter::Remote(_) => {}
        }
    }
}
