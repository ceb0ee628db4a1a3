//! The viewer's time zone.
//!
//! The script names the browser's zone in a cookie. Without a cookie, or with an unknown zone, times are in UTC. The zones are part of the program,
//! so that no request waits for a disk.

use std::{
    hash::{Hash, Hasher},
    sync::LazyLock,
};

use http::HeaderMap;
use jiff::{
    Timestamp, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{clock::Moment, server::http::cookies::cookie};

/// The cookie, which the script writes.
const COOKIE: &str = "openseat_zone";

/// The longest name of a zone; real ones are far shorter.
const MAX_NAME: usize = 64;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone(TimeZone);

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iana_name().hash(state);
    }
}

impl Zone {
    pub(super) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of the browser that sends this request.
    pub(super) fn from_request(headers: &HeaderMap) -> Self {
        let named = cookie(headers, COOKIE).filter(|name| name.len() <= MAX_NAME);
        let zone = named.and_then(|name| ZONES.get(name).ok());
        zone.map_or_else(Self::utc, Self)
    }

    /// This moment in the zone.
    pub(super) fn zoned(&self, ms: i64) -> Zoned {
        let at = Timestamp::from_millisecond(ms).unwrap_or_default();
        at.to_zoned(self.0.clone())
    }

    /// The zone's abbreviation, `CET`, or its offset if it has none: `UTC+03`.
    pub(super) fn label(&self, ms: i64) -> String {
        let label = self.zoned(ms).strftime("%Z").to_string();
        match label.starts_with(['+', '-']) {
            true => format!("UTC{label}"),
            false => label,
        }
    }

    /// The same for a moment.
    pub(super) fn label_at(&self, moment: Moment) -> String {
        self.label(moment.timestamp().as_millisecond())
    }

    /// `10:00:00 CET`
    pub(super) fn time(&self, moment: Moment) -> String {
        let ms = moment.timestamp().as_millisecond();
        format!("{} {}", self.zoned(ms).strftime("%H:%M:%S"), self.label(ms))
    }

    /// `24 Nov, 10:00:00`, where the zone is shown beside it.
    pub(super) fn date(&self, ms: i64) -> String {
        self.zoned(ms).strftime("%-d %b, %H:%M:%S").to_string()
    }

    /// `24 Nov, 10:00:00 CET`
    pub(super) fn full_date(&self, ms: i64) -> String {
        format!("{} {}", self.date(ms), self.label(ms))
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn zone(cookies: &str) -> Zone {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookies.parse().expect("a header"));
        Zone::from_request(&headers)
    }

    #[test]
    fn times_are_in_the_zone_of_the_browser_and_say_so() {
        // 2026-07-01 and 2026-01-01, 12:00 UTC.
        let (summer, winter) = (1_782_907_200_000, 1_767_268_800_000);
        for (name, expected) in [
            (
                "Europe/Berlin",
                ["1 Jul, 14:00:00 CEST", "1 Jan, 13:00:00 CET"],
            ),
            (
                "America/New_York",
                ["1 Jul, 08:00:00 EDT", "1 Jan, 07:00:00 EST"],
            ),
            (
                "Asia/Kathmandu",
                ["1 Jul, 17:45:00 UTC+0545", "1 Jan, 17:45:00 UTC+0545"],
            ),
            ("UTC", ["1 Jul, 12:00:00 UTC", "1 Jan, 12:00:00 UTC"]),
        ] {
            let zone = zone(&format!("a=b; openseat_zone={name}; c=d"));
            assert_eq!([summer, winter].map(|ms| zone.full_date(ms)), expected);
        }
    }

    #[test]
    fn without_a_zone_or_with_nonsense_times_are_in_utc() {
        let long = format!("openseat_zone={}", "Europe/Berlin".repeat(9));
        for cookies in [
            "a=b",
            "openseat_zone=",
            "openseat_zone=../../etc/passwd",
            "openseat_zone=Nowhere/None",
            &long,
        ] {
            assert_eq!(zone(cookies), Zone::utc(), "{cookies}");
        }
    }
}
