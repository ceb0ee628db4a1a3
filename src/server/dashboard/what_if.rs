//! What another rule would have answered to the recorded data.
//!
//! Another threshold is tried on every recorded count. Other criteria are tried on the agents' rows, which are kept for a day, one reading every
//! five minutes. Ages and reservations are left out: the question is what the rule says about the seats.

#[cfg(test)]
mod tests;

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    charts::{self, AnswerSpan, TimeAxis},
    components::Standing,
    period::{Period, Window},
    wording,
    zone::Zone,
};
use crate::{
    decision::{
        board::QueueKey,
        criteria::{Comparison, Criteria, Verdict},
    },
    model::quantity::Quantity,
    state::history::{HOLDS_MS, History, HistoryError, Rows, Sample},
};

/// How many differences are listed, newest first. For more, choose a shorter time.
const MAX_LISTED: usize = 10;

/// Rows are read an hour at a time: unpacked, each reading of a queue of thousands takes megabytes.
const ROWS_AT_ONCE_MS: i64 = 3_600_000;

/// How seats become an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// By comparing their number.
    Compare(Comparison, Quantity),
    /// By criteria that do not compare a number: 1 stands for yes.
    Holds,
}

/// A rule to try.
#[derive(Debug)]
pub(super) enum OtherRule {
    /// The queue's rule with another threshold.
    Rule(Rule),
    /// Other criteria, with their threshold.
    Criteria(Box<Criteria>, Option<Quantity>),
}

/// The result of trying another rule.
pub(super) enum Trial {
    /// The form makes no sense; why.
    Refused(String),
    /// The answers of the present rule, then those of the other one.
    Answered(OtherRule, [Vec<AnswerSpan>; 2]),
    /// It took too long.
    Stopped(HistoryError),
}

impl Rule {
    /// The rule of a queue; `None` before its first measurement.
    pub(super) fn of_queue(standing: &Standing) -> Option<Self> {
        let measured = standing.state.snapshot.as_ref()?.measured.as_ref().ok()?;
        match measured.verdict {
            Verdict::Compare(comparison) => Some(Self::Compare(
                comparison,
                standing.queue.rules.policy.threshold?,
            )),
            Verdict::Holds(_) => Some(Self::Holds),
        }
    }

    /// What it answers to this number of seats; `None` if that is not a number.
    pub(super) fn accepts(self, seats: f64) -> Option<bool> {
        let seats = Quantity::new(seats)?;
        Some(match self {
            Self::Compare(comparison, threshold) => comparison.holds(seats, threshold),
            Self::Holds => seats > Quantity::ZERO,
        })
    }

    fn describe(self) -> String {
        match self {
            Self::Compare(comparison, threshold) => wording::compared(comparison, threshold),
            Self::Holds => "as its criteria say".to_owned(),
        }
    }
}

/// Reads the recorded data, and answers by the current rule and by the other one.
///
/// # Errors
/// The history cannot be read, or reading takes too long.
pub(super) fn answers(
    history: &History,
    key: &QueueKey,
    window: Window,
    other: &OtherRule,
    rule: Rule,
) -> Result<[Vec<AnswerSpan>; 2], HistoryError> {
    // An answer from shortly before the window may still hold at its start.
    let early = Window {
        from_ms: window.from_ms - HOLDS_MS,
        ..window
    };
    let (from, to) = early.ends()?;
    let samples = history.samples(key, from, to)?;
    let present = by_rule(&samples, rule, window);
    let other = match other {
        OtherRule::Rule(rule) => by_rule(&samples, *rule, window),
        OtherRule::Criteria(criteria, threshold) => {
            let mut answers = Vec::new();
            for slice in early.slices(ROWS_AT_ONCE_MS) {
                let (from, to) = slice.ends()?;
                for rows in history.rows(key, from, to)? {
                    history.go_on()?;
                    answers.push(by_criteria(&rows, criteria, *threshold));
                }
            }
            spans(&answers, window)
        }
    };
    Ok([present, other])
}

/// The answer to what was recorded at a moment.
struct Answer {
    at_ms: i64,
    /// Until when it holds if no other one follows.
    until_ms: i64,
    /// `None` if unknown.
    accept: Option<bool>,
}

/// Makes each answer hold until the next one, if that comes soon enough. After that the answer is unknown.
fn spans(answers: &[Answer], window: Window) -> Vec<AnswerSpan> {
    let ends = answers.iter().skip(1).map(|answer| answer.at_ms);
    let answers = answers.iter().zip(ends.chain([i64::MAX]));
    let spans = answers.filter_map(|(answer, next_ms)| {
        let span = AnswerSpan {
            from_ms: answer.at_ms.max(window.from_ms),
            to_ms: next_ms.min(answer.until_ms).min(window.to_ms),
            accept: answer.accept?,
        };
        (span.from_ms < span.to_ms).then_some(span)
    });
    spans.collect()
}

