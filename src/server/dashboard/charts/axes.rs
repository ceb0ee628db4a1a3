//! The axes of a chart: the position of times and values in the drawing, with grid lines and labels.

use jiff::Zoned;
use svg::{
    Document,
    node::element::{Group, Line, Rectangle, Text, Title},
};

use crate::server::dashboard::{
    period::{Period, Window},
    zone::Zone,
};

/// Width and height of a chart in its own units. On a desktop two charts fit side by side at one unit per pixel.
pub const SIZE: (f64, f64) = (560.0, 220.0);

/// Margins: room for labels of three digits on the left, and for a line of text below.
pub const LEFT: f64 = 44.0;
pub const RIGHT: f64 = 10.0;
/// Half the width of a time label on a phone, so that no label runs over the right edge.
const HALF_LABEL: f64 = 26.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 32.0;

/// The position of times and values in the drawing.
#[derive(Clone, Copy, Debug)]
pub struct Axes {
    window: Window,
    pub low: f64,
    pub high: f64,
    /// The distance between two value labels.
    step: f64,
}

impl Axes {
    /// Axes for a window of time and a range of values, which always includes 0 and 1.
    pub fn new(window: Window, low: f64, high: f64) -> Self {
        let (low, high) = (low.min(0.0), high.max(1.0));
        let step = round_step((high - low) / 4.0);
        Self {
            window,
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    /// An empty chart with these axes. Screen readers read the title.
    pub fn chart(self, time: TimeAxis<'_>, title: &str) -> Document {
        Document::new()
            .set("class", "chart")
            .set("viewBox", (0, 0, SIZE.0, SIZE.1))
            .set("role", "img")
            .add(Title::new(title))
            .add(self.grid(time))
    }

    pub fn x(self, ms: f64) -> f64 {
        let part = (ms - self.window.from_ms as f64) / self.window.length_ms() as f64;
        rounded(LEFT + part.clamp(0.0, 1.0) * (SIZE.0 - LEFT - RIGHT))
    }

    pub fn y(self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        rounded(SIZE.1 - BOTTOM - part * (SIZE.1 - TOP - BOTTOM))
    }

    /// A box from one time to another and from one value to another.
    pub fn rectangle(self, class: &str, [from, to]: [f64; 2], [low, high]: [f64; 2]) -> Rectangle {
        let (x, y) = (self.x(from), self.y(high));
        Rectangle::new()
            .set("class", class)
            .set("x", x)
            .set("y", y)
            .set("width", rounded(self.x(to) - x))
            .set("height", rounded(self.y(low) - y))
    }

    /// Grid lines and labels, drawn behind the values.
    fn grid(self, time: TimeAxis<'_>) -> Group {
        let mut grid = Group::new().set("class", "axes");
        for n in 0..=((self.high - self.low) / self.step).round() as u32 {
            let value = self.low + f64::from(n) * self.step;
            let y = self.y(value);
            let label = rounded(value).to_string();
            grid = grid
                .add(line("grid", [LEFT, SIZE.0 - RIGHT], [y, y]))
                .add(text("end", LEFT - 8.0, y + 4.0, &label));
        }
        grid.add(self.time_labels(time))
    }

    /// The labels of the time axis.
    pub fn time_labels(self, time: TimeAxis<'_>) -> Group {
        let mut labels = Group::new().set("class", "axes");
        for ms in time.ticks() {
            let x = self.x(ms as f64);
            let base = SIZE.1 - BOTTOM;
            labels = labels
                .add(line("grid", [x, x], [base, base + 5.0]))
                .add(text(
                    "middle",
                    x.min(SIZE.0 - HALF_LABEL),
                    SIZE.1 - 10.0,
                    &time.label(ms),
                ));
        }
        labels
    }
}

/// The time that a chart covers, labelled in a time zone.
#[derive(Clone, Copy, Debug)]
pub struct TimeAxis<'a> {
    pub period: Period,
    pub window: Window,
    pub zone: &'a Zone,
}

impl TimeAxis<'_> {
    /// Where the labels are: at midnights, or at round times of day.
    fn ticks(self) -> Vec<i64> {
        let Window { from_ms, to_ms, .. } = self.window;
        let is_inside = |ms: &i64| *ms > from_ms && *ms < to_ms;
        if self.period == Period::Week {
            let first = self.zone.zoned(from_ms).start_of_day().ok();
            let next = |day: &Zoned| day.tomorrow().and_then(|day| day.start_of_day()).ok();
            let midnights = std::iter::successors(first, next);
            let midnights = midnights.map(|day| day.timestamp().as_millisecond());
            let midnights = midnights.take_while(|ms| *ms < to_ms);
            return midnights.filter(is_inside).collect();
        }
        let tick = self.period.tick().as_millis() as i64;
        let offset = i64::from(self.zone.zoned(to_ms).offset().seconds()) * 1_000;
        let first = (from_ms + offset).div_euclid(tick) + 1;
        let ticks = (first..).map(|n| n * tick - offset);
        ticks.take_while(is_inside).collect()
    }

