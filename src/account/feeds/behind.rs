//! How far a feed lags behind other lists.
//!
//! CallTools may answer one list from a copy of its data that lags, and another from one that does not. Single answers do not show that, because
//! usually nothing has changed in between. But within some minutes, each list happens to show a change right after it. So if the newest change that a
//! feed ever showed was ten seconds old, and another list showed one that was four seconds old, the feed lags by six. What it shows is known as of so
//! much earlier. CallTools' clock and ours need not agree: their difference is in both numbers. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Feed, Feeds};
use crate::{account::newest::Newest, clock::Moment, model::agent::Agent};

/// For how long at least an answer counts. While a feed is in use, polls are few, so it takes minutes until one shows a change right after it.
const COUNTS: Duration = Duration::from_secs(600);

/// So many answers of a feed must have shown later changes than those before. In a full list of ten pages, a change waits for half a minute until
/// its page is read again, and the shortest of 20 such times is between one and two seconds.
const NEWS: u32 = 20;

/// Answers differ by less in how long they take. Copies that lag by less are common, and nobody's decision depends on that.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// The newest change of another list was not quite new either.
const MARGIN: Duration = Duration::from_secs(1);

/// Feeds that lag by more lose trust, because they lack changes that are known. So this is no lag: some date is wrong.
const LONGEST: SignedDuration = SignedDuration::from_secs(30);

/// How old the newest changes were that lists have shown, by CallTools' dates and our clock. So only differences between lists mean something.
#[derive(Debug, Default)]
pub(super) struct Behind {
    lists: [List; 4],
}

impl Behind {
    /// Adds an answer of a list. Polls of queues of all lengths show how new answers can be.
    pub fn add(&mut self, feed: Feed, rows: &[Agent], requested: Moment, answered: Moment) {
        let dates = rows.iter().filter_map(|row| row.status_since);
        if let Some(newest) = Newest::of(dates).likely() {
            self.lists[feed as usize].add(newest, requested, answered);
        }
    }

    /// Returns as of when an answer of a feed is that was requested at this moment.
    pub fn shown_at(&self, feed: Feed, requested: Moment) -> Moment {
        let own = self.lists[feed as usize].counted(requested);
        let all = self
            .lists
            .iter()
            .filter_map(|list| list.counted(requested).answered);
        let lag = own
            .requested
            .zip(all.min())
            .map(|(own, least)| own.saturating_sub(least));
        let is_lag = |lag: &SignedDuration| own.news >= NEWS && (SHORTEST..=LONGEST).contains(lag);
        let lag = lag.filter(is_lag);
        lag.map_or(requested, |lag| {
            requested.earlier(lag.unsigned_abs() + MARGIN)
        })
    }
}

impl Feeds {
    /// Returns as of when an answer is that was requested at this moment: its list may lag behind others.
    pub fn shown_at(
        &mut self,
        feed: Feed,
        rows: &[Agent],
        requested: Moment,
        now: Moment,
    ) -> Moment {
        self.behind.add(feed, rows, requested, now);
        match feed {
            Feed::Queues => requested, // Too few of their members change.
            _ => self.behind.shown_at(feed, requested),
        }
    }
}

/// The answers of one list.
#[derive(Debug, Default)]
struct List {
    /// The newest change so far.
    newest: Option<Timestamp>,
    /// When the current answers began.
    began: Option<Moment>,
    current: Answers,
    /// Those before them.
    last: Answers,
}

/// Some answers of a list.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    /// How many showed a later change than all before.
    news: u32,
    /// The age of the newest change of any when it was requested. CallTools may have looked later, so this never makes a lag too long, …
    requested: Option<SignedDuration>,
    /// … and when the answer was known. CallTools has looked earlier, so this never makes the lag of another list too long.
    answered: Option<SignedDuration>,
}

impl List {
    fn add(&mut self, newest: Timestamp, requested: Moment, answered: Moment) {
        let began = self.began.get_or_insert(answered);
        if answered.boot_since(*began) >= COUNTS {
            *began = answered;
            self.last = std::mem::take(&mut self.current);
        }
        self.current.news += u32::from(self.newest.is_none_or(|known| newest > known));
        self.newest = self.newest.max(Some(newest));
        let age = |at: Moment| {
            let boot = SignedDuration::try_from(at.boot).unwrap_or(SignedDuration::MAX);
            Some(boot.saturating_sub(newest.as_duration()))
        };
        self.current.requested = least([self.current.requested, age(requested)]);
        self.current.answered = least([self.current.answered, age(answered)]);
    }

