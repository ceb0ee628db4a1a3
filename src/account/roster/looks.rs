//! When the newest rows of a queue's members were seen. A queue's count is as old as the oldest of them, and each answer of CallTools renews only a few.

use std::{cmp::Ordering, time::Duration};

use crate::clock::Moment;

/// The members that one look has shown.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Moment,
    members: usize,
    logged_in: usize,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Looks(
    /// Each look with members once, the earliest first.
    Vec<Look>,
);

impl Looks {
    /// Counts a member whose newest row was seen at this moment.
    pub(super) fn add(&mut self, at: Moment, logged_in: bool) {
        let place = self.place(at).unwrap_or_else(|place| {
            let (members, logged_in) = (0, 0);
            self.0.insert(
                place,
                Look {
                    at,
                    members,
                    logged_in,
                },
            );
            place
        });
        self.0[place].members += 1;
        self.0[place].logged_in += usize::from(logged_in);
    }

    /// Undoes [`add`](Self::add).
    pub(super) fn remove(&mut self, at: Moment, logged_in: bool) {
        let Ok(place) = self.place(at) else {
            return;
        };
        let look = &mut self.0[place];
        look.members -= 1;
        look.logged_in -= usize::from(logged_in);
        if look.members == 0 {
            self.0.remove(place);
        }
    }

    /// Returns the earliest look at any member.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.0.first().map(|look| look.at)
    }

    /// Returns the earliest look at a member who is logged in to the queue.
    pub(super) fn oldest_of_logged_in(&self) -> Option<Moment> {
        let mut looks = self.0.iter();
        looks.find(|look| look.logged_in > 0).map(|look| look.at)
    }

    fn place(&self, at: Moment) -> Result<usize, usize> {
        let key = |at: Moment| -> (Duration, Duration) { (at.boot, at.wall) };
        let order = |look: &Look| key(look.at).cmp(&key(at));
        // Nearly always the last one, or a later one.
        match self.0.last().map(order) {
            Some(Ordering::Less) => Err(self.0.len()),
            Some(Ordering::Equal) => Ok(self.0.len() - 1),
            _ => self.0.binary_search_by(order),
        }
    }
}

impl FromIterator<(Moment, bool)> for Looks {
    fn from_iter<I: IntoIterator<Item = (Moment, bool)>>(members: I) -> Self {
        let mut looks = Self::default();
        for (at, logged_in) in members {
            looks.add(at, logged_in);
        }
        looks
    }
}