    fn label(self, ms: i64) -> String {
        let format = match self.period {
            Period::Hour | Period::Day => "%H:%M",
            Period::Week => "%a %-d",
        };
        self.zone.zoned(ms).strftime(format).to_string()
    }
}

pub fn line(class: &str, [x1, x2]: [f64; 2], [y1, y2]: [f64; 2]) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", x1)
        .set("x2", x2)
        .set("y1", y1)
        .set("y2", y2)
}

pub fn text(anchor: &str, x: f64, y: f64, text: &str) -> Text {
    Text::new(text)
        .set("text-anchor", anchor)
        .set("x", x)
        .set("y", y)
}

/// The next round distance between labels: 1, 2 or 5 times a power of ten. Seats are whole numbers, so it is at least 1.
fn round_step(at_least: f64) -> f64 {
    let power = 10_f64.powf(at_least.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= at_least);
    step.unwrap_or(10.0 * power)
}

/// Rounds to a tenth of a pixel; more digits would only cost bytes.
pub fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        from_ms: 0,
        to_ms: 3_600_000,
        part_ms: 60_000,
    };

    #[test]
    fn labels_are_few_and_round() {
        for (high, step) in [
            (0.0, 1.0),
            (3.0, 1.0),
            (7.0, 2.0),
            (12.0, 5.0),
            (90.0, 50.0),
            (1_000.0, 500.0),
        ] {
            let axes = Axes::new(WINDOW, 0.0, high);
            assert_eq!(axes.step, step, "{high}");
            assert!(
                axes.high >= high && axes.high / axes.step <= 5.0,
                "{axes:?}"
            );
        }
        let below = Axes::new(WINDOW, -3.0, 2.0);
        assert!(below.low <= -3.0 && below.high >= 2.0, "{below:?}");
    }

    #[test]
    fn labels_are_at_round_times_in_the_viewers_zone() {
        let mut headers = http::HeaderMap::new();
        let cookie = "openseat_zone=America/New_York";
        headers.insert(http::header::COOKIE, cookie.parse().expect("a header"));
        let zone = Zone::from_request(&headers);
        // Summer time ends in New York on 1 November 2026 at 06:00 UTC.
        let to: jiff::Timestamp = "2026-11-03T12:00:00Z".parse().expect("a moment");
        let labels = |period, hours: i64| {
            let to_ms = to.as_millisecond();
            let window = Window {
                from_ms: to_ms - hours * 3_600_000,
                to_ms,
                part_ms: 60_000,
            };
            let time = TimeAxis {
                period,
                window,
                zone: &zone,
            };
            let ticks = time.ticks();
            ticks
                .into_iter()
                .map(|ms| time.label(ms))
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(Period::Hour, 1), ["06:15", "06:30", "06:45"]);
        assert_eq!(
            labels(Period::Day, 24),
            ["12:00", "18:00", "00:00", "06:00"]
        );
        assert_eq!(
            labels(Period::Week, 96),
            ["Sat 31", "Sun 1", "Mon 2", "Tue 3"]
        );
    }
}
