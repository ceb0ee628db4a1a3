use serde_json::{Value, json};

use super::*;
use crate::model::fault::Fault;

fn raw(row: &Value) -> Box<RawValue> {
    RawValue::from_string(row.to_string()).unwrap()
}

fn with_queues(names: &[&str]) -> Names {
    let queue = |(index, name): (usize, &&str)| {
        NamedQueue::from_row(raw(&json!({"id": 100 + index, "name": name}))).unwrap()
    };
    Names {
        queues: Some(names.iter().enumerate().map(queue).collect()),
        statuses: None,
    }
}

fn with_statuses(rows: &[Value]) -> Names {
    let statuses = rows.iter().map(|row| Status::from_row(raw(row)).unwrap());
    Names {
        queues: None,
        statuses: Some(statuses.collect()),
    }
}

#[test]
fn a_name_resolves_exactly() {
    let names = with_queues(&["Sales", "sales", "support "]);
    assert_eq!(names.resolve("sales"), Ok(101));
    assert_eq!(names.resolve("Sales"), Ok(100));
    assert_eq!(names.resolve("support "), Ok(102));
    assert_eq!(names.queue_name(102), Some("support "));
    assert_eq!(names.queue_name(5), None);
}

#[test]
fn a_name_that_does_not_exist_gets_the_nearest_spellings() {
    let names = with_queues(&[
        "Sales Queue East",
        "sales-queue",
        "Billing",
        "SALES QUEUE",
        "sales queues",
        "Sales-Queue",
        "Sales-Queue",
    ]);
    let nearest = |asked: &str| match names.resolve(asked) {
        Err(NoSuchQueue::Name { nearest, .. }) => nearest,
        other => panic!("{asked}: {other:?}"),
    };
    assert_eq!(nearest("bilLing "), ["Billing"]);
    assert_eq!(
        nearest("Sales Queue"),
        ["SALES QUEUE", "sales queues", "Sales-Queue"]
    );
    assert_eq!(nearest("SALES-QUEUE")[..2], ["Sales-Queue", "sales-queue"]);
    assert_eq!(nearest("zzz"), [""; 0]);
    assert_eq!(nearest(&"x".repeat(1_000_000)), [""; 0]);
}

#[test]
fn a_misspelt_name_is_answered_with_the_existing_names() {
    let mut queues = vec!["Billing", "sales-queue", "support"];
    let advice = |queues: &[&str], asked: &str| match with_queues(queues).resolve(asked) {
        Err(wrong) => Fault::NoSuchQueue(wrong).full_advice(),
        Ok(id) => panic!("{asked} is {id}"),
    };
    assert_eq!(
        advice(&queues, "Sales-Queue"),
        "queue names are case-sensitive; did you mean \"sales-queue\"? \
         The account has: \"sales-queue\" (id 101), \"Billing\" (id 100), \"support\" (id 102)"
    );
    assert!(advice(&[], "sales").ends_with(". The account has no queues"));
    let many: Vec<_> = (0..40).map(|n| format!("overflow {n:02}")).collect();
    queues.extend(many.iter().map(String::as_str));
    let all = advice(&queues, "billing");
    assert_eq!(all.matches("(id ").count(), 12, "{all}");
    assert!(
        all.contains("? The account has: \"Billing\" (id 100), "),
        "{all}"
    );
    assert!(
        all.ends_with(" and 31 more; `openseat queues` lists all"),
        "{all}"
    );
}

#[test]
fn callers_see_only_the_nearest_queue_names() {
    let names = with_queues(&["sales-queue", "vip"]);
    let wrong = names.resolve("Sales-Queue").expect_err("no such queue");
    let fault = Fault::NoSuchQueue(wrong);
    assert!(!format!("{fault}: {}", fault.advice()).contains("vip"));
    assert!(fault.full_advice().contains("vip"));
}

