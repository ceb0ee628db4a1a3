//! Example bodies for the reference. A test checks each against its schema.

pub(in crate::server) const DECISION: &str = r#"{
  "queue": "sales-queue",
  "queue_id": 5450,
  "account": "main",
  "accept": true,
  "reason": "seats",
  "count": 7,
  "threshold": 0,
  "as_of": "2026-11-22T10:00:00.123Z",
  "age_ms": 1834,
  "membership_age_ms": 61834,
  "valid_until": "2026-11-22T10:01:30.123Z",
  "capacity": 7
}"#;

pub(in crate::server) const DECISIONS: &str = r#"{
  "decisions": [
    {
      "queue": "support-queue",
      "queue_id": null,
      "account": "main",
      "accept": false,
      "reason": "never_polled",
      "count": null,
      "threshold": 0,
      "as_of": null,
      "age_ms": null,
      "membership_age_ms": null,
      "valid_until": null,
      "capacity": 0,
      "detail": "the first poll of this queue has not finished yet"
    }
  ],
  "best": null
}"#;

pub(in crate::server) const QUEUES: &str = r#"{
  "queues": [
    {
      "queue": "sales-queue",
      "queue_id": 5450,
      "account": "main",
      "accept": false,
      "reason": "below_threshold",
      "count": 0,
      "threshold": 0,
      "as_of": "2026-11-22T10:00:00.123Z",
      "age_ms": 1834,
      "membership_age_ms": 61834,
      "valid_until": "2026-11-22T10:01:30.123Z",
      "capacity": 0,
      "name": "sales-queue",
      "agent_count": 3,
      "agents_by_status": { "Lunch": 1, "On a Call": 2 },
      "available_on_call": 0,
      "available_not_ready": 0,
      "soon": null,
      "fault": {
        "kind": "upstream_down",
        "message": "CallTools did not answer in time",
        "advice": "nothing, if it passes; otherwise see whether CallTools is up"
      },
      "last_attempt": "2026-11-22T10:00:01.500Z",
      "last_success": "2026-11-22T10:00:00.500Z"
    }
  ]
}"#;

pub(in crate::server) const QUEUE: &str = r#"{
  "queue": "sales-queue",
  "queue_id": 5450,
  "account": "main",
  "accept": true,
  "reason": "seats",
  "count": 1,
  "threshold": 0,
  "as_of": "2026-11-22T10:00:00.123Z",
  "age_ms": 1834,
  "membership_age_ms": 61834,
  "valid_until": "2026-11-22T10:01:30.123Z",
  "capacity": 1,
  "name": "sales-queue",
  "agent_count": 1,
  "agents_by_status": { "Available": 1 },
  "available_on_call": 0,
  "available_not_ready": 0,
  "soon": null,
  "fault": null,
  "last_attempt": "2026-11-22T10:00:00.123Z",
  "last_success": "2026-11-22T10:00:00.500Z",
  "complete": true,
  "took_ms": 377,
  "agents": [
    {
      "id": "7133",
      "name": "Ada Lovelace",
      "status": "Available",
      "available": true,
      "queue_logged_in": true,
      "on_call": false,
      "ready": true,
      "status_since": "2026-11-22T09:58:11.000Z"
    }
  ]
}"#;

pub(in crate::server) const RESERVATION_REQUEST: &str = r#"{
  "call_id": "a84b4c76e66710",
  "ttl": "45s"
}"#;

pub(in crate::server) const RESERVATION: &str = r#"{
  "id": "5f0c2a9be41d8c3760b2d94c1a7e8f35",
  "call_id": "a84b4c76e66710",
  "queue": "sales-queue",
  "queue_id": 5450,
  "account": "main",
  "created_at": "2026-11-22T10:00:00.123Z",
  "expires_at": "2026-11-22T10:00:45.123Z",
  "count": 6,
  "capacity": 6
}"#;

pub(in crate::server) const RESERVATIONS: &str = r#"{
  "reservations": [
    {
      "id": "5f0c2a9be41d8c3760b2d94c1a7e8f35",
      "call_id": "a84b4c76e66710",
      "queue": "sales-queue",
      "queue_id": 5450,
      "account": "main",
      "created_at": "2026-11-22T10:00:00.123Z",
      "expires_at": "2026-11-22T10:00:45.123Z"
    }
  ]
}"#;

