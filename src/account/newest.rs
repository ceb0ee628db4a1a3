//! The newest dates of a list, of which some may be wrong.
//!
//! An agent's date may lie in the future, by an hour or a day, because of a wrong clock or zone, or because a person wrote it. Pure.

use jiff::{SignedDuration, Timestamp};

/// A date that is this much later than others is likely wrong: it is no evidence that a list without it lags, nor CallTools' present. The
/// clocks of CallTools' servers are only seconds apart, and zones at least half an hour.
pub(super) const STRAY: SignedDuration = SignedDuration::from_mins(10);

/// How many of the newest dates of a long list are kept: up to five agents may bear a wrong one.
pub(super) const OF_MANY: usize = 6;

/// The same for lists that may be short, such as a queue's: one or two agents may bear a wrong date.
pub(super) const OF_FEW: usize = 3;

/// Dates of a list that are likely wrong.
pub(super) type Strays<const KEPT: usize> = [Option<Timestamp>; KEPT];

/// See the [module](self). The newest comes first.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest<const KEPT: usize>(Vec<Timestamp>);

impl<const KEPT: usize> Newest<KEPT> {
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

    /// Returns the newest date, which may be wrong.
    pub fn newest(&self) -> Option<Timestamp> {
        self.0.first().copied()
    }

    /// Returns the newest date that is none of these.
    pub fn newest_but(&self, strays: &Strays<KEPT>) -> Option<Timestamp> {
        let mut dates = self.0.iter().copied();
        dates.find(|date| !strays.contains(&Some(*date)))
    }

    /// Returns the newest date that is not far beyond the last one that is kept.
    pub fn likely(&self) -> Option<Timestamp> {
        let last = self.reach()?;
        let mut dates = self.0.iter().copied();
        dates.find(|date| date.duration_since(last) <= STRAY)
    }

    /// Returns the [likely](Self::likely) date if enough dates are known: of fewer, all may be wrong.
    pub fn sure(&self) -> Option<Timestamp> {
        self.likely().filter(|_| self.0.len() == KEPT)
    }

    /// Returns the dates beyond the [likely](Self::likely) one.
    pub fn strays(&self) -> Strays<KEPT> {
        let likely = self.likely();
        std::array::from_fn(|place| {
            self.0
                .get(place)
                .copied()
                .filter(|date| Some(*date) > likely)
        })
    }

    /// Returns a date that CallTools' present has reached, although the later ones may be wrong: the last that is kept, or the oldest of fewer.
    pub fn reach(&self) -> Option<Timestamp> {
        self.0.last().copied()
    }

    /// Returns the oldest date that is far beyond the next one.
    pub fn before_gap(&self) -> Option<Timestamp> {
        let mut pairs = self.0.windows(2).rev();
        let pair = pairs.find(|pair| pair[0].duration_since(pair[1]) > STRAY)?;
        Some(pair[0])
    }
}