#[test]
fn a_name_that_exists_twice_must_be_given_as_an_id() {
    let names = with_queues(&["sales", "support", "sales"]);
    assert_eq!(
        names.resolve("sales"),
        Err(NoSuchQueue::Ambiguous {
            asked: "sales".to_owned(),
            ids: vec![100, 102]
        })
    );
}

#[test]
fn a_statuss_meaning_comes_from_its_action() {
    let names = with_statuses(&[
        json!({"id": "4", "name": "Open", "queue_action": "set ready"}),
        json!({"id": 5, "name": "Lunch", "queue_action": "Set Not Ready"}),
        json!({"id": 6, "name": "Odd"}),
    ]);
    let ready = |id| {
        names
            .status_by_id(id)
            .expect("the status is listed")
            .is_ready()
    };
    assert_eq!(
        [ready(4), ready(5), ready(6)],
        [Some(true), Some(false), None]
    );
    for (action, is_ready) in [
        ("set_ready", Some(true)),
        ("SetReady", Some(true)),
        ("SET_NOT_READY", Some(false)),
        ("no_action", Some(false)),
        ("LOGOUT", Some(false)),
        ("Ready", None),
        ("Set Ready for Chats", None),
        ("1", None),
    ] {
        let names = with_statuses(&[json!({"id": 4, "name": "Open", "queue_action": action})]);
        let status = names.status_by_id(4).expect("the status is listed");
        assert_eq!(status.is_ready(), is_ready, "{action}");
        assert_eq!(names.tell_who_is_ready(), is_ready.is_some(), "{action}");
    }
    assert_eq!(
        names.status_named("Open").expect("the status is listed").id,
        4
    );
    assert!(names.status_named("open").is_none());
    assert!(names.status_by_id(7).is_none());
}

#[test]
fn if_two_statuses_share_a_name_the_one_that_is_not_ready_counts() {
    let names = with_statuses(&[
        json!({"id": 1, "name": "Available", "queue_action": "Set Ready"}),
        json!({"id": 2, "name": "Available", "queue_action": "Logout"}),
    ]);
    assert_eq!(names.status_named("Available").map(|it| it.id), Some(2));
}

#[test]
fn names_survive_a_file() {
    let mut names = with_statuses(&[
        json!({"id": 1, "name": "Open", "queue_action": "Logout", "color": "#fff"}),
    ]);
    let back = Names::from_json(&names.to_json()).unwrap();
    assert!(back.queues.is_none());
    assert_eq!(
        back.status_by_id(1).map(Status::is_ready),
        Some(Some(false))
    );
    names.queues = with_queues(&["sales"]).queues;
    let back = Names::from_json(&names.to_json()).unwrap();
    assert_eq!(back.resolve("sales"), Ok(100));
    assert_eq!(back.to_json(), names.to_json());
}

#[test]
fn other_files_are_refused() {
    for json in [
        "",
        "{",
        "[]",
        r#"{"queues":[{"name":"x"}]}"#,
        r#"{"queues":7}"#,
    ] {
        assert!(Names::from_json(json).is_err(), "{json}");
    }
}

#[test]
fn entries_without_id_or_name_are_bad() {
    for row in [
        json!({"name": "x"}),
        json!({"id": -1, "name": "x"}),
        json!({"id": 1}),
        json!({"id": 1, "name": null}),
        json!([1, "x"]),
    ] {
        assert!(NamedQueue::from_row(raw(&row)).is_err(), "{row}");
        assert!(Status::from_row(raw(&row)).is_err(), "{row}");
    }
}

#[test]
fn an_id_that_is_no_id_is_not_called_missing() {
    let reason = |id: &str| {
        let row = RawValue::from_string(format!(r#"{{"id":{id},"name":"x"}}"#)).unwrap();
        NamedQueue::from_row(row).unwrap_err().to_string()
    };
    for missing in ["null", "\"\""] {
        assert_eq!(reason(missing), "an entry has no id");
    }
    for wrong in ["18446744073709551616", "-1", "1.5", "\"x\""] {
        let number = "an entry's id is not a number from 0 to 18446744073709551615";
        assert_eq!(reason(wrong), number);
    }
}
