use proptest::prelude::*;
use serde_json::json;

use super::*;

const AVAILABLE: &str = "results[?(@.status=='Available')]";

fn number(number: impl Into<f64>) -> Option<Literal> {
    Some(Literal::Number(
        Quantity::new(number.into()).expect("finite"),
    ))
}

fn text(text: &str) -> Option<Literal> {
    Some(Literal::Text(text.to_owned()))
}

fn rule(field: &str, condition: Condition, value: Option<Literal>) -> Definition {
    Definition {
        field: field.to_owned(),
        measure: None,
        condition,
        value,
    }
}

fn measuring(measure: Measure, rule: Definition) -> Definition {
    Definition {
        measure: Some(measure),
        ..rule
    }
}

fn measured(definition: &Definition, response: &Value) -> Result<Measured, Mismatch> {
    Criteria::compile(definition)
        .expect("a valid rule")
        .measure(response)
}

/// The number that a `greater_than` rule compares.
fn counted(field: &str, measure: Option<Measure>, response: &Value) -> f64 {
    let definition = Definition {
        measure,
        ..rule(field, Condition::GreaterThan, None)
    };
    let measured = measured(&definition, response).expect(field);
    assert_eq!(measured.verdict, Verdict::Compare(Comparison::GreaterThan));
    measured.count.get()
}

fn response() -> Value {
    json!({
        "count": 4,
        "next": null,
        "results": [
            {"full_name": "Ada", "status": "Available", "queue_logged_in": true, "live_calls_count": 1, "tags": ["vip"]},
            {"full_name": "Bob", "status": "Available", "queue_logged_in": false, "live_calls_count": 0, "tags": []},
            {"full_name": "Cleo", "status": "On a Call", "queue_logged_in": true, "live_calls_count": 2, "tags": [7]},
            {"full_name": "Dan", "status": null, "queue_logged_in": null, "live_calls_count": null, "tags": [7, "vip"]},
        ],
    })
}

#[test]
fn the_hosted_integrations_spellings_mean_the_same() {
    for (field, expected) in [
        ("count", 4.0),
        ("results[*].queue_logged_in", 2.0),
        (AVAILABLE, 2.0),
        ("results[?(@.status=='Available')].queue_logged_in", 1.0),
        (
            "results[?(@.status=='Available' && @.queue_logged_in==true)]",
            1.0,
        ),
        (
            "$.results[?@.status == 'Available' && @.queue_logged_in == true]",
            1.0,
        ),
        ("results[?(@.status=='Gone')]", 0.0),
    ] {
        assert_eq!(counted(field, None, &response()), expected, "{field}");
    }
}

#[test]
fn each_measure_gives_its_own_number() {
    for (field, measure, expected) in [
        ("results[*].live_calls_count", Measure::Sum, 3.0),
        ("results[*].live_calls_count", Measure::Count, 3.0),
        (
            "results[?@.status == 'Gone'].live_calls_count",
            Measure::Sum,
            0.0,
        ),
        ("results[2].live_calls_count", Measure::Value, 2.0),
        (
            "results[?@.full_name == 'Cleo'].live_calls_count",
            Measure::Value,
            2.0,
        ),
        ("count", Measure::Count, 1.0),
    ] {
        assert_eq!(
            counted(field, Some(measure), &response()),
            expected,
            "{field}"
        );
    }
}

#[test]
fn conditions_on_texts_and_truth_values_decide() {
    use Condition::*;
    for (field, condition, value, expected) in [
        ("results[0].status", Equals, text("Available"), true),
        ("results[0].status", Equals, text("available"), false),
        ("results[2].status", NotEquals, text("Available"), true),
        ("results[2].status", Contains, text("Call"), true),
        ("results[2].status", Contains, text("call"), false),
        ("results[2].status", NotContains, text("Call"), false),
        ("results[2].status", BeginsWith, text("On "), true),
        ("results[2].status", BeginsWith, text("a"), false),
        ("results[0].tags", Contains, text("vip"), true),
        ("results[0].tags", Contains, text("vi"), false),
        ("results[1].tags", Contains, text("vip"), false),
        ("results[1].tags", NotContains, number(7), true),
        ("results[2].tags", Contains, number(7), true),
        ("results[0].queue_logged_in", IsTrue, None, true),
        ("results[0].queue_logged_in", IsFalse, None, false),
        ("results[1].queue_logged_in", IsFalse, None, true),
        (
            "results[0].queue_logged_in",
            Equals,
            Some(Literal::Bool(true)),
            true,
        ),
        (
            "results[0].queue_logged_in",
            NotEquals,
            Some(Literal::Bool(true)),
            false,
        ),
        (
            "results[1].queue_logged_in",
            NotEquals,
            Some(Literal::Bool(true)),
            true,
        ),
        ("next", Exists, None, true),
        ("previous", Exists, None, false),
        ("previous", NotExists, None, true),
        (AVAILABLE, Exists, None, true),
    ] {
        let definition = rule(field, condition, value);
        let expected = Measured::decided(expected);
        assert_eq!(
            measured(&definition, &response()),
            Ok(expected),
            "{definition:?}"
        );
    }
}

