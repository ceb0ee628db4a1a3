//! Counts the agents of all queues of an account, and notices when none are left.
//!
//! All lists may be empty because the day is over, or because CallTools omits the agents: for a token with fewer rights, or because of a filter.
//! openseat cannot tell which, so it believes the lists and reports this once.

use std::{collections::VecDeque, time::Duration};

use crate::clock::Moment;

/// The number of agents before is the maximum within this time, because queues are polled one by one, and lists that became empty together are
/// found empty one by one. The log line is not repeated within this time either.
const RECENT: Duration = Duration::from_secs(3600);

/// Counts within this time are merged, so that at most sixty are kept.
const STEP: Duration = Duration::from_secs(60);

/// All lists of an account are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emptied {
    /// When the last list was found empty.
    pub since: Moment,
    /// How many agents they listed before.
    pub agents_before: usize,
}

/// News to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Emptied(Emptied),
    /// The queues have this many agents again.
    Filled(usize),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Headcount {
    /// The maximum of agents in each step, the oldest first.
    recent: VecDeque<(Moment, usize)>,
    emptied: Option<Emptied>,
    /// When it was last logged that all lists are empty, and whether the end of that is still to be logged.
    logged: Option<Moment>,
    is_end_due: bool,
}

impl Headcount {
    /// Returns since when all lists are empty, if they are.
    pub fn emptied(&self) -> Option<Emptied> {
        self.emptied
    }

    /// Records the number of agents on all lists. Returns what to log.
    pub fn take(&mut self, agents: usize, now: Moment) -> Option<News> {
        self.keep(agents, now);
        match (agents, self.emptied) {
            (0, None) => self.empties(now),
            (0, Some(_)) | (_, None) => None,
            (agents, Some(_)) => {
                self.emptied = None;
                std::mem::take(&mut self.is_end_due).then_some(News::Filled(agents))
            }
        }
    }

    /// Forgets the counts: no agents are expected now, so empty lists mean nothing.
    pub fn rest(&mut self) {
        self.recent.clear();
        (self.emptied, self.is_end_due) = (None, false);
    }

    fn empties(&mut self, now: Moment) -> Option<News> {
        let most = self.recent.iter().map(|(_, agents)| *agents).max();
        let agents_before = most.filter(|most| *most > 0)?;
        let emptied = Emptied {
            since: now,
            agents_before,
        };
        self.emptied = Some(emptied);
        if self
            .logged
            .is_some_and(|logged| now.longest_since(logged) < RECENT)
        {
            return None;
        }
        (self.logged, self.is_end_due) = (Some(now), true);
        Some(News::Emptied(emptied))
    }

    fn keep(&mut self, agents: usize, now: Moment) {
        let is_old = |at: &Moment| now.longest_since(*at) > RECENT;
        while self.recent.front().is_some_and(|(at, _)| is_old(at)) {
            self.recent.pop_front();
        }
        match self.recent.back_mut() {
            Some((at, most)) if now.longest_since(*at) < STEP => *most = agents.max(*most),
            _ => self.recent.push_back((now, agents)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, VirtualClock};

    /// Returns moments by their minutes after a common start.
    fn moments() -> impl Fn(u64) -> Moment {
        let start = VirtualClock::default().now();
        move |minutes| start.later(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn lists_that_become_empty_one_by_one_are_reported_once() {
        let (mut headcount, minutes) = (Headcount::default(), moments());
        let mut news = Vec::new();
        for (minute, agents) in [(0, 80), (1, 120), (2, 70), (3, 1), (4, 0), (5, 0), (90, 0)] {
            news.extend(headcount.take(agents, minutes(minute)));
        }
        let emptied = Emptied {
            since: minutes(4),
            agents_before: 120,
        };
        assert_eq!(news, [News::Emptied(emptied)]);
        assert_eq!(headcount.emptied(), Some(emptied));
        assert_eq!(headcount.take(7, minutes(100)), Some(News::Filled(7)));
        assert_eq!(headcount.emptied(), None);
    }

    #[test]
    fn an_account_that_never_had_agents_reports_nothing() {
        let (mut headcount, minutes) = (Headcount::default(), moments());
        for minute in 0..200 {
            assert_eq!(headcount.take(0, minutes(minute)), None);
        }
        assert_eq!(headcount.emptied(), None);
    }

    #[test]
    fn lists_that_empty_and_refill_are_reported_once_an_hour() {
        let (mut headcount, minutes) = (Headcount::default(), moments());
        let mut news = Vec::new();
        for minute in 0..180 {
            news.extend(headcount.take(if minute % 2 == 0 { 50 } else { 0 }, minutes(minute)));
            assert_eq!(headcount.emptied().is_some(), minute % 2 == 1);
        }
        assert!(news.len() <= 6, "{news:?}");
        assert!(headcount.recent.len() <= 61);
    }
}
