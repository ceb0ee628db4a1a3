//! Counts rows of other lists that a feed should have shown but did not.

use std::collections::VecDeque;

/// The number of rows over which misses are counted.
const COMPARED: u32 = 200;

/// The number of misses among them that may be accidents.
const MAX_MISSED: u32 = 2;

/// The misses of the last looks, over about [`COMPARED`] rows.
#[derive(Debug, Default)]
pub(super) struct Misses {
    /// The numbers of rows compared and missed in each look, the oldest first.
    looks: VecDeque<(u32, u32)>,
    compared: u32,
    missed: u32,
}

impl Misses {
    /// Adds a look. Returns whether more than one row in [`COMPARED`] was missed.
    pub fn add(&mut self, compared: u32, missed: u32) -> bool {
        if compared == 0 {
            return false;
        }
        self.looks.push_back((compared, missed));
        self.compared += compared;
        self.missed += missed;
        while let Some(&(first, first_missed)) = self.looks.front()
            && self.compared - first >= COMPARED
        {
            self.compared -= first;
            self.missed -= first_missed;
            self.looks.pop_front();
        }
        self.missed > MAX_MISSED && self.missed * COMPARED > self.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_misses_in_two_hundred_rows_are_too_many_but_two_are_not() {
        let mut misses = Misses::default();
        assert!(!misses.add(100, 1));
        assert!(!misses.add(0, 0));
        assert!(!misses.add(100, 1));
        assert!(misses.add(50, 1));
    }

    #[test]
    fn old_misses_are_forgotten() {
        let mut misses = Misses::default();
        for _ in 0..50 {
            assert!(!misses.add(250, 1), "one in each look of 250 rows");
        }
    }

    #[test]
    fn a_single_look_can_be_enough() {
        assert!(Misses::default().add(20, 3));
    }
}
