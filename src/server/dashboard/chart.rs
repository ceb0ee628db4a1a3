//! Drawings, as SVG. They bear classes and no colours: the stylesheet knows those, in light and dark.
//!
//! An unknown is a gap, never a line at zero. `svg` leaves quotation marks in attributes as they are, so attributes here are numbers and
//! words of our own; names are texts, which it escapes.

use maud::{Markup, PreEscaped};
use svg::{
    Document,
    node::element::{Group, Path, Rectangle, Style, Title, path::Data},
};

use super::{
    axes::{Frame, LEFT, RIGHT, SIZE, line, rounded, text},
    history::{Period, Window},
    what_if::Held,
};
use crate::state::history::read::Bucket;

/// The looks of a chart that stands alone, where no stylesheet is.
const LOOKS: &str = include_str!("chart.css");

/// A bar of parts, each as wide as its count, with its class. It shows what stands beside it in words.
pub(super) fn bar(parts: &[(u32, &str)]) -> Markup {
    let all: u32 = parts.iter().map(|(count, _)| count).sum();
    let mut bar = Document::new()
        .set("class", "bar")
        .set("viewBox", (0, 0, all.max(1), 1))
        .set("preserveAspectRatio", "none")
        .set("aria-hidden", "true");
    let mut from = 0;
    for (count, class) in parts {
        let part = Rectangle::new()
            .set("class", *class)
            .set("x", from)
            .set("width", *count)
            .set("height", 1);
        bar = bar.add(part);
        from += count;
    }
    inline(&bar)
}

/// The course of a number without axes, to be seen beside the number.
pub(super) fn sparkline(values: &[Option<f64>]) -> Markup {
    let top = values.iter().flatten().copied().fold(1.0, f64::max);
    let length = values.len().max(1) as f64;
    let place = |n: f64, value: f64| (n, rounded(1.0 + 22.0 * (1.0 - value.max(0.0) / top)));
    let drawing = Document::new()
        .set("class", "spark")
        .set("viewBox", (0, 0, length, 24))
        .set("preserveAspectRatio", "none")
        .set("role", "img")
        .add(Title::new("Seats over the last hour"));
    let gaps = merged(values.iter().enumerate().filter_map(|(n, value)| {
        value.is_none().then_some(Step {
            from: n as f64,
            to: (n + 1) as f64,
            value: (),
        })
    }));
    let drawing = gaps.iter().fold(drawing, |drawing, gap| {
        let part = Rectangle::new().set("class", "gap").set("x", gap.from);
        drawing.add(part.set("width", gap.to - gap.from).set("height", 24))
    });
    let steps = runs(values.iter().enumerate().map(|(n, value)| {
        value.map(|value| Step {
            from: n as f64,
            to: (n + 1) as f64,
            value,
        })
    }));
    let drawing = steps.iter().fold(drawing, |drawing, run| {
        drawing.add(
            Path::new()
                .set("class", "line")
                .set("d", staircase(run, &place)),
        )
    });
    inline(&drawing)
}

/// What was true from here to there.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step<T = f64> {
    from: f64,
    to: f64,
    value: T,
}

/// Neighbours of the same value become one: most of a drawing's bytes would say the same again.
fn merged<T: PartialEq>(steps: impl Iterator<Item = Step<T>>) -> Vec<Step<T>> {
    let mut merged = Vec::<Step<T>>::new();
    for step in steps {
        match merged.last_mut() {
            Some(last) if last.to == step.from && last.value == step.value => last.to = step.to,
            _ => merged.push(step),
        }
    }
    merged
}

