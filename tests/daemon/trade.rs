//! What pay-per-call routers rely on while an operator changes things: tokens that are rotated, and two tokens that share one hour.

use std::fs;

use openseat::simulator::TOKEN;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Behaviour, CallTools, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, Wire, account, ask, get,
    post, soon,
};

const BEARER: &str = "the0bearer0token0of0the0operator0000";
const OLD: &str = "the0old0token0of0a0buyer000000000000";
const NEW: &str = "the0new0token0of0a0buyer000000000000";
const QUESTION: &str = "/v1/queues/sales/decision";

/// A daemon with a bearer token, and the client "buyer" with the old token.
async fn guarded(calltools: &CallTools, home: &TestFolder, time: &Time) -> TestDaemon {
    for (name, token) in [("main", TOKEN), ("bearer", BEARER), ("buyer", OLD)] {
        home.set_token(name, token);
    }
    let path = home.config(&[calltools.account()]);
    let clients = "bearer_token_file = \"./bearer.token\"\n\n[[server.client]]\nname = \"buyer\"\ntoken_file = \"./buyer.token\"\nqueues = [\"sales\"]\nin_url = true\n\n[state]";
    let text = fs::read_to_string(&path).expect("a config");
    fs::write(&path, text.replace("[state]", clients)).expect("a config");
    let daemon = TestDaemon::start(&path, time).await;
    daemon.ready().await;
    daemon
}

/// The status that a caller with this token gets.
async fn status(daemon: &TestDaemon, token: &str) -> u16 {
    let header = format!("Authorization: Bearer {token}\r\n");
    let by_header = ask(daemon.address, "GET", QUESTION, &header).await.status;
    let target = format!("{QUESTION}?key={token}");
    let by_url = get(daemon.address, &target).await.status;
    assert_eq!(by_header, by_url, "a header and ?key= are the same token");
    by_header
}

/// Sends a request on a connection that stays open, and returns the status line.
async fn ask_on(stream: &mut TcpStream, token: &str) -> String {
    let request = format!(
        "GET {QUESTION}?format=status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the connection is open");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        let length = stream
            .read(&mut buffer)
            .await
            .expect("the connection is open");
        assert!(length > 0, "the connection stays open");
        answer.extend_from_slice(&buffer[..length]);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

async fn reload(daemon: &TestDaemon) {
    let header = format!("Authorization: Bearer {BEARER}\r\n");
    let answer = ask(daemon.address, "POST", "/v1/reload", &header).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn reloads_rotate_a_clients_token_without_a_gap_or_a_restart() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = guarded(&calltools, &home, &time).await;
    let mut open = TcpStream::connect(daemon.address)
        .await
        .expect("the server listens");
    assert!(ask_on(&mut open, OLD).await.contains("204"));
    assert_eq!(status(&daemon, OLD).await, 200);
    assert_eq!(status(&daemon, NEW).await, 401);
    // Both lines are valid, so the router can change over at any time.
    home.set_token("buyer", &format!("{NEW}\n{OLD}\n"));
    assert_eq!(
        status(&daemon, NEW).await,
        401,
        "a file alone changes nothing"
    );
    reload(&daemon).await;
    for token in [OLD, NEW] {
        assert_eq!(status(&daemon, token).await, 200, "{token}");
        assert!(ask_on(&mut open, token).await.contains("204"), "{token}");
    }
    home.set_token("buyer", &format!("{NEW}\n"));
    reload(&daemon).await;
    assert_eq!(status(&daemon, NEW).await, 200);
    // A connection that was open before gets no outdated rights.
    assert!(ask_on(&mut open, NEW).await.contains("204"));
    assert!(ask_on(&mut open, OLD).await.contains("401"));
    // Its queues are unchanged.
    let header = format!("Authorization: Bearer {NEW}\r\n");
    let other = ask(
        daemon.address,
        "GET",
        "/v1/queues/support/decision",
        &header,
    )
    .await;
    assert_eq!(other.status, 403, "{other:?}");
}

#[tokio::test]
async fn a_token_file_that_cannot_be_used_leaves_the_old_tokens_in_force() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = guarded(&calltools, &home, &time).await;
    let header = format!("Authorization: Bearer {BEARER}\r\n");
    for text in ["", "short", BEARER] {
        home.set_token("buyer", text);
        let answer = ask(daemon.address, "POST", "/v1/reload", &header).await;
        assert_eq!(answer.status, 422, "{text:?}: {answer:?}");
        assert!(answer.body.contains("buyer"), "{answer:?}");
        assert!(text.is_empty() || !answer.body.contains(text) || text == "short");
        assert_eq!(status(&daemon, OLD).await, 200, "{text:?}");
    }
}

