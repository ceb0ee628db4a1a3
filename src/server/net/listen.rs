//! Addresses to listen on: loopback or network TCP, and Unix sockets; bound by openseat, or passed to it already bound.

use std::{
    fmt, fs, io,
    net::{self as std_net, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net as std_unix,
        },
    },
    path::Path,
    time::Duration,
};

use rustix::net::sockopt::{set_socket_linger, set_socket_send_buffer_size, socket_acceptconn};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::unvectored::Unvectored;
use crate::config::{Listen, Server};

/// Only the socket's owner and group may connect, since answers contain agents' names.
const UNIX_MODE: u32 = 0o660;

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on {listen}: {source}")]
    Refused {
        /// The address.
        listen: String,
        /// Why.
        source: io::Error,
    },
    /// A passed socket is reachable from other machines, and the config neither names it nor sets a token.
    #[error(
        "the passed socket at {address} can be reached from other machines, and there is no bearer_token_file; set one, or name the address in `listen`"
    )]
    NeedsToken {
        /// The address.
        address: SocketAddr,
    },
}

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// An IP address and port.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// A bound address outside any runtime: systemd passed it, or it goes to another runtime of the process.
#[derive(Debug)]
pub enum Detached {
    /// An IP address and port.
    Tcp(std_net::TcpListener),
    /// A socket in the file system.
    Unix(std_unix::UnixListener),
}

impl Detached {
    /// Whether it is a listening socket, rather than a connection.
    ///
    /// # Errors
    /// The system call failed.
    pub fn is_listening(&self) -> io::Result<bool> {
        let listening = match self {
            Detached::Tcp(listener) => socket_acceptconn(listener),
            Detached::Unix(listener) => socket_acceptconn(listener),
        };
        Ok(listening?)
    }

    /// Attaches the address to the caller's runtime.
    pub(crate) fn attach(self) -> io::Result<Listener> {
        match self {
            Detached::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Listener::Tcp)
            }
            Detached::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Listener::Unix)
            }
        }
    }
}

/// How a client connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Tcp,
    Unix,
    /// `control.sock`, which only the daemon's own user and root can open, so it needs no token.
    Control,
}

/// One client.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

/// The send buffer for streams and long answers. It holds several pieces of a stream of decisions, and the kernel doubles it for its own needs. By
/// default the kernel lets it grow to 4 MB for a client that does not read.
pub(crate) const SMALL_SEND_BUFFER: usize = 64 * 1024;

/// The socket below a connection of any protocol. If the system refuses a setting, the connection stays as it was.
pub(crate) trait Socket {
    fn socket(&self) -> BorrowedFd<'_>;

    /// Limits how much the kernel buffers for a client that does not read.
    fn shrink_send_buffer(&self) {
        let _ = set_socket_send_buffer_size(self.socket(), SMALL_SEND_BUFFER);
    }

    /// Makes close discard unread data and reset the connection (RST). Otherwise the kernel would keep the data for minutes.
    fn reset_on_close(&self) {
        let _ = set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

impl Socket for TcpStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Socket for UnixStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Socket for Stream {
    fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Either::Left(stream) => stream.as_fd(),
            Either::Right(stream) => stream.as_fd(),
        }
    }
}

impl Socket for TlsStream<Unvectored> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// All bound addresses.
#[derive(Debug)]
pub struct Bound {
    /// For requests: first those in the config, in its order, then those that were only passed.
    pub listeners: Vec<Listener>,
    /// For HAProxy's agent-checks.
    pub agent_checks: Option<Listener>,
    /// Those of `listeners` that need a token as long as they are served.
    pub exposed: Exposed,
}

/// The passed sockets that the config does not name and that other machines can reach.
#[derive(Clone, Debug, Default)]
pub struct Exposed(Vec<SocketAddr>);

impl Exposed {
    fn among(passed: &[Listener]) -> Self {
        let addresses = passed.iter().filter_map(Listener::local_addr);
        let beyond = |address: &_| Listen::Tcp(*address).beyond_loopback().is_some();
        Self(addresses.filter(beyond).collect())
    }

    /// Holds them to the same rule as an address in the config: at the start, and whenever another config replaces it.
    ///
    /// # Errors
    /// There is one, and the config has no token.
    pub(crate) fn check(&self, config: &Server) -> Result<(), BindError> {
        match (self.0.first(), &config.bearer_token_file) {
            (Some(&address), None) => Err(BindError::NeedsToken { address }),
            _ => Ok(()),
        }
    }
}

/// Binds the addresses of the config, except those that were passed.
///
/// # Errors
/// A system error, with its address; or a passed socket that is reachable from other machines and needs a token.
pub async fn bind_all(config: &Server, passed: Vec<Detached>) -> Result<Bound, BindError> {
    let attached = passed.into_iter().map(Detached::attach);
    let attached = attached.collect::<io::Result<Vec<_>>>();
    let mut passed = attached.map_err(|source| BindError::Refused {
        listen: "a passed socket".to_owned(),
        source,
    })?;
    let mut listeners = Vec::with_capacity(config.listen.len());
    for listen in &config.listen {
        listeners.push(take_or_bind(listen, &mut passed).await?);
    }
    let agent_checks = match config.agent_check_listen {
        Some(address) => Some(take_or_bind(&Listen::Tcp(address), &mut passed).await?),
        None => None,
    };
    let exposed = Exposed::among(&passed);
    exposed.check(config)?;
    listeners.append(&mut passed);
    Ok(Bound {
        listeners,
        agent_checks,
        exposed,
    })
}

async fn take_or_bind(listen: &Listen, passed: &mut Vec<Listener>) -> Result<Listener, BindError> {
    match passed.iter().position(|listener| listener.is_at(listen)) {
        Some(place) => Ok(passed.remove(place)),
        None => bind(listen).await,
    }
}

pub(crate) async fn bind(listen: &Listen) -> Result<Listener, BindError> {
    let bound = match listen {
        Listen::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
        Listen::Unix(path) => bind_unix(path).await.map(Listener::Unix),
    };
    bound.map_err(|source| BindError::Refused {
        listen: listen.to_string(),
        source,
    })
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    remove_stale(path).await?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
    Ok(listener)
}

/// Removes the socket of a killed predecessor: only a socket, and only if nobody answers at it.
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
    /// The TCP address, with the port that the system chose if the config says 0; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    /// Duplicates the socket for another runtime.
    pub(crate) fn detach(&self) -> io::Result<Detached> {
        Ok(match self {
            Listener::Tcp(listener) => Detached::Tcp(listener.as_fd().try_clone_to_owned()?.into()),
            Listener::Unix(listener) => {
                Detached::Unix(listener.as_fd().try_clone_to_owned()?.into())
            }
        })
    }

    /// Whether this is the address that an entry of the config asks for.
    fn is_at(&self, listen: &Listen) -> bool {
        match (self, listen) {
            (Listener::Tcp(_), Listen::Tcp(address)) => self.local_addr() == Some(*address),
            (Listener::Unix(socket), Listen::Unix(path)) => {
                let address = socket.local_addr().ok();
                address.is_some_and(|address| address.as_pathname() == Some(path))
            }
            _ => false,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Via)> {
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
