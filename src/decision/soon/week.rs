//! What happened at zero seats in the last seven days: the figures that tell whether the rule helps, or would help.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::calibration::Outcome;
use crate::clock::Moment;

/// Days that are told together: each day of the week is in it once.
pub const DAYS: usize = 7;

/// Queues whose calls are counted, each in 160 bytes: 15 KB an account.
pub const MAX_QUEUES: usize = 96;

const DAY_SECONDS: u64 = 86_400;

/// Calls to one queue while it had no seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// All of them.
    pub came: u32,
    /// The rule has accepted so many.
    pub accepted: u32,
    /// It was off, and would have accepted so many.
    pub would: u32,
    /// Of both, looks showed in time how so many ended.
    pub judged: u32,
    /// Of these, so many found an agent.
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

impl AddAssign for Calls {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Situations of an account by what was foretold, in tenths: without a seat later, and with one.
pub type Tenths = [[u32; 2]; 10];

/// The tenth that a probability belongs to.
pub fn tenth(likely: f64) -> usize {
    // A cast of a number below zero gives 0.
    ((likely * 10.0) as usize).min(9)
}

/// Something counted for each of the last days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Week<T> {
    /// The newest day, counted since 1970.
    newest: u64,
    /// Each at its number modulo the length.
    days: [T; DAYS],
}

impl<T: Copy + Default> Week<T> {
    /// The count of a day. Days before it that nobody counted on begin empty. A wall clock that was set back counts on in the newest day.
    fn on(&mut self, day: u64) -> &mut T {
        let day = day.max(self.newest);
        for passed in (self.newest + 1..=day).rev().take(DAYS) {
            self.days[passed as usize % DAYS] = T::default();
        }
        self.newest = day;
        &mut self.days[day as usize % DAYS]
    }

    fn until(&self, day: u64) -> impl Iterator<Item = T> {
        let newest = self.newest;
        let counted = (0..DAYS as u64).filter_map(move |back| newest.checked_sub(back));
        let recent = counted.filter(move |one| one + DAYS as u64 > day);
        recent.map(|one| self.days[one as usize % DAYS])
    }

    fn is_over(&self, day: u64) -> bool {
        self.newest + DAYS as u64 <= day
    }
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By CallTools' id of the queue.
    queues: Vec<(u64, Week<Calls>)>,
    tenths: Week<Tenths>,
}

impl Record {
    /// Calls came to a queue without a seat.
    pub fn came(&mut self, queue: u64, calls: Calls, now: Moment) {
        let day = day(now);
        if let Some(week) = self.week_mut(queue, day) {
            *week.on(day) += calls;
        }
    }

    /// A situation of this queue is settled.
    pub fn settled(&mut self, queue: Option<u64>, outcome: &Outcome, now: Moment) {
        let day = day(now);
        let count = &mut self.tenths.on(day)[tenth(outcome.likely)][usize::from(outcome.seen)];
        *count = count.saturating_add(1);
        let Some(queue) = queue else { return };
        if outcome.calls > 0 {
            let found = if outcome.seen { outcome.calls } else { 0 };
            let judged = Calls {
                judged: outcome.calls,
                found,
                ..Calls::default()
            };
            self.came(queue, judged, now);
        }
    }

    /// The calls of the last seven days.
    pub fn calls(&self, queue: u64, now: Moment) -> Calls {
        let found = self.queues.iter().find(|(id, _)| *id == queue);
        let days = found.map(|(_, week)| week.until(day(now)));
        days.into_iter().flatten().fold(Calls::default(), Add::add)
    }

    /// The situations of the last seven days.
    pub fn tenths(&self, now: Moment) -> Tenths {
        let mut sum = Tenths::default();
        for one in self.tenths.until(day(now)) {
            for (sum, one) in sum.iter_mut().flatten().zip(one.iter().flatten()) {
                *sum = sum.saturating_add(*one);
            }
        }
        sum
    }

    /// Whether what was read from a file keeps the bounds.
    pub fn is_sound(&self) -> bool {
        self.queues.len() <= MAX_QUEUES
    }

    /// A queue of which nothing came for seven days makes room for another; if there is none, the other is not counted.
    fn week_mut(&mut self, queue: u64, day: u64) -> Option<&mut Week<Calls>> {
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
                self.queues.push((queue, Week::default()));
                self.queues.len() - 1
            }
        };
        Some(&mut self.queues[place].1)
    }
}

fn day(now: Moment) -> u64 {
    now.wall.as_secs() / DAY_SECONDS
}
