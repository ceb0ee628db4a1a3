//! The lists of available agents: one filtered list for each status that makes an agent ready.
//!
//! They show who has become available and who no longer is, for one request per 250 available agents. They do not show why an agent is not
//! available. CallTools does not promise that it filters, so every row is checked. And one bad answer must not empty the account, so a reading that
//! lists far fewer agents than are known says nothing about the others, and neither does one with a row that cannot be read. Only pages that were
//! requested next belong to a reading.
//!
//! Pages overlap, and an agent who is on two pages shows that nobody was hidden between them. If all rows of the overlap have moved, an agent whose
//! place in the last reading would be between the two pages may have [slipped](crate::account::slipped) to the one that was read already. The same is
//! true of an agent who has become available since the last reading, wherever their place is. They are gone only if the next reading lacks them, too.
//! Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    doubt::Doubt,
    lag::Lag,
    listed::{LastListed, Listed},
    page::FilteredPage,
};
use crate::{
    account::{newest::Newest, roster::Roster, slipped::slipped},
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::Sighting,
    },
};

/// The number of agents on a list may differ from the known number by a third plus this. The known number is as old as a sweep of several pages, or
/// the last reading, and a shift may have started or ended since. Full pages and polls reveal a list that omits fewer.
const FEW: usize = 3;

/// After this many readings in a row that differ by more or have rows that cannot be read, the list rests until full pages have shown all agents again.
const MAX_MISFITS: u32 = 3;

/// The maximum of pages of one reading.
const MAX_PAGES: u32 = 40;

/// A status whose list is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyStatus {
    /// CallTools' number for it.
    pub id: u64,
    /// Its name in rows.
    pub name: Arc<str>,
}

/// The result of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read [`Available::next_page`] at once.
    ReadOn,
    /// It is known which agents are available. The agents in `gone` no longer are.
    Complete {
        /// When the first page was requested.
        as_of: Moment,
        /// The number of agents on the list.
        listed: usize,
        /// The agents who were available before.
        gone: Vec<AgentId>,
        /// The agents who may have slipped between two pages.
        slipped: Vec<AgentId>,
        /// Whether anybody may have: pages did not overlap.
        has_edges: bool,
    },
    /// The list does not fit the known statuses, or some row cannot be read. It says nothing about agents who are not on it.
    Misfit,
    /// The page was requested for a reading that was dropped meanwhile.
    Stray,
    /// It took too many pages, or several readings did not fit.
    Failed,
    /// The list is distrusted.
    Distrusted(Doubt),
}

/// Where an agent was listed.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The place of the status.
    status: usize,
    page: u32,
    /// The number of edges before it.
    stretch: u32,
    /// Since when the agent has had the status.
    since: Option<Timestamp>,
}

/// An unfinished reading.
#[derive(Debug)]
struct Reading {
    as_of: Moment,
    /// The place of the status to read, and the page.
    status: usize,
    page: u32,
    pages: u32,
    /// The number of times that a page did not overlap with the page before it. Pages between two such edges are a stretch in which nobody slips.
    edges: u32,
    /// The agents on it, in CallTools' order, …
    order: Vec<AgentId>,
    /// … and where each was seen last.
    places: HashMap<AgentId, Place>,
    /// The number of rows that could not be read.
    skipped: usize,
    /// A date that CallTools' present had reached when it gave the first page.
    high: Option<Timestamp>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Available {
    statuses: Vec<ReadyStatus>,
    reading: Option<Reading>,
    proved: bool,
    misfits: u32,
    took: Option<u32>,
    last: LastListed,
    /// When the last complete reading began, and its agents in CallTools' order.
    read: Option<Moment>,
    order: Vec<AgentId>,
    /// The lag of the last reading.
    pub lag: Lag,
}

impl Available {
    /// Sets the account's statuses that make an agent ready. A change starts a new reading, and earlier ones are no longer compared: they lack the
    /// agents with a new status. Returns whether it is a change.
    pub fn set_statuses(&mut self, statuses: Vec<ReadyStatus>) -> bool {
        let is_change = self.statuses != statuses;
        if is_change {
            self.reading = None;
            self.last = LastListed::default();
            (self.read, self.order) = (None, Vec::new());
            self.statuses = statuses;
        }
        is_change
    }

    /// Returns whether some of these statuses is not read yet, while others are.
    pub fn lacks_any(&self, statuses: &[ReadyStatus]) -> bool {
        self.is_possible()
            && statuses
                .iter()
                .any(|status| !self.statuses.contains(status))
    }

    /// Returns whether there is a status to filter by.
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

    /// Restarts the reading after a page that was not answered.
    pub fn interrupted(&mut self) {
        self.reading = None;
    }

    /// Forgets the readings that rows are compared with, because CallTools' dates have gone back.
    pub fn stepped_back(&mut self) {
        self.last = LastListed::default();
    }

    /// Returns the pages of the last reading.
    pub fn pages(&self) -> Option<u32> {
        self.took
    }

    /// Returns the status and page to read next.
    pub fn next_page(&self) -> Option<(u64, u32)> {
        let (status, page) = match &self.reading {
            Some(reading) => (reading.status, reading.page),
            None => (0, 1),
        };
        Some((self.statuses.get(status)?.id, page))
    }

