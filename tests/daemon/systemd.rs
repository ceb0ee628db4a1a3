//! The program under systemd: what it reports, when it pings the watchdog, the sockets that it takes over, and its exit codes.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use openseat::simulator::{InjectedFault, TOKEN};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixDatagram, UnixStream},
};

use crate::support::{CallTools, Program, TIMEOUT, TestFolder, Time, ask, get};

/// What systemd would provide: a socket for notifications, and variables.
struct Systemd {
    socket: UnixDatagram,
    variables: Vec<(&'static str, String)>,
}

impl Systemd {
    fn listening(home: &TestFolder) -> Self {
        let path = home.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).expect("a socket"),
            variables: vec![("NOTIFY_SOCKET", path.display().to_string())],
        }
    }

    fn with_watchdog(mut self, period: Duration) -> Self {
        let period = period.as_micros().to_string();
        self.variables.push(("WATCHDOG_USEC", period));
        self
    }

    fn run(&self, home: &TestFolder, config: &Path) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        let variables = self.variables.iter().map(|(name, value)| (*name, value));
        command.env_clear().envs(variables);
        command.arg("run").arg("--config").arg(config);
        Program::launch(home, command)
    }

    /// The next message.
    async fn next(&self) -> String {
        let mut message = [0; 4096];
        let received = tokio::time::timeout(TIMEOUT, self.socket.recv(&mut message)).await;
        let length = received.expect("a message in time").expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// Waits for a message that contains this.
    async fn wait_for(&self, part: &str) -> String {
        loop {
            let message = self.next().await;
            if message.contains(part) {
                return message;
            }
        }
    }
}

async fn setup() -> (CallTools, TestFolder) {
    let home = TestFolder::new();
    home.set_token("main", TOKEN);
    (CallTools::start(&Time::new()).await, home)
}

#[tokio::test]
async fn it_is_ready_when_it_answers_even_if_calltools_hangs() {
    let (calltools, home) = setup().await;
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::Hang);
    let systemd = Systemd::listening(&home);
    let mut program = systemd.run(&home, &home.config(&[calltools.account()]));
    let first = systemd.next().await;
    let begins = "READY=1\nSTATUS=0/2 queues fresh; main ";
    assert!(first.starts_with(begins), "{first:?}");
    let address = program.address().await;
    assert_eq!(get(address, "/livez").await.status, 200);
    assert_eq!(get(address, "/readyz").await.status, 503);
    program.signal(Signal::TERM);
    systemd.wait_for("STOPPING=1\n").await;
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

#[tokio::test]
async fn the_status_shows_queues_budget_and_faults() {
    let (calltools, home) = setup().await;
    let systemd = Systemd::listening(&home);
    let _program = systemd.run(&home, &home.config(&[calltools.account()]));
    systemd.wait_for("STATUS=2/2 queues fresh; main ").await;
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::InvalidToken);
    let status = systemd.wait_for("bad_token").await;
    assert!(
        status.ends_with("/1000 requests; bad_token in main\n"),
        "{status:?}"
    );
}

#[tokio::test]
async fn the_watchdog_is_pinged_while_everything_works() {
    let (calltools, home) = setup().await;
    let systemd = Systemd::listening(&home).with_watchdog(Duration::from_millis(400));
    let mut program = systemd.run(&home, &home.config(&[calltools.account()]));
    for _ in 0..20 {
        systemd.wait_for("WATCHDOG=1\n").await;
    }
    assert!(program.has_ended().is_none());
    drop(program);

    let mut systemd = systemd;
    systemd.variables.push(("WATCHDOG_PID", "1".to_owned()));
    let program = systemd.run(&home, &home.config(&[calltools.account()]));
    let status = systemd.wait_for("2/2 queues fresh").await;
    assert!(
        !status.contains("WATCHDOG"),
        "the watchdog is for another process"
    );
    drop(program);
}

/// Starts the program with this socket as systemd passes it: as descriptor 3, with variables that name its own process.
fn activated(home: &TestFolder, config: &Path, socket: impl Into<OwnedFd>) -> Program {
    let mut command = Command::new("sh");
    command.env_clear().args([
        "-c",
        "export LISTEN_FDS=1 LISTEN_PID=$$ && exec \"$0\" run --config \"$1\" 3<&0 </dev/null",
    ]);
    command.arg(env!("CARGO_BIN_EXE_openseat")).arg(config);
    command.stdin(socket.into());
    Program::launch(home, command)
}

/// A config that listens at these addresses.
fn config_at(home: &TestFolder, calltools: &CallTools, listen: &[String]) -> PathBuf {
    let path = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&path).expect("the file exists");
    let listen = format!("listen = {listen:?}\n");
    fs::write(&path, text.replace("listen = \"127.0.0.1:0\"\n", &listen)).expect("a file");
    path
}

const REQUEST: &str =
    "GET /v1/queues/sales/decision HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async fn rest(mut stream: impl AsyncReadExt + Unpin) -> String {
    let mut answer = String::new();
    let reading = tokio::time::timeout(TIMEOUT, stream.read_to_string(&mut answer)).await;
    reading.expect("an answer in time").expect("an answer");
    answer
}

#[tokio::test]
async fn a_restart_loses_no_connection_to_a_socket_that_systemd_holds() {
    let (calltools, home) = setup().await;
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = socket.local_addr().expect("the socket is bound");
    let config = config_at(&home, &calltools, &[address.to_string()]);
    let held = || socket.try_clone().expect("one more descriptor");

    // Before the first start, between two, and after a crash: a client that connects then waits, and is answered.
    for signal in [Some(Signal::TERM), None, Some(Signal::TERM)] {
        let mut early = TcpStream::connect(address).await.expect("systemd listens");
        early.write_all(REQUEST.as_bytes()).await.expect("a line");
        let mut program = activated(&home, &config, held());
        let answer = rest(early).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(program.address().await, address);
        if let Some(signal) = signal {
            program.signal(signal);
            assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
        }
    }
}

