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

/// So many answers of a feed must have shown later changes than those before.
const NEWS: u32 = 20;

/// A change waits until its page is read again, at most for a time *w*. So a list seems to lag by *t* by chance, too: after *n* such answers with a
/// probability of e^(-nt/w). With this *nt/w* that is one in twenty, and then answers only seem a little older than they are.
const CERTAIN: f64 = 3.0;

/// Answers differ by less in how long they take. Copies that lag by less are common, and nobody's decision depends on that.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// The newest change of another list was not quite new either.
const MARGIN: Duration = Duration::from_secs(1);

/// Copies that lag by more are rare, and a list of changes then loses trust, because it lacks what is known. So it is likelier that some date is wrong.
const LONGEST: SignedDuration = SignedDuration::from_secs(30);

/// How old the newest changes were that lists have shown, by CallTools' dates and our clock. So only differences between lists mean something.
#[derive(Debug, Default)]
pub(super) struct Behind {
    lists: [List; 4],
    /// When the current answers began, …
    began: Option<Moment>,
    /// … and those before them.
    began_before: Option<Moment>,
}

impl Behind {
    /// Adds an answer of a list. Polls of queues show how new answers can be.
    pub fn add(&mut self, feed: Feed, rows: &[Agent], requested: Moment, answered: Moment) {
        self.forget(answered);
        let dates = rows.iter().filter_map(|row| row.status_since);
        self.lists[feed as usize].add(Newest::of(dates).likely(), requested, answered);
    }

    /// Returns as of when an answer of a feed is that was requested at this moment. A reading of the feed takes so many pages.
    pub fn shown_at(&self, feed: Feed, pages: u32, requested: Moment) -> Moment {
        let own = self.lists[feed as usize].counted();
        let all = self
            .lists
            .iter()
            .filter_map(|list| list.counted().age_answered);
        let lag = own
            .age_requested
            .zip(all.min())
            .map(|(own, least)| own.saturating_sub(least));
        let began = self.began_before.or(self.began).unwrap_or(requested);
        let waits = requested.boot_since(began).as_secs_f64() * f64::from(pages)
            / f64::from(own.answers.max(1));
        let is_lag = |lag: &SignedDuration| {
            let is_certain = f64::from(own.news) * lag.as_secs_f64() >= CERTAIN * waits;
            own.news >= NEWS && is_certain && (SHORTEST..=LONGEST).contains(lag)
        };
        let lag = lag.filter(is_lag);
        lag.map_or(requested, |lag| {
            requested.earlier(lag.unsigned_abs() + MARGIN)
        })
    }

    /// Lets answers count no longer that are old. Those of all lists begin anew together, because CallTools' clock may have been set meanwhile.
    fn forget(&mut self, now: Moment) {
        let began = *self.began.get_or_insert(now);
        let age = now.boot_since(began);
        if age < COUNTS {
            return;
        }
        let is_recent = age < 2 * COUNTS;
        for list in &mut self.lists {
            let last = std::mem::take(&mut list.current);
            list.last = if is_recent { last } else { Answers::default() };
        }
        (self.began, self.began_before) = (Some(now), is_recent.then_some(began));
    }
}

impl Feeds {
    /// Records an answer, and returns as of when it is: its list may lag behind others.
    pub fn learn_lag(
        &mut self,
        feed: Feed,
        rows: &[Agent],
        requested: Moment,
        now: Moment,
    ) -> Moment {
        self.behind.add(feed, rows, requested, now);
        let pages = match feed {
            Feed::Queues => return requested, // Too few of a queue's members change.
            Feed::Delta => 1,
            Feed::Available => self.available_pages(),
            Feed::Sweep => self.sweep_pages,
        };
        self.behind.shown_at(feed, pages, requested)
    }
}

/// The answers of one list.
#[derive(Debug, Default)]
struct List {
    /// The newest change so far.
    newest: Option<Timestamp>,
    current: Answers,
    /// Those before them.
    last: Answers,
}

/// Some answers of a list.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    answers: u32,
    /// How many showed a later change than all before.
    news: u32,
    /// The age of the newest change of any when it was requested. CallTools may have looked later, so this never makes a lag too long, …
    age_requested: Option<SignedDuration>,
    /// … and when the answer was known. CallTools has looked earlier, so this never makes the lag of another list too long.
    age_answered: Option<SignedDuration>,
}

impl List {
    /// Adds an answer with its newest change.
    fn add(&mut self, newest: Option<Timestamp>, requested: Moment, answered: Moment) {
        self.current.answers += 1;
        let Some(newest) = newest else { return };
        self.current.news += u32::from(self.newest.is_none_or(|known| newest > known));
        self.newest = self.newest.max(Some(newest));
        let age = |at: Moment| {
            let boot = SignedDuration::try_from(at.boot).unwrap_or(SignedDuration::MAX);
            Some(boot.saturating_sub(newest.as_duration()))
        };
        let ages = &mut self.current;
        ages.age_requested = least([ages.age_requested, age(requested)]);
        ages.age_answered = least([ages.age_answered, age(answered)]);
    }

    /// Returns the answers that count.
    fn counted(&self) -> Answers {
        let (current, last) = (self.current, self.last);
        Answers {
            answers: current.answers + last.answers,
            news: current.news + last.news,
            age_requested: least([current.age_requested, last.age_requested]),
            age_answered: least([current.age_answered, last.age_answered]),
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
            .boot_since(behind.shown_at(Feed::Delta, 1, requested))
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
        // The answers before a pause are too old.
        add(&mut behind, Feed::Queues, 5_400, 0);
        add(&mut behind, Feed::Delta, 5_402, 6);
        assert_eq!(lag(&behind, 5_402), 0.0);
    }

    #[test]
    fn a_list_of_many_pages_has_to_show_more_changes() {
        let mut behind = Behind::default();
        add(&mut behind, Feed::Queues, 100, 0);
        let mut lags = |answers: std::ops::Range<u64>| {
            for n in answers {
                add(&mut behind, Feed::Sweep, 100 + 4 * n, 4);
            }
            let requested = at(500);
            behind.shown_at(Feed::Sweep, 10, requested) != requested
        };
        assert!(!lags(0..40), "each page is read every 40 s");
        assert!(lags(40..100));
    }
}
