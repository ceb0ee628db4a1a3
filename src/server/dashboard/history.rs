//! Reads the history for pages, on threads that may wait for a disk. Each reading has a deadline, and few run at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use rusqlite::ErrorCode;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Moment,
    decision::board::QueueKey,
    server::state::{
        app::App,
        pool::{Pool, Undone},
    },
    state::history::{
        History, Limit,
        read::{HistoryError, Range},
    },
};

/// How many readings of the history run at once. One of them may try another rule, which takes long; the other stays free for other pages.
const READERS: usize = 2;

/// How many readings may wait. Each takes a second at most, so the last one waits about as long as [`LONGEST_WAIT`].
const LINE: usize = 8;

/// How many rules are tried at once, so that a reader stays free.
const TRIES: usize = 1;

/// The deadline of one reading. A week of a busy queue takes some tenths of a second.
const LONGEST_READ: Duration = Duration::from_secs(1);

/// The longest wait for a reading: more than four readings before it take.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long sparklines are reused, for all viewers: one pixel is a minute.
const SPARKS_LIVE: Duration = Duration::from_secs(30);

/// A sparkline shows an hour, minute by minute.
const SPARK: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(60));

/// Seats of the last hour by queue, minute by minute; `None` where they are unknown.
pub(super) type Sparks = HashMap<QueueKey, Vec<Option<f64>>>;

/// The threads that read. An app passes them on to the next one.
#[derive(Debug)]
struct Readers {
    pool: Pool,
    tries: Arc<Semaphore>,
}

/// See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct Past {
    readers: Arc<Readers>,
    /// The last sparklines and when they were read. Pages wait while they are being read.
    sparks: Mutex<Option<(Moment, Arc<Sparks>)>>,
}

impl Past {
    pub(in crate::server) fn new() -> Self {
        Self {
            readers: Arc::new(Readers {
                pool: Pool::new("history", READERS, LINE),
                tries: Arc::new(Semaphore::new(TRIES)),
            }),
            sparks: Mutex::default(),
        }
    }

    /// For the app that replaces this one: the same threads, and nothing that was read for other queues.
    pub(in crate::server) fn successor(&self) -> Self {
        Self {
            readers: Arc::clone(&self.readers),
            sparks: Mutex::default(),
        }
    }

    /// How many readings run.
    #[cfg(test)]
    pub(in crate::server) fn at_work(&self) -> usize {
        self.readers.pool.at_work()
    }

    /// The system gives it no thread.
    #[cfg(test)]
    pub(in crate::server) fn starve(&self) {
        let starves = &self.readers.pool.starves;
        starves.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Waits for the turn to try another rule.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Undone> {
        let turn = Arc::clone(&self.readers.tries).acquire_owned();
        let turn = tokio::time::timeout(LONGEST_WAIT, turn).await;
        // Nobody closes the semaphore.
        turn.ok()
            .and_then(Result::ok)
            .ok_or(Undone::Late(LONGEST_WAIT))
    }
}

/// The result of a reading.
pub(super) enum Look<T> {
    /// What was read.
    Seen(T),
    /// No history is kept.
    NotKept,
    /// Nothing is recorded yet; there is no file.
    NotYet,
    /// It cannot be read, and why.
    Unreadable(String),
}

/// Reads the history for as long as the client waits, and for [`LONGEST_READ`] at most.
///
/// # Errors
/// Too many readings are requested at once.
pub(super) async fn look<T: Send + 'static>(
    app: &App,
    past: &Past,
    read: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<Look<T>, Undone> {
    let Some(history) = app.history().cloned() else {
        return Ok(Look::NotKept);
    };
    let clock = Arc::clone(&app.clock);
    let work = move |gone| read(&history.within(Limit::new(clock, LONGEST_READ, gone)));
    Ok(match past.readers.pool.run(LONGEST_WAIT, work).await? {
        Ok(seen) => Look::Seen(seen),
        Err(HistoryError::Sqlite(error))
            if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) =>
        {
            Look::NotYet
        }
        Err(error) => Look::Unreadable(error.to_string()),
    })
}

/// The seats of all queues in the last hour; none where nothing can be read.
pub(super) async fn sparks(app: &App, past: &Past) -> Arc<Sparks> {
    let mut known = past.sparks.lock().await;
    let now = app.clock.now();
    if let Some((at, sparks)) = &*known
        && now.longest_since(*at) < SPARKS_LIVE
    {
        return Arc::clone(sparks);
    }
    let keys = app.board.keys().to_vec();
    let sparks = match look(app, past, move |history| read_sparks(history, keys, now)).await {
        Ok(Look::Seen(sparks)) => Arc::new(sparks),
        // Cards are shown without them.
        _ => Arc::default(),
    };
    *known = Some((now, Arc::clone(&sparks)));
    sparks
}

