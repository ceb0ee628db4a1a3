//! What the kernel keeps for clients that read nothing, as `/proc/net/tcp` shows it for each socket, including closed ones until the kernel
//! forgets them.
//!
//! `cargo test --lib unread -- --nocapture` prints the figures.

use super::*;
use crate::fixtures::available;

/// How long a test may take if other tests keep all cores busy.
const MAX_WAIT: Duration = Duration::from_secs(120);

const CLIENTS: usize = 60;
const QUEUES: usize = 400;

/// The maximum in bytes for each client: the send buffer that is set, as the kernel doubles it, and half of that again for a page on each side.
const MAX_HELD: usize = 192 * 1024;

/// Bytes that were handed to the kernel at this port, and not yet read by their clients.
fn unread(port: u16) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux has this file");
    let of_port = format!(":{port:04X}");
    let waiting = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _remote, _state) = (words.next()?, words.next()?, words.next()?);
        let (sent, _received) = words.next()?.split_once(':')?;
        let bytes = usize::from_str_radix(sent, 16).ok()?;
        local.ends_with(&of_port).then_some(bytes)
    };
    sockets.lines().filter_map(waiting).sum()
}

fn cut(metrics: &Metrics) -> usize {
    let text = metrics.render(
        crate::metrics::Scrape::default(),
        crate::metrics::Format::Text,
    );
    let line = text.lines().find_map(|line| {
        line.strip_prefix("openseat_connections_dropped_total{cause=\"slow_reader\"} ")
    });
    line.map_or(0, |count| count.parse().expect("a number"))
}

/// Clients that send this request and read nothing.
async fn ask_and_read_nothing(server: &Server, target: &str) -> Vec<TcpStream> {
    let mut asked = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = server.connect().await;
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("the connection is open");
        asked.push(stream);
    }
    asked
}

/// Waits until all of them are cut, and calls `stir` meanwhile. Returns the most that the kernel kept for them, and checks that it keeps nothing
/// afterwards.
async fn most_unread(server: &Server, metrics: &Metrics, stir: impl Fn(usize)) -> usize {
    let port = server.address.expect("the server listens on TCP").port();
    let mut most = 0;
    let all_cut = async {
        for round in 0.. {
            stir(round);
            tokio::time::sleep(server.app.limits.watch.rest).await;
            most = most.max(unread(port));
            if cut(metrics) >= CLIENTS {
                break;
            }
        }
        while unread(port) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = tokio::time::timeout(MAX_WAIT, all_cut).await;
    assert!(
        ended.is_ok(),
        "{} are cut, {} bytes kept",
        cut(metrics),
        unread(port)
    );
    println!("{CLIENTS} clients that read nothing: {} KiB", most / 1024);
    most
}

#[track_caller]
fn hold_little(most: usize) {
    assert!(most > 0, "all of them were slow, so something was kept");
    assert!(most <= CLIENTS * MAX_HELD, "{most}");
}

fn queue_name(number: usize) -> String {
    format!("main/queue-{number}")
}

#[tokio::test]
async fn silent_watchers_of_many_queues_use_little_memory_and_none_once_they_are_cut() {
    let names: Vec<_> = (0..QUEUES).map(queue_name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names);
    world.limits.write = Duration::from_secs(3);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let _watchers = ask_and_read_nothing(&server, "/v1/watch").await;
    let stir = |round| {
        let now = server.clock.now();
        for queue in 0..QUEUES {
            let snapshot = snapshot(now, available(1 + round % 2));
            server
                .board
                .publish(&key(&queue_name(queue)), snapshot, now);
        }
    };
    hold_little(most_unread(&server, &metrics, stir).await);
}

#[tokio::test]
async fn long_answers_that_nobody_reads_use_little_memory_and_none_once_they_are_cut() {
    let mut world = World::with(&[&queue_name(0)]);
    world.limits.write = Duration::from_secs(3);
    world.publish(&queue_name(0), available(4_000));
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let target = format!("/v1/queues/{}", queue_name(0));
    let _readers = ask_and_read_nothing(&server, &target).await;
    hold_little(most_unread(&server, &metrics, |_| {}).await);
}
