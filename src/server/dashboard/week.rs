//! The pattern of the week: how many seats a queue usually has, by hour and day, in the viewer's zone.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    history::{Look, Pattern},
    zone::Zone,
};
use crate::state::history::Bucket;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOURS: usize = 24;

/// How many shades cells have, besides their number.
const SHADES: f64 = 4.0;

/// Seats by day and hour: the sum of seats × seconds, and the seconds in which they were known.
type Week = [[(f64, f64); HOURS]; DAYS.len()];

/// The mean seats of an hour.
fn mean((sum, seconds): (f64, f64)) -> Option<f64> {
    (seconds > 0.0).then(|| sum / seconds)
}

fn week(buckets: &[Bucket], zone: &Zone) -> Week {
    let mut week = Week::default();
    for bucket in buckets {
        let Some([_, seats, _]) = bucket.seats else {
            continue;
        };
        let at = zone.zoned(bucket.from.as_millisecond());
        let day = at.weekday().to_monday_zero_offset() as usize;
        let cell = &mut week[day][at.hour() as usize];
        let seconds = bucket.known.as_secs_f64();
        cell.0 += seats * seconds;
        cell.1 += seconds;
    }
    week
}

/// The section of a queue's page.
pub(super) fn section(look: &Look<Pattern>, zone: &Zone, now_ms: i64) -> Markup {
    let buckets = match look {
        Look::Seen(buckets) if !buckets.is_empty() => buckets,
        // The charts above say why there are none.
        Look::NotKept => return html! {},
        _ => &Vec::new(),
    };
    html! {
        section aria-labelledby="week" {
            h2 #week { "Seats by hour of the week, in " (zone.label(now_ms)) }
            @if buckets.is_empty() { p.none { "Nothing to show yet: this fills up every quarter of an hour." } }
            @else {
                p.none { "The mean over the time in which they were known, " (over(buckets)) ". Darker cells have more seats; an empty cell is unknown." }
                (table(&week(buckets, zone)))
            }
        }
    }
}

/// How far back the pattern goes.
fn over(buckets: &[Bucket]) -> String {
    let starts = buckets.iter().map(|bucket| bucket.from.as_millisecond());
    let ends = (starts.clone().min(), starts.max());
    let (Some(first), Some(last)) = ends else {
        return "so far".to_owned();
    };
    let days = Duration::from_millis(first.abs_diff(last)).as_secs_f64() / 86_400.0;
    match days.round() as u32 {
        0 | 1 => "over the last day".to_owned(),
        days => format!("over the last {days} days"),
    }
}

fn table(week: &Week) -> Markup {
    let means = week.iter().flatten().filter_map(|cell| mean(*cell));
    let most = means.fold(1.0, f64::max);
    html! {
        div.wide tabindex="0" role="group" aria-label="Table of seats by hour" {
            table.week {
                thead { tr { th scope="col" { "Day" } @for hour in 0..HOURS { th scope="col" { (format!("{hour:02}")) } } } }
                tbody { @for (day, hours) in DAYS.iter().zip(week) {
                    tr {
                        th scope="row" { (day) }
                        @for cell in hours {
                            @match mean(*cell) {
                                Some(mean) => td class={ "h" (shade(mean, most)) } { (number(mean)) },
                                None => td {},
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// 0 for no seats, up to [`SHADES`] for the most.
fn shade(mean: f64, most: f64) -> u32 {
    (mean.max(0.0) / most * SHADES).ceil() as u32
}

/// Short enough for a cell. Only no seats at all are shown as 0.
fn number(mean: f64) -> String {
    match mean {
        few if few > 0.0 && few < 0.05 => "<0.1".to_owned(),
        mean if mean < 9.95 => ((mean * 10.0).round() / 10.0).to_string(),
        mean => format!("{mean:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};
    use jiff::Timestamp;

    use super::*;

    fn bucket(at: &str, seats: f64, minutes: u64) -> Bucket {
        Bucket {
            from: at.parse::<Timestamp>().expect("a moment"),
            known: Duration::from_secs(60 * minutes),
            seats: Some([seats; 3]),
            ..Bucket::default()
        }
    }

    fn berlin() -> Zone {
        let mut headers = HeaderMap::new();
        let cookie = "openseat_zone=Europe/Berlin";
        headers.insert(header::COOKIE, cookie.parse().expect("a header"));
        Zone::from_request(&headers)
    }

    #[test]
    fn hours_are_in_the_viewers_zone_on_both_sides_of_a_clock_change() {
        // A Sunday, an hour before midnight in Berlin; summer time ends on 25 October.
        let before = bucket("2026-10-18T21:00:00Z", 4.0, 15);
        let after = bucket("2026-10-25T22:00:00Z", 1.0, 5);
        let week = week(&[before, after], &berlin());
        assert_eq!(mean(week[6][23]), Some((4.0 * 15.0 + 1.0 * 5.0) / 20.0));
        let known = week.iter().flatten().filter(|cell| mean(**cell).is_some());
        assert_eq!(known.count(), 1);
    }

    #[test]
    fn an_hour_without_seats_is_not_an_unknown_hour() {
        let none = bucket("2026-11-23T10:00:00Z", 0.0, 15);
        let some = bucket("2026-11-23T11:00:00Z", 2.5, 15);
        let page = section(&Look::Seen(vec![none, some]), &Zone::utc(), 0).into_string();
        assert!(page.contains(r#"<td class="h0">0</td><td class="h4">2.5</td><td></td>"#));
    }

    #[test]
    fn only_zero_is_shown_as_0() {
        let shown = [0.0, 0.01, 0.5, 1.02, 9.94, 9.96, 12.4].map(number);
        assert_eq!(shown, ["0", "<0.1", "0.5", "1", "9.9", "10", "12"]);
        assert_eq!(
            [0.0, 0.1, 5.0, 10.0].map(|mean| shade(mean, 10.0)),
            [0, 1, 2, 4]
        );
    }
}