/// How many requests both accounts together may send in an hour.
const SHARED: usize = 40;

/// Two tokens of one CallTools account.
fn two_tokens(wire: &Wire, queue_lines: &str) -> [String; 2] {
    let lines =
        format!("{LONG_TIMEOUTS}\nrequests_per_hour = {SHARED}\nreserve = 30\nbudget = \"acme\"");
    ["main", "night"].map(|name| {
        let queue = format!("queue = \"sales\"\nmax_age = \"25m\"\n{queue_lines}");
        account(name, &wire.base_url(), &lines, &[&queue])
    })
}

/// Requests more than the hour has, by both accounts.
async fn overspend(daemon: &TestDaemon, wire: &Wire, what: &str) {
    for _ in 0..30 {
        for name in ["main", "night"] {
            let target = format!("/v1/queues/{name}/sales/refresh");
            post(daemon.address, &target).await;
        }
    }
    let sent = wire.heads().len();
    assert!(sent <= SHARED, "{what}: {sent} of {SHARED}");
}

#[tokio::test]
async fn two_tokens_with_one_budget_share_one_hour_across_a_reload_and_a_restart() {
    let (time, home) = (Time::new(), TestFolder::new());
    let wire = Wire::start().await;
    wire.behave(Behaviour::good());
    home.set_token("main", "wire0token0of0the0day000000000000000000");
    home.set_token("night", "wire0token0of0the0night0000000000000000");
    let daemon = home.start(&time, &two_tokens(&wire, "")).await;
    daemon.ready().await;
    // Most of the hour, half of it by each account.
    while wire.heads().len() < SHARED - 6 {
        for name in ["main", "night"] {
            let answer = daemon
                .post(&format!("/v1/queues/{name}/sales/refresh"))
                .await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    home.config(&two_tokens(&wire, "threshold = 1"));
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    // Only the second account, and with its name as the budget's.
    home.config(&two_tokens(&wire, "")[1..]);
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    home.config(&two_tokens(&wire, ""));
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    overspend(&daemon, &wire, "after reloads").await;
    daemon.stop().await;
    let daemon = home.start(&time, &two_tokens(&wire, "")).await;
    overspend(&daemon, &wire, "after a restart").await;
    drop(daemon);
    let daemon = home.start(&time, &two_tokens(&wire, "")).await;
    overspend(&daemon, &wire, "after a crash").await;
    let sent = wire.heads().len();
    assert!(sent > SHARED - 6, "the rest of the hour was usable: {sent}");
    let tokens = wire.heads().concat();
    assert!(tokens.contains("the0day") && tokens.contains("the0night"));
}

/// Refused requests may prolong a lock, so a `Retry-After: 0` that is followed by another refusal is ignored.
#[tokio::test]
async fn a_server_that_always_says_retry_after_0_is_soon_left_alone() {
    let (time, home) = (Time::new(), TestFolder::new());
    let wire = Wire::start().await;
    home.set_token("main", "wire0token0of0the0day000000000000000000");
    let queue = ["queue = \"sales\"\nmax_age = \"20s\""];
    let account = account("main", &wire.base_url(), LONG_TIMEOUTS, &queue);
    let daemon = home.start(&time, &[account]).await;
    daemon.ready().await;
    for value in ["0", "-30", "soon"] {
        wire.behave(Behaviour::response(
            "429 Too Many Requests",
            &format!("Retry-After: {value}\r\n"),
            "",
        ));
        let before = wire.heads().len();
        time.until("a refusal", async || wire.heads().len() > before)
            .await;
        time.pass(std::time::Duration::from_secs(300)).await;
        let refused = wire.heads().len() - before;
        assert!(refused <= 5, "{value}: {refused} requests in five minutes");
    }
    wire.behave(Behaviour::good());
    let answered = async || daemon.decision("sales").await["count"].is_number();
    time.until("a recovery", answered).await;
    soon("polls to continue", async || {
        get(daemon.address, "/readyz").await.status == 200
    })
    .await;
}
