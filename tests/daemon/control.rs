//! The control socket: commands on this machine reach the daemon there, even if callers need a token or use up all connections.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use openseat::simulator::{InjectedFault, TOKEN};
use rustix::process::Signal;
use serde_json::Value;
use tokio::{net::TcpStream, task::spawn_blocking};

use crate::support::{CallTools, Program, TestFolder, Time, ask, get, soon};

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Output {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Output {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command in the folder.
async fn openseat(home: &TestFolder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
    command
        .args(arguments)
        .env_clear()
        .current_dir(home.path())
        .stdin(Stdio::null());
    let output = spawn_blocking(move || command.output()).await;
    let output = output.expect("no panic").expect("the program runs");
    Output {
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code(),
    }
}

/// Repeats a command until it succeeds, with output that begins like this: it waits 3 s for the daemon, and a busy machine may be later.
async fn succeeds(home: &TestFolder, command: &str, beginning: &str) {
    soon(command, async || {
        let output = openseat(home, &[command]).await;
        output.code == Some(0) && output.out.starts_with(beginning)
    })
    .await;
}

fn socket(home: &TestFolder) -> PathBuf {
    home.state().join("control.sock")
}

fn edit(config: &std::path::Path, from: &str, to: &str) {
    let text = fs::read_to_string(config).expect("a config");
    assert!(text.contains(from), "{text}");
    fs::write(config, text.replace(from, to)).expect("the file can be written");
}

/// A CallTools, and a folder with a config.
async fn setup() -> (CallTools, TestFolder, PathBuf) {
    let home = TestFolder::new();
    home.set_token("main", TOKEN);
    let calltools = CallTools::start(&Time::new()).await;
    let config = home.config(&[calltools.account()]);
    (calltools, home, config)
}

/// A running daemon that has polled.
async fn running(home: &TestFolder, config: &std::path::Path) -> Program {
    let program = Program::run(home, config);
    let address = program.address().await;
    soon("ready", async || {
        get(address, "/readyz").await.status == 200
    })
    .await;
    soon("a control socket", async || socket(home).exists()).await;
    program
}

#[tokio::test]
async fn a_check_is_sent_by_the_running_daemon_with_its_token_and_budget() {
    let (calltools, home, config) = setup().await;
    let program = running(&home, &config).await;
    let address = program.address().await;
    // The command itself has no token: neither a file nor a variable.
    fs::remove_file(home.path().join("main.token")).expect("the file exists");
    let requests = || calltools.simulator.requests();
    let before = requests();
    let json = openseat(&home, &["check", "--json"]).await.exits(0).json();
    assert_eq!(json["asked_by"], "daemon", "{json}");
    assert_eq!(json["ok"], true, "{json}");
    assert_eq!(json["queues"][0]["queue"], "sales", "{json}");
    assert_eq!(json["accounts"][0]["budget"]["shared"], true, "{json}");
    assert!(requests() > before);
    // The daemon counts what the check cost, in its memory.
    let metrics = get(address, "/metrics").await.body;
    let used = metrics
        .lines()
        .find_map(|line| line.strip_prefix("openseat_budget_used_requests{account=\"main\"} "));
    let used: f64 = used.expect("a sample").parse().expect("a number");
    assert!(
        used >= json["accounts"][0]["budget"]["used"]
            .as_f64()
            .expect("a number")
    );

    let output = openseat(&home, &["check", "sales"]).await.exits(0);
    assert!(
        output
            .out
            .contains(" for this check, sent by the running daemon; "),
        "{output:?}"
    );
    assert!(output.err.is_empty(), "{output:?}");
    let output = openseat(&home, &["check", "sale"]).await.exits(2);
    assert!(output.err.contains("did you mean sales?"), "{output:?}");
}

#[tokio::test]
async fn a_command_says_that_the_daemon_has_not_reloaded_the_file() {
    let (_calltools, home, config) = setup().await;
    let _program = running(&home, &config).await;
    let words = "note: the daemon asks by its own config, which is not that of this file";
    edit(
        &config,
        "queue = \"sales\"",
        "threshold = 1\nqueue = \"sales\"",
    );
    for arguments in [&["check"][..], &["check", "sales"], &["queues"]] {
        let output = openseat(&home, arguments).await.exits(0);
        assert!(output.err.contains(words), "{arguments:?}: {output:?}");
    }
    // The file has this queue, and the daemon does not.
    edit(&config, "queue = \"sales\"", "queue = \"billing\"");
    let output = openseat(&home, &["check", "billing"]).await.exits(2);
    assert!(output.err.contains(words), "{output:?}");
    let output = openseat(&home, &["check", "sales"]).await.exits(2);
    let from_file = "no queue \"sales\" is configured";
    assert!(output.err.contains(from_file), "{output:?}");
}

#[tokio::test]
async fn during_a_pause_no_command_sends_anything_and_each_shows_the_time_left() {
    let (calltools, home, config) = setup().await;
    let _program = running(&home, &config).await;
    let simulator = &calltools.simulator;
    let silence = InjectedFault::Throttled(Some(Duration::from_secs(900)));
    simulator.inject(1, None, silence);
    soon("a silence", async || {
        let last = simulator.received().pop().expect("the daemon polls");
        last.status.is_some_and(|status| status == 429)
    })
    .await;
    let before = simulator.requests();
    for arguments in [
        &["check"][..],
        &["check", "sales"],
        &["queues"],
        &["queues", "--seats"],
        &["check", "--report", "report.json"],
    ] {
        let output = openseat(&home, arguments).await.exits(1);
        let all = output.out + &output.err;
        let left = all.split("; the next one may be sent in ").nth(1);
        let left = left.and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(left.is_some_and(|left| left > 800), "{arguments:?}: {all}");
    }
    let json = openseat(&home, &["check", "--json"]).await.exits(1).json();
    assert_eq!(json["asked_by"], "daemon", "{json}");
    assert!(
        json["accounts"][0]["budget"]["throttled_until"].is_string(),
        "{json}"
    );
    assert_eq!(simulator.requests(), before);
}

#[tokio::test]
async fn without_a_daemon_a_check_sends_its_own_requests_whatever_a_killed_one_left_behind() {
    let (_calltools, home, config) = setup().await;
    let mut program = running(&home, &config).await;
    program.signal(Signal::KILL);
    program.ended().await;
    assert!(socket(&home).exists(), "a killed daemon cannot remove it");
    let json = openseat(&home, &["check", "--json"]).await.exits(0).json();
    assert_eq!(json["asked_by"], "command", "{json}");
    // The next daemon replaces the stale socket, and removes its own at the end.
    let mut program = running(&home, &config).await;
    soon("the daemon", async || {
        openseat(&home, &["check"])
            .await
            .out
            .contains("running daemon")
    })
    .await;
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert!(!socket(&home).exists());
}

#[tokio::test]
async fn commands_need_neither_the_callers_token_nor_one_of_their_connections() {
    let (_calltools, home, config) = setup().await;
    fs::write(home.path().join("bearer"), "0123456789abcdef0123").expect("a file");
    edit(
        &config,
        "[server]\n",
        "[server]\nmax_connections = 1\nbearer_token_file = \"./bearer\"\n",
    );
    let program = Program::run(&home, &config);
    let address = program.address().await;
    // The folder is private; the socket's own mode is set a moment after it appears.
    let mode = || {
        let found = fs::metadata(socket(&home)).ok()?;
        Some(found.permissions().mode() & 0o777)
    };
    soon("a control socket", async || mode() == Some(0o600)).await;
    fs::remove_file(home.path().join("bearer")).expect("the file exists");
    let _the_only_place = TcpStream::connect(address)
        .await
        .expect("the server listens");
    soon("every queue known", async || {
        openseat(&home, &["status"]).await.code == Some(0)
    })
    .await;
}

#[tokio::test]
async fn health_reports_accounts_and_queues_even_if_callers_need_a_token() {
    let (_calltools, home, config) = setup().await;
    let bearer = home.path().join("bearer");
    fs::write(bearer, "0123456789abcdef0123").expect("a file");
    let at = home.path().join("openseat.sock");
    edit(
        &config,
        "listen = \"127.0.0.1:0\"",
        &format!(
            "listen = \"unix:{}\"\nbearer_token_file = \"./bearer\"",
            at.display()
        ),
    );
    let _program = Program::run(&home, &config);
    soon("a line about each", async || {
        let output = openseat(&home, &["health"]).await;
        output.code == Some(0) && output.out.starts_with("ready\naccount main: ok\nmain/")
    })
    .await;
    fs::remove_file(socket(&home)).expect("the file exists");
    succeeds(&home, "health", "ready\n").await;
}

#[tokio::test]
async fn only_the_control_socket_checks() {
    let (_calltools, home, config) = setup().await;
    let program = running(&home, &config).await;
    let address = program.address().await;
    let answer = ask(address, "POST", "/v1/check", "").await;
    assert_eq!(answer.status, 404, "{answer:?}");
}

#[tokio::test]
async fn a_state_folder_with_a_long_path_has_a_control_socket() {
    let (_calltools, home, config) = setup().await;
    let long = ["a-long-name-for-a-folder"; 8].join("/");
    edit(
        &config,
        "dir = \"state\"",
        &format!("dir = \"{long}/state\""),
    );
    let program = Program::run(&home, &config);
    program.address().await;
    let path = home.path().join(&long).join("state/control.sock");
    assert!(path.as_os_str().len() > 150);
    soon("a control socket", async || path.exists()).await;
    let json = openseat(&home, &["check", "--json"]).await.exits(0).json();
    assert_eq!(json["asked_by"], "daemon", "{json}");
}

#[tokio::test]
async fn a_control_socket_that_cannot_be_created_or_disappears_is_created_again() {
    let (_calltools, home, config) = setup().await;
    fs::create_dir_all(socket(&home)).expect("a folder in its place");
    let program = Program::run(&home, &config);
    let address = program.address().await;
    let words = "cannot create the control socket";
    let log = program.logs(words).await;
    assert!(log.contains("a file that is not a socket has this name; remove it"));
    soon("ready", async || {
        get(address, "/readyz").await.status == 200
    })
    .await;
    fs::remove_dir(socket(&home)).expect("the folder exists");
    soon("a control socket", async || socket(&home).exists()).await;
    assert_eq!(program.log().matches(words).count(), 1, "{}", program.log());
    fs::remove_file(socket(&home)).expect("the file exists");
    soon("another control socket", async || socket(&home).exists()).await;
    succeeds(&home, "status", "").await;
    // A socket on which another process answers is left alone. It gets the name in one step, because a missing socket is soon created again.
    let elsewhere = home.path().join("other.sock");
    let _other = UnixListener::bind(&elsewhere).expect("the name is free");
    fs::rename(elsewhere, socket(&home)).expect("one file system");
    let log = program.logs("another process answers there").await;
    assert_eq!(log.matches(words).count(), 2, "{log}");
}

#[tokio::test]
async fn commands_work_without_the_credentials_that_systemd_passes() {
    let (_calltools, home, config) = setup().await;
    edit(&config, "token_file = \"./main.token\"\n", "");
    for arguments in [
        &["plan"] as &[&str],
        &["plan", "--json"],
        &["check", "--curl"],
    ] {
        openseat(&home, arguments).await.exits(0);
    }
    let output = openseat(&home, &["status"]).await.exits(1);
    assert!(
        output.err.contains("no answer; is the daemon running"),
        "{output:?}"
    );
    let output = openseat(&home, &["check"]).await.exits(2);
    assert!(
        output
            .err
            .contains("start the service, or set token_file or token_env"),
        "{output:?}"
    );
    // The daemon itself does need a token.
    let output = openseat(&home, &["run"]).await.exits(78);
    assert!(output.err.contains("there is no token"), "{output:?}");
}

#[tokio::test]
async fn a_reload_waits_says_what_changed_and_fails_if_rejected() {
    let (_calltools, home, config) = setup().await;
    let program = running(&home, &config).await;
    let address = program.address().await;
    edit(&config, "queue = \"support\"", "queue = \"billing\"");
    let output = openseat(&home, &["reload"]).await.exits(0);
    let real = config.canonicalize().expect("a file").display().to_string();
    let said = format!("The configuration {real} was read again and is in force.\n");
    assert!(output.out.contains(&said), "{output:?}");
    assert!(
        output
            .out
            .contains("Queues added: main/billing\nQueues removed: main/support\n"),
        "{output:?}"
    );

    // A file with mistakes, a change that needs a restart, a secret that cannot be used.
    let good = fs::read_to_string(&config).expect("a config");
    for (from, to, words) in [
        ("[server]", "[sever]", "did you mean"),
        (
            "[server]",
            "[server]\nthreads = 3",
            "threads cannot change while openseat runs",
        ),
        ("[server]", "[server", "this is not TOML"),
        (
            "./main.token",
            "./nowhere.token",
            "nowhere.token cannot be read",
        ),
    ] {
        fs::write(&config, good.replace(from, to)).expect("the file can be written");
        let state = home.state();
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        // As under systemd: if the file is broken, systemd's variable says where the state folder is.
        command
            .arg("reload")
            .env_clear()
            .env("STATE_DIRECTORY", &state);
        command.current_dir(home.path());
        let output = spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the program runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {err}");
        assert!(
            err.contains(words) && err.contains("the old one stays in force"),
            "{err}"
        );
        program.logs(words).await;
    }
    // Without systemd's variable, the broken file still names the folder.
    for broken in ["[sever]", "[server"] {
        fs::write(&config, good.replace("[server]", broken)).expect("the file can be written");
        let output = openseat(&home, &["reload"]).await.exits(1);
        let refused = "the old one stays in force";
        assert!(output.err.contains(refused), "{output:?}");
    }
    fs::write(&config, &good).expect("the file can be written");
    fs::write(home.path().join("main.token"), "no token at all\n").expect("a file");
    let output = openseat(&home, &["reload"]).await.exits(1);
    assert!(
        output.err.contains("main.token has white space inside"),
        "{output:?}"
    );
    assert_eq!(get(address, "/v1/queues/sales/decision").await.status, 200);
    home.set_token("main", TOKEN);
    openseat(&home, &["reload"]).await.exits(0);

    drop(program);
    let output = openseat(&home, &["reload"]).await.exits(1);
    assert!(
        output.err.contains("no daemon answers at") && output.err.contains("control.sock"),
        "{output:?}"
    );
    assert!(
        output.err.contains("If [state] dir was changed, restart"),
        "{output:?}"
    );
    fs::write(&config, good.replace("[server]", "[sever]")).expect("the file can be written");
    let output = openseat(&home, &["reload"]).await.exits(2);
    assert!(output.err.contains("did you mean"), "{output:?}");
}

#[tokio::test]
async fn a_reload_of_a_file_that_the_daemon_does_not_read_fails() {
    let (_calltools, home, config) = setup().await;
    let program = running(&home, &config).await;
    program.address().await;
    let at = |name: &str| home.path().join(name);
    let (other, link) = (at("other.toml"), at("link.toml"));
    fs::copy(&config, &other).expect("the file can be copied");
    std::os::unix::fs::symlink(&config, &link).expect("a link");
    let named = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let output = openseat(&home, &["reload", "--config", &named(&other)])
        .await
        .exits(1);
    let said = format!("{} is not in force", named(&other));
    assert!(output.err.contains(&said), "{output:?}");
    assert!(output.err.contains("started with /"), "{output:?}");
    // The same file by another name.
    openseat(&home, &["reload", "--config", &named(&link)])
        .await
        .exits(0);
}

#[tokio::test]
async fn a_check_shows_the_feeds_of_an_account_that_is_reached_in_another_way() {
    let (_calltools, home, config) = setup().await;
    let program = running(&home, &config).await;
    program.address().await;
    let feeds = async || {
        let json = openseat(&home, &["check", "--json"]).await.exits(0).json();
        json["accounts"][0]["feeds"].clone()
    };
    let before = feeds().await;
    assert_ne!(before.as_array().map(Vec::len), Some(0), "{before}");
    edit(
        &config,
        "[[account]]\n",
        "[[account]]\nrequests_per_hour = 900\n",
    );
    openseat(&home, &["reload"]).await.exits(0);
    let after = feeds().await;
    let number = |feeds: &Value| feeds.as_array().map(Vec::len);
    assert_eq!(number(&after), number(&before), "{after}");
}

#[tokio::test]
async fn a_reload_changes_the_log_levels_if_told_to() {
    let (_calltools, home, config) = setup().await;
    let mut program = running(&home, &config).await;
    assert!(!program.log().contains("\"TRACE\""));
    openseat(&home, &["reload", "--log-level", "openseat=TRACE"])
        .await
        .exits(0);
    soon("trace lines of its own steps", async || {
        let log = program.log();
        let mut traces = log.lines().filter(|line| line.contains("\"TRACE\""));
        traces.any(|line| line.contains("\"target\":\"openseat::"))
    })
    .await;
    openseat(&home, &["reload", "--log-level", "OFF"])
        .await
        .exits(0);
    // A reload without levels leaves them as they are: not even the signal that ends it is logged.
    openseat(&home, &["reload"]).await.exits(0);
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
    let log = program.log();
    assert!(!log.contains("\"SIGTERM\""), "{log}");
}

#[tokio::test]
async fn the_journal_gets_a_priority_with_each_line() {
    use std::os::unix::fs::MetadataExt;

    let (_calltools, home, config) = setup().await;
    // A secret that everybody may read is a warning.
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(home.path().join("main.token"), open).expect("the mode can be set");
    let log = home.path().join("stderr.txt");
    fs::write(&log, "").expect("a file");
    let found = fs::metadata(&log).expect("the file exists");
    let stream = format!("{}:{}", found.dev(), found.ino());
    for (stream, journal) in [(stream.as_str(), true), ("1:2", false), ("", false)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        command.args(["run", "--config"]).arg(&config).env_clear();
        command.env("JOURNAL_STREAM", stream).stdin(Stdio::null());
        let file = fs::OpenOptions::new().write(true).truncate(true).open(&log);
        let mut child = command
            .stderr(file.expect("the log can be opened"))
            .spawn()
            .expect("the program runs");
        let read = || fs::read_to_string(&log).expect("a log");
        soon("a start", async || read().contains("openseat answers")).await;
        child.kill().expect("the process runs");
        child.wait().expect("the program ends");
        let log = read();
        for line in log.lines() {
            let priority = match () {
                () if line.contains("\"WARN\"") => "<4>{",
                () if line.contains("\"ERROR\"") => "<3>{",
                () => "<6>{",
            };
            assert!(
                line.starts_with(if journal { priority } else { "{" }),
                "{line}"
            );
        }
        assert!(
            log.contains("\"INFO\"") && log.contains("\"WARN\""),
            "{log}"
        );
    }
    // All lines of a failed start are errors.
    fs::write(&config, "[sever]\nport = 7\n").expect("the file can be written");
    let file = fs::OpenOptions::new().write(true).truncate(true).open(&log);
    let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
    command.args(["run", "--config"]).arg(&config).env_clear();
    command
        .env("JOURNAL_STREAM", &stream)
        .stderr(file.expect("the log can be opened"));
    let status = spawn_blocking(move || command.status()).await;
    assert_eq!(
        status.expect("no panic").expect("the program runs").code(),
        Some(78)
    );
    let log = fs::read_to_string(&log).expect("a log");
    assert!(
        log.lines().count() > 1 && log.lines().all(|line| line.starts_with("<3>")),
        "{log}"
    );
}
