//! Which feed is used: the one whose complete reading takes the fewest pages, among those that are trusted. Pure.

use std::time::Duration;

use super::{doubt::Doubt, feed::Feed};
use crate::clock::Moment;

/// A feed that was found wanting is tried again after this long.
const DISTRUST_LASTS: Duration = Duration::from_secs(3600);

/// A feed that failed, which may be a busy minute, is tried again after this long.
const FAILURE_LASTS: Duration = Duration::from_secs(600);

/// A feed has to be better in so many readings before it takes the place of another.
const READINGS: u32 = 5;

/// … by a quarter of the pages at least. Otherwise two feeds that are alike would take turns.
pub(super) const GAIN: f64 = 0.75;

/// How a feed stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody has tried it yet.
    #[default]
    Untried,
    /// It has proved true.
    Trusted,
    /// It is not used until then: it took too many pages, or was not answered.
    Resting(Moment),
    /// It was found wanting, and is not tried until then.
    Distrusted(Doubt, Moment),
}

/// Pages of one complete reading of each feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pages {
    /// Of the full list.
    pub sweep: u32,
    /// Of the lists of those who are available.
    pub available: u32,
    /// Of the list ordered by change, on average.
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

/// The choice among the feeds that tell statuses of the whole account, once its full list is trusted.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    in_use: Feed,
    delta: Trust,
    available: Trust,
    /// A feed that would take fewer pages, and in how many readings it would have.
    better: Option<(Feed, u32)>,
    /// Some feed was chosen after its proof, or none was better.
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
    /// The feed in use.
    pub fn in_use(&self) -> Feed {
        self.in_use
    }

    /// How a feed stands.
    pub fn trust(&self, feed: Feed) -> Trust {
        match feed {
            Feed::Delta => self.delta,
            Feed::Available => self.available,
            Feed::Sweep | Feed::Queues => Trust::Trusted,
        }
    }

    /// Whether a feed may be tried now.
    pub fn may_try(&self, feed: Feed, now: Moment) -> bool {
        match self.trust(feed) {
            Trust::Untried => true,
            Trust::Trusted => false,
            Trust::Resting(until) | Trust::Distrusted(_, until) => now.boot >= until.boot,
        }
    }

    /// A feed has proved true.
    pub fn proved(&mut self, feed: Feed) {
        self.set(feed, Trust::Trusted);
    }

    /// A feed failed: it rests.
    pub fn failed(&mut self, feed: Feed, now: Moment) {
        self.set(feed, Trust::Resting(now.later(FAILURE_LASTS)));
        self.fall_back(feed);
    }

    /// A feed is not believed any more.
    pub fn distrust(&mut self, feed: Feed, doubt: Doubt, now: Moment) {
        self.set(feed, Trust::Distrusted(doubt, now.later(DISTRUST_LASTS)));
        self.fall_back(feed);
    }

    /// A reading of the feed in use is complete. Returns whether another is used from now on.
    pub fn read(&mut self, pages: Pages) -> bool {
        let best = self.best(pages);
        // Nothing is cheaper than a sweep of one request, and nothing tells more.
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
        if self.is_settled && readings < READINGS {
            return false;
        }
        (self.in_use, self.better, self.is_settled) = (best, None, true);
        true
    }

    /// The trusted feed with the fewest pages; of equals the sweep, which tells most, then the delta.
    fn best(&self, pages: Pages) -> Feed {
        let feeds = [Feed::Sweep, Feed::Delta, Feed::Available];
        let trusted = feeds
            .into_iter()
            .filter(|feed| self.trust(*feed) == Trust::Trusted);
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

    /// The sweep takes over at once; what is better still is chosen after its next reading.
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
    fn the_first_proof_is_enough_to_begin_with() {
        let mut choice = Choice::default();
        assert!(!choice.read(PAGES));
        choice.proved(Feed::Available);
        assert!(choice.read(PAGES));
        assert_eq!(choice.in_use(), Feed::Available);
    }

    #[test]
    fn a_later_change_takes_a_quarter_fewer_pages_over_five_readings() {
        let mut choice = Choice::default();
        choice.proved(Feed::Available);
        choice.read(PAGES);
        choice.proved(Feed::Delta);
        for _ in 0..20 {
            let alike = Pages {
                delta: 1.6,
                ..PAGES
            };
            assert!(!choice.read(alike), "a fifth is no gain");
        }
        let changes: Vec<bool> = (0..5).map(|_| choice.read(PAGES)).collect();
        assert_eq!(changes, [false, false, false, false, true]);
        assert_eq!(choice.in_use(), Feed::Delta);
    }

    #[test]
    fn of_equals_the_sweep_is_used() {
        let one = Pages {
            sweep: 1,
            available: 1,
            delta: 1.0,
        };
        let mut choice = Choice::default();
        choice.proved(Feed::Available);
        choice.proved(Feed::Delta);
        assert!(!choice.read(one));
        assert_eq!(choice.in_use(), Feed::Sweep);
        // A roster that has come down to a page, or comes at once from now on.
        choice.read(PAGES);
        assert_eq!(choice.in_use(), Feed::Delta);
        assert!(choice.read(one));
        assert_eq!(choice.in_use(), Feed::Sweep);
    }

    #[test]
    fn a_failure_rests_ten_minutes_and_distrust_an_hour() {
        let mut choice = Choice::default();
        choice.proved(Feed::Delta);
        choice.read(PAGES);
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
    fn a_feed_that_falls_is_followed_by_the_next_best_at_once() {
        let mut choice = Choice::default();
        choice.proved(Feed::Delta);
        choice.proved(Feed::Available);
        choice.read(PAGES);
        assert_eq!(choice.in_use(), Feed::Delta);
        choice.distrust(Feed::Delta, Doubt::LeftOut, now());
        assert!(choice.read(PAGES));
        assert_eq!(choice.in_use(), Feed::Available);
    }
}
