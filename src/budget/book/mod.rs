//! The book: every sliding hour of this process, whose it is, and the time by which it is kept. It is the law of the budget.
//!
//! It lives in memory, reads no file and waits for nothing, so nothing that happens to a file makes it forget. What has changed is
//! gathered in a [`Batch`] for the [ledger](super::ledger)'s file, which is for the next process.
//!
//! **Time.** Of boot time and wall time the budget takes the smaller passage. The book adds up these passages, from look to look, on a
//! clock of its own that never goes back: a wall clock that is set costs no more than the time between two looks, and frees nothing.
//! The file keeps this clock's reading beside a stamp of both clocks, and the next process goes on from there.

mod changes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use self::changes::Batch;
use self::changes::Changes;
use super::{
    Purpose,
    owner::{BudgetOwner, OwnerId, groups},
    throttle::Throttle,
    window::{Allowance, HOUR, Request, STAYS, STAYS_UNANSWERED, Time, Window},
};
use crate::clock::{Clock, Moment, stored_time::StoredTime};

/// What a new book's clock shows: late enough that an hour before it can be written.
const BEGINNING: Time = Duration::from_secs(86_400);

/// Wall and boot time may drift apart by so much before the file is told: less than what would tell two clocks apart ([`StoredTime`]).
const WORTH_WRITING: Duration = Duration::from_secs(1);

/// How long an owner stays known after it was last seen: for as long as one of its requests may be in a window, which may be
/// younger than what was written down of the owner.
const OWNER_STAYS: Duration = STAYS_UNANSWERED.saturating_add(TIDY_EVERY);

/// How often what has left is removed from the file, and owners are written down as seen: a sixtieth of the time for which it matters.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// An hour, and what its account's refusals have taught.
#[derive(Debug, Default)]
pub(super) struct Hour {
    pub window: Window,
    pub throttle: Throttle,
    /// Whether the log was told that others spend from it.
    pub told_of_others: bool,
}

/// Who has sent requests, or may.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub name: BudgetOwner,
    /// When a config that has it was last in force.
    pub seen: Time,
    /// The share of its hour.
    pub throttle: Throttle,
    /// The loss whose hour was counted as spent for it.
    pub counted: Option<Time>,
}

/// An owner, with its place in this process.
#[derive(Debug)]
struct Entry {
    owner: Owner,
    /// The budgets that spend for it.
    users: usize,
    /// The number of its hour.
    hour: usize,
}

/// What the file has, or is to have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub requests: Vec<Request>,
    pub owners: Vec<(OwnerId, Owner)>,
    /// What the book's clock showed, and the machine's at the same moment.
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
    /// What both clocks showed when the file was last written.
    written: Moment,
    tidied: Time,
    owners: BTreeMap<OwnerId, Entry>,
    hours: BTreeMap<usize, Hour>,
    next_request: u64,
    lost: Option<Time>,
    changes: Changes,
}

impl Book {
    /// Nothing was ever sent.
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

