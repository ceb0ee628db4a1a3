//! The times that an HTTP reply's headers state: how long to wait before the next request, and how old the reply is. Pure.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, header};

/// Returns the wait that `Retry-After` asks for, in seconds or as an HTTP date, within `bounds`. With several headers the longest wait counts.
///
/// A date is compared with the reply's own `Date`, which comes from the same clock; without it, with `now`. A date in the past comes from a wrong
/// clock and is ignored, like any other text that cannot be read.
pub fn retry_after(
    headers: &HeaderMap,
    now: SystemTime,
    bounds: RangeInclusive<Duration>,
) -> Option<Duration> {
    let sent = date(headers).unwrap_or(now);
    let wait = |asked: &str| {
        seconds(asked).or_else(|| {
            let until = httpdate::parse_http_date(asked).ok()?;
            until.duration_since(sent).ok()
        })
    };
    let asked = texts(headers, header::RETRY_AFTER).filter_map(wait).max()?;
    Some(asked.clamp(*bounds.start(), *bounds.end()))
}

/// Returns how long a cache had kept a reply: the largest `Age`. If `Age` is not zero, a cache answered, and `Date` is when the origin did. If that
/// was longer ago, or `Age` cannot be read, the reply is as old as its `Date`.
///
/// Without `Age`, `Date` only shows how clocks differ.
pub fn age(headers: &HeaderMap, now: SystemTime) -> Duration {
    let ages = texts(headers, header::AGE).flat_map(|text| text.split(','));
    let ages: Vec<_> = ages.map(|age| seconds(age.trim())).collect();
    if ages.iter().all(|age| *age == Some(Duration::ZERO)) {
        return Duration::ZERO;
    }
    let stated = ages.into_iter().flatten().max().unwrap_or_default();
    let since_date = date(headers).and_then(|date| now.duration_since(date).ok());
    stated.max(since_date.unwrap_or_default())
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

/// Returns all headers with a name. One that is not text counts as empty: it is there, but cannot be read.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let headers = headers.get_all(name).into_iter();
    headers.map(|header| header.to_str().unwrap_or_default().trim())
}

/// Parses seconds, rounding a fraction up. A number that is too large is the largest.
fn seconds(text: &str) -> Option<Duration> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.is_empty() || fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let rest = fraction.bytes().any(|digit| digit != b'0');
    Some(Duration::from_secs(whole.saturating_add(rest.into())))
}
