//! Charts, drawn as SVG.
//!
//! A drawing has classes but no colours, which come from the stylesheet, for light and dark. Unknown values are gaps, never a line at zero.
//!
//! The `svg` crate escapes text but leaves quotation marks in attributes as they are. So names appear only as text, and attributes are numbers and
//! our own class names.

mod axes;
mod decisions;
mod predictions;
mod seats;
mod steps;

use maud::{Markup, PreEscaped};
use svg::{
    Document,
    node::element::{Group, Rectangle, Style, Title},
};

use self::axes::{SIZE, text};
pub(super) use self::{
    axes::TimeAxis,
    decisions::{AnswerSpan, Column, decisions, two_rules},
    predictions::predictions,
    seats::{seats, sparkline},
};

/// The colours of a chart that is a file of its own.
const STANDALONE_STYLE: &str = include_str!("chart.css");

/// The height of the heading of a chart that is a file of its own.
const HEADING: f64 = 28.0;

/// A bar of parts. Each part is as wide as its count and has a class. Screen readers skip it, since the numbers stand beside it as text.
pub(super) fn bar(parts: &[(u32, &str)]) -> Markup {
    let total: u32 = parts.iter().map(|(count, _)| count).sum();
    let mut bar = Document::new()
        .set("class", "bar")
        .set("viewBox", (0, 0, total.max(1), 1))
        .set("preserveAspectRatio", "none")
        .set("aria-hidden", "true");
    let mut x = 0;
    for (count, class) in parts {
        let part = Rectangle::new()
            .set("class", *class)
            .set("x", x)
            .set("width", *count)
            .set("height", 1);
        bar = bar.add(part);
        x += count;
    }
    inline(&bar)
}

/// A drawing as a part of a page.
pub(super) fn inline(drawing: &Document) -> Markup {
    PreEscaped(drawing.to_string())
}

/// A chart as a file of its own, with its colours, a background and a heading.
pub(super) fn standalone(chart: Document, heading: &str) -> String {
    let (width, height) = SIZE;
    let background = Rectangle::new()
        .set("class", "ground")
        .set("width", width)
        .set("height", height + HEADING);
    let file = Document::new()
        .set("viewBox", (0, 0, width, height + HEADING))
        .set("width", width)
        .set("height", height + HEADING)
        .set("role", "img")
        .add(Title::new(heading))
        .add(Style::new(STANDALONE_STYLE))
        .add(background)
        .add(text("start", 12.0, 22.0, heading).set("class", "heading"))
        .add(
            Group::new()
                .set("transform", format!("translate(0 {HEADING})"))
                .add(chart.set("width", width).set("height", height)),
        );
    file.to_string()
}
