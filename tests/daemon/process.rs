//! The real program: its signals, its exit codes, its secrets, and its limits.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use openseat::simulator::{Endpoint, InjectedFault, Settings, Simulator, TOKEN, WorldSettings};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::support::{CallTools, Program, TestFolder, Time, account, ask, get, post, soon};

/// The documentation promises 3 s; the rest is for a machine that is busy with other tests. What hangs in these tests hangs forever.
const STOPPED: Duration = Duration::from_secs(60);

/// Everything that a program needs, and the CallTools that it asks.
pub async fn setup() -> (CallTools, TestFolder) {
    let home = TestFolder::on_disk();
    home.set_token("main", TOKEN);
    (CallTools::start(&Time::new()).await, home)
}

pub async fn ready(address: SocketAddr) {
    soon("ready", async || {
        get(address, "/readyz").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_a_hanging_poll_with_exit_code_0() {
    let (calltools, home) = setup().await;
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::Hang);
    let mut program = Program::run(&home, &home.config(&[calltools.account()]));
    soon("a poll", async || calltools.simulator.requests() > 0).await;
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert!(begun.elapsed() < STOPPED, "{:?}", begun.elapsed());
    assert!(program.log().contains("SIGTERM"));
}

#[tokio::test]
async fn sigterm_answers_waiting_callers() {
    let (calltools, home) = setup().await;
    let mut program = Program::run(&home, &home.config(&[calltools.account()]));
    let address = program.address().await;
    ready(address).await;
    let polls = || calltools.simulator.requests_to(Endpoint::AgentStatuses);
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::Hang);
    let before = polls();
    let waiting = tokio::spawn(post(address, "/v1/queues/sales/refresh"));
    soon("a refresh", async || polls() > before).await;
    program.signal(Signal::INT);
    let answer = waiting.await.expect("no panic");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["type"], "urn:openseat:problem:stopping");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

/// Requests so much, without ever reading, that an answer stays in progress. Returns when nothing more arrives for `quiet`.
async fn greedy(address: SocketAddr, queue: u64, quiet: Duration) -> TcpStream {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let request = format!("GET /v1/queues/{queue} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let all = request.repeat(200);
    stream
        .write_all(all.as_bytes())
        .await
        .expect("the send buffer has room");
    let arrived = || rustix::io::ioctl_fionread(&stream).expect("the stream is a socket");
    let (mut last, mut since) = (0, Instant::now());
    soon("a full line", async || {
        let now = arrived();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        last > 0 && since.elapsed() > quiet
    })
    .await;
    stream
}

/// One queue of 700 agents: a list of some 100 kB.
async fn crowded(time: &Time) -> (CallTools, u64) {
    let simulator = Simulator::new(Settings::new(WorldSettings::still(1, 700)), time.clock());
    let id = simulator.world(|world| {
        let id = world.queues()[0].id;
        for agent in world.agents() {
            world.set_logged_in(id, &agent, true);
        }
        id
    });
    (CallTools::serve(simulator).await, id)
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (calltools, id) = crowded(&Time::new()).await;
    // On a slow machine the connection may not be full yet. Then the first signal ends the program, and the test tries again.
    for quiet in [200, 1_000, 4_000].map(Duration::from_millis) {
        let home = TestFolder::new();
        home.set_token("main", TOKEN);
        let queue = format!("queue = {id}");
        let lines = account("main", &calltools.serving.base_url(), "", &[&queue]);
        let mut program = Program::run(&home, &home.config(&[lines]));
        let address = program.address().await;
        ready(address).await;
        let _unread = greedy(address, id, quiet).await;
        program.signal(Signal::TERM);
        program.logs("\"SIGTERM\"").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if program.has_ended().is_some() {
            continue;
        }
        program.signal(Signal::TERM);
        match program.ended().await.code() {
            Some(130) => return,
            // It has waited two seconds for the answer to be read: the second signal came too late because the test was paused, or did nothing.
            Some(0) => {}
            code => panic!("{code:?}: {}", program.log()),
        }
    }
    panic!("a second signal ended it in no attempt");
}

#[tokio::test]
async fn agent_checks_are_answered_where_the_config_says_and_end_with_the_program() {
    let (calltools, home) = setup().await;
    let path = home.config(&[calltools.account()]);
    let config = fs::read_to_string(&path).expect("a config");
    let listen = "[server]\nagent_check_listen = \"127.0.0.1:0\"";
    fs::write(&path, config.replace("[server]", listen)).expect("a file");
    let mut program = Program::run(&home, &path);
    ready(program.address().await).await;
    let agent = program.address_of("openseat answers agent-checks").await;
    let mut check = TcpStream::connect(agent).await.expect("the server listens");
    check
        .write_all(b"sales\n")
        .await
        .expect("the connection is open");
    let mut answer = String::new();
    let read = check.read_to_string(&mut answer).await;
    read.expect("the connection closes without an error");
    assert_eq!(answer, "up 200%\n");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert!(TcpStream::connect(agent).await.is_err());
}

#[tokio::test]
async fn a_wrong_config_is_exit_code_78_and_says_where_it_is_wrong() {
    let home = TestFolder::new();
    let path = home.path().join("openseat.toml");
    fs::write(&path, "[server]\nlisten = \"127.0.0.1:0\"\nport = 7\n").expect("a file");
    let mut program = Program::run(&home, &path);
    assert_eq!(program.ended().await.code(), Some(78));
    let log = program.log();
    assert!(log.contains("openseat.toml:3:1"), "{log}");
    assert!(
        log.contains("there is no [[account]]"),
        "all mistakes at once: {log}"
    );

    let mut program = Program::run(&home, Path::new("nowhere.toml"));
    assert_eq!(program.ended().await.code(), Some(78));
    assert!(program.log().contains("nowhere.toml"), "{}", program.log());
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_its_address() {
    let (calltools, home) = setup().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("the socket is bound").to_string();
    let config = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&config).expect("the file exists");
    fs::write(
        &config,
        text.replace("127.0.0.1:0\"", &format!("{address}\"")),
    )
    .expect("a file");
    let mut program = Program::run(&home, &config);
    assert_eq!(program.ended().await.code(), Some(1));
    let log = program.log();
    assert!(
        log.contains(&format!("cannot listen on {address}")),
        "{log}"
    );
    assert_eq!(log.matches("Address already in use").count(), 1, "{log}");
    assert_eq!(calltools.simulator.requests(), 0, "no request was wasted");
}

#[tokio::test]
async fn a_missing_token_is_reported_with_its_path() {
    let (calltools, home) = setup().await;
    fs::remove_file(home.path().join("main.token")).expect("the file exists");
    let mut program = Program::run(&home, &home.config(&[calltools.account()]));
    let code = program.ended().await.code().expect("no signal ended it");
    assert_ne!(code, 0);
    assert!(program.log().contains("main.token"), "{}", program.log());
}

#[tokio::test]
async fn health_asks_the_running_daemon_and_exits_with_its_answer() {
    let (calltools, home) = setup().await;
    let path = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&path).expect("the file exists");
    let listen = format!("unix:{}", home.path().join("openseat.sock").display());
    fs::write(&path, text.replace("127.0.0.1:0", &listen)).expect("a file");
    let health = async |more: &'static [&'static str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_openseat"));
        command
            .env_clear()
            .arg("health")
            .arg("--config")
            .arg(&path)
            .args(more);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the program starts");
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8(words).expect("a text");
        (output.status.code(), words)
    };
    let (code, words) = health(&[]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains(&listen), "{words}");
    assert!(words.contains("is the daemon running?"), "{words}");

    calltools.simulator.inject(2, None, InjectedFault::Hang);
    let _program = Program::run(&home, &path);
    soon("an answer", async || health(&["--live"]).await.0 == Some(0)).await;
    let (code, words) = health(&[]).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("503"), "{words}");
    assert!(
        words.contains("main/sales: unknown: never_polled"),
        "{words}"
    );
}

