//! The lists of those who are available: one filtered list for each status that makes an agent ready.
//!
//! It tells who has become available and who is no longer, at the price of one request for each 250 available agents. Why somebody is not available it does
//! not tell. Nobody has promised that CallTools filters, so every row is checked. Pure.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use super::{doubt::Doubt, misses::Misses};
use crate::{
    account::roster::Roster,
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// Changes that are this much older than the newest on the list belong on it, whatever the servers' clocks say.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);

/// The first list may differ from what is known by a third and a few: what is known is as old as a sweep of several pages, and a shift may have begun
/// since. A list that leaves out fewer is found out by full pages and polls.
const FEW: usize = 3;

/// Readings that may differ by more, before the list rests until full pages have shown everybody again.
const MAX_MISFITS: u32 = 3;

/// The most pages of one reading.
const MAX_PAGES: u32 = 40;

/// A status whose list is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyStatus {
    /// CallTools' number for it.
    pub id: u64,
    /// What rows call it.
    pub name: String,
}

/// One page of a filtered list.
#[derive(Clone, Copy, Debug)]
pub struct FilteredPage<'a> {
    /// When it was sent, less the time for which a cache had kept it.
    pub as_of: Moment,
    /// Its number, from 1.
    pub page: u32,
    /// Whether the list ends with it.
    pub last: bool,
    /// Its rows.
    pub rows: &'a [Agent],
}

/// What follows from a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read [`Available::next_page`] at once.
    ReadOn,
    /// These agents are not available any more, and whether anybody is available is known as of `as_of`.
    Complete {
        /// When the first page was sent.
        as_of: Moment,
        /// Who was available before.
        gone: Vec<AgentId>,
    },
    /// The list does not fit what is known. It says nothing about those who are not on it.
    Misfit,
    /// It took too many pages.
    Failed,
    /// The list is not what it should be.
    Distrusted(Doubt),
}

/// A reading that is not over.
#[derive(Debug)]
struct Reading {
    as_of: Moment,
    /// The status that is read, by its place, and the page.
    status: usize,
    page: u32,
    pages: u32,
    listed: HashSet<AgentId>,
    newest: Option<Timestamp>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Available {
    statuses: Vec<ReadyStatus>,
    reading: Option<Reading>,
    proved: bool,
    misfits: u32,
    /// The newest date on the last complete list.
    high: Option<Timestamp>,
    took: Option<u32>,
    misses: Misses,
}

impl Available {
    /// The account's statuses that make an agent ready. Other statuses begin a new reading.
    pub fn set_statuses(&mut self, statuses: Vec<ReadyStatus>) {
        if self.statuses != statuses {
            self.reading = None;
            self.statuses = statuses;
        }
    }

    /// Whether there is a status to filter by.
    pub fn is_possible(&self) -> bool {
        !self.statuses.is_empty()
    }

    /// Forgets the proof.
    pub fn end(&mut self) {
        *self = Self {
            statuses: std::mem::take(&mut self.statuses),
            took: self.took,
            ..Self::default()
        };
    }

    /// A reading was not answered: it begins again.
    pub fn interrupted(&mut self) {
        self.reading = None;
    }

    /// Pages of the last reading.
    pub fn pages(&self) -> Option<u32> {
        self.took
    }

    /// The status and page to read next.
    pub fn next_page(&self) -> Option<(u64, u32)> {
        let (status, page) = match &self.reading {
            Some(reading) => (reading.status, reading.page),
            None => (0, 1),
        };
        Some((self.statuses.get(status)?.id, page))
    }

    /// A page came. `roster` is as it was before.
    pub fn take(&mut self, page: FilteredPage<'_>, roster: &Roster) -> Step {
        let reading = self.reading.get_or_insert_with(|| Reading::new(page.as_of));
        let Some(status) = self.statuses.get(reading.status) else {
            self.reading = None;
            return Step::Failed;
        };
        let is_asked_for = |row: &Agent| {
            row.available == Some(true) && row.status.as_deref() == Some(&*status.name)
        };
        if !page.rows.iter().all(is_asked_for) {
            return Step::Distrusted(Doubt::Unfiltered);
        }
        reading.add(page);
        if reading.pages >= MAX_PAGES {
            self.reading = None;
            return Step::Failed;
        }
        if reading.status < self.statuses.len() {
            return Step::ReadOn;
        }
        match self.reading.take() {
            Some(reading) => self.complete(reading, roster),
            None => Step::Failed,
        }
    }

    /// Rows of a poll or of a full page: do they agree? To be asked before the roster takes them.
    pub fn compare(&mut self, rows: &[Agent], roster: &Roster) -> Option<Doubt> {
        let due = self.high.filter(|_| self.proved)? - SETTLED;
        let (mut compared, mut missed) = (0, 0);
        for row in rows {
            let known = roster
                .newest(&row.id)
                .and_then(|known| known.agent.available);
            let (Some(known), Some(is), Some(date)) = (known, row.available, row.status_since)
            else {
                continue;
            };
            compared += 1;
            missed += u32::from(known != is && date <= due);
        }
        self.misses.add(compared, missed).then_some(Doubt::Missed)
    }

    fn complete(&mut self, reading: Reading, roster: &Roster) -> Step {
        self.took = Some(reading.pages);
        let known = || {
            let rows = roster.newest_rows();
            rows.filter(|row| row.agent.available == Some(true))
        };
        if !self.proved {
            let (listed, known) = (reading.listed.len(), known().count());
            if listed.abs_diff(known) > known.max(listed) / 3 + FEW {
                self.misfits += 1;
                return match self.misfits >= MAX_MISFITS {
                    true => Step::Failed,
                    false => Step::Misfit,
                };
            }
            self.proved = true;
        }
        self.high = reading.newest.max(self.high);
        let is_gone = |row: &&crate::model::known::Sighting| {
            row.at.boot < reading.as_of.boot && !reading.listed.contains(&row.agent.id)
        };
        let gone = known().filter(is_gone).map(|row| row.agent.id.clone());
        Step::Complete {
            as_of: reading.as_of,
            gone: gone.collect(),
        }
    }
}

impl Reading {
    fn new(as_of: Moment) -> Self {
        Self {
            as_of,
            status: 0,
            page: 1,
            pages: 0,
            listed: HashSet::new(),
            newest: None,
        }
    }

    fn add(&mut self, page: FilteredPage<'_>) {
        if page.as_of.boot < self.as_of.boot {
            self.as_of = page.as_of; // A cache had kept it.
        }
        self.pages += 1;
        self.listed
            .extend(page.rows.iter().map(|row| row.id.clone()));
        let newest = page.rows.iter().filter_map(|row| row.status_since).max();
        self.newest = self.newest.max(newest);
        (self.status, self.page) = match page.last {
            true => (self.status + 1, 1),
            false => (self.status, page.page + 1),
        };
    }
}

#[cfg(test)]
mod tests;
