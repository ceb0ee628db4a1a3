//! How a queue came to where it is: its seats and decisions over time, and what changed.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};
use maud::{Markup, html};

use super::{
    chart::{self, Column},
    components::Standing,
    form::{Form, Wish},
    history::{Look, Past, Period, Window, look},
    pages::Pages,
    what_if::{self, Held, Rule},
    wording,
};
use crate::{
    decision::{Reason, board::QueueKey},
    model::quantity::Quantity,
    server::{
        http::{
            params::{Parameter, Params, Shape},
            problem::Problem,
            problem_types,
        },
        state::{
            app::{App, Queue},
            named_queue::NamedQueue,
            pool::Undone,
        },
    },
    state::history::{
        History,
        read::{Bucket, Decided, HOLDS_MS, HistoryError, Sample},
    },
};

/// Changes that a page lists: what a person reads at a glance.
const CHANGES: usize = 12;

/// Rows are read an hour at a time: unpacked, those of a queue of thousands take megabytes each.
const ROWS_AT_ONCE_MS: i64 = 3_600_000;

/// A chart that stands alone brings its looks along. Nothing in it can run, and nothing is loaded.
const PICTURE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// What was recorded of a queue in a period.
pub(super) struct Course {
    seats: (Window, Vec<Bucket>),
    decisions: (Window, Vec<Column>),
    changes: Vec<Sample>,
    /// What came of trying another rule, where one was asked about.
    pub(super) tried: Option<Tried>,
}

impl Course {
    /// The time in which rules are compared.
    pub(super) fn window(&self) -> Window {
        self.seats.0
    }
}

/// What came of trying another rule.
pub(super) enum Tried {
    /// The form makes no sense; why.
    Refused(String),
    /// The answers of the present rule and of the other one.
    Answered(Wish, [Vec<Held>; 2]),
    /// It took too long.
    Stopped(HistoryError),
}

/// Reads what was recorded of a queue, and tries the rule that a form asks about.
///
/// # Errors
/// Too many look back at once.
pub(super) async fn course(
    app: &App,
    past: &Past,
    standing: &Standing,
    period: Period,
    form: Arc<Form>,
) -> Result<Look<Course>, Undone> {
    let (key, now, rule) = (standing.queue.key.clone(), standing.now, Rule::of(standing));
    look(app, past, move |history| {
        let seats = period.window(now, period.seats());
        let decisions = period.window(now, period.decisions());
        let decided = history.decisions(&key, decisions.range()?)?;
        let course = Course {
            seats: (seats, history.series(&key, seats.range()?)?),
            decisions: (decisions, columns(&decided)),
            changes: history.changes(&key, CHANGES as u32)?,
            tried: None,
        };
        // Last, with the time that is left. To make a rule ready takes a moment, too.
        let tried = tried(history, &key, seats, &form, rule)?;
        Ok(Course { tried, ..course })
    })
    .await
}

fn tried(
    history: &History,
    key: &QueueKey,
    window: Window,
    form: &Form,
    rule: Option<Rule>,
) -> Result<Option<Tried>, HistoryError> {
    let wish = match form.wish(rule) {
        Ok(Some(wish)) => wish,
        Ok(None) => return Ok(None),
        Err(why) => return Ok(Some(Tried::Refused(why))),
    };
    let Some(rule) = rule else {
        let why = "Nothing is known yet of what this queue’s rule compares.";
        return Ok(Some(Tried::Refused(why.to_owned())));
    };
    Ok(Some(match answers(history, key, window, &wish, rule) {
        Ok(answers) => Tried::Answered(wish, answers),
        Err(error @ HistoryError::TooLong(_)) => Tried::Stopped(error),
        Err(error) => return Err(error),
    }))
}

