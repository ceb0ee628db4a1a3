//! Checks rows of other lists against what the last readings of the filtered lists showed.
//!
//! The rows are compared with the readings themselves, not with the roster: the roster also has rows of other lists, which are older, and may lack
//! agents. An agent may cross the edge of a page while the list is read, so one reading may omit anyone. Two readings that omit the same agent are
//! wrong, unless the row comes from a copy of CallTools' data that lags; so they must be further apart than copies usually lag.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{doubt::Doubt, misses::Misses};
use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// Changes that are this much older than the newest on a list must be on it, however the servers' clocks differ. Two readings that are this far apart
/// do not omit the same agent by accident, because copies of CallTools' data lag by less.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);

/// A complete reading.
#[derive(Debug)]
pub(super) struct Listed {
    /// When its first page was requested.
    pub as_of: Moment,
    /// The third newest date on its first page, because single ones may be wrong, or of an earlier reading. Later pages may show what happened after an
    /// agent's page was read.
    pub high: Timestamp,
    /// The agents on it, and since when each has been available.
    pub agents: HashMap<AgentId, Option<Timestamp>>,
}

impl Listed {
    fn has(&self, row: &Agent) -> bool {
        self.agents.contains_key(&row.id)
    }

    /// Returns whether it shows an agent as available who no longer was since this date. The row with that date may come from a copy that lags: then
    /// the agent may have come again since.
    fn has_in_spite_of(&self, row: &Agent, date: Timestamp) -> bool {
        let listed = self.agents.get(&row.id);
        listed.is_some_and(|since| since.is_none_or(|since| since <= date))
    }

    /// Returns whether a change with this date must be on it.
    fn must_show(&self, date: Timestamp) -> bool {
        date <= self.high - SETTLED
    }

    fn is_long_before(&self, as_of: Moment) -> bool {
        as_of.longest_since(self.as_of) >= SETTLED.unsigned_abs()
    }
}

/// The readings that rows are compared with.
#[derive(Debug, Default)]
pub(super) struct LastListed {
    newest: Option<Arc<Listed>>,
    /// A reading long before the newest one, …
    earlier: Option<Arc<Listed>>,
    /// … and the one that will replace it.
    between: Option<Arc<Listed>>,
    misses: Misses,
}

impl LastListed {
    /// Returns the newest date so far.
    pub fn high(&self) -> Option<Timestamp> {
        self.newest.as_ref().map(|newest| newest.high)
    }

    /// Adds a complete reading.
    pub fn add(&mut self, reading: Listed) {
        let reading = Arc::new(reading);
        let is_time = |between: &Arc<Listed>| between.is_long_before(reading.as_of);
        if self.between.as_ref().is_none_or(is_time) {
            self.earlier = self.between.replace(Arc::clone(&reading));
        }
        self.newest = Some(reading);
    }

