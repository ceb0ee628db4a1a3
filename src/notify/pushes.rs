//! Which queues' answers to push to one recipient: the newest of each queue, one in flight at a time.
//!
//! It is generic over the answer, which it only compares. A push that fails is repeated until the recipient takes the queue's newest answer. Memory
//! is bounded, since each queue has one newest answer.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

use super::backoff;

/// The most pushes in flight to one recipient, each of another queue. A recipient that hangs costs this many sockets.
const MAX_UNDER_WAY: usize = 8;

/// The longest wait between two attempts for a queue: a router that was away needs the newest answer soon.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Pushes<K, A> {
    queues: HashMap<K, Queue<A>>,
    under_way: usize,
}

#[derive(Debug)]
struct Queue<A> {
    /// What the recipient should know.
    newest: A,
    /// What it knows. `None` if it knows nothing, or if an attempt failed: the recipient may have taken it all the same.
    known: Option<A>,
    /// What is in flight.
    sending: Option<A>,
    failures: u32,
    rest_until: Option<Instant>,
}

impl<K, A> Default for Pushes<K, A> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            under_way: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, A: Clone + PartialEq> Pushes<K, A> {
    /// Notes a queue's newest answer. Returns whether it replaces one that was not sent yet.
    pub fn note(&mut self, queue: &K, answer: A) -> bool {
        let Some(queue) = self.queues.get_mut(queue) else {
            let fresh = Queue {
                newest: answer,
                known: None,
                sending: None,
                failures: 0,
                rest_until: None,
            };
            self.queues.insert(queue.clone(), fresh);
            return false;
        };
        if queue.newest == answer {
            return false;
        }
        let was_waiting = queue.is_waiting();
        queue.newest = answer;
        was_waiting
    }

    /// Forgets all other queues. Those in flight are forgotten when they end.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.queues
            .retain(|key, queue| queue.sending.is_some() || keep(key));
    }

    /// A queue whose answer is due.
    pub fn due(&self, now: Instant) -> Option<K> {
        if self.under_way >= MAX_UNDER_WAY {
            return None;
        }
        let rests = |queue: &Queue<A>| queue.rest_until.is_some_and(|until| now < until);
        let mut due = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.may_go() && !rests(queue));
        due.next().map(|(key, _)| key.clone())
    }

    /// Notes that this answer of a queue is in flight. It may be newer than the one that was noted.
    pub fn sending(&mut self, key: &K, answer: A) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.newest = answer.clone();
            queue.sending = Some(answer);
            self.under_way += 1;
        }
    }

    /// Forgets a queue that was due but no longer exists.
    pub fn forget(&mut self, key: &K) {
        self.queues.remove(key);
    }

    /// The recipient has taken the push in flight.
    pub fn sent(&mut self, key: &K) {
        if let Some(queue) = self.ended(key) {
            queue.known = queue.sending.take();
            queue.failures = 0;
            queue.rest_until = None;
        }
    }

    /// The push in flight did not arrive, as far as we know.
    pub fn failed(&mut self, key: &K, asked: Option<Duration>, now: Instant) {
        if let Some(queue) = self.ended(key) {
            queue.known = None;
            queue.sending = None;
            queue.failures = queue.failures.saturating_add(1);
            let wait = backoff::wait(queue.failures, MAX_WAIT).max(asked.unwrap_or_default());
            queue.rest_until = Some(now + wait);
        }
    }

    fn ended(&mut self, key: &K) -> Option<&mut Queue<A>> {
        let queue = self
            .queues
            .get_mut(key)
            .filter(|queue| queue.sending.is_some())?;
        self.under_way -= 1;
        Some(queue)
    }

    /// The address may have changed, so everything is due at once.
    pub fn retry(&mut self) {
        for queue in self.queues.values_mut() {
            queue.rest_until = None;
        }
    }

    /// When something may become due.
    pub fn next(&self) -> Option<Instant> {
        if self.under_way >= MAX_UNDER_WAY {
            return None;
        }
        let resting = self.queues.values().filter(|queue| queue.may_go());
        resting.filter_map(|queue| queue.rest_until).min()
    }
}

