use futures_util::future::join_all;
use tokio::net::UnixStream;

use super::*;
use crate::fixtures::available;

/// Long enough for a machine that is busy with other tests, short enough to notice a hang.
const TIMEOUT: Duration = Duration::from_secs(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, what)
        .await
        .expect("no timeout")
}

async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    rest
}

/// Sends a request on a connection that stays open, and reads its answer.
async fn keep_alive(stream: &mut TcpStream, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the connection is open");
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let length = within(stream.read(&mut buffer))
            .await
            .expect("the connection is open");
        assert_ne!(length, 0, "closed after {text:?}");
        text.push_str(str::from_utf8(&buffer[..length]).expect("answers are UTF-8"));
        let answer = Answer::parse(&text);
        let whole = answer
            .header("content-length")
            .and_then(|length| length.parse().ok());
        if whole == Some(answer.body.len()) {
            return answer;
        }
    }
}

#[tokio::test]
async fn hundreds_of_slow_clients_do_not_slow_an_honest_one() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    let server = world.serve().await;
    let mut drippers = Vec::new();
    for n in 0..300 {
        let mut stream = server.connect().await;
        // A third sends nothing, a third half a head, a third asks and never reads.
        let words = [
            "",
            "GET / HTTP/1.1\r\nHo",
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ][n % 3];
        stream
            .write_all(words.as_bytes())
            .await
            .expect("the connection is open");
        drippers.push(stream);
    }
    let mut honest = server.connect().await;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = tokio::time::Instant::now();
        let answer = keep_alive(&mut honest, "/v1/queues/sales/decision").await;
        assert_eq!(answer.status, 200);
        times.push(begun.elapsed());
    }
    times.sort();
    // Well below the 5 s that a slow head may take: the honest client did not wait for any of them. A pause makes a few answers slow, not half of
    // them.
    assert!(times[100] < Duration::from_secs(1), "{:?}", times[100]);
}

#[tokio::test]
async fn a_slow_head_is_cut_and_an_idle_connection_is_kept_longer() {
    let mut world = World::with(&["main/sales"]);
    // Long enough for a whole request on a busy machine.
    world.limits.head = Duration::from_secs(2);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut idle = server.connect().await;
    assert_eq!(keep_alive(&mut idle, "/livez").await.status, 200);
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(b"GET /livez HTTP/1.1\r\nHost:")
        .await
        .expect("the connection is open");
    assert_eq!(closed(&mut silent).await, b"");
    assert_eq!(closed(&mut half).await, b"");
    assert!(dropped(&metrics, "slow_request", 2));
    // The idle one has outlasted both; once it begins a request, it must finish it.
    assert_eq!(keep_alive(&mut idle, "/livez").await.status, 200);
    idle.write_all(b"G").await.expect("the connection is open");
    assert_eq!(closed(&mut idle).await, b"");
    assert!(dropped(&metrics, "slow_request", 3));
}

