//! `control.sock` in the state folder, through which commands on this machine reach the daemon.
//!
//! It answers everything that the other addresses answer, without a token, and also requests that only commands send. Only the daemon's user can
//! open its file (mode 0600), and each connection must come from that user or root. Its limit of connections is separate, so callers cannot keep
//! commands out, and commands take no connection from callers.
//!
//! If the folder cannot be written, there is no socket: the log says so once, and the daemon keeps trying.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener as StdListener, UnixStream as StdStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{connection::serve_control_client, current::Current, fast_path::FastPath};
use crate::{
    config::MAX_SOCKET_PATH,
    process::{aside, heartbeat::TURN, state_folder::CONTROL_SOCKET},
    server::net::closing::Closing,
};

/// The most commands at once. People run a few; further ones wait in the socket's queue.
const MAX_COMMANDS: usize = 16;

/// Only for the daemon's own user.
const MODE: u32 = 0o600;

/// The longest wait for the file system. A local one creates a socket within a millisecond.
const DEADLINE: Duration = Duration::from_secs(2);

/// How often the daemon retries to create the socket, or checks that it still exists, so that commands work again soon after someone has emptied the
/// folder.
const LOOK: Duration = Duration::from_secs(5);

/// Serves the socket of a state folder until `stop`, then finishes open requests and removes it.
pub async fn serve(folder: PathBuf, current: Arc<Current>, stop: CancellationToken) {
    let mut degraded = false;
    while !stop.is_cancelled() {
        match Socket::bind(&folder).await {
            Ok(socket) => {
                if std::mem::take(&mut degraded) {
                    tracing::info!(path = %socket.path.display(), "commands reach the daemon again");
                }
                socket.serve(&current, &stop).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut degraded, true) {
                    tracing::warn!(
                        path = %folder.join(CONTROL_SOCKET).display(), %error,
                        "cannot create the control socket, so `check`, `status` and `reload` cannot reach the daemon; retrying"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    }
}

/// A path of a state folder's socket that is short enough for a socket address.
#[derive(Debug)]
pub struct ControlPath {
    path: PathBuf,
    /// Keeps a path below `/proc` valid.
    _folder: Option<OwnedFd>,
}

impl ControlPath {
    /// Finds the path for a folder.
    ///
    /// # Errors
    /// The folder's own path is too long, and the folder cannot be opened.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.join(CONTROL_SOCKET);
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Self {
                path,
                _folder: None,
            });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        Ok(Self {
            path: format!("/proc/self/fd/{}/{CONTROL_SOCKET}", folder.as_raw_fd()).into(),
            _folder: Some(folder),
        })
    }

    /// The path to bind or connect to, valid while `self` lives.
    pub fn get(&self) -> &Path {
        &self.path
    }
}

/// A bound socket.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    file: File,
}

/// The identity of a file: device and inode.
type File = (u64, u64);

impl Socket {
    async fn bind(folder: &Path) -> io::Result<Self> {
        let path = folder.join(CONTROL_SOCKET);
        let folder = folder.to_owned();
        let bind = move || bind(ControlPath::new(&folder)?.get());
        let bound = aside::run(&path, DEADLINE, bind).await;
        let (listener, file) = bound.map_err(io::Error::other)??;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path,
            file,
        })
    }

    /// Serves until `stop`, or until the file is gone.
    async fn serve(self, current: &Arc<Current>, stop: &CancellationToken) {
        let app = current.app();
        let heartbeat = app.heartbeats.begin("accepting at the control socket");
        let (fast_path, closing) = (Arc::<FastPath>::default(), Arc::<Closing>::default());
        let places = Arc::new(Semaphore::new(MAX_COMMANDS));
        let mut connections = JoinSet::new();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        looks.tick().await;
        loop {
            heartbeat.beat();
            tokio::select! {
                () = stop.cancelled() => break,
                Ok((stream, place)) = self.accept(&places) => {
                    let client = serve_control_client(
                        stream,
                        Arc::clone(current),
                        Arc::clone(&fast_path),
                        Arc::clone(&closing),
                    );
                    connections.spawn(async move {
                        client.await;
                        drop(place);
                    });
                }
                _ = looks.tick() => if self.is_gone().await { break },
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep(TURN) => {}
            }
        }
        self.remove().await;
        closing.begin();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(app.limits.drain, all_ended).await;
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        loop {
            let (stream, _) = self.listener.accept().await?;
            if may_command(stream.peer_cred()?.uid()) {
                return Ok((stream, place));
            }
        }
    }

    async fn is_gone(&self) -> bool {
        let path = self.path.clone();
        let found = aside::run(&self.path, DEADLINE, move || file_at(&path)).await;
        // A file system that hangs has removed nothing.
        found.is_ok_and(|found| found.is_none_or(|found| found != self.file))
    }

    /// Removes the file, unless it belongs to a successor.
    async fn remove(&self) {
        let (path, file) = (self.path.clone(), self.file);
        let removed = aside::run(&self.path, DEADLINE, move || {
            if file_at(&path) == Some(file) {
                let _ = fs::remove_file(&path);
            }
        });
        let _ = removed.await;
    }
}

/// Whether the user may send commands. The file's mode says the same, but only once it is set.
fn may_command(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

fn bind(path: &Path) -> io::Result<(StdListener, File)> {
    remove_stale(path)?;
    let listener = StdListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    let file = file_at(path).ok_or(io::ErrorKind::NotFound)?;
    Ok((listener, file))
}

/// Removes only the socket of a killed predecessor.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let message = "a file that is not a socket has this name; remove it";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match StdStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process answers there",
        )),
        Err(_) => fs::remove_file(path),
    }
}

fn file_at(path: &Path) -> Option<File> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
