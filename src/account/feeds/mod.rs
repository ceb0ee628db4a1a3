//! Chooses the feed of an account's statuses, and the next request for them.
//!
//! There are four feeds. The full list ([`sweep`](crate::account::sweep)) takes a request per 250 agents. The list ordered by the date of
//! change ([`delta`]) takes one request for any roster. The lists of available agents ([`available`]) take one per 250 of these. If none of
//! them pays or is trusted, statuses come from queue polls. The [`choice`] is the cheapest trusted feed.
//!
//! The delta and the filtered lists depend on the full list: they are tried beside it once it has more than one page, and proved against it. While
//! they are in use, one of its pages is read every two minutes. Pure: [`crate::account`] sends the requests and reports the answers.

mod available;
mod behind;
mod choice;
mod dates;
mod delta;
mod doubt;
mod feed;
mod full;
mod lag;
mod lengths;
mod listed;
mod misses;
mod omitted;
mod page;
mod recall;
mod request;
mod standing;
mod taken;
#[cfg(test)]
mod tests;
mod whole;

use std::{borrow::Cow, time::Duration};

use self::{available::Available, behind::Behind, delta::Delta};
pub use self::{
    available::ReadyStatus,
    choice::{Choice, FAILURE_LASTS, Pages, Trust},
    doubt::Doubt,
    feed::Feed,
    page::{DeltaPage, FilteredPage},
    request::Request,
    standing::{FeedStanding, FullList, Standing},
    taken::{GivenUp, Taken},
    whole::WholeList,
};
use crate::{
    account::roster::{Roster, earlier},
    calltools::PAGE_SIZE,
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::Sighting,
    },
};

/// How often those who are available are counted, besides at the end of each full list.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// While another feed is in use, a list of changes that was not read for this long is tried from the start again: the next reading would have to
/// reach back too far. By then, a page of the full list is due, at which it can start.
const CHANGES_FORGOTTEN: Duration = request::FULL_PAGE_AFTER;

/// See the [module](self).
#[derive(Debug)]
pub struct Feeds {
    delta: Delta,
    available: Available,
    choice: Choice,
    behind: Behind,
    /// The next page of an unfinished reading.
    unfinished: Option<Request>,
    /// How many readings in a row tried feeds that are not in use.
    tries: u32,
    /// The pages of the full list, as far as known.
    sweep_pages: u32,
    /// The number of available agents, as far as known.
    known_available: usize,
    counted_at: Option<Moment>,
    /// The number of available agents on the pages of the full list that is being read.
    listed_available: usize,
    /// Whether some queue reads statuses that the filtered lists do not show.
    needs_reasons: bool,
    /// The number of requests since the last page of the full list, and when that was read.
    since_full: u32,
    full_at: Option<Moment>,
    /// Whether the last request for a page of it failed while another feed was in use.
    full_failed: bool,
    /// When the reading of it began that goes on now, if no other list is in use, …
    full_begun: Option<Moment>,
    /// … and, if none goes on, when lists that it has not proved are tried again, although it does not pay.
    full_again: Option<Moment>,
    /// How long the last reading of it took while no other list was in use.
    full_took: Duration,
    /// The standing of the full list while it is suspended, why, and until when.
    full_suspended: Option<(Standing, Cow<'static, str>, Moment)>,
    whole: WholeList,
    /// Rows of deltas that were read before the full list was trusted.
    kept: Vec<Sighting>,
    /// The newest look of an earlier task, if the list of changes began at what that task knew of the whole account, and is not proved yet.
    recalled: Option<Moment>,
}

impl Default for Feeds {
    fn default() -> Self {
        Self {
            delta: Delta::default(),
            available: Available::default(),
            choice: Choice::default(),
            behind: Behind::default(),
            unfinished: None,
            tries: 0,
            sweep_pages: 1,
            known_available: 0,
            counted_at: None,
            listed_available: 0,
            needs_reasons: false,
            since_full: 0,
            full_at: None,
            full_failed: false,
            full_begun: None,
            full_took: Duration::ZERO,
            full_again: None,
            full_suspended: None,
            whole: WholeList::default(),
            kept: Vec::new(),
            recalled: None,
        }
    }
}

impl Feeds {
    /// Returns the feed in use, provided that the full list is trusted and pays.
    pub fn in_use(&self) -> Feed {
        self.choice.in_use()
    }

