//! What others may ask of an account's task.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Terms;
use crate::{
    budget::Refusal,
    decision::{board::QueueKey, staleness::Staleness},
    model::{fault::Fault, known::Known},
};

/// A wish, sent to the account's task over a bounded channel.
#[derive(Debug)]
pub enum Ask {
    /// Poll this queue now, out of the reserve.
    Refresh {
        /// Which one.
        queue: QueueKey,
        /// To be answered once the new snapshot is on the board, or there will be none. Dropping it says that the task stops.
        reply: oneshot::Sender<Result<(), RefreshError>>,
    },
    /// Somebody would wait a moment for a fresher answer about this queue, if a permit is to spare.
    Fresh {
        /// Which one.
        queue: QueueKey,
        /// How much the answer is in doubt.
        doubt: Staleness,
        /// To be answered once there is something newer, and dropped when there will be nothing.
        reply: oneshot::Sender<()>,
    },
    /// The token may be another one by now: if the last was refused, it is tried at once.
    TryToken,
    /// The config has changed: go on by it.
    Take(Box<Terms>),
    /// What is known, as the store has it.
    Known {
        /// To be answered at once.
        reply: oneshot::Sender<Known>,
    },
}

/// Asks an account's task for something newer about a queue, and waits for it at most so long. Whether it came, the board tells.
pub async fn wait_for_newer(
    asks: &mpsc::Sender<Ask>,
    queue: &QueueKey,
    doubt: Staleness,
    longest: Duration,
) {
    let (reply, newer) = oneshot::channel();
    let ask = Ask::Fresh {
        queue: queue.clone(),
        doubt,
        reply,
    };
    // A task that has no time for this wish is no reason to wait.
    if asks.try_send(ask).is_ok() {
        let _ = tokio::time::timeout(longest, newer).await;
    }
}

/// Why a refresh brought no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// No request was sent: the budget has no permit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// CallTools was asked, in vain.
    #[error(transparent)]
    Failed(#[from] Fault),
}

/// Somebody who waits for a job to end.
#[derive(Debug)]
pub(super) enum Waiter {
    Refresh(oneshot::Sender<Result<(), RefreshError>>),
    Fresh(oneshot::Sender<()>),
}

impl Waiter {
    /// Tells how it ended. Whoever asked may have gone.
    pub fn tell(self, ended: Result<(), RefreshError>) {
        match self {
            Waiter::Refresh(reply) => drop(reply.send(ended)),
            Waiter::Fresh(reply) if ended.is_ok() => drop(reply.send(())),
            Waiter::Fresh(_) => {}
        }
    }
}
