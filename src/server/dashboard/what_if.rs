//! What another rule would have answered, on what was recorded.
//!
//! Another threshold is tried on every count that was recorded, other criteria on the agents' rows, which are kept for a day, one reading in
//! five minutes. Ages and reservations are left out: the question is what the rule says of the seats.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    chart,
    components::Standing,
    form::Wish,
    history::{Period, Window},
    wording,
};
use crate::{
    decision::criteria::{Comparison, Criteria, Verdict},
    model::quantity::Quantity,
    state::history::read::{HOLDS_MS, Rows, Sample},
};

/// Differences that are listed, the newest: who wants more chooses a shorter time.
const LISTED: usize = 10;

/// How seats become an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// By comparing their number.
    Compare(Comparison, Quantity),
    /// By criteria that look at no number: 1 stands for yes.
    Holds,
}

impl Rule {
    /// A queue's own; `None` before it has been measured for the first time.
    pub(super) fn of(standing: &Standing) -> Option<Self> {
        let measured = standing.state.snapshot.as_ref()?.measured.as_ref().ok()?;
        match measured.verdict {
            Verdict::Compare(comparison) => {
                Some(Self::Compare(comparison, standing.queue.policy.threshold?))
            }
            Verdict::Holds(_) => Some(Self::Holds),
        }
    }

    /// What it answers to so many seats; `None` to what is no number.
    pub(super) fn accepts(self, seats: f64) -> Option<bool> {
        let seats = Quantity::new(seats)?;
        Some(match self {
            Self::Compare(comparison, threshold) => comparison.holds(seats, threshold),
            Self::Holds => seats > Quantity::ZERO,
        })
    }

    fn words(self) -> String {
        match self {
            Self::Compare(comparison, threshold) => wording::compared(comparison, threshold),
            Self::Holds => "as its criteria say".to_owned(),
        }
    }
}

/// An answer, as long as it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) accept: bool,
}

/// Each answer holds until the next one, if that comes soon enough; after that nobody knows.
pub(super) fn held(answers: &[(i64, Option<bool>)], window: Window) -> Vec<Held> {
    let ends = answers.iter().skip(1).map(|(at_ms, _)| *at_ms);
    let spans = answers.iter().zip(ends.chain([i64::MAX]));
    let spans = spans.filter_map(|((at_ms, accept), next_ms)| {
        let span = Held {
            from_ms: (*at_ms).max(window.from_ms),
            to_ms: next_ms.min(at_ms + HOLDS_MS).min(window.to_ms),
            accept: (*accept)?,
        };
        (span.from_ms < span.to_ms).then_some(span)
    });
    spans.collect()
}

/// What a rule answers to recorded counts.
pub(super) fn by_rule(samples: &[Sample], rule: Rule, window: Window) -> Vec<Held> {
    let answer = |sample: &Sample| {
        let accept = sample.seats.and_then(|seats| rule.accepts(seats));
        (sample.at.as_millisecond(), accept)
    };
    held(&samples.iter().map(answer).collect::<Vec<_>>(), window)
}

/// What criteria answer to the rows of a moment.
pub(super) fn answer(
    rows: &Rows,
    criteria: &Criteria,
    threshold: Option<Quantity>,
) -> (i64, Option<bool>) {
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
    (rows.at.as_millisecond(), accept)
}

/// How two rules compare, where both are known.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    both_ms: i64,
    present_ms: i64,
    asked_ms: i64,
    /// When they differ; what the asked one says.
    differ: Vec<Held>,
}

fn compare(present: &[Held], asked: &[Held]) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut n, mut m) = (0, 0);
    while let (Some(one), Some(other)) = (present.get(n), asked.get(m)) {
        let (from_ms, to_ms) = (one.from_ms.max(other.from_ms), one.to_ms.min(other.to_ms));
        let ms = (to_ms - from_ms).max(0);
        outcome.both_ms += ms;
        outcome.present_ms += if one.accept { ms } else { 0 };
        outcome.asked_ms += if other.accept { ms } else { 0 };
        if ms > 0 && one.accept != other.accept {
            note(&mut outcome.differ, from_ms, to_ms, other.accept);
        }
        if one.to_ms <= other.to_ms {
            n += 1
        } else {
            m += 1
        }
    }
    outcome
}

fn note(differ: &mut Vec<Held>, from_ms: i64, to_ms: i64, accept: bool) {
    match differ.last_mut() {
        Some(last) if last.to_ms == from_ms && last.accept == accept => last.to_ms = to_ms,
        _ => differ.push(Held {
            from_ms,
            to_ms,
            accept,
        }),
    }
}

