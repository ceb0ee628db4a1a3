//! Changes that the file lacks, and the batches that write them.

use std::collections::BTreeMap;

use super::{Book, Owner, TIDY_EVERY};
use crate::{
    budget::{
        owner::OwnerId,
        window::{Request, Time},
    },
    clock::{Clock, stored_time::StoredTime},
};

/// What to write in one transaction.
#[derive(Debug)]
pub(in crate::budget) struct Batch {
    /// Whether it replaces everything in the file.
    pub whole: bool,
    /// The first id that is new to the file.
    pub new_from: u64,
    /// The changed requests; all requests if `whole` is set.
    pub requests: Vec<Request>,
    /// All owners; `None` if none has changed.
    pub owners: Option<Vec<(OwnerId, Owner)>>,
    /// Whether to remove requests that have left the window.
    pub tidy: bool,
    pub time: Time,
    pub stamp: StoredTime,
    pub lost: Option<Time>,
}

impl Batch {
    /// Returns the newest request in the batch.
    pub fn up_to(&self) -> Option<u64> {
        self.requests.iter().map(|request| request.id).max()
    }
}

/// What the file lacks.
#[derive(Debug)]
pub(super) struct Changes {
    pub whole: bool,
    pub new_from: u64,
    pub requests: BTreeMap<u64, Request>,
    pub owners: bool,
    /// Whether to write now instead of waiting for more changes.
    pub urgent: bool,
}

/// The maximum of changes that are written one by one: four hours of a usual account. More mean that the disk hangs; then everything is written.
const MAX_CHANGES: usize = 4096;

impl Book {
    /// Returns whether a change should be written at once.
    pub fn is_urgent(&self) -> bool {
        self.changes.urgent
    }

    /// Takes what to write, as of the last [`look`](Self::look); `None` if the file has everything.
    ///
    /// It does not read the clock itself: the writing thread may not see a clock that a simulation moves.
    pub fn take_batch(&mut self, whole: bool, clock: &dyn Clock) -> Option<Batch> {
        let tidy = self.now >= self.tidied + TIDY_EVERY;
        if tidy {
            self.tidied = self.now;
            self.forget_owners();
            self.changes.owners = true;
        }
        let whole = whole || self.changes.whole;
        let changes = &self.changes;
        if !(whole || changes.urgent || changes.owners || !changes.requests.is_empty()) {
            return None;
        }
        let requests = match whole {
            true => {
                self.hours
                    .values_mut()
                    .for_each(|hour| hour.window.expire(self.now));
                let hours = self.hours.values();
                hours
                    .flat_map(|hour| hour.window.requests())
                    .copied()
                    .collect()
            }
            false => changes.requests.values().copied().collect(),
        };
        let owners = (whole || changes.owners).then(|| {
            let owners = self.owners.iter();
            owners
                .map(|(id, entry)| (*id, entry.owner.clone()))
                .collect()
        });
        let new_from = if whole { 0 } else { changes.new_from };
        self.changes = Changes {
            whole: false,
            new_from: self.next_request,
            requests: BTreeMap::new(),
            owners: false,
            urgent: false,
        };
        self.written = self.seen;
        Some(Batch {
            whole,
            new_from,
            requests,
            owners,
            tidy,
            time: self.now,
            stamp: StoredTime::new(self.seen, clock),
            lost: self.lost,
        })
    }

    /// Makes the next batch contain everything, after one that could not be written.
    pub fn write_all_again(&mut self) {
        self.changes.whole = true;
        self.changes.requests.clear();
    }

    pub(super) fn note(&mut self, request: Request) {
        if self.changes.requests.len() >= MAX_CHANGES {
            self.write_all_again();
        }
        if !self.changes.whole {
            self.changes.requests.insert(request.id, request);
        }
    }
}
