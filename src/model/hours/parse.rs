//! Reads opening hours as people write them: `Mon-Fri 08:00-18:00`.

use std::{fmt, ops::Range, str::FromStr};

use super::{DAY_MINUTES, WEEK_MINUTES};

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// How many letters of a day's name are needed, and are written.
const SHORT: usize = 3;

/// One line of hours: the same times on several days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First and last day, 0 for Monday; the last may come before the first.
    pub(super) days: Vec<(u32, u32)>,
    /// Minutes of the day. An end that is not after the beginning is on the next day.
    pub(super) times: Vec<(u32, u32)>,
}

/// What is wrong with a line of hours. The text continues a sentence that starts with the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// The line is empty.
    #[error("is empty; write days and times, such as \"Mon-Fri 08:00-18:00\"")]
    Empty,
    /// Days or times are missing.
    #[error("needs days and times, such as \"Mon-Fri 08:00-18:00\"")]
    Incomplete,
    /// There is more than days and times.
    #[error(
        "has \"{0}\" after its times; write each line of days and times as a separate text: [\"Mon-Fri 08:00-18:00\", \"Sat 09:00-12:00\"]"
    )]
    TooMuch(String),
    /// Not a day of the week.
    #[error("has \"{0}\", which is not a day; the days are Mon, Tue, Wed, Thu, Fri, Sat and Sun")]
    Day(String),
    /// Not a time of day.
    #[error(
        "has \"{0}\", which is not a time; write hours and minutes from 00:00 to 24:00, such as 08:30 or 18:00"
    )]
    Time(String),
    /// One time instead of two.
    #[error("has \"{0}\" where a beginning and an end should be, such as 08:00-18:00")]
    Range(String),
    /// 24:00 as a beginning.
    #[error("begins at 24:00; write 00:00 and the next day")]
    BeginsAtTheEnd,
    /// An empty range.
    #[error("begins and ends at {0}; write 00:00-24:00 for a whole day")]
    Nothing(String),
}

impl Entry {
    /// Returns the minutes of the week; ranges past its end are split in two.
    pub(super) fn ranges(&self) -> Vec<Range<u32>> {
        let days = self.days.iter().flat_map(|(first, last)| {
            let count = (last + 7 - first) % 7 + 1;
            (0..count).map(move |day| (first + day) % 7)
        });
        let of_day = |day: u32| {
            self.times.iter().flat_map(move |(start, end)| {
                let passes = if end <= start { DAY_MINUTES } else { 0 };
                let (start, end) = (day * DAY_MINUTES + start, day * DAY_MINUTES + end + passes);
                let this_week = start..end.min(WEEK_MINUTES);
                let next_week = 0..end.saturating_sub(WEEK_MINUTES);
                [this_week, next_week]
                    .into_iter()
                    .filter(|range| !range.is_empty())
            })
        };
        days.flat_map(of_day).collect()
    }
}

impl FromStr for Entry {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let text = closed_up(text);
        let mut parts = text.split_whitespace();
        let days = parts.next().ok_or(HoursError::Empty)?;
        let Some(times) = parts.next() else {
            return Err(HoursError::Incomplete);
        };
        let entry = Self {
            days: days.split(',').map(read_days).collect::<Result<_, _>>()?,
            times: times.split(',').map(read_times).collect::<Result<_, _>>()?,
        };
        match parts.next() {
            Some(more) => Err(HoursError::TooMuch(more.to_owned())),
            None => Ok(entry),
        }
    }
}

/// Removes spaces around dashes and commas, and turns typographic dashes into hyphens.
fn closed_up(text: &str) -> String {
    let mut text = text.replace(['–', '—', '‐'], "-");
    for mark in ['-', ','] {
        let parts: Vec<_> = text.split(mark).map(str::trim).collect();
        text = parts.join(&mark.to_string());
    }
    text
}

fn read_days(text: &str) -> Result<(u32, u32), HoursError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok((read_day(first)?, read_day(last)?))
}

fn read_day(text: &str) -> Result<u32, HoursError> {
    let is_day = |day: &&str| {
        let start = day.get(..text.len());
        text.len() >= SHORT && start.is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    let place = DAYS.iter().position(is_day);
    let day = place.and_then(|place| u32::try_from(place).ok());
    day.ok_or_else(|| HoursError::Day(text.to_owned()))
}

fn read_times(text: &str) -> Result<(u32, u32), HoursError> {
    let range = text.split_once('-');
    let (start, end) = range.ok_or_else(|| HoursError::Range(text.to_owned()))?;
    let (start, end) = (read_time(start)?, read_time(end)?);
    if start == DAY_MINUTES {
        return Err(HoursError::BeginsAtTheEnd);
    }
    if start == end {
        return Err(HoursError::Nothing(clock(start)));
    }
    Ok((start, end))
}

fn read_time(text: &str) -> Result<u32, HoursError> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        let is_number = |part: &str, lengths: Range<usize>| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(hour, 1..3) || !is_number(minute, 2..3) {
            return None;
        }
        let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
        let time = hour * 60 + minute;
        (minute < 60 && time <= DAY_MINUTES).then_some(time)
    };
    read().ok_or_else(|| HoursError::Time(text.to_owned()))
}

/// `08:00`
fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl fmt::Display for Entry {
    /// As the config has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: &u32| &DAYS[*day as usize][..SHORT];
        let days = self.days.iter().map(|(first, last)| match first == last {
            true => day(first).to_owned(),
            false => format!("{}-{}", day(first), day(last)),
        });
        let times = self.times.iter();
        let times = times.map(|(start, end)| format!("{}-{}", clock(*start), clock(*end)));
        let (days, times): (Vec<_>, Vec<_>) = (days.collect(), times.collect());
        write!(f, "{} {}", days.join(","), times.join(","))
    }
}