    /// Records a page, before `roster` takes it. `known` is how many agents are available.
    ///
    /// The roster does not know this number during the first reading: it has the earlier pages of the reading, but not who is gone.
    pub fn take(&mut self, page: FilteredPage<'_>, known: usize, roster: &Roster) -> Step {
        if self.next_page() != Some((page.status, page.page)) {
            return Step::Stray;
        }
        if self.reading.is_none() {
            self.lag = Lag::default();
        }
        let reading = self.reading.get_or_insert_with(|| Reading::new(page.as_of));
        let Some(status) = self.statuses.get(reading.status) else {
            self.reading = None;
            return Step::Failed;
        };
        let is_requested = |row: &Agent| {
            row.available == Some(true) && row.status.as_deref() == Some(&*status.name)
        };
        if !page.rows.iter().all(is_requested) {
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
            Some(reading) => self.complete(reading, known, roster),
            None => Step::Failed,
        }
    }

    /// Checks the lists against rows of a poll or of a full page that was requested at `as_of`.
    pub fn compare(&mut self, rows: &[Agent], as_of: Moment) -> Option<Doubt> {
        self.last.compare(rows, as_of)
    }

    fn complete(&mut self, reading: Reading, known: usize, roster: &Roster) -> Step {
        let listed = reading.places.len();
        if reading.skipped > 0 || !self.fits(listed, known) {
            self.misfits += 1;
            return match self.misfits >= MAX_MISFITS {
                true => Step::Failed,
                false => Step::Misfit,
            };
        }
        (self.proved, self.misfits) = (true, 0);
        self.took = Some(reading.pages);
        let as_of = reading.as_of;
        let is_absent = |row: &&Sighting| {
            let was_available = row.agent.available == Some(true);
            was_available && row.at.boot < as_of.boot && !reading.places.contains_key(&row.agent.id)
        };
        let absent: Vec<_> = roster.newest_rows().filter(is_absent).collect();
        let slipped = self.slipped(&reading, &absent);
        let absent = absent.into_iter().map(|row| row.agent.id.clone());
        let (slipped, gone): (Vec<_>, Vec<_>) = absent.partition(|id| slipped.contains(id));
        (self.read, self.order) = (Some(as_of), reading.order);
        let places = reading.places.into_iter();
        let agents = places.map(|(id, place)| (id, place.since)).collect();
        if let Some(high) = reading.high.max(self.last.high()) {
            self.last.add(Listed {
                as_of,
                high,
                agents,
            });
        }
        Step::Complete {
            as_of,
            listed,
            gone,
            slipped,
            has_edges: reading.edges > 0,
        }
    }

    /// Returns which of the agents who are `absent` from a reading may have been hidden between two of its pages.
    fn slipped(&self, reading: &Reading, absent: &[&Sighting]) -> HashSet<AgentId> {
        if reading.edges == 0 {
            return HashSet::new();
        }
        let stretch = |id: &AgentId| Some(reading.places.get(id)?.stretch);
        let is_edge = |before, stretch| before != stretch;
        let mut slipped = slipped(&self.order, stretch, [0, reading.edges], is_edge);
        let placed: HashSet<_> = self.order.iter().collect();
        // Of those who were seen before the last reading, it omitted them, too.
        let is_later = |row: &Sighting| self.read.is_none_or(|read| row.at.boot >= read.boot);
        let is_new = |row: &&&Sighting| is_later(row) && !placed.contains(&row.agent.id);
        let new = absent.iter().filter(is_new);
        slipped.extend(new.map(|row| row.agent.id.clone()));
        slipped
    }

    /// Returns whether a list of this many agents fits the known number. Once the list is proved it may be longer, because each of its rows shows
    /// that the agent is available.
    fn fits(&self, listed: usize, known: usize) -> bool {
        let difference = match self.proved {
            true => known.saturating_sub(listed),
            false => known.abs_diff(listed),
        };
        difference <= known.max(listed) / 3 + FEW
    }
}

impl Reading {
    fn new(as_of: Moment) -> Self {
        Self {
            as_of,
            status: 0,
            page: 1,
            pages: 0,
            edges: 0,
            order: Vec::new(),
            places: HashMap::new(),
            skipped: 0,
            high: None,
        }
    }

    fn add(&mut self, page: FilteredPage<'_>) {
        if page.as_of.boot < self.as_of.boot {
            self.as_of = page.as_of; // A cache had kept it.
        }
        if self.pages == 0 {
            let dates = page.rows.iter().filter_map(|row| row.status_since);
            self.high = Newest::of(dates).reach();
        }
        self.pages += 1;
        self.skipped += page.skipped;
        if self.page > 1 && !self.overlaps(page.rows) {
            self.edges += 1;
        }
        for row in page.rows {
            let place = Place {
                status: self.status,
                page: self.page,
                stretch: self.edges,
                since: row.status_since,
            };
            if self.places.insert(row.id.clone(), place).is_none() {
                self.order.push(row.id.clone());
            }
        }
        (self.status, self.page) = match page.last {
            true => (self.status + 1, 1),
            false => (self.status, page.page + 1),
        };
    }

    /// Returns whether the next page shares an agent with the page before it: agents keep their order while they keep their status, so everybody who
    /// was available meanwhile is before this agent and was on the earlier page, or behind and is on the later.
    fn overlaps(&self, next: &[Agent]) -> bool {
        let was_on_last = |row: &Agent| {
            let place = self.places.get(&row.id);
            place.is_some_and(|place| {
                (place.status, place.page + 1) == (self.status, self.page)
                    && place.since.is_some()
                    && place.since == row.status_since
            })
        };
        next.iter().any(was_on_last)
    }
}

#[cfg(test)]
mod tests;
