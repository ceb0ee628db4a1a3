//! Reads the log and the mirrors, and passes their content on.

use std::{sync::Arc, time::Duration};

use super::Task;
use crate::{
    clock::Moment,
    cluster::{
        codec::{self, BadEntry, Reading},
        command::{Command, Log, MAX_READ, Position, Reply},
        entry::Entry,
    },
};

/// How often to read the log if no bell rings.
pub(super) const READ_EVERY: Duration = Duration::from_secs(1);

/// Entries may be old if this node was last up to date so long ago. It then missed dozens of readings.
const LATE: Duration = Duration::from_secs(60);

impl Task {
    /// Reads the log. Returns whether it came to the end.
    pub(super) async fn read(&mut self) -> bool {
        self.next_read = self.now().boot + READ_EVERY;
        let mut with_checkpoint = !self.is_synced;
        // The position of the last checkpoint, if one was read.
        let mut begun_at = None;
        // The entry behind the last gap, and the one before which the log lacks entries.
        let (mut behind_gap, mut lacks_before) = (None, None);
        let is_late = |at: Moment| self.now().shortest_since(at) > LATE;
        let is_late = self.engine_clock.up_to_date.is_none_or(is_late);
        loop {
            let command = Command::Read {
                after: self.position,
                checkpoint: with_checkpoint,
            };
            let asked = self.now();
            let Some(Reply::Log(log)) = self.ask(&command).await else {
                return false;
            };
            let now = self.now();
            self.note_time(log.time, now);
            if self.candidate.held().is_none() {
                self.candidate.saw(&log.generation, &log.lease, now.boot);
            }
            if self.generation.as_ref() != Some(&log.generation) {
                return false; // The next beat handles the new data set first.
            }
            let is_last = log.entries.len() < MAX_READ;
            if std::mem::take(&mut with_checkpoint) {
                let at = log.checkpoint.as_ref().map(|one| one.position);
                // To read the same checkpoint once more would bring the same gap again. So entries are missing there, unless a checkpoint replaces
                // them meanwhile. Then another entry is behind the gap.
                if begun_at.replace(at) == Some(at) {
                    lacks_before = behind_gap;
                    continue;
                }
            }
            let reading = self.reading(asked, log.time, is_late || begun_at.is_some());
            let taken_in = self.take_in(log, &reading, lacks_before).await;
            if self.unread || self.spoilt.is_some() {
                return false; // Until a checkpoint or a new data set replaces what cannot be read.
            }
            if let Err(behind) = taken_in {
                (behind_gap, with_checkpoint) = (Some(behind), true);
                self.is_synced = false; // The next read may get no answer.
            } else if is_last {
                self.is_synced = true;
                self.engine_clock.up_to_date = Some(asked);
                self.engine_clock.suspect_since = None;
                self.gave_up = false;
                self.look_behind_a_gap().await;
                if self.others_know() {
                    self.settle(true);
                }
                return true;
            }
        }
    }

    /// Returns this node's clocks for what it asked for then, and the engine's in between.
    pub(super) fn reading(&self, asked: Moment, engine: Duration, is_old: bool) -> Reading {
        Reading {
            asked,
            now: self.now(),
            engine,
            suspect_since: self.engine_clock.suspect_since,
            is_old,
            format: self.deps.format,
        }
    }

    /// Applies a part of the log. Stops at a gap and returns the entry behind it, unless the log is known to lack entries before it.
    async fn take_in(
        &mut self,
        log: Log,
        reading: &Reading,
        lacks_before: Option<Position>,
    ) -> Result<(), Position> {
        if let Some(checkpoint) = log.checkpoint {
            let entry = codec::decode_all(&checkpoint, reading).await;
            self.take_entry(checkpoint.position, entry);
        }
        for entry in log.entries {
            if entry.position != self.position.next() {
                if lacks_before != Some(entry.position) {
                    return Err(entry.position);
                }
                self.note_gap(entry.position);
            }
            self.take_entry(entry.position, codec::decode(&entry.data, reading));
        }
        Ok(())
    }

    fn take_entry(&mut self, position: Position, entry: Result<Entry, BadEntry>) {
        self.position = position;
        let is_checkpoint = entry.as_ref().is_ok_and(|entry| entry.whole);
        self.note_entry(position, is_checkpoint);
        self.confirmed.found(position);
        self.candidate.heard_of(position.epoch);
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                if error.is_foreign() {
                    return self.found_spoilt(&error);
                }
                // The entry may have requests that this node does not know, so it must not lead.
                (self.unread, self.is_synced) = (true, false);
                if !std::mem::replace(&mut self.logged_bad_entry, true) {
                    tracing::warn!(account = &*self.deps.account, %position, %error, "an entry of the cluster's log cannot be used");
                }
                return;
            }
        };
        self.unread &= !entry.whole;
        self.hear_of_assumed(&entry);
        self.count(&entry);
        self.standing.apply(&entry);
        // An engine that was restored to an earlier state shows seats that have ended.
        entry.held.retain(|held| !self.standing.has_ended(held));
        self.tell(entry);
    }

    /// Passes an entry to the account's task.
    pub(super) fn tell(&mut self, entry: Entry) {
        // The member of a budget has no account's task.
        if self.deps.news.is_closed() {
            return;
        }
        if self.has_lost_news {
            let whole = Arc::new(self.standing.whole(self.now()));
            self.has_lost_news = self.deps.news.try_send(whole).is_err();
        } else {
            self.has_lost_news = self.deps.news.try_send(Arc::new(entry)).is_err();
        }
    }

    /// Returns whether the account's task gets everything that was read.
    pub(super) fn has_told_all(&mut self) -> bool {
        if self.has_lost_news {
            self.tell(Entry::default());
        }
        !self.has_lost_news
    }

    /// Applies the mirrors of all nodes. Returns whether they could be read.
    pub(super) async fn read_mirrors(&mut self) -> bool {
        let asked = self.now();
        let Some(Reply::Mirrors(mirrors)) = self.ask(&Command::Mirrors).await else {
            return false;
        };
        let reading = Reading {
            suspect_since: None,
            ..self.reading(asked, self.writing().engine, true)
        };
        for (node, mirror) in mirrors {
            let is_own = node == self.deps.node;
            self.mirrors_seen.entry(node).or_insert(asked.boot);
            match codec::decode(&mirror, &reading) {
                Ok(mirror) => {
                    self.count(&mirror);
                    if !is_own {
                        self.count_assumed(mirror.assumed);
                    }
                    let mut held = Entry {
                        held: mirror.held,
                        ..Entry::default()
                    };
                    held.held.retain(|held| self.standing.lacks(held));
                    self.standing.apply(&held);
                    if !held.held.is_empty() {
                        self.tell(held);
                    }
                }
                Err(error) if error.is_foreign() => {
                    self.found_spoilt(&error);
                    return false;
                }
                Err(error) => {
                    self.note_unread_mirror();
                    tracing::warn!(account = &*self.deps.account, %error, "a node's mirror cannot be used");
                }
            }
            // Each may have a whole hour, and there may be thousands.
            tokio::task::yield_now().await;
        }
        self.draft.next_has_checkpoint();
        true
    }
}
