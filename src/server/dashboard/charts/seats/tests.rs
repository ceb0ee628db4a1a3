use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::server::dashboard::{charts::standalone, period::Period, zone::Zone};

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

fn seats_over(window: Window, buckets: &[Bucket], threshold: Option<f64>) -> Document {
    let zone = Zone::utc();
    let time = TimeAxis {
        period: Period::Hour,
        window,
        zone: &zone,
    };
    super::seats(time, buckets, threshold, "Seats")
}

fn drawn(seats: &[Option<f64>]) -> String {
    let buckets = seats.iter().zip(0..);
    let buckets: Vec<_> = buckets.map(|(seats, n)| bucket(n, *seats)).collect();
    let window = window(buckets.len() as i64);
    seats_over(window, &buckets, None).to_string()
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
    let bands = seats_over(window(6), &bands, None).to_string();
    assert_eq!(bands.matches(r#"class="band""#).count(), 3, "{bands}");
}

#[test]
fn without_records_the_whole_chart_is_a_gap() {
    let chart = seats_over(window(10), &[], None).to_string();
    assert_eq!(chart.matches(r#"class="gap""#).count(), 1, "{chart}");
    assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
}

#[test]
fn names_are_escaped() {
    let hostile = "<script>\"'&";
    let chart = seats_over(window(1), &[], Some(2.0));
    let picture = standalone(chart, hostile);
    assert!(picture.contains("&lt;script&gt;\"'&amp;"), "{picture}");
    assert!(!picture.contains("<script"), "{picture}");
}
