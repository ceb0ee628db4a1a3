//! Seats over time: the chart with axes, and the sparkline of a card.

#[cfg(test)]
mod tests;

use maud::Markup;
use svg::{
    Document,
    node::element::{Rectangle, Title},
};

use super::{
    axes::{Axes, LEFT, RIGHT, SIZE, TimeAxis, line, rounded},
    inline,
    steps::{Step, known_stretches, merge_equal, staircase},
};
use crate::{server::dashboard::period::Window, state::history::Bucket};

/// The height of a sparkline in its own units; its width is the number of its values.
const SPARKLINE_HEIGHT: f64 = 24.0;

/// Seats over the last hour, without axes.
pub fn sparkline(values: &[Option<f64>]) -> Markup {
    let top = values.iter().flatten().copied().fold(1.0, f64::max);
    // A line at the edge would be cut in half.
    let height = SPARKLINE_HEIGHT - 2.0;
    let place = |n: f64, value: f64| (n, rounded(1.0 + height * (1.0 - value.max(0.0) / top)));
    let step = |(n, value): (usize, &Option<f64>)| {
        value.map(|value| Step {
            from: n as f64,
            to: (n + 1) as f64,
            value,
        })
    };
    let gap = |(n, value): (usize, &Option<f64>)| {
        value.is_none().then_some(Step {
            from: n as f64,
            to: (n + 1) as f64,
            value: (),
        })
    };
    let mut drawing = Document::new()
        .set("class", "spark")
        .set("viewBox", (0, 0, values.len().max(1), SPARKLINE_HEIGHT))
        .set("preserveAspectRatio", "none")
        .set("role", "img")
        .add(Title::new("Seats over the last hour"));
    for gap in merge_equal(values.iter().enumerate().filter_map(gap)) {
        let part = Rectangle::new()
            .set("class", "gap")
            .set("x", gap.from)
            .set("width", gap.to - gap.from)
            .set("height", SPARKLINE_HEIGHT);
        drawing = drawing.add(part);
    }
    for stretch in known_stretches(values.iter().enumerate().map(step)) {
        drawing = drawing.add(staircase(&stretch, &place));
    }
    inline(&drawing)
}

/// Seats over time: the mean as a line, lowest to highest as a band, the threshold as a dashed line, and gaps for unknown times.
pub fn seats(
    time: TimeAxis<'_>,
    buckets: &[Bucket],
    threshold: Option<f64>,
    title: &str,
) -> Document {
    let window = time.window;
    let axes = axes(window, buckets, threshold);
    let place = |ms: f64, value: f64| (axes.x(ms), axes.y(value));
    let mut chart = axes.chart(time, title);
    for gap in gaps(window, buckets) {
        let span = [gap.from, gap.to];
        chart = chart.add(axes.rectangle("gap", span, [axes.low, axes.high]));
    }
    let bands = buckets.iter().filter_map(|bucket| {
        let [lowest, _, highest] = bucket.seats?;
        (lowest < highest).then(|| step(window, bucket, [lowest, highest]))
    });
    for band in merge_equal(bands) {
        chart = chart.add(axes.rectangle("band", [band.from, band.to], band.value));
    }
    let mean = |bucket: &Bucket| bucket.seats.map(|[_, mean, _]| step(window, bucket, mean));
    for stretch in known_stretches(buckets.iter().map(mean)) {
        chart = chart.add(staircase(&stretch, &place));
    }
    if let Some(threshold) = threshold {
        let y = axes.y(threshold);
        chart = chart.add(line("threshold", [LEFT, SIZE.0 - RIGHT], [y, y]));
    }
    chart
}

fn axes(window: Window, buckets: &[Bucket], threshold: Option<f64>) -> Axes {
    let known = buckets.iter().filter_map(|bucket| bucket.seats);
    let values = known
        .flat_map(|[lowest, _, highest]| [lowest, highest])
        .chain(threshold);
    let (low, high) = values.fold((0.0, 1.0), |(low, high), value: f64| {
        (value.min(low), value.max(high))
    });
    Axes::new(window, low, high)
}

/// A value over the time of a bucket.
fn step<T>(window: Window, bucket: &Bucket, value: T) -> Step<T> {
    let from_ms = bucket.from.as_millisecond();
    Step {
        from: from_ms as f64,
        to: (from_ms + window.part_ms) as f64,
        value,
    }
}

/// The times when nothing was known; the whole window if nothing was recorded.
fn gaps(window: Window, buckets: &[Bucket]) -> Vec<Step<()>> {
    if buckets.is_empty() {
        return vec![Step {
            from: window.from_ms as f64,
            to: window.to_ms as f64,
            value: (),
        }];
    }
    let unknown = buckets.iter().filter(|bucket| bucket.seats.is_none());
    merge_equal(unknown.map(|bucket| step(window, bucket, ())))
}