    /// Returns how far a feed is trusted.
    pub fn trust(&self, feed: Feed) -> Trust {
        self.choice.trust(feed)
    }

    /// Returns the number of requests of one complete reading of the feed in use.
    pub fn pages(&self) -> u32 {
        match self.in_use() {
            Feed::Delta => self.delta.pages().round() as u32,
            Feed::Available => self.available_pages(),
            Feed::Sweep | Feed::Queues => self.sweep_pages,
        }
    }

    /// Returns whether a reading of the feed in use may hide an agent between two of its pages, so that their status is known from the reading before.
    pub fn may_hide(&self) -> bool {
        match self.in_use() {
            Feed::Delta => self.delta.pages() > 1.0,
            Feed::Available => self.available_pages() > 1,
            Feed::Sweep | Feed::Queues => false,
        }
    }

    /// Sets the account's statuses that make an agent ready. After a change, `roster` must have been read again with it.
    pub fn set_ready_statuses(
        &mut self,
        statuses: Vec<ReadyStatus>,
        roster: &mut Roster,
        now: Moment,
    ) {
        let has_another = self.available.lacks_any(&statuses);
        if !self.available.set_statuses(statuses) {
            return;
        }
        if has_another {
            // The last lists say nothing about agents with this status.
            roster.forget_available();
        }
        if matches!(self.unfinished, Some(Request::Available { .. })) {
            self.unfinished = None;
        }
        self.counted_at = None;
        self.count_available(roster, now);
    }

    /// Sets whether some queue reads statuses that the filtered lists do not show. If so, these lists are not used. Returns whether another feed is
    /// used from now on.
    pub fn set_needs_reasons(&mut self, needs_reasons: bool, roster: &Roster, now: Moment) -> bool {
        self.needs_reasons = needs_reasons;
        let is_in_use = self.in_use() == Feed::Available;
        if needs_reasons && matches!(self.unfinished, Some(Request::Available { .. })) {
            self.unfinished = None;
        }
        if !needs_reasons || self.trust(Feed::Available) != Trust::Trusted {
            return false;
        }
        self.available.end();
        self.choice.forget(Feed::Available);
        self.choose(roster, now);
        is_in_use
    }

    /// Records a page of the list ordered by change, before `roster` takes it.
    pub fn take_delta(&mut self, page: DeltaPage<'_>, roster: &Roster, now: Moment) -> Taken {
        self.sent(Feed::Delta);
        if !self.may_use(Feed::Delta, now) {
            return Taken::Rows; // It lost trust while the page was under way.
        }
        self.delta.keeps_rows = !self.kept.is_empty();
        let step = self.delta.take(page, roster, self.most_pages());
        let taken = match step {
            delta::Step::ReadOn(page) => {
                self.unfinished = Some(Request::Delta(page));
                return Taken::Rows;
            }
            delta::Step::Lagging => Taken::Rows,
            delta::Step::Complete { as_of } => Taken::Changes { as_of },
            delta::Step::Failed if self.recalled.is_some() => {
                self.forget_recalled();
                Taken::Rows
            }
            delta::Step::Failed => {
                let is_old = |as_of: Moment| page.as_of.longest_since(as_of) >= CHANGES_FORGOTTEN;
                let why = match self.delta.as_of().is_some_and(is_old) {
                    true => GivenUp::Interrupted,
                    false => GivenUp::Failed,
                };
                self.give_up(Feed::Delta, why, roster, now)
            }
            delta::Step::Distrusted(doubt) => {
                self.give_up(Feed::Delta, GivenUp::Doubted(doubt), roster, now)
            }
        };
        if self.in_use() == Feed::Available || self.is_recalled_list_proof(&taken, roster) {
            self.prove_delta(now);
        }
        taken
    }