#[tokio::test]
async fn an_idle_connection_is_closed_eventually_and_not_counted_as_dropped() {
    let mut world = World::with(&["main/sales"]);
    world.limits.idle = Duration::from_millis(50);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut idle = server.connect().await;
    assert_eq!(keep_alive(&mut idle, "/livez").await.status, 200);
    assert_eq!(closed(&mut idle).await, b"");
    assert!(!metrics_text(&metrics).contains("openseat_connections_dropped_total{"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let mut world = World::with(&["main/sales"]);
    world.limits.write = Duration::from_millis(100);
    // Some megabytes: more than the sockets' buffers hold.
    world.publish("main/sales", available(60_000));
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /v1/queues/sales HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("the connection is open");
    within(async {
        while !dropped(&metrics, "slow_reader", 1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let half = closed(&mut slow).await;
    assert!(!half.ends_with(b"}"), "the answer was cut short");
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_counted() {
    let mut world = World::with(&["main/sales"]);
    world.limits = Limits::with_connections(2);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(keep_alive(&mut first, "/livez").await.status, 200);
    assert_eq!(keep_alive(&mut second, "/livez").await.status, 200);
    assert_eq!(closed(&mut server.connect().await).await, b"");
    assert!(dropped(&metrics, "over_limit", 1));
    drop(first);
    // The connection is free once the server has seen the end of the first one.
    within(async {
        while server.get("/livez").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn tcp_clients_leave_room_at_the_unix_socket() {
    let mut world = World::with(&["main/sales"]);
    world.limits = Limits::with_connections(16);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("openseat.sock");
    let unix = bind(&Listen::Unix(path.clone()))
        .await
        .expect("a free path");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(unix, server.current.clone(), stop.clone()));
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(server.connect().await);
    }
    within(async {
        while !dropped(&metrics, "over_limit", 16) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let request = "GET /livez HTTP/1.1\r\nHost: any.name\r\nConnection: close\r\n\r\n";
    for _ in 0..50 {
        let stream = UnixStream::connect(&path)
            .await
            .expect("the server listens");
        assert_eq!(within(exchange(stream, request)).await.status, 200);
    }
    stop.cancel();
    serving.await.expect("the server stops without an error");
}

#[tokio::test]
async fn a_client_without_a_token_does_not_keep_its_connection_for_long() {
    let mut world = World::with(&["main/sales"]);
    world.bearer = Some("s3cret".into());
    // Long enough for a whole request on a busy machine.
    world.limits.head = Duration::from_secs(2);
    let server = world.serve().await;
    let mut known = server.connect().await;
    assert_eq!(keep_alive(&mut known, "/livez").await.status, 200);
    let targets = [
        "/metrics",
        "/v1/queues",
        "/v1/queues/sales/decision",
        "/api/queues/",
    ];
    join_all(targets.map(async |target| {
        let mut stranger = server.connect().await;
        assert_eq!(keep_alive(&mut stranger, target).await.status, 401);
        assert_eq!(closed(&mut stranger).await, b"");
    }))
    .await;
    assert_eq!(keep_alive(&mut known, "/livez").await.status, 200);
}

#[tokio::test]
async fn a_stop_lets_answers_finish_and_closes_the_rest() {
    let mut world = World::with(&["main/sales"]);
    let mut ends = world.account("main", TOKEN);
    let mut server = world.serve().await;
    let mut idle = server.connect().await;
    assert_eq!(keep_alive(&mut idle, "/livez").await.status, 200);
    let mut fresh = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"POST /v1/queues/sales/refresh HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("the connection is open");
    let (_, reply) = within(refresh_of(&mut ends)).await;
    server.stop.cancel();
    assert_eq!(closed(&mut idle).await, b"");
    assert_eq!(closed(&mut fresh).await, b"");
    reply.send(Ok(())).expect("the server waits");
    let text = String::from_utf8(closed(&mut busy).await).expect("answers are UTF-8");
    let answer = Answer::parse(&text);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    within(&mut server.task)
        .await
        .expect("the server stops without an error");
    let refused = TcpStream::connect(server.address.expect("the server listens on TCP")).await;
    assert!(refused.is_err(), "the listener is closed");
}

#[tokio::test]
async fn clients_that_connected_before_a_stop_are_still_answered() {
    let server = World::with(&["main/sales"]).serve().await;
    let newcomer = server.connect().await;
    within(async {
        while server.app.connections.open() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop.cancel();
    // The connection's task sees the stop before it sees the request.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = within(exchange(newcomer, request)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_the_deadline() {
    let mut world = World::with(&["main/sales"]);
    let mut ends = world.account("main", TOKEN);
    world.limits.drain = Duration::from_millis(50);
    let mut server = world.serve().await;
    let mut busy = server.connect().await;
    busy.write_all(b"POST /v1/queues/sales/refresh HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("the connection is open");
    let _reply = within(refresh_of(&mut ends)).await;
    server.stop.cancel();
    within(&mut server.task)
        .await
        .expect("the server stops without an error");
    assert_eq!(closed(&mut busy).await, b"");
    assert_eq!(
        server.app.connections.open(),
        0,
        "every connection was freed"
    );
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner_and_group() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("openseat.sock");
    let listen = Listen::Unix(path.clone());
    let server = World::with(&["main/sales"]).serve_at(&listen).await;
    let mode = std::fs::metadata(&path)
        .expect("the file exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    // No browser reaches a Unix socket, so the host name does not matter.
    let request = "GET /livez HTTP/1.1\r\nHost: any.name\r\nConnection: close\r\n\r\n";
    let stream = UnixStream::connect(&path)
        .await
        .expect("the server listens");
    assert_eq!(exchange(stream, request).await.status, 200);

    let error = bind(&listen)
        .await
        .expect_err("another server answers there");
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on unix:{}: ", path.display())),
        "{error}"
    );
    drop(server);
}

#[tokio::test]
async fn only_a_stale_socket_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("a free path"));
    assert!(dead.exists());
    let listener = bind(&Listen::Unix(dead.clone()))
        .await
        .expect("no server answers there");
    assert_eq!(listener.to_string(), format!("unix:{}", dead.display()));

    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "mine").expect("a free path");
    let error = bind(&Listen::Unix(file.clone()))
        .await
        .expect_err("the path is not a socket");
    assert!(
        error
            .to_string()
            .ends_with("the path exists and is not a socket"),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("the file exists"),
        "mine"
    );
}

#[tokio::test]
async fn threads_share_the_address_and_the_limit_and_end_together() {
    let mut world = World::with(&["main/sales"]);
    world.publish("main/sales", available(1));
    // One of them is kept for Unix sockets.
    world.limits = Limits::with_connections(9);
    world.threads = 3;
    let mut server = world.serve().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = server.connect().await;
        let answer = keep_alive(&mut stream, "/v1/queues/sales/decision").await;
        assert_eq!(answer.json()["reason"], "seats");
        streams.push(stream);
    }
    let mut one_more = server.connect().await;
    assert!(closed(&mut one_more).await.is_empty());

    server.stop.cancel();
    within(&mut server.task).await.expect("no panic");
    for stream in &mut streams {
        assert!(closed(stream).await.is_empty());
    }
    let address = server.address.expect("the server listens on TCP");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the listener is closed"
    );
}
