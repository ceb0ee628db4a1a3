//! The frame of a chart: where moments and values are in the drawing, and the labels that say so.

use jiff::Timestamp;
use svg::node::element::{Group, Line, Rectangle, Text};

use super::history::{Period, Window};

/// Of a chart, in its own units: on a desktop two of them lie side by side, pixel for pixel.
pub(super) const SIZE: (f64, f64) = (560.0, 220.0);

/// What is left free for labels: of three digits, of a line of text.
pub(super) const LEFT: f64 = 44.0;
pub(super) const RIGHT: f64 = 10.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 32.0;

/// Where a chart's values are in the drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    window: Window,
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
}

impl Frame {
    pub(super) fn new(window: Window, low: f64, high: f64) -> Self {
        let (low, high) = (low.min(0.0), high.max(1.0));
        let step = nice((high - low) / 4.0);
        Self {
            window,
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    pub(super) fn x(self, ms: f64) -> f64 {
        let part = (ms - self.window.from_ms as f64) / self.window.length_ms() as f64;
        rounded(LEFT + part.clamp(0.0, 1.0) * (SIZE.0 - LEFT - RIGHT))
    }

    pub(super) fn y(self, value: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        rounded(SIZE.1 - BOTTOM - part * (SIZE.1 - TOP - BOTTOM))
    }

    /// A box from one moment to another, from one value to another.
    pub(super) fn rectangle(
        self,
        class: &str,
        [from, to]: [f64; 2],
        [low, high]: [f64; 2],
    ) -> Rectangle {
        let (x, y) = (self.x(from), self.y(high));
        Rectangle::new()
            .set("class", class)
            .set("x", x)
            .set("y", y)
            .set("width", rounded(self.x(to) - x))
            .set("height", rounded(self.y(low) - y))
    }

    /// Lines and labels behind the values.
    pub(super) fn axes(self, period: Period) -> Group {
        let mut axes = Group::new().set("class", "axes");
        for n in 0..=((self.high - self.low) / self.step).round() as u32 {
            let value = self.low + f64::from(n) * self.step;
            let y = self.y(value);
            axes = axes
                .add(line("grid", [LEFT, SIZE.0 - RIGHT], [y, y]))
                .add(text(
                    "end",
                    LEFT - 8.0,
                    y + 4.0,
                    &rounded(value).to_string(),
                ));
        }
        axes.add(self.times(period))
    }

    /// The labels of the time axis.
    pub(super) fn times(self, period: Period) -> Group {
        let mut axes = Group::new().set("class", "axes");
        let tick = period.tick().as_millis() as i64;
        let first = self.window.from_ms.div_euclid(tick) + 1;
        let ticks = (first..).map(|n| n * tick);
        for ms in ticks.take_while(|ms| *ms < self.window.to_ms) {
            let x = self.x(ms as f64);
            let base = SIZE.1 - BOTTOM;
            axes = axes.add(line("grid", [x, x], [base, base + 5.0]));
            axes = axes.add(text("middle", x, SIZE.1 - 10.0, &label(ms, period)));
        }
        axes
    }
}

fn label(ms: i64, period: Period) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    let form = match period {
        Period::Hour | Period::Day => "%H:%M",
        Period::Week => "%a %-d",
    };
    at.strftime(form).to_string()
}

pub(super) fn line(class: &str, [x1, x2]: [f64; 2], [y1, y2]: [f64; 2]) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", x1)
        .set("x2", x2)
        .set("y1", y1)
        .set("y2", y2)
}

pub(super) fn text(anchor: &str, x: f64, y: f64, words: &str) -> Text {
    Text::new(words)
        .set("text-anchor", anchor)
        .set("x", x)
        .set("y", y)
}

/// A distance between labels that people like to read: 1, 2 or 5 times a power of ten. Seats are whole, so at least 1.
fn nice(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= least);
    step.unwrap_or(10.0 * power)
}

/// To a tenth of a pixel: finer is nothing but bytes.
pub(super) fn rounded(number: f64) -> f64 {
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
            let frame = Frame::new(WINDOW, 0.0, high);
            assert_eq!(frame.step, step, "{high}");
            assert!(
                frame.high >= high && frame.high / frame.step <= 5.0,
                "{frame:?}"
            );
        }
        let below = Frame::new(WINDOW, -3.0, 2.0);
        assert!(below.low <= -3.0 && below.high >= 2.0, "{below:?}");
    }
}
