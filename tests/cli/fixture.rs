//! A simulated account with a few agents, and the program that runs next to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::Arc,
};

use openseat::{
    clock::SystemClock,
    simulator::{Settings, Simulator, WorldSettings},
};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::support::{CallTools, TestDaemon, TestFolder, soon};

/// The account's token, which no output may contain.
pub const CANARY: &str = "canary0that0must0not0be0seen0anywhere000";

/// A token that no account has.
pub const WRONG: &str = "another0canary0that0must0not0be0seen0000";

/// The beginning of every escape sequence for a colour.
pub const COLOUR: &str = "\x1b[";

/// One account with one queue and three agents: one is available, one is on a call, one is available in another queue.
pub struct Fixture {
    pub calltools: CallTools,
    pub home: TestFolder,
    pub queue: u64,
}

impl Fixture {
    pub async fn open() -> Self {
        let simulator = Simulator::new(
            Settings {
                token: CANARY.to_owned(),
                ..Settings::new(WorldSettings::still(0, 0))
            },
            Arc::new(SystemClock::new()),
        );
        let queue = simulator.world(|world| {
            let queue = world.add_queue("sales-queue");
            for name in ["Ada Lovelace", "Blaise Pascal", "Carl Gauß"] {
                world.add_agent(name, &[queue]);
            }
            let agents = world.agents_of(queue);
            let available = world.status_named("Available").expect("a usual status");
            let busy = world.status_named("On a Call").expect("a usual status");
            for (agent, status, logged_in) in
                [(0, available, true), (1, busy, true), (2, available, false)]
            {
                assert!(world.set_status(&agents[agent], status));
                assert!(world.set_logged_in(queue, &agents[agent], logged_in));
            }
            queue
        });
        let fixture = Self {
            calltools: CallTools::serve(simulator).await,
            home: TestFolder::new(),
            queue,
        };
        fixture.home.set_token("main", CANARY);
        fixture.configure(&fixture.account("main", "\nqueue = \"sales-queue\"\n"));
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// An `[[account]]` and its only queue.
    pub fn account(&self, name: &str, queue: &str) -> String {
        format!(
            "[[account]]\nname = \"{name}\"\nbase_url = \"{}\"\ntoken_file = \"./{name}.token\"\n[[account.queue]]{queue}",
            self.calltools.serving.base_url()
        )
    }

    /// Writes a config with a state folder.
    pub fn configure(&self, accounts: &str) {
        let text = format!("[state]\ndir = \"state\"\n{accounts}");
        fs::write(self.path("openseat.toml"), text).expect("the file can be written");
    }

    /// Starts a daemon on a Unix socket, and waits until it answers there and on its control socket.
    pub async fn daemon(&self) -> TestDaemon {
        let config = self.path("openseat.toml");
        let text = fs::read_to_string(&config).expect("a config");
        let socket = self.path("socket");
        let text = format!("[server]\nlisten = \"unix:{}\"\n{text}", socket.display());
        fs::write(&config, text).expect("the file can be written");
        let daemon = TestDaemon::start_by(&config, Arc::new(SystemClock::new())).await;
        let healthy = async || self.run(&["health"]).await.code == 0;
        soon("a healthy daemon", healthy).await;
        let control = async || self.path("state/control.sock").exists();
        soon("a control socket", control).await;
        daemon
    }

    pub async fn check(&self, arguments: &[&str]) -> Output {
        self.run(&[&["check"], arguments].concat()).await
    }

    pub async fn run(&self, arguments: &[&str]) -> Output {
        run(self.home.path(), arguments, &[]).await
    }

    pub async fn shell(&self, script: &str) -> Output {
        let script = script.replace("openseat ", concat!(env!("CARGO_BIN_EXE_openseat"), " "));
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        run_command(command, self.home.path(), &[]).await
    }
}

/// What the program printed. It contains no token.
#[derive(Debug)]
pub struct Output {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Output {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Checks that standard output contains these texts.
    #[track_caller]
    pub fn stdout_has(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.out.contains(text), "{text:?} is not in:\n{}", self.out);
        }
        self
    }

    /// Fails if there are warnings, except about a slow disk, which a busy machine may have.
    #[track_caller]
    pub fn has_no_warnings(&self) {
        let slow_disk = [
            "the disk has not answered",
            "the state folder can be used again",
        ];
        let mut lines = self.err.lines();
        let is_known = |line: &str| slow_disk.iter().any(|words| line.contains(words));
        assert!(lines.all(is_known), "{self:?}");
    }

    /// Checks that standard error contains these texts.
    #[track_caller]
    pub fn stderr_has(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "{text:?} is not in:\n{}", self.err);
        }
        self
    }
}

pub async fn run(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
    command.args(arguments);
    run_command(command, folder, env).await
}

pub async fn run_command(mut command: Command, folder: &Path, env: &[(&str, &str)]) -> Output {
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(env.iter().copied());
    // The simulator runs in this runtime and must answer in the meantime.
    let ended = spawn_blocking(move || command.output()).await;
    let process::Output {
        stdout,
        stderr,
        status,
    } = ended.expect("no panic").expect("the program runs");
    let output = Output {
        out: String::from_utf8(stdout).expect("UTF-8"),
        err: String::from_utf8(stderr).expect("UTF-8"),
        code: status.code().expect("no signal ended it"),
    };
    for secret in [CANARY, WRONG] {
        assert!(!output.out.contains(secret) && !output.err.contains(secret));
    }
    output
}
