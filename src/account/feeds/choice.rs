//! Chooses the feed in use: the trusted feed whose complete reading takes the fewest pages. Pure.

use std::time::Duration;

use super::{doubt::Doubt, feed::Feed};
use crate::clock::Moment;

/// A distrusted feed is tried again after this time.
const DISTRUST_LASTS: Duration = Duration::from_secs(3600);

/// A feed that failed, perhaps in a busy minute, is tried again after this time.
pub const FAILURE_LASTS: Duration = Duration::from_secs(600);

/// A feed must be better in this many readings in a row before it replaces another, …
const READINGS: u32 = 5;

/// … by at least a quarter of the pages. Otherwise two similar feeds would alternate.
pub(super) const GAIN: f64 = 0.75;

/// How far a feed is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// It was not tried yet.
    #[default]
    Untried,
    /// It agreed with other lists.
    Trusted,
    /// It is not used until then: it took too many pages, or was not answered.
    Resting(Moment),
    /// It was wrong, and is not tried until then.
    Distrusted(Doubt, Moment),
}

/// Pages of one complete reading of each feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pages {
    /// The pages of the full list.
    pub sweep: u32,
    /// The pages of the lists of available agents.
    pub available: u32,
    /// The mean number of pages of the list ordered by change.
    pub delta: f64,
}

impl Pages {
    fn number(&self, feed: Feed) -> f64 {
        match feed {
            Feed::Delta => self.delta,
            Feed::Available => f64::from(self.available),
            Feed::Sweep => f64::from(self.sweep),
            Feed::Queues => f64::INFINITY,
        }
    }
}

/// The choice among the feeds of the whole account, once its full list is trusted.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    in_use: Feed,
    delta: Trust,
    available: Trust,
    /// A feed that would take fewer pages, and in how many readings in a row it would have.
    better: Option<(Feed, u32)>,
    /// Whether a feed was chosen after its proof.
    is_settled: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            in_use: Feed::Sweep,
            delta: Trust::Untried,
            available: Trust::Untried,
            better: None,
            is_settled: false,
        }
    }
}

impl Choice {
    /// Returns the feed in use.
    pub fn in_use(&self) -> Feed {
        self.in_use
    }

    /// Returns how far a feed is trusted.
    pub fn trust(&self, feed: Feed) -> Trust {
        match feed {
            Feed::Delta => self.delta,
            Feed::Available => self.available,
            Feed::Sweep | Feed::Queues => Trust::Trusted,
        }
    }

    /// Returns whether a feed may be tried now.
    pub fn may_try(&self, feed: Feed, now: Moment) -> bool {
        let is_over = |until: Moment| now.boot >= until.boot;
        self.trust(feed) != Trust::Trusted && self.rests_until(feed).is_none_or(is_over)
    }

    /// Returns until when a feed is not tried.
    pub fn rests_until(&self, feed: Feed) -> Option<Moment> {
        match self.trust(feed) {
            Trust::Untried | Trust::Trusted => None,
            Trust::Resting(until) | Trust::Distrusted(_, until) => Some(until),
        }
    }

    /// Trusts a feed.
    pub fn proved(&mut self, feed: Feed) {
        self.set(feed, Trust::Trusted);
    }

    /// Takes the trust in a feed back, because what proved it is out of date or it no longer shows enough. It may be tried again at once.
    pub fn forget(&mut self, feed: Feed) {
        if self.trust(feed) == Trust::Trusted {
            self.set(feed, Trust::Untried);
            self.fall_back(feed);
        }
    }

    /// Falls back to sweeps, which are suspended for a while. Other feeds keep their rests.
    pub fn suspended(&mut self) {
        let rests = |trust| match trust {
            Trust::Untried | Trust::Trusted => Trust::Untried,
            Trust::Resting(_) | Trust::Distrusted(..) => trust,
        };
        *self = Self {
            delta: rests(self.delta),
            available: rests(self.available),
            ..Self::default()
        };
    }

    /// Returns whether a feed will be used if it stays better than the one in use.
    pub fn is_candidate(&self, feed: Feed) -> bool {
        self.better.is_some_and(|(better, _)| better == feed)
    }

    /// Lets a feed rest after a failure.
    pub fn failed(&mut self, feed: Feed, now: Moment) {
        self.set(feed, Trust::Resting(now.later(FAILURE_LASTS)));
        self.fall_back(feed);
    }

    /// Distrusts a feed.
    pub fn distrust(&mut self, feed: Feed, doubt: Doubt, now: Moment) {
        self.set(feed, Trust::Distrusted(doubt, now.later(DISTRUST_LASTS)));
        self.fall_back(feed);
    }

    /// Records a complete reading of the feed in use. Returns whether another feed is used from now on.
    ///
    /// The list of changes is used only if it `covers_everybody`: it says nothing about agents who were last seen before it began.
    pub fn read(&mut self, pages: Pages, covers_everybody: impl Fn() -> bool) -> bool {
        let may_use = |feed| feed != Feed::Delta || self.in_use == feed || covers_everybody();
        let mut best = self.best(pages, |_| true);
        // Nothing else is in use that will cover them soon.
        if !self.is_settled && !may_use(best) {
            best = self.best(pages, |feed| feed != Feed::Delta);
        }
        // Nothing is cheaper than a sweep of one request, and nothing shows more.
        if best == Feed::Sweep && pages.sweep <= 1 && self.in_use != Feed::Sweep {
            (self.in_use, self.better) = (Feed::Sweep, None);
            return true;
        }
        let is_better = match self.is_settled {
            true => pages.number(best) <= GAIN * pages.number(self.in_use),
            false => pages.number(best) < pages.number(self.in_use),
        };
        if best == self.in_use || !is_better {
            self.better = None;
            return false;
        }
        let readings = match self.better {
            Some((feed, readings)) if feed == best => readings + 1,
            _ => 1,
        };
        self.better = Some((best, readings));
        if self.is_settled && (readings < READINGS || !may_use(best)) {
            return false;
        }
        (self.in_use, self.better, self.is_settled) = (best, None, true);
        true
    }

