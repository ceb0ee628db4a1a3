//! The log of changed decisions, in order, shared by all streams.
//!
//! Each change is one numbered entry, written as JSON once for all streams. The log is bounded: a stream that asks for dropped entries is told so,
//! and never gets a list with a gap.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    clock::Moment,
    decision::{
        Decision, Policy, Reason,
        board::{QueueKey, QueueState},
    },
    model::quantity::Quantity,
    server::json::decision::DecisionJson,
};

/// The queues of a stream.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All configured queues.
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

/// The last decision about a queue, and the state that it is based on.
#[derive(Clone, Debug)]
pub struct LastDecision {
    pub state: Arc<QueueState>,
    pub decision: Decision,
}

impl LastDecision {
    /// Returns the decision with the ages that its data has now.
    pub fn aged(&self, now: Moment) -> Decision {
        let age = |of: Moment| now.longest_since(of);
        let members_as_of = self
            .state
            .snapshot
            .as_ref()
            .map(|known| known.members_as_of);
        let Decision {
            as_of,
            membership_age,
            ..
        } = self.decision;
        Decision {
            age: as_of.map(age),
            membership_age: membership_age.and(members_as_of).map(age),
            ..self.decision
        }
    }
}

/// A decision that changed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counts changes since the process started, from 1.
    pub number: u64,
    key: QueueKey,
    /// When the change was noticed.
    at: Moment,
    decision: Decision,
    /// The decision as JSON, as of the change.
    pub json: Bytes,
}

/// The log no longer has the requested entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFarBack;

/// See the [module](self).
#[derive(Debug)]
pub struct DecisionLog {
    last: HashMap<QueueKey, LastDecision>,
    /// The newest entries without a gap; the last one has the number `newest`.
    entries: VecDeque<Entry>,
    newest: u64,
    capacity: usize,
}

impl DecisionLog {
    /// Creates an empty log that keeps `capacity` entries, or more if one pass over all queues may add more.
    pub fn new(capacity: usize) -> Self {
        Self {
            last: HashMap::new(),
            entries: VecDeque::new(),
            newest: 0,
            capacity,
        }
    }

    /// The number of the newest entry.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The last decision about a queue.
    pub fn last(&self, key: &QueueKey) -> Option<&LastDecision> {
        self.last.get(key)
    }

    /// Returns the last changes of the decision about a queue, newest first.
    pub fn recent(&self, key: &QueueKey, max: usize) -> Vec<(Moment, Decision)> {
        let entries = self.entries.iter().rev().filter(|entry| entry.key == *key);
        entries
            .map(|entry| (entry.at, entry.decision))
            .take(max)
            .collect()
    }

    /// Notes the current decision about a queue, and writes an entry if it has changed.
    pub fn note(&mut self, key: &QueueKey, policy: &Policy, present: LastDecision, now: Moment) {
        let last = self.last.get(key);
        if last.is_none_or(|last| Gist::new(&last.decision) != Gist::new(&present.decision)) {
            self.append(key, policy, &present, now);
        }
        self.last.insert(key.clone(), present);
    }

    fn append(&mut self, key: &QueueKey, policy: &Policy, present: &LastDecision, now: Moment) {
        let json = DecisionJson::new(key, policy, &present.state, &present.decision, now);
        let json = serde_json::to_vec(&json).expect("texts and numbers can be written");
        self.newest += 1;
        self.entries.push_back(Entry {
            number: self.newest,
            key: key.clone(),
            at: now,
            decision: present.decision,
            json: json.into(),
        });
        // Twice, so that a stream that has read everything does not fall behind through one pass over all queues.
        let capacity = self.capacity.max(2 * self.last.len());
        while self.entries.len() > capacity {
            self.entries.pop_front();
        }
    }

    /// Whether the log still has all entries after the one with this number.
    pub fn reaches(&self, seen: u64) -> bool {
        self.index_after(seen).is_some()
    }

    fn index_after(&self, seen: u64) -> Option<usize> {
        let missing = usize::try_from(self.newest.checked_sub(seen)?).ok()?;
        self.entries.len().checked_sub(missing)
    }

    /// Returns up to `max` entries about these queues after the number `seen`, and the number up to which they are complete.
    pub fn since(
        &self,
        seen: u64,
        queues: &Selection,
        max: usize,
    ) -> Result<(Vec<Entry>, u64), TooFarBack> {
        let first = self.index_after(seen).ok_or(TooFarBack)?;
        let mut complete_to = self.newest;
        let mut found = Vec::new();
        for entry in self.entries.range(first..) {
            if !queues.contains(&entry.key) {
                continue;
            }
            if found.len() == max {
                complete_to = entry.number - 1;
                break;
            }
            found.push(entry.clone());
        }
        Ok((found, complete_to))
    }
}

/// The part of a decision that matters to a client that acts on it. Ages and times change with every poll, so they are not part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gist {
    accept: bool,
    reason: Reason,
    count: Option<Quantity>,
    threshold: Option<Quantity>,
}

impl Gist {
    /// The part of this decision that matters.
    pub fn new(decision: &Decision) -> Self {
        Self {
            accept: decision.accept,
            reason: decision.reason,
            count: decision.count,
            threshold: decision.threshold,
        }
    }
}
