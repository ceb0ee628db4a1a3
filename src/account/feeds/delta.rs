//! The list of all agents, ordered by the date of their last change, the newest first.
//!
//! One page shows every change since the last page, however large the roster. CallTools does not promise this order, so every page is checked, and
//! so is what the list omits. Dates are only compared with dates of CallTools, and moments only with our clock.
//!
//! A chain of readings begins at a look at the full list, or at what an earlier task knew. Each reading has to reach back to the third newest date of
//! the last reading, because single dates may be wrong, and a little further, because CallTools may commit changes late. Then the agents who are not
//! on the list have not changed, and are known as of the request for its first page. Pure.
//!
//! If a reading takes several pages, these have to [meet](seam). And an agent who belongs on a later page may change again before it is read, and so move
//! to the first one, which was read already. So after such a reading, agents who are not on the list are known only as of the reading before: the next
//! one shows who has moved. One who moves in two readings in a row, or while first pages lag, is known as of too late a moment until the next reading.

mod checks;
mod reading;
mod seam;

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use self::{
    reading::{Chain, Reading},
    seam::Edge,
};
use super::{
    dates::Dates, doubt::Doubt, lag::Lag, lengths::Lengths, misses::Misses, omitted::Omitted,
    page::DeltaPage,
};
use crate::{
    account::{
        newest::{Newest, Strays},
        roster::{MAX_CLOCKS_APART, Roster, earlier, later},
    },
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// A reading ends after this many pages of dated rows. For a list that changes faster, another feed is better.
pub(super) const MAX_PAGES: u32 = 3;

/// How many pages of undated rows one reading skips; the next reading begins behind them. A thousand agents without a date are more than an account
/// has besides its active ones, and a trial of the list should cost little.
const MAX_UNDATED_PAGES: u32 = 4;

/// The shortest time that a reading reaches back beyond the last one: servers' clocks differ, and commits take a moment.
const MIN_OVERLAP: SignedDuration = SignedDuration::from_secs(2);

/// The longest such time: a change that appears later was omitted.
const MAX_OVERLAP: SignedDuration = SignedDuration::from_secs(30);

/// An answer that a cache kept for longer shows no new changes.
const MAX_CACHED: Duration = Duration::from_secs(2);

/// Two dates are in order by chance every other time, and eight once in forty thousand.
const DATES_TO_PROVE: usize = 8;

/// The maximum of readings without enough dates to prove the order. A list that does not change proves nothing.
const MAX_UNPROVEN: u32 = 10;

/// The maximum of answers in a row that are older than what is already known.
const MAX_LAGGING: u32 = 3;

/// The maximum of readings in a row with rows that cannot be read. By then a list that confirms nothing by omission serves better.
const MAX_UNREADABLE: u32 = 3;

/// The result of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read this page at once.
    ReadOn(u32),
    /// It is known who has changed since the last reading.
    Complete {
        /// When the first page was requested.
        as_of: Moment,
    },
    /// Its rows count, but it says nothing about agents who are not on it, because it is older than what is known, or some row cannot be read.
    Lagging,
    /// It did not reach back to the last reading, or rows of several readings cannot be read. The chain is broken.
    Failed,
    /// The list is distrusted.
    Distrusted(Doubt),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Delta {
    chain: Option<Chain>,
    reading: Option<Reading>,
    proved: bool,
    unproven: u32,
    lagging: u32,
    unreadable: u32,
    /// The number of rows without a date at the start of the list, and of rows per page.
    undated: usize,
    page_size: usize,
    /// The longest delay, and when it was seen.
    late: Option<(SignedDuration, Moment)>,
    /// Agents that the list omits, and since when.
    absent: HashMap<AgentId, Moment>,
    omitted: Omitted,
    misses: Misses,
    /// The lag of the last reading.
    pub lag: Lag,
    /// The lengths of complete readings.
    pub lengths: Lengths,
    /// Whether rows of earlier readings are kept until the full list is trusted. Then the roster does not show which rows of a page are news.
    pub keeps_rows: bool,
    /// Whether the next reading has to reach back further than others, so that its length says nothing about theirs.
    is_long: bool,
}

impl Delta {
    /// Begins a chain at `at`: a look at the full list showed these rows then.
    pub fn begin<'a>(&mut self, at: Moment, rows: impl Iterator<Item = &'a Agent>) {
        let newest = Newest::of(rows.filter_map(|row| row.status_since));
        // A page of the full list has few new dates, so the third may be minutes old.
        self.begin_with(at, &newest, newest.sure());
    }

    /// Begins a chain at `at`: an earlier task has read rows with these dates by `looked`.
    ///
    /// Some may be dates of changes since `at`: a row is known only as of an earlier moment than it was read if its list seems to lag. So the third
    /// newest date only proves that CallTools' clock showed no less at `looked`.
    pub fn begin_again(&mut self, at: Moment, dates: &Newest, looked: Moment) {
        let since =
            SignedDuration::try_from(looked.longest_since(at)).unwrap_or(SignedDuration::MAX);
        let reach = dates.reach().and_then(|date| date.checked_sub(since).ok());
        self.begin_with(at, dates, reach);
    }

    fn begin_with(&mut self, at: Moment, newest: &Newest, reach: Option<Timestamp>) {
        self.reading = None;
        (self.proved, self.is_long) = (false, false);
        self.chain = Some(Chain {
            base: at,
            as_of: at,
            known: at,
            high: newest.sure(),
            reach,
            strays: newest.strays(),
        });
    }

    /// Lets the chain begin at the dates of these rows, which were seen before it: the agents of its own rows may have left long ago.
    ///
    /// Copies of CallTools' data lag, so its own rows may be a little older than these. And so may be the next rows of other lists, if such are read
    /// beside the chain: then the first reading has their changes, too.
    pub fn saw<'a>(&mut self, rows: impl Iterator<Item = &'a Agent>, is_beside_others: bool) {
        let Some(chain) = &mut self.chain else { return };
        let earlier = |date: Timestamp| date - MAX_OVERLAP;
        self.is_long = is_beside_others;
        if is_beside_others {
            chain.reach = chain.reach.map(earlier);
        }
        let seen = Newest::of(rows.filter_map(|row| row.status_since)).sure();
        chain.reach = chain.reach.max(seen.map(earlier));
    }

    /// Forgets everything but where dated rows begin. The next trial shows how long readings are then.
    pub fn end(&mut self) {
        self.forget_chain();
        self.lengths = Lengths::default();
    }

    /// Forgets the chain and the proof.
    pub fn forget_chain(&mut self) {
        let lengths = std::mem::take(&mut self.lengths);
        *self = Self {
            lengths,
            undated: self.undated,
            page_size: self.page_size,
            ..Self::default()
        };
    }

    /// Returns the moment up to which all changes are known, if a chain was begun.
    pub fn as_of(&self) -> Option<Moment> {
        self.chain.map(|chain| chain.as_of)
    }

    /// Records as of when the last complete reading confirms what is known, and the look that it lags behind, if it does.
    pub fn confirm(&mut self, as_of: Moment, lag: Option<Moment>) {
        if let Some(chain) = &mut self.chain {
            chain.known = later(chain.known, earlier(as_of, lag));
            chain.as_of = earlier(chain.as_of, lag);
        }
    }

    /// Records that complete readings lag behind this look.
    pub fn lags_behind(&mut self, look: Moment) {
        if let Some(chain) = &mut self.chain {
            chain.known = earlier(chain.known, Some(look));
            chain.as_of = earlier(chain.as_of, Some(look));
        }
    }

    /// Returns two moments: agents who were seen since the first are known as of the second. `None` before the list is proved.
    pub fn confirmed(&self) -> Option<(Moment, Moment)> {
        let chain = self.chain.filter(|_| self.proved)?;
        Some((chain.base, chain.known))
    }

    /// Returns whether a chain was begun.
    pub fn has_begun(&self) -> bool {
        self.chain.is_some()
    }

    /// Returns whether the list was seen to be ordered and complete.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// Returns the first page of a reading: the one with the last undated row.
    pub fn first_page(&self) -> u32 {
        match self.undated {
            0 => 1,
            undated => ((undated - 1) / self.page_size.max(1)) as u32 + 1,
        }
    }

    /// Returns the mean number of pages of the last readings.
    pub fn pages(&self) -> f64 {
        self.lengths.mean()
    }

    /// Returns agents that the last readings omitted. Their queues should be polled soon.
    pub fn absent(&self, now: Moment) -> impl Iterator<Item = &AgentId> {
        self.absent.keys().chain(self.omitted.unless_deleted(now))
    }

    /// Returns the newest date of the complete readings.
    #[cfg(test)]
    pub(super) fn high(&self) -> Option<Timestamp> {
        self.chain.and_then(|chain| chain.high)
    }

    /// Restarts the reading after a page that was not answered.
    pub fn interrupted(&mut self) {
        if let Some(Reading {
            as_of,
            length: Some(_),
            ..
        }) = self.reading
        {
            self.omitted.cannot_reach(as_of); // It was read only for these.
        }
        self.reading = None;
    }

    /// Continues the chain after CallTools' dates have gone back by this time.
    pub fn stepped_back(&mut self, step: SignedDuration) {
        (self.reading, self.omitted) = (None, Omitted::default());
        if let Some(chain) = &mut self.chain {
            let dates = [&mut chain.high, &mut chain.reach].into_iter();
            for date in dates.chain(&mut chain.strays) {
                *date = date.and_then(|date| date.checked_add(step).ok());
            }
        }
    }

    /// Records a page, before `roster` takes it. A reading that takes more than `most` pages of dated rows fails.
    pub fn take(&mut self, page: DeltaPage<'_>, roster: &Roster, most: u32) -> Step {
        if self.reading.is_none() {
            self.lag = Lag::default();
        }
        if page.cached > MAX_CACHED {
            self.reading = None;
            return self.lags();
        }
        let Some(dates) = Dates::read(page.rows) else {
            return Step::Distrusted(Doubt::Unordered);
        };
        let size = page.rows.len() + page.skipped;
        let is_first = self.reading.is_none();
        if is_first && !page.last {
            self.page_size = size;
        }
        if is_first && page.page > 1 && dates.undated == 0 {
            // The number of undated rows has shrunk.
            self.undated = self.undated.saturating_sub(self.page_size.max(1));
            return Step::ReadOn(page.page - 1);
        }
        // A page that is longer comes from a CallTools that ignores the size, so none of its pages overlap.
        let requested = self.size_of(page.page);
        let before = self.rows_before(page.page);
        self.omitted.listed(page.rows);
        let reading = self.reading.get_or_insert_with(|| Reading::new(page.as_of));
        if page.as_of.boot < reading.as_of.boot {
            reading.as_of = page.as_of; // A cache had kept it.
        }
        if reading.edge.is_some_and(|edge| !edge.meets(&dates)) && size <= requested as usize {
            return self.gap(page.page);
        }
        (reading.edge, reading.gaps) = (Some(Edge::of(&dates, size)), 0);
        if reading.length.is_none() {
            reading.skipped += page.skipped;
        }
        if reading.pages == 0 {
            self.undated = before + dates.undated;
        }
        let Some(&oldest) = dates.dated.last() else {
            return self.take_undated(page);
        };
        reading.add(&dates.dated, oldest);
        if reading.pages == 1
            && let Err(doubt) = self.look_for_absent(page, oldest, roster)
        {
            return Step::Distrusted(doubt);
        }
        if !self.keeps_rows {
            self.learn_lateness(page, roster);
        }
        let ends = page.last || dates.is_rest_undated;
        self.advance(page.page, oldest, ends, most)
    }

    fn overlap(&self) -> SignedDuration {
        let late = self.late.map_or(SignedDuration::ZERO, |(late, _)| late);
        (late * 3 / 2).clamp(MIN_OVERLAP, MAX_OVERLAP)
    }

    /// Records a page without dates.
    fn take_undated(&mut self, page: DeltaPage<'_>) -> Step {
        let Some(reading) = &mut self.reading else {
            return Step::Failed;
        };
        if reading.pages > 0 || page.rows.is_empty() && page.page == 1 {
            return self.complete(); // The dated rows have ended, or there are no agents.
        }
        if page.last {
            return Step::Distrusted(Doubt::Undated);
        }
        reading.undated_pages += 1;
        if reading.undated_pages >= MAX_UNDATED_PAGES {
            self.reading = None;
            return Step::Failed;
        }
        Step::ReadOn(page.page + 1)
    }

    fn advance(&mut self, page: u32, oldest: Timestamp, ends: bool, most: u32) -> Step {
        let reach = self.chain.and_then(|chain| chain.reach);
        let reaches_back = reach.is_some_and(|reach| oldest <= reach - self.overlap());
        let Some(reading) = &mut self.reading else {
            return Step::Failed;
        };
        let pages = reading.pages;
        if reaches_back {
            reading.length.get_or_insert(pages);
        }
        let missed = self.omitted.reach(reading.as_of);
        // On further pages as long as these, it would be too far.
        let is_too_far = |date: Timestamp| {
            let newest = reading.newest.likely().unwrap_or(oldest);
            let (shown, left) = (newest.duration_since(oldest), oldest.duration_since(date));
            left * pages as i32 > shown * MAX_PAGES.saturating_sub(pages) as i32
        };
        let shows_missed = missed.is_none_or(|date| oldest < date || is_too_far(date));
        if ends {
            reading.oldest = None;
        }
        if ends || reaches_back && shows_missed {
            return self.complete();
        }
        if reach.is_none() {
            self.chain = None; // Nothing tells how far back it must reach, so a chain begins here.
            return self.complete();
        }
        if pages >= most && !reaches_back {
            self.reading = None;
            return Step::Failed;
        }
        Step::ReadOn(page + 1)
    }

    fn complete(&mut self) -> Step {
        let Some(reading) = self.reading.take() else {
            return Step::Failed;
        };
        let length = reading.length.unwrap_or(reading.pages);
        if !self.is_long {
            self.lengths.add(length, reading.as_of);
        }
        let apart = self.overlap().max(MAX_CLOCKS_APART);
        let chain = self.chain.get_or_insert(Chain {
            base: reading.as_of,
            as_of: reading.as_of,
            known: reading.as_of,
            high: None,
            reach: None,
            strays: Strays::default(),
        });
        if reading.is_lagging || reading.newest.newest_but(&chain.strays) < chain.high {
            return self.lags();
        }
        if reading.skipped > 0 {
            self.unreadable += 1;
            return match self.unreadable >= MAX_UNREADABLE {
                true => Step::Failed,
                false => Step::Lagging,
            };
        }
        (self.lagging, self.unreadable) = (0, 0);
        let settled = reading.newest.likely().map(|newest| newest - apart);
        let oldest = reading.oldest.unwrap_or(Timestamp::MIN);
        if let Some(settled) = settled {
            self.omitted.read(reading.as_of, oldest, settled);
        }
        chain.high = reading.newest.likely();
        chain.reach = reading.newest.reach();
        self.is_long = false;
        chain.strays = reading.newest.strays();
        // Who belonged on a later page may have changed again before it was read, and be on none. The next reading shows them.
        let as_of = match length > 1 {
            true => chain.as_of,
            false => reading.as_of,
        };
        chain.as_of = reading.as_of;
        if !self.proved {
            self.proved = reading.dates >= DATES_TO_PROVE && self.absent.is_empty();
            self.unproven += 1;
            if !self.proved && self.unproven >= MAX_UNPROVEN {
                return Step::Distrusted(Doubt::Unproven);
            }
        }
        Step::Complete { as_of }
    }

    fn lags(&mut self) -> Step {
        self.lagging += 1;
        match self.lagging >= MAX_LAGGING {
            true => Step::Distrusted(Doubt::Lagging),
            false => Step::Lagging,
        }
    }
}

#[cfg(test)]
mod tests;