pub(in crate::server) const CALL: &str = r#"{
  "call_id": "a84b4c76e66710",
  "answers": [
    {
      "at": "2026-11-22T10:00:00.123Z",
      "client": "buyer-7",
      "account": "main",
      "queue": "sales-queue",
      "accept": false,
      "reason": "below_threshold",
      "count": 0,
      "threshold": 0,
      "age_ms": 1834,
      "tags": { "tag_campaign": "solar" },
      "reservation": null
    },
    {
      "at": "2026-11-22T10:00:09.456Z",
      "client": "buyer-7",
      "account": "main",
      "queue": "support-queue",
      "accept": true,
      "reason": "seats",
      "count": 2,
      "threshold": 0,
      "age_ms": 2210,
      "reservation": {
        "id": "5f0c2a9be41d8c3760b2d94c1a7e8f35",
        "expires_at": "2026-11-22T10:00:54.456Z",
        "ended": "answered",
        "ended_at": "2026-11-22T10:00:21.002Z"
      }
    }
  ],
  "truncated": false
}"#;

pub(in crate::server) const HISTORY: &str = r#"{
  "queue": "sales-queue",
  "account": "main",
  "range": "24h",
  "part_ms": 600000,
  "parts": [
    {
      "from": "2026-11-22T10:00:00.000Z",
      "known_ms": 600000,
      "seats_min": 2,
      "seats_mean": 3.4,
      "seats_max": 5,
      "agents": { "Available": 3.4, "Lunch": 1 },
      "accepted": 41,
      "rejected": 2,
      "unknown": 0
    }
  ]
}"#;

pub(in crate::server) const RELOADED: &str = r#"{
  "file": "/etc/openseat/openseat.toml",
  "queues_added": ["main/support-queue"],
  "queues_removed": [],
  "accounts_started": ["main"],
  "accounts_renamed": [{"from": "main", "to": "acme"}],
  "accounts_removed": [],
  "warnings": []
}"#;

pub(in crate::server) const ACCOUNTS: &str = r#"{
  "accounts": [
    {
      "account": "main",
      "requests_per_hour": 1000,
      "reserve": 50,
      "used": 948,
      "share": 1,
      "throttled_until": null,
      "request_every_ms": 3790,
      "idle": false,
      "sweeps": true,
      "feed": "delta",
      "feeds": [
        {
          "feed": "delta",
          "standing": "in_use",
          "why": "it has proved true and takes the fewest requests",
          "until": null,
          "requests": 1
        },
        {
          "feed": "available",
          "standing": "distrusted",
          "why": "the filter by status is ignored",
          "until": "2026-11-22T11:00:00.000Z",
          "requests": 2
        },
        {
          "feed": "sweep",
          "standing": "no_gain",
          "why": "a reading takes 8 requests, one of the list of changes 1",
          "until": null,
          "requests": 8
        },
        {
          "feed": "queues",
          "standing": "no_gain",
          "why": "each poll shows the statuses of only one queue",
          "until": null,
          "requests": null
        }
      ],
      "queues": 20,
      "faulty_queues": 0,
      "fault": null,
      "fault_since": null,
      "empty_since": null,
      "agents_before": null,
      "cluster": {
        "engine_answers": true,
        "leads": false,
        "leader": "router-1",
        "epoch": 3,
        "lag_ms": 412,
        "nodes": [
          {"name": "router-1", "leads": true, "entries_behind": 0},
          {"name": "router-2", "leads": false, "entries_behind": 0}
        ],
        "trouble": null
      },
      "soon": null
    }
  ]
}"#;

pub(in crate::server) const ROWS: &str = r#"{
  "count": 1,
  "next": null,
  "previous": null,
  "results": [
    {
      "app_user": 7133,
      "full_name": "Ada Lovelace",
      "agent_status": "Available",
      "queue_logged_in": true
    }
  ]
}"#;

pub(in crate::server) const ROW: &str = r#"{
  "app_user": 7133,
  "full_name": "Ada Lovelace",
  "agent_status": "Available"
}"#;

pub(in crate::server) const DETAIL: &str = r#"{
  "detail": "Not found."
}"#;

pub(in crate::server) const FILTER: &str = r#"{
  "queue": ["Enter a number."]
}"#;

pub(in crate::server) const METRICS: &str = "# TYPE openseat_queue_seats gauge\nopenseat_queue_seats{account=\"main\",queue=\"sales-queue\"} 7\n";

pub(in crate::server) const EVENT: &str = r#"{
  "id": "6c1f0a9d5e3b2748-17",
  "event": "snapshot",
  "data": "{\"decisions\":[]}"
}"#;