#[tokio::test]
async fn killed_again_and_again_it_never_overspends_and_always_starts() {
    let (calltools, home) = setup().await;
    let limit = "requests_per_hour = 12\nreserve = 2";
    let config = home.config(&[calltools.account_with(limit, "max_age = \"25m\"")]);
    let requests = || calltools.simulator.requests();
    for run in 0..10 {
        let before = requests();
        let program = Program::run(&home, &config);
        let address = program.address().await;
        // The kill comes at the first request, or the second, or when all are answered or refused.
        let settled = async || get(address, "/readyz").await.status == 200;
        soon("some work", async || {
            requests() > before + run % 3 || settled().await
        })
        .await;
        drop(program);
    }
    // Of the ten, some were recorded by a process that was killed before it sent them. They are lost, and correctly not sent again.
    assert!(
        requests() >= 3,
        "only {} requests: too few to test anything",
        requests()
    );
    let worst = calltools.simulator.worst_sliding_hour();
    assert!(worst <= 10, "{worst} requests with 10 for polling");
    let program = Program::run(&home, &config);
    let decision = get(program.address().await, "/v1/queues/sales/decision").await;
    assert_eq!(decision.status, 200, "{decision:?}");
}

/// Removes what a start could answer from, and keeps what was spent.
fn forget_what_is_known(home: &TestFolder) {
    if !home.state().exists() {
        return;
    }
    for path in files(&home.state()) {
        if path
            .to_string_lossy()
            .contains(openseat::daemon::STORE_FILE)
        {
            fs::remove_file(path).expect("nobody else removes it");
        }
    }
}

