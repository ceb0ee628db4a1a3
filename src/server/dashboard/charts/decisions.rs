//! Decisions over time: as columns of counts, and as the answers of two rules.

use svg::{
    Document,
    node::element::{Rectangle, Title},
};

use super::axes::{Axes, LEFT, SIZE, TimeAxis, rounded, text};

/// The decisions in one part of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub from_ms: i64,
    /// Accepted on usable data.
    pub accepted: u64,
    /// Rejected on usable data.
    pub rejected: u64,
    /// Answered without usable data, either way.
    pub unknown: u64,
}

impl Column {
    pub fn total(&self) -> u64 {
        self.accepted + self.rejected + self.unknown
    }
}

/// Decisions over time, as columns stacked by answer.
pub fn decisions(time: TimeAxis<'_>, columns: &[Column], title: &str) -> Document {
    let highest = columns.iter().map(Column::total).max().unwrap_or_default();
    let axes = Axes::new(time.window, 0.0, highest as f64);
    let mut chart = axes.chart(time, title);
    for column in columns {
        let from = column.from_ms as f64;
        // The last tenth is left free, to separate columns.
        let width = [from, from + time.window.part_ms as f64 * 0.9];
        let mut below = 0.0;
        let parts = [
            ("accepted", column.accepted),
            ("rejected", column.rejected),
            ("unknown", column.unknown),
        ];
        for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            let above = below + count as f64;
            chart = chart.add(axes.rectangle(class, width, [below, above]));
            below = above;
        }
    }
    chart
}

/// An answer, and how long it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerSpan {
    pub from_ms: i64,
    pub to_ms: i64,
    pub accept: bool,
}

/// The height of the drawing of two rules: two rows, each below a line of text, and the time axis.
const TWO_ROWS: f64 = 124.0;

/// The answers of the current rule (first) and another rule over time, one row each.
pub fn two_rules(time: TimeAxis<'_>, answers: [&[AnswerSpan]; 2]) -> Document {
    let axes = Axes::new(time.window, 0.0, 1.0);
    let mut drawing = Document::new()
        .set("class", "chart")
        .set("viewBox", (0, SIZE.1 - TWO_ROWS, SIZE.0, TWO_ROWS))
        .set("role", "img")
        .add(Title::new("What both rules accept over time"))
        .add(axes.time_labels(time));
    let names = ["current rule", "other rule"];
    for ((answers, name), row) in answers.into_iter().zip(names).zip(0_u8..) {
        let top = SIZE.1 - TWO_ROWS + 44.0 * f64::from(row);
        drawing = drawing.add(text("start", LEFT, top + 14.0, name));
        for span in answers {
            drawing = drawing.add(answer(axes, top + 20.0, span));
        }
    }
    drawing
}

fn answer(axes: Axes, y: f64, span: &AnswerSpan) -> Rectangle {
    // The heights differ too, for people who cannot tell the colours apart.
    let (class, height) = match span.accept {
        true => ("accepted", 20.0),
        false => ("rejected", 8.0),
    };
    let (x, end) = (axes.x(span.from_ms as f64), axes.x(span.to_ms as f64));
    Rectangle::new()
        .set("class", class)
        .set("x", x)
        .set("y", y)
        // At least one pixel, so that short spans stay visible.
        .set("width", rounded((end - x).max(1.0)))
        .set("height", height)
}
