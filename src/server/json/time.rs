//! Moments and durations in JSON.

use std::time::Duration;

use serde::Serializer;

use super::shape;
use crate::clock::Moment;

shape!(
    /// A moment, as RFC 3339 with milliseconds, in UTC.
    Timestamp, { "type": "string", "format": "date-time" }
);

/// Writes a moment as RFC 3339 with milliseconds, or `null`.
pub fn rfc3339<S: Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serializer.collect_str(&format_args!("{:.3}", moment.timestamp())),
        None => serializer.serialize_none(),
    }
}

/// Writes wall time, in milliseconds since 1970, in the same format.
pub fn rfc3339_of_ms<S: Serializer>(ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let at = jiff::Timestamp::from_millisecond(*ms).unwrap_or_default();
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Returns a duration in whole milliseconds.
pub fn whole_ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