/// Splits where something is unknown.
fn runs(steps: impl Iterator<Item = Option<Step>>) -> Vec<Vec<Step>> {
    let mut runs = vec![Vec::new()];
    for step in steps {
        match (step, runs.last_mut()) {
            (Some(step), Some(run)) => run.push(step),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    let runs = runs.into_iter().map(|run| merged(run.into_iter()));
    runs.collect()
}

/// A line that stays level as long as a value holds: between two known numbers nothing is made up.
fn staircase(run: &[Step], place: &impl Fn(f64, f64) -> (f64, f64)) -> Data {
    let mut data = Data::new();
    for (n, step) in run.iter().enumerate() {
        let (x, y) = place(step.from, step.value);
        data = match n {
            0 => data.move_to((x, y)),
            _ => data.vertical_line_to(y),
        };
        data = data.horizontal_line_to(place(step.to, step.value).0);
    }
    data
}

/// A chart in the making: its frame, its title for those who do not see it.
fn chart(frame: Frame, period: Period, title: &str) -> Document {
    Document::new()
        .set("class", "chart")
        .set("viewBox", (0, 0, SIZE.0, SIZE.1))
        .set("role", "img")
        .add(Title::new(title))
        .add(frame.axes(period))
}

/// Seats over time: the mean as a line, least and most as a band, the threshold across, and gaps where nothing is known.
pub(super) fn seats(
    period: Period,
    window: Window,
    buckets: &[Bucket],
    threshold: Option<f64>,
    title: &str,
) -> Document {
    let known = buckets.iter().filter_map(|bucket| bucket.seats);
    let numbers = known
        .flat_map(|[least, _, most]| [least, most])
        .chain(threshold);
    let (low, high) = numbers.fold((0.0, 1.0), |(low, high), number: f64| {
        (number.min(low), number.max(high))
    });
    let frame = Frame::new(window, low, high);
    let place = |ms: f64, value: f64| (frame.x(ms), frame.y(value));
    let mean = |bucket: &Bucket| bucket.seats.map(|[_, mean, _]| span(window, bucket, mean));
    let mut drawing = chart(frame, period, title);
    for gap in gaps(window, buckets) {
        let time = [gap.from, gap.to];
        drawing = drawing.add(frame.rectangle("gap", time, [frame.low, frame.high]));
    }
    let bands = buckets.iter().filter_map(|bucket| {
        let [least, _, most] = bucket.seats?;
        (least < most).then(|| span(window, bucket, [least, most]))
    });
    for band in merged(bands) {
        drawing = drawing.add(frame.rectangle("band", [band.from, band.to], band.value));
    }
    for run in runs(buckets.iter().map(mean)) {
        let path = Path::new()
            .set("class", "line")
            .set("d", staircase(&run, &place));
        drawing = drawing.add(path);
    }
    if let Some(threshold) = threshold {
        let y = frame.y(threshold);
        drawing = drawing.add(line("threshold", [LEFT, SIZE.0 - RIGHT], [y, y]));
    }
    drawing
}

/// A value over the time of a bucket.
fn span<T>(window: Window, bucket: &Bucket, value: T) -> Step<T> {
    let from_ms = bucket.from.as_millisecond();
    Step {
        from: from_ms as f64,
        to: (from_ms + window.part_ms) as f64,
        value,
    }
}

/// When nothing was known: all the time, where nothing was recorded.
fn gaps(window: Window, buckets: &[Bucket]) -> Vec<Step<()>> {
    if buckets.is_empty() {
        return vec![Step {
            from: window.from_ms as f64,
            to: window.to_ms as f64,
            value: (),
        }];
    }
    let unknown = buckets.iter().filter(|bucket| bucket.seats.is_none());
    merged(unknown.map(|bucket| span(window, bucket, ())))
}

/// Decisions in a part of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) from_ms: i64,
    /// On knowledge.
    pub(super) accepted: u64,
    /// On knowledge.
    pub(super) rejected: u64,
    /// Whatever was answered.
    pub(super) unknown: u64,
}

impl Column {
    pub(super) fn all(&self) -> u64 {
        self.accepted + self.rejected + self.unknown
    }
}

/// Decisions over time, in columns of what was answered.
pub(super) fn decisions(
    period: Period,
    window: Window,
    columns: &[Column],
    title: &str,
) -> Document {
    let most = columns.iter().map(Column::all).max().unwrap_or_default();
    let frame = Frame::new(window, 0.0, most as f64);
    let mut drawing = chart(frame, period, title);
    for column in columns {
        let from = column.from_ms as f64;
        // A tenth of a column keeps it apart from the next one.
        let time = [from, from + window.part_ms as f64 * 0.9];
        let mut below = 0.0;
        let parts = [
            ("accepted", column.accepted),
            ("rejected", column.rejected),
            ("unknown", column.unknown),
        ];
        for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            let above = below + count as f64;
            drawing = drawing.add(frame.rectangle(class, time, [below, above]));
            below = above;
        }
    }
    drawing
}

