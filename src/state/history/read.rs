//! Looking back. Reads wait for the disk: not for a task, and never for a decision.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde_json::value::RawValue;

use super::limit::Limit;
use crate::{decision::board::QueueKey, sqlite::rows_codec};

/// As many buckets as a wide screen has columns.
pub const MOST_BUCKETS: u64 = 2_000;

/// As many rows as a week of one queue has.
const MOST_SAMPLES: u32 = 50_000;

/// A sample is true until the next one, if that comes before two of its queue's looks have been missed; after that nobody knows.
pub const HOLDS_MS: i64 = 600_000;

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite's word.
    #[error("the history cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The range makes no sense.
    #[error(
        "a range ends after it begins, and has 1 to {MOST_BUCKETS} buckets of a second or more"
    )]
    Range,
    /// The [`Limit`] is reached.
    #[error("reading it took longer than {} s and was stopped", .0.as_secs_f64())]
    TooLong(Duration),
    /// The client has gone.
    #[error("nobody waits for it any more")]
    Abandoned,
}

/// A time to look at, in equal parts.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    from_ms: i64,
    to_ms: i64,
    bucket_ms: i64,
}

impl Range {
    /// From a moment on until before another.
    ///
    /// # Errors
    /// [`HistoryError::Range`], where it is empty or has too many parts.
    pub fn new(from: Timestamp, to: Timestamp, bucket: Duration) -> Result<Self, HistoryError> {
        let range = Self {
            from_ms: from.as_millisecond(),
            to_ms: to.as_millisecond(),
            bucket_ms: i64::try_from(bucket.as_millis()).map_err(|_| HistoryError::Range)?,
        };
        let makes_sense = range.bucket_ms >= 1_000
            && range.from_ms < range.to_ms
            && range.len() <= MOST_BUCKETS as usize;
        makes_sense.then_some(range).ok_or(HistoryError::Range)
    }

    fn len(self) -> usize {
        self.to_ms
            .abs_diff(self.from_ms)
            .div_ceil(self.bucket_ms.unsigned_abs()) as usize
    }

    fn start_ms(self, bucket: usize) -> i64 {
        self.from_ms + bucket as i64 * self.bucket_ms
    }

    fn bucket_of(self, at_ms: i64) -> usize {
        ((at_ms - self.from_ms) / self.bucket_ms) as usize
    }
}

/// What was known of a queue at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was known.
    pub at: Timestamp,
    /// When CallTools said it.
    pub as_of: Timestamp,
    /// What the queue's criteria counted; `None`: unknown.
    pub seats: Option<f64>,
    /// Agents by status.
    pub agents: BTreeMap<String, u32>,
}

/// What was known of a queue in a part of a range. Means are over the time in which something was known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// Its beginning.
    pub from: Timestamp,
    /// For how much of it the seats were known.
    pub known: Duration,
    /// The least, mean and most seats; `None` where they were never known.
    pub seats: Option<[f64; 3]>,
    /// The mean number of agents by status.
    pub agents: BTreeMap<String, f64>,
}

/// A queue's rows at a moment.
#[derive(Clone, Debug)]
pub struct Rows {
    /// When they were known.
    pub at: Timestamp,
    /// As CallTools sent them, a row for each agent.
    pub rows: Vec<Box<RawValue>>,
}

