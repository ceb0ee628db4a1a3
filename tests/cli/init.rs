//! `openseat init`, at a pseudo-terminal and from a pipe, against a simulated CallTools.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use tokio::task::spawn_blocking;

use crate::{
    fixture::{CANARY, Fixture, WRONG},
    support::soon,
};

/// `openseat init` on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// The terminal's other end, to see in which mode the program leaves it.
    desk: File,
}

impl Terminal {
    /// Starts it in a folder. `setsid` makes this its controlling terminal, so that Ctrl-C reaches it.
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&host).expect("the terminal is ours");
        unlockpt(&host).expect("the terminal is ours");
        let name = ptsname(&host, Vec::new()).expect("the terminal has a name");
        let path = name.to_str().expect("a plain path").to_owned();
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(&path)
                .expect("a terminal")
        };
        let child = Command::new("setsid")
            .args(["-c", "-w", env!("CARGO_BIN_EXE_openseat"), "init"])
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("TERM", "xterm")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .expect("the program starts");
        let keyboard = File::from(host);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut from, to) = (keyboard.try_clone().expect("a copy"), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                to.lock().expect("no panic").push_str(&text);
            }
        });
        Self {
            child,
            keyboard,
            screen,
            desk: open(),
        }
    }

    fn shown(&self) -> String {
        self.screen.lock().expect("no panic").clone()
    }

    /// Waits until the screen has these words and the program reads, then presses keys. Each question turns the echo off before it reads its answer,
    /// and the one for the token discards what was typed before.
    async fn answer(&mut self, words: &str, keys: &str) {
        let listens =
            async || self.shown().contains(words) && !self.modes().contains(LocalModes::ECHO);
        soon(words, listens).await;
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the program reads");
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.desk).expect("a terminal").local_modes
    }

    /// Its exit code. The screen has everything that it wrote then.
    async fn code(&mut self) -> i32 {
        let mut code = None;
        soon("an end", async || {
            code = self
                .child
                .try_wait()
                .expect("the process can be waited for");
            code.is_some()
        })
        .await;
        // What it wrote comes before what is written now, but the screen may not have read either.
        const END: &str = "(the program has ended)";
        self.desk.write_all(END.as_bytes()).expect("a terminal");
        soon(END, async || self.shown().contains(END)).await;
        code.expect("checked above")
            .code()
            .expect("no signal ended it")
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .filter(|name| !name.starts_with(".local"))
        .collect();
    names.sort();
    names
}

