//! The processor time of a poll: turning a reply of 250 agents into rows, and into the response that criteria evaluate.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, StatusCode};
use openseat::{
    calltools::{Ask, Page, Reply, Row, joined_response},
    clock::Moment,
    model::{
        agent::Agent,
        names::{Names, Status},
        raw::Pattern,
    },
};
use serde_json::{Value, json, value::RawValue};

/// The most rows that CallTools sends at once.
const ROWS: u64 = 250;

const ASK: Ask = Ask {
    page: 1,
    queue: Some(5450),
};

const NOW: Moment = Moment {
    boot: Duration::from_secs(86_400),
    wall: Duration::from_secs(1_795_341_600),
};

/// A row with the fields that CallTools sends, known and unknown.
fn row(id: u64) -> Value {
    json!({
        "app_user": format!("5f0c3a52-6e1f-4b7e-9a3d-{id:012}"),
        "full_name": format!("Agent Number {id}"),
        "username": format!("agent{id}@example.com"),
        "agent_status": 100 + id % 8,
        "status": "Available",
        "ready": id.is_multiple_of(3),
        "logged_in": true,
        "queue_logged_in": !id.is_multiple_of(5),
        "agent_status_modified_on": "2026-11-22T09:58:12.123456Z",
        "logged_in_since": "2026-11-22T08:00:00.000000Z",
        "ready_since": null,
        "web_phone_registered_on": "2026-11-22T08:00:03.000000Z",
        "web_phone_status": "Registered",
        "live_calls_count": id % 2,
        "live_queue_calls_count": 0,
        "live_inbound_calls_count": 0,
        "campaign": 4711,
        "campaign_name": "Inbound \"Sales\" – East",
        "calls": 31,
        "calls_inbound": 17,
        "active_time": 7_213.5,
        "wait_time": 812.25,
        "break_time": 0,
        "teams": [{"id": 3, "name": "Early"}, {"id": 9, "name": "Spanish"}],
        "extension": "10231",
        "outbound_caller_id": "+15550100",
    })
}

fn reply() -> Reply {
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    let body = json!({"count": ROWS, "next": null, "previous": null, "results": rows});
    Reply {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
    }
}

fn names() -> Names {
    let status = |id: u64| {
        let action = if id == 0 {
            "Set Ready"
        } else {
            "Set Not Ready"
        };
        let row = json!({"id": 100 + id, "name": format!("Status {id}"), "queue_action": action});
        let raw = RawValue::from_string(row.to_string()).expect("a value is JSON");
        Status::from_row(raw).expect("the row has an id and a name")
    };
    Names {
        queues: None,
        statuses: Some((0..8).map(status).collect()),
    }
}

fn normalize(reply: &Reply, names: &Names) -> Vec<Agent> {
    let page = Page::read(reply, ASK, NOW).expect("the reply is a page");
    let mut pattern = Pattern::default();
    let rows = page.rows.iter();
    let rows = rows.map(|row| Row::read(row, names, &mut pattern).expect("the row is valid"));
    rows.map(|row| row.agent).collect()
}

fn benches(c: &mut Criterion) {
    let (reply, names) = (reply(), names());
    let agents = normalize(&reply, &names);
    let mut group = c.benchmark_group("normalize");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("page", |b| {
        b.iter(|| Page::read(black_box(&reply), ASK, NOW));
    });
    group.bench_function("page and rows", |b| {
        b.iter(|| normalize(black_box(&reply), &names));
    });
    group.bench_function("joined response", |b| {
        b.iter(|| joined_response(black_box(&agents)));
    });
    group.finish();
}

criterion_group!(normalization, benches);
criterion_main!(normalization);