    /// Compares rows that were requested at `as_of`.
    pub fn compare(&mut self, rows: &[Agent], as_of: Moment) -> Option<Doubt> {
        let newest = self.newest.as_ref()?;
        if newest.as_of.boot > as_of.boot {
            return None; // The answers arrived in the other order.
        }
        let (mut compared, mut missed) = (0, 0);
        for row in rows {
            let (Some(is_available), Some(date)) = (row.available, row.status_since) else {
                continue;
            };
            let is_missed = match (is_available, &self.earlier) {
                (true, Some(earlier)) if earlier.must_show(date) => {
                    !earlier.has(row) && !newest.has(row)
                }
                (false, _) if newest.must_show(date) => newest.has_in_spite_of(row, date),
                _ => continue,
            };
            compared += 1;
            missed += u32::from(is_missed);
        }
        self.misses.add(compared, missed).then_some(Doubt::Missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent, at, date};

    /// Agents with this status since before the first reading.
    fn rows(names: std::ops::Range<usize>, status: &str) -> Vec<Agent> {
        let row = |n| Agent {
            status_since: Some(date(-300)),
            ..agent(&format!("a{n}"), "", status)
        };
        names.map(row).collect()
    }

    /// A reading without these of thirty agents.
    fn reading(seconds: u64, without: std::ops::Range<usize>) -> Listed {
        let mut agents: HashMap<_, _> = rows(0..30, "Available")
            .into_iter()
            .map(|row| (row.id, row.status_since))
            .collect();
        agents.retain(|id, _| {
            !rows(without.clone(), "Available")
                .iter()
                .any(|row| row.id == *id)
        });
        Listed {
            as_of: at(seconds),
            high: date(seconds as i64),
            agents,
        }
    }

    fn read(readings: impl IntoIterator<Item = Listed>) -> LastListed {
        let mut last = LastListed::default();
        readings.into_iter().for_each(|reading| last.add(reading));
        last
    }

    #[test]
    fn agents_who_are_omitted_twice_end_its_trust() {
        let mut last = read([reading(0, 0..3), reading(40, 0..3)]);
        assert_eq!(last.compare(&rows(3..30, "Available"), at(41)), None);
        let missed = last.compare(&rows(0..3, "Available"), at(41));
        assert_eq!(missed, Some(Doubt::Missed));
    }

    #[test]
    fn agents_who_crossed_the_edge_of_a_page_are_no_misses() {
        // Each reading omits others.
        let mut last = read([reading(0, 0..3), reading(40, 3..6)]);
        for n in 0..10 {
            assert_eq!(last.compare(&rows(0..30, "Available"), at(41)), None, "{n}");
            last.add(reading(80 + 40 * n, 3 * n as usize..3 * n as usize + 3));
        }
    }

    #[test]
    fn a_copy_that_lags_by_some_readings_shows_no_misses() {
        // Three agents left after half a minute. A poll still shows them, but the list is right.
        let left = |n: u64| if n < 7 { 0..0 } else { 0..3 };
        let mut last = read((0..12).map(|n| reading(5 * n, left(n))));
        assert_eq!(last.compare(&rows(0..30, "Available"), at(56)), None);
        last = read((0..30).map(|n| reading(5 * n, left(n))));
        let missed = last.compare(&rows(0..30, "Available"), at(146));
        assert_eq!(missed, Some(Doubt::Missed), "no copy lags that long");
    }

    #[test]
    fn agents_who_left_long_ago_are_not_on_it() {
        let mut last = read([reading(0, 0..0)]);
        assert_eq!(last.compare(&rows(30..60, "On a Call"), at(1)), None);
        let missed = last.compare(&rows(0..3, "On a Call"), at(1));
        assert_eq!(missed, Some(Doubt::Missed));
    }

    #[test]
    fn a_poll_from_a_copy_that_lags_shows_no_misses() {
        // They had left, and have come again since.
        let mut again = reading(40, 0..0);
        let rows = rows(0..3, "On a Call");
        for row in &rows {
            again.agents.insert(row.id.clone(), Some(date(30)));
        }
        assert_eq!(read([again]).compare(&rows, at(41)), None);
    }

    #[test]
    fn what_changed_meanwhile_is_not_compared() {
        let mut last = read([reading(0, 0..3), reading(40, 0..3)]);
        let lately = |mut rows: Vec<Agent>, seconds| {
            rows.iter_mut()
                .for_each(|row| row.status_since = Some(date(seconds)));
            rows
        };
        // They came after the first of both readings, or left after the second.
        let came = lately(rows(0..3, "Available"), -20);
        let went = lately(rows(3..30, "On a Call"), 20);
        assert_eq!(last.compare(&came, at(41)), None);
        assert_eq!(last.compare(&went, at(41)), None);
        // A poll that was requested before the last reading, and answered after it.
        assert_eq!(last.compare(&rows(3..30, "On a Call"), at(39)), None);
    }
}
