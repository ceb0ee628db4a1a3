//! Reports how each feed stands: which one is in use, and why the others are not. For people.

use std::{borrow::Cow, time::Duration};

use super::{Doubt, Feeds, ReadyStatus, choice::Trust, feed::Feed};
use crate::clock::Moment;

/// The standing of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Standing {
    /// Statuses come from it.
    InUse,
    /// It takes as many requests as the feed in use, or more.
    NoGain,
    /// It is not trusted yet.
    Untried,
    /// The account or its config does not allow it.
    Impossible,
    /// It took too many requests, had rows that cannot be read, or was not answered, and is tried again later.
    Resting,
    /// It is distrusted, and is tried again later.
    Distrusted,
}

impl Standing {
    /// Returns its name in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A feed, its standing, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedStanding {
    /// The feed.
    pub feed: Feed,
    /// Its standing.
    pub standing: Standing,
    /// The reason, for people.
    pub why: Cow<'static, str>,
    /// When it is tried again.
    pub until: Option<Moment>,
    /// The number of requests of one complete reading, if known.
    pub requests: Option<u32>,
}

/// The schedule's view of the full list, on which all other lists depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullList {
    /// Whether the config has `sweep = false`.
    pub is_off: bool,
    /// Whether it, or the list that replaces it, takes so few requests that it is better than the queues' own polls.
    pub pays: bool,
    /// The most requests of such a list. 0 if no list is better than polls.
    pub most: u32,
    /// Whether polls keep the data within its `max_age` while lists are tried with every other request.
    pub bears_trials: bool,
    /// Whether it agrees with the queues.
    pub is_trusted: bool,
}

impl FullList {
    /// Returns whether statuses come from it, or from a list that depends on it.
    fn is_in_use(self) -> bool {
        !self.is_off && self.pays && self.is_trusted
    }
}

