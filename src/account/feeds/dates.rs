//! Reads the dates of a list: whether they are in order, and how far back the next reading has to reach.

use jiff::Timestamp;

use crate::{account::roster::STRAY, model::agent::Agent};

/// The dates of one page.
pub(super) struct Dates {
    /// The number of rows without a date before the first dated row.
    pub undated: usize,
    pub dated: Vec<Timestamp>,
    /// Whether undated rows follow the dated ones, so that no later page has dates.
    pub is_rest_undated: bool,
}

impl Dates {
    /// Reads the dates of a page; `None` if they are not in order.
    pub fn read(rows: &[Agent]) -> Option<Self> {
        let undated = rows.iter().take_while(|row| row.status_since.is_none());
        let undated = undated.count();
        let rest = || rows[undated..].iter().map(|row| row.status_since);
        let dated: Vec<Timestamp> = rest().map_while(|date| date).collect();
        let after = rest().skip(dated.len());
        let is_broken = after.clone().any(|date| date.is_some());
        if is_broken || !dated.is_sorted_by(|one, next| one >= next) {
            return None;
        }
        Some(Self {
            undated,
            is_rest_undated: after.count() > 0,
            dated,
        })
    }
}

/// How many of the newest dates are kept: one or two agents may bear a wrong date in the future.
pub(super) const KEPT: usize = 3;

/// The newest dates of a list, the newest first.
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

    /// Returns the newest date, which may be wrong.
    pub fn newest(&self) -> Option<Timestamp> {
        self.0.first().copied()
    }

    /// Returns the newest date that is not far beyond the third.
    pub fn likely(&self) -> Option<Timestamp> {
        let third = self.reach()?;
        let mut dates = self.0.iter().copied();
        dates.find(|date| date.duration_since(third) <= STRAY)
    }

    /// Returns a date that CallTools' present has reached, although two dates may be wrong: the third, or the oldest of fewer.
    pub fn reach(&self) -> Option<Timestamp> {
        self.0.last().copied()
    }
}

/// Counts the different dates.
pub(super) fn distinct(descending: &[Timestamp]) -> usize {
    let steps = descending.windows(2).filter(|pair| pair[0] != pair[1]);
    steps.count() + usize::from(!descending.is_empty())
}
