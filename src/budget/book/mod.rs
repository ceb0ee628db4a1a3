//! The book: all sliding hours of this process, with their owners and the budget's own clock. It decides what may be sent.
//!
//! It lives in memory, reads no file and never waits, so nothing that happens to a file makes it forget. Changes are collected in a
//! [`Batch`] for the [ledger](super::ledger)'s file, which the next process reads.
//!
//! **Time.** Between two looks at the machine's clocks, the shorter of the passages of boot time and wall time counts. The book adds these up
//! on a clock of its own that never goes back. So setting the wall clock delays requests by at most the time between two looks, and never
//! frees one early. The file stores this clock's time beside the machine's, and the next process continues from there.

mod changes;
mod mirrored;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use self::changes::Batch;
use self::changes::Changes;
use super::{
    Purpose,
    cap::Cap,
    owner::{BudgetOwner, OwnerId, groups},
    throttle::Throttle,
    window::{Allowance, HOUR, Mark, Request, STAYS, STAYS_UNANSWERED, Time, Window},
};
use crate::clock::{Clock, Moment, stored_time::StoredTime};

/// The first time on a new book's clock: late enough that times in the hour before it are positive.
const BEGINNING: Time = Duration::from_secs(86_400);

/// The drift between wall and boot time that makes the file be written: less than what [`StoredTime`] takes for another clock.
const WORTH_WRITING: Duration = Duration::from_secs(1);

/// How long an owner is kept after it was last seen: as long as one of its requests may be in a window. That request may be newer than the
/// stored time at which the owner was seen.
const OWNER_STAYS: Duration = STAYS_UNANSWERED.saturating_add(TIDY_EVERY);

/// How often expired requests are removed from the file, and owners are stored as seen: a sixtieth of the hour for which that matters.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// An hour, and the throttle of its account.
#[derive(Debug, Default)]
pub(super) struct Hour {
    pub window: Window,
    pub throttle: Throttle,
    pub cap: Cap,
    /// Whether it was logged that others spend from it.
    pub logged_others: bool,
}

/// An owner that has sent requests, or may send some.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub name: BudgetOwner,
    /// When a config with this owner was last in use.
    pub seen: Time,
    /// The throttle of its hour.
    pub throttle: Throttle,
    /// The loss for which its hour was counted as spent.
    pub counted: Option<Time>,
}

/// An owner, and its hour in this process.
#[derive(Debug)]
struct Entry {
    owner: Owner,
    /// How many budgets use it.
    users: usize,
    /// The number of its hour.
    hour: usize,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub requests: Vec<Request>,
    pub owners: Vec<(OwnerId, Owner)>,
    /// The book's clock, and the machine's clocks at the same moment.
    pub time: Time,
    pub stamp: StoredTime,
    /// When the ledger was last lost.
    pub lost: Option<Time>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Book {
    seen: Moment,
    now: Time,
    /// Both clocks when the file was last written.
    written: Moment,
    tidied: Time,
    owners: BTreeMap<OwnerId, Entry>,
    hours: BTreeMap<usize, Hour>,
    next_request: u64,
    lost: Option<Time>,
    changes: Changes,
}

impl Book {
    /// Creates a book without requests.
    pub fn new(clock: &dyn Clock) -> Self {
        Self::restored(
            Stored {
                requests: Vec::new(),
                owners: Vec::new(),
                time: BEGINNING,
                stamp: StoredTime::now(clock),
                lost: None,
            },
            clock,
        )
    }

    /// Continues from what an earlier process stored.
    pub fn restored(stored: Stored, clock: &dyn Clock) -> Self {
        let seen = clock.now();
        let now = stored.time + StoredTime::new(seen, clock).since(&stored.stamp);
        let mut book = Self {
            seen,
            now,
            written: seen,
            tidied: now,
            owners: BTreeMap::new(),
            hours: BTreeMap::new(),
            next_request: 1,
            lost: stored.lost.filter(|lost| now < *lost + STAYS_UNANSWERED),
            changes: Changes {
                whole: true,
                new_from: 0,
                requests: BTreeMap::new(),
                owners: true,
                urgent: true,
            },
        };
        for (id, owner) in stored.owners {
            if is_fresh(owner.seen, now) {
                let owner = Owner {
                    throttle: owner.throttle.restored(now),
                    ..owner
                };
                let entry = Entry {
                    owner,
                    users: 0,
                    hour: 0,
                };
                book.owners.insert(id, entry);
            }
        }
        book.group(stored.requests, &BTreeMap::new());
        book
    }

    /// Records that requests sent before this moment may be unknown. Those in the book still count.
    pub fn note_loss(&mut self) {
        self.lost = Some(self.now);
        self.changes.whole = true;
    }

