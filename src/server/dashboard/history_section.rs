//! The history of a queue: its seats and decisions over time, and the last changes.

use std::sync::Arc;

use maud::{Markup, html};
use strum::VariantArray as _;

use super::{
    charts::{self, Column, TimeAxis},
    components::{Standing, answer_badge},
    form::Form,
    history::{HistoryReader, Look, look},
    period::{Period, Window},
    what_if::{self, Rule, Trial},
    wording,
    zone::Zone,
};
use crate::{
    decision::{Reason, board::QueueKey},
    model::quantity::Quantity,
    server::state::{app::App, pool::Undone},
    state::history::{Bucket, Decided, History, HistoryError, Sample},
};

/// The most changes to list: as many as a person reads at a glance.
const MAX_CHANGES: usize = 12;

/// The recorded history of a queue in a period.
pub(super) struct Recorded {
    seats: (Window, Vec<Bucket>),
    decisions: (Window, Vec<Column>),
    changes: Vec<Sample>,
    /// The result of trying another rule, if the request asks for one.
    pub(super) trial: Option<Trial>,
}

impl Recorded {
    /// The time over which rules are compared.
    pub(super) fn window(&self) -> Window {
        self.seats.0
    }
}

/// Reads a queue's history, and tries the rule that the form asks for.
///
/// # Errors
/// Too many reads are requested at once.
pub(super) async fn read(
    app: &App,
    reader: &HistoryReader,
    standing: &Standing,
    period: Period,
    form: Arc<Form>,
) -> Result<Look<Recorded>, Undone> {
    let (key, now, rule) = (
        standing.queue.key.clone(),
        standing.now,
        Rule::of_queue(standing),
    );
    look(app, reader, move |history| {
        let seats = period.window(now, period.seats_part());
        let decisions = period.window(now, period.decisions_part());
        let decided = history.decisions(&key, decisions.range()?)?;
        let recorded = Recorded {
            seats: (seats, history.series(&key, seats.range()?)?),
            decisions: (decisions, columns(&decided)),
            changes: history.changes(&key, MAX_CHANGES as u32)?,
            trial: None,
        };
        // Last, in the remaining time: compiling criteria takes a moment too.
        let trial = trial(history, &key, seats, &form, rule)?;
        Ok(Recorded { trial, ..recorded })
    })
    .await
}

fn trial(
    history: &History,
    key: &QueueKey,
    window: Window,
    form: &Form,
    rule: Option<Rule>,
) -> Result<Option<Trial>, HistoryError> {
    let other = match form.other_rule(rule) {
        Ok(Some(other)) => other,
        Ok(None) => return Ok(None),
        Err(why) => return Ok(Some(Trial::Refused(why))),
    };
    let Some(rule) = rule else {
        let why = "It is not known yet what this queue’s rule compares.";
        return Ok(Some(Trial::Refused(why.to_owned())));
    };
    Ok(Some(
        match what_if::answers(history, key, window, &other, rule) {
            Ok(answers) => Trial::Answered(other, answers),
            Err(error @ HistoryError::TooLong(_)) => Trial::Stopped(error),
            Err(error) => return Err(error),
        },
    ))
}

/// Groups decisions into columns.
fn columns(decided: &[Decided]) -> Vec<Column> {
    let mut columns = Vec::<Column>::new();
    for one in decided {
        let from_ms = one.from.as_millisecond();
        if columns.last().is_none_or(|last| last.from_ms != from_ms) {
            columns.push(Column {
                from_ms,
                ..Column::default()
            });
        }
        let Some(column) = columns.last_mut() else {
            continue;
        };
        let reason = Reason::ALL
            .iter()
            .find(|known| known.as_str() == one.reason);
        match (reason.is_some_and(|reason| reason.is_known()), &*one.result) {
            (true, "accept") => column.accepted += one.count,
            (true, _) => column.rejected += one.count,
            (false, _) => column.unknown += one.count,
        }
    }
    columns
}

/// The charts of a period, with links to the other periods.
pub(super) fn charts(
    look: &Look<Recorded>,
    standing: &Standing,
    period: Period,
    address: &str,
) -> Markup {
    html! {
        section aria-labelledby="history" {
            header.row {
                h2 #history { "The last " (period.name()) ", in " (standing.zone.label_at(standing.now)) }
                nav.periods aria-label="How far back" {
                    @for other in Period::VARIANTS {
                        a href={ (address) "?range=" (other.as_str()) } aria-current=[(*other == period).then_some("true")] { (other.name()) }
                    }
                }
            }
            @match look {
                Look::NotKept => p.none { "Nothing is recorded. To record a history, set " code { "dir" } " under " code { "[state]" } " in the config, and " code { "history_days" } " above 0." },
                Look::NotYet => p.none { "Nothing has been recorded yet. The first counts are recorded some seconds after the first poll." },
                Look::Unreadable(why) => p.none { "The history cannot be shown: " (why) "." },
                Look::Seen(recorded) => div.charts {
                    (seats(recorded, standing, period))
                    (decisions(recorded, standing, period))
                },
            }
        }
    }
}

