//! Reads the history for pages, on threads that may wait for a disk. Each read has a deadline, and few run at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Moment,
    decision::board::QueueKey,
    server::state::{
        app::App,
        pool::{Pool, Undone},
    },
    state::history::{Bucket, History, HistoryError, Limit, Range},
};

/// The reads that run at once. One of them may try another rule, which takes long; the other stays free for other pages.
const THREADS: usize = 2;

/// The reads that may wait. Each takes at most a second, so the last one waits about as long as [`MAX_WAIT`].
const MAX_WAITING: usize = 8;

/// The rules that may be tried at once, so that a thread stays free.
const MAX_TRIALS: usize = 1;

/// The deadline of one read. A week of a busy queue takes some tenths of a second.
const MAX_READ: Duration = Duration::from_secs(1);

/// The longest wait for a read: longer than the four reads before it take.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How long sparklines are reused, for all viewers: one pixel is a minute.
const SPARKLINES_LIVE: Duration = Duration::from_secs(30);

/// A sparkline shows an hour, minute by minute.
const SPARKLINE: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(60));

/// The pattern of the week uses this many weeks, as far as they are recorded: enough to tell a habit from a bad day.
const WEEKS: i64 = 4;

/// The length of a part of a pattern. Offsets of time zones are multiples of it.
const QUARTER: Duration = Duration::from_secs(900);

/// How long a pattern is reused: a quarter of an hour changes little, and reading one takes as long as a page of several weeks.
const PATTERN_LIVES: Duration = Duration::from_secs(600);

/// How many patterns are kept: as many as pages.
const MAX_PATTERNS: usize = 64;

/// The seats of a queue over the last weeks, by quarters of an hour.
pub(super) type Pattern = Vec<Bucket>;

/// Patterns, and when they were read.
type Patterns = HashMap<QueueKey, (Moment, Arc<Look<Pattern>>)>;

/// Seats in the last hour by queue, minute by minute; `None` if unknown.
pub(super) type Sparklines = HashMap<QueueKey, Vec<Option<f64>>>;

/// The reading threads. An app hands them to the next one.
#[derive(Debug)]
struct Readers {
    pool: Pool,
    trials: Arc<Semaphore>,
}

/// Reads the history for pages, and keeps the last sparklines. See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct HistoryReader {
    readers: Arc<Readers>,
    /// The last sparklines and when they were read. Pages wait while they are being read.
    sparklines: Mutex<Option<(Moment, Arc<Sparklines>)>>,
    patterns: Mutex<Patterns>,
}

impl HistoryReader {
    pub(in crate::server) fn new() -> Self {
        Self {
            readers: Arc::new(Readers {
                pool: Pool::new("history", THREADS, MAX_WAITING),
                trials: Arc::new(Semaphore::new(MAX_TRIALS)),
            }),
            sparklines: Mutex::default(),
            patterns: Mutex::default(),
        }
    }

    /// Creates the reader of the next app: the same threads, but no sparklines, since its queues may differ.
    pub(in crate::server) fn successor(&self) -> Self {
        Self {
            readers: Arc::clone(&self.readers),
            sparklines: Mutex::default(),
            patterns: Mutex::default(),
        }
    }

    /// Returns how many reads are running.
    #[cfg(test)]
    pub(in crate::server) fn at_work(&self) -> usize {
        self.readers.pool.at_work()
    }

    /// Returns whether sparklines were read, or would have been if there were a history.
    #[cfg(test)]
    pub(in crate::server) fn has_sparklines(&self) -> bool {
        self.sparklines.try_lock().is_ok_and(|last| last.is_some())
    }

