//! Puts a node's questions to the account's leader, and waits for the answers.
//!
//! A message may be lost, and while a node waits, another one may begin to lead. So a question is put again, always with the same id: a leader acts
//! once on each id, and repeats its answer.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    member::{Member, Order},
    message::{Said, What},
};

/// How often a question is put again that no leader has heard: less often than a poll takes to answer it.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a leader may take to hear a question. An ordinary answer takes a millisecond.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// The answers to one question: perhaps that a poll is under way, from two leaders at most, and how it ended.
const ANSWERS: usize = 3;

/// Why a question that takes a poll has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No leader has heard it.
    Unheard,
    /// The poll takes too long.
    Late,
}

impl Member {
    /// Asks the leader. Returns `None` without an answer in time, although the leader may have acted.
    pub async fn ask(&self, what: What, patience: Duration) -> Option<Said> {
        let said = self.put(what, patience, None).await;
        said.ok()
    }

    /// Asks the leader for a poll. Leaders say at once that it is under way, so it is known early if there is none.
    ///
    /// # Errors
    /// There is no answer in time.
    pub async fn ask_for_poll(&self, what: What, patience: Duration) -> Result<Said, Unanswered> {
        self.put(what, patience, Some(HEARD_WITHIN)).await
    }

    /// Sends the leader a message without waiting for an answer. It may be lost.
    pub(super) fn tell(&self, what: What) {
        let _ = self.orders.try_send(Order::Ask {
            id: fastrand::u64(..),
            what,
            until: None,
        });
    }

    async fn put(
        &self,
        what: What,
        patience: Duration,
        heard_within: Option<Duration>,
    ) -> Result<Said, Unanswered> {
        let (replies, mut answers) = mpsc::channel(ANSWERS);
        let begun = Instant::now();
        let mut status = self.status.clone();
        let mut epoch = status.borrow_and_update().epoch;
        let id = self
            .pending
            .add(&what, replies)
            .ok_or(Unanswered::Unheard)?;
        let put = |end: Instant| {
            let left = end.saturating_duration_since(Instant::now());
            let until = Some(self.clock.now().boot + left);
            let what = what.clone();
            let order = Order::Ask { id, what, until };
            self.orders.try_send(order).map_err(|_| Unanswered::Unheard)
        };
        let mut is_heard = false;
        let mut end = begun + heard_within.map_or(patience, |within| within.min(patience));
        put(end)?;
        let mut again = begun + AGAIN;
        loop {
            tokio::select! {
                biased;
                said = answers.recv() => match said.ok_or(Unanswered::Unheard)? {
                    Said::UnderWay => (is_heard, end) = (true, begun + patience),
                    said => return Ok(said),
                },
                () = sleep_until(end) => return Err(match is_heard {
                    true => Unanswered::Late,
                    false => Unanswered::Unheard,
                }),
                changed = status.changed() => {
                    changed.map_err(|_| Unanswered::Unheard)?;
                    let now = status.borrow_and_update().epoch;
                    if std::mem::replace(&mut epoch, now) != now {
                        put(end)?; // To the next leader.
                    }
                }
                () = sleep_until(again), if heard_within.is_some() && !is_heard => {
                    again += AGAIN;
                    put(end)?;
                }
            }
        }
    }
}