    /// Records a page of a filtered list, before `roster` takes it.
    pub fn take_available(
        &mut self,
        page: FilteredPage<'_>,
        roster: &Roster,
        now: Moment,
    ) -> Taken {
        self.sent(Feed::Available);
        if !self.may_use(Feed::Available, now) {
            return Taken::Rows; // It lost trust while the page was under way.
        }
        match self.available.take(page, self.known_available, roster) {
            available::Step::ReadOn => {
                let next = self.available.next_page();
                self.unfinished = next.map(|(status, page)| Request::Available { status, page });
                Taken::Rows
            }
            available::Step::Misfit | available::Step::Stray => Taken::Rows,
            available::Step::Complete {
                as_of,
                listed,
                gone,
                slipped,
                has_edges,
            } => {
                self.choice.proved(Feed::Available);
                (self.known_available, self.counted_at) = (listed, Some(now));
                Taken::Available {
                    as_of,
                    gone,
                    slipped,
                    has_edges,
                }
            }
            available::Step::Failed => self.give_up(Feed::Available, GivenUp::Failed, roster, now),
            available::Step::Distrusted(doubt) => {
                self.give_up(Feed::Available, GivenUp::Doubted(doubt), roster, now)
            }
        }
    }

    /// Records the look that this page lags behind, if any. Returns the earliest such look of its reading: a reading is no newer than its oldest
    /// page.
    pub fn lagged(&mut self, feed: Feed, lag: Option<Moment>) -> Option<Moment> {
        match feed {
            Feed::Delta => self.delta.lag.add(lag),
            Feed::Available => self.available.lag.add(lag),
            Feed::Sweep | Feed::Queues => lag,
        }
    }

    /// Records in `roster` what a page has confirmed or taken back. `lag` is the look that its reading lags behind.
    pub fn confirm(&mut self, taken: &Taken, lag: Option<Moment>, roster: &mut Roster) {
        match taken {
            Taken::Changes { as_of } => {
                self.delta.confirm(*as_of, lag);
                self.confirm_changes(roster);
            }
            Taken::Available {
                as_of,
                gone,
                slipped,
                has_edges,
            } => {
                let as_of = earlier(*as_of, lag);
                roster.confirm_gone(as_of, gone);
                roster.confirm_available(as_of, slipped.clone());
                if !has_edges {
                    roster.settle_absent(as_of);
                }
            }
            Taken::GivenUp(Feed::Delta, GivenUp::Doubted(doubt))
                if doubt.concerns_earlier_readings() =>
            {
                roster.forget_changes();
                roster.forget_recalled();
            }
            Taken::GivenUp(Feed::Available, GivenUp::Doubted(_)) => roster.forget_available(),
            Taken::Rows | Taken::GivenUp(..) => {}
        }
    }

    /// Records in `roster` what the list of changes has confirmed, if it is in use. Its last reading may be older than its use.
    pub fn confirm_changes(&self, roster: &mut Roster) {
        if let (Feed::Delta, Some((base, as_of))) = (self.in_use(), self.delta.confirmed()) {
            roster.confirm_changes(base, as_of);
        }
    }

    /// Checks the feed in use against rows of a poll or of a full page, before the roster takes them.
    pub fn compare(
        &mut self,
        rows: &[Agent],
        as_of: Moment,
        roster: &Roster,
        now: Moment,
    ) -> Option<Taken> {
        // The roster lacks the rows of changes that are kept until the full list is trusted, so it would seem that the list missed these.
        let has_all = self.kept.is_empty();
        let by_delta = has_all.then(|| self.delta.compare(rows, as_of, roster));
        if let Some(doubt) = by_delta.flatten() {
            return Some(self.give_up(Feed::Delta, GivenUp::Doubted(doubt), roster, now));
        }
        if self.in_use() != Feed::Available {
            return None;
        }
        let doubt = self.available.compare(rows, as_of)?;
        Some(self.give_up(Feed::Available, GivenUp::Doubted(doubt), roster, now))
    }

