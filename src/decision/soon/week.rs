//! What happened at zero seats in the last seven days: the figures that show whether the rule helps, or would help.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::calibration::Outcome;
use crate::clock::Moment;

/// How many days are summed up: each day of the week is included once.
pub const DAYS: usize = 7;
const WEEK: u32 = DAYS as u32;

/// The most queues whose calls are counted, with 88 bytes each: 8 KB for each account.
pub const MAX_QUEUES: usize = 96;

const DAY_SECONDS: u64 = 86_400;

/// Calls to one queue while it had no seat. Answers that are alike count once in four seconds, because they may be about the same call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// All calls.
    pub came: u32,
    /// Those that the rule accepted.
    pub accepted: u32,
    /// Those that it would have accepted while it was off.
    pub would: u32,
    /// Of these two, the calls that a look in time could judge.
    pub judged: u32,
    /// Of the judged calls, those that found an agent.
    pub found: u32,
}

impl Add for Calls {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            came: self.came.saturating_add(other.came),
            accepted: self.accepted.saturating_add(other.accepted),
            would: self.would.saturating_add(other.would),
            judged: self.judged.saturating_add(other.judged),
            found: self.found.saturating_add(other.found),
        }
    }
}

/// The calls of one day. More than 65,535 count as that many: counted once in four seconds, there are hardly ever so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Calls", into = "Calls")]
struct CallsOfDay {
    came: u16,
    accepted: u16,
    would: u16,
    judged: u16,
    found: u16,
}

impl From<Calls> for CallsOfDay {
    fn from(calls: Calls) -> Self {
        let most = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Self {
            came: most(calls.came),
            accepted: most(calls.accepted),
            would: most(calls.would),
            judged: most(calls.judged),
            found: most(calls.found),
        }
    }
}

impl From<CallsOfDay> for Calls {
    fn from(calls: CallsOfDay) -> Self {
        Self {
            came: calls.came.into(),
            accepted: calls.accepted.into(),
            would: calls.would.into(),
            judged: calls.judged.into(),
            found: calls.found.into(),
        }
    }
}

impl AddAssign<Calls> for CallsOfDay {
    fn add_assign(&mut self, calls: Calls) {
        *self = (Calls::from(*self) + calls).into();
    }
}

/// Situations of an account by predicted probability, in tenths: without a seat later, and with one.
pub type Tenths = [[u32; 2]; 10];

/// Something counted for each of the last days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Week<T> {
    /// The newest day, counted since 1970.
    newest: u32,
    /// Each at its day number modulo the length.
    days: [T; DAYS],
}

impl<T: Copy + Default> Week<T> {
    /// Returns the count of a day. Days that were skipped begin empty. After a wall clock was set back, the newest day keeps counting. If that is
    /// more than a week ahead, the clock was wrong then, and counting begins anew.
    fn on(&mut self, day: u32) -> &mut T {
        if self.is_ahead(day) {
            *self = Self::default();
        }
        let day = day.max(self.newest);
        for passed in (self.newest + 1..=day).rev().take(DAYS) {
            self.days[passed as usize % DAYS] = T::default();
        }
        self.newest = day;
        &mut self.days[day as usize % DAYS]
    }

    fn until(&self, day: u32) -> impl Iterator<Item = T> {
        // What was counted on days that are yet to come says nothing about the last ones.
        let newest = if self.is_ahead(day) { 0 } else { self.newest };
        let counted = (0..WEEK).filter_map(move |back| newest.checked_sub(back));
        let recent = counted.filter(move |one| one + WEEK > day);
        recent.map(|one| self.days[one as usize % DAYS])
    }

    fn is_ahead(&self, day: u32) -> bool {
        self.newest > day + WEEK
    }

    fn is_over(&self, day: u32) -> bool {
        self.newest.saturating_add(WEEK) <= day
    }
}

/// The most memory that a queue's calls, and an account's situations, take, in bytes.
#[cfg(test)]
pub const RECORD_BYTES: (usize, usize) = (
    size_of::<(u64, Week<CallsOfDay>)>(),
    size_of::<Week<Tenths>>(),
);

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By CallTools' id of the queue.
    queues: Vec<(u64, Week<CallsOfDay>)>,
    tenths: Week<Tenths>,
}

impl Record {
    /// Counts calls to a queue without a seat.
    pub fn came(&mut self, queue: u64, calls: Calls, now: Moment) {
        let day = day(now);
        if let Some(week) = self.week_mut(queue, day) {
            *week.on(day) += calls;
        }
    }

    /// Counts a settled situation of this queue.
    pub fn settled(&mut self, queue: Option<u64>, outcome: &Outcome, now: Moment) {
        let day = day(now);
        let count =
            &mut self.tenths.on(day)[usize::from(outcome.tenth)][usize::from(outcome.seen())];
        *count = count.saturating_add(1);
        let Some(queue) = queue else { return };
        if outcome.calls > 0 {
            let judged = Calls {
                judged: outcome.calls,
                found: outcome.calls.min(outcome.came),
                ..Calls::default()
            };
            self.came(queue, judged, now);
        }
    }

    /// Returns the calls of the last seven days; `None` if the queue is not counted because there is no room.
    pub fn calls(&self, queue: u64, now: Moment) -> Option<Calls> {
        let found = self.queues.iter().find(|(id, _)| *id == queue);
        let in_use = |(_, week): &&(u64, Week<CallsOfDay>)| !week.is_over(day(now));
        if found.is_none() && self.queues.iter().filter(in_use).count() >= MAX_QUEUES {
            return None;
        }
        let days = found.map(|(_, week)| week.until(day(now)));
        let days = days.into_iter().flatten().map(Calls::from);
        Some(days.fold(Calls::default(), Add::add))
    }

    /// Returns the situations of the last seven days.
    pub fn tenths(&self, now: Moment) -> Tenths {
        let mut sum = Tenths::default();
        for one in self.tenths.until(day(now)) {
            for (sum, one) in sum.iter_mut().flatten().zip(one.iter().flatten()) {
                *sum = sum.saturating_add(*one);
            }
        }
        sum
    }

    /// Returns a record that was read from a file, without spare room; `None` if it exceeds the limits.
    pub fn sound(mut self) -> Option<Self> {
        self.queues.shrink_to_fit();
        (self.queues.len() <= MAX_QUEUES).then_some(self)
    }

    /// Returns for how many queues there is memory.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.queues.capacity()
    }

    /// Returns the week of a queue. If there is no room, queues without calls for seven days make room; if there are none, returns `None`.
    fn week_mut(&mut self, queue: u64, day: u32) -> Option<&mut Week<CallsOfDay>> {
        let known = self.queues.iter().position(|(id, _)| *id == queue);
        let place = match known {
            Some(place) => place,
            None => {
                if self.queues.len() >= MAX_QUEUES {
                    self.queues.retain(|(_, week)| !week.is_over(day));
                }
                if self.queues.len() >= MAX_QUEUES {
                    return None;
                }
                // A list that grows on its own has room for twice as many.
                self.queues.reserve_exact(1);
                self.queues.push((queue, Week::default()));
                self.queues.len() - 1
            }
        };
        Some(&mut self.queues[place].1)
    }
}

fn day(now: Moment) -> u32 {
    // Some million years fit.
    (now.wall.as_secs() / DAY_SECONDS) as u32
}
