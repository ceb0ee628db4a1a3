use super::*;
use crate::fixtures::available;

#[tokio::test]
async fn ready_means_that_every_queue_has_a_snapshot_or_a_known_fault() {
    let world = World::with(&["main/a", "main/b"]);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    assert_eq!(server.get("/livez").await.status, 200);
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "not ready\nmain/a: ok\nmain/b: never polled\n");

    server
        .board
        .fault(&key("main/b"), Some(Arc::new(Fault::BadToken)));
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "ready\nmain/a: ok\nmain/b: CallTools does not accept the token\n"
    );
    assert_eq!(server.get("/readyz").await.body, "ready\n");

    server.stopping.cancel();
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(3));
    let server = world.serve().await;
    server.get("/v1/queues/sales/decision").await;
    let text = server.get("/metrics").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "# TYPE openseat_decisions_total counter",
        "openseat_decisions_total{account=\"main\",queue=\"sales\",result=\"accept\",reason=\"seats\"} 1",
        "openseat_queue_seats{account=\"main\",queue=\"sales\"} 3.0",
        "openseat_open_connections 1",
    ] {
        assert!(
            text.body.lines().any(|found| found == line),
            "{line} in\n{}",
            text.body
        );
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = server.ask("GET", "/metrics", accept).await;
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_front_page_lists_the_endpoints_for_people_and_for_curl() {
    let server = World::with(&["main/sales"]).serve().await;
    let text = server.get("/").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(text.body.contains("GET /v1/queues/{queue}/decision"));
    let html = server.ask("GET", "/", "Accept: text/html,*/*\r\n").await;
    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(html.body.contains("?queue=a&amp;queue=b</td>"));
}
