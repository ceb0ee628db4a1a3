//! The newest dates of a list, of which one or two may be wrong.
//!
//! An agent's date may lie in the future, by an hour or a day, because of a wrong clock or zone, or because a person wrote it. Pure.

use jiff::{SignedDuration, Timestamp};

/// A date that is this much later than others is likely wrong: it is no evidence that a list without it lags, nor CallTools' present. The
/// clocks of CallTools' servers are only seconds apart, and zones at least half an hour.
pub(super) const STRAY: SignedDuration = SignedDuration::from_mins(10);

/// How many of the newest dates are kept: one or two agents may bear a wrong one.
pub(super) const KEPT: usize = 3;

/// Dates of a list that are likely wrong.
pub(super) type Strays = [Option<Timestamp>; KEPT - 1];

/// See the [module](self). The newest comes first.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest(Vec<Timestamp>);

impl Newest {
    pub fn of(dates: impl Iterator<Item = Timestamp>) -> Self {
        let mut newest = Self::default();
        newest.add(dates);
        newest
    }

    pub fn add(&mut self, dates: impl Iterator<Item = Timestamp>) {
        for date in dates {
            let place = self.0.partition_point(|kept| *kept >= date);
            if place < KEPT {
                self.0.insert(place, date);
                self.0.truncate(KEPT);
            }
        }
    }

    /// Returns the newest date that is none of these.
    pub fn newest_but(&self, strays: &Strays) -> Option<Timestamp> {
        let mut dates = self.0.iter().copied();
        dates.find(|date| !strays.contains(&Some(*date)))
    }

    /// Returns the newest date that is not far beyond the third.
    pub fn likely(&self) -> Option<Timestamp> {
        let third = self.reach()?;
        let mut dates = self.0.iter().copied();
        dates.find(|date| date.duration_since(third) <= STRAY)
    }

    /// Returns the [likely](Self::likely) date if enough dates are known: of fewer, all may be wrong.
    pub fn sure(&self) -> Option<Timestamp> {
        self.likely().filter(|_| self.0.len() == KEPT)
    }

    /// Returns the dates beyond the [likely](Self::likely) one.
    pub fn strays(&self) -> Strays {
        let likely = self.likely();
        std::array::from_fn(|place| {
            self.0
                .get(place)
                .copied()
                .filter(|date| Some(*date) > likely)
        })
    }

    /// Returns a date that CallTools' present has reached, although two dates may be wrong: the third, or the oldest of fewer.
    pub fn reach(&self) -> Option<Timestamp> {
        self.0.last().copied()
    }
}