/// A standing, the reason, and until when.
type Reason = (Standing, Cow<'static, str>, Option<Moment>);

const POLLS_ARE_AS_FAST: &str = "polling the queues one by one is as fast";

impl Feeds {
    /// Returns the standing of each feed, the best for the largest accounts first.
    pub fn standings(&self, full: FullList, now: Moment) -> Vec<FeedStanding> {
        let feeds = [Feed::Delta, Feed::Available, Feed::Sweep, Feed::Queues];
        let of_feed = |feed| {
            let (standing, why, until) = match feed {
                Feed::Queues => self.queues_stand(full),
                Feed::Sweep => self.sweep_stands(full, now),
                Feed::Delta | Feed::Available => self.stands(feed, full, now),
            };
            FeedStanding {
                feed,
                standing,
                why,
                until,
                requests: self.requests_of(feed),
            }
        };
        feeds.map(of_feed).to_vec()
    }

    /// Returns the standing that each feed would have in an account with this many pages, whose full list is trusted.
    pub fn planned(pages: u32, needs_reasons: bool, full: FullList) -> Vec<FeedStanding> {
        let start = Moment {
            boot: Duration::ZERO,
            wall: Duration::ZERO,
        };
        let mut feeds = Feeds {
            sweep_pages: pages,
            needs_reasons,
            full_at: Some(start),
            ..Feeds::default()
        };
        // Every account has such a status.
        feeds.available.set_statuses(vec![ReadyStatus {
            id: 0,
            name: "".into(),
        }]);
        feeds.standings(full, start)
    }

    fn queues_stand(&self, full: FullList) -> Reason {
        if full.is_in_use() {
            let why = "each poll shows the statuses of only one queue";
            return (Standing::NoGain, why.into(), None);
        }
        let why = match full {
            FullList { is_off: true, .. } => "the config has sweep = false".into(),
            FullList { most: 0, .. } => POLLS_ARE_AS_FAST.into(),
            FullList { pays: false, most, .. } => {
                format!("no list of the whole account has proved to take so few requests that it pays: at most {most}").into()
            }
            _ => "no list of the whole account is trusted".into(),
        };
        (Standing::InUse, why, None)
    }

    fn sweep_stands(&self, full: FullList, now: Moment) -> Reason {
        if full.is_off {
            let why = "the config has sweep = false";
            return (Standing::Impossible, why.into(), None);
        }
        if let (false, Some((standing, why, until))) = (full.is_trusted, &self.full_suspended) {
            return later(*standing, why.clone(), *until, now);
        }
        if !full.pays {
            return (Standing::NoGain, self.too_long(Feed::Sweep, full), None);
        }
        if !full.is_trusted {
            let why = "it is being compared with the queues";
            return (Standing::Untried, why.into(), None);
        }
        match self.in_use() {
            Feed::Sweep => {
                let why = "no list that proved true takes fewer requests";
                (Standing::InUse, why.into(), None)
            }
            _ => (Standing::NoGain, self.comparison(Feed::Sweep), None),
        }
    }

    /// Returns the standing of a list that depends on the full list.
    fn stands(&self, feed: Feed, full: FullList, now: Moment) -> Reason {
        if full.is_in_use() && self.in_use() == feed {
            let why = "it has proved true and takes the fewest requests";
            return (Standing::InUse, why.into(), None);
        }
        if let Some(why) = self.impossible(feed, full) {
            return (Standing::Impossible, why.into(), None);
        }
        if full.most == 0 {
            return (Standing::NoGain, POLLS_ARE_AS_FAST.into(), None);
        }
        let sentence = |doubt: Doubt| Cow::from(doubt.sentence());
        match self.trust(feed) {
            Trust::Distrusted(doubt, until) => {
                later(Standing::Distrusted, sentence(doubt), until, now)
            }
            Trust::Resting(until) => {
                let why = "it took too many requests, did not fit the known statuses, had rows that cannot be read, or was not answered";
                later(Standing::Resting, why.into(), until, now)
            }
            _ if !full.pays => self.is_tried_beside_polls(feed, full, now),
            _ if !full.is_trusted || self.full_at.is_none() => {
                let why = "it is tried once sweeps of the account are trusted";
                (Standing::Untried, why.into(), None)
            }
            _ if self.sweep_pages < 2 => {
                let why = "a sweep of the account takes one request";
                (Standing::NoGain, why.into(), None)
            }
            Trust::Untried if self.may_gain(feed) => {
                let why = "it is being compared with sweeps of the account";
                (Standing::Untried, why.into(), None)
            }
            Trust::Untried | Trust::Trusted => (Standing::NoGain, self.comparison(feed), None),
        }
    }

    /// Returns the standing of a list that is tried although the full list does not pay.
    fn is_tried_beside_polls(&self, feed: Feed, full: FullList, now: Moment) -> Reason {
        if self
            .requests_of(feed)
            .is_some_and(|requests| requests > full.most)
        {
            return (Standing::NoGain, self.too_long(feed, full), None);
        }
        match self.tried_again(now).filter(|again| now.boot < again.boot) {
            Some(again) => {
                let why = "it has not proved true beside a sweep of the account; it is tried again";
                (Standing::Untried, why.into(), Some(again))
            }
            None if !full.bears_trials => {
                let why = "it cannot be tried: without every other request, polls of the queues would be too rare for max_age";
                (Standing::Untried, why.into(), None)
            }
            None => {
                let why = "it is being compared with a sweep of the account and with the queues";
                (Standing::Untried, why.into(), None)
            }
        }
    }

    /// Says that a list takes too many requests for these queues.
    fn too_long(&self, feed: Feed, full: FullList) -> Cow<'static, str> {
        match (self.requests_of(feed), full.most) {
            (_, 0) | (None, _) => POLLS_ARE_AS_FAST.into(),
            (Some(requests), most) => format!(
                "a reading takes {requests} requests or more; if it takes more than {most}, {POLLS_ARE_AS_FAST}"
            )
            .into(),
        }
    }

    fn impossible(&self, feed: Feed, full: FullList) -> Option<&'static str> {
        if full.is_off {
            return Some(
                "it is checked against sweeps of the account, and the config has sweep = false",
            );
        }
        if feed != Feed::Available {
            return None;
        }
        if self.needs_reasons {
            return Some(
                "criteria in the config read why agents are not available, which it does not show",
            );
        }
        let is_unknown = self.full_at.is_some() && !self.available.is_possible();
        is_unknown.then_some("no status is known that makes agents available")
    }

    fn requests_of(&self, feed: Feed) -> Option<u32> {
        let requests = match feed {
            Feed::Delta => self.delta.pages().round() as u32,
            Feed::Available => self.available_pages(),
            Feed::Sweep => self.sweep_pages,
            Feed::Queues => return None,
        };
        self.full_at.map(|_| requests)
    }

    fn comparison(&self, feed: Feed) -> Cow<'static, str> {
        let requests = match self.requests_of(feed) {
            Some(1) | None => "1 request".to_owned(),
            Some(requests) => format!("{requests} requests"),
        };
        let (in_use, pages) = (self.in_use().noun(), self.pages());
        format!("a reading takes {requests}, one of {in_use} {pages}").into()
    }
}

/// Returns the standing of a feed that is not used for a while, and then tried again.
fn later(standing: Standing, why: Cow<'static, str>, until: Moment, now: Moment) -> Reason {
    match now.boot < until.boot {
        true => (standing, why, Some(until)),
        false => (
            Standing::Untried,
            format!("it is tried again; before, {why}").into(),
            None,
        ),
    }
}

#[cfg(test)]
mod tests;
