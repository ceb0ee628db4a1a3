//! Crowds of clients that take connections and send nothing or half a request, and routers that ask meanwhile.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{Certificate, generate_simple_self_signed};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UnixStream},
    task::JoinSet,
    time::Instant,
};

use crate::{
    process::{ready, setup},
    support::{CallTools, Program, TIMEOUT, TestFolder, Time, get, soon},
};

/// Half as many again as may be connected.
const CROWD: usize = 1_500;

/// How many requests each router sends, each on a new connection.
const QUESTIONS: usize = 60;

/// How long a client waits before it reconnects: so short that none of its slots stays free.
const AWAY: Duration = Duration::from_secs(1);

const DECISION: &str = "/v1/queues/sales/decision";

const BEARER: &str = "bearer-of-the-crowd-test";

/// Clients that connect, send something that cannot be answered, and reconnect when they are cut.
struct Crowd {
    /// How often one of them was cut or refused.
    cut: Arc<AtomicUsize>,
    _clients: JoinSet<()>,
}

impl Crowd {
    fn at(address: SocketAddr, from: IpAddr) -> Self {
        let cut = Arc::<AtomicUsize>::default();
        let mut clients = JoinSet::new();
        for n in 0..CROWD {
            // Nothing at all, and the beginning of a TLS handshake.
            let words: &[u8] = [b"".as_slice(), b"\x16\x03\x01"][n % 2];
            let cut = Arc::clone(&cut);
            clients.spawn(async move {
                loop {
                    let _ = be_silent(address, from, words).await;
                    cut.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(AWAY).await;
                }
            });
        }
        Self {
            cut,
            _clients: clients,
        }
    }

    /// Waits until some clients were turned away, so that every connection is taken.
    async fn is_there(&self) {
        soon("a crowd", async || {
            self.cut.load(Ordering::Relaxed) > CROWD / 8
        })
        .await;
    }
}

/// Stays silent until it is cut.
async fn be_silent(address: SocketAddr, from: IpAddr, words: &[u8]) -> std::io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind((from, 0).into())?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(words).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// An address of this machine that others can reach, if there is one. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// Raises the limit of descriptors: this process and the daemon need one for each client.
fn make_room() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).expect("the hard limit is allowed");
}

/// A daemon that also listens on a Unix socket, with these lines under `[server]`.
async fn start(home: &TestFolder, calltools: &CallTools, server: &str) -> (Program, PathBuf) {
    make_room();
    home.set_token("main", openseat::simulator::TOKEN);
    let path = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&path).expect("the file exists");
    let socket = home.path().join("openseat.sock");
    let server = server.replace("SOCKET", &format!("unix:{}", socket.display()));
    fs::write(&path, text.replace("listen = \"127.0.0.1:0\"", &server)).expect("a config");
    let program = Program::run(home, &path);
    soon("a decision", async || {
        let answer = ask_at(&socket).await;
        answer.is_some_and(|answer| answer.contains("\"reason\":\"seats\""))
    })
    .await;
    (program, socket)
}

/// Sends a router's request to a Unix socket.
async fn ask_at(socket: &Path) -> Option<String> {
    let request = format!(
        "GET {DECISION} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {BEARER}\r\nConnection: close\r\n\r\n"
    );
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(TIMEOUT, exchange).await.ok()?
}

async fn every_question_is_answered_at(socket: &Path) {
    for n in 0..QUESTIONS {
        let answer = ask_at(socket).await.unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{n}: {answer:?}");
    }
}

#[tokio::test]
async fn silent_agent_checks_do_not_use_up_routers_connections() {
    let begun = Instant::now();
    let (home, calltools) = (TestFolder::new(), CallTools::start(&Time::new()).await);
    let server = "listen = [\"127.0.0.1:0\", \"SOCKET\"]\nagent_check_listen = \"127.0.0.1:0\"";
    let (program, socket) = start(&home, &calltools, server).await;
    let address = program.address().await;
    let checks = program.address_of("openseat answers agent-checks").await;
    let crowd = Crowd::at(checks, Ipv4Addr::LOCALHOST.into());
    crowd.is_there().await;
    for _ in 0..QUESTIONS {
        assert_eq!(get(address, DECISION).await.status, 200);
    }
    every_question_is_answered_at(&socket).await;
    is_logged_once(&program, &format!("listener {checks}"), begun).await;
}

/// A daemon with TLS at every address and a Unix socket, and its certificate.
async fn start_with_tls(
    home: &TestFolder,
    calltools: &CallTools,
) -> (Program, PathBuf, Certificate) {
    let issued = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    for (name, text) in [
        ("cert.pem", issued.cert.pem()),
        ("key.pem", issued.signing_key.serialize_pem()),
        ("bearer", BEARER.to_owned()),
    ] {
        fs::write(home.path().join(name), text).expect("a file");
    }
    let server = "listen = [\"0.0.0.0:0\", \"SOCKET\"]\nbearer_token_file = \"./bearer\"\n\
                  tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"";
    let (program, socket) = start(home, calltools, server).await;
    (program, socket, issued.cert)
}

#[tokio::test]
async fn silent_tls_clients_on_this_machine_leave_room_at_the_unix_socket() {
    let (home, calltools) = (TestFolder::new(), CallTools::start(&Time::new()).await);
    let (program, socket, _) = start_with_tls(&home, &calltools).await;
    let from = Ipv4Addr::LOCALHOST.into();
    let crowd = Crowd::at((from, program.address().await.port()).into(), from);
    crowd.is_there().await;
    every_question_is_answered_at(&socket).await;
}

