use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;

fn raw(row: &Value) -> Box<RawValue> {
    RawValue::from_string(row.to_string()).unwrap()
}

fn unread() -> Names {
    Names::default()
}

/// An account that renamed Available to "Open", and has a misleading status called "Available".
fn renamed() -> Names {
    let status = |row: &Value| Status::from_row(raw(row)).expect("the test's statuses are valid");
    Names {
        queues: None,
        statuses: Some(vec![
            status(&json!({"id": 7, "name": "Open", "queue_action": "Set Ready"})),
            status(&json!({"id": 8, "name": "Available", "queue_action": "Set Not Ready"})),
            status(&json!({"id": 9, "name": "Lunch", "queue_action": "No Action"})),
            status(&json!({"id": 10, "name": "available"})),
        ]),
    }
}

fn read(fields: Value, names: &Names) -> Result<Row, BadRow> {
    let mut row = json!({"app_user": 1, "queue_logged_in": true, "status": null});
    let Value::Object(fields) = fields else {
        panic!("a row of fields")
    };
    row.as_object_mut().unwrap().extend(fields);
    Row::read(raw(&row).get(), names, &mut Pattern::default())
}

#[test]
fn a_call_in_progress_is_read_from_every_form_of_a_number() {
    for (calls, on_call) in [
        (json!(1), true),
        (json!(3), true),
        (json!("2"), true),
        (json!(1.0), true),
        (json!(0), false),
        (json!("0"), false),
        (json!(0.0), false),
        (json!(0.5), false),
        (json!(null), false),
        (json!(""), false),
        (json!(-1), false),
        (json!([1]), false),
    ] {
        let row = read(json!({"live_calls_count": calls}), &unread()).unwrap();
        assert_eq!(row.agent.on_call, on_call, "{calls}");
    }
    assert!(!read(json!({}), &unread()).unwrap().agent.on_call);
    for (ready, expected) in [
        (json!(true), Some(true)),
        (json!("0"), Some(false)),
        (json!(null), None),
        (json!("?"), None),
    ] {
        let row = read(json!({"ready": ready}), &unread()).unwrap();
        assert_eq!(row.agent.ready, expected, "{ready}");
    }
}

#[test]
fn an_agent_is_the_same_in_every_form() {
    let uuid = "0193-a";
    let forms = [
        (json!(uuid), uuid),
        (json!(" 0193-a "), uuid),
        (json!("https://east-1.calltools.io/api/users/0193-a/"), uuid),
        (json!("/api/users/0193-a"), uuid),
        (json!("/api/users/0193-a/?format=json"), uuid),
        (json!({"id": uuid, "name": "Ann"}), uuid),
        (json!({"id": "/api/users/0193-a/"}), uuid),
        (json!(1234), "1234"),
        (json!("1234"), "1234"),
        (json!({"id": 1234}), "1234"),
        (json!(1234.0), "1234"),
        (json!("/api/users/1234/"), "1234"),
    ];
    for (form, id) in forms {
        let row = read(json!({"app_user": form}), &unread()).unwrap();
        assert_eq!(&*row.agent.id.0, id, "{form}");
    }
}

#[test]
fn an_agent_without_identity_is_a_bad_row() {
    let forms = [
        json!(null),
        json!(""),
        json!(" "),
        json!("/"),
        json!(true),
        json!(-1),
        json!(1.5),
        json!([1]),
        json!({}),
        json!({"id": null}),
        json!({"id": {"id": 1}}),
    ];
    for form in forms {
        let row = read(json!({"app_user": form}), &unread());
        assert!(row.is_err(), "{form}");
    }
}

