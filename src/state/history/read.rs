//! Reads the history. A read waits for the disk, so it must run neither in a task nor for a decision.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::value::RawValue;

use super::{
    limit::{HistoryError, Limit},
    presence::{Attendance, Counting},
    series::{Bucket, HOLDS_MS, Range, Sample, Series, timestamp},
};
use crate::{
    decision::board::QueueKey,
    sqlite::{open_to_read, rows_codec},
};

/// The most rows per read: a week of one queue.
const MAX_SAMPLES: u32 = 50_000;

/// The most rows that the last changes are searched in: two weeks of a queue whose seats never change, or a day of one whose agents change all the
/// time. They are read within a tenth of a second, even from a slow disk.
const MAX_SEARCHED: usize = 5_000;

/// A queue's rows at a moment.
#[derive(Clone, Debug)]
pub struct Rows {
    /// When they were current.
    pub at: Timestamp,
    /// One row per agent, as CallTools sent them.
    pub rows: Vec<Box<RawValue>>,
}

/// Decisions of one kind in a part of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// When the part begins.
    pub from: Timestamp,
    /// `accept` or `reject`.
    pub result: String,
    /// As in a decision.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// The history in a file that a daemon writes.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
    limit: Option<Limit>,
}

impl History {
    /// Creates the history at this path. Each read opens the file.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            limit: None,
        }
    }

    /// Returns the same history with a limit for its reads.
    pub fn within(&self, limit: Limit) -> Self {
        Self {
            path: self.path.clone(),
            limit: Some(limit),
        }
    }

    /// Checks the limit. Reads check it between two rows; work on their results should, too.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn go_on(&self) -> Result<(), HistoryError> {
        self.limit.as_ref().map_or(Ok(()), Limit::check)
    }

    /// Returns seats and agents over time, a bucket for each part of the range.
    ///
    /// # Errors
    /// Nothing has been recorded yet, or the file cannot be read.
    pub fn series(&self, key: &QueueKey, range: Range) -> Result<Vec<Bucket>, HistoryError> {
        let samples = self.between(key, range.from_ms - HOLDS_MS, range.to_ms)?;
        Ok(Series::over(range, &samples))
    }

    /// Returns decisions over time, by result and reason. Parts without decisions are absent.
    ///
    /// # Errors
    /// Nothing has been recorded yet, or the file cannot be read.
    pub fn decisions(&self, key: &QueueKey, range: Range) -> Result<Vec<Decided>, HistoryError> {
        let connection = self.open()?;
        let Some(queue) = queue(&connection, key)? else {
            return Ok(Vec::new());
        };
        let mut statement = connection.prepare(
            "SELECT (minute_ms - ?2) / ?4 AS bucket, result, reason, sum(count) FROM decided
             WHERE queue = ?1 AND minute_ms >= ?2 AND minute_ms < ?3 GROUP BY bucket, result, reason ORDER BY bucket, result, reason",
        )?;
        let rows = statement.query_map(
            params![queue, range.from_ms, range.to_ms, range.bucket_ms],
            |row| {
                let count: i64 = row.get(3)?;
                Ok(Decided {
                    from: timestamp(range.start_ms(row.get::<_, i64>(0)? as usize)),
                    result: row.get(1)?,
                    reason: row.get(2)?,
                    count: count.max(0) as u64,
                })
            },
        )?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns everything known about a queue between two moments, in order of time. The seats show what another threshold would have answered.
    ///
    /// # Errors
    /// Nothing has been recorded yet, or the file cannot be read.
    pub fn samples(
        &self,
        key: &QueueKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Sample>, HistoryError> {
        self.between(key, from.as_millisecond(), to.as_millisecond())
    }

    /// Returns the last changes of a queue's seats, newest first: those within the newest [`MAX_SEARCHED`] samples, as far as they are found in
    /// time. Under a limit, samples of the future do not count: a wrong clock wrote them, and they would hide all others.
    ///
    /// # Errors
    /// Nothing has been recorded yet, or the file cannot be read.
    pub fn changes(&self, key: &QueueKey, most: u32) -> Result<Vec<Sample>, HistoryError> {
        let connection = self.open()?;
        let Some(queue) = queue(&connection, key)? else {
            return Ok(Vec::new());
        };
        let names = statuses(&connection)?;
        let until_ms = self.limit.as_ref().map_or(i64::MAX, Limit::now_ms);
        // Backwards, so that the newest few are found without reading the rest.
        let mut statement = connection.prepare(
            "SELECT at_ms, as_of_ms, seats, agents FROM sample WHERE queue = ?1 AND at_ms <= ?2 ORDER BY at_ms DESC",
        )?;
        let mut rows = statement.query(params![queue, until_ms])?;
        let (mut changes, mut later) = (Vec::new(), None::<Raw>);
        let mut left = MAX_SEARCHED;
        while changes.len() < most as usize
            && let Some(row) = rows.next()?
        {
            match self.go_on() {
                Ok(()) if left > 0 => left -= 1,
                Ok(()) | Err(HistoryError::TooLong(_)) => return Ok(changes),
                Err(gone) => return Err(gone),
            }
            let raw = Raw::from_row(row)?;
            let seats = raw.seats;
            if let Some(later) = later.replace(raw)
                && later.seats != seats
            {
                changes.push(later.named(&names));
            }
        }
        // Nothing was known before the first sample, so it counts as a change.
        let first = later.filter(|_| changes.len() < most as usize);
        changes.extend(first.map(|first| first.named(&names)));
        Ok(changes)
    }

    /// Returns a queue's rows, in order of time. They show what other criteria would have answered.
    ///
    /// # Errors
    /// Nothing has been recorded yet, or the file cannot be read.
    pub fn rows(
        &self,
        key: &QueueKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Rows>, HistoryError> {
        let connection = self.open()?;
        let Some(queue) = queue(&connection, key)? else {
            return Ok(Vec::new());
        };
        let mut statement = connection.prepare(
            "SELECT at_ms, rows FROM polled WHERE queue = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms LIMIT ?4",
        )?;
        let rows = statement.query_map(
            params![
                queue,
                from.as_millisecond(),
                to.as_millisecond(),
                MAX_SAMPLES
            ],
            |row| Ok((timestamp(row.get(0)?), row.get::<_, Vec<u8>>(1)?)),
        )?;
        let mut unpacked = Vec::new();
        for row in rows {
            self.go_on()?;
            let (at, rows) = row?;
            unpacked.extend(rows_codec::unpack(&rows).ok().map(|rows| Rows { at, rows }));
        }
        Ok(unpacked)
    }

    /// Returns who was logged in to a queue, and what they did.
    ///
    /// # Errors
    /// Nothing has been recorded yet, or the file cannot be read.
    pub fn attendance(&self, key: &QueueKey, range: Range) -> Result<Attendance, HistoryError> {
        let connection = self.open()?;
        let mut counting = Counting::over(range);
        let Some(queue) = queue(&connection, key)? else {
            return Ok(counting.finish(&HashMap::new()));
        };
        let mut statement = connection.prepare(
            "SELECT at_ms, agents FROM present WHERE queue = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms LIMIT ?4",
        )?;
        let from_ms = range.from_ms - HOLDS_MS;
        let mut rows = statement.query(params![queue, from_ms, range.to_ms, MAX_SAMPLES])?;
        while let Some(row) = rows.next()? {
            self.go_on()?;
            let ids: String = row.get(1)?;
            counting.add(row.get(0)?, serde_json::from_str(&ids).unwrap_or_default());
        }
        let mut statement = connection.prepare("SELECT id, name FROM agent WHERE account = ?1")?;
        let names = statement.query_map([&*key.account], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let names = names.collect::<rusqlite::Result<_>>()?;
        Ok(counting.finish(&names))
    }

    fn between(
        &self,
        key: &QueueKey,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Sample>, HistoryError> {
        let connection = self.open()?;
        let Some(queue) = queue(&connection, key)? else {
            return Ok(Vec::new());
        };
        let names = statuses(&connection)?;
        let mut statement = connection.prepare(
            "SELECT at_ms, as_of_ms, seats, agents FROM sample WHERE queue = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms LIMIT ?4",
        )?;
        let mut rows = statement.query(params![queue, from_ms, to_ms, MAX_SAMPLES])?;
        let mut samples = Vec::new();
        while let Some(row) = rows.next()? {
            self.go_on()?;
            samples.push(Raw::from_row(row)?.named(&names));
        }
        Ok(samples)
    }

    fn open(&self) -> Result<Connection, HistoryError> {
        open_to_read(&self.path)?.ok_or(HistoryError::NotYet)
    }
}

/// A sample as it is stored.
struct Raw {
    at_ms: i64,
    as_of_ms: i64,
    seats: Option<f64>,
    /// JSON: counts by the ids of statuses in this file.
    agents: String,
}

impl Raw {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            at_ms: row.get(0)?,
            as_of_ms: row.get(1)?,
            seats: row.get(2)?,
            agents: row.get(3)?,
        })
    }

    fn named(self, names: &HashMap<i64, String>) -> Sample {
        let agents: BTreeMap<i64, u32> = serde_json::from_str(&self.agents).unwrap_or_default();
        let named = agents
            .into_iter()
            .filter_map(|(id, count)| Some((names.get(&id)?.clone(), count)));
        Sample {
            at: timestamp(self.at_ms),
            as_of: timestamp(self.as_of_ms),
            seats: self.seats,
            agents: named.collect(),
        }
    }
}

fn queue(connection: &Connection, key: &QueueKey) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM queue WHERE account = ?1 AND queue = ?2";
    connection
        .query_row(sql, [&*key.account, &*key.queue], |row| row.get(0))
        .optional()
}

fn statuses(connection: &Connection) -> rusqlite::Result<HashMap<i64, String>> {
    let mut statement = connection.prepare("SELECT id, name FROM status")?;
    let names = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    names.collect()
}
