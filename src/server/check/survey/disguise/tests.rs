use std::{collections::VecDeque, sync::Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::{
    budget::Budget,
    calltools::{Reply, Transport},
    clock::{Clock, VirtualClock},
    config::Config,
    model::fault::{Down, Fault},
    server::check::{
        Reach, select,
        survey::{SurveyReport, survey},
    },
};
use std::sync::Arc;

/// Every word that could identify somebody contains this, and nothing else does.
const MARK: &str = "xq";

/// Every number and every id that could identify somebody contains these digits.
const DIGITS: &str = "7707707";

/// Gives one reply after another, to any request.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Result<Reply, Fault>>>);

impl Transport for Script {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        let next = self.0.lock().expect("no holder panics").pop_front();
        let silence = || Fault::down(Down::ConnectionLost, format!("acme{MARK}.example is away"));
        Box::pin(async move { next.unwrap_or_else(|| Err(silence())) })
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut headers = HeaderMap::new();
    let host = format!("app7.acme{MARK}.example");
    for (name, value) in [
        ("server", &*host),
        ("location", &*host),
        ("date", &*host),
        ("retry-after", &*host),
        ("x-user", &*host),
    ] {
        headers.insert(name, value.parse().expect("a header"));
    }
    Reply {
        status: StatusCode::from_u16(status).expect("a status"),
        headers,
        body: body.into(),
    }
}

/// The report on an account with these replies.
fn report(replies: Vec<Result<Reply, Fault>>) -> SurveyReport {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let text = format!(
            "[[account]]\nname = \"acme{MARK}\"\nbase_url = \"https://acme{MARK}.example/api/\"\n\
             token_env = \"TOKEN\"\nqueue = [{{ queue = \"sales {MARK}\" }}]\n"
        );
        let config =
            Config::parse(&text, "openseat.toml".as_ref(), &|_| None).expect("a valid config");
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::default());
        let limit = config.accounts[0].requests_per_hour;
        let reach = Reach {
            config: Arc::new(config.accounts[0].clone()),
            budget: Arc::new(Budget::in_memory(limit, 50, Arc::clone(&clock))),
            transport: Arc::new(Script(Mutex::new(replies.into()))),
            token: None,
            health: None,
        };
        let targets = select(&config, &[]).expect("a queue");
        survey(&targets[0], &reach, &clock).await.expect("answers")
    })
}

