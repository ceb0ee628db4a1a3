//! The real program, in a process of its own.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{PAUSE, TIMEOUT, TestFolder, soon};

/// A running `openseat`; dropping it is `kill -9`.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that a test has started itself; its log is not kept.
impl From<Child> for Program {
    fn from(child: Child) -> Self {
        let log = PathBuf::from("/dev/null");
        Self { child, log }
    }
}

impl Program {
    /// Starts `openseat` with these arguments in a folder; its output goes to files there.
    pub fn start(home: &TestFolder, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        command
            .args(arguments)
            .env_clear()
            .stdin(std::process::Stdio::null());
        command.stdout(File::create(home.path().join("stdout.txt")).expect("a file"));
        Self::launch(home, command)
    }

    /// Starts a test's own command in a folder; its log goes to a file there.
    pub fn launch(home: &TestFolder, mut command: Command) -> Self {
        let log = home.path().join("stderr.txt");
        let child = command
            .current_dir(home.path())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("the program starts");
        Self { child, log }
    }

    /// `openseat run` with a config.
    pub fn run(home: &TestFolder, config: &Path) -> Self {
        let config = config.to_str().expect("a plain path");
        Self::start(home, &["run", "--config", config])
    }

    /// Waits for a log line with these words, and returns the log. A separate thread writes the log, so a line may come after the answer that it
    /// is about.
    pub async fn logs(&self, words: &str) -> String {
        let wait = async {
            loop {
                let log = self.log();
                if log.contains(words) {
                    return log;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(TIMEOUT, wait).await {
            Ok(log) => log,
            Err(_) => panic!("the log does not say \"{words}\":\n{}", self.log()),
        }
    }

    /// What it has written to standard error so far; everything, once the program has exited.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// Waits until it listens, and returns the address.
    pub async fn address(&self) -> SocketAddr {
        self.address_of("openseat answers").await
    }

    /// The listener in the log line with these words; waits for the line.
    pub async fn address_of(&self, words: &str) -> SocketAddr {
        let found = || {
            let log = self.log();
            let (_, rest) = log.split_once(&format!("\"{words}\",\"listener\":\""))?;
            rest.split_once('"')?.0.parse().ok()
        };
        soon("an address", async || found().is_some()).await;
        found().expect("checked above")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process runs");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).expect("a process has an id")
    }

    /// Its exit status, if it has exited.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("the process can be waited for")
    }

    /// Waits for its exit.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        soon("an end", async || {
            status = self
                .child
                .try_wait()
                .expect("the process can be waited for");
            status.is_some()
        })
        .await;
        status.expect("checked above")
    }
}
