//! Chooses the next request for statuses: the feed in use, a trial of another one, or the full list.

use std::time::Duration;

use super::{
    Feeds,
    choice::{GAIN, Trust},
    feed::Feed,
};
use crate::clock::Moment;

/// While another feed is in use, one request in this many reads the next page of the full list, …
const FULL_PAGE_EVERY: u32 = 30;

/// … and at least one in this time.
pub(super) const FULL_PAGE_AFTER: Duration = Duration::from_secs(120);

/// The most readings in a row of a list of changes that is about to replace the feed in use. They follow one another, because changes of a busy floor
/// fill more than a page in the time of two requests. But what the feed in use has shown must not become too old meanwhile.
const CANDIDATE_TRIES: u32 = 3;

/// The next request for statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// The next page of the full list.
    #[default]
    Full,
    /// The full list in one piece.
    Whole,
    /// A page of the list ordered by the date of change.
    Delta(u32),
    /// A page of the list of agents with this status.
    Available {
        /// CallTools' number for it.
        status: u64,
        /// The page number, from 1.
        page: u32,
    },
}

impl Feeds {
    /// Returns the next request for statuses, and whether to send it at once.
    pub fn next(&self, now: Moment) -> (Request, bool) {
        if let Some(request) = self.unfinished {
            return (request, true);
        }
        if self.sweep_pages < 2 {
            return (self.full(now), false);
        }
        let most = match self.choice.is_candidate(Feed::Delta) {
            true => CANDIDATE_TRIES,
            false => 1,
        };
        let trial = match self.tries < most {
            true => self.trial(now),
            false => None,
        };
        (trial.unwrap_or_else(|| self.routine(now)), false)
    }

    /// Returns a request to a feed that is not in use and may be better.
    fn trial(&self, now: Moment) -> Option<Request> {
        let in_use = self.in_use();
        let is_unproved = |feed| in_use != feed && self.choice.trust(feed) != Trust::Trusted;
        let may_try = is_unproved(Feed::Delta) && self.may_try(Feed::Delta, now);
        // Until it is used it is read on, because each reading has to reach back to the last one.
        let is_candidate = self.choice.is_candidate(Feed::Delta);
        if self.delta.has_begun() && (may_try || is_candidate) {
            return Some(Request::Delta(self.delta.first_page()));
        }
        if is_unproved(Feed::Available)
            && self.may_gain(Feed::Available)
            && self.known_available > 0
            && self.may_try(Feed::Available, now)
        {
            return self.filtered();
        }
        None
    }

    fn routine(&self, now: Moment) -> Request {
        if self.is_full_page_due(now) {
            return self.full(now);
        }
        match self.in_use() {
            Feed::Delta => Request::Delta(self.delta.first_page()),
            Feed::Available => self.filtered().unwrap_or_default(),
            Feed::Sweep | Feed::Queues => self.full(now),
        }
    }

    /// Returns the next request for the full list.
    fn full(&self, now: Moment) -> Request {
        match self.whole.is_worth_a_request(self.sweep_pages, now) {
            true => Request::Whole,
            false => Request::Full,
        }
    }

    /// Returns the size to request for a page of the list ordered by change.
    pub fn size_of_changes(&self, page: u32) -> u32 {
        self.delta.size_of(page)
    }

    /// Returns how many rows come before a page of the list ordered by change, as far as known.
    pub fn rows_before(&self, page: u32) -> usize {
        self.delta.rows_before(page)
    }

    /// Returns from when to read the full list, although it takes more requests than the queues' polls, to try lists that may take fewer. `None` if
    /// there are none.
    pub fn tries_from(&self, now: Moment) -> Option<Moment> {
        let feeds = [Feed::Delta, Feed::Available].into_iter();
        let others = feeds.filter(|feed| *feed != self.in_use() && self.can_replace(*feed));
        let first = others
            .map(|feed| self.choice.rests_until(feed).unwrap_or(now))
            .min_by_key(|from| from.boot)?;
        match self.tried_again(now) {
            Some(again) if again.boot > first.boot => Some(again),
            _ => Some(first),
        }
    }

    /// Returns when lists are tried again that a reading of the whole full list has not proved. One request after its end belongs to the trial,
    /// because only the end shows how many agents are available.
    pub(super) fn tried_again(&self, now: Moment) -> Option<Moment> {
        let is_over = self.unfinished.is_none() && (self.tries > 0 || self.trial(now).is_none());
        self.full_again.filter(|_| is_over)
    }

    /// Returns whether a list may replace the full list, once it is proved.
    fn can_replace(&self, feed: Feed) -> bool {
        let is_counted = self.known_available > 0;
        match feed {
            Feed::Delta => self.sweep_pages > 1,
            _ => {
                let can_gain = !is_counted || self.may_gain(feed);
                self.available.is_possible() && !self.needs_reasons && can_gain
            }
        }
    }

    fn filtered(&self) -> Option<Request> {
        let (status, page) = self.available.next_page()?;
        Some(Request::Available { status, page })
    }

    fn is_full_page_due(&self, now: Moment) -> bool {
        let is_old = |at: Moment| now.longest_since(at) >= FULL_PAGE_AFTER;
        self.since_full + 1 >= FULL_PAGE_EVERY || self.full_at.is_none_or(is_old)
    }

    pub(super) fn may_try(&self, feed: Feed, now: Moment) -> bool {
        let is_possible = match feed {
            Feed::Available => self.available.is_possible() && !self.needs_reasons,
            _ => true,
        };
        is_possible && self.choice.may_try(feed, now)
    }

    /// Returns whether a list that is not in use would take enough fewer requests than the feed in use to be worth a trial.
    pub(super) fn may_gain(&self, feed: Feed) -> bool {
        let pages = f64::from(self.pages());
        match feed {
            Feed::Delta => self.delta.pages() <= GAIN * pages,
            Feed::Available => f64::from(self.available_pages()) < GAIN * pages,
            Feed::Sweep | Feed::Queues => false,
        }
    }
}