fn read_sparks(
    history: &History,
    keys: Vec<QueueKey>,
    now: Moment,
) -> Result<Sparks, HistoryError> {
    let (length, bucket) = SPARK;
    let now = now.timestamp();
    let range = Range::new(earlier(now, length), now, bucket)?;
    let spark = |key: QueueKey| {
        let buckets = history.series(&key, range)?;
        let means = buckets
            .iter()
            .map(|bucket| bucket.seats.map(|[_, mean, _]| mean));
        let means = means.collect();
        Ok((key, means))
    };
    keys.into_iter().map(spark).collect()
}

/// So long before.
fn earlier(than: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millisecond(than.as_millisecond() - by.as_millis() as i64)
        .unwrap_or(Timestamp::MIN)
}

/// How far back a page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Period {
    Hour,
    Day,
    Week,
}

impl Period {
    pub(super) const ALL: [Period; 3] = [Period::Hour, Period::Day, Period::Week];

    /// As a request says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Period::Hour => "1h",
            Period::Day => "24h",
            Period::Week => "7d",
        }
    }

    /// As a page says it, after "the last".
    pub(super) fn name(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.word() == word)
    }

    fn length(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 3_600,
            Period::Day => 86_400,
            Period::Week => 7 * 86_400,
        })
    }

    /// A line has some 150 parts: about three pixels each.
    pub(super) fn seats(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 30,
            Period::Day => 600,
            Period::Week => 3_600,
        })
    }

    /// Columns are 30 to 50: wide enough to tell apart, and whole minutes, as decisions are recorded.
    pub(super) fn decisions(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 120,
            Period::Day => 1_800,
            Period::Week => 4 * 3_600,
        })
    }

    /// Between two labels of the axis.
    pub(super) fn tick(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 900,
            Period::Day => 6 * 3_600,
            Period::Week => 86_400,
        })
    }

    /// From when until now, in whole parts but for the last, so that a part stays the same one while time goes on.
    pub(super) fn window(self, now: Moment, part: Duration) -> Window {
        let part_ms = part.as_millis() as i64;
        let now_ms = now.timestamp().as_millisecond();
        let end_ms = (now_ms / part_ms + 1) * part_ms;
        Window {
            from_ms: end_ms - self.length().as_millis() as i64,
            to_ms: now_ms,
            part_ms,
        }
    }
}

/// A time to look at, in equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) part_ms: i64,
}

impl Window {
    pub(super) fn range(self) -> Result<Range, HistoryError> {
        let (from, to) = self.ends()?;
        Range::new(from, to, Duration::from_millis(self.part_ms.unsigned_abs()))
    }

    pub(super) fn ends(self) -> Result<(Timestamp, Timestamp), HistoryError> {
        let at = |ms| Timestamp::from_millisecond(ms).map_err(|_| HistoryError::Range);
        Ok((at(self.from_ms)?, at(self.to_ms)?))
    }

    /// The same time in pieces.
    pub(super) fn slices(self, ms: i64) -> impl Iterator<Item = Window> {
        let starts = (self.from_ms..self.to_ms).step_by(ms.unsigned_abs() as usize);
        starts.map(move |from_ms| Window {
            from_ms,
            to_ms: (from_ms + ms).min(self.to_ms),
            ..self
        })
    }

    pub(super) fn length_ms(self) -> i64 {
        self.to_ms - self.from_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, fixtures::Still};

    #[test]
    fn every_period_is_a_range_that_history_takes() {
        let now = Still::new().now();
        for period in Period::ALL {
            assert_eq!(Period::parse(period.word()), Some(period));
            for part in [period.seats(), period.decisions()] {
                let window = period.window(now, part);
                assert!(window.range().is_ok(), "{period:?}");
                assert_eq!(window.to_ms, now.timestamp().as_millisecond());
                let length = period.length().as_millis() as i64;
                let missing = length - window.length_ms();
                assert!((1..=window.part_ms).contains(&missing), "{period:?}");
            }
        }
        assert_eq!(Period::parse("1d"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn rules_are_tried_one_after_the_other_and_no_wait_is_without_end() {
        let past = Past::new();
        let turn = past.turn().await.expect("nobody tries one");
        let late = past.turn().await;
        assert!(matches!(late, Err(Undone::Late(LONGEST_WAIT))), "{late:?}");
        drop(turn);
        assert!(past.turn().await.is_ok());
    }

    #[test]
    fn slices_leave_nothing_out() {
        let window = Window {
            from_ms: 5,
            to_ms: 25,
            part_ms: 1,
        };
        let ends = window.slices(10).map(|slice| (slice.from_ms, slice.to_ms));
        assert_eq!(ends.collect::<Vec<_>>(), [(5, 15), (15, 25)]);
        let odd = window.slices(15).map(|slice| (slice.from_ms, slice.to_ms));
        assert_eq!(odd.collect::<Vec<_>>(), [(5, 20), (20, 25)]);
    }
}
