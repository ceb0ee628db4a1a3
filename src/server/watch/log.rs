//! What has changed, in order, for all streams together.
//!
//! Every change of a decision is one numbered entry, written down as JSON once however many watch. The log is bounded: who asks for
//! entries that it has let go is told so, and never gets a list with a gap.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    clock::Moment,
    decision::{
        Decision,
        board::{QueueKey, QueueState},
    },
    server::{api::decisions::View, state::app::Queue},
};

/// Which queues a stream tells of.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// All that are configured.
    All,
    /// These.
    Only(HashSet<QueueKey>),
}

impl Selection {
    fn contains(&self, key: &QueueKey) -> bool {
        match self {
            Selection::All => true,
            Selection::Only(keys) => keys.contains(key),
        }
    }
}

/// A decision as it was last looked at, with the state that it rests on.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) state: Arc<QueueState>,
    pub(super) decision: Decision,
}

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Counts changes since the process started, from 1.
    pub(super) number: u64,
    key: QueueKey,
    /// When it was noticed.
    at: Moment,
    decision: Decision,
    /// The decision as JSON, as it was when it changed.
    pub(super) json: Bytes,
}

/// The log has let go of entries that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFarBack;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Log {
    known: HashMap<QueueKey, Known>,
    /// The newest ones, without a gap, the last of them having the number `newest`.
    entries: VecDeque<Entry>,
    newest: u64,
    most: usize,
}

impl Log {
    /// An empty log that keeps `most` entries; more where there are so many queues that one look at all of them may bring as many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: HashMap::new(),
            entries: VecDeque::new(),
            newest: 0,
            most,
        }
    }

    /// The number of the newest entry.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// What was last noted of a queue.
    pub(super) fn known(&self, key: &QueueKey) -> Option<&Known> {
        self.known.get(key)
    }

    /// The last decisions about a queue that differed from the ones before, the newest first.
    pub(super) fn recent(&self, key: &QueueKey, most: usize) -> Vec<(Moment, Decision)> {
        let entries = self.entries.iter().rev().filter(|entry| entry.key == *key);
        entries
            .map(|entry| (entry.at, entry.decision))
            .take(most)
            .collect()
    }

    /// Notes a decision, and writes an entry if it is another one than before.
    pub(super) fn note(&mut self, queue: &Queue, known: Known, now: Moment) {
        let was = self.known.get(&queue.key);
        if was.is_none_or(|was| differ(&was.decision, &known.decision)) {
            self.append(queue, &known, now);
        }
        self.known.insert(queue.key.clone(), known);
    }

    fn append(&mut self, queue: &Queue, known: &Known, at: Moment) {
        let view = View::new(&queue.key, &queue.policy, &known.state, &known.decision, at);
        let json = serde_json::to_vec(&view).expect("texts and numbers can be written");
        self.newest += 1;
        self.entries.push_back(Entry {
            number: self.newest,
            key: queue.key.clone(),
            at,
            decision: known.decision,
            json: json.into(),
        });
        // Twice: who has read all must not fall behind by one look at all queues.
        let most = self.most.max(2 * self.known.len());
        while self.entries.len() > most {
            self.entries.pop_front();
        }
    }

    /// Whether all is still there that came after the entry with this number.
    pub(super) fn reaches(&self, seen: u64) -> bool {
        self.place_after(seen).is_some()
    }

    fn place_after(&self, seen: u64) -> Option<usize> {
        let missing = usize::try_from(self.newest.checked_sub(seen)?).ok()?;
        self.entries.len().checked_sub(missing)
    }

    /// Up to `most` entries about these queues after the one with the number `seen`, and up to which number that is all.
    pub(super) fn since(
        &self,
        seen: u64,
        queues: &Selection,
        most: usize,
    ) -> Result<(Vec<Entry>, u64), TooFarBack> {
        let first = self.place_after(seen).ok_or(TooFarBack)?;
        let mut upto = self.newest;
        let mut found = Vec::new();
        for entry in self.entries.range(first..) {
            if !queues.contains(&entry.key) {
                continue;
            }
            if found.len() == most {
                upto = entry.number - 1;
                break;
            }
            found.push(entry.clone());
        }
        Ok((found, upto))
    }
}

/// Whether somebody who acts on decisions would want to know. Ages and times differ at every poll; they are no change.
fn differ(one: &Decision, other: &Decision) -> bool {
    let of = |decision: &Decision| {
        (
            decision.accept,
            decision.reason,
            decision.count,
            decision.threshold,
        )
    };
    of(one) != of(other)
}