/// How many requests the ledger has, read through a connection of its own.
fn recorded(home: &TestFolder) -> u64 {
    let path = home.state().join(openseat::daemon::LEDGER_FILE);
    // If it was killed before there was a file or a table, it had not sent anything.
    let Ok(ledger) = rusqlite::Connection::open(path) else {
        return 0;
    };
    let count = ledger.query_row("SELECT count(*) FROM request", [], |row| row.get(0));
    count.unwrap_or(0_i64) as u64
}

#[tokio::test]
async fn killed_a_hundred_times_at_random_the_ledger_knows_of_every_request() {
    let (calltools, home) = setup().await;
    let config = home.config(&[calltools.account_with("", "max_age = \"25m\"")]);
    let sent = || calltools.simulator.requests();
    for run in 0..100 {
        // With stored data, most starts would send no request.
        forget_what_is_known(&home);
        let before = sent();
        let program = Program::run(&home, &config);
        // On a busy machine a run this short may end before the first request, so some wait for it.
        if run % 4 == 0 {
            soon("a request", async || sent() > before).await;
        }
        let life = Duration::from_millis(fastrand::u64(1..200));
        tokio::time::sleep(life).await;
        drop(program);
        let (sent, written) = (sent(), recorded(&home));
        assert!(
            written >= sent,
            "run {run}, after {life:?}: {sent} sent, {written} recorded"
        );
    }
    assert!(
        sent() >= 25,
        "only {} requests: too few to test anything",
        sent()
    );
    // A stop that is paused for longer than its 2.8 s ends without its last writes.
    soon("data that is known at once", async || {
        let mut program = Program::run(&home, &config);
        ready(program.address().await).await;
        program.signal(Signal::TERM);
        program.ended().await;
        let program = Program::run(&home, &config);
        let decision = get(program.address().await, "/v1/queues/sales/decision").await;
        decision.json()["reason"] == "seats"
    })
    .await;
    let aside = files(&home.state());
    let aside = aside
        .iter()
        .filter(|path| path.to_string_lossy().contains(".corrupt-"));
    assert_eq!(
        aside.count(),
        0,
        "every file could be read after every kill"
    );
}

