//! Pages joined into a list: every entry once, the unreadable ones counted. Pure.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
};

use serde_json::value::RawValue;

use super::{
    AgentId, Down, Fault, Subscription,
    field::BadRow,
    row::{Row, settle_queue_logins},
};
use crate::names::{NamedQueue, Names, Status};

/// Of this many rows one may be unreadable. A single odd row should not take a whole queue down, but an API that has changed
/// must not read as "no agents"; so a list of up to nine rows has to be readable whole, and from there on nine rows in ten.
const ROWS_PER_BAD_ROW: usize = 10;

/// What a list is a list of.
pub(super) trait Entry: Sized {
    /// What tells one entry from another.
    type Key: Eq + Hash;

    /// Reads a row; `names` is what is known of the account so far.
    fn read(raw: Box<RawValue>, names: &Names) -> Result<Self, BadRow>;

    /// The key of this entry.
    fn key(&self) -> Self::Key;

    /// Whether this is provably how things were before `other`.
    fn is_older_than(&self, _other: &Self) -> bool {
        false
    }

    /// Settles what no entry can say by itself, once all of them are there.
    fn settle(_entries: &mut [Self]) -> Result<(), BadRow> {
        Ok(())
    }
}

impl Entry for Row {
    type Key = AgentId;

    fn read(raw: Box<RawValue>, names: &Names) -> Result<Self, BadRow> {
        Row::read(raw, names)
    }

    fn key(&self) -> AgentId {
        self.agent.id.clone()
    }

    fn is_older_than(&self, other: &Self) -> bool {
        self.agent.is_older_than(&other.agent)
    }

    fn settle(rows: &mut [Self]) -> Result<(), BadRow> {
        settle_queue_logins(rows)
    }
}

impl Entry for NamedQueue {
    type Key = u64;

    fn read(raw: Box<RawValue>, _: &Names) -> Result<Self, BadRow> {
        NamedQueue::from_row(raw)
    }

    fn key(&self) -> u64 {
        self.id
    }
}

impl Entry for Status {
    type Key = u64;

    fn read(raw: Box<RawValue>, _: &Names) -> Result<Self, BadRow> {
        Status::from_row(raw)
    }

    fn key(&self) -> u64 {
        self.id
    }
}

impl Entry for Subscription {
    type Key = Box<str>;

    fn read(raw: Box<RawValue>, _: &Names) -> Result<Self, BadRow> {
        Subscription::from_row(&raw)
    }

    fn key(&self) -> Box<str> {
        self.id.clone()
    }
}

/// All pages of a list.
#[derive(Debug)]
pub(super) struct List<T> {
    /// Each entry once, in the order of its first showing.
    pub entries: Vec<T>,
    /// Rows that could not be read.
    pub skipped: usize,
    /// How many rows CallTools counts; `None` where it did not say.
    pub count: Option<u64>,
}

impl<T: Entry> List<T> {
    /// Joins the rows of all pages. An entry that shows twice has moved between pages while they were read: it is kept once,
    /// in its first place, as it was last seen. Where the two have dates, the later date counts: pages can come from copies of
    /// CallTools' data of which one lags.
    ///
    /// # Errors
    /// [`Down::UnexpectedShape`], where more rows are unreadable than can be an accident.
    pub fn join(
        rows: Vec<Box<RawValue>>,
        count: Option<u64>,
        names: &Names,
    ) -> Result<Self, Fault> {
        let total = rows.len();
        let mut places = HashMap::with_capacity(total);
        let mut list = Self {
            entries: Vec::with_capacity(total),
            skipped: 0,
            count,
        };
        let mut problem = None;
        for raw in rows {
            match T::read(raw, names) {
                Ok(entry) => list.keep(entry, &mut places),
                Err(bad) => {
                    list.skipped += 1;
                    problem.get_or_insert(bad);
                }
            }
        }
        match problem {
            Some(problem) if list.skipped * ROWS_PER_BAD_ROW > total => {
                Err(unreadable(list.skipped, total, problem))
            }
            _ => match T::settle(&mut list.entries) {
                Err(problem) => Err(unreadable(total, total, problem)),
                Ok(()) => Ok(list),
            },
        }
    }

