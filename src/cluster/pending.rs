//! The answers that this process waits for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::message::{Answer, Said, What};

/// The maximum of questions in a process that wait for answers. Each has a waiting HTTP request.
const MAX_PENDING: usize = 1_024;

/// How many of them may be questions for newer data. The others, about seats and requests, keep the rest: they are short, and calls wait for them.
const MAX_PENDING_POLLS: usize = MAX_PENDING / 4 * 3;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<u64, mpsc::Sender<Said>>>);

impl Pending {
    /// Returns an id for a question; `None` if too many wait.
    pub fn add(&self, what: &What, replies: mpsc::Sender<Said>) -> Option<u64> {
        let most = match what {
            What::Freshen { .. } | What::Refresh { .. } => MAX_PENDING_POLLS,
            _ => MAX_PENDING,
        };
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, replies| !replies.is_closed());
        let id = fastrand::u64(..);
        (pending.len() < most).then(|| {
            pending.insert(id, replies);
            id
        })
    }

    pub fn answered(&self, answer: Answer) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replies = match answer.said {
            // It may be said more often than there is room, and the last place is for how the poll ended.
            Said::UnderWay => {
                let replies = pending.get(&answer.id).cloned();
                replies.filter(|replies| replies.capacity() > 1)
            }
            _ => pending.remove(&answer.id),
        };
        if let Some(replies) = replies {
            // The caller may have given up.
            let _ = replies.try_send(answer.said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_about_seats_find_room_beside_any_number_for_newer_data() {
        let pending = Pending::default();
        let (replies, _answers) = mpsc::channel(1);
        let add = |what: &What| pending.add(what, replies.clone()).is_some();
        let refresh = What::Refresh {
            queue: "sales".to_owned(),
        };
        let release = What::Release {
            id: "0123".to_owned(),
        };
        let count = |what: &What| (0..2_000).filter(|_| add(what)).count();
        assert_eq!(count(&refresh), MAX_PENDING_POLLS);
        assert_eq!(count(&release), MAX_PENDING - MAX_PENDING_POLLS);
        assert!(!add(&refresh));
    }

    #[tokio::test]
    async fn the_end_of_a_poll_is_heard_however_often_it_was_said_to_be_under_way() {
        let pending = Pending::default();
        let (replies, mut answers) = mpsc::channel(3);
        let queue = "sales".to_owned();
        let id = pending.add(&What::Refresh { queue }, replies).unwrap();
        // A leader repeats it for each repeated question, and this process may be paused meanwhile.
        for _ in 0..4 {
            let said = Said::UnderWay;
            pending.answered(Answer { id, said });
        }
        let said = Said::Done;
        pending.answered(Answer { id, said });
        let mut last = None;
        while let Some(said) = answers.recv().await {
            last = Some(said);
        }
        assert_eq!(last, Some(Said::Done));
    }
}
