//! Writes the log, and sends questions and answers.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Task, data_set::Claim};
use crate::{
    clock::Moment,
    cluster::{
        codec::{self, Writing},
        command::{Command, Listener, Position, Reply},
        entry::Entry,
        member::Order,
        message::{Question, What},
    },
    decision::reservations::ReservationId,
};

/// A new checkpoint may be due after this many entries, or this long after the last one.
const ENTRIES_PER_CHECKPOINT: u64 = 256;
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// It is due after so many entries, even if they are short. A node that starts reads as many, in a fraction of a second.
const MAX_ENTRIES: u64 = 4_096;

/// When a leader last wrote a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// The number of the entry that it came with.
    number: u64,
    at: Duration,
    /// Its length in bytes.
    length: usize,
    /// The length of all entries since then.
    since: usize,
}

impl Written {
    /// Returns whether the next one is due. An account of thousands of agents has a checkpoint of megabytes, so it is written only after as many
    /// bytes of entries: together both are at most twice as long as the entries alone.
    fn is_old(&self, number: u64, now: Duration) -> bool {
        let entries = number - self.number;
        let may = entries >= ENTRIES_PER_CHECKPOINT || now >= self.at + CHECKPOINT_EVERY;
        may && (self.since >= self.length || entries >= MAX_ENTRIES)
    }
}

/// What the next entry depends on.
#[derive(Debug)]
pub(super) struct Draft {
    /// The last checkpoint; `None` if one is due.
    checkpoint: Option<Written>,
    /// Whether the next entry leaves out a number, so that all nodes read the checkpoint that comes with it.
    pub(super) leaves_gap: bool,
    /// The last entry that this process tried to write.
    pub(super) written: Position,
    /// Reservations that have ended, although no entry that the engine confirmed says so.
    pub(super) untold: Vec<ReservationId>,
    /// The format to write.
    pub(super) format: u32,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            checkpoint: None,
            leaves_gap: false,
            written: Position::default(),
            untold: Vec::new(),
            format: codec::OLDEST,
        }
    }

    /// Lets the next entry come with a checkpoint.
    pub(super) fn next_has_checkpoint(&mut self) {
        self.checkpoint = None;
    }
}

/// How many ended reservations are remembered until the engine confirms that: as many as a busy router ends during a lease.
const MAX_UNTOLD: usize = 1_024;

impl Task {
    pub(super) fn writing(&self) -> Writing {
        let now = self.now();
        Writing {
            now,
            engine: self.engine_clock.at(now.boot),
            format: self.draft.format,
        }
    }

    /// The same, in the format that all nodes read.
    pub(super) fn writing_oldest(&self) -> Writing {
        Writing {
            format: codec::OLDEST,
            ..self.writing()
        }
    }

    /// Moves to the position of the next entry.
    fn move_on(&mut self) {
        self.position = self.position.next();
        if std::mem::take(&mut self.draft.leaves_gap) {
            self.position = self.position.next();
        }
        self.draft.written = self.position;
    }

    /// Lets the next entry come with a checkpoint that all nodes read.
    pub(super) fn replace_log(&mut self) {
        self.draft.next_has_checkpoint();
        self.draft.leaves_gap = true;
    }

    pub(super) async fn obey(&mut self, order: Order) {
        match order {
            Order::Publish(entry, done) => self.publish_all(*entry, done).await,
            Order::PublishIn(tenure, entry, done) => {
                if let Some(entry) = self.in_time(tenure, *entry) {
                    self.publish_all(entry, Some(done)).await;
                }
            }
            // Its caller waits no longer.
            Order::Ask {
                until: Some(until), ..
            } if self.now().boot > until => {}
            Order::Ask { id, what, until } => self.put_question(id, what, until).await,
            Order::Answer(node, answer) => {
                let message = serde_json::to_vec(&answer).expect("texts and numbers serialize");
                let to = Listener::Node(node);
                self.ask(&Command::Send { to, message }).await;
            }
            Order::Spender(question) => self.answer_spender(*question).await,
            Order::Claim(done) => {
                // The caller may have given up.
                let _ = done.send(self.claim().await == Claim::Granted);
            }
            Order::Count(budget) => {
                self.deps.budget = self.deps.budget.is_some().then_some(budget);
                self.keep_the_smallest_limit(self.now().boot);
            }
            Order::Repeat if self.leads() => {}
            // Without the engine, what it says about faults is out of date. The next news come with everything.
            Order::Repeat if !self.is_up => self.has_lost_news = true,
            Order::Repeat => {
                let whole = self.standing.whole(self.now());
                self.tell(whole);
            }
        }
    }

    async fn put_question(&mut self, id: u64, what: What, until: Option<Duration>) {
        let left = until.map(|until| until.saturating_sub(self.now().boot));
        let question = Question {
            id,
            node: self.deps.node.clone(),
            what,
            patience_ms: left.map(|left| left.as_millis() as u64),
        };
        let message = serde_json::to_vec(&question).expect("texts and numbers serialize");
        let to = Listener::Leader;
        self.ask(&Command::Send { to, message }).await;
    }