impl<A: PartialEq> Queue<A> {
    /// Its newest answer is neither known to the recipient nor in flight.
    fn is_waiting(&self) -> bool {
        let known = self.sending.as_ref().or(self.known.as_ref());
        known != Some(&self.newest)
    }

    fn may_go(&self) -> bool {
        self.sending.is_none() && self.is_waiting()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends the next push that is due, if there is one.
    fn send(pushes: &mut Pushes<u8, u32>) -> Option<(u8, u32)> {
        let key = pushes.due(Instant::now())?;
        let answer = pushes.queues[&key].newest;
        pushes.sending(&key, answer);
        Some((key, answer))
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_answer_wins_while_one_is_in_flight() {
        let mut pushes = Pushes::default();
        assert!(!pushes.note(&7, 1));
        assert_eq!(send(&mut pushes), Some((7, 1)));
        assert!(!pushes.note(&7, 2));
        assert!(pushes.note(&7, 3), "2 was never sent");
        assert_eq!(send(&mut pushes), None, "one of a queue at a time");
        pushes.sent(&7);
        assert_eq!(send(&mut pushes), Some((7, 3)));
        pushes.sent(&7);
        assert_eq!(send(&mut pushes), None);
        assert!(!pushes.note(&7, 4));
        assert!(pushes.note(&7, 3), "back at what the recipient knows");
        assert_eq!(send(&mut pushes), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_may_have_arrived_does_not_count_as_delivered() {
        let mut pushes = Pushes::default();
        pushes.note(&7, 1);
        send(&mut pushes);
        pushes.sent(&7);
        pushes.note(&7, 2);
        send(&mut pushes);
        pushes.note(&7, 1);
        pushes.failed(&7, None, Instant::now());
        assert_eq!(send(&mut pushes), None, "a back-off");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(send(&mut pushes), Some((7, 1)), "2 may have arrived");
    }

    #[tokio::test(start_paused = true)]
    async fn few_pushes_are_in_flight_and_the_other_queues_follow() {
        let mut pushes = Pushes::default();
        for queue in 0..20 {
            pushes.note(&queue, 1);
        }
        let mut sent = Vec::new();
        while let Some((queue, _)) = send(&mut pushes) {
            sent.push(queue);
        }
        assert_eq!(sent.len(), MAX_UNDER_WAY);
        assert_eq!(pushes.next(), None);
        pushes.sent(&sent[0]);
        assert!(send(&mut pushes).is_some());
    }

    proptest! {
        /// In any order of events, the recipient ends up with the newest answer, and a queue never has more than one push in flight.
        #[test]
        fn in_the_end_the_newest_answer_is_known(steps in proptest::collection::vec((0u8..3, 0u8..5, 0u32..3), 0..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let (mut pushes, mut newest, mut known, mut under_way) =
                    (Pushes::default(), HashMap::new(), HashMap::new(), HashMap::new());
                for (queue, what, answer) in steps {
                    match what {
                        0 | 1 => {
                            pushes.note(&queue, answer);
                            newest.insert(queue, answer);
                        }
                        2 => if let Some((queue, answer)) = send(&mut pushes) {
                            assert_eq!(under_way.insert(queue, answer), None);
                        },
                        3 => if let Some(answer) = under_way.remove(&queue) {
                            pushes.sent(&queue);
                            known.insert(queue, answer);
                        },
                        _ => if let Some(answer) = under_way.remove(&queue) {
                            pushes.failed(&queue, None, Instant::now());
                            // It may have arrived anyway.
                            known.insert(queue, answer);
                        },
                    }
                }
                for (queue, answer) in under_way {
                    pushes.sent(&queue);
                    known.insert(queue, answer);
                }
                pushes.retry();
                while let Some((queue, answer)) = send(&mut pushes) {
                    pushes.sent(&queue);
                    known.insert(queue, answer);
                }
                assert_eq!(newest, known);
            });
        }
    }
}
