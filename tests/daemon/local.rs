//! Trouble on the machine: no descriptors, a blocked log, a stop with many clients.

use std::{
    fs,
    io::{PipeReader, PipeWriter, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use openseat::simulator::{Endpoint, TOKEN};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Resource, Rlimit, Signal, prlimit},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::support::{CallTools, Program, TestFolder, Time, get, soon};

/// A daemon in a process of its own that knows its queues.
async fn setup() -> (CallTools, TestFolder, Program, SocketAddr) {
    let (calltools, home) = (CallTools::start(&Time::new()).await, TestFolder::new());
    home.set_token("main", TOKEN);
    let program = Program::run(&home, &home.config(&[calltools.account()]));
    let address = program.address().await;
    ready(address).await;
    (calltools, home, program, address)
}

async fn ready(address: SocketAddr) {
    soon("ready", async || {
        get(address, "/readyz").await.status == 200
    })
    .await;
}

const REQUEST: &[u8] = b"GET /v1/queues/sales/decision HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends a request on a connection that stays open. `None` if the connection was closed between two answers. If it closes within an answer, the test fails.
async fn ask(stream: &mut TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    stream.write_all(REQUEST).await.ok()?;
    loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            assert!(
                answer.is_empty(),
                "cut: {}",
                String::from_utf8_lossy(&answer)
            );
            return None;
        }
        answer.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
            return Some(text.into_owned());
        }
    }
}

/// How long a stop waits for answers in progress.
const TIME_TO_FINISH: Duration = Duration::from_secs(2);

#[tokio::test]
async fn l05_a_stop_in_a_crowd_cuts_no_answer_short() {
    let (_calltools, _home, mut program, address) = setup().await;
    let answers = Arc::new(AtomicU64::new(0));
    let client = |answers: Arc<AtomicU64>| async move {
        while let Ok(mut stream) = TcpStream::connect(address).await {
            while let Some(answer) = ask(&mut stream).await {
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let crowd: Vec<_> = (0..40)
        .map(|_| tokio::spawn(client(Arc::clone(&answers))))
        .collect();
    soon("a busy server", async || {
        answers.load(Ordering::Relaxed) > 500
    })
    .await;
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    // Nothing slow was in progress, so no answer was cut, which would be logged. A machine that pauses makes any answer slow.
    let was_cut = program.log().contains("open connections were closed");
    assert!(
        !was_cut || begun.elapsed() > TIME_TO_FINISH,
        "{}",
        program.log()
    );
    for client in crowd {
        client.await.expect("every answer that began was whole");
    }
}

#[tokio::test]
async fn l07_without_descriptors_connected_clients_are_served_and_polling_continues() {
    let (calltools, _home, program, address) = setup().await;
    let mut honest = TcpStream::connect(address)
        .await
        .expect("the server listens");
    assert!(ask(&mut honest).await.is_some());

    // Allows a few more than are open now.
    let open = fs::read_dir(format!("/proc/{}/fd", program.pid().as_raw_nonzero()));
    let few = open.expect("the process runs").count() as u64 + 8;
    let limit = Rlimit {
        current: Some(few),
        maximum: Some(few),
    };
    prlimit(Some(program.pid()), Resource::Nofile, limit).expect("the limit can be set");
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(
            TcpStream::connect(address)
                .await
                .expect("the backlog has room"),
        );
    }
    program.logs("cannot accept connections").await;

    let polls = || calltools.simulator.requests_to(Endpoint::AgentStatuses);
    let before = polls();
    soon("a poll", async || {
        assert!(ask(&mut honest).await.is_some());
        polls() > before + 1
    })
    .await;
    drop(crowd);
    ready(address).await;
    program.logs("accepting connections again").await;
}

/// A full pipe and its reading end, which is never read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (unread, mut full) = std::io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&full).expect("the pipe is open");
    fcntl_setfl(&full, flags | OFlags::NONBLOCK).expect("the flags can be set");
    while full.write(&[b'.'; 4096]).is_ok() {}
    while full.write(b".").is_ok() {}
    fcntl_setfl(&full, flags).expect("the flags can be set");
    (unread, full)
}

#[tokio::test]
async fn l11_a_log_that_nobody_reads_delays_neither_answers_nor_the_stop() {
    let (calltools, home) = (CallTools::start(&Time::new()).await, TestFolder::new());
    home.set_token("main", TOKEN);
    let socket = home.path().join("openseat.sock");
    let config = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&config).expect("the file exists");
    let listen = format!("listen = \"unix:{}\"", socket.display());
    fs::write(&config, text.replace("listen = \"127.0.0.1:0\"", &listen)).expect("a file");
    let (_unread, stuck) = full_pipe();
    let mut program = Command::new(env!("CARGO_BIN_EXE_openseat"))
        .args(["--log-level", "trace", "run", "--config"])
        .arg(&config)
        .current_dir(home.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stuck)
        .spawn()
        .map(Program::from)
        .expect("the program starts");
    let request =
        b"GET /v1/queues/sales/decision HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let once = async || {
        let mut answer = String::new();
        let mut stream = tokio::net::UnixStream::connect(&socket).await.ok()?;
        stream.write_all(request).await.ok()?;
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    let begun = Instant::now();
    soon("a first answer", async || once().await.is_some()).await;
    for _ in 0..500 {
        let answer = once().await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    // A log that is waited for would delay every answer for ever.
    assert!(
        begun.elapsed() < Duration::from_secs(120),
        "{:?}",
        begun.elapsed()
    );
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
}
