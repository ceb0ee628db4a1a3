//! Joins pages into a list: every entry once, unreadable ones counted. Pure.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, hash_map},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::value::RawValue;

use super::{
    Page, RosterPage,
    page::MAX_ROWS,
    row::{Row, settle_queue_logins},
};
use crate::model::names::{NamedQueue, Names, Status};
use crate::model::{
    agent::AgentId,
    fault::{Down, Fault},
    field::BadRow,
    raw::Pattern,
};

/// One row in ten may be unreadable. A single odd row should not take down a queue, but an API that has changed must not read as "no agents".
/// So a list of up to nine rows must be completely readable, and a longer one nine rows in ten.
const ROWS_PER_BAD_ROW: usize = 10;

/// One row in ten may be missing, by CallTools' count. A count can be a few off: people come and go while pages are read, and a join counts
/// some twice. With more rows missing, the queue would seem to have fewer agents.
const ROWS_PER_MISSING_ROW: u64 = 10;

/// The maximum of pages: at 250 rows they hold [`MAX_ROWS`]. One reading takes a tenth of the usual hourly limit, and two if the count is off.
pub(super) const MAX_PAGES: u32 = 100;

/// The size limit of all rows of a list: [`MAX_ROWS`] of 1.3 kB, the size of CallTools' rows. A single page may take half of it.
pub(super) const MAX_LIST_BYTES: usize = 32 << 20;

/// An entry of a list.
pub(super) trait Entry: Sized {
    /// Identifies an entry.
    type Key: Eq + Hash;

    /// The word for the entries in messages.
    const NOUN: &'static str;

    /// How many entries may be missing from a list of any length. A count can be one too high for good, and an entry of a list of names is as good if
    /// another one is missing.
    const MAX_MISSING: u64 = 1;

    /// Parses a row. `names` are the account's names known so far; rows of agents share memory with `pattern`.
    fn read(json: &str, names: &Names, pattern: &mut Pattern) -> Result<Self, BadRow>;

    /// Returns the key of this entry.
    fn key(&self) -> Self::Key;

    /// Returns whether this is provably older than `other`.
    fn is_older_than(&self, _other: &Self) -> bool {
        false
    }

    /// Decides what depends on the whole list.
    fn settle(_entries: &mut [Self]) -> Result<(), BadRow> {
        Ok(())
    }
}

impl Entry for Row {
    type Key = AgentId;
    const NOUN: &'static str = "agents";
    /// With one of a few agents missing, the queue would seem to have fewer seats.
    const MAX_MISSING: u64 = 0;

    fn read(json: &str, names: &Names, pattern: &mut Pattern) -> Result<Self, BadRow> {
        Row::read(json, names, pattern)
    }

    fn key(&self) -> AgentId {
        self.agent.id.clone()
    }

    fn is_older_than(&self, other: &Self) -> bool {
        self.agent.is_older_than(&other.agent)
    }

    fn settle(rows: &mut [Self]) -> Result<(), BadRow> {
        settle_queue_logins(rows)
    }
}

impl Entry for NamedQueue {
    type Key = u64;
    const NOUN: &'static str = "queues";

    fn read(json: &str, _: &Names, _: &mut Pattern) -> Result<Self, BadRow> {
        NamedQueue::from_row(boxed(json)?)
    }

    fn key(&self) -> u64 {
        self.id
    }
}

impl Entry for Status {
    type Key = u64;
    const NOUN: &'static str = "statuses";

    fn read(json: &str, _: &Names, _: &mut Pattern) -> Result<Self, BadRow> {
        Status::from_row(boxed(json)?)
    }

    fn key(&self) -> u64 {
        self.id
    }
}

fn boxed(json: &str) -> Result<Box<RawValue>, BadRow> {
    let row = RawValue::from_string(json.to_owned());
    row.map_err(|_| BadRow("a row is not JSON"))
}

/// How much of a list has been read. A list beyond these limits is a loop, or cannot be polled.
#[derive(Debug, Default)]
pub(super) struct Extent {
    pages: u32,
    rows: usize,
    bytes: usize,
    /// The largest count of any page. If the list shrinks while it is read, a row may slip to a page that was read before, so it is missing although
    /// the last count matches.
    count: Option<u64>,
    /// Whether the pages form a circle. Only a count can show whether it closed after the last page.
    is_a_circle: bool,
    /// Whether the list breaks off: an earlier page promised more. Only a count can show whether that was all.
    breaks_off: bool,
}

