//! What clients can do: ask for unknown queues, use strange paths, send bytes that are not a request, and vanish.

use std::{collections::BTreeSet, fs, net::SocketAddr, time::Duration};

use openseat::{
    config::Config,
    simulator::{InjectedFault, TOKEN},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{CallTools, TIMEOUT, TestDaemon, TestFolder, Time, get, known, soon};

/// A daemon that knows its queues and whose time stands still.
async fn setup() -> (CallTools, TestFolder, TestDaemon) {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    (calltools, home, daemon)
}

/// Sends these bytes and nothing more, and returns what arrived until the server closed.
async fn throw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        // The server may close before everything is sent, which is allowed.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer = tokio::time::timeout(TIMEOUT, exchange).await;
    answer.expect("no timeout")
}

/// The names and labels of all samples.
async fn series(daemon: &TestDaemon) -> BTreeSet<String> {
    let text = daemon.get("/metrics").await.body;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

#[tokio::test]
async fn k02_oversized_heads_are_refused_and_the_connection_is_closed() {
    let (_calltools, _home, daemon) = setup().await;
    let host = "Host: localhost\r\n";
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = "x".repeat(100_000);
    for head in [
        format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
        format!("GET /livez?{long} HTTP/1.1\r\n{host}\r\n"),
        format!("GET /livez HTTP/1.1\r\n{host}X: {long}\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\n{host}{many}\r\n"),
    ] {
        let answer = throw(daemon.address, head.as_bytes()).await;
        // A reset may overtake the answer, because not everything was read.
        let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 ");
        assert!(refused, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(known(&daemon.decision("sales").await));
}

/// Requests to corrupt: ordinary ones, and some that are known from request smuggling.
const REQUESTS: [&str; 7] = [
    "GET /v1/queues/sales/decision?threshold=2&format=text HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /api/agentstatuses/?queue=1&page=2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token abc\r\n\r\n",
    "POST /v1/queues/sales/reservations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 27\r\n\r\n{\"call_id\":\"a\",\"ttl\":\"45s\"}",
    "POST /v1/queues/sales/reservations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];

/// One of them with bytes changed, removed and doubled, or with another request in its middle.
fn corrupted(chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = REQUESTS[chance.usize(..REQUESTS.len())].as_bytes().to_vec();
    for _ in 0..chance.usize(1..6) {
        let at = chance.usize(..bytes.len().max(1));
        match chance.u8(..5) {
            _ if bytes.is_empty() => bytes.push(chance.u8(..)),
            0 => bytes[at] = chance.u8(..),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *chance.choice(b"\r\n\0 :/%?\xff").expect("one of them")),
            3 => bytes.truncate(at.max(1)),
            _ => {
                let other = REQUESTS[chance.usize(..REQUESTS.len())].as_bytes();
                bytes.splice(at..at, other.iter().copied());
            }
        }
    }
    bytes
}

#[tokio::test]
async fn k04_garbage_is_refused_or_answered_and_harms_nobody() {
    let (calltools, _home, daemon) = setup().await;
    // CallTools fails, so that refreshes among the garbage do no work.
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::WebPage(503));
    let mut chance = fastrand::Rng::with_seed(7);
    for _ in 0..600 {
        let bytes = corrupted(&mut chance);
        let answer = throw(daemon.address, &bytes).await;
        let shown = String::from_utf8_lossy(&bytes);
        let answer = String::from_utf8(answer).expect("answers are UTF-8");
        assert!(!answer.contains("HTTP/1.1 500"), "{shown:?}: {answer}");
        let begins = answer.is_empty() || answer.starts_with("HTTP/1.");
        assert!(begins, "{shown:?}: {answer}");
    }
    // Two different lengths, and a length next to chunks: at most one request is seen in it, and never half a body.
    let twice = throw(daemon.address, REQUESTS[5].as_bytes()).await;
    assert!(
        twice.starts_with(b"HTTP/1.1 400 "),
        "{}",
        String::from_utf8_lossy(&twice)
    );
    let both = throw(daemon.address, REQUESTS[4].as_bytes()).await;
    let both = String::from_utf8(both).expect("answers are UTF-8");
    assert_eq!(both.matches("HTTP/1.1 ").count(), 1, "{both}");
    assert!(known(&daemon.decision("sales").await));
}

#[tokio::test]
async fn k05_a_queue_that_nobody_configured_is_404_without_a_poll_or_a_new_series() {
    let (calltools, _home, daemon) = setup().await;
    let _ = daemon.get("/v1/queues/none/decision").await;
    let (series_before, requests) = (series(&daemon).await, calltools.simulator.requests());
    let begun = tokio::time::Instant::now();
    for n in 0..300 {
        for target in [
            format!("/v1/queues/none-{n}/decision?threshold={n}"),
            format!("/v1/queues/main/none-{n}/decision"),
            format!("/v1/queues/account-{n}/sales/decision"),
        ] {
            let answer = daemon.get(&target).await;
            assert_eq!(answer.status, 404, "{target}: {answer:?}");
            let kind = answer.json()["type"].clone();
            assert!(
                kind.as_str()
                    .is_some_and(|kind| kind.starts_with("urn:openseat:problem:"))
            );
        }
    }
    assert_eq!(series(&daemon).await, series_before);
    // The polls in the background go on meanwhile, one every 3.8 s.
    let sent = calltools.simulator.requests() - requests;
    let due = 2 + begun.elapsed().as_secs() / 3;
    assert!(sent <= due, "{sent} requests, and {due} were due");
}

#[tokio::test]
async fn k06_no_spelling_of_a_path_reaches_anything_else() {
    let (_calltools, _home, daemon) = setup().await;
    for target in [
        "/v1/queues/../../../../etc/passwd",
        "/v1/queues/..%2f..%2fetc%2fpasswd/decision",
        "/v1/queues/%2e%2e/decision",
        "/v1/queues/sales%00/decision",
        "/v1/queues/sales%0d%0aX:%20y/decision",
        "/v1/queues/%c0%ae%c0%ae/decision",
        "/v1/queues/%ff%fe/decision",
        "/v1/queues/%/decision",
        "/v1/queues/SALES/decision",
        "/v1/queues/sales/DECISION",
        "/v1/queues//sales/decision",
        "//v1/queues/sales/decision",
        "/v1/queues/sales/decision/",
        "/V1/queues",
        "/metrics/../v1/queues",
        "/livez%2f",
        "/.%2e/livez",
    ] {
        let answer = daemon.get(target).await;
        assert!([400, 404].contains(&answer.status), "{target}: {answer:?}");
        assert!(answer.json()["type"].is_string(), "{target}: {answer:?}");
        assert!(!answer.head.contains("\r\nx: y"), "{target}: {answer:?}");
    }
    // Other spellings of the same path lead to the same queue.
    assert_eq!(daemon.get("/v1/queues/%73ales/decision").await.status, 200);
}

#[tokio::test]
async fn k13_clients_that_vanish_leave_nothing_behind() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    let path = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&path).expect("the file exists");
    fs::write(
        &path,
        // One of them is kept for Unix sockets.
        text.replace("[state]", "max_connections = 9\n\n[state]"),
    )
    .expect("a file");
    assert_eq!(
        Config::load(&path)
            .expect("the config is valid")
            .server
            .max_connections,
        9
    );
    let daemon = TestDaemon::start(&path, &time).await;
    daemon.ready().await;
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::Hang);
    for request in [
        "POST /v1/queues/sales/refresh HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/queues/sales/decision HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/queues HTTP/1.1\r\nHo",
    ] {
        for _ in 0..8 {
            // Some of the last round may not be gone yet.
            soon("a free slot", async || {
                let mut stream = TcpStream::connect(daemon.address)
                    .await
                    .expect("the server listens");
                let _ = stream.write_all(request.as_bytes()).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                let mut byte = [0];
                !matches!(stream.try_read(&mut byte), Ok(0))
            })
            .await;
        }
    }
    // All eight that loopback may use are free again, at once.
    soon("eight free slots", async || {
        let mut clients = Vec::new();
        for _ in 0..7 {
            clients.push(
                TcpStream::connect(daemon.address)
                    .await
                    .expect("the server listens"),
            );
        }
        let mut stream = TcpStream::connect(daemon.address)
            .await
            .expect("the server listens");
        let _ = stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer.starts_with("HTTP/1.0 200")
    })
    .await;
    soon("an answer", async || {
        get(daemon.address, "/livez").await.status == 200
    })
    .await;
}
