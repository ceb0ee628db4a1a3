//! How many pages the last complete readings took.

use std::{collections::VecDeque, time::Duration};

use crate::clock::Moment;

/// The number of readings that count.
const READINGS: usize = 10;

/// How long the length of a reading is remembered. An account is not equally busy all day.
const LENGTH_LASTS: Duration = Duration::from_secs(3600);

/// The lengths of the last readings.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// The pages of each reading, and when it began.
    took: VecDeque<(u32, Moment)>,
}

impl Lengths {
    /// Adds a reading.
    pub fn add(&mut self, pages: u32, began: Moment) {
        self.took.push_back((pages.max(1), began));
        if self.took.len() > READINGS {
            self.took.pop_front();
        }
    }

    /// Returns the mean number of pages; one without any readings.
    pub fn mean(&self) -> f64 {
        match self.took.len() {
            0 => 1.0,
            readings => {
                let pages: u32 = self.took.iter().map(|(pages, _)| pages).sum();
                f64::from(pages) / readings as f64
            }
        }
    }

    /// Forgets readings of long ago.
    pub fn forget_old(&mut self, now: Moment) {
        let is_recent = |began: Moment| now.longest_since(began) < LENGTH_LASTS;
        self.took.retain(|(_, began)| is_recent(*began));
    }
}