#[tokio::test]
async fn a_passed_unix_socket_is_served_in_addition_to_the_configs_addresses() {
    let (calltools, home) = setup().await;
    let path = home.path().join("passed.sock");
    let socket = UnixListener::bind(&path).expect("a path");
    let config = config_at(&home, &calltools, &["127.0.0.1:0".to_owned()]);
    let program = activated(&home, &config, socket);
    let address = program.address().await;
    assert_eq!(get(address, "/livez").await.status, 200);
    let mut stream = UnixStream::connect(&path).await.expect("the socket exists");
    stream.write_all(REQUEST.as_bytes()).await.expect("a line");
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(path.exists(), "only systemd removes it");
}

#[tokio::test]
async fn a_passed_unix_socket_that_the_config_names_is_used_and_not_bound_again() {
    let (calltools, home) = setup().await;
    let path = home.path().join("passed.sock");
    let socket = UnixListener::bind(&path).expect("a path");
    let config = config_at(&home, &calltools, &[format!("unix:{}", path.display())]);
    let _program = activated(&home, &config, socket);
    let mut stream = UnixStream::connect(&path).await.expect("the socket exists");
    stream.write_all(REQUEST.as_bytes()).await.expect("a line");
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_passed_socket_for_agent_checks_is_recognized_by_its_address() {
    let (calltools, home) = setup().await;
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("the socket is bound");
    let config = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&config).expect("the file exists");
    let line = format!("[server]\nagent_check_listen = \"{address}\"\n");
    fs::write(&config, text.replace("[server]\n", &line)).expect("a file");
    let _program = activated(&home, &config, socket);
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream.write_all(b"sales\n").await.expect("a line");
    let answer = rest(stream).await;
    assert!(answer.starts_with("up "), "{answer}");
}

#[tokio::test]
async fn a_passed_socket_does_not_bypass_the_configs_access_rules() {
    let (calltools, home) = setup().await;
    let socket = TcpListener::bind("0.0.0.0:0").expect("a port");
    let address = socket.local_addr().expect("the socket is bound");
    let config = config_at(&home, &calltools, &["127.0.0.1:0".to_owned()]);
    let mut program = activated(&home, &config, socket);
    assert_eq!(program.ended().await.code(), Some(78), "{}", program.log());
    let log = program.log();
    assert!(log.contains(&address.to_string()), "{log}");
    assert!(log.contains("bearer_token_file"), "{log}");
}

#[tokio::test]
async fn a_reload_does_not_open_a_passed_socket_to_other_machines() {
    const BEARER: &str = "0123456789abcdef0123456789abcdef";
    let (calltools, home) = setup().await;
    let socket = TcpListener::bind("0.0.0.0:0").expect("a port");
    let passed = socket.local_addr().expect("the socket is bound");
    let config = config_at(&home, &calltools, &["127.0.0.1:0".to_owned()]);
    let open = fs::read_to_string(&config).expect("the file exists");
    let line = "[server]\nbearer_token_file = \"./bearer.token\"\n";
    let closed = open.replace("[server]\n", line);
    home.write("bearer.token", BEARER);
    fs::write(&config, &closed).expect("a file");
    let program = activated(&home, &config, socket);
    program.address().await;
    let near = SocketAddr::from(([127, 0, 0, 1], passed.port()));
    let bearer = format!("Authorization: Bearer {BEARER}\r\n");
    let reload = async || ask(near, "POST", "/v1/reload", &bearer).await;
    let decision = "/v1/queues/sales/decision";

    fs::write(&config, &open).expect("a file");
    let refused = reload().await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let why = format!("the passed socket at {passed} can be reached from other machines");
    assert!(refused.body.contains(&why), "{refused:?}");
    assert!(refused.body.contains("bearer_token_file"), "{refused:?}");
    assert_eq!(get(near, decision).await.status, 401);

    fs::write(&config, &closed).expect("a file");
    assert_eq!(reload().await.status, 200);
    assert_eq!(get(near, decision).await.status, 401);
    assert_eq!(ask(near, "GET", decision, &bearer).await.status, 200);
}

#[tokio::test]
async fn a_passed_socket_that_cannot_be_served_is_a_wrong_config() {
    let (calltools, home) = setup().await;
    let config = home.config(&[calltools.account()]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut program = activated(&home, &config, socket);
    assert_eq!(program.ended().await.code(), Some(78), "{}", program.log());

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("the socket is bound");
    let connection = std::net::TcpStream::connect(address).expect("the server listens");
    let mut program = activated(&home, &config, connection);
    assert_eq!(program.ended().await.code(), Some(78), "{}", program.log());
    assert!(program.log().contains("Accept=no"), "{}", program.log());
}

#[tokio::test]
async fn a_state_folder_that_may_not_be_written_is_exit_code_77() {
    let (calltools, home) = setup().await;
    let config = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&config).expect("the file exists");
    // Not even root can create folders there.
    let text = text.replace("dir = \"state\"", "dir = \"/sys/openseat\"");
    fs::write(&config, text).expect("a file");
    let mut program = Program::run(&home, &config);
    assert_eq!(program.ended().await.code(), Some(77), "{}", program.log());
    let log = program.log();
    let lines: Vec<_> = log.lines().collect();
    assert!(
        matches!(lines[..], [line] if line.contains("/sys/openseat") && !line.contains("only as far as")),
        "one exit gets one message: {log}"
    );
}
