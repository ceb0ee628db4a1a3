//! A private `redis-server` on this machine, for the demo and for tests.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A `redis-server` on a Unix socket in a folder of its own. Dropping this kills it.
#[derive(Debug)]
pub struct LocalEngine {
    child: Child,
    folder: TempDir,
    arguments: Vec<OsString>,
}

impl LocalEngine {
    /// Starts the `redis-server` in `PATH`. It answers a moment later.
    ///
    /// # Errors
    /// None was found, or it cannot be started.
    pub fn start() -> io::Result<Self> {
        Self::with(&[])
    }

    /// Starts it with more arguments, in the form of `redis.conf`: `--port 6400`.
    ///
    /// # Errors
    /// None was found, or it cannot be started.
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

    /// Returns the folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Returns its URL, for `[cluster]`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL. Data that it had not written to its files is lost.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with the data in its files.
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