    /// Makes thread starts fail.
    #[cfg(test)]
    pub(in crate::server) fn starve(&self) {
        let starves = &self.readers.pool.starves;
        starves.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Waits until this request may try another rule.
    pub(super) async fn trial(&self) -> Result<OwnedSemaphorePermit, Undone> {
        let trial = Arc::clone(&self.readers.trials).acquire_owned();
        let trial = tokio::time::timeout(MAX_WAIT, trial).await;
        // The semaphore is never closed.
        trial
            .ok()
            .and_then(Result::ok)
            .ok_or(Undone::Late(MAX_WAIT))
    }
}

/// The result of a read.
#[derive(Debug)]
pub(super) enum Look<T> {
    /// What was read.
    Seen(T),
    /// No history is kept.
    NotKept,
    /// Nothing is recorded yet; there is no file.
    NotYet,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// Reads the history for as long as the client waits, and at most for [`MAX_READ`].
///
/// # Errors
/// Too many reads are requested at once.
pub(super) async fn look<T: Send + 'static>(
    app: &App,
    reader: &HistoryReader,
    read: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<Look<T>, Undone> {
    let Some(history) = app.history().cloned() else {
        return Ok(Look::NotKept);
    };
    let clock = Arc::clone(&app.clock);
    let work = move |gone| read(&history.within(Limit::new(clock, MAX_READ, gone)));
    Ok(match reader.readers.pool.run(MAX_WAIT, work).await? {
        Ok(seen) => Look::Seen(seen),
        Err(HistoryError::NotYet) => Look::NotYet,
        Err(error) => Look::Unreadable(error.to_string()),
    })
}

/// Returns the seats of all queues in the last hour; empty if nothing can be read.
pub(super) async fn sparklines(app: &App, reader: &HistoryReader) -> Arc<Sparklines> {
    let mut last = reader.sparklines.lock().await;
    let now = app.clock.now();
    if let Some((at, sparklines)) = &*last
        && now.longest_since(*at) < SPARKLINES_LIVE
    {
        return Arc::clone(sparklines);
    }
    let keys = app.board.keys().to_vec();
    let sparklines = match look(app, reader, move |history| {
        read_sparklines(history, keys, now)
    })
    .await
    {
        Ok(Look::Seen(sparklines)) => Arc::new(sparklines),
        // Cards are shown without them.
        _ => Arc::default(),
    };
    *last = Some((now, Arc::clone(&sparklines)));
    sparklines
}

fn read_sparklines(
    history: &History,
    keys: Vec<QueueKey>,
    now: Moment,
) -> Result<Sparklines, HistoryError> {
    let (length, bucket) = SPARKLINE;
    let now = now.timestamp();
    let range = Range::new(earlier(now, length), now, bucket)?;
    let sparkline = |key: QueueKey| {
        let buckets = history.series(&key, range)?;
        let means = buckets
            .iter()
            .map(|bucket| bucket.seats.map(|[_, mean, _]| mean));
        let means = means.collect();
        Ok((key, means))
    };
    keys.into_iter().map(sparkline).collect()
}

/// The seats of a queue over the last weeks. A pattern that was read recently is reused.
///
/// # Errors
/// Too many reads are requested at once.
pub(super) async fn pattern(
    app: &App,
    reader: &HistoryReader,
    key: &QueueKey,
) -> Result<Arc<Look<Pattern>>, Undone> {
    let now = app.clock.now();
    let lives = |at: Moment| now.longest_since(at) < PATTERN_LIVES;
    let known = reader.patterns.lock().await.get(key).cloned();
    if let Some((_, pattern)) = known.filter(|(at, _)| lives(*at)) {
        return Ok(pattern);
    }
    let queue = key.clone();
    let read = look(app, reader, move |history| {
        read_pattern(history, &queue, now)
    });
    let pattern = Arc::new(read.await?);
    // As long as there is no file, each page looks again.
    if matches!(*pattern, Look::Seen(_)) {
        let mut patterns = reader.patterns.lock().await;
        if patterns.len() >= MAX_PATTERNS {
            patterns.retain(|_, (at, _)| lives(*at));
        }
        if patterns.len() < MAX_PATTERNS {
            patterns.insert(key.clone(), (now, Arc::clone(&pattern)));
        }
    }
    Ok(pattern)
}

/// Reads week by week, newest first, until the time for a read is up.
fn read_pattern(history: &History, key: &QueueKey, now: Moment) -> Result<Pattern, HistoryError> {
    let week = Duration::from_secs(7 * 86_400);
    let quarter_ms = QUARTER.as_millis() as i64;
    let now_ms = now.timestamp().as_millisecond();
    let mut to = Timestamp::from_millisecond(now_ms - now_ms.rem_euclid(quarter_ms))
        .unwrap_or(Timestamp::MIN);
    let mut pattern = Vec::new();
    for n in 0..WEEKS {
        let from = earlier(to, week);
        match history.series(key, Range::new(from, to, QUARTER)?) {
            Ok(buckets) => {
                let known = buckets.into_iter().filter(|bucket| bucket.seats.is_some());
                let before = pattern.len();
                pattern.extend(known);
                if pattern.len() == before {
                    break;
                }
            }
            // The newest weeks alone make a pattern, too.
            Err(HistoryError::TooLong(_)) if n > 0 => break,
            Err(error) => return Err(error),
        }
        to = from;
    }
    Ok(pattern)
}

fn earlier(than: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millisecond(than.as_millisecond() - by.as_millis() as i64)
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rules_are_tried_one_at_a_time_and_every_wait_ends() {
        let history = HistoryReader::new();
        let trial = history.trial().await.expect("no trial runs");
        let late = history.trial().await;
        assert!(matches!(late, Err(Undone::Late(MAX_WAIT))), "{late:?}");
        drop(trial);
        assert!(history.trial().await.is_ok());
    }
}
