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
fn another_threshold_is_tried_on_every_known_count() {
    let samples = [
        sample(0, Some(3.0)),
        sample(100_000, Some(1.0)),
        sample(200_000, None),
        sample(300_000, Some(5.0)),
    ];
    let present = by_rule(&samples, above(0), WINDOW);
    let other = by_rule(&samples, above(2), WINDOW);
    let outcome = compare(&present, &other);
    // The last count is valid for ten minutes. After that nothing is known.
    assert_eq!(outcome.both_ms, 800_000);
    assert_eq!(outcome.present_ms, 800_000);
    assert_eq!(outcome.other_ms, 700_000);
    let difference = AnswerSpan {
        from_ms: 100_000,
        to_ms: 200_000,
        accept: false,
    };
    assert_eq!(outcome.differences, [difference]);
}

#[test]
fn an_answer_from_before_the_window_counts_from_its_beginning() {
    let samples = [sample(-300_000, Some(1.0))];
    let spans = by_rule(&samples, above(0), WINDOW);
    let rest = AnswerSpan {
        from_ms: 0,
        to_ms: 300_000,
        accept: true,
    };
    assert_eq!(spans, [rest]);
}

#[test]
fn old_data_holds_no_longer_than_from_its_own_time() {
    let restored = |age_ms: i64| Sample {
        as_of: Timestamp::from_millisecond(1_000_000 - age_ms).expect("a moment"),
        ..sample(1_000_000, Some(1.0))
    };
    let ends = |age_ms| {
        let spans = by_rule(&[restored(age_ms)], above(0), WINDOW);
        spans.first().map(|span| span.to_ms)
    };
    assert_eq!(ends(0), Some(1_600_000));
    assert_eq!(ends(400_000), Some(1_200_000));
    assert_eq!(ends(600_000), None);
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
    let criteria = Criteria::compile(&definition).expect("valid criteria");
    let threshold = criteria.threshold();
    let recorded = [rows(0, &["Lunch", "Lunch"]), rows(60_000, &["Lunch"])];
    let answers = recorded.map(|rows| by_criteria(&rows, &criteria, threshold));
    let spans = spans(&answers, WINDOW);
    let answers: Vec<_> = spans
        .iter()
        .map(|span| (span.from_ms, span.accept))
        .collect();
    assert_eq!(answers, [(0, true), (60_000, false)]);
}