#[test]
fn presence_is_a_truth_value() {
    use Condition::*;
    for (condition, value, expected) in [
        (IsTrue, None, true),
        (IsFalse, None, false),
        (Exists, None, true),
        (NotExists, None, false),
        (Equals, Some(Literal::Bool(false)), false),
        (NotEquals, Some(Literal::Bool(false)), true),
    ] {
        let definition = measuring(Measure::Exists, rule(AVAILABLE, condition, value));
        let expected = Measured::decided(expected);
        assert_eq!(
            measured(&definition, &response()),
            Ok(expected),
            "{definition:?}"
        );
    }
}

#[test]
fn numbers_are_left_to_be_compared_at_decision_time() {
    use Condition::*;
    for (condition, comparison) in [
        (GreaterThan, Comparison::GreaterThan),
        (GreaterOrEqual, Comparison::GreaterOrEqual),
        (LessThan, Comparison::LessThan),
        (LessOrEqual, Comparison::LessOrEqual),
        (Equals, Comparison::Equals),
        (NotEquals, Comparison::NotEquals),
    ] {
        let definition = rule("count", condition, number(2.5));
        let criteria = Criteria::compile(&definition).expect("a valid rule");
        assert_eq!(criteria.threshold(), Quantity::new(2.5));
        let expected = Measured {
            count: Quantity::from(4_u32),
            verdict: Verdict::Compare(comparison),
        };
        assert_eq!(criteria.measure(&response()), Ok(expected));
    }
}

#[test]
fn only_comparisons_have_a_threshold_and_greater_than_has_one_by_default() {
    let threshold = |definition| {
        Criteria::compile(&definition)
            .expect("a valid rule")
            .threshold()
    };
    assert_eq!(
        threshold(rule("count", Condition::GreaterThan, None)),
        Some(Quantity::ZERO)
    );
    assert_eq!(threshold(rule("next", Condition::Exists, None)), None);
    assert_eq!(threshold(rule("next", Condition::Equals, text("a"))), None);
}

#[test]
fn a_wrong_type_is_unknown() {
    use Condition::*;
    for (definition, expected) in [
        (
            rule("results[3].status", Equals, text("a")),
            "`results[3].status` is null where text is needed",
        ),
        (
            rule("results[0].status", GreaterThan, None),
            "`results[0].status` is text where a number is needed",
        ),
        (
            rule("results[0].status", IsTrue, None),
            "`results[0].status` is text where true or false is needed",
        ),
        (
            rule("results[3].tags", Contains, text("vip")),
            "`results[3].tags` is a list where a list of nothing but texts is needed",
        ),
        (
            rule("results[0].tags", Contains, number(7)),
            "`results[0].tags` is a list where a list of nothing but numbers is needed",
        ),
        (
            rule("results[0]", BeginsWith, text("a")),
            "`results[0]` is an object where text is needed",
        ),
        (
            // Found at the front, and still not a list to evaluate.
            rule("results[3].tags", NotContains, number(7)),
            "`results[3].tags` is a list where a list of nothing but numbers is needed",
        ),
        (
            rule("results[9].status", NotEquals, text("a")),
            "`results[9].status` selects nothing in this response: there is no value to look at",
        ),
        (
            rule("previous", LessThan, number(1)),
            "`previous` selects nothing in this response: there is no value to look at",
        ),
        (
            measuring(Measure::Value, rule(AVAILABLE, IsTrue, None)),
            "`results[?(@.status=='Available')]` selects 2 nodes where one value is needed",
        ),
        (
            measuring(
                Measure::Sum,
                rule("results[*].full_name", GreaterThan, None),
            ),
            "`results[*].full_name` is text where a number is needed",
        ),
    ] {
        let expected = Err(Mismatch(expected.to_owned()));
        assert_eq!(
            measured(&definition, &response()),
            expected,
            "{definition:?}"
        );
    }
}