impl Extent {
    pub(super) fn from_page(page: &Page) -> Self {
        Self {
            pages: 1,
            rows: page.rows.len(),
            bytes: page.rows.bytes(),
            count: page.count,
            is_a_circle: page.leads_back,
            breaks_off: page.breaks_off,
        }
    }

    /// Adds a page.
    fn add(&mut self, page: &Extent, goes_on: bool) -> Result<(), Fault> {
        self.pages += page.pages;
        self.rows += page.rows;
        self.bytes += page.bytes;
        self.count = page.count.max(self.count);
        self.is_a_circle |= page.is_a_circle;
        self.breaks_off |= page.breaks_off;
        let is_too_long = goes_on && self.pages >= MAX_PAGES;
        if is_too_long || self.rows > MAX_ROWS || self.bytes > MAX_LIST_BYTES {
            return Err(endless());
        }
        Ok(())
    }

    /// Returns how many rows CallTools counts beyond those `seen`; `None` without a count.
    fn gap(&self, seen: usize) -> Option<i64> {
        Some(self.count? as i64 - seen as i64)
    }

    /// Checks whether a list of which this many rows were `seen` is complete enough.
    fn check<T: Entry>(&self, seen: usize) -> Result<(), Fault> {
        let noun = T::NOUN;
        let Some(count) = self.count else {
            return match (self.is_a_circle, self.breaks_off) {
                (true, _) => Err(circle()),
                (false, true) => Err(broken_off(noun)),
                (false, false) => Ok(()),
            };
        };
        let missing = count.saturating_sub(seen as u64);
        let is_short = missing > T::MAX_MISSING && missing * ROWS_PER_MISSING_ROW > count;
        if (seen == 0 && count > 0) || is_short {
            return Err(Fault::down(
                Down::Incomplete,
                format!("CallTools counts {count} {noun} and lists {seen} of them"),
            ));
        }
        Ok(())
    }
}

/// All pages of a list.
pub(super) struct List<'a, T: Entry> {
    /// Each entry once, in order of first appearance.
    pub entries: Vec<T>,
    /// The number of rows that could not be read.
    pub skipped: usize,
    /// Why the first of them could not be.
    pub problem: Option<BadRow>,
    names: &'a Names,
    pattern: Arc<Mutex<Pattern>>,
    places: HashMap<T::Key, usize>,
    pub extent: Extent,
}

impl<'a, T: Entry> List<'a, T> {
    /// Creates an empty list. `names` are the account's names known so far; `pattern` is for its rows.
    pub fn new(names: &'a Names, pattern: &Arc<Mutex<Pattern>>) -> Self {
        Self {
            entries: Vec::new(),
            skipped: 0,
            names,
            pattern: Arc::clone(pattern),
            places: HashMap::new(),
            extent: Extent::default(),
            problem: None,
        }
    }

    /// Adds a page and returns the number of the next. An entry that appears twice has moved between pages while they were read: it stays in its
    /// first place, as it was last seen. If both have dates, the later date wins, since a page can come from a replica that lags. A page without
    /// new entries ends the list: some lists start again past their end.
    ///
    /// # Errors
    /// [`Down::TooLarge`] if there are more pages, rows or bytes than a list may have.
    pub fn add(&mut self, page: Page) -> Result<Option<u32>, Fault> {
        self.extent
            .add(&Extent::from_page(&page), page.next.is_some())?;
        let (known, skipped) = (self.entries.len(), self.skipped);
        let mut again = 0;
        let pattern = Arc::clone(&self.pattern);
        // A panic leaves a pattern that is as good as any.
        let mut pattern = pattern.lock().unwrap_or_else(PoisonError::into_inner);
        for row in page.rows.iter() {
            match T::read(row, self.names, &mut pattern) {
                Ok(entry) => again += usize::from(self.keep(entry)),
                Err(bad) => {
                    self.skipped += 1;
                    self.problem.get_or_insert(bad);
                }
            }
        }
        if self.extent.pages == 1 || self.entries.len() > known {
            return Ok(page.next);
        }
        if again > 0 {
            // The pages start again, and so do their unreadable rows.
            self.skipped = skipped;
            self.extent.is_a_circle |= page.next.is_some();
        } else {
            self.extent.breaks_off |= page.next.is_some();
        }
        Ok(None)
    }

    /// Adds an entry, and returns whether it was there before.
    fn keep(&mut self, entry: T) -> bool {
        match self.places.entry(entry.key()) {
            hash_map::Entry::Occupied(place) => {
                let known = &mut self.entries[*place.get()];
                if !entry.is_older_than(known) {
                    *known = entry;
                }
                true
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push(entry);
                false
            }
        }
    }