#[tokio::test]
async fn the_token_appears_nowhere() {
    const CANARY: &str = "canary0f4c1d7e0token0of0a0careful0test00";
    let (calltools, home) = setup().await;
    calltools.simulator.set_token(CANARY);
    home.set_token("main", CANARY);
    // The polls before the faults must last until the drop-in API is asked.
    let account = calltools.account_with("timeout = \"1s\"", "max_age = \"10m\"");
    let config = home.config(&[account]);
    let config = config.to_str().expect("a plain path");
    let mut program = Program::start(&home, &["--log-level", "trace", "run", "--config", config]);
    let address = program.address().await;
    ready(address).await;
    let elsewhere = format!("{}queues/", calltools.serving.base_url());
    let mut seen = String::new();
    for fault in [
        InjectedFault::InvalidToken,
        InjectedFault::Forbidden,
        InjectedFault::NotFound,
        InjectedFault::WebPage(502),
        InjectedFault::WebPage(200),
        InjectedFault::Redirect(elsewhere),
        InjectedFault::BrokenJson,
        InjectedFault::WrongShape,
        InjectedFault::Hang,
        InjectedFault::Dropped,
        InjectedFault::Throttled(Some(Duration::from_secs(60))),
    ] {
        let what = format!("{fault:?}");
        // A poll in the background gets it as well.
        calltools
            .simulator
            .inject(usize::MAX, Some(Endpoint::AgentStatuses), fault);
        let answer = post(address, "/v1/queues/sales/refresh").await;
        calltools.simulator.clear_faults();
        assert!(answer.status >= 400, "{what}: {answer:?}");
        seen += &format!("{answer:?}");
        seen += &format!("{:?}", get(address, "/v1/queues/sales/decision").await);
    }
    let own = format!("Authorization: Token {CANARY}\r\n");
    for target in [
        "/",
        "/v1/queues",
        "/v1/queues/sales",
        "/v1/decisions?queue=sales",
        "/metrics",
        "/readyz?verbose",
        "/livez",
        "/api/queues/",
        "/api/statuses/",
        "/api/agentstatuses/?queue=1",
        "/nowhere",
        "/v1/queues/nowhere/decision",
    ] {
        for headers in ["", &own] {
            seen += &format!("{:?}", ask(address, "GET", target, headers).await);
        }
    }
    assert!(
        seen.contains("\\\"count\\\":2"),
        "the drop-in API accepted the token"
    );
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
    let log = program.log();
    assert!(log.contains("\"TRACE\""), "everything is logged");
    for step in [
        "the schedule's choice",
        "reading a list",
        "finished reading a list",
        "the board has changed",
        "a decision",
    ] {
        assert!(log.contains(&format!("\"message\":\"{step}\"")), "{step}");
    }
    assert!(!log.contains(CANARY), "in the log");
    assert!(!seen.contains(CANARY), "in an answer");
    for file in files(home.path()) {
        if file.ends_with("main.token") {
            continue;
        }
        let bytes = fs::read(&file).expect("the file can be read");
        let found = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!found, "in {}", file.display());
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// A named pipe in place of a file: opening it for reading waits for a writer.
fn pipe_at(path: &Path) {
    let _ = fs::remove_file(path);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).expect("a pipe");
}