#[test]
fn an_infinite_sum_is_unknown() {
    let definition = measuring(Measure::Sum, rule("[*]", Condition::GreaterThan, None));
    let error = measured(&definition, &json!([1e308, 1e308])).expect_err("infinite");
    assert_eq!(error.0, "`[*]` adds up to no finite number");
}

#[test]
fn rules_that_can_never_match_are_rejected_with_advice() {
    use Condition::*;
    let truth = || Some(Literal::Bool(true));
    for (definition, key, expected) in [
        (rule("a b", Exists, None), "field", "character 2"),
        (
            rule("count", LessThan, None),
            "value",
            "less_than needs a value to compare with, as in value = 2",
        ),
        (rule("count", Equals, None), "value", "equals needs a value"),
        (
            rule("count", Contains, None),
            "value",
            "as in value = \"Available\"",
        ),
        (
            rule("count", GreaterThan, text(" 2 ")),
            "value",
            "write value = 2 without quotes",
        ),
        (
            rule("count", GreaterThan, text("many")),
            "value",
            "write a number",
        ),
        (
            rule("count", LessOrEqual, truth()),
            "value",
            "write a number",
        ),
        (
            rule("next", IsTrue, truth()),
            "value",
            "is_true compares with nothing: leave value out",
        ),
        (
            rule("next", NotExists, text("")),
            "value",
            "leave value out",
        ),
        (
            rule("next", BeginsWith, number(1)),
            "value",
            "put the value in quotes",
        ),
        (
            rule("next", NotContains, truth()),
            "value",
            "put the value in quotes",
        ),
        (
            rule("next", Contains, text("")),
            "value",
            "every text fits contains",
        ),
        (
            measuring(Measure::Count, rule(AVAILABLE, BeginsWith, text("A"))),
            "condition",
            "a count is a number",
        ),
        (
            measuring(Measure::Sum, rule(AVAILABLE, IsTrue, None)),
            "condition",
            "a sum is a number",
        ),
        (
            measuring(Measure::Count, rule(AVAILABLE, Exists, None)),
            "measure",
            "a count always exists: leave measure out",
        ),
        (
            measuring(Measure::Exists, rule(AVAILABLE, GreaterThan, None)),
            "condition",
            "is a yes or a no",
        ),
        (
            rule("results[*].status", Equals, text("Available")),
            "condition",
            "`results[*].status` can select several nodes, so they are counted, and a count is a number",
        ),
    ] {
        let error = Criteria::compile(&definition).expect_err("can never fit");
        assert_eq!(error.key, key, "{definition:?}: {error}");
        assert!(error.message.contains(expected), "{definition:?}: {error}");
    }
}

fn any_condition() -> impl Strategy<Value = Condition> {
    use Condition::*;
    prop::sample::select(vec![
        GreaterThan,
        GreaterOrEqual,
        LessThan,
        LessOrEqual,
        Equals,
        NotEquals,
        Contains,
        NotContains,
        BeginsWith,
        IsTrue,
        IsFalse,
        Exists,
        NotExists,
    ])
}

