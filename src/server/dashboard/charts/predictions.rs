//! Predictions at zero seats, compared with what was seen.

use svg::{
    Document,
    node::element::{Circle, Line, Rectangle, Title},
};

use super::axes::{rounded, text};
use crate::decision::soon::week::Tenths;

/// The side of the square, and the room for its labels, in pixels.
const SIDE: f64 = 180.0;
const LEFT: f64 = 44.0;
const BELOW: f64 = 40.0;
const ABOVE: f64 = 8.0;

/// Dots grow with the number of situations, up to this many.
const MANY: f64 = 100.0;
const DOT: [f64; 2] = [2.5, 6.0];

/// A dot for each tenth: the predicted likelihood to the right, how often it came true upwards.
pub fn predictions(tenths: &Tenths) -> Document {
    let (x, y) = (
        |share: f64| LEFT + share * SIDE,
        |share: f64| ABOVE + (1.0 - share) * SIDE,
    );
    let frame = Rectangle::new()
        .set("class", "gap")
        .set("x", LEFT)
        .set("y", ABOVE)
        .set("width", SIDE)
        .set("height", SIDE);
    let line = Line::new()
        .set("class", "threshold")
        .set("x1", x(0.0))
        .set("y1", y(0.0))
        .set("x2", x(1.0))
        .set("y2", y(1.0));
    let mut plot = Document::new()
        .set("class", "chart")
        .set("viewBox", (0, 0, LEFT + SIDE + 12.0, ABOVE + SIDE + BELOW))
        .set("role", "img")
        .add(Title::new(title(tenths)))
        .add(frame)
        .add(line)
        .add(text("middle", x(0.5), ABOVE + SIDE + 34.0, "predicted"))
        .add(text("end", LEFT - 6.0, y(0.5) + 4.0, "seen"));
    for (share, label) in [(0.0, "0"), (1.0, "1")] {
        plot = plot
            .add(text("middle", x(share), ABOVE + SIDE + 16.0, label))
            .add(text("end", LEFT - 6.0, y(share) + 4.0, label));
    }
    for (tenth, [without, with]) in tenths.iter().enumerate() {
        let all = f64::from(*without) + f64::from(*with);
        if all > 0.0 {
            let [least, most] = DOT;
            let dot = Circle::new()
                .set("class", "accepted")
                .set("cx", rounded(x((tenth as f64 + 0.5) / 10.0)))
                .set("cy", rounded(y(f64::from(*with) / all)))
                .set("r", rounded(least + (most - least) * (all / MANY).min(1.0)));
            plot = plot.add(dot);
        }
    }
    plot
}

/// The same in words, for screen readers.
fn title(tenths: &Tenths) -> String {
    let sentences = tenths
        .iter()
        .enumerate()
        .filter_map(|(tenth, [without, with])| {
            let all = without.saturating_add(*with);
            let (from, to) = (tenth * 10, tenth * 10 + 10);
            (all > 0).then(|| format!("predicted {from} to {to} %: seen in {with} of {all}"))
        });
    sentences.collect::<Vec<_>>().join("; ")
}