#[tokio::test]
async fn a_token_file_that_hangs_blocks_neither_another_account_nor_a_reload_nor_the_stop() {
    let (calltools, home) = setup().await;
    let other = CallTools::start(&Time::new()).await;
    home.set_token("lab", TOKEN);
    let queue = ["queue = \"sales\"\nmax_age = \"20s\""];
    let lab = account("lab", &other.serving.base_url(), "", &queue);
    let config = home.config(&[calltools.account(), lab]);
    let mut program = Program::run(&home, &config);
    let address = program.address().await;
    ready(address).await;
    pipe_at(&home.path().join("main.token"));
    // A poll in the background gets it as well.
    calltools
        .simulator
        .inject(usize::MAX, None, InjectedFault::InvalidToken);
    let target = "/v1/queues/main/sales/refresh";
    let refused = post(address, target).await;
    calltools.simulator.clear_faults();
    assert_ne!(refused.status, 200, "{refused:?}");
    program.logs("is a named pipe").await;
    // The account keeps the token that it has, and the other account is not affected.
    let before = other.simulator.requests();
    assert_eq!(
        post(address, "/v1/queues/lab/sales/refresh").await.status,
        200
    );
    assert!(other.simulator.requests() > before);
    let answer = post(address, "/v1/reload").await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(
        answer
            .body
            .contains("is a named pipe, and only regular files are read"),
        "{answer:?}"
    );
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert!(begun.elapsed() < STOPPED, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn no_file_that_the_config_names_can_hang_the_start() {
    for (file, words) in [
        ("openseat.toml", "cannot read the configuration"),
        ("main.token", "the token file"),
        ("bearer", "the bearer token file"),
        ("cert.pem", "tls_cert"),
        ("key.pem", "tls_key"),
        ("ca.pem", "ca_file"),
    ] {
        let (calltools, home) = setup().await;
        let lines = "ca_file = \"./ca.pem\"";
        let config = home.config(&[calltools.account_with(lines, "")]);
        let server = "[server]\nbearer_token_file = \"./bearer\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"";
        let text = fs::read_to_string(&config).expect("a config");
        fs::write(&config, text.replace("[server]", server)).expect("the file can be written");
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let issued = issued.expect("a certificate");
        for (name, text) in [
            ("bearer", "0123456789abcdef".to_owned()),
            ("cert.pem", issued.cert.pem()),
            ("ca.pem", issued.cert.pem()),
            ("key.pem", issued.signing_key.serialize_pem()),
        ] {
            fs::write(home.path().join(name), text).expect("a file");
        }
        pipe_at(&home.path().join(file));
        let mut program = Program::run(&home, &config);
        let code = program.ended().await.code();
        let log = program.log();
        assert_eq!(code, Some(78), "{file}: {log}");
        assert!(
            log.contains(words) && log.contains("is a named pipe"),
            "{file}: {log}"
        );
    }
}

#[tokio::test]
async fn a_sighup_during_the_start_is_handled_and_ends_nothing() {
    let (calltools, home) = setup().await;
    let config = home.config(&[calltools.account()]);
    // An earlier process that holds the folder.
    let first = Program::run(&home, &config);
    first.address().await;
    let text = fs::read_to_string(&config).expect("a config");
    let second_config = home.path().join("second.toml");
    fs::write(&second_config, &text).expect("the file can be written");
    soon("signals while it waits", async || {
        outlives_a_sighup_while_it_waits(&home, &second_config).await
    })
    .await;
    drop(first);

    let third = Program::run(&home, &config);
    soon("signals that are caught", async || {
        catches(&third, Signal::HUP)
    })
    .await;
    third.signal(Signal::HUP);
    third.address().await;
    third
        .logs("the config was read again and is in force")
        .await;
}

/// Sends a SIGHUP to a process that waits for a folder which another one holds, and stops it. Returns false if it gave up before the end: it waits
/// for 5 s, and the test may have been paused for longer.
async fn outlives_a_sighup_while_it_waits(home: &TestFolder, config: &Path) -> bool {
    let mut second = Program::run(home, config);
    soon("signals that are caught", async || {
        catches(&second, Signal::HUP) || second.has_ended().is_some()
    })
    .await;
    for signal in [Signal::HUP, Signal::TERM] {
        if let Some(status) = second.has_ended() {
            assert_eq!(status.code(), Some(1), "{}", second.log());
            return false;
        }
        second.signal(signal);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It stops at once when told to.
    let begun = Instant::now();
    let code = second.ended().await.code();
    assert!(begun.elapsed() < STOPPED, "{:?}", begun.elapsed());
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", second.log());
    code == Some(0)
}

/// Whether a process has a handler for a signal by now: bit n - 1 of a mask that the system shows.
fn catches(program: &Program, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid().as_raw_nonzero()));
    let status = status.unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// Starts the daemon through a shell that sets its limits.
fn limited(home: &TestFolder, config: &Path, limits: &str) -> Program {
    let mut command = std::process::Command::new("sh");
    let script = format!("{limits} && exec \"$0\" run --config \"$1\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_openseat")])
        .arg(config)
        .env_clear()
        .stdin(std::process::Stdio::null());
    Program::launch(home, command)
}

#[tokio::test]
async fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let (calltools, home) = setup().await;
    let program = limited(&home, &home.config(&[calltools.account()]), "ulimit -Sn 64");
    let address = program.address().await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(
            TcpStream::connect(address)
                .await
                .expect("the server listens"),
        );
    }
    ready(address).await;
    assert_eq!(post(address, "/v1/queues/sales/refresh").await.status, 200);
    assert!(
        !program.log().contains("max_connections"),
        "{}",
        program.log()
    );
}

#[tokio::test]
async fn with_a_low_hard_limit_callers_get_fewer_connections_and_polls_continue() {
    let (calltools, home) = setup().await;
    let program = limited(&home, &home.config(&[calltools.account()]), "ulimit -n 128");
    let address = program.address().await;
    program
        .logs("this process may open 128 files, and max_connections = 1024 needs")
        .await;
    ready(address).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(
            TcpStream::connect(address)
                .await
                .expect("the server listens"),
        );
    }
    let requests = || calltools.simulator.requests();
    let before = requests();
    // Callers cannot reach it, but it keeps polling, and the control socket has room.
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_openseat"));
    check.arg("check").env_clear().current_dir(home.path());
    let output = tokio::task::spawn_blocking(move || check.output()).await;
    let output = output.expect("no panic").expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    assert!(requests() > before);
    assert!(
        !program.log().contains("network and firewall"),
        "{}",
        program.log()
    );
}
