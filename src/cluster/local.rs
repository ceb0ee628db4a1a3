//! A `redis-server` of one's own on this machine, for the demo and for tests.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A `redis-server` that answers at a Unix socket in a folder of its own, and ends with this.
#[derive(Debug)]
pub struct LocalEngine {
    child: Child,
    folder: TempDir,
    arguments: Vec<OsString>,
}

impl LocalEngine {
    /// Starts the one in `PATH`. It answers a moment later.
    ///
    /// # Errors
    /// There is none, or it cannot be started.
    pub fn start() -> io::Result<Self> {
        Self::with(&[])
    }

    /// The same with arguments of one's own, as in a `redis.conf`: `--port 6400`.
    ///
    /// # Errors
    /// The same.
    pub fn with(more: &[&str]) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("openseat-redis-")
            .tempdir()?;
        let socket = folder.path().join("redis.sock").into_os_string();
        let here = folder.path().as_os_str().to_owned();
        let given = more.iter().map(OsString::from);
        let first = ["--port", "0", "--save", "", "--unixsocket"].map(OsString::from);
        let arguments = first.into_iter().chain([socket, "--dir".into(), here]);
        let arguments: Vec<_> = arguments.chain(given).collect();
        Ok(Self {
            child: launch(&arguments)?,
            folder,
            arguments,
        })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it answers.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// The same, for `[cluster]`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does. What it had not written to its files is lost.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after it was killed, with what its files have.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.kill();
        self.child = launch(&self.arguments)?;
        Ok(())
    }
}

impl Drop for LocalEngine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(arguments: &[OsString]) -> io::Result<Child> {
    Command::new("redis-server")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
}