    /// Decides what depends on the whole list, if it can be used. Call it once, after the last page.
    ///
    /// # Errors
    /// [`Down::UnexpectedShape`] if too many rows are unreadable, [`Down::Incomplete`] if too many are missing.
    pub fn check(&mut self) -> Result<(), Fault> {
        let rows = self.extent.rows;
        check_rows(self.skipped, rows, self.problem)?;
        self.extent.check::<T>(self.seen())?;
        T::settle(&mut self.entries).map_err(|problem| unreadable(rows, rows, problem))
    }

    /// Counts the rows read, including unreadable ones.
    fn seen(&self) -> usize {
        self.entries.len() + self.skipped
    }

    /// Returns how many entries CallTools counts beyond those it lists; `None` if the count matches or there is none.
    pub fn gap(&self) -> Option<i64> {
        self.extent.gap(self.seen()).filter(|gap| *gap != 0)
    }

    /// Returns by how many entries the count is off; `None` without a count.
    pub fn off(&self) -> Option<u64> {
        self.extent.gap(self.seen()).map(i64::unsigned_abs)
    }

    /// Returns whether no entry is missing.
    pub fn is_complete(&self) -> bool {
        self.skipped == 0 && self.gap().is_none()
    }
}

/// What the pages of a list have shown so far, when other requests come between pages. It has the limits of any list.
#[derive(Debug, Default)]
pub struct Tally {
    extent: Extent,
    agents: HashSet<AgentId>,
    skipped: usize,
    problem: Option<BadRow>,
}

impl Tally {
    /// Adds a page; page 1 starts again. A page without new entries becomes the last.
    ///
    /// # Errors
    /// [`Down::TooLarge`] if a list is larger than allowed, [`Down::UnexpectedShape`] if too many of the rows so far are unreadable,
    /// [`Down::Incomplete`] at its end if too many entries are missing.
    pub fn add(&mut self, number: u32, page: &mut RosterPage) -> Result<(), Fault> {
        if number == 1 {
            *self = Self::default();
        }
        self.extent.add(&page.extent, page.next.is_some())?;
        let before = self.agents.len();
        let ids = page.agents.iter().map(|agent| agent.id.clone());
        self.agents.extend(ids);
        if self.extent.pages > 1 && self.agents.len() == before {
            self.extent.is_a_circle |= page.next.is_some();
            page.next = None;
        } else {
            self.skipped += page.notes.skipped;
            self.problem = self.problem.or(page.problem);
        }
        check_rows(self.skipped, self.extent.rows, self.problem)?;
        match page.next {
            Some(_) => Ok(()),
            None => self.extent.check::<Row>(self.agents.len() + self.skipped),
        }
    }
}

impl RosterPage {
    /// Checks a page of a list that was not read from its first page, with this many rows on `earlier` pages. If it ends the list, all must fit the
    /// count.
    ///
    /// # Errors
    /// [`Down::UnexpectedShape`] if too many rows are unreadable, [`Down::Incomplete`] if too many entries are missing, [`Down::TooLarge`] if the
    /// list goes in a circle.
    pub fn check(&self, earlier: usize) -> Result<(), Fault> {
        check_rows(self.notes.skipped, earlier + self.extent.rows, self.problem)?;
        match self.next {
            Some(_) => Ok(()),
            None => {
                let seen = earlier + self.agents.len() + self.notes.skipped;
                self.extent.check::<Row>(seen)
            }
        }
    }
}

fn endless() -> Fault {
    Fault::down(
        Down::TooLarge,
        format!(
            "CallTools' list does not end within {MAX_PAGES} pages, {MAX_ROWS} rows and {MAX_LIST_BYTES} bytes"
        ),
    )
}

fn circle() -> Fault {
    Fault::down(
        Down::TooLarge,
        "CallTools' pages go in a circle, and no count tells how many there are",
    )
}

fn broken_off(noun: &str) -> Fault {
    Fault::down(
        Down::Incomplete,
        format!("CallTools' list of {noun} breaks off, and no count tells how many there are"),
    )
}

/// Checks that few enough rows were `skipped`, the first because of this problem.
fn check_rows(skipped: usize, rows: usize, problem: Option<BadRow>) -> Result<(), Fault> {
    match problem {
        Some(problem) if skipped * ROWS_PER_BAD_ROW > rows => {
            Err(unreadable(skipped, rows, problem))
        }
        _ => Ok(()),
    }
}

fn unreadable(skipped: usize, total: usize, problem: BadRow) -> Fault {
    Fault::down(
        Down::UnexpectedShape,
        format!("{skipped} of {total} rows cannot be read: {problem}"),
    )
}