    fn keep(&mut self, entry: T, places: &mut HashMap<T::Key, usize>) {
        match places.entry(entry.key()) {
            hash_map::Entry::Occupied(place) => {
                let known = &mut self.entries[*place.get()];
                if !entry.is_older_than(known) {
                    *known = entry;
                }
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// Whether CallTools counts as many rows as there are. Unreadable ones were there too.
    pub fn fits_its_count(&self) -> bool {
        let seen = (self.entries.len() + self.skipped) as u64;
        self.count.is_none_or(|count| count == seen)
    }

    /// Whether every row is here that should be.
    pub fn is_complete(&self) -> bool {
        self.skipped == 0 && self.fits_its_count()
    }
}

fn unreadable(skipped: usize, total: usize, problem: BadRow) -> Fault {
    Fault::down(
        Down::UnexpectedShape,
        format!("{skipped} of {total} rows cannot be read: {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(id: u64, name: &str) -> Box<RawValue> {
        RawValue::from_string(format!(r#"{{"id":{id},"name":"{name}"}}"#)).unwrap()
    }

    fn bad() -> Box<RawValue> {
        RawValue::from_string(r#"{"name":"nobody"}"#.to_owned()).unwrap()
    }

    fn join(rows: Vec<Box<RawValue>>, count: Option<u64>) -> Result<List<NamedQueue>, Fault> {
        List::join(rows, count, &Names::default())
    }

    #[test]
    fn an_entry_that_shows_twice_is_kept_once_as_last_seen() {
        let rows = vec![raw(1, "a"), raw(2, "b"), raw(1, "c"), raw(3, "d")];
        let list = join(rows, Some(3)).unwrap();
        let seen: Vec<_> = list
            .entries
            .iter()
            .map(|queue| (queue.id, &*queue.name))
            .collect();
        assert_eq!(seen, [(1, "c"), (2, "b"), (3, "d")]);
        assert!(list.is_complete());
    }

    #[test]
    fn of_two_rows_of_one_agent_the_later_date_counts_and_without_dates_the_later_row() {
        let row = |status: &str, date: &str| {
            let row = format!(
                r#"{{"app_user":1,"status":"{status}","queue_logged_in":true,"agent_status_modified_on":{date}}}"#
            );
            RawValue::from_string(row).unwrap()
        };
        let (early, late) = (r#""2026-11-22T10:00:00Z""#, r#""2026-11-22 10:00:30""#);
        for (first, second, status) in [
            (early, late, "second"),
            (late, early, "first"),
            (late, late, "second"),
            (late, "null", "second"),
            ("null", early, "second"),
        ] {
            let rows = vec![row("first", first), row("second", second)];
            let list: List<Row> = List::join(rows, Some(1), &Names::default()).unwrap();
            let seen: Vec<_> = list
                .entries
                .iter()
                .map(|row| row.agent.status.as_deref())
                .collect();
            assert_eq!(seen, [Some(status)], "{first} {second}");
        }
    }

    #[test]
    fn a_list_in_which_no_row_tells_of_any_log_in_is_not_read_as_nobody() {
        let row = |id: u64| {
            RawValue::from_string(format!(r#"{{"app_user":{id},"status":"Available"}}"#)).unwrap()
        };
        let list: Result<List<Row>, Fault> =
            List::join(vec![row(1), row(2)], None, &Names::default());
        let fault = list.unwrap_err().to_string();
        assert!(fault.starts_with("2 of 2 rows cannot be read"), "{fault}");
    }

    #[test]
    fn a_count_fits_or_does_not() {
        let rows = || vec![raw(1, "a"), raw(2, "b"), raw(1, "a")];
        for (count, fits) in [
            (None, true),
            (Some(2), true),
            (Some(3), false),
            (Some(1), false),
        ] {
            assert_eq!(
                join(rows(), count).unwrap().is_complete(),
                fits,
                "{count:?}"
            );
        }
        assert!(join(vec![], Some(0)).unwrap().is_complete());
        assert!(!join(vec![], Some(1)).unwrap().is_complete());
    }

    #[test]
    fn one_row_in_ten_may_be_bad_and_is_not_forgotten() {
        let rows = |good: u64, bads: usize| {
            let mut rows: Vec<_> = (0..good).map(|id| raw(id, "q")).collect();
            rows.extend((0..bads).map(|_| bad()));
            rows
        };
        for (good, bads, readable) in [
            (9, 1, true),
            (8, 1, false),
            (0, 1, false),
            (18, 2, true),
            (18, 3, false),
        ] {
            let list = join(rows(good, bads), Some(good + bads as u64));
            assert_eq!(list.is_ok(), readable, "{good} good, {bads} bad");
            if let Ok(list) = list {
                assert!(list.fits_its_count() && !list.is_complete());
                assert_eq!(list.skipped, bads);
            }
        }
        let fault = join(rows(0, 2), None).unwrap_err().to_string();
        assert_eq!(fault, "2 of 2 rows cannot be read: an entry has no id");
    }
}