    /// Goes on from what an earlier process has left.
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
        book.group(stored.requests);
        book
    }

    /// From this moment back nobody knows what was sent. What is in the book counts all the same.
    pub fn is_lost_now(&mut self) {
        self.lost = Some(self.now);
        self.changes.whole = true;
    }

    /// Moves the book's clock on, and returns what it shows. Everything that follows is told by this time.
    pub fn look(&mut self, clock: &dyn Clock) -> Time {
        // Read behind the lock: two readings must not overtake each other.
        let moment = clock.now();
        self.now += moment.shortest_since(self.seen);
        self.seen = moment;
        if offset(moment).abs_diff(offset(self.written)) > WORTH_WRITING.as_millis() {
            self.changes.urgent = true;
        }
        self.now
    }

    /// What the book's clock showed at the last look.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The machine's clocks at the last look, as far ahead as `time` is.
    pub fn moment(&self, time: Time) -> Moment {
        self.seen.later(time.saturating_sub(self.now))
    }

    /// Whether the hour before is unknown, so that bursts are out of place.
    pub fn is_cautious(&self) -> bool {
        self.lost.is_some_and(|lost| self.now < lost + HOUR)
    }

    /// Enters an owner, who from now on spends from its hour, or from that of whom it shares with.
    pub fn enter(&mut self, name: &BudgetOwner, allowance: Allowance) -> OwnerId {
        self.forget_owners();
        let known = self
            .owners
            .iter()
            .find(|(_, entry)| entry.owner.name == *name);
        let id = match known {
            Some((id, _)) => *id,
            None => self.add_owner(name.clone()),
        };
        let now = self.now;
        let entry = self.owners.get_mut(&id).expect("it is there");
        entry.users += 1;
        entry.owner.seen = now;
        (self.changes.owners, self.changes.urgent) = (true, true);
        self.count_what_was_lost(id, allowance);
        id
    }

    /// A budget of this owner has ended.
    pub fn leave(&mut self, id: OwnerId) {
        let now = self.now;
        if let Some(entry) = self.owners.get_mut(&id) {
            entry.users -= 1;
            entry.owner.seen = now;
            self.changes.owners = true;
        }
    }

    /// The hour that an owner spends from, with nothing in it that has left.
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

    /// Counts a request as sent if there is room for it, and returns its number; otherwise the time at which there will be room.
    pub fn admit(
        &mut self,
        id: OwnerId,
        allowance: Allowance,
        purpose: Purpose,
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
        };
        window.add(request);
        self.next_request += 1;
        self.note(request);
        self.changes.urgent = true;
        Ok(number)
    }

    /// The answer to a request has come: from now it takes an hour to leave.
    pub fn answered(&mut self, id: OwnerId, number: u64, polling: bool) {
        let leaves = self.now + STAYS;
        if let Some(request) = self.hour(id).window.answered(number, polling, leaves) {
            self.note(request);
        }
    }

    /// What an hour's account was refused has changed its share, for all who spend from it.
    pub fn throttle_changed(&mut self, id: OwnerId) {
        let share = self.hour(id).throttle;
        let hour = self.owners[&id].hour;
        for entry in self.owners.values_mut().filter(|entry| entry.hour == hour) {
            entry.owner.throttle = share;
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

    /// Owners whom no config of the last hour has had: nothing that they sent is in any window, and they connect nobody any more.
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
        self.group(requests);
    }

    /// Makes one hour for all owners that share one, and sorts the requests into them.
    fn group(&mut self, requests: Vec<Request>) {
        let groups = groups(self.owners.values().map(|entry| &entry.owner.name));
        let mut hours: BTreeMap<usize, Hour> = BTreeMap::new();
        for (entry, group) in self.owners.values_mut().zip(groups) {
            entry.hour = group;
            let hour = hours.entry(group).or_default();
            hour.throttle.join(entry.owner.throttle, self.now);
            hour.told_of_others = hour.throttle.factor(self.now) < 1.0;
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

    /// Where nobody knows what was sent in the hour before a loss, it counts as spent evenly, beside what is known.
    fn count_what_was_lost(&mut self, id: OwnerId, allowance: Allowance) {
        let Some(lost) = self.lost else { return };
        let hour = self.owners[&id].hour;
        let mut owners = self.owners.values_mut().filter(|entry| entry.hour == hour);
        let counted_before = owners.any(|entry| entry.owner.counted == Some(lost));
        for entry in self.owners.values_mut().filter(|entry| entry.hour == hour) {
            entry.owner.counted = Some(lost);
        }
        if counted_before {
            return;
        }
        let window = &self.hour(id).window;
        // All together as many as there may be, whoever sent those that are known.
        let missing = allowance.limit.saturating_sub(window.used() as u32);
        let polls = window.used_by_polling() as u32;
        let by_polling = allowance.for_polling().saturating_sub(polls).min(missing);
        self.spend_evenly(id, lost, true, by_polling);
        self.spend_evenly(id, lost, false, missing - by_polling);
    }

    /// So many requests, spread over the hour before `end`.
    fn spend_evenly(&mut self, owner: OwnerId, end: Time, polling: bool, count: u32) {
        for n in 1..=count {
            let sent = end.saturating_sub(HOUR) + HOUR * n / count;
            let request = Request {
                id: self.next_request,
                owner,
                polling,
                answered: true,
                leaves: sent + STAYS,
            };
            if request.leaves > self.now {
                self.next_request += 1;
                self.hour(owner).window.add(request);
                self.note(request);
            }
        }
    }
}

/// Wall time less boot time, in milliseconds.
fn offset(moment: Moment) -> i128 {
    moment.wall.as_millis() as i128 - moment.boot.as_millis() as i128
}

fn is_fresh(seen: Time, now: Time) -> bool {
    now < seen + OWNER_STAYS
}
