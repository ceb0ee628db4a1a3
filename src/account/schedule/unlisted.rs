//! Statuses that rows show and `statuses/` does not list: decides when to read that list again because of them.
//!
//! A status that is new to openseat was probably just created, so the list is read at once. If the list omits it, it counts as known from then
//! on, and can wait.

use std::{collections::BTreeSet, time::Duration};

/// The minimum time between two readings because of new statuses. It doubles with each further one, up to [`ACQUAINTED_AGAIN`]: if CallTools shows
/// ever new statuses, that is ten readings in the first hour, and six an hour after that.
const NEW_AGAIN: Duration = Duration::from_secs(10);

/// The time between two readings because of statuses that a reading has omitted: some may stay unlisted.
const ACQUAINTED_AGAIN: Duration = Duration::from_secs(600);

/// The maximum of statuses to remember, far more than an account has. Beyond it, no status is new.
const MAX_ACQUAINTED: usize = 500;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Unlisted {
    /// Those seen since the last reading began, of which no reading has decided anything.
    new: BTreeSet<Box<str>>,
    /// Those that the reading under way will decide about.
    asked: BTreeSet<Box<str>>,
    /// Those that were seen before an earlier reading. Some may be listed now, and will not be seen again.
    acquainted: BTreeSet<Box<str>>,
    /// Whether one of these was seen since the last reading began.
    seen_again: bool,
    /// How many readings in a row were due to new statuses.
    readings: u32,
}

impl Unlisted {
    /// Records statuses of rows, by id or name, that are not listed.
    pub(super) fn saw(&mut self, statuses: &BTreeSet<Box<str>>) {
        for status in statuses {
            let is_full = self.new.len() + self.acquainted.len() >= MAX_ACQUAINTED;
            if self.acquainted.contains(status) || is_full {
                self.seen_again = true;
            } else if !self.asked.contains(status) {
                self.new.insert(status.clone());
            }
        }
    }

    /// Records that a reading has begun.
    pub(super) fn begun(&mut self) {
        self.readings = match self.new.is_empty() {
            true => 0,
            false => self.readings.saturating_add(1),
        };
        self.seen_again = false;
        self.asked.append(&mut self.new);
    }

    /// Records the end of the reading. A reading that failed has decided nothing.
    pub(super) fn ended(&mut self, well: bool) {
        match well {
            true => self.acquainted.append(&mut self.asked),
            false => self.new.append(&mut self.asked),
        }
    }

    /// Returns whether there are new statuses.
    pub(super) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// Returns how long after the last reading the next is due; `None` if all statuses are listed.
    pub(super) fn again(&self) -> Option<Duration> {
        let doubled = NEW_AGAIN.saturating_mul(2u32.saturating_pow(self.readings));
        match (self.has_new(), self.seen_again) {
            (true, _) => Some(doubled.min(ACQUAINTED_AGAIN)),
            (false, true) => Some(ACQUAINTED_AGAIN),
            (false, false) => None,
        }
    }
}
