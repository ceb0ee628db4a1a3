//! A reading of the ordered list, and the chain of readings that it continues.

use jiff::Timestamp;

use super::seam::Edge;
use crate::{
    account::{
        feeds::dates::distinct,
        newest::{Newest, Strays},
    },
    clock::Moment,
};

/// Readings that each reach back to the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// When it began.
    pub base: Moment,
    /// When the last complete reading began.
    pub as_of: Moment,
    /// As of when it is known who has changed since the base: the start of the last complete reading, or the look that it lags behind.
    pub known: Moment,
    /// The newest date of the last complete reading that is likely right. Older readings lag.
    pub high: Option<Timestamp>,
    /// The date of the last complete reading that the next one has to reach back to. Wrong dates in the future do not raise it.
    pub reach: Option<Timestamp>,
    /// The dates of the last complete reading that are likely wrong. They do not show that the next one is no older.
    pub strays: Strays,
}

/// An unfinished reading.
#[derive(Debug)]
pub(super) struct Reading {
    /// When its first page was requested.
    pub as_of: Moment,
    /// The number of pages read, not counting those of undated rows.
    pub pages: u32,
    /// The number of pages of undated rows.
    pub undated_pages: u32,
    /// How many pages of dated rows it took to reach back to the last reading. The others look for agents who were missed.
    pub length: Option<u32>,
    /// The newest dates. A later page may come from a copy that lags less, but what it shows of later dates is not all of them, so these do not count.
    pub newest: Newest,
    /// The oldest date; `None` if it has all dates.
    pub oldest: Option<Timestamp>,
    /// The end of the last page, which the next one has to meet, and how often one did not.
    pub edge: Option<Edge>,
    pub gaps: u32,
    /// The number of distinct dates.
    pub dates: usize,
    /// Whether it lacks changes that are known.
    pub is_lagging: bool,
    /// The number of rows that could not be read: any of them may show a change.
    pub skipped: usize,
}

impl Reading {
    pub(super) fn new(as_of: Moment) -> Self {
        Self {
            as_of,
            pages: 0,
            undated_pages: 0,
            length: None,
            newest: Newest::default(),
            oldest: None,
            edge: None,
            gaps: 0,
            dates: 0,
            is_lagging: false,
            skipped: 0,
        }
    }

    /// Adds the dates of a page, the newest first. Those in which it overlaps the page before it count once.
    pub(super) fn add(&mut self, dated: &[Timestamp], oldest: Timestamp) {
        let is_known = |date: &Timestamp| self.oldest.is_some_and(|oldest| *date >= oldest);
        let new = &dated[dated.partition_point(is_known)..];
        self.pages += 1;
        self.dates += distinct(new);
        self.newest.add(new.iter().copied());
        self.oldest = Some(oldest);
    }
}