/// An empty folder, and the address of the simulated CallTools.
fn new_user(fixture: &Fixture) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    (folder, fixture.calltools.serving.base_url().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_at_a_terminal_gets_a_real_decision() {
    let fixture = Fixture::open().await;
    let (folder, url) = new_user(&fixture);
    let mut terminal = Terminal::start(folder.path(), &[]);
    terminal
        .answer("Login address or silo", &format!("{url}\n"))
        .await;
    terminal
        .answer("API token", &format!("Authorization: Token {CANARY}\n"))
        .await;
    // The only queue is selected already.
    terminal.answer("space picks", "\r").await;
    terminal.answer("more free agents than", "\r").await;
    let code = terminal.code().await;
    let shown = terminal.shown();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(CANARY), "the token is not shown");
    for words in [
        "accept",
        "1 seat is more than the threshold of 0",
        "openseat run",
        "openseat status",
        "openseat queues",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(names(folder.path()), ["main.token", "openseat.toml"]);
    let token = folder.path().join("main.token");
    let mode = token
        .metadata()
        .expect("the file exists")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = fs::read_to_string(folder.path().join("openseat.toml")).expect("the file exists");
    assert!(
        !config.contains(CANARY) && config.contains("queue = \"sales-queue\"\nthreshold = 0\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_asked_for_again() {
    let fixture = Fixture::open().await;
    let (folder, url) = new_user(&fixture);
    let mut terminal = Terminal::start(
        folder.path(),
        &["--silo", &url, "--queue", "sales-queue", "--threshold", "0"],
    );
    terminal.answer("API token", &format!("{WRONG}\n")).await;
    terminal
        .answer("does not accept the token", &format!("{CANARY}\n"))
        .await;
    let code = terminal.code().await;
    assert_eq!(code, 0, "{}", terminal.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_file_and_restores_the_terminal() {
    let fixture = Fixture::open().await;
    for question in [
        "Login address",
        "API token",
        "space picks",
        "more free agents",
    ] {
        let (folder, url) = new_user(&fixture);
        let mut terminal = Terminal::start(folder.path(), &[]);
        for (words, keys) in [
            ("Login address", format!("{url}\n")),
            ("API token", format!("{CANARY}\n")),
            ("space picks", "\r".to_owned()),
            ("more free agents", "\r".to_owned()),
        ] {
            if words == question {
                terminal.answer(words, "\x03").await;
                break;
            }
            terminal.answer(words, &keys).await;
        }
        let code = terminal.code().await;
        assert_eq!(code, 130, "{question}: {}", terminal.shown());
        assert!(names(folder.path()).is_empty(), "{question}");
        let before = LocalModes::ECHO | LocalModes::ICANON;
        assert!(terminal.modes().contains(before), "{question}");
        // The last output may reach the screen after the program's exit.
        soon("the cursor is back", async || {
            terminal.shown().contains("\x1b[?25h")
        })
        .await;
    }
}

/// The exit code and both outputs of `openseat init` with this standard input.
async fn piped(folder: &Path, arguments: &[&str], input: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
    command
        .arg("init")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let input = input.to_owned();
    let output = spawn_blocking(move || {
        // It may exit before it has read everything.
        let _ = child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends")
    });
    let output = output.await.expect("no panic");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(!text.contains(CANARY) && !text.contains(WRONG), "{text}");
    (output.status.code().expect("no signal"), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_can_come_from_a_pipe_or_a_flag() {
    let fixture = Fixture::open().await;
    let (folder, url) = new_user(&fixture);
    let answers = format!("{url}\n\"{CANARY}\"\nsales-queue\n1\n");
    let (code, text) = piped(folder.path(), &[], &answers).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("reject  1 seat is not more than the threshold of 1"),
        "{text}"
    );
    // Nothing is replaced without `--force`.
    let before = fs::read(folder.path().join("openseat.toml")).expect("the file exists");
    let (code, text) = piped(folder.path(), &[], &answers).await;
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("openseat.toml exists; --force replaces it"),
        "{text}"
    );
    assert_eq!(
        fs::read(folder.path().join("openseat.toml")).ok(),
        Some(before)
    );
    // The token's file can be kept.
    let arguments = [
        "--force",
        "--silo",
        &url,
        "--token-file",
        "main.token",
        "--queue",
        "1",
        "--threshold",
        "0",
    ];
    let (code, text) = piped(folder.path(), &arguments, "").await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("accept  1 seat is more than the threshold of 0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_in_flags_are_relative_to_where_the_command_runs() {
    let fixture = Fixture::open().await;
    let (folder, url) = new_user(&fixture);
    fs::create_dir(folder.path().join("etc")).expect("a folder");
    fs::write(folder.path().join("my.token"), CANARY).expect("a file");
    let arguments = [
        "--config",
        "etc/openseat.toml",
        "--silo",
        &url,
        "--token-file",
        "my.token",
        "--state-dir",
        "state",
        "--queue",
        "1",
        "--threshold",
        "0",
    ];
    let (code, text) = piped(folder.path(), &arguments, "").await;
    assert_eq!(code, 0, "{text}");
    let text = fs::read_to_string(folder.path().join("etc/openseat.toml"));
    let text = text.expect("the file exists");
    let here = fs::canonicalize(folder.path()).expect("a folder");
    for (key, name) in [("dir", "state"), ("token_file", "my.token")] {
        let line = format!("{key} = \"{}\"", here.join(name).display());
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
    assert!(folder.path().join("state").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_work_are_rejected_with_advice_and_nothing_is_written() {
    let fixture = Fixture::open().await;
    let (folder, url) = new_user(&fixture);
    let dead = "http://127.0.0.1:9/api/";
    for (input, code, words) in [
        (String::new(), 2, "use --silo, or pipe one line"),
        (
            "east 1\n".to_owned(),
            2,
            "must be the first part of the address",
        ),
        (format!("{url}\n\n"), 2, "is empty; copy the token"),
        (format!("{url}\n{WRONG}\n"), 1, "does not accept the token"),
        (
            format!("{dead}\n{CANARY}\n"),
            1,
            "check the network and firewall",
        ),
        (
            format!("{url}\n{CANARY}\nsales\n"),
            2,
            "did you mean sales-queue?\nIt has sales-queue (1)",
        ),
        (format!("{url}\n{CANARY}\n,\n"), 2, "names no queue"),
        (
            format!("{url}\n{CANARY}\nsales-queue\nmany\n"),
            2,
            "must be a whole number",
        ),
    ] {
        let (exit, text) = piped(folder.path(), &[], &input).await;
        assert_eq!(exit, code, "{text}");
        assert!(text.contains(words), "{words}: {text}");
        assert!(names(folder.path()).is_empty(), "{words}");
    }
}
