//! A queue's history as JSON, CSV and a chart, with something recorded and with nothing.

use super::*;
use crate::state::history::fixtures::recorded;

/// A server with two hours of a queue's history, in which 40 and 41 agents were free in turn.
async fn with_history() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::with(&["main/sales", "main/new"]);
    let path = folder.path().join("history.sqlite3");
    let recorder = recorded(&path, &world.clock, &key("main/sales"), 24, 40);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let memory = State::open(None, 0, &clock).await.expect("memory");
    world.state = Some(Arc::new(State {
        history: Some(Arc::new(recorder)),
        ..memory
    }));
    (world.serve().await, folder)
}

#[tokio::test]
async fn the_history_is_available_as_json_and_csv() {
    let (server, _folder) = with_history().await;
    for (range, part_ms, parts) in [
        ("1h", 60_000, 60),
        ("24h", 600_000, 144),
        ("7d", 3_600_000, 168),
    ] {
        let target = format!("/v1/queues/sales/history?range={range}");
        let history = server.get(&target).await.json();
        assert_eq!(
            (&history["queue"], &history["account"]),
            (&"sales".into(), &"main".into())
        );
        assert_eq!(
            (&history["range"], &history["part_ms"]),
            (&range.into(), &part_ms.into())
        );
        let read = history["parts"].as_array().expect("a list");
        assert_eq!(read.len(), parts, "{range}");
        let last = &read[parts - 1];
        assert!(
            last["seats_max"]
                .as_f64()
                .is_some_and(|seats| (40.0..=41.0).contains(&seats)),
            "{last}"
        );
        assert!(
            last["agents"]["Available"]
                .as_f64()
                .is_some_and(|agents| agents >= 40.0),
            "{last}"
        );
        if range != "1h" {
            let first = &read[0];
            assert_eq!(
                (&first["seats_min"], &first["known_ms"]),
                (&Value::Null, &0.into()),
                "unknown is not zero"
            );
        }
        let csv = server.get(&format!("{target}&format=csv")).await;
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
        let lines: Vec<_> = csv.body.split("\r\n").collect();
        assert_eq!((lines.len(), lines[parts + 1]), (parts + 2, ""), "{range}");
        assert_eq!(
            lines[0],
            "from,known_ms,seats_min,seats_mean,seats_max,accepted,rejected,unknown,agents Available"
        );
        for (line, part) in lines[1..].iter().zip(read) {
            let fields: Vec<_> = line.split(',').collect();
            assert_eq!(
                (fields.len(), fields[0]),
                (9, part["from"].as_str().expect("text"))
            );
            assert_eq!(fields[2].parse().ok(), part["seats_min"].as_f64(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_default_range_is_a_day_and_invalid_ranges_are_rejected() {
    let (server, _folder) = with_history().await;
    let day = server.get("/v1/queues/main/sales/history").await;
    assert_eq!(day.json()["range"], "24h");
    for (query, status) in [
        ("range=2h", 400),
        ("format=xml", 400),
        ("format=csv&format=csv", 400),
        ("fromat=csv", 400),
        ("zip=90210", 200),
    ] {
        let answer = server
            .get(&format!("/v1/queues/sales/history?{query}"))
            .await;
        assert_eq!(answer.status, status, "{query}");
    }
    assert_eq!(server.get("/v1/queues/nowhere/history").await.status, 404);
}

#[tokio::test]
async fn without_records_the_history_and_the_chart_are_empty() {
    let (past, _folder) = with_history().await;
    let without = World::with(&["main/new"]).serve().await;
    for server in [past, without] {
        let history = server.get("/v1/queues/new/history").await;
        assert_eq!(history.status, 200, "{history:?}");
        let parts = history.json()["parts"].clone();
        let is_unknown = |part: &Value| part["seats_mean"].is_null();
        assert!(parts.as_array().expect("a list").iter().all(is_unknown));
        let csv = server.get("/v1/queues/new/history?format=csv").await;
        assert!(csv.body.starts_with("from,known_ms,"), "{csv:?}");
        let chart = server.get("/v1/queues/new/chart.svg").await;
        assert_eq!(
            (chart.status, chart.header("content-type")),
            (200, Some("image/svg+xml"))
        );
        assert!(chart.body.contains("nothing recorded"), "{chart:?}");
    }
}

#[tokio::test]
async fn decisions_are_counted_in_their_parts() {
    use crate::{
        decision::board::QueueKey,
        server::json::history::HistoryJson,
        state::history::{Bucket, Decided},
    };
    let minute = |n: i64| jiff::Timestamp::from_second(1_795_341_600 + n * 60).expect("a moment");
    let bucket = |n, agents: &[(&str, f64)]| Bucket {
        from: minute(n),
        agents: agents
            .iter()
            .map(|(name, mean)| ((*name).to_owned(), *mean))
            .collect(),
        ..Bucket::default()
    };
    let buckets = vec![
        bucket(0, &[]),
        bucket(1, &[("=1+1, \"x\"", 1.23456), ("Lunch", 2.0)]),
        bucket(2, &[("Lunch", 1.0)]),
    ];
    let decided = |n, result: &str, reason: &str, count| Decided {
        from: minute(n),
        result: result.to_owned(),
        reason: reason.to_owned(),
        count,
    };
    let decided = [
        decided(0, "accept", "seats", 5),
        decided(0, "reject", "too_old", 2),
        decided(2, "accept", "upstream_down", 1),
        decided(9, "accept", "seats", 7),
    ];
    let key = QueueKey::new("main", "sales");
    let minute = Duration::from_secs(60);
    let json = HistoryJson::new(&key, "1h", minute, buckets, &decided, |reason| {
        reason == "seats"
    });
    assert_eq!(
        json.to_csv(),
        "from,known_ms,seats_min,seats_mean,seats_max,accepted,rejected,unknown,\"agents =1+1, \"\"x\"\"\",agents Lunch\r\n\
         2026-11-22T10:00:00.000Z,0,,,,5,2,2,,\r\n\
         2026-11-22T10:01:00.000Z,0,,,,0,0,0,1.235,2\r\n\
         2026-11-22T10:02:00.000Z,0,,,,1,0,1,0,1\r\n"
    );
}
