//! Moments and durations in JSON.

use std::time::Duration;

use serde::Serializer;

use super::shape;
use crate::clock::Moment;

shape!(
    /// A moment, as RFC 3339 with milliseconds, in UTC.
    Timestamp, { "type": "string", "format": "date-time" }
);

/// Writes a moment as RFC 3339 with milliseconds; `null` for none.
pub fn rfc3339<S: Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serializer.collect_str(&format_args!("{:.3}", moment.timestamp())),
        None => serializer.serialize_none(),
    }
}

/// A duration in whole milliseconds.
pub fn whole_ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