/// Decisions of a kind in a part of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its beginning.
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
    /// Nothing is opened until something is asked.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            limit: None,
        }
    }

    /// The same history, whose readings stop at the limit.
    pub fn within(&self, limit: Limit) -> Self {
        Self {
            path: self.path.clone(),
            limit: Some(limit),
        }
    }

    /// Whether there is time to go on. Readings check it between two rows; work on what was read should check it, too.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn go_on(&self) -> Result<(), HistoryError> {
        self.limit.as_ref().map_or(Ok(()), Limit::check)
    }

    /// Seats and agents over time, a bucket for each part of the range.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    pub fn series(&self, key: &QueueKey, range: Range) -> Result<Vec<Bucket>, HistoryError> {
        let samples = self.between(key, range.from_ms - HOLDS_MS, range.to_ms)?;
        Ok(Series::over(range, &samples))
    }

    /// Decisions over time, by result and reason; none where none were given.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
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

    /// Everything that was known of a queue in a time, in order: what another threshold would have answered follows from the seats.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    pub fn samples(
        &self,
        key: &QueueKey,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Sample>, HistoryError> {
        self.between(key, from.as_millisecond(), to.as_millisecond())
    }

    /// The last changes of a queue's seats, newest first.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    pub fn changes(&self, key: &QueueKey, most: u32) -> Result<Vec<Sample>, HistoryError> {
        let connection = self.open()?;
        let Some(queue) = queue(&connection, key)? else {
            return Ok(Vec::new());
        };
        let names = statuses(&connection)?;
        // Backwards, so that the newest few are found without reading the rest.
        let mut statement = connection.prepare(
            "SELECT at_ms, as_of_ms, seats, agents FROM sample WHERE queue = ?1 ORDER BY at_ms DESC",
        )?;
        let mut rows = statement.query(params![queue])?;
        let (mut changes, mut later) = (Vec::new(), None::<Raw>);
        while changes.len() < most as usize
            && let Some(row) = rows.next()?
        {
            self.go_on()?;
            let raw = Raw::of(row)?;
            let seats = raw.seats;
            if let Some(later) = later.replace(raw)
                && later.seats != seats
            {
                changes.push(later.named(&names));
            }
        }
        // Before the first one nothing was known.
        let first = later.filter(|_| changes.len() < most as usize);
        changes.extend(first.map(|first| first.named(&names)));
        Ok(changes)
    }

    /// A queue's rows, in order of time: what other criteria would have answered follows from them.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
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
                MOST_SAMPLES
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

    fn between(
        &self,
        key: &QueueKey,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Sample>, HistoryError> {
        self.select(
            key,
            "SELECT at_ms, as_of_ms, seats, agents FROM sample WHERE queue = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms LIMIT ?4",
            [from_ms, to_ms, i64::from(MOST_SAMPLES)],
        )
    }

    fn select(
        &self,
        key: &QueueKey,
        sql: &str,
        [first, second, most]: [i64; 3],
    ) -> Result<Vec<Sample>, HistoryError> {
        let connection = self.open()?;
        let Some(queue) = queue(&connection, key)? else {
            return Ok(Vec::new());
        };
        let names = statuses(&connection)?;
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query(params![queue, first, second, most])?;
        let mut samples = Vec::new();
        while let Some(row) = rows.next()? {
            self.go_on()?;
            samples.push(Raw::of(row)?.named(&names));
        }
        Ok(samples)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(1))?;
        Ok(connection)
    }
}

/// A sample as it is stored.
struct Raw {
    at_ms: i64,
    as_of_ms: i64,
    seats: Option<f64>,
    /// JSON: counts by the numbers of statuses.
    agents: String,
}

impl Raw {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
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

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// Buckets in the making: sums of values times milliseconds.
struct Series {
    range: Range,
    buckets: Vec<Bucket>,
    seats_ms: Vec<(f64, i64)>,
    all_ms: Vec<i64>,
}

impl Series {
    fn over(range: Range, samples: &[Sample]) -> Vec<Bucket> {
        let bucket = |n| Bucket {
            from: timestamp(range.start_ms(n)),
            ..Bucket::default()
        };
        let mut series = Self {
            range,
            buckets: (0..range.len()).map(bucket).collect(),
            seats_ms: vec![(0.0, 0); range.len()],
            all_ms: vec![0; range.len()],
        };
        let ends = samples.iter().skip(1).map(|next| next.at.as_millisecond());
        for (sample, next) in samples.iter().zip(ends.chain([i64::MAX])) {
            let from = sample.at.as_millisecond();
            series.hold(
                sample,
                from.max(range.from_ms),
                next.min(from + HOLDS_MS).min(range.to_ms),
            );
        }
        series.finish()
    }

    /// A sample was true from here to there.
    fn hold(&mut self, sample: &Sample, mut from_ms: i64, to_ms: i64) {
        while from_ms < to_ms {
            let n = self.range.bucket_of(from_ms);
            let end = to_ms.min(self.range.start_ms(n + 1));
            self.add(n, sample, end - from_ms);
            from_ms = end;
        }
    }

    fn add(&mut self, n: usize, sample: &Sample, ms: i64) {
        let bucket = &mut self.buckets[n];
        self.all_ms[n] += ms;
        for (status, count) in &sample.agents {
            *bucket.agents.entry(status.clone()).or_default() += f64::from(*count) * ms as f64;
        }
        let Some(seats) = sample.seats else { return };
        let [least, _, most] = bucket.seats.unwrap_or([seats; 3]);
        bucket.seats = Some([least.min(seats), 0.0, most.max(seats)]);
        bucket.known += Duration::from_millis(ms.max(0) as u64);
        self.seats_ms[n].0 += seats * ms as f64;
        self.seats_ms[n].1 += ms;
    }

    fn finish(mut self) -> Vec<Bucket> {
        let sums = self.seats_ms.iter().zip(&self.all_ms);
        for (bucket, ((seats, seats_ms), all_ms)) in self.buckets.iter_mut().zip(sums) {
            if let Some([_, mean, _]) = &mut bucket.seats {
                *mean = seats / *seats_ms as f64;
            }
            bucket
                .agents
                .values_mut()
                .for_each(|sum| *sum /= *all_ms as f64);
        }
        self.buckets
    }
}