    /// Returns the trusted feed with the fewest pages. Among equals, the sweep comes first, because it shows most, then the delta.
    fn best(&self, pages: Pages, counts: impl Fn(Feed) -> bool) -> Feed {
        let feeds = [Feed::Sweep, Feed::Delta, Feed::Available];
        let is_trusted = |feed: &Feed| self.trust(*feed) == Trust::Trusted && counts(*feed);
        let trusted = feeds.into_iter().filter(is_trusted);
        let least = trusted.reduce(|best, next| match pages.number(next) < pages.number(best) {
            true => next,
            false => best,
        });
        least.unwrap_or(Feed::Sweep)
    }

    fn set(&mut self, feed: Feed, trust: Trust) {
        match feed {
            Feed::Delta => self.delta = trust,
            Feed::Available => self.available = trust,
            Feed::Sweep | Feed::Queues => {}
        }
    }

    /// Returns to the sweep at once if the feed is in use. A better feed is chosen after the next reading.
    fn fall_back(&mut self, from: Feed) {
        if self.in_use == from {
            (self.in_use, self.is_settled) = (Feed::Sweep, false);
        }
        self.better = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, VirtualClock};

    const PAGES: Pages = Pages {
        sweep: 8,
        available: 2,
        delta: 1.2,
    };

    fn now() -> Moment {
        VirtualClock::default().now()
    }

    #[test]
    fn the_first_trusted_feed_is_used_at_once() {
        let mut choice = Choice::default();
        assert!(!choice.read(PAGES, || true));
        choice.proved(Feed::Available);
        assert!(choice.read(PAGES, || true));
        assert_eq!(choice.in_use(), Feed::Available);
    }

    #[test]
    fn a_later_change_needs_a_quarter_fewer_pages_in_five_readings() {
        let mut choice = Choice::default();
        choice.proved(Feed::Available);
        choice.read(PAGES, || true);
        choice.proved(Feed::Delta);
        for _ in 0..20 {
            let alike = Pages {
                delta: 1.6,
                ..PAGES
            };
            assert!(!choice.read(alike, || true), "a fifth is no gain");
        }
        let changes: Vec<bool> = (0..5).map(|_| choice.read(PAGES, || true)).collect();
        assert_eq!(changes, [false, false, false, false, true]);
        assert_eq!(choice.in_use(), Feed::Delta);
    }

    #[test]
    fn the_sweep_is_preferred_among_equals() {
        let one = Pages {
            sweep: 1,
            available: 1,
            delta: 1.0,
        };
        let mut choice = Choice::default();
        choice.proved(Feed::Available);
        choice.proved(Feed::Delta);
        assert!(!choice.read(one, || true));
        assert_eq!(choice.in_use(), Feed::Sweep);
        // The roster has shrunk to a page, or is given in one piece from now on.
        choice.read(PAGES, || true);
        assert_eq!(choice.in_use(), Feed::Delta);
        assert!(choice.read(one, || true));
        assert_eq!(choice.in_use(), Feed::Sweep);
    }

    #[test]
    fn a_failure_rests_ten_minutes_and_distrust_an_hour() {
        let mut choice = Choice::default();
        choice.proved(Feed::Delta);
        choice.read(PAGES, || true);
        choice.failed(Feed::Delta, now());
        assert_eq!(choice.in_use(), Feed::Sweep);
        assert!(!choice.may_try(Feed::Delta, now().later(FAILURE_LASTS / 2)));
        assert!(choice.may_try(
            Feed::Delta,
            now().later(FAILURE_LASTS + Duration::from_secs(1))
        ));
        choice.distrust(Feed::Delta, Doubt::Unordered, now());
        assert!(!choice.may_try(Feed::Delta, now().later(FAILURE_LASTS * 2)));
        assert!(choice.may_try(
            Feed::Delta,
            now().later(DISTRUST_LASTS + Duration::from_secs(1))
        ));
    }

    #[test]
    fn a_distrusted_feed_is_replaced_by_the_next_best_at_once() {
        let mut choice = Choice::default();
        choice.proved(Feed::Delta);
        choice.proved(Feed::Available);
        choice.read(PAGES, || true);
        assert_eq!(choice.in_use(), Feed::Delta);
        choice.distrust(Feed::Delta, Doubt::LeftOut, now());
        assert!(choice.read(PAGES, || true));
        assert_eq!(choice.in_use(), Feed::Available);
    }

    #[test]
    fn changes_are_used_only_once_they_cover_everybody() {
        let mut choice = Choice::default();
        choice.proved(Feed::Available);
        choice.read(PAGES, || true);
        choice.proved(Feed::Delta);
        for _ in 0..20 {
            assert!(!choice.read(PAGES, || false));
        }
        assert!(choice.is_candidate(Feed::Delta), "it is read on");
        assert!(choice.read(PAGES, || true));
        assert_eq!(choice.in_use(), Feed::Delta);
        assert!(!choice.read(PAGES, || false), "it is in use already");
        // The lists of available agents are given up while the list of changes is trusted, but began later.
        for replaces in [Feed::Available, Feed::Sweep] {
            let mut choice = Choice::default();
            choice.proved(Feed::Delta);
            if replaces == Feed::Available {
                choice.proved(replaces);
            }
            assert_eq!(choice.read(PAGES, || false), replaces == Feed::Available);
            assert_eq!(choice.in_use(), replaces);
        }
    }
}