/// `agent_status`, `status`, then the expected name and availability.
type StatusCase = (Value, Value, Option<&'static str>, Option<bool>);

fn assert_statuses(names: &Names, cases: &[StatusCase]) {
    for (agent_status, status, name, available) in cases {
        let fields = json!({"agent_status": agent_status, "status": status});
        let agent = read(fields.clone(), names).unwrap().agent;
        assert_eq!(agent.status.as_deref(), *name, "{fields}");
        assert_eq!(agent.available, *available, "{fields}");
    }
}

#[test]
fn what_a_status_does_decides_when_the_statuses_are_known() {
    let null = Value::Null;
    assert_statuses(
        &renamed(),
        &[
            (json!(7), null.clone(), Some("Open"), Some(true)),
            (json!("7"), null.clone(), Some("Open"), Some(true)),
            (json!({"id": 7}), null.clone(), Some("Open"), Some(true)),
            (json!("Open"), null.clone(), Some("Open"), Some(true)),
            (json!(8), json!("Open"), Some("Available"), Some(false)),
            (
                json!("Available"),
                null.clone(),
                Some("Available"),
                Some(false),
            ),
            (
                null.clone(),
                json!("Available"),
                Some("Available"),
                Some(false),
            ),
            (null.clone(), json!("Open"), Some("Open"), Some(true)),
            (json!(9), null.clone(), Some("Lunch"), Some(false)),
            // Listed, but without its action: the name is all there is.
            (json!(10), null.clone(), Some("available"), Some(true)),
            // Not listed: the text helps, or nothing does.
            (json!(99), json!("Open"), Some("Open"), Some(true)),
            (json!(99), json!("New"), Some("New"), Some(false)),
            (json!(99), null.clone(), None, None),
            (null.clone(), null, None, Some(false)),
        ],
    );
}

#[test]
fn the_name_decides_when_statuses_are_unknown() {
    let null = Value::Null;
    assert_statuses(
        &unread(),
        &[
            (
                json!("Available"),
                null.clone(),
                Some("Available"),
                Some(true),
            ),
            (
                json!("Not Available"),
                null.clone(),
                Some("Not Available"),
                Some(false),
            ),
            (
                null.clone(),
                json!("Available"),
                Some("Available"),
                Some(true),
            ),
            (
                json!(7),
                json!(" Available "),
                Some("Available"),
                Some(true),
            ),
            (json!(7), json!("Post Call"), Some("Post Call"), Some(false)),
            (json!(7), null.clone(), None, None),
            (json!("7"), json!(""), None, None),
            (json!(""), null.clone(), None, Some(false)),
            (null.clone(), null, None, Some(false)),
        ],
    );
}

#[test]
fn a_status_that_is_not_listed_is_reported() {
    let unknown = |agent_status: Value, names: &Names| {
        let fields = json!({"agent_status": agent_status, "status": "Whatever"});
        read(fields, names).unwrap().unknown_status
    };
    assert_eq!(unknown(json!(99), &renamed()).as_deref(), Some("99"));
    assert_eq!(unknown(json!("New"), &renamed()).as_deref(), Some("New"));
    for listed in [json!(7), json!("Open"), json!(null)] {
        assert_eq!(unknown(listed, &renamed()), None);
    }
    // No list was read yet, so nothing can be missing from it.
    assert_eq!(unknown(json!(99), &unread()), None);
}

#[test]
fn a_row_without_any_status_field_is_bad_rather_than_not_available() {
    let row = json!({"app_user": 1, "queue_logged_in": true});
    assert!(Row::read(raw(&row).get(), &unread(), &mut Pattern::default()).is_err());
    for odd in [json!(true), json!([7]), json!({}), json!(-7)] {
        let row = read(json!({"agent_status": odd}), &unread());
        assert!(row.is_err(), "{odd}");
    }
}

/// A list of rows with these log-ins, settled: who has a seat, and how each row was read.
fn settled(logins: &[Value]) -> Result<Vec<(bool, QueueLogin)>, BadRow> {
    let row = |(n, login): (usize, &Value)| {
        let mut fields = json!({"app_user": n, "status": "Available"});
        let Value::Object(login) = login else {
            panic!("a log-in is an object of fields")
        };
        fields.as_object_mut().unwrap().extend(login.clone());
        Row::read(raw(&fields).get(), &unread(), &mut Pattern::default())
    };
    let mut rows: Vec<Row> = logins
        .iter()
        .enumerate()
        .map(row)
        .collect::<Result<_, _>>()?;
    settle_queue_logins(&mut rows)?;
    let told = rows.iter();
    Ok(told
        .map(|row| (row.agent.queue_logged_in, row.queue_login))
        .collect())
}

#[test]
fn the_queue_log_in_is_read_in_every_form_of_yes_and_no() {
    for (form, is_in) in [
        (json!(true), Some(true)),
        (json!("true"), Some(true)),
        (json!(" True "), Some(true)),
        (json!(1), Some(true)),
        (json!("1"), Some(true)),
        (json!(false), Some(false)),
        (json!("FALSE"), Some(false)),
        (json!(0), Some(false)),
        (json!("0"), Some(false)),
        (json!("yes"), None),
        (json!("t"), None),
        (json!(2), None),
        (json!(-1), None),
        (json!(1.0), Some(true)),
        (json!(0.5), None),
        (json!([true]), None),
        (json!({"id": 1}), None),
    ] {
        for field in ["queue_logged_in", "logged_in"] {
            let mut login = json!({"queue_logged_in": true});
            login[field] = form.clone();
            let row = settled(&[login]).ok();
            assert_eq!(row.is_some(), is_in.is_some(), "{field}: {form}");
            if field == "queue_logged_in" {
                let expected = is_in.map(|is_in| vec![(is_in, QueueLogin::Told)]);
                assert_eq!(row, expected, "{form}");
            }
        }
    }
}

#[test]
fn the_dialer_log_in_counts_only_if_no_row_has_the_queue_log_in() {
    use QueueLogin::{Assumed, LoggedOff, Told, Unclear};
    let (there, gone) = (
        json!({"queue_logged_in": true, "logged_in": true}),
        json!({"queue_logged_in": false, "logged_in": true}),
    );
    let (absent, offline) = (json!({"logged_in": true}), json!({"logged_in": false}));
    let null = json!({"queue_logged_in": null, "logged_in": true});
    let blank = json!({"queue_logged_in": " ", "logged_in": true});
    let off = json!({"queue_logged_in": null, "logged_in": false});
    let nothing = json!({});
    let cases = [
        (vec![&there, &gone], vec![(true, Told), (false, Told)]),
        // Present in no row.
        (
            vec![&absent, &offline],
            vec![(true, Assumed), (false, Assumed)],
        ),
        (
            vec![&absent, &nothing],
            vec![(true, Assumed), (false, Unclear)],
        ),
        // Present in some rows: the others are unknown, and unknown is not a seat.
        (vec![&there, &absent], vec![(true, Told), (false, Unclear)]),
        (vec![&gone, &absent], vec![(false, Told), (false, Unclear)]),
        (vec![&there, &nothing], vec![(true, Told), (false, Unclear)]),
        (vec![&there, &null], vec![(true, Told), (false, Unclear)]),
        (vec![&there, &blank], vec![(true, Told), (false, Unclear)]),
        // Nobody who is logged off is logged in to a queue.
        (vec![&off], vec![(false, LoggedOff)]),
        (
            vec![&off, &offline],
            vec![(false, LoggedOff), (false, LoggedOff)],
        ),
        (vec![&there, &off], vec![(true, Told), (false, LoggedOff)]),
    ];
    for (rows, expected) in cases {
        let rows: Vec<_> = rows.into_iter().cloned().collect();
        assert_eq!(settled(&rows).unwrap(), expected, "{rows:?}");
    }
    assert_eq!(settled(&[]).unwrap(), []);
    for unsaid in [json!({}), json!({"logged_in": null})] {
        assert!(settled(&[unsaid.clone(), unsaid]).is_err());
    }
    // The field is there, but says of nobody who may be logged in whether they are.
    let hidden = json!({"queue_logged_in": null, "logged_in": null});
    for rows in [
        vec![null.clone()],
        vec![null.clone(), absent],
        vec![null, off.clone(), off.clone()],
        vec![blank, offline],
        vec![off, nothing],
        vec![hidden],
    ] {
        assert!(settled(&rows).is_err(), "{rows:?}");
    }
}

#[test]
fn both_forms_of_a_date_are_read() {
    let since = |text: Value| {
        let fields = json!({"agent_status_modified_on": text});
        let since = read(fields, &unread()).unwrap().agent.status_since?;
        Some(since.to_string())
    };
    let cases = [
        (json!("2026-11-22T10:00:00Z"), Some("2026-11-22T10:00:00Z")),
        (
            json!("2026-11-22T10:00:00.25+02:00"),
            Some("2026-11-22T08:00:00.25Z"),
        ),
        (json!("2026-11-22 10:00:00"), Some("2026-11-22T10:00:00Z")),
        (json!("2026-11-22T10:00:00"), Some("2026-11-22T10:00:00Z")),
        (json!("yesterday"), None),
        (json!("2026-13-40 10:00:00"), None),
        (json!(null), None),
        (json!(1_795_341_600), None),
    ];
    for (text, expected) in cases {
        assert_eq!(since(text.clone()).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_row_is_kept_unchanged() {
    let text = r#"{"app_user":1, "queue_logged_in":true,"status":"Available","calls":  3.10}"#;
    let row = Row::read(text, &unread(), &mut Pattern::default()).unwrap();
    assert_eq!(row.agent.raw.json().get(), text);
    assert_eq!(&*row.agent.name, "");
}

#[test]
fn an_array_is_not_a_row_although_it_has_as_many_values() {
    let row = json!([1, "Ann", 7, "Available", true, true, null]);
    assert!(Row::read(raw(&row).get(), &unread(), &mut Pattern::default()).is_err());
}

proptest! {
    #[test]
    fn no_row_makes_the_parser_panic(text in any_json(), key in 0..7_usize) {
        let keys = ["app_user", "full_name", "agent_status", "status", "logged_in", "queue_logged_in", "agent_status_modified_on"];
        let mut row = json!({"app_user": 1, "queue_logged_in": true, "status": "Available"});
        row[keys[key]] = text;
        let _ = Row::read(raw(&row).get(), &renamed(), &mut Pattern::default());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9:TZ+ -]{0,25}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            inner.prop_map(|id| json!({ "id": id })),
        ]
    })
}
