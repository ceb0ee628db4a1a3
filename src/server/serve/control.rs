//! `control.sock` in the state folder: where the commands of this machine reach the daemon.
//!
//! It answers everything that the other addresses answer, without a token, and what only commands ask. Its file is open to the daemon's own
//! user alone (mode 0600), and each connection's user is looked at as well: the daemon's own or root. It has a bound of its own for connections, so
//! callers cannot keep commands out, and commands take no place of theirs.
//!
//! A folder that cannot be written gives no socket: that is said once, tried again, and stops nothing else.

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

use super::{connection::serve_control_client, current::Current, fast_path::Lane};
use crate::{
    config::MAX_SOCKET_PATH,
    process::{aside, heartbeat::TURN},
    server::net::closing::Closing,
};

/// The socket's name in the state folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Commands at work at the same time. People run a few; further ones wait in the socket's queue.
const MAX_COMMANDS: usize = 16;

/// The daemon's own user, nobody else.
const MODE: u32 = 0o600;

/// A local file system makes a socket within a millisecond.
const DEADLINE: Duration = Duration::from_secs(2);

/// How often a socket that could not be made is tried again, and one that was made is looked for: a person who empties the state folder
/// can use the commands again soon.
const LOOK: Duration = Duration::from_secs(5);

/// Serves the socket of a state folder until `stop`, then finishes what was asked and removes it.
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
                        "the control socket cannot be made, so the commands check, status, reload and hooks cannot reach the daemon there; it is tried again"
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

/// The path of a state folder's socket, short enough for a socket's address.
#[derive(Debug)]
pub struct ControlPath {
    path: PathBuf,
    /// What a path below `/proc` stands on.
    _folder: Option<OwnedFd>,
}

impl ControlPath {
    /// The socket of this folder.
    ///
    /// # Errors
    /// The folder cannot be opened, where its own path is too long.
    pub fn of(folder: &Path) -> io::Result<Self> {
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

    /// To bind or to connect to, while `self` lives.
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

/// Which file it is: device and inode.
type File = (u64, u64);

impl Socket {
    async fn bind(folder: &Path) -> io::Result<Self> {
        let path = folder.join(CONTROL_SOCKET);
        let folder = folder.to_owned();
        let bound = aside::run(DEADLINE, move || bind(ControlPath::of(&folder)?.get())).await;
        let (listener, file) = bound.map_err(io::Error::other)??;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path,
            file,
        })
    }

    /// Until `stop`, or until the file has gone.
    async fn serve(self, current: &Arc<Current>, stop: &CancellationToken) {
        let app = current.app();
        let heartbeat = app.heartbeats.begin("accepting at the control socket");
        let (lane, closing) = (Arc::<Lane>::default(), Arc::<Closing>::default());
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
                        Arc::clone(&lane),
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
        let found = aside::run(DEADLINE, move || file_at(&path)).await;
        // A file system that does not answer has removed nothing.
        found.is_ok_and(|found| found.is_none_or(|found| found != self.file))
    }

    /// Removes the file, but not that of a successor.
    async fn remove(&self) {
        let (path, file) = (self.path.clone(), self.file);
        let removed = aside::run(DEADLINE, move || {
            if file_at(&path) == Some(file) {
                let _ = fs::remove_file(&path);
            }
        });
        let _ = removed.await;
    }
}

/// The mode of the file says the same, but not before it is set.
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

/// Removes what a killed predecessor left behind, and nothing else.
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