/// What came of it.
pub(super) fn outcome(
    wish: &Wish,
    rule: Option<Rule>,
    period: Period,
    window: Window,
    [present, asked]: &[Vec<Held>; 2],
) -> Markup {
    let outcome = compare(present, asked);
    if outcome.both_ms == 0 {
        return html! { p.none { "Nothing was recorded in this time that both rules could answer from." } };
    }
    let share = |ms: i64| wording::share(ms as f64 / outcome.both_ms as f64);
    let differ_ms: i64 = outcome
        .differ
        .iter()
        .map(|span| span.to_ms - span.from_ms)
        .sum();
    html! {
        p.outcome role="status" {
            "Of the " (span(outcome.both_ms)) " of the last " (period.name()) " that were recorded, the present rule"
            @if let Some(rule) = rule { " (" (rule.words()) ")" }
            " accepts in " b { (share(outcome.present_ms)) } ", the one asked about"
            @if let Wish::Rule(rule) = wish { " (" (rule.words()) ")" }
            " in " b { (share(outcome.asked_ms)) } ". "
            @match differ_ms { 0 => "They never differ.", ms => { "They differ for " (span(ms)) "." } }
        }
        div.wide tabindex="0" role="group" aria-label="Drawing of both rules" { (chart::inline(&chart::strips(period, window, [present, asked]).set("class", "chart strips"))) }
        @if !outcome.differ.is_empty() { (differences(&outcome.differ)) }
    }
}

fn differences(differ: &[Held]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Table of differences" {
            table {
                thead { tr { th scope="col" { "From" } th scope="col" { "For" } th scope="col" { "Present rule" } th scope="col" { "Asked about" } } }
                tbody {
                    @for one in differ.iter().rev().take(LISTED) {
                        tr {
                            td { (wording::date(one.from_ms)) }
                            td { (span(one.to_ms - one.from_ms)) }
                            td { (wording::answer(!one.accept)) }
                            td { b { (wording::answer(one.accept)) } }
                        }
                    }
                }
            }
        }
        @if differ.len() > LISTED { p.none { "The last " (LISTED) " of " (differ.len()) "." } }
    }
}

fn span(ms: i64) -> String {
    wording::span(std::time::Duration::from_millis(ms.max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::decision::criteria::{Condition, Definition, Literal};

    const WINDOW: Window = Window {
        from_ms: 0,
        to_ms: 3_600_000,
        part_ms: 60_000,
    };

    fn sample(at_ms: i64, seats: Option<f64>) -> Sample {
        let at = Timestamp::from_millisecond(at_ms).expect("a moment");
        Sample {
            at,
            as_of: at,
            seats,
            agents: BTreeMap::new(),
        }
    }

    fn above(threshold: u32) -> Rule {
        Rule::Compare(Comparison::GreaterThan, threshold.into())
    }

    #[test]
    fn another_threshold_is_tried_on_every_count_and_on_no_unknown() {
        let samples = [
            sample(0, Some(3.0)),
            sample(100_000, Some(1.0)),
            sample(200_000, None),
            sample(300_000, Some(5.0)),
        ];
        let present = by_rule(&samples, above(0), WINDOW);
        let asked = by_rule(&samples, above(2), WINDOW);
        let outcome = compare(&present, &asked);
        // The last count holds for ten minutes, and nobody knows after that.
        assert_eq!(outcome.both_ms, 800_000);
        assert_eq!(outcome.present_ms, 800_000);
        assert_eq!(outcome.asked_ms, 700_000);
        let differs = Held {
            from_ms: 100_000,
            to_ms: 200_000,
            accept: false,
        };
        assert_eq!(outcome.differ, [differs]);
    }

    #[test]
    fn what_was_known_before_the_window_counts_from_its_beginning() {
        let samples = [sample(-300_000, Some(1.0))];
        let held = by_rule(&samples, above(0), WINDOW);
        let rest = Held {
            from_ms: 0,
            to_ms: 300_000,
            accept: true,
        };
        assert_eq!(held, [rest]);
    }

    #[test]
    fn other_criteria_are_tried_on_the_rows() {
        let row = |status: &str| serde_json::value::to_raw_value(&json!({ "status": status }));
        let rows = |at_ms, statuses: &[&str]| Rows {
            at: Timestamp::from_millisecond(at_ms).expect("a moment"),
            rows: statuses.iter().map(|one| row(one).expect("JSON")).collect(),
        };
        let definition = Definition {
            field: "$.results[?@.status == 'Lunch']".to_owned(),
            measure: None,
            condition: Condition::GreaterThan,
            value: Some(Literal::Number(1_u32.into())),
        };
        let criteria = Criteria::compile(&definition).expect("they compile");
        let threshold = criteria.threshold();
        let recorded = [rows(0, &["Lunch", "Lunch"]), rows(60_000, &["Lunch"])];
        let answers = recorded.map(|rows| answer(&rows, &criteria, threshold));
        let held = held(&answers, WINDOW);
        let answers: Vec<_> = held
            .iter()
            .map(|held| (held.from_ms, held.accept))
            .collect();
        assert_eq!(answers, [(0, true), (60_000, false)]);
    }
}