/// The height of a drawing of two rules: two rows with a line of text above each, and the axis.
const STRIPS: f64 = 124.0;

/// What two rules answer, one below the other.
pub(super) fn strips(period: Period, window: Window, answers: [&[Held]; 2]) -> Document {
    let frame = Frame::new(window, 0.0, 1.0);
    let mut drawing = Document::new()
        .set("class", "chart")
        .set("viewBox", (0, SIZE.1 - STRIPS, SIZE.0, STRIPS))
        .set("role", "img")
        .add(Title::new("What both rules accept over time"))
        .add(frame.times(period));
    for ((answers, name), row) in answers
        .into_iter()
        .zip(["present rule", "asked about"])
        .zip(0_u8..)
    {
        let top = SIZE.1 - STRIPS + 44.0 * f64::from(row);
        drawing = drawing.add(text("start", LEFT, top + 14.0, name));
        for held in answers {
            let class = if held.accept { "accepted" } else { "rejected" };
            let (x, end) = (frame.x(held.from_ms as f64), frame.x(held.to_ms as f64));
            let part = Rectangle::new()
                .set("class", class)
                .set("x", x)
                .set("y", top + 20.0)
                // One that is shorter than a pixel is still to be seen.
                .set("width", rounded((end - x).max(1.0)))
                // By height, too, and not by colour alone.
                .set("height", if held.accept { 20.0 } else { 8.0 });
            drawing = drawing.add(part);
        }
    }
    drawing
}

/// Inside a page.
pub(super) fn inline(drawing: &Document) -> Markup {
    PreEscaped(drawing.to_string())
}

/// A file of its own: with its looks, a ground and a heading.
pub(super) fn alone(drawing: Document, heading: &str) -> String {
    let (width, height) = SIZE;
    let head = 28.0;
    let ground = Rectangle::new()
        .set("class", "ground")
        .set("width", width)
        .set("height", height + head);
    let whole = Document::new()
        .set("viewBox", (0, 0, width, height + head))
        .set("width", width)
        .set("height", height + head)
        .set("role", "img")
        .add(Title::new(heading))
        .add(Style::new(LOOKS))
        .add(ground)
        .add(text("start", 12.0, 22.0, heading).set("class", "heading"))
        .add(
            Group::new()
                .set("transform", format!("translate(0 {head})"))
                .add(drawing.set("width", width).set("height", height)),
        );
    whole.to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

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
    fn an_unknown_is_a_gap_and_never_a_line_at_zero() {
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
    fn a_sparkline_has_gaps_too() {
        let spark = sparkline(&[Some(1.0), None, None, Some(2.0), Some(2.0)]).into_string();
        assert_eq!(spark.matches("<path").count(), 2, "{spark}");
        assert!(!sparkline(&[None; 60]).into_string().contains("<path"));
    }

    #[test]
    fn neighbours_that_are_equal_are_one() {
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
    fn where_nothing_was_recorded_all_is_a_gap() {
        let chart = super::seats(Period::Hour, window(10), &[], None, "Seats").to_string();
        assert_eq!(chart.matches(r#"class="gap""#).count(), 1, "{chart}");
        assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
    }

    #[test]
    fn names_are_texts() {
        let hostile = "<script>\"'&";
        let picture = alone(drawn_document(), hostile);
        assert!(picture.contains("&lt;script&gt;\"'&amp;"), "{picture}");
        assert!(!picture.contains("<script"), "{picture}");
    }

    fn drawn_document() -> Document {
        seats(Period::Hour, window(1), &[], Some(2.0), "Seats")
    }
}
