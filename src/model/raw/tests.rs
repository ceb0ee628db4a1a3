use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn row(json: &str) -> RawRow {
    RawValue::from_string(json.to_owned()).unwrap().into()
}

fn is_whole(row: &RawRow) -> bool {
    row.text.load().whole().is_some()
}

#[test]
fn a_row_reads_as_it_was_sent() {
    let sent = r#"{"queue_logged_in": true,  "b":1.0, "a": "\u00fc"}"#;
    assert_eq!(row(sent).json().get(), sent);
}

#[test]
fn a_renewed_row_is_new_for_everyone_who_has_it_and_leaves_the_pattern() {
    let first = wide(r#""idle":1"#);
    let mut pattern = Pattern::default();
    let held = pattern.share(&first);
    let joined = held.with_queue_login_of(&row(r#"{"queue_logged_in":true}"#));
    let other = pattern.keep(wide(r#""idle":3"#).json().get()).unwrap();
    held.renew(&pattern.keep(wide(r#""idle":2"#).json().get()).unwrap());
    assert_eq!(first, wide(r#""idle":2"#));
    let read: Value = serde_json::from_str(joined.json().get()).unwrap();
    assert_eq!(
        (&read["idle"], &read["queue_logged_in"]),
        (&2.into(), &true.into())
    );
    // It is a difference from the pattern, which stays.
    assert_eq!(other, wide(r#""idle":3"#));
}

#[test]
fn only_the_log_in_comes_from_the_other_row() {
    let newest = row(r#"{"a":1,"queue_logged_in":true}"#);
    for (other, login) in [
        (
            r#"{"a":2,"queue_logged_in":false}"#,
            Some(Value::Bool(false)),
        ),
        (r#"{"a":2,"queue_logged_in":null}"#, Some(Value::Null)),
        (r#"{"a":2}"#, None),
    ] {
        let joined = newest.with_queue_login_of(&row(other));
        let read: Value = serde_json::from_str(joined.json().get()).unwrap();
        assert_eq!(
            (&read["a"], read.get("queue_logged_in")),
            (&1.into(), login.as_ref())
        );
    }
    assert_eq!(newest.json().get(), r#"{"a":1,"queue_logged_in":true}"#);
}

#[test]
fn a_row_that_has_lost_its_status_differs_from_one_that_never_had_one() {
    let sent = row(r#"{"agent_status":627,"ready":true,"team":"north"}"#);
    let lost = sent.without_status();
    let expected =
        r#"{"agent_status":null,"ready":null,"team":"north","openseat_status_unknown":true}"#;
    assert_eq!(lost.json().get(), expected);
    let joined = lost.with_queue_login_of(&sent);
    let (stored, none) = (row(lost.json().get()), row(r#"{"agent_status":null}"#));
    let found = [&sent, &lost, &joined, &stored, &none].map(RawRow::has_lost_status);
    assert_eq!(found, [false, true, true, true, false]);
}

#[test]
fn a_value_that_cannot_be_read_does_not_keep_the_log_in_of_another_queue() {
    let deep = ["[".repeat(200), "]".repeat(200)].concat();
    for odd in [r#""\ud83d""#.to_owned(), deep] {
        let newest = row(&format!(r#"{{"queue_logged_in":true,"x":{odd}}}"#));
        let joined = newest.with_queue_login_of(&row(r#"{"queue_logged_in":false}"#));
        let expected = format!(r#"{{"queue_logged_in":false,"x":{odd}}}"#);
        assert_eq!(joined.json().get(), expected);
    }
}

/// A row of 30 fields, with these fields and values at the beginning.
fn wide(fields: &str) -> RawRow {
    let more: Vec<String> = (0..30)
        .map(|field| format!(r#""field {field}":"one, two: {field}""#))
        .collect();
    row(&format!("{{{fields},{}}}", more.join(", ")))
}

#[test]
fn a_row_reads_the_same_when_it_shares_memory_with_another() {
    let other = wide(r#""status":"Lunch","queue_logged_in":true,"calls":1"#);
    let mut pattern = Pattern::default();
    assert_eq!(pattern.share(&other), other);
    for (fields, shares) in [
        (r#""status":"Lunch","queue_logged_in":true,"calls":1"#, true),
        (r#""status":"Lunch","queue_logged_in":true,"calls":2"#, true),
        (
            r#""status":"Lunch, long","queue_logged_in":true,"calls":1"#,
            true,
        ),
        (r#""status":"Lunch","calls":2"#, true),
        (
            r#""status":"Lunch","queue_logged_in":true,"new":null,"calls":1"#,
            true,
        ),
        // A piece that begins with a colon would be read as a value.
        (r#""status":",:x","queue_logged_in":true,"calls":1"#, false),
        (r#""other":{"a":[1,2,3]}"#, true),
    ] {
        let sent = wide(fields);
        let kept = pattern.clone().share(&sent);
        assert_eq!(pattern.clone().keep(sent.json().get()).expect("JSON"), kept);
        assert_eq!(kept.json().get(), sent.json().get());
        assert_eq!(is_whole(&kept), !shares, "{fields}");
        assert_eq!(kept, sent);
        assert_eq!(kept == other, sent.json().get() == other.json().get());
    }
    let long = wide(&format!(r#""status":"{}""#, "long".repeat(1_000)));
    assert!(is_whole(&pattern.clone().share(&long)));
    assert!(is_whole(&pattern.share(&row(r#"{"a":1}"#))));
}

#[test]
fn a_row_unlike_the_pattern_becomes_the_pattern() {
    let mut pattern = Pattern::default();
    let one = pattern.keep(wide(r#""a":1"#).json().get()).expect("JSON");
    let other = r#"{"x":"another row, with nothing in common, and long enough to be worth it: one, two, three, four, five"}"#;
    let again = pattern.keep(wide(r#""a":2"#).json().get()).expect("JSON");
    let kept = [other, other].map(|text| pattern.keep(text).expect("JSON"));
    assert!(is_whole(&one) && !is_whole(&again));
    assert!(is_whole(&kept[0]) && !is_whole(&kept[1]));
    assert_eq!(kept[1].json().get(), other);
    assert!(pattern.keep("no JSON").is_err());
}

#[test]
fn a_row_without_its_status_keeps_the_order_of_its_fields_and_shares_memory() {
    let sent = wide(r#""status":"Lunch","queue_logged_in":true,"ready":true"#);
    let nulls = wide(r#""status":null,"queue_logged_in":true,"ready":null"#);
    let marked = nulls
        .json()
        .get()
        .replace('}', ",\"openseat_status_unknown\":true}");
    let without = sent.without_status();
    // Without the spaces between fields, which are lost.
    assert_eq!(
        without.json().get(),
        marked.replace(", \"field", ",\"field")
    );
    let mut pattern = Pattern::default();
    assert!(is_whole(&pattern.share(&nulls)));
    assert!(!is_whole(&pattern.share(&without)));
}

proptest! {
    #[test]
    fn any_row_reads_the_same_when_it_shares_memory(
        one in any_row(),
        other in any_row(),
        third in any_row(),
    ) {
        let whole = row(&other);
        let mut pattern = Pattern::default();
        pattern.share(&whole);
        let [kept, kept_third] = [&one, &third].map(|text| pattern.clone().share(&row(text)));
        prop_assert_eq!(&pattern.keep(&one).expect("JSON"), &kept);
        let json = kept.json();
        prop_assert_eq!(json.get(), &one);
        prop_assert_eq!(kept == kept_third, one == third);
    }
}

/// The text of an object with a few fields in any order, with what separates pieces in names and values, and enough text to be worth it.
fn any_row() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c,", "d:", ":", ",", "e"]);
    let value = prop::sample::select(vec![
        "1",
        "null",
        r#"",""#,
        r#"":""#,
        r#"",:,""#,
        r#"{"a":[1,2],"b":3}"#,
        r#""""#,
    ]);
    let fields = prop::collection::vec((name, value), 0..9);
    fields.prop_map(|fields| {
        let fields = fields
            .iter()
            .map(|(name, value)| format!(r#""{name}":{value},"#));
        let filler = "x".repeat(200);
        format!(r#"{{{}"end":"{filler}"}}"#, fields.collect::<String>())
    })
}