fn answers(
    history: &History,
    key: &QueueKey,
    window: Window,
    wish: &Wish,
    rule: Rule,
) -> Result<[Vec<Held>; 2], HistoryError> {
    // What was known shortly before the window may hold in it.
    let early = Window {
        from_ms: window.from_ms - HOLDS_MS,
        ..window
    };
    let (from, to) = early.ends()?;
    let samples = history.samples(key, from, to)?;
    let present = what_if::by_rule(&samples, rule, window);
    let asked = match wish {
        Wish::Rule(rule) => what_if::by_rule(&samples, *rule, window),
        Wish::Criteria(criteria, threshold) => {
            let mut answers = Vec::new();
            for slice in early.slices(ROWS_AT_ONCE_MS) {
                let (from, to) = slice.ends()?;
                for rows in history.rows(key, from, to)? {
                    history.go_on()?;
                    answers.push(what_if::answer(&rows, criteria, *threshold));
                }
            }
            what_if::held(&answers, window)
        }
    };
    Ok([present, asked])
}

/// Decisions in columns, by what people want to know of them.
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

/// The charts of a period, and the way to the others.
pub(super) fn charts(
    look: &Look<Course>,
    standing: &Standing,
    period: Period,
    address: &str,
) -> Markup {
    html! {
        section aria-labelledby="course" {
            header.row {
                h2 #course { "The last " (period.name()) ", in UTC" }
                nav.periods aria-label="How far back" {
                    @for other in Period::ALL {
                        a href={ (address) "?range=" (other.word()) } aria-current=[(other == period).then_some("true")] { (other.name()) }
                    }
                }
            }
            @match look {
                Look::NotKept => p.none { "Nothing is recorded: that needs " code { "dir" } " under " code { "[state]" } " in the config, and " code { "history_days" } " above 0." },
                Look::NotYet => p.none { "Nothing has been recorded yet: the first counts are written down some seconds after the first poll." },
                Look::Unreadable(why) => p.none { "There is nothing to show: " (why) "." },
                Look::Seen(course) => div.charts {
                    (seats(course, standing, period))
                    (decisions(course, period))
                },
            }
        }
    }
}

fn seats(course: &Course, standing: &Standing, period: Period) -> Markup {
    let (window, buckets) = &course.seats;
    let threshold = standing.queue.policy.threshold.map(Quantity::get);
    let title = format!("Seats over the last {}", period.name());
    html! {
        figure {
            figcaption { b { "Seats" } " " (in_words(*window, buckets)) }
            (chart::inline(&chart::seats(period, *window, buckets, threshold, &title)))
            p.legend {
                span.swatch.line-swatch aria-hidden="true" {} "mean, "
                span.swatch.band-swatch aria-hidden="true" {} "least to most, "
                span.swatch.gap-swatch aria-hidden="true" {} "unknown"
                @if threshold.is_some() { ", " span.swatch.threshold-swatch aria-hidden="true" {} "threshold" }
            }
        }
    }
}

/// The chart in words, for people who cannot see it.
fn in_words(window: Window, buckets: &[Bucket]) -> String {
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

fn decisions(course: &Course, period: Period) -> Markup {
    let (window, columns) = &course.decisions;
    let all: u64 = columns.iter().map(Column::all).sum();
    let accepted: u64 = columns.iter().map(|column| column.accepted).sum();
    let unknown: u64 = columns.iter().map(|column| column.unknown).sum();
    let title = format!("Decisions over the last {}", period.name());
    html! {
        figure {
            figcaption {
                b { "Decisions" } " "
                @match all {
                    0 => "none recorded",
                    all => {
                        (all) " given, " (accepted) " to accept"
                        @if unknown > 0 { ", " (unknown) " without usable data" }
                    }
                }
            }
            (chart::inline(&chart::decisions(period, *window, columns, &title)))
            p.legend {
                span.swatch.ready aria-hidden="true" {} "accept, "
                span.swatch.rejected-swatch aria-hidden="true" {} "reject, "
                span.swatch.unknown-swatch aria-hidden="true" {} "without usable data, whatever was answered"
            }
        }
    }
}

/// Something that changed.
struct Change {
    at_ms: i64,
    accept: Option<bool>,
    why: &'static str,
    seats: Option<Quantity>,
}

/// The last changes: of decisions, as far back as those are remembered, and of seats before that.
pub(super) fn changes(app: &App, look: &Look<Course>, standing: &Standing) -> Markup {
    let decided = app.watch.recent(&standing.queue.key, CHANGES);
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
    if let Look::Seen(course) = look {
        let rule = Rule::of(standing);
        let older = course.changes.iter().map(|sample| Change {
            at_ms: sample.at.as_millisecond(),
            accept: rule.and_then(|rule| rule.accepts(sample.seats?)),
            why: "by the present rule",
            seats: sample.seats.and_then(Quantity::new),
        });
        changes.extend(older.filter(|change| change.at_ms < oldest_ms));
    }
    changes.truncate(CHANGES);
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Last changes, in UTC" }
            @if changes.is_empty() { p.none { "Nothing has changed yet." } }
            @else {
                div.wide tabindex="0" role="group" aria-label="Table of changes" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Decision" } th scope="col" { "Seats" } th scope="col" { "Why" } } }
                        tbody { @for change in &changes { (row(change)) } }
                    }
                }
            }
        }
    }
}