fn seats(recorded: &Recorded, standing: &Standing, period: Period) -> Markup {
    let (window, buckets) = &recorded.seats;
    let threshold = standing.queue.rules.policy.threshold.map(Quantity::get);
    let title = format!("Seats over the last {}", period.name());
    let time = TimeAxis {
        period,
        window: *window,
        zone: &standing.zone,
    };
    html! {
        figure {
            figcaption { b { "Seats" } " " (summary(*window, buckets)) }
            (charts::inline(&charts::seats(time, buckets, threshold, &title)))
            p.legend {
                span.swatch.line-swatch aria-hidden="true" {} "mean, "
                span.swatch.band-swatch aria-hidden="true" {} "lowest to highest, "
                span.swatch.gap-swatch aria-hidden="true" {} "unknown"
                @if threshold.is_some() { ", " span.swatch.threshold-swatch aria-hidden="true" {} "threshold" }
            }
        }
    }
}

/// The chart as text, for people who cannot see it.
fn summary(window: Window, buckets: &[Bucket]) -> String {
    let known = buckets.iter().filter_map(|bucket| bucket.seats);
    let ends = known.fold(None, |ends: Option<(f64, f64)>, [least, _, most]| {
        let (low, high) = ends.unwrap_or((least, most));
        Some((low.min(least), high.max(most)))
    });
    let Some((low, high)) = ends else {
        return "never known".to_owned();
    };
    let known: std::time::Duration = buckets.iter().map(|bucket| bucket.known).sum();
    let share = wording::share(known.as_millis() as f64 / window.length_ms() as f64);
    match low == high {
        true => format!("always {low}, known for {share} of the time"),
        false => format!("between {low} and {high}, known for {share} of the time"),
    }
}

fn decisions(recorded: &Recorded, standing: &Standing, period: Period) -> Markup {
    let (window, columns) = &recorded.decisions;
    let total: u64 = columns.iter().map(Column::total).sum();
    let accepted: u64 = columns.iter().map(|column| column.accepted).sum();
    let unknown: u64 = columns.iter().map(|column| column.unknown).sum();
    let title = format!("Decisions over the last {}", period.name());
    let time = TimeAxis {
        period,
        window: *window,
        zone: &standing.zone,
    };
    html! {
        figure {
            figcaption {
                b { "Decisions" } " "
                @match total {
                    0 => "none recorded",
                    total => {
                        (total) " given, " (accepted) " to accept"
                        @if unknown > 0 { ", " (unknown) " without usable data" }
                    }
                }
            }
            (charts::inline(&charts::decisions(time, columns, &title)))
            p.legend {
                span.swatch.ready aria-hidden="true" {} "accept, "
                span.swatch.rejected-swatch aria-hidden="true" {} "reject, "
                span.swatch.unknown-swatch aria-hidden="true" {} "without usable data, accepted or rejected"
            }
        }
    }
}

/// A change of a decision or of seats.
struct Change {
    at_ms: i64,
    accept: Option<bool>,
    why: &'static str,
    seats: Option<Quantity>,
}

/// The last changes: of decisions within the log of decisions, and of seats before that.
pub(super) fn changes(app: &App, look: &Look<Recorded>, standing: &Standing) -> Markup {
    let decided = app.watch.recent(&standing.queue.key, MAX_CHANGES);
    let mut changes: Vec<_> = decided
        .iter()
        .map(|(at, decision)| Change {
            at_ms: at.timestamp().as_millisecond(),
            accept: Some(decision.accept),
            why: wording::why(decision.reason),
            seats: decision.count,
        })
        .collect();
    let oldest_ms = changes.last().map_or(i64::MAX, |change| change.at_ms);
    if let Look::Seen(recorded) = look {
        let rule = Rule::of_queue(standing);
        let older = recorded.changes.iter().map(|sample| Change {
            at_ms: sample.at.as_millisecond(),
            accept: rule.and_then(|rule| rule.accepts(sample.seats?)),
            why: "by the current rule",
            seats: sample.seats.and_then(Quantity::new),
        });
        changes.extend(older.filter(|change| change.at_ms < oldest_ms));
    }
    changes.truncate(MAX_CHANGES);
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Last changes, in " (standing.zone.label_at(standing.now)) }
            @if changes.is_empty() { p.none { "Nothing has changed yet." } }
            @else {
                div.wide tabindex="0" role="group" aria-label="Table of changes" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Decision" } th scope="col" { "Seats" } th scope="col" { "Why" } } }
                        tbody { @for change in &changes { (row(change, &standing.zone)) } }
                    }
                }
            }
        }
    }
}

fn row(change: &Change, zone: &Zone) -> Markup {
    html! {
        tr {
            td.span { (zone.date(change.at_ms)) }
            td { (answer_badge(change.accept, "unknown")) }
            td { @match change.seats { Some(seats) => (seats), None => span.none { "unknown" } } }
            td.why { (change.why) }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn decisions_without_usable_data_are_counted_separately() {
        let decided = |minute: i64, result: &str, reason: &str, count| Decided {
            from: Timestamp::from_second(minute * 60).expect("a moment"),
            result: result.to_owned(),
            reason: reason.to_owned(),
            count,
        };
        let columns = columns(&[
            decided(0, "accept", "seats", 5),
            decided(0, "accept", "upstream_down", 2),
            decided(0, "reject", "reserved", 1),
            decided(3, "reject", "too_old", 4),
        ]);
        let column = |from_ms, accepted, rejected, unknown| Column {
            from_ms,
            accepted,
            rejected,
            unknown,
        };
        assert_eq!(columns, [column(0, 5, 1, 2), column(180_000, 0, 0, 4)]);
    }
}
