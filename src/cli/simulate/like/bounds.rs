//! The bounds of the numbers in a report. Reports are files that people edit, and a number beyond them would ask the impossible of a simulator.

use std::ops::RangeInclusive;

use anyhow::ensure;

use crate::server::check::survey::{Count, Findings};

/// Ten times the largest count that a survey believes.
const MOST_ROWS: i128 = 10_000_000;

/// Dates have years from -9999 to 9999, so this many seconds lie between two of them at most.
const LONGEST: i128 = 20_000 * 366 * 86_400;

/// A request times out long before an hour, in milliseconds.
const SLOWEST: i128 = 3_600_000;

/// A number that may be missing, with its place in the report.
type Found = (&'static str, Option<i128>);

/// Checks all numbers.
///
/// # Errors
/// The first that no survey finds, with its place and its bounds.
pub(super) fn check(found: &Findings) -> anyhow::Result<()> {
    within(rows(found), 0..=MOST_ROWS)?;
    within(shares(found), 0..=100)?;
    within(differences(found), -MOST_ROWS..=MOST_ROWS)?;
    within(clocks(found), -LONGEST..=LONGEST)?;
    within(
        [("latency_ms", found.latency_ms.map(i128::from))],
        0..=SLOWEST,
    )
}

fn within<const N: usize>(found: [Found; N], bounds: RangeInclusive<i128>) -> anyhow::Result<()> {
    for (place, number) in found {
        ensure!(
            number.is_none_or(|number| bounds.contains(&number)),
            "found.{place} is {}; it must be between {} and {}",
            number.unwrap_or_default(),
            bounds.start(),
            bounds.end()
        );
    }
    Ok(())
}

fn rows(found: &Findings) -> [Found; 10] {
    let people = found.people.unwrap_or_default();
    let size = |number: Option<u64>| number.map(i128::from);
    [
        ("queues", size(found.queues)),
        ("statuses", size(found.statuses)),
        ("agents", size(found.agents)),
        ("default_page_size", size(found.default_page_size)),
        ("largest_page", size(found.largest_page)),
        ("people.listed", size(Some(people.listed))),
        ("people.available", size(Some(people.available))),
        (
            "people.available_on_call",
            size(Some(people.available_on_call)),
        ),
        (
            "people.available_not_ready",
            size(Some(people.available_not_ready)),
        ),
        ("people.on_call", size(Some(people.on_call))),
    ]
}

fn shares(found: &Findings) -> [Found; 1] {
    [("undated_percent", found.undated_percent.map(i128::from))]
}

fn differences(found: &Findings) -> [Found; 1] {
    let off = match found.count {
        Some(Count::OffBy(off)) => Some(off.into()),
        _ => None,
    };
    [("count.off_by", off)]
}

fn clocks(found: &Findings) -> [Found; 2] {
    [
        (
            "clock_ahead_seconds",
            found.clock_ahead_seconds.map(i128::from),
        ),
        (
            "newest_change_ahead_seconds",
            found.newest_change_ahead_seconds.map(i128::from),
        ),
    ]
}
