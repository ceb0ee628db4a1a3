//! Seats over time: the chart with axes, and the sparkline of a card.

use maud::Markup;
use svg::{
    Document,
    node::element::{Rectangle, Title},
};

use super::{
    axes::{Axes, LEFT, RIGHT, SIZE, line, rounded},
    inline,
    steps::{Step, known_stretches, merge_equal, staircase},
};
use crate::{
    server::dashboard::period::{Period, Window},
    state::history::Bucket,
};

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

/// Seats over time: the mean as a line, lowest to highest as a band, the threshold as a dashed line, and gaps where nothing is known.
pub fn seats(
    period: Period,
    window: Window,
    buckets: &[Bucket],
    threshold: Option<f64>,
    title: &str,
) -> Document {
    let axes = axes(window, buckets, threshold);
    let place = |ms: f64, value: f64| (axes.x(ms), axes.y(value));
    let mut chart = axes.chart(period, title);
    for gap in gaps(window, buckets) {
        let time = [gap.from, gap.to];
        chart = chart.add(axes.rectangle("gap", time, [axes.low, axes.high]));
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

/// When nothing was known; the whole window if nothing was recorded.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::server::dashboard::charts::standalone;

    const MINUTE_MS: i64 = 60_000;

    fn window(parts: i64) -> Window {
        Window {
            from_ms: 0,
            to_ms: parts * MINUTE_MS,
            part_ms: MINUTE_MS,
        }
    }

    fn bucket(n: i64, seats: Option<f64>) -> Bucket {
        Bucket {
            from: Timestamp::from_millisecond(n * MINUTE_MS).expect("a moment"),
            known: Duration::ZERO,
            seats: seats.map(|seats| [seats; 3]),
            agents: Default::default(),
        }
    }

    fn drawn(seats: &[Option<f64>]) -> String {
        let buckets = seats.iter().zip(0..);
        let buckets: Vec<_> = buckets.map(|(seats, n)| bucket(n, *seats)).collect();
        let window = window(buckets.len() as i64);
        super::seats(Period::Hour, window, &buckets, None, "Seats").to_string()
    }

    #[test]
    fn unknown_values_are_gaps_and_never_a_line_at_zero() {
        let chart = drawn(&[Some(3.0), None, Some(3.0)]);
        assert_eq!(chart.matches(r#"class="line""#).count(), 2, "{chart}");
        assert_eq!(chart.matches(r#"class="gap""#).count(), 1, "{chart}");
        let nothing = drawn(&[None, None]);
        assert_eq!(nothing.matches(r#"class="line""#).count(), 0, "{nothing}");
        let zero = drawn(&[Some(0.0), Some(0.0)]);
        assert_eq!(zero.matches(r#"class="line""#).count(), 1, "{zero}");
        assert_eq!(zero.matches(r#"class="gap""#).count(), 0, "{zero}");
    }

    #[test]
    fn sparklines_have_gaps_too() {
        let spark = sparkline(&[Some(1.0), None, None, Some(2.0), Some(2.0)]).into_string();
        assert_eq!(spark.matches("<path").count(), 2, "{spark}");
        assert!(!sparkline(&[None; 60]).into_string().contains("<path"));
    }

    #[test]
    fn equal_neighbours_are_merged() {
        let spark = sparkline(&[None; 60]).into_string();
        assert_eq!(spark.matches("<rect").count(), 1, "{spark}");
        let level = sparkline(&[Some(3.0); 60]).into_string();
        assert!(level.len() < 400, "{level}");
        let chart = drawn(&[None; 120]);
        assert_eq!(chart.matches(r#"class="gap""#).count(), 1, "{chart}");
        let apart = drawn(&[None, Some(1.0), None, None, Some(1.0), None]);
        assert_eq!(apart.matches(r#"class="gap""#).count(), 3, "{apart}");
        let mut bands: Vec<_> = (0..6).map(|n| bucket(n, Some(1.0))).collect();
        for (n, most) in [(0, 2.0), (1, 2.0), (2, 3.0), (4, 3.0)] {
            bands[n].seats = Some([0.0, 1.0, most]);
        }
        let chart = super::seats(Period::Hour, window(6), &bands, None, "Seats").to_string();
        assert_eq!(chart.matches(r#"class="band""#).count(), 3, "{chart}");
    }

    #[test]
    fn without_records_the_whole_chart_is_a_gap() {
        let chart = super::seats(Period::Hour, window(10), &[], None, "Seats").to_string();
        assert_eq!(chart.matches(r#"class="gap""#).count(), 1, "{chart}");
        assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
    }

    #[test]
    fn names_are_escaped() {
        let hostile = "<script>\"'&";
        let chart = seats(Period::Hour, window(1), &[], Some(2.0), "Seats");
        let picture = standalone(chart, hostile);
        assert!(picture.contains("&lt;script&gt;\"'&amp;"), "{picture}");
        assert!(!picture.contains("<script"), "{picture}");
    }
}