/// Applies a rule to recorded counts.
fn by_rule(samples: &[Sample], rule: Rule, window: Window) -> Vec<AnswerSpan> {
    let answer = |sample: &Sample| Answer {
        at_ms: sample.at.as_millisecond(),
        until_ms: sample.holds_until_ms(),
        accept: sample.seats.and_then(|seats| rule.accepts(seats)),
    };
    spans(&samples.iter().map(answer).collect::<Vec<_>>(), window)
}

/// Applies criteria to the rows of one reading.
fn by_criteria(rows: &Rows, criteria: &Criteria, threshold: Option<Quantity>) -> Answer {
    let results = rows.rows.iter();
    let results: Vec<Value> = results
        .filter_map(|row| serde_json::from_str(row.get()).ok())
        .collect();
    let response = json!({ "count": results.len(), "results": results });
    let measured = criteria.measure(&response).ok();
    let accept = measured.and_then(|measured| match measured.verdict {
        Verdict::Compare(comparison) => Some(comparison.holds(measured.count, threshold?)),
        Verdict::Holds(holds) => Some(holds),
    });
    let at_ms = rows.at.as_millisecond();
    Answer {
        at_ms,
        until_ms: at_ms + HOLDS_MS,
        accept,
    }
}

/// How two rules compare while the answers of both are known.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    both_ms: i64,
    present_ms: i64,
    other_ms: i64,
    /// When they differ, with the other rule's answer.
    differences: Vec<AnswerSpan>,
}

fn compare(present: &[AnswerSpan], other: &[AnswerSpan]) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut n, mut m) = (0, 0);
    while let (Some(a), Some(b)) = (present.get(n), other.get(m)) {
        let (from_ms, to_ms) = (a.from_ms.max(b.from_ms), a.to_ms.min(b.to_ms));
        let ms = (to_ms - from_ms).max(0);
        outcome.both_ms += ms;
        outcome.present_ms += if a.accept { ms } else { 0 };
        outcome.other_ms += if b.accept { ms } else { 0 };
        if ms > 0 && a.accept != b.accept {
            append(&mut outcome.differences, from_ms, to_ms, b.accept);
        }
        if a.to_ms <= b.to_ms { n += 1 } else { m += 1 }
    }
    outcome
}

fn append(spans: &mut Vec<AnswerSpan>, from_ms: i64, to_ms: i64, accept: bool) {
    match spans.last_mut() {
        Some(last) if last.to_ms == from_ms && last.accept == accept => last.to_ms = to_ms,
        _ => spans.push(AnswerSpan {
            from_ms,
            to_ms,
            accept,
        }),
    }
}

/// The result of a trial, as part of a page.
pub(super) fn outcome(
    other: &OtherRule,
    rule: Option<Rule>,
    period: Period,
    window: Window,
    [present, answers]: &[Vec<AnswerSpan>; 2],
    zone: &Zone,
) -> Markup {
    let outcome = compare(present, answers);
    if outcome.both_ms == 0 {
        return html! { p.none { "No data was recorded in this time that both rules could use." } };
    }
    let time = TimeAxis {
        period,
        window,
        zone,
    };
    let share = |ms: i64| wording::share(ms as f64 / outcome.both_ms as f64);
    let differ_ms: i64 = outcome
        .differences
        .iter()
        .map(|span| span.to_ms - span.from_ms)
        .sum();
    html! {
        p.outcome role="status" {
            (duration(outcome.both_ms)) " of the last " (period.name()) " were recorded. In that time, the current rule"
            @if let Some(rule) = rule { " (" (rule.describe()) ")" }
            " accepts for " b { (share(outcome.present_ms)) } ", the other rule"
            @if let OtherRule::Rule(rule) = other { " (" (rule.describe()) ")" }
            " for " b { (share(outcome.other_ms)) } ". "
            @match differ_ms { 0 => "They never differ.", ms => { "They differ for " (duration(ms)) "." } }
        }
        div.wide tabindex="0" role="group" aria-label="Drawing of both rules" { (charts::inline(&charts::two_rules(time, [present, answers]).set("class", "chart strips"))) }
        @if !outcome.differences.is_empty() { (differences(&outcome.differences, zone)) }
    }
}

fn differences(spans: &[AnswerSpan], zone: &Zone) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Table of differences" {
            table {
                thead { tr { th scope="col" { "From" } th scope="col" { "For" } th scope="col" { "Current rule" } th scope="col" { "Other rule" } } }
                tbody {
                    @for span in spans.iter().rev().take(MAX_LISTED) {
                        tr {
                            td { (zone.full_date(span.from_ms)) }
                            td { (duration(span.to_ms - span.from_ms)) }
                            td { (wording::answer(!span.accept)) }
                            td { b { (wording::answer(span.accept)) } }
                        }
                    }
                }
            }
        }
        @if spans.len() > MAX_LISTED { p.none { "The last " (MAX_LISTED) " of " (spans.len()) " differences." } }
    }
}

fn duration(ms: i64) -> String {
    wording::span(std::time::Duration::from_millis(ms.max(0).unsigned_abs()))
}
