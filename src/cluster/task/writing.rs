//! Writes the log, and sends questions and answers.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Task;
use crate::{
    cluster::{
        codec::{self, Writing},
        command::{Command, Listener, Reply},
        entry::Entry,
        member::Order,
        message::{Question, What},
    },
    decision::reservations::ReservationId,
};

/// A new checkpoint is due after this many entries, or this long after the last one.
const ENTRIES_PER_CHECKPOINT: u64 = 256;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// How many ended reservations are remembered until the engine confirms that: as many as a busy router ends during a lease.
const MAX_UNTOLD: usize = 1_024;

impl Task {
    pub(super) fn writing(&self) -> Writing {
        let now = self.now();
        let engine = self.engine_time.map_or(Duration::ZERO, |(engine, at)| {
            engine + now.boot.saturating_sub(at)
        });
        Writing { now, engine }
    }

    pub(super) async fn obey(&mut self, order: Order) {
        match order {
            Order::Publish(entry, done) => self.publish_all(*entry, done).await,
            Order::Ask(id, what) => self.put_question(id, what).await,
            Order::Answer(node, answer) => {
                let message = serde_json::to_vec(&answer).expect("texts and numbers serialize");
                let to = Listener::Node(node);
                self.ask(&Command::Send { to, message }).await;
            }
            Order::Count(budget) => {
                self.parts.budget = self.parts.budget.is_some().then_some(budget);
                self.keep_the_smallest_limit(self.now().boot);
            }
        }
    }

    async fn put_question(&mut self, id: u64, what: What) {
        let question = Question {
            id,
            node: self.parts.node.clone(),
            what,
        };
        let message = serde_json::to_vec(&question).expect("texts and numbers serialize");
        let to = Listener::Leader;
        self.ask(&Command::Send { to, message }).await;
    }

    /// Publishes this entry and all that wait behind it as one.
    pub(super) async fn publish_all(
        &mut self,
        mut entry: Entry,
        done: Option<oneshot::Sender<bool>>,
    ) {
        let mut waiting = vec![done];
        let mut next = None;
        while let Ok(order) = self.parts.orders.try_recv() {
            match order {
                Order::Publish(more, done) => {
                    entry.join(*more);
                    waiting.push(done);
                }
                other => {
                    next = Some(other);
                    break;
                }
            }
        }
        let published = match self.leads() {
            true => self.publish(entry).await,
            false => {
                self.ended_untold(entry.ended);
                false
            }
        };
        for done in waiting.into_iter().flatten() {
            // The caller may have given up.
            let _ = done.send(published);
        }
        if let Some(order) = next {
            Box::pin(self.obey(order)).await;
        }
    }

    /// Writes an entry to the log. Returns whether that worked.
    pub(super) async fn publish(&mut self, mut entry: Entry) -> bool {
        if self.is_alone {
            self.standing.apply(&entry);
            return true; // There is nobody to tell.
        }
        let (Some(lease), Some(generation)) = (self.candidate.held(), self.candidate.generation())
        else {
            self.ended_untold(entry.ended);
            return false;
        };
        entry.ended.append(&mut self.untold);
        let (now, holder) = (self.now(), lease.holder.clone().unwrap_or_default());
        let generation = generation.to_owned();
        self.standing.apply(&entry);
        self.position = self.position.next();
        self.written = self.position;
        let is_old = self.checkpoint.is_none_or(|(number, at)| {
            self.position.number >= number + ENTRIES_PER_CHECKPOINT
                || now.boot >= at + CHECKPOINT_EVERY
        });
        // A checkpoint says how long a pause still lasts. Entries do not always, and there may be none until it ends.
        let is_due = is_old || !entry.silences.is_empty();
        let checkpoint = is_due.then(|| {
            let mut whole = self.standing.whole(now);
            whole.requests = self.requests();
            whole.silences = self.silences();
            codec::encode(&whole, &self.writing())
        });
        let command = Command::Publish {
            generation,
            holder,
            position: self.position,
            entry: codec::encode(&entry, &self.writing()),
            checkpoint,
        };
        match self.ask(&command).await {
            Some(Reply::Published(true, time)) => {
                let now = self.now();
                self.note_time(time, now);
                (self.up_to_date, self.suspect_since) = (Some(now), None);
                self.confirmed.published(self.position);
                if is_due {
                    self.checkpoint = Some((self.position.number, now.boot));
                }
                true
            }
            Some(_) => {
                tracing::warn!(
                    account = &*self.parts.account,
                    "the log rejects this node's entry: another node leads"
                );
                self.candidate.lost();
                self.depose();
                self.ended_untold(entry.ended);
                false
            }
            None => {
                // The entry may or may not be there; the next checkpoint corrects both cases.
                self.checkpoint = None;
                self.ended_untold(entry.ended);
                false
            }
        }
    }

    /// Records that reservations have ended, although the other nodes may not know. The next entry says it again: a follower that has heard of their
    /// seats would keep these, also if it reads a checkpoint without them.
    fn ended_untold(&mut self, ended: Vec<ReservationId>) {
        let entry = Entry {
            ended,
            ..Entry::default()
        };
        // This node's mirror and checkpoints must not have them.
        self.standing.apply(&entry);
        self.untold.extend(entry.ended);
        let excess = self.untold.len().saturating_sub(MAX_UNTOLD);
        self.untold.drain(..excess);
    }
}