fn any_rule() -> impl Strategy<Value = Definition> {
    let field = prop::sample::select(vec![
        "$",
        "count",
        "results",
        "results[*]",
        "results[0].a",
        "results[*].a",
        "..a",
        "$..*",
        "results[?@.a]",
        "results[?@.a == 'b']",
        "results[?length(@.a) > 1]",
        "results[::-1].a",
        "results[?match(@.a, 'b.*')]",
    ]);
    let measure = prop::option::of(prop::sample::select(vec![
        Measure::Count,
        Measure::Value,
        Measure::Sum,
        Measure::Exists,
    ]));
    let value = prop_oneof![
        Just(None),
        Just(number(1)),
        Just(text("b")),
        Just(Some(Literal::Bool(true)))
    ];
    (field, measure, any_condition(), value).prop_map(|(field, measure, condition, value)| {
        Definition {
            field: field.to_owned(),
            measure,
            condition,
            value,
        }
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let key = prop::sample::select(vec!["a", "b", "count", "results"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn an_evaluation_that_could_take_minutes_is_unknown_and_says_so() {
    let row = json!({"status": "Available", "queue_logged_in": true, "tags": ["a", "b"]});
    let many = json!({"count": 1_000, "results": vec![row.clone(); 1_000]});
    let few = json!({"count": 3, "results": vec![row; 3]});
    for path in [
        "$.results[?count($.results[?count($.results[?count($.results[?@.status]) > 0]) > 0]) > 0]",
        "$.results[?$.results[?$.results[?@.status == 'x']]]",
        "$..[?count($..[?@ == 'x']) > 1]",
        "$.results[?@ == $.results[?@.status]]",
    ] {
        let Ok(criteria) = Criteria::compile(&rule(path, Condition::GreaterThan, None)) else {
            continue;
        };
        let error = criteria.measure(&many).expect_err(path);
        assert!(error.0.contains("steps over a response"), "{error}");
        assert_eq!(criteria.selects(&many), Err(error));
        criteria.measure(&few).expect(path);
    }
}

#[test]
fn patterns_mean_what_the_standard_says_and_are_compiled_once() {
    let rows: Vec<_> = (0..4_000)
        .map(|n| json!({"a": format!("agent {n}"), "b": n}))
        .collect();
    let response = json!({ "results": rows });
    for (path, expected) in [
        ("results[?match(@.a, 'agent 1')]", 1.0),
        ("results[?match(@.a, 'gent 1')]", 0.0),
        ("results[?search(@.a, 'gent 1')]", 1_111.0),
        ("results[?search(@.a, '^gent')]", 0.0),
        // Compiling takes milliseconds.
        (r"results[?match(@.a, '\\w+ \\d{4}')]", 3_000.0),
        (r#"results[?search(@.a, "\u0074 1$")]"#, 1.0),
        (r#"results[?!match(@.a, 'a|\'b\'|"')]"#, 4_000.0),
        ("results[?match(@.b, '1')]", 0.0),
        (
            "results[?match(@.none, '1') || match('x', 'x') && @.b == 7]",
            1.0,
        ),
    ] {
        assert_eq!(
            counted(path, Some(Measure::Count), &response),
            expected,
            "{path}"
        );
    }
}

#[test]
fn a_pattern_that_can_never_match_is_rejected() {
    for (path, expected) in [
        ("results[?match(@.a, '(')]", "unclosed group"),
        (
            "results[?search(@.a, 'a{2,1}')]",
            "invalid repetition count range",
        ),
        (r"results[?match(@.a, '(\\w{50}){50}')]", "it is too large"),
        ("results[?match(@.a, @.b)]", "must be a text in quotes"),
        (
            "results[?search(@.a, $.results[0].b)]",
            "must be a text in quotes",
        ),
        (
            "results[?@.c[?match(@.a, '[')]]",
            "unclosed character class",
        ),
        (
            "results[?openseat_match(@.a, 'a')]",
            "there is no function `openseat_match`",
        ),
    ] {
        let error = Criteria::compile(&rule(path, Condition::GreaterThan, None));
        let error = error.expect_err(path);
        assert!(
            error.key == "field" && error.message.contains(expected),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn evaluation_never_panics_and_keeps_its_promises(definition in any_rule(), response in any_json()) {
        let Ok(criteria) = Criteria::compile(&definition) else { return Ok(()) };
        match criteria.measure(&response) {
            Ok(Measured { verdict: Verdict::Compare(_), .. }) => prop_assert!(criteria.threshold().is_some()),
            Ok(Measured { verdict: Verdict::Holds(holds), count }) => {
                prop_assert_eq!(count, Quantity::from(u32::from(holds)));
                prop_assert_eq!(criteria.threshold(), None);
            }
            Err(mismatch) => prop_assert!(mismatch.0.len() < 200, "{}", mismatch),
        }
    }

    #[test]
    fn opposite_conditions_never_agree(response in any_json()) {
        use Condition::*;
        for (yes, no) in [(Equals, NotEquals), (Contains, NotContains), (Exists, NotExists), (IsTrue, IsFalse)] {
            let value = matches!(yes, Equals | Contains).then(|| Literal::Text("b".to_owned()));
            let yes = measured(&rule("results[0].a", yes, value.clone()), &response);
            let no = measured(&rule("results[0].a", no, value), &response);
            let holds = |found: Result<Measured, _>| found.map(|found| found.verdict == Verdict::Holds(true));
            prop_assert_eq!(holds(yes), holds(no).map(|holds| !holds));
        }
    }
}