    /// Moves the book's clock forward and returns its time, which everything uses until the next look.
    pub fn look(&mut self, clock: &dyn Clock) -> Time {
        // Read under the lock, so that readings cannot arrive out of order.
        let moment = clock.now();
        self.now += moment.shortest_since(self.seen);
        self.seen = moment;
        if offset(moment).abs_diff(offset(self.written)) > WORTH_WRITING.as_millis() {
            self.changes.urgent = true;
        }
        self.now
    }

    /// Returns the book's time at the last look.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Returns the moment at which the book's clock will show `time`.
    pub fn moment(&self, time: Time) -> Moment {
        self.seen.later(time.saturating_sub(self.now))
    }

    /// Returns whether requests of the last hour may be unknown, so that bursts are forbidden.
    pub fn is_cautious(&self) -> bool {
        self.lost.is_some_and(|lost| self.now < lost + HOUR)
    }

    /// Enters an owner. It spends from its own hour, or from the hour of an owner that it shares with.
    pub fn enter(&mut self, name: &BudgetOwner, allowance: Allowance) -> OwnerId {
        self.forget_owners();
        let known = self
            .owners
            .iter()
            .find(|(_, entry)| entry.owner.name == *name);
        let id = match known {
            Some((id, _)) => *id,
            None => {
                let id = self.add_owner(name.clone());
                // The other owners may be forgotten before the rate has recovered.
                self.throttle_changed(id);
                id
            }
        };
        let now = self.now;
        let entry = self
            .owners
            .get_mut(&id)
            .expect("every owner in the book has an entry");
        entry.users += 1;
        entry.owner.seen = now;
        (self.changes.owners, self.changes.urgent) = (true, true);
        self.count_lost_requests(id, allowance);
        id
    }

    /// Returns the name and identity of an owner.
    pub fn name(&self, id: OwnerId) -> &BudgetOwner {
        &self.owners[&id].owner.name
    }

    /// Records that a budget of this owner has ended.
    pub fn leave(&mut self, id: OwnerId) {
        let now = self.now;
        if let Some(entry) = self.owners.get_mut(&id) {
            entry.users -= 1;
            entry.owner.seen = now;
            self.changes.owners = true;
        }
    }

    /// Returns the hour that an owner spends from, without expired requests.
    pub fn hour(&mut self, id: OwnerId) -> &mut Hour {
        let entry = self
            .owners
            .get(&id)
            .expect("an owner with a budget stays in the book");
        let hour = self
            .hours
            .get_mut(&entry.hour)
            .expect("each owner has an hour");
        hour.window.expire(self.now);
        hour
    }

    /// Counts a request as sent if there is room, and returns its number. Otherwise returns when there will be room.
    pub fn admit(
        &mut self,
        id: OwnerId,
        allowance: Allowance,
        purpose: Purpose,
        process: Option<u64>,
    ) -> Result<u64, Time> {
        let (now, number) = (self.now, self.next_request);
        let window = &mut self.hour(id).window;
        if let Some(room_at) = window.room_at(allowance, purpose) {
            return Err(room_at);
        }
        let request = Request {
            id: number,
            owner: id,
            polling: purpose.is_polling(),
            answered: false,
            leaves: now + STAYS_UNANSWERED,
            mark: process.map(|process| Mark { process, number }),
        };
        window.add(request);
        self.next_request += 1;
        self.note(request);
        self.changes.urgent = true;
        Ok(number)
    }

    /// Records the answer to a request, which leaves an hour from now.
    pub fn answered(&mut self, id: OwnerId, number: u64, polling: bool) {
        let leaves = self.now + STAYS;
        if let Some(request) = self.hour(id).window.answered(number, polling, leaves) {
            self.note(request);
        }
    }

    /// Copies the changed throttle of an hour to all owners that spend from it.
    pub fn throttle_changed(&mut self, id: OwnerId) {
        let throttle = self.hour(id).throttle;
        let hour = self.owners[&id].hour;
        for entry in self.owners.values_mut().filter(|entry| entry.hour == hour) {
            entry.owner.throttle = throttle;
        }
        (self.changes.owners, self.changes.urgent) = (true, true);
    }

    fn add_owner(&mut self, name: BudgetOwner) -> OwnerId {
        let id = self.owners.last_key_value().map_or(1, |(id, _)| id.0 + 1);
        let hour = self.hours.last_key_value().map_or(0, |(hour, _)| hour + 1);
        let shares = self
            .owners
            .values()
            .any(|entry| entry.owner.name.shares_with(&name));
        let owner = Owner {
            name,
            seen: self.now,
            throttle: Throttle::default(),
            counted: None,
        };
        self.hours.insert(hour, Hour::default());
        let entry = Entry {
            owner,
            users: 0,
            hour,
        };
        self.owners.insert(OwnerId(id), entry);
        if shares {
            self.regroup();
        }
        OwnerId(id)
    }

