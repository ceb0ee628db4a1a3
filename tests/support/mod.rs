//! What tests of the whole program share: a folder with a config, a simulated CallTools, a daemon that stops when it is dropped, and a clock.
//!
//! Sockets are real; time need not be. [`Time`] is one clock for the daemon, its timers and the simulator. It can be advanced in small steps
//! while the sockets keep working, so that a minute of back-off takes a fraction of a second.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of it"
)]

mod calltools;
mod client;
mod disk;
mod events;
mod lateness;
mod program;
mod wire;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use openseat::{
    clock::{Clock, VirtualClock},
    config::Config,
    daemon::Daemon,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use calltools::CallTools;
pub use client::{Answer, ask, ask_within, get, post, post_json};
pub use disk::Disk;
pub use events::{Event, Events};
pub use lateness::{Lateness, waited};
pub use program::Program;
pub use wire::{Behaviour, Wire, agents_page};

/// How long a test waits in real time for something that must happen. Far more than a busy machine needs.
pub const TIMEOUT: Duration = Duration::from_secs(180);

/// The longest wait in the daemon's time: longer than any back-off in these tests.
const MAX_WAIT: Duration = Duration::from_secs(900);

/// The step by which time advances. It must be small compared with every timeout, so that an answer in flight still arrives.
const STEP: Duration = Duration::from_millis(500);

/// The real time that sockets get between two steps.
const PAUSE: Duration = Duration::from_millis(2);

/// A daemon that stops takes milliseconds, and gives up its last writes after 2.8 s.
const TIME_TO_STOP: Duration = Duration::from_secs(2);

/// One clock for everything in a test.
#[derive(Clone, Debug)]
pub struct Time(pub Arc<VirtualClock>);

impl Time {
    /// Starts the clock.
    pub fn new() -> Self {
        Self(Arc::new(VirtualClock::default()))
    }

    /// The clock as the daemon and the simulator take it.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0) as Arc<dyn Clock>
    }

    /// Advances clocks and timers by this time, while the sockets work.
    pub async fn pass(&self, time: Duration) {
        self.pass_by(time, STEP).await;
    }

    /// The same in other steps: long ones for long waits in which little happens.
    pub async fn pass_by(&self, time: Duration, step: Duration) {
        let end = tokio::time::Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return;
            }
            advance(left.min(step)).await;
        }
    }

    /// Advances time until `condition` holds.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let end = tokio::time::Instant::now() + MAX_WAIT;
        while !condition().await {
            assert!(tokio::time::Instant::now() < end, "timed out: {what}");
            advance(STEP).await;
        }
    }
}

async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
    tokio::time::sleep(PAUSE).await;
}

/// Waits in real time until `condition` holds.
pub async fn soon(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let outcome = tokio::time::timeout(TIMEOUT, wait).await;
    assert!(outcome.is_ok(), "timed out: {what}");
}

/// An `[[account]]` of a config. `more` has additional lines, and each queue is a table's lines.
pub fn account(name: &str, base_url: &str, more: &str, queues: &[&str]) -> String {
    let queues: String = queues
        .iter()
        .map(|lines| format!("\n[[account.queue]]\n{lines}\n"))
        .collect();
    format!(
        "\n[[account]]\nname = \"{name}\"\nbase_url = \"{base_url}\"\ntoken_file = \"./{name}.token\"\n{more}\n{queues}"
    )
}

/// Timeouts so long that advancing the clock does not trigger them.
pub const LONG_TIMEOUTS: &str = "timeout = \"60s\"\nconnect_timeout = \"30s\"";

/// The variable that names a folder in memory: `scripts/test.sh` makes one. A poll waits for the ledger's disk in real time, of which each 3 ms are
/// 500 ms of the daemon's time: a slow disk would cost it minutes.
const IN_MEMORY: &str = "OPENSEAT_TEST_MEMORY";

/// A folder with a config, tokens and a state folder.
#[derive(Debug)]
pub struct TestFolder(TempDir);

impl TestFolder {
    /// A folder in memory, if there is one for tests.
    pub fn new() -> Self {
        match std::env::var_os(IN_MEMORY) {
            Some(memory) => Self(tempfile::tempdir_in(memory).expect("a folder")),
            None => Self::on_disk(),
        }
    }