#[tokio::test]
#[ignore = "needs a network address"]
async fn silent_tls_clients_of_one_address_do_not_use_up_routers_connections() {
    let begun = Instant::now();
    let (home, calltools) = (TestFolder::new(), CallTools::start(&Time::new()).await);
    let (program, socket, certificate) = start_with_tls(&home, &calltools).await;
    let port = program.address().await.port();
    let far = own_address().expect("this machine has an address besides its own loopback");
    let crowd = Crowd::at((far, port).into(), far);
    crowd.is_there().await;
    every_question_is_answered_at(&socket).await;
    let trusted = reqwest::Certificate::from_der(certificate.der()).expect("a certificate");
    let router = openseat::process::tls::client_builder()
        .no_proxy()
        .tls_certs_only([trusted])
        .resolve("localhost", (Ipv4Addr::LOCALHOST, port).into())
        .pool_max_idle_per_host(0)
        .timeout(TIMEOUT)
        .build()
        .expect("a client");
    for n in 0..QUESTIONS {
        let url = format!("https://localhost:{port}{DECISION}");
        let answer = router.get(url).bearer_auth(BEARER).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{n}: {error:?}"));
        assert_eq!(answer.status(), 200, "{n}");
    }
    is_logged_once(&program, &format!("address {far}"), begun).await;
}

/// Checks that the log says once in a minute that a limit was reached, although it was reached many times. `begun` is when the program started.
async fn is_logged_once(program: &Program, bound: &str, begun: Instant) {
    let log = program.logs(bound).await;
    let lines = log.lines().filter(|line| line.contains("is refused"));
    let lines: Vec<_> = lines.filter(|line| line.contains(bound)).collect();
    let minutes = begun.elapsed().as_secs() as usize / 60;
    assert!((1..=1 + minutes).contains(&lines.len()), "{lines:#?}");
}

#[tokio::test]
async fn hundreds_of_clients_that_never_finish_do_not_slow_an_honest_one() {
    let (calltools, home) = setup().await;
    let program = Program::run(&home, &home.config(&[calltools.account()]));
    let address = program.address().await;
    ready(address).await;
    // The usual time of an answer. A pause of the machine makes a few of them slow; a crowd that is waited for, all of them.
    let usual_answer = async || {
        let mut times = Vec::new();
        for _ in 0..100 {
            let begun = Instant::now();
            assert_eq!(get(address, "/v1/queues/sales/decision").await.status, 200);
            times.push(begun.elapsed());
        }
        times.sort();
        times[50]
    };
    let alone = usual_answer().await;
    let mut crowd = Vec::new();
    for n in 0..800 {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("1024 connections are allowed");
        let words: &[u8] = [b"".as_slice(), b"GET /v1/queues HTTP/1.1\r\nHo"][n % 2];
        stream
            .write_all(words)
            .await
            .expect("the connection is open");
        crowd.push(stream);
    }
    let in_crowd = usual_answer().await;
    // No request waited for the crowd, whose heads may take 5 s. On a busy machine everything takes longer.
    let bound = Duration::from_secs(1).max(10 * alone);
    assert!(
        in_crowd < bound,
        "{in_crowd:?} with the crowd, {alone:?} without"
    );
}

/// Reads until an answer's head is complete.
async fn status_line(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = tokio::time::timeout(TIMEOUT, stream.read(&mut buffer)).await;
    let length = length.expect("no timeout").unwrap_or_default();
    let text = String::from_utf8_lossy(&buffer[..length]);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Opens five connections for each request, and sends the first half of the request on them. Returns each with the second half.
async fn first_halves<'a>(
    address: SocketAddr,
    requests: &[(&'a str, usize)],
) -> Vec<(TcpStream, &'a str)> {
    let mut halves = Vec::new();
    for (request, at) in requests {
        for _ in 0..5 {
            let mut stream = TcpStream::connect(address)
                .await
                .expect("the server listens");
            let (first, second) = request.split_at(*at);
            stream
                .write_all(first.as_bytes())
                .await
                .expect("the connection is open");
            halves.push((stream, second));
        }
    }
    halves
}

/// How long a head and a body may each take.
const TIME_FOR_A_HEAD: Duration = Duration::from_secs(5);

#[tokio::test]
async fn requests_that_arrived_completely_while_the_process_was_stopped_are_answered() {
    // Longer than a head and a body may take.
    const PAUSE: Duration = TIME_FOR_A_HEAD.saturating_add(Duration::from_secs(2));
    let (calltools, home) = setup().await;
    let program = Program::run(&home, &home.config(&[calltools.account()]));
    let address = program.address().await;
    ready(address).await;
    let body = r#"{"call_id":"call"}"#;
    let head = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let body = format!(
        "POST /v1/queues/sales/reservations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let requests = [(head, 20), (head, 1), (head, 0), (&*body, body.len() - 5)];
    let mut halves = Vec::new();
    soon("a process stopped between the halves", async || {
        let begun = Instant::now();
        halves = first_halves(address, &requests).await;
        // By now the daemon has read them.
        assert_eq!(get(address, "/livez").await.status, 200);
        program.signal(Signal::STOP);
        // If the test was paused, the daemon may have given them up before it was stopped.
        let is_in_time = begun.elapsed() < TIME_FOR_A_HEAD / 2;
        if !is_in_time {
            program.signal(Signal::CONT);
        }
        is_in_time
    })
    .await;
    for (stream, second) in &mut halves {
        stream
            .write_all(second.as_bytes())
            .await
            .expect("the connection is open");
    }
    tokio::time::sleep(PAUSE).await;
    program.signal(Signal::CONT);
    for (n, (stream, _)) in halves.iter_mut().enumerate() {
        let line = status_line(stream).await;
        // Whether there is a seat for the call does not matter.
        let is_answered = line.starts_with("HTTP/1.1 ") && !line.contains("408");
        assert!(is_answered, "{n}: {line:?}");
    }
}