fn written(report: &SurveyReport) -> String {
    serde_json::to_string_pretty(report).expect("the report serializes")
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][a-zéß]{1,8} [A-Z]['a-z\"\\\\]{1,8}".prop_map(|name| format!("{name}{MARK}")),
        Just(format!("Available{MARK}")),
        Just(format!("{MARK}@acme.example")),
        Just(format!(
            "https://app.acme{MARK}.example:8443/api/users/{DIGITS}/?key={MARK}&page={DIGITS}"
        )),
        Just(format!(
            "http://{MARK}:{MARK}@10.0.0.7/{MARK}/queues/?queue={DIGITS}&{MARK}=1"
        )),
        Just(format!("+1 {DIGITS}")),
        Just(DIGITS.to_owned()),
        Just(format!("{DIGITS}1-1111-4111-8111-111111111111")),
        Just(format!("2026-11-22T10:00:00Z{MARK}")),
        Just(format!("Invalid token. {MARK}")),
        Just("2026-11-22T10:00:00.123456Z".to_owned()),
        Just("Available".to_owned()),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => texts().prop_map(Value::from),
        1 => Just(json!(77_077_071_u64)),
        1 => Just(json!(-7_707_707)),
        1 => Just(json!(7_707_707.5)),
        1 => Just(json!(3)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Known keys, and keys that identify somebody.
fn keys() -> impl Strategy<Value = String> {
    let known = [&KEYS[..], &COUNTS, &DATES].concat();
    prop_oneof![
        3 => prop::sample::select(known).prop_map(str::to_owned),
        1 => texts(),
        1 => Just(format!("user_{DIGITS}")),
    ]
}

/// A row; `number` makes its own keys differ from those of other rows.
fn row(number: usize) -> impl Strategy<Value = Value> {
    let fields = prop::collection::vec((keys(), values()), 0..8);
    (fields, values(), values()).prop_map(move |(fields, user, name)| {
        let mut row: Map<String, Value> = fields.into_iter().collect();
        row.insert("app_user".to_owned(), user);
        row.insert("full_name".to_owned(), name);
        let own = "abcdefghij".chars().nth(number).expect("a letter");
        row.insert(format!("ann_{MARK}_{own}"), json!(true));
        // A custom field, as all rows have it.
        row.insert(format!("acme{MARK}_client_id"), json!("x"));
        row.into()
    })
}

fn bodies() -> impl Strategy<Value = Value> {
    let rows = prop_oneof![
        Just(Vec::new()).boxed(),
        row(0).prop_map(|row| vec![row]).boxed(),
        (row(0), row(1), row(2))
            .prop_map(|(a, b, c)| vec![a, b, c])
            .boxed(),
    ];
    prop_oneof![
        4 => (rows.clone(), values(), values()).prop_map(|(rows, count, next)| {
            json!({ "count": count, "next": next, "previous": null, "results": rows })
        }),
        1 => rows.prop_map(Value::from),
        2 => values(),
    ]
}

fn replies() -> impl Strategy<Value = Result<Reply, Fault>> {
    prop_oneof![
        6 => bodies().prop_map(|body| Ok(reply(200, body.to_string()))),
        2 => (prop::sample::select(vec![400, 403, 404, 500]), values())
            .prop_map(|(status, body)| Ok(reply(status, body.to_string()))),
        1 => Just(Ok(reply(200, format!("<html>{MARK} {DIGITS}</html>")))),
        1 => Just(Err(Fault::down(Down::NotJson, format!("{MARK} {DIGITS}")))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_report_identifies_anybody(replies in prop::collection::vec(replies(), 10)) {
        let report = report(replies);
        prop_assert!(report.requests <= 10, "{}", report.requests);
        let written = written(&report);
        let lower = written.to_lowercase();
        prop_assert!(!lower.contains(MARK), "{written}");
        prop_assert!(!written.contains(DIGITS), "{written}");
    }
}

#[test]
fn the_same_person_queue_and_status_are_the_same_in_all_answers() {
    let list = |rows: Value| {
        Ok(reply(
            200,
            json!({ "count": 1, "next": null, "results": rows }).to_string(),
        ))
    };
    let agent = json!({
        "app_user": 31_001, "full_name": "Ann", "agent_status": 627, "status": "Lunch",
        "logged_in": true, "queue_logged_in": true, "live_calls_count": 1,
        "agent_status_modified_on": "2026-11-22T09:59:00Z", "team": 627,
    });
    let replies = vec![
        list(json!([{ "id": 5450, "name": "sales xq" }])),
        list(json!([{ "id": 627, "name": "Lunch", "queue_action": "Set Not Ready" }])),
        list(json!([agent])),
        list(json!([agent])),
        list(json!([agent])),
        list(json!([agent])),
        list(json!([agent])),
        list(json!([agent])),
        Ok(reply(
            400,
            r#"{"queue":["Select a valid choice. That choice is not one of the available choices."]}"#,
        )),
        Ok(reply(404, r#"{"detail":"Invalid page."}"#)),
    ];
    let report = report(replies);
    let rows = |n: usize| report.answers[n].body["results"][0].clone();
    assert_eq!(rows(0), json!({ "id": 1_001, "name": "Queue 1" }));
    let status = json!({ "id": 1_002, "name": "Status 1", "queue_action": "Set Not Ready" });
    assert_eq!(rows(1), status);
    let agent = json!({
        "app_user": 1_003, "full_name": "Person 1", "agent_status": 1_002, "status": "Status 1",
        "logged_in": true, "queue_logged_in": true, "live_calls_count": 1,
        "agent_status_modified_on": "2026-11-22T09:59:00Z", "team": 1_002,
    });
    assert!((2..8).all(|n| rows(n) == agent), "{report:#?}");
    let asked: Vec<_> = report.answers.iter().map(|answer| &*answer.asked).collect();
    assert_eq!(asked[5], "agentstatuses/?page_size=250&agent_status=1002");
    assert_eq!(asked[7], "agentstatuses/?page_size=250&queue=1001");
    let refused = "Select a valid choice. That choice is not one of the available choices.";
    assert_eq!(report.answers[8].body["queue"][0], refused);
    assert_eq!(report.answers[9].body["detail"], "Invalid page.");
}

#[test]
fn only_keys_that_calltools_is_known_to_send_stay() {
    let rows = json!([
        { "app_user": "a", "acme_client_id": "x", "ann": 1, "by_agent": { "ann": 1, "team": 2 } },
        { "app_user": "b", "acme_client_id": "x", "bob": 1, "by_agent": null },
    ]);
    let body = json!({ "count": 2, "next": null, "results": rows }).to_string();
    let report = report(vec![Ok(reply(200, body))]);
    let row = |n: usize| report.answers[0].body["results"][n].clone();
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let (first, second) = (row(0), row(1));
    assert_eq!(keys(&first), ["app_user", "key-1", "key-2", "key-3"]);
    // The same key has the same substitute everywhere.
    assert_eq!(keys(&second), ["app_user", "key-1", "key-3", "key-4"]);
    assert_eq!(keys(&first["key-3"]), ["key-2", "team"]);
}

#[test]
fn a_list_that_the_daemon_cannot_read_makes_a_report_incomplete() {
    let whole = r#"{"count":0,"next":null,"results":[],"results":[]}"#;
    let replies = (0..10).map(|_| Ok(reply(200, whole))).collect();
    let report = report(replies);
    let twice = "\"results\" is not a list, or a key appears twice";
    assert!(!report.is_complete());
    assert!(
        report.unanswered[0].starts_with("queues, statuses, ")
            && report.unanswered[0].ends_with(twice),
        "{report:#?}"
    );
    assert!(report.said[0].contains("queues/ could not be read"));
}
