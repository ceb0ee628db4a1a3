//! How far back a page looks, and the intervals of its charts.

use std::time::Duration;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{
    clock::Moment,
    server::http::{
        params::{Parameter, Params, Shape},
        problem::Problem,
    },
    state::history::{HistoryError, Range},
};

/// How far back a page looks. Requests spell it as below: `range=24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
pub(super) enum Period {
    #[strum(serialize = "1h")]
    Hour,
    #[strum(serialize = "24h")]
    Day,
    #[strum(serialize = "7d")]
    Week,
}

impl Period {
    /// The spelling in a request.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }

    /// The name on a page, after "the last".
    pub(super) fn name(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
        }
    }

    fn length(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 3_600,
            Period::Day => 86_400,
            Period::Week => 7 * 86_400,
        })
    }

    /// The interval of the line of seats. There are about 150 intervals, each some three pixels wide.
    pub(super) fn seats_part(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 30,
            Period::Day => 600,
            Period::Week => 3_600,
        })
    }

    /// The width of a column of decisions. With 30 to 50 columns, each is wide enough to see. Decisions are recorded by the minute, so these are
    /// whole minutes.
    pub(super) fn decisions_part(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 120,
            Period::Day => 1_800,
            Period::Week => 4 * 3_600,
        })
    }

    /// The length of a part in what programs read. Decisions are recorded by the minute, so no part is shorter.
    pub(super) fn export_part(self) -> Duration {
        self.seats_part().max(Duration::from_secs(60))
    }

    /// The time between two labels of the axis.
    pub(super) fn tick(self) -> Duration {
        Duration::from_secs(match self {
            Period::Hour => 900,
            Period::Day => 6 * 3_600,
            Period::Week => 86_400,
        })
    }

    /// The period that ends now. It begins at a multiple of `part`, so that intervals keep their place as time passes; the last one may be
    /// incomplete.
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

/// The parameter that says how far back a chart goes.
pub(in crate::server) const RANGE: &[Parameter] = &[Parameter {
    name: "range",
    meaning: "How far back; a day by default",
    shape: Shape::OneOf(&["1h", "24h", "7d"]),
    example: "24h",
}];

/// The period that a request asks for.
pub(super) fn from_params(params: &Params<'_>) -> Result<Option<Period>, Problem> {
    let range = params.one("range")?.map(str::parse);
    range
        .transpose()
        .map_err(|_| Problem::bad_parameter("\"range\" must be 1h, 24h or 7d"))
}

/// A time to look at, in equal intervals.
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

    /// Splits the time into pieces of `ms`; the last one may be shorter.
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
    fn the_history_accepts_every_period_as_a_range() {
        let now = Still::new().now();
        for period in Period::VARIANTS {
            assert_eq!(period.as_str().parse(), Ok(*period));
            for part in [
                period.seats_part(),
                period.decisions_part(),
                period.export_part(),
            ] {
                let window = period.window(now, part);
                assert!(window.range().is_ok(), "{period:?}");
                assert_eq!(window.to_ms, now.timestamp().as_millisecond());
                let length = period.length().as_millis() as i64;
                let missing = length - window.length_ms();
                assert!((1..=window.part_ms).contains(&missing), "{period:?}");
            }
        }
        assert!("1d".parse::<Period>().is_err());
    }

    #[test]
    fn slices_cover_the_whole_window() {
        let window = Window {
            from_ms: 5,
            to_ms: 25,
            part_ms: 1,
        };
        let ends = window.slices(10).map(|slice| (slice.from_ms, slice.to_ms));
        assert_eq!(ends.collect::<Vec<_>>(), [(5, 15), (15, 25)]);
        let uneven = window.slices(15).map(|slice| (slice.from_ms, slice.to_ms));
        assert_eq!(uneven.collect::<Vec<_>>(), [(5, 20), (20, 25)]);
    }
}
