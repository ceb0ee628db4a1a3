//! Opening hours: the times of the week at which a queue takes calls.
//!
//! A queue is open while a clock in its time zone shows a time within its hours. That also covers the days on which clocks change: an hour that is
//! skipped is skipped here too, and an hour that comes twice counts twice.

mod parse;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Range, time::Duration};

use jiff::{
    Timestamp, ToSpan as _,
    civil::{DateTime, Weekday},
    tz::TimeZone,
};

pub use self::parse::{Entry, HoursError};
use crate::{clock::Moment, process::spelling};

const DAY_MINUTES: u32 = 24 * 60;

const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;

/// The most steps to the next change: one for the hours themselves, and one for each clock change before it. No zone changes its clocks more than
/// twice in a week.
const MAX_STEPS: usize = 8;

/// The opening hours of a queue.
#[derive(Clone, Debug)]
pub struct OpeningHours {
    entries: Vec<Entry>,
    /// Minutes since Monday 00:00, in order. They neither overlap nor touch, but the last may end where the first begins a week later.
    open: Vec<Range<u32>>,
    zone: Zone,
}

/// Hours are equal if they mean the same, however the config writes them. A zone that a newer tz database has changed means something else.
impl PartialEq for OpeningHours {
    fn eq(&self, other: &Self) -> bool {
        (&self.open, &self.zone.0) == (&other.open, &other.zone.0)
    }
}

/// Whether a queue is open during a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Whether the queue is open.
    pub is_open: bool,
    /// When that changes; `None` if it never does.
    pub until: Option<Moment>,
    /// The moment that was asked about, in wall time.
    from: Duration,
}

impl Span {
    /// Whether it still holds at this moment. The wall clock may have been set, even back.
    pub fn covers(&self, now: Moment) -> bool {
        self.from <= now.wall && self.until.is_none_or(|until| now.wall < until.wall)
    }
}

impl OpeningHours {
    /// Combines the hours of all entries.
    pub fn new(entries: Vec<Entry>, zone: Zone) -> Self {
        let mut ranges: Vec<_> = entries.iter().flat_map(Entry::ranges).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut open: Vec<Range<u32>> = Vec::new();
        for range in ranges {
            match open.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => open.push(range),
            }
        }
        Self {
            entries,
            open,
            zone,
        }
    }

    /// Returns the entries as the config writes them.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(Entry::to_string)
    }

    /// The time zone of the hours.
    pub fn zone(&self) -> &str {
        self.zone.name()
    }

    /// Returns whether the queue is open now, and until when.
    pub fn span(&self, now: Moment) -> Span {
        let at = now.timestamp();
        let is_open = self.is_open(at);
        let until = self.change_after(at, is_open).map(|change| {
            // From the exact wall time: `at` has whole milliseconds only.
            let wall = Duration::from_millis(change.as_millisecond().unsigned_abs());
            now.later(wall.saturating_sub(now.wall))
        });
        Span {
            is_open,
            until,
            from: now.wall,
        }
    }

    /// A moment in the queue's time zone, `Mon 08:00`. It is unambiguous within a week.
    pub fn local(&self, moment: Moment) -> String {
        let local = moment.timestamp().to_zoned(self.zone.0.clone());
        local.strftime("%a %H:%M").to_string()
    }

    fn is_open(&self, at: Timestamp) -> bool {
        let minute = minute_of_week(self.zone.0.to_datetime(at));
        self.open.iter().any(|range| range.contains(&minute))
    }

    /// The first moment after `at` at which the queue opens or closes.
    fn change_after(&self, at: Timestamp, is_open: bool) -> Option<Timestamp> {
        let mut at = at;
        for _ in 0..MAX_STEPS {
            let by_hours = self.next_edge(at)?;
            let clocks_change = self.zone.0.following(at).next();
            let clocks_change = clocks_change.map(|change| change.timestamp());
            at = clocks_change.map_or(by_hours, |change| change.min(by_hours));
            if self.is_open(at) != is_open {
                return Some(at);
            }
        }
        None
    }

    /// Returns the next opening or closing after `at` if clocks do not change before. `None` for a queue that never closes.
    fn next_edge(&self, at: Timestamp) -> Option<Timestamp> {
        let local = self.zone.0.to_datetime(at);
        let minute = minute_of_week(local);
        let edges = self.open.iter().flat_map(|range| [range.start, range.end]);
        let edges = edges.map(|edge| edge % WEEK_MINUTES);
        // If ranges touch on both sides of Monday 00:00, it is not an edge.
        let is_edge = |edge: &u32| *edge != 0 || self.has_edge_at_monday();
        let ahead = |edge: u32| match edge > minute {
            true => edge - minute,
            false => edge + WEEK_MINUTES - minute,
        };
        let minutes = edges.filter(is_edge).map(ahead).min()?;
        let within = i64::from(local.second()) * 1_000 + i64::from(local.millisecond());
        let left = i64::from(minutes) * 60_000 - within;
        at.checked_add(left.milliseconds()).ok()
    }

    fn has_edge_at_monday(&self) -> bool {
        let opens = self.open.first().is_some_and(|range| range.start == 0);
        let lasts = self
            .open
            .last()
            .is_some_and(|range| range.end == WEEK_MINUTES);
        opens != lasts
    }
}

/// Returns the minutes since Monday 00:00.
fn minute_of_week(local: DateTime) -> u32 {
    let day = local.weekday().since(Weekday::Monday).unsigned_abs();
    let (hour, minute) = (local.hour().unsigned_abs(), local.minute().unsigned_abs());
    u32::from(day) * DAY_MINUTES + u32::from(hour) * 60 + u32::from(minute)
}

/// A time zone of the tz database.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Finds a zone by its name, in the system's database, or in openseat's own if the system has none.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn find(name: &str) -> Result<Self, NoZone> {
        let no_zone = || NoZone {
            nearest: nearest_zone(name),
        };
        let zone = TimeZone::get(name).map_err(|_| no_zone())?;
        zone.iana_name()
            .is_some()
            .then(|| Self(zone))
            .ok_or_else(no_zone)
    }

    fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }
}

/// The tz database has no such zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoZone {
    /// The name that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for NoZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a time zone of the tz database; ")?;
        match &self.nearest {
            Some(nearest) => write!(f, "did you mean \"{nearest}\"?"),
            None => f.write_str("write one such as \"America/New_York\""),
        }
    }
}

/// Suggests a zone: people often write only a city, or a space for the underscore.
fn nearest_zone(name: &str) -> Option<String> {
    let wanted = name.trim().replace(' ', "_");
    let zones: Vec<String> = jiff::tz::db()
        .available()
        .map(|zone| zone.to_string())
        .collect();
    let is_city = |zone: &&String| {
        let city = zone.rsplit('/').next().unwrap_or(zone);
        zone.contains('/') && city.eq_ignore_ascii_case(&wanted)
    };
    zones.iter().find(is_city).cloned().or_else(|| {
        let names = zones.iter().map(String::as_str);
        spelling::nearest(&wanted, names).into_iter().next()
    })
}