    /// Returns an entry that was decided in a tenure, if that lasts. Otherwise its caller gets no answer, which means that no other node will read it.
    fn in_time(&self, tenure: u64, entry: Entry) -> Option<Entry> {
        (tenure == self.deps.tenure.number()).then_some(entry)
    }

    /// Publishes this entry and all that wait behind it as one.
    pub(super) async fn publish_all(
        &mut self,
        mut entry: Entry,
        done: Option<oneshot::Sender<bool>>,
    ) {
        let mut waiting = vec![done];
        let mut next = None;
        while let Ok(order) = self.deps.orders.try_recv() {
            match order {
                Order::Publish(more, done) => {
                    entry.join(*more);
                    waiting.push(done);
                }
                Order::PublishIn(tenure, more, done) => {
                    if let Some(more) = self.in_time(tenure, *more) {
                        entry.join(more);
                        waiting.push(Some(done));
                    }
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
        if self.company.is_alone {
            self.standing.apply(&entry);
            return true; // There is nobody to tell.
        }
        let (Some(lease), Some(generation)) = (self.candidate.held(), self.candidate.generation())
        else {
            self.ended_untold(entry.ended);
            return false;
        };
        entry.ended.append(&mut self.draft.untold);
        if self.deps.budget.is_some() && !entry.silences.is_empty() {
            // CallTools may not say how long. This node has counted earlier pauses, which the others may not know.
            entry.silences = self.silences();
        }
        let (now, holder) = (self.now(), lease.holder.clone().unwrap_or_default());
        let generation = generation.to_owned();
        self.standing.apply(&entry);
        let data = self.pack(&mut entry);
        self.move_on();
        let number = self.position.number;
        let is_due = self
            .draft
            .checkpoint
            .is_none_or(|written| written.is_old(number, now.boot));
        let checkpoint = match is_due {
            true => Some(self.pack_checkpoint(now).await),
            false => None,
        };
        let next = match (&checkpoint, self.draft.checkpoint) {
            (None, Some(written)) => Some(Written {
                since: written.since + data.len(),
                ..written
            }),
            (parts, _) => Some(Written {
                number,
                at: now.boot,
                length: parts.iter().flatten().map(Vec::len).sum(),
                since: 0,
            }),
        };
        let command = Command::Publish {
            generation,
            holder,
            position: self.position,
            entry: data,
            checkpoint,
        };
        match self.ask(&command).await {
            Some(Reply::Published(true, time)) => {
                self.confirmed.published(self.position);
                self.draft.checkpoint = next;
                let now = self.now();
                self.note_time(time, now);
                self.engine_clock.up_to_date = Some(now);
                self.engine_clock.suspect_since = None;
                true
            }
            Some(_) => {
                tracing::warn!(
                    account = &*self.deps.account,
                    "the log rejects this node's entry, so this node leads no more"
                );
                self.candidate.lost();
                self.depose();
                self.ended_untold(entry.ended);
                false
            }
            None => {
                // The entry may or may not be there; the next checkpoint corrects both cases.
                self.draft.next_has_checkpoint();
                self.ended_untold(entry.ended);
                false
            }
        }
    }

    /// Packs an entry that was applied. If it is too long for others to read, the checkpoint that comes with it has its rows, in parts: right after a
    /// node began to lead, its account's task tells all that it knows at once.
    fn pack(&mut self, entry: &mut Entry) -> Vec<u8> {
        if let Some(packed) = codec::encode_readable(entry, &self.writing()) {
            return packed;
        }
        (entry.polls, entry.seen) = (Vec::new(), Vec::new());
        self.replace_log();
        codec::encode(entry, &self.writing())
    }

    /// Packs everything that is known. Other tasks run between its parts.
    async fn pack_checkpoint(&mut self, now: Moment) -> Vec<Vec<u8>> {
        let mut whole = self.standing.whole(now);
        whole.requests = self.requests();
        whole.silences = self.silences();
        let mut packer = codec::Packer::default();
        for part in whole.parts() {
            if !packer.add(&part, &self.writing()) {
                tracing::warn!(
                    account = &*self.deps.account,
                    "the account has more rows than a checkpoint can have; a node that starts knows the other queues after their next polls"
                );
                break;
            }
            tokio::task::yield_now().await;
        }
        packer.parts()
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
        let untold = &mut self.draft.untold;
        untold.extend(entry.ended);
        let excess = untold.len().saturating_sub(MAX_UNTOLD);
        untold.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_once_entries_as_long_as_it_have_followed() {
        let at = Duration::from_secs(1_000);
        let written = |since| Written {
            number: 10,
            at,
            length: 4_000_000,
            since,
        };
        let later = at + CHECKPOINT_EVERY;
        assert!(!written(3_999_999).is_old(300, later));
        assert!(written(4_000_000).is_old(300, later));
        assert!(written(4_000_000).is_old(11, later));
        assert!(
            !written(4_000_000).is_old(11, at),
            "not one after the other"
        );
        assert!(written(0).is_old(10 + MAX_ENTRIES, later));
    }
}
