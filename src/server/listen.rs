//! Addresses to listen on: loopback or network TCP, and Unix sockets.

use std::{
    fmt, fs, io,
    net::{self as std_net, SocketAddr},
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net as std_unix,
        },
    },
    path::Path,
};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::config::Listen;

/// The socket's owner and group may ask, nobody else: whoever can connect can read agents' names.
const UNIX_MODE: u32 = 0o660;

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {source}")]
pub struct BindError {
    listen: String,
    source: io::Error,
}

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// An IP address and port.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// A bound address that no runtime has to do with.
#[derive(Debug)]
pub(super) enum Detached {
    Tcp(std_net::TcpListener),
    Unix(std_unix::UnixListener),
}

impl Detached {
    /// The same in the runtime of the caller.
    pub(super) fn attach(self) -> io::Result<Listener> {
        match self {
            Detached::Tcp(listener) => TcpListener::from_std(listener).map(Listener::Tcp),
            Detached::Unix(listener) => UnixListener::from_std(listener).map(Listener::Unix),
        }
    }
}

/// How a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Tcp,
    Unix,
}

/// One client.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// Binds one address of the config.
///
/// # Errors
/// What the system says, with the address.
pub async fn bind(listen: &Listen) -> Result<Listener, BindError> {
    let bound = match listen {
        Listen::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
        Listen::Unix(path) => bind_unix(path).await.map(Listener::Unix),
    };
    bound.map_err(|source| BindError {
        listen: spelling(listen),
        source,
    })
}

fn spelling(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    remove_stale(path).await?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
    Ok(listener)
}

/// Removes what a killed predecessor left behind, and nothing else: only a socket, and only if nobody answers at it.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let message = "the path exists and is not a socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

impl Listener {
    /// The TCP address, with the port that the system chose where 0 was asked for; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    /// The same address once more, for another runtime.
    pub(super) fn detach(&self) -> io::Result<Detached> {
        Ok(match self {
            Listener::Tcp(listener) => Detached::Tcp(listener.as_fd().try_clone_to_owned()?.into()),
            Listener::Unix(listener) => {
                Detached::Unix(listener.as_fd().try_clone_to_owned()?.into())
            }
        })
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Via)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is one small write: waiting to fill a packet would only delay it. A client that is gone
                // already shows itself at the first read.
                let _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Via::Tcp))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), Via::Unix))
            }
        }
    }
}

impl fmt::Display for Listener {
    /// `127.0.0.1:7717` or `unix:/run/openseat/openseat.sock`, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("a TCP socket"),
            },
            Listener::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                write!(f, "unix:{}", path.unwrap_or(Path::new("?")).display())
            }
        }
    }
}
