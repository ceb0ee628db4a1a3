//! Bodies that nobody reads, from clients that send them in their own time.

use super::*;
use crate::fixtures::available;

const DECISION: &str = "/v1/queues/sales/decision";

/// A queue with a seat.
fn world() -> World {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    world
}

/// Sends a head, after a moment a body, and then another request on the same connection. Returns all that the server sends.
async fn in_two_steps(server: &Server, head: &str, body: &str) -> String {
    let mut stream = server.connect().await;
    let head = format!("{head}Host: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it is open");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let next =
        format!("{body}GET {DECISION} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(next.as_bytes()).await;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    text
}

#[tokio::test]
async fn a_body_that_follows_its_head_later_costs_no_request() {
    let server = world().serve().await;
    for target in [
        DECISION,
        "/v1/queues/sales/decision?format=text&call_id=a&reserve=45s",
        "/v1/queues/nowhere/decision",
        "/v1/reload",
        "/nowhere",
    ] {
        for (length, body) in [
            ("Content-Length: 2", "{}"),
            ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"),
        ] {
            let head = format!("POST {target} HTTP/1.1\r\n{length}\r\n");
            let text = in_two_steps(&server, &head, body).await.to_lowercase();
            assert_eq!(text.matches("http/1.1 ").count(), 2, "{target}: {text}");
            assert_eq!(text.matches("connection: close").count(), 1, "{text}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_or_does_not_come_ends_the_connection() {
    let server = world().serve().await;
    for head in [
        "Content-Length: 100000",
        "Content-Length: 2\r\nExpect: 100-continue",
        "Content-Length: 2",
        "Transfer-Encoding: chunked",
    ] {
        let request = format!("POST {DECISION} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n");
        let answer = server.raw(&request).await;
        assert_eq!(answer.status, 200, "{head}");
        assert_eq!(answer.headers["connection"], "close", "{head}");
    }
}

#[tokio::test]
async fn a_decision_is_made_after_a_body_that_follows_its_head() {
    let server = world().serve().await;
    let show = |seats| {
        let now = server.clock.now();
        let board = &server.board;
        board.publish(&key("main/sales"), snapshot(now, available(seats)), now);
    };
    let mut found = Vec::new();
    // On a machine that pauses, a body may come too late.
    for _ in 0..20 {
        show(1);
        let mut stream = server.connect().await;
        let head = format!(
            "POST {DECISION} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it is open");
        tokio::time::sleep(Duration::from_millis(10)).await;
        show(0);
        stream.write_all(b"{}").await.expect("it is open");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        if text.contains("\"below_threshold\"") {
            return;
        }
        found.push(text);
    }
    panic!("{found:?}");
}