    /// Returns the answers that count.
    fn counted(&self, now: Moment) -> Answers {
        let began = self.began.map(|began| now.boot_since(began));
        if began.is_some_and(|age| age >= 2 * COUNTS) {
            return Answers::default();
        }
        let (current, last) = (self.current, self.last);
        Answers {
            news: current.news + last.news,
            requested: least([current.requested, last.requested]),
            answered: least([current.answered, last.answered]),
        }
    }
}

fn least(ages: [Option<SignedDuration>; 2]) -> Option<SignedDuration> {
    ages.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent, at, date};

    fn changed(seconds: i64) -> Agent {
        Agent {
            status_since: Some(date(seconds)),
            ..agent("a", "", "Available")
        }
    }

    /// Adds an answer whose newest change was this old when it was requested. It took half a second.
    fn add(behind: &mut Behind, feed: Feed, requested: u64, age: i64) {
        let rows = [changed(requested as i64 - age)];
        let answered = at(requested).later(Duration::from_millis(500));
        behind.add(feed, &rows, at(requested), answered);
    }

    /// Returns how much earlier the list of changes is known than it was requested.
    fn lag(behind: &Behind, requested: u64) -> f64 {
        let requested = at(requested);
        requested
            .boot_since(behind.shown_at(Feed::Delta, requested))
            .as_secs_f64()
    }

    /// A list of changes whose newest changes are at least this old, and polls of queues that are all older but one.
    fn changes(age: i64) -> Behind {
        let mut behind = Behind::default();
        for n in 0..20 {
            add(&mut behind, Feed::Delta, 100 + 4 * n, age + n as i64 % 4);
        }
        for n in 0..4 {
            add(
                &mut behind,
                Feed::Queues,
                102 + 20 * n,
                30 * (n as i64 - 1).abs(),
            );
        }
        behind
    }

    #[test]
    fn a_list_lags_by_as_much_as_its_newest_changes_are_older() {
        // Half a second for the answer to the poll, and one for the time before.
        assert_eq!(lag(&changes(6), 180), 6.5);
        assert_eq!(lag(&changes(2), 180), 2.5);
        for honest in [0, 1] {
            assert_eq!(lag(&changes(honest), 180), 0.0, "{honest}");
        }
        assert_eq!(
            lag(&changes(31), 180),
            0.0,
            "no copy lags so long: some date is wrong"
        );
    }

    #[test]
    fn few_changes_show_no_lag() {
        let mut behind = Behind::default();
        add(&mut behind, Feed::Queues, 102, 0);
        for n in 0..100 {
            // A change every minute.
            add(
                &mut behind,
                Feed::Delta,
                100 + 4 * n,
                6 + 4 * (n as i64 % 15),
            );
        }
        assert_eq!(lag(&behind, 500), 0.0);
    }

    #[test]
    fn an_answer_that_took_long_does_not_make_others_lag() {
        let mut behind = changes(0);
        // CallTools looked eight seconds after the request.
        add(&mut behind, Feed::Queues, 150, -8);
        assert!(lag(&behind, 180) > 0.0, "without the time that it took");
        let mut behind = changes(0);
        behind.add(Feed::Queues, &[changed(158)], at(150), at(158));
        assert_eq!(lag(&behind, 180), 0.0);
    }

    #[test]
    fn a_lag_is_forgotten_after_ten_to_twenty_minutes() {
        let mut behind = changes(6);
        for n in 20..600 {
            let requested = 100 + 4 * n;
            add(&mut behind, Feed::Delta, requested, 0);
            add(&mut behind, Feed::Queues, requested + 2, 0);
            assert_eq!(
                lag(&behind, requested),
                0.0,
                "a fresh answer ends it at once"
            );
        }
        for n in 600..1_000 {
            let (requested, age) = (100 + 4 * n, 6);
            add(&mut behind, Feed::Delta, requested, age);
            add(&mut behind, Feed::Queues, requested + 2, 0);
        }
        assert_eq!(lag(&behind, 4_100), 6.5, "and a new one counts by then");
        assert_eq!(
            lag(&behind, 4_100 + 1_300),
            0.0,
            "answers of long ago count no longer"
        );
    }
}