fn row(change: &Change) -> Markup {
    html! {
        tr {
            td.span { (wording::date(change.at_ms)) }
            td { @match change.accept {
                Some(true) => span.badge.accept { span aria-hidden="true" { "✓" } " accept" },
                Some(false) => span.badge.reject { span aria-hidden="true" { "✕" } " reject" },
                None => span.none { "unknown" },
            } }
            td { @match change.seats { Some(seats) => (seats), None => span.none { "unknown" } } }
            td.why { (change.why) }
        }
    }
}

/// How far back a picture goes.
pub(in crate::server) const RANGE: &[Parameter] = &[Parameter {
    name: "range",
    meaning: "How far back; a day, if left out",
    shape: Shape::OneOf(&["1h", "24h", "7d"]),
    example: "24h",
}];

/// `GET /v1/queues/{queue}/chart.svg?range=24h`
pub(in crate::server) async fn picture(
    State(app): State<Arc<App>>,
    Extension(pages): Extension<Arc<Pages>>,
    NamedQueue(queue): NamedQueue,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), RANGE)?;
    let period = period(&params)?.unwrap_or(Period::Day);
    let window = period.window(app.clock.now(), period.seats());
    let (key, range) = (queue.key.clone(), window.range());
    let series = look(&app, &pages.past, move |history| {
        history.series(&key, range?)
    });
    let seen = match series.await? {
        Look::Seen(seen) => seen,
        // An empty chart: a wiki that shows it before the first poll shows a picture all the same.
        Look::NotKept | Look::NotYet => Vec::new(),
        Look::Unreadable(why) => {
            let detail = format!("there is nothing to draw: {why}");
            return Err(Problem::new(problem_types::HISTORY_UNREADABLE, detail));
        }
    };
    let picture = drawn(&app, &queue, period, window, &seen);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("image/svg+xml"),
        ),
        (header::CONTENT_SECURITY_POLICY, PICTURE_POLICY),
    ];
    Ok((headers, picture).into_response())
}

fn drawn(app: &App, queue: &Queue, period: Period, window: Window, seen: &[Bucket]) -> String {
    let state = app.state(queue);
    let name = state.name.as_deref().unwrap_or(&queue.key.queue);
    let threshold = queue.policy.threshold.map(Quantity::get);
    let drawing = chart::seats(period, window, seen, threshold, "Seats");
    let nothing = match seen.iter().any(|bucket| bucket.seats.is_some()) {
        true => "",
        false => " (nothing recorded)",
    };
    chart::alone(
        drawing,
        &format!("{name}: seats, last {}, UTC{nothing}", period.name()),
    )
}

/// The period that a request asks for.
pub(super) fn period(params: &Params<'_>) -> Result<Option<Period>, Problem> {
    let asked = params.one("range")?;
    asked
        .map(|word| {
            Period::parse(word)
                .ok_or_else(|| Problem::bad_parameter("\"range\" is one of 1h, 24h and 7d"))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn decisions_without_knowledge_are_counted_apart_whatever_was_answered() {
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