    /// Forgets owners that no config of the last hour had: none of their requests is in a window, so they no longer connect other owners.
    fn forget_owners(&mut self) {
        let now = self.now;
        for entry in self.owners.values_mut().filter(|entry| entry.users > 0) {
            entry.owner.seen = now;
        }
        let mut left = BTreeSet::new();
        self.owners.retain(|_, entry| {
            let stays = is_fresh(entry.owner.seen, now);
            if !stays {
                left.insert(entry.hour);
            }
            stays
        });
        if !left.is_empty() {
            self.regroup();
        }
    }

    fn regroup(&mut self) {
        let hours = std::mem::take(&mut self.hours);
        let requests = hours.values().flat_map(|hour| hour.window.requests());
        let requests = requests.copied().collect();
        let caps = hours.iter().map(|(number, hour)| (*number, hour.cap));
        self.group(requests, &caps.collect());
    }

    /// Gives each group of owners its hour, and puts the requests into the hours. `caps` are those of the hours before.
    fn group(&mut self, requests: Vec<Request>, caps: &BTreeMap<usize, Cap>) {
        let groups = groups(self.owners.values().map(|entry| &entry.owner.name));
        let mut hours: BTreeMap<usize, Hour> = BTreeMap::new();
        for (entry, group) in self.owners.values_mut().zip(groups) {
            let hour = hours.entry(group).or_default();
            let cap = caps.get(&entry.hour).copied().unwrap_or_default();
            hour.cap = hour.cap.joined(cap);
            entry.hour = group;
            hour.throttle.join(entry.owner.throttle, self.now);
            hour.logged_others = hour.throttle.factor(self.now) < 1.0;
        }
        for request in requests
            .into_iter()
            .filter(|request| request.leaves > self.now)
        {
            self.next_request = self.next_request.max(request.id + 1);
            let entry = self.owners.get(&request.owner);
            if let Some(hour) = entry.and_then(|entry| hours.get_mut(&entry.hour)) {
                hour.window.add(request);
            }
        }
        self.hours = hours;
    }

    /// Counts the rest of the hour before a loss as spent evenly, in addition to the known requests.
    fn count_lost_requests(&mut self, id: OwnerId, allowance: Allowance) {
        let Some(lost) = self.lost else { return };
        let hour = self.owners[&id].hour;
        let mut owners = self.owners.values_mut().filter(|entry| entry.hour == hour);
        let counted_before = owners.any(|entry| entry.owner.counted == Some(lost));
        for entry in self.owners.values_mut().filter(|entry| entry.hour == hour) {
            entry.owner.counted = Some(lost);
        }
        if counted_before {
            // Two owners whose hours have just been joined may both have counted it.
            return self.drop_excess(id, allowance.limit);
        }
        let window = &self.hour(id).window;
        // With the known requests of all owners, that makes the limit.
        let missing = allowance.limit.saturating_sub(window.used() as u32);
        let polls = window.used_by_polling() as u32;
        let by_polling = allowance.for_polling().saturating_sub(polls).min(missing);
        self.spend_evenly(id, lost, true, by_polling);
        self.spend_evenly(id, lost, false, missing - by_polling);
    }

    /// Drops assumed requests, evenly in time, until the known and the assumed ones are no more than the limit.
    fn drop_excess(&mut self, id: OwnerId, limit: u32) {
        let now = self.now;
        let window = &mut self.hour(id).window;
        let excess = window.used().saturating_sub(limit as usize);
        if excess == 0 {
            return;
        }
        let mut assumed = window.take_assumed();
        assumed.sort_by_key(|request| request.leaves);
        let (all, left) = (assumed.len(), assumed.len().saturating_sub(excess));
        for (n, mut request) in assumed.into_iter().enumerate() {
            let stays = left * (n + 1) / all > left * n / all;
            if stays {
                self.hour(id).window.add(request);
            } else {
                request.leaves = now;
                self.note(request);
            }
        }
    }

    /// Counts `count` requests, spread over the hour before `end`.
    fn spend_evenly(&mut self, owner: OwnerId, end: Time, polling: bool, count: u32) {
        for n in 1..=count {
            let sent = end.saturating_sub(HOUR) + HOUR * n / count;
            let request = Request {
                id: self.next_request,
                owner,
                polling,
                answered: true,
                leaves: sent + STAYS,
                mark: Some(Mark::assumed(self.next_request)),
            };
            if request.leaves > self.now {
                self.next_request += 1;
                self.hour(owner).window.add(request);
                self.note(request);
            }
        }
    }
}

/// Returns wall time minus boot time, in milliseconds.
fn offset(moment: Moment) -> i128 {
    moment.wall.as_millis() as i128 - moment.boot.as_millis() as i128
}

fn is_fresh(seen: Time, now: Time) -> bool {
    now < seen + OWNER_STAYS
}
