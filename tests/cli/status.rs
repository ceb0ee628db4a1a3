//! `openseat status`: the real program asks a real daemon over its socket.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Output, Stdio},
    sync::Arc,
};

use openseat::{
    clock::SystemClock,
    simulator::{Settings, Simulator, WorldSettings},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{sync::mpsc, task::spawn_blocking};

use crate::support::{CallTools, TIMEOUT, TestDaemon, TestFolder, soon};

/// No output may contain one of these.
const TOKEN: &str = "canary0that0must0not0be0seen0anywhere000";
const BEARER: &str = "canary-bearer-not-to-be-seen";

/// A simulated account with one queue and one available agent, a config, and perhaps a daemon.
struct Fixture {
    calltools: CallTools,
    home: TestFolder,
    daemon: Option<TestDaemon>,
}

impl Fixture {
    /// Opens it with these queues in the config, besides `sales-queue`.
    async fn open(queues: &[&str]) -> Self {
        let fixture = Self {
            calltools: CallTools::serve(simulate()).await,
            home: TestFolder::new(),
            daemon: None,
        };
        fixture.home.set_token("main", TOKEN);
        fixture.home.write("bearer", BEARER);
        let queues: String = std::iter::once(&"sales-queue")
            .chain(queues)
            .map(|queue| format!("[[account.queue]]\nqueue = \"{queue}\"\n"))
            .collect();
        let config = format!(
            "[server]\nlisten = \"{}\"\nbearer_token_file = \"./bearer\"\n[state]\ndir = \"state\"\n\
             [[account]]\nname = \"main\"\nbase_url = \"{}\"\ntoken_file = \"./main.token\"\n{queues}",
            fixture.address(),
            fixture.calltools.serving.base_url()
        );
        fixture.home.write("openseat.toml", &config);
        fixture
    }

    /// The same with its daemon, once every queue has been polled.
    async fn running(queues: &[&str]) -> Self {
        let mut fixture = Self::open(queues).await;
        let config = fixture.home.path().join("openseat.toml");
        let daemon = TestDaemon::start_by(&config, Arc::new(SystemClock::new())).await;
        fixture.daemon = Some(daemon);
        soon("a healthy daemon", async || {
            fixture.run(&["health"]).await.status.code() == Some(0)
        })
        .await;
        fixture
    }

    fn address(&self) -> String {
        format!("unix:{}", self.home.path().join("socket").display())
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.home.command(arguments);
        // The daemon runs in this runtime, and must answer meanwhile.
        let output = spawn_blocking(move || command.output()).await;
        output.expect("no panic").expect("the program runs")
    }

    /// Its standard output and standard error, once it has exited with `code`.
    async fn status(&self, arguments: &[&str], code: i32) -> (String, String) {
        let (mut status, mut out, mut err) = (None, String::new(), String::new());
        // It waits 3 s for the daemon, and a busy machine may be later.
        soon("an answer in time", async || {
            let output = self.run(&[&["status"], arguments].concat()).await;
            let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
            (out, err) = (text(output.stdout), text(output.stderr));
            status = output.status.code();
            !err.contains("no answer within")
        })
        .await;
        assert_eq!(status, Some(code), "{out}\n{err}");
        assert!(
            !out.contains("canary") && !err.contains("canary"),
            "{out}{err}"
        );
        assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{out}{err}");
        (out, err)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_queue_is_shown_with_its_decision_agents_and_what_is_left_of_the_hour() {
    let fixture = Fixture::running(&[]).await;
    let (out, err) = fixture.status(&[], 0).await;
    // Names, statuses and the queue, and a poll every 3.8 s.
    let spent = out
        .strip_prefix("main  ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    let spent: u64 = spent.unwrap_or_else(|| panic!("no number: {out}"));
    let left = 1000 - spent;
    assert!(spent >= 3, "{out}");
    let hour = format!(
        "main  {spent} of 1000 requests spent in the last hour, {left} left (50 kept back); one every "
    );
    assert!(out.starts_with(&hour), "{out}");
    let row = out
        .lines()
        .find(|line| line.contains("sales-queue"))
        .expect("a row");
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        words[..6],
        ["●", "sales-queue", "accept", "seats", "1", "0"],
        "{out}"
    );
    assert!(row.ends_with("1 Available"), "{out}");
    assert!(out.ends_with("\nknown  all 1 queues\n"), "{out}");
    assert_eq!(err, "");
    let (json, _) = fixture.status(&["--json"], 0).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let feeds = &json["accounts"][0]["feeds"];
    assert_eq!(
        (&feeds[3]["feed"], &feeds[3]["standing"]),
        (&"queues".into(), &"in_use".into()),
        "one queue is polled on its own: {feeds}"
    );
    assert!(
        json["accounts"][0]["used"].as_u64() >= Some(spent),
        "{json}"
    );
    assert_eq!(json["queues"][0]["reason"], "seats");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_queue_is_shown_with_advice_and_exits_with_1() {
    let fixture = Fixture::running(&["sales-quene"]).await;
    let (out, _) = fixture.status(&[], 1).await;
    assert!(out.contains("\nunknown  1 of 2 queues\n"), "{out}");
    let row = out
        .lines()
        .find(|line| line.contains("sales-quene"))
        .expect("a row");
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        words,
        ["sales-quene", "reject", "no_such_queue", "?", "0", "-", "?"],
        "{out}"
    );
    let note = out
        .lines()
        .find(|line| line.starts_with("main/sales-quene  "))
        .expect("a note");
    assert!(
        note.contains("sales-queue"),
        "it has the nearest name: {note}"
    );
    let (json, _) = fixture.status(&["--json"], 1).await;
    assert!(json.contains("no_such_queue"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_not_answer_exits_with_1() {
    let fixture = Fixture::open(&[]).await;
    let (out, err) = fixture.status(&[], 1).await;
    assert_eq!(out, "");
    let expected = format!(
        "openseat: {}: no answer; is the daemon running?",
        fixture.address()
    );
    assert!(err.starts_with(&expected), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_cannot_be_asked_exits_with_2() {
    let fixture = Fixture::running(&[]).await;
    let address = fixture.address();
    // A token is sent to another address only if the config is named.
    let (_, err) = fixture.status(&["--url", &address], 2).await;
    assert!(
        err.contains("The bearer token is missing or wrong"),
        "{err}"
    );
    fixture
        .status(&["--url", &address, "--config", "openseat.toml"], 0)
        .await;
    let (_, err) = fixture
        .status(&["--url", "https://openseat.example"], 2)
        .await;
    assert!(
        err.contains("write http://127.0.0.1:7717 or unix:"),
        "{err}"
    );
    let named = ["--url", &address, "--config", "openseat.toml"];
    fixture
        .home
        .write("bearer", "another-canary-of-enough-letters");
    fixture.status(&named, 2).await;
    fs::remove_file(fixture.home.path().join("bearer")).expect("the file exists");
    let (_, err) = fixture.status(&named, 2).await;
    assert!(err.contains("the bearer token file"), "{err}");
    // The control socket needs no token.
    fixture.status(&[], 0).await;
    fixture.status(&["--config", "nowhere.toml"], 2).await;
}

fn simulate() -> Simulator {
    let settings = Settings {
        token: TOKEN.to_owned(),
        ..Settings::new(WorldSettings::still(0, 0))
    };
    let simulator = Simulator::new(settings, Arc::new(SystemClock::new()));
    simulator.world(|world| {
        let queue = world.add_queue("sales-queue");
        let agent = world.add_agent("Ada Lovelace", &[queue]);
        let available = world.status_named("Available").expect("a usual status");
        assert!(world.set_status(&agent, available));
        assert!(world.set_logged_in(queue, &agent, true));
    });
    simulator
}

/// Kills the program at the test's end.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_changes_until_it_is_interrupted() {
    let fixture = Fixture::running(&[]).await;
    let child = fixture
        .home
        .command(&["status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn();
    let mut watching = Watching(child.expect("the program runs"));
    let out = watching.0.stdout.take().expect("the output is piped");
    let (sender, mut lines) = mpsc::channel(8);
    let reader = spawn_blocking(move || {
        for line in BufReader::new(out).lines() {
            sender
                .blocking_send(line.expect("text"))
                .expect("the test reads");
        }
    });
    let mut next = async || {
        let line = tokio::time::timeout(TIMEOUT, lines.recv()).await;
        let line = line.expect("in time").expect("the stream continues");
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    assert_eq!(next().await["queues"][0]["count"], 1);
    fixture.calltools.simulator.world(|world| {
        let agents = world.agents();
        let busy = world.status_named("On a Call").expect("a usual status");
        assert!(world.set_status(&agents[0], busy));
    });
    // Changes of ages alone are not printed.
    assert_eq!(next().await["queues"][0]["count"], 0);
    let pid = Pid::from_child(&watching.0);
    kill_process(pid, Signal::INT).expect("the process runs");
    let ended = spawn_blocking(move || watching.0.wait()).await;
    assert_eq!(
        ended.expect("no panic").expect("the program ends").code(),
        Some(0)
    );
    reader.await.expect("the reader ends with the program");
}
