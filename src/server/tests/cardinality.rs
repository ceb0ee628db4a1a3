//! How many series a scrape of many queues has, and that docs/metrics.md says so.

use super::*;
use crate::fixtures::agent;

const QUEUES: usize = 1000;
const STATUSES: usize = 8;

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A server with many known queues of one account, each with a few agents.
async fn crowded(by_status: bool) -> Server {
    let queues: Vec<_> = (0..QUEUES).map(|n| format!("main/queue-{n:04}")).collect();
    let queues: Vec<_> = queues.iter().map(String::as_str).collect();
    let mut world = World::with(&queues);
    world.metrics_by_status = by_status;
    let ends = world.account("main", TOKEN);
    let status = |n| serde_json::json!({"id": n, "name": format!("Status {n}")});
    let statuses: Vec<_> = (0..STATUSES).map(status).collect();
    let names = serde_json::json!({"queues": null, "statuses": statuses}).to_string();
    let names = Names::from_json(&names).expect("names");
    ends.names.send_replace(Arc::new(names));
    for (number, queue) in queues.iter().enumerate() {
        let status = format!("Status {}", number % STATUSES);
        let agents = (0..5).map(|n| agent(&format!("{number}-{n}"), "Ann", &status));
        world.publish(queue, agents.collect());
    }
    world.serve().await
}

/// The number of series and the size of a scrape, as the page rounds them.
async fn measured(by_status: bool) -> (usize, String) {
    let server = crowded(by_status).await;
    let text = server.get("/metrics").await.body;
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let rounded = (series + 500) / 1000 * 1000;
    // Besides the queues' series, a scrape has some dozens.
    assert!(series.abs_diff(rounded) < 200, "{series} series");
    let is_there =
        ["openseat_queue_agents{", "openseat_account_agents{"].map(|name| text.contains(name));
    assert_eq!(is_there, [by_status; 2]);
    assert!(text.contains("openseat_queue_seats{"), "the rest stays");
    (rounded, format!("{:.1} MB", text.len() as f64 / 1e6))
}

#[tokio::test]
async fn a_thousand_queues_have_as_many_series_as_the_page_says() {
    let (_, section) = PAGE.split_once("## How many series").expect("a section");
    assert!(section.contains("1,000 queues and 8 statuses"));
    for by_status in [true, false] {
        let (series, bytes) = measured(by_status).await;
        let series = format!("{},{:03}", series / 1000, series % 1000);
        let row = format!("| `{by_status}` | {series} | {bytes} |");
        assert!(section.contains(&row), "docs/metrics.md lacks {row}");
    }
}