    /// A folder on a real disk, for programs that run in real time.
    pub fn on_disk() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A folder for a program of another user, who may not enter the folder for this run's files.
    pub fn of_any_user() -> Self {
        Self(tempfile::tempdir_in("/tmp").expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes a file that only its owner may read, as secrets need.
    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        fs::write(&path, text).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a private file");
    }

    /// Writes an account's token.
    pub fn set_token(&self, account: &str, token: &str) {
        self.write(&format!("{account}.token"), token);
    }

    /// The program, to be run in this folder with an empty environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        command.args(arguments).current_dir(self.path());
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// Writes a config with these accounts. It listens on any free port and keeps its state here.
    pub fn config(&self, accounts: &[String]) -> PathBuf {
        self.config_of("", accounts)
    }

    /// The same, with additional lines for the server.
    pub fn config_of(&self, server: &str, accounts: &[String]) -> PathBuf {
        let path = self.path().join("openseat.toml");
        let head =
            format!("[server]\nlisten = \"127.0.0.1:0\"\n{server}\n\n[state]\ndir = \"state\"\n");
        fs::write(&path, head + &accounts.concat()).expect("a config");
        path
    }

    /// Starts a daemon with a config of these accounts.
    pub async fn start(&self, time: &Time, accounts: &[String]) -> TestDaemon {
        TestDaemon::start(&self.config(accounts), time).await
    }
}

/// A running daemon. Dropping it is a crash: it finishes and logs nothing.
#[derive(Debug)]
pub struct TestDaemon {
    /// Its address; 0.0.0.0:0 if it listens on a Unix socket.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestDaemon {
    /// Starts a daemon with this config.
    pub async fn start(config: &Path, time: &Time) -> Self {
        Self::start_by(config, time.clock()).await
    }

    /// Starts a daemon that uses this clock.
    pub async fn start_by(config: &Path, clock: Arc<dyn Clock>) -> Self {
        let file = config.to_owned();
        let config = Config::load(config).unwrap_or_else(|error| panic!("{error}"));
        let daemon = Daemon::new(&config, clock)
            .await
            .expect("the daemon starts");
        let daemon = daemon.reloading_from(file);
        let unix = (Ipv4Addr::UNSPECIFIED, 0).into();
        let address = daemon.listeners()[0].local_addr().unwrap_or(unix);
        let stop = CancellationToken::new();
        let task = tokio::spawn(daemon.run(stop.clone().cancelled_owned()));
        Self {
            address,
            stop,
            task,
        }
    }

    /// Stops it like SIGTERM. Returns false if a pause of the machine made that so long that its last writes may be missing.
    #[allow(clippy::print_stdout)] // A test that ends early says why.
    pub async fn stop(mut self) -> bool {
        let begun = tokio::time::Instant::now();
        self.stop.cancel();
        let ended = tokio::time::timeout(TIMEOUT, &mut self.task).await;
        ended
            .expect("the daemon stops in time")
            .expect("no panic")
            .expect("the daemon stops without an error");
        let is_in_time = begun.elapsed() < TIME_TO_STOP;
        if !is_in_time {
            println!("the stop was paused, so what was written last may be missing");
        }
        is_in_time
    }

    pub async fn get(&self, target: &str) -> Answer {
        get(self.address, target).await
    }

    pub async fn post(&self, target: &str) -> Answer {
        post(self.address, target).await
    }

    /// Sends a JSON body.
    pub async fn post_json(&self, target: &str, body: &str) -> Answer {
        post_json(self.address, target, body).await
    }

    /// The decision about a queue.
    pub async fn decision(&self, queue: &str) -> Value {
        let answer = self.get(&format!("/v1/queues/{queue}/decision")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits in real time until every queue has a first snapshot or fault.
    pub async fn ready(&self) {
        soon("ready", async || self.get("/readyz").await.status == 200).await;
    }

    /// Waits in real time until the decision about a queue satisfies `wanted`, and returns it.
    pub async fn decides(&self, queue: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let wait = async {
            loop {
                last = self.decision(queue).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let outcome = tokio::time::timeout(TIMEOUT, wait).await;
        assert!(outcome.is_ok(), "timed out; last decision: {last}");
        last
    }

    /// The value of a sample, such as `openseat_budget_used_requests{account="main"}`; `None` if it is absent.
    pub async fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").await.body;
        let line = text.lines().find_map(|line| line.strip_prefix(sample))?;
        Some(line.trim().parse().expect("a sample is a number"))
    }

    /// How many requests of the account "main" to the list of agents had this outcome.
    pub async fn outcomes(&self, outcome: &str) -> f64 {
        let sample = format!(
            "openseat_upstream_requests_total{{account=\"main\",endpoint=\"agentstatuses\",outcome=\"{outcome}\"}}"
        );
        self.metric(&sample).await.unwrap_or(0.0)
    }

    /// Whether a part of the state folder cannot be used.
    pub async fn is_degraded(&self, part: &str) -> bool {
        let sample = format!("openseat_state_degraded{{part=\"{part}\"}}");
        self.metric(&sample)
            .await
            .expect("the daemon has a state folder")
            == 1.0
    }

    /// Requests of the account "main" in the last hour, as the daemon counts them.
    pub async fn used(&self) -> f64 {
        let sample = "openseat_budget_used_requests{account=\"main\"}";
        self.metric(sample).await.expect("the budget can be read")
    }
}

/// Whether a decision has usable data.
pub fn known(decision: &Value) -> bool {
    decision["count"].is_number()
}
