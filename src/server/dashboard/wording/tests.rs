use super::*;
use crate::clock::Moment;

#[test]
fn spans_have_two_units_at_most() {
    let cases = [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (312, "5 min 12 s"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ];
    for (seconds, words) in cases {
        assert_eq!(span(Duration::from_secs(seconds)), words);
    }
}

#[test]
fn only_one_takes_the_singular() {
    let counts = [0_u32, 1, 2].map(|count| counted(count, "seat"));
    assert_eq!(counts, ["0 seats", "1 seat", "2 seats"]);
}

#[test]
fn faults_are_worded_without_remaining_seconds() {
    let kinds: [fn(Moment) -> Fault; 2] = [
        |until| Fault::BudgetSpent { until },
        |until| Fault::Throttled { until: Some(until) },
    ];
    for kind in kinds {
        let [soon, later] = [3, 2_573].map(|seconds| {
            let until = Duration::from_secs(seconds);
            super::fault(&kind(Moment {
                boot: until,
                wall: until,
            }))
        });
        assert_eq!(soon, later);
    }
}

#[test]
fn no_share_is_rounded_to_nothing_or_everything() {
    for (part, words) in [
        (0.0, "0 %"),
        (0.000_1, "less than 1 %"),
        (0.01, "1 %"),
        (0.426, "43 %"),
        (0.99, "99 %"),
        (0.999_9, "more than 99 %"),
        (1.0, "100 %"),
    ] {
        assert_eq!(share(part), words);
    }
}

#[test]
fn sentences_end_with_one_full_stop() {
    for (words, expected) in [
        ("check the token", "Check the token."),
        ("did you mean \"a\"?", "Did you mean \"a\"?"),
        (
            "it passes. openseat goes on",
            "It passes. openseat goes on.",
        ),
        ("Wait.", "Wait."),
    ] {
        assert_eq!(sentence(words), expected);
    }
}

#[test]
fn sentences_begin_with_a_capital() {
    assert_eq!(capital("no answer in 10 s"), "No answer in 10 s");
    assert_eq!(capital(""), "");
}

#[test]
fn the_missing_seats_are_a_whole_number_and_shown_only_if_more_would_help() {
    let number = |number: f64| Quantity::new(number).expect("a number");
    let lacks = |comparison, count, threshold| {
        lacking(comparison, number(count), number(threshold)).map(Quantity::get)
    };
    for (comparison, count, threshold, lack) in [
        (Comparison::GreaterThan, 0.0, 0.0, Some(1.0)),
        (Comparison::GreaterThan, 1.0, 3.0, Some(3.0)),
        (Comparison::GreaterThan, 1.0, 3.5, Some(3.0)),
        (Comparison::GreaterThan, 4.0, 3.0, None),
        (Comparison::GreaterOrEqual, 1.0, 3.0, Some(2.0)),
        (Comparison::GreaterOrEqual, 1.0, 2.5, Some(2.0)),
        (Comparison::GreaterOrEqual, 3.0, 3.0, None),
        (Comparison::LessThan, 9.0, 3.0, None),
        (Comparison::Equals, 1.0, 3.0, None),
    ] {
        assert_eq!(
            lacks(comparison, count, threshold),
            lack,
            "{comparison:?} {count} {threshold}"
        );
    }
}