    /// Restarts a reading after a page that was not answered.
    pub fn interrupted(&mut self) {
        self.unfinished = None;
        self.delta.interrupted();
        self.available.interrupted();
    }

    /// Gives up a feed that CallTools refuses.
    pub fn refused(&mut self, feed: Feed, roster: &Roster, now: Moment) -> Taken {
        self.sent(feed);
        self.give_up(feed, GivenUp::Doubted(Doubt::Refused), roster, now)
    }

    /// Lets a feed rest whose requests are not answered.
    pub fn unanswered(&mut self, feed: Feed, roster: &Roster, now: Moment) -> Taken {
        self.sent(feed);
        self.give_up(feed, GivenUp::Unanswered, roster, now)
    }

    /// Chooses the feed for the next reading. Returns whether it is another feed.
    pub fn choose(&mut self, roster: &Roster, now: Moment) -> bool {
        self.forget_old_changes(now);
        let pages = Pages {
            sweep: self.sweep_pages,
            available: self.available_pages(),
            delta: self.delta.pages(),
        };
        let confirmed = self.delta.confirmed();
        // If the lists of available agents are given up now, what they have confirmed is forgotten next.
        let is_distrusted = matches!(self.trust(Feed::Available), Trust::Distrusted(..));
        let lists_count = !is_distrusted && !self.needs_reasons;
        let covers_everybody =
            || confirmed.is_some_and(|(base, _)| roster.are_members_known_since(base, lists_count));
        self.choice.read(pages, covers_everybody)
    }

    /// Returns how many pages of dated rows a reading of the list of changes may take. While other lists are in use it has to reach back further, since
    /// these are read in between; but it should not cost more than they do.
    fn most_pages(&self) -> u32 {
        match self.in_use() {
            Feed::Available => delta::MAX_PAGES.max(self.available_pages()),
            _ => delta::MAX_PAGES,
        }
    }

    /// Returns agents that the delta omitted. Their queues should be polled soon.
    pub fn absent(&self, now: Moment) -> impl Iterator<Item = &AgentId> {
        self.delta.absent(now)
    }

    /// Counts the available agents once a minute, for the cost of the filtered lists: the whole roster is read, and the number changes slowly.
    ///
    /// While the full list is in use, only its end shows the number. Before it was whole once, the roster lacks most agents.
    pub fn count_available(&mut self, roster: &Roster, now: Moment) {
        let is_old = |at: Moment| now.longest_since(at) >= COUNT_EVERY;
        if self.in_use() != Feed::Sweep && self.counted_at.is_none_or(is_old) {
            (self.known_available, self.counted_at) = (roster.available(), Some(now));
        }
    }

    fn available_pages(&self) -> u32 {
        let pages = self.known_available.div_ceil(PAGE_SIZE as usize).max(1) as u32;
        self.available.pages().unwrap_or(pages)
    }

    /// Returns whether a page of this list may count.
    fn may_use(&self, feed: Feed, now: Moment) -> bool {
        self.trust(feed) == Trust::Trusted || self.may_try(feed, now)
    }

    fn sent(&mut self, feed: Feed) {
        let is_begun = self.unfinished.take().is_some();
        self.since_full += 1;
        self.tries = match self.in_use() == feed {
            true => 0,
            false => self.tries + u32::from(!is_begun),
        };
    }

    fn give_up(&mut self, feed: Feed, why: GivenUp, roster: &Roster, now: Moment) -> Taken {
        self.unfinished = None;
        match feed {
            Feed::Delta => {
                self.delta.end();
                self.recalled = None;
            }
            Feed::Available => self.available.end(),
            Feed::Sweep | Feed::Queues => {}
        }
        match why {
            GivenUp::Failed | GivenUp::Unanswered => self.choice.failed(feed, now),
            GivenUp::Interrupted => self.choice.forget(feed),
            GivenUp::Doubted(doubt) => self.choice.distrust(feed, doubt, now),
        }
        self.choose(roster, now);
        Taken::GivenUp(feed, why)
    }
}
