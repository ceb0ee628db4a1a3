//! The answers that this process waits for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::message::{Answer, Said};

/// The maximum of questions in a process that wait for answers. Each has a waiting HTTP request.
const MAX_PENDING: usize = 1_024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<u64, mpsc::Sender<Said>>>);

impl Pending {
    /// Returns an id for a question; `None` if too many wait.
    pub fn add(&self, replies: mpsc::Sender<Said>) -> Option<u64> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, replies| !replies.is_closed());
        let id = fastrand::u64(..);
        (pending.len() < MAX_PENDING).then(|| {
            pending.insert(id, replies);
            id
        })
    }

    pub fn answered(&self, answer: Answer) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replies = match answer.said {
            Said::UnderWay => pending.get(&answer.id).cloned(),
            _ => pending.remove(&answer.id),
        };
        if let Some(replies) = replies {
            // The caller may have given up.
            let _ = replies.try_send(answer.said);
        }
    }
}
