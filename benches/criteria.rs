//! What measuring one snapshot costs: each rule reads one full page of 250 rows.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use openseat::{
    clock::Moment,
    decision::criteria::{Condition, Criteria, Definition, SeatRule, seats},
    model::agent::{Agent, AgentId},
};
use serde_json::{Value, json, value::to_raw_value};

/// The most rows that CallTools sends at once.
const ROWS: u32 = 250;

/// A row as CallTools sends it. Every third agent is available; every second one is logged in to the queue.
fn row(number: u32) -> Value {
    let available = number.is_multiple_of(3);
    json!({
        "app_user": format!("6f1c0b52-0000-4000-8000-{number:012}"),
        "full_name": format!("Agent Number {number}"),
        "agent_status": if available { 1 } else { 2 },
        "status": if available { "Available" } else { "On a Call" },
        "ready": available,
        "logged_in": true,
        "queue_logged_in": number.is_multiple_of(2),
        "agent_status_modified_on": "2026-11-22T09:58:00.123Z",
        "logged_in_since": "2026-11-22T08:00:00Z",
        "ready_since": null,
        "web_phone_registered_on": "2026-11-22 08:00:01",
        "web_phone_status": "registered",
        "live_calls_count": u32::from(!available),
        "live_queue_calls_count": 0,
        "live_inbound_calls_count": 0,
        "campaign": 77,
        "campaign_name": "Solar West",
        "calls": 41,
        "calls_inbound": 12,
        "active_time": 7_204.5,
    })
}

fn response() -> Value {
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    json!({ "count": ROWS, "next": null, "previous": null, "results": rows })
}

fn agent(number: u32) -> Agent {
    let row = row(number);
    Agent {
        id: AgentId(format!("agent-{number}").into()),
        name: format!("Agent Number {number}").into(),
        status: row["status"].as_str().map(Into::into),
        available: Some(number.is_multiple_of(3)),
        logged_in: true,
        queue_logged_in: number.is_multiple_of(2),
        on_call: false,
        ready: None,
        status_since: "2026-11-22T09:58:00.123Z".parse().ok(),
        raw: to_raw_value(&row).expect("JSON is JSON").into(),
    }
}

fn criteria(field: &str) -> Criteria {
    Criteria::compile(&Definition {
        field: field.to_owned(),
        measure: None,
        condition: Condition::GreaterThan,
        value: None,
    })
    .expect("a valid rule")
}

fn built_in(bench: &mut Criterion) {
    let agents: Vec<_> = (0..ROWS).map(agent).collect();
    let as_of = Moment {
        boot: std::time::Duration::from_secs(86_400),
        wall: std::time::Duration::from_secs(1_795_341_600),
    };
    let rule = SeatRule {
        forgotten_after: Some(std::time::Duration::from_secs(4 * 3600)),
        count_on_call: false,
    };
    bench.bench_function("criteria/250 rows/built-in", |bench| {
        bench.iter(|| seats(black_box(&agents), rule, as_of));
    });
}

fn custom(bench: &mut Criterion) {
    let response = response();
    for (name, field) in [
        ("count", "count"),
        ("truth values", "results[*].queue_logged_in"),
        (
            "filter",
            "results[?(@.status=='Available' && @.queue_logged_in==true)]",
        ),
    ] {
        let criteria = criteria(field);
        bench.bench_function(&format!("criteria/250 rows/{name}"), |bench| {
            bench.iter(|| criteria.measure(black_box(&response)));
        });
    }
}

criterion_group!(benches, built_in, custom);
criterion_main!(benches);
