//! Where two pages of a reading meet.
//!
//! Pages come one after another, and perhaps from copies of CallTools' data that lag by different times. So each begins before the end of the page before
//! it. A copy that shows a change has all earlier ones: if a page shows a later date than the last one of the page before it, it has everybody with
//! that date or an earlier one, or they are behind it. Otherwise a change can be on neither page.

use jiff::Timestamp;

use super::{Delta, Step};
use crate::{
    account::feeds::dates::Dates,
    calltools::{PAGE_SIZE, overlapping},
};

/// How often a page is read again because it does not meet the page before, then from half of that page on: its copy lags, or agents were deleted.
const MAX_GAPS: u32 = 1;

/// The last row of a page, one more, and one in this many of all are also on the next page: four of 250. They are few, because more rows come with the
/// changes between two requests. They move up only if agents are deleted, or if the next page comes from a copy that lags by more than that time.
const ROWS_PER_OVERLAP: usize = 100;

/// The end of a page, which the next page has to overlap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// The number of rows on the page.
    rows: usize,
    /// Its oldest date, if it has any.
    oldest: Option<Timestamp>,
    /// How many of its rows have that date. Their order may differ from page to page.
    alike: usize,
}

impl Edge {
    pub fn of(dates: &Dates, rows: usize) -> Self {
        let oldest = dates.dated.last().copied();
        let last = dates.dated.iter().rev();
        Self {
            rows,
            oldest,
            alike: last.take_while(|date| Some(**date) == oldest).count(),
        }
    }

    /// Returns whether so many rows have the same date, as after a change of many agents at once, that the next page would repeat most of this one to
    /// begin before them. Their order may differ from page to page, so any of them can be on neither.
    pub(super) fn is_of_one_date(self) -> bool {
        self.alike * 3 > self.rows
    }

    /// Returns the size with which this page, the next one, begins before the end of the page: a few rows, or half of the page if it is read again.
    fn overlap_by(self, page: u32, again: bool) -> u32 {
        let few = self.rows / ROWS_PER_OVERLAP + 1 + self.alike;
        let overlap = if again { few.max(self.rows / 2) } else { few };
        overlapping(self.rows as u32, page, overlap as u32)
    }

    /// Returns whether the next page begins before the end of the page, so that no change is between them. Undated rows come first, if any do.
    pub fn meets(self, next: &Dates) -> bool {
        let (Some(oldest), Some(&newest)) = (self.oldest, next.dated.first()) else {
            return self.oldest.is_none() && next.undated > 0;
        };
        next.undated > 0 || newest > oldest
    }
}

impl Delta {
    /// Returns the size to request for a page. All pages but the first of a reading are a little smaller, so that they overlap.
    pub fn size_of(&self, page: u32) -> u32 {
        let reading = self.reading.as_ref();
        let edge = reading.and_then(|reading| Some((reading.edge?, reading.gaps > 0)));
        edge.map_or(PAGE_SIZE, |(edge, again)| edge.overlap_by(page, again))
    }

    /// Returns how many rows come before a page, if the pages before it are full.
    pub fn rows_before(&self, page: u32) -> usize {
        let size = match self.reading {
            Some(_) => self.size_of(page) as usize,
            // CallTools may give fewer rows than requested.
            None => self.page_size,
        };
        (page as usize - 1) * size
    }

    /// Handles a page that does not meet the page before it: reads it again, or ends the reading.
    pub(super) fn gap(&mut self, page: u32) -> Step {
        let Some(reading) = &mut self.reading else {
            return Step::Failed;
        };
        let is_of_one_date = reading.edge.is_some_and(Edge::is_of_one_date);
        reading.gaps += 1;
        if reading.gaps <= MAX_GAPS && !is_of_one_date {
            return Step::ReadOn(page);
        }
        if reading.length.is_some() {
            return self.complete(); // It was read only for agents who were missed.
        }
        self.reading = None;
        match is_of_one_date {
            true => Step::Failed,
            false => self.lags(),
        }
    }
}
