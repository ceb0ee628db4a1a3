//! How commands reach the running daemon: at `control.sock` in its state folder, where no token is needed, or else at the address where
//! it answers callers, with the bearer token from the config.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use reqwest::{ClientBuilder, Method, RequestBuilder, StatusCode, header};
use tokio_rustls::rustls;

use super::certificate;
use crate::{
    config::{BearerTokens, Config, Listen},
    process::{causes::chain, state_folder::CONTROL_SOCKET, tls::client_builder},
    server::ControlPath,
};

/// A healthy daemon answers within a millisecond; health checks commonly have 5 s.
const DEADLINE: Duration = Duration::from_secs(3);

/// Enough for a summary of ten thousand queues, or a check of a thousand queues with their agents.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a port, plain HTTP.
    Tcp(String),
    /// A host and a port, TLS.
    Tls(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// Parses `http://127.0.0.1:7717` or `unix:/run/openseat/openseat.sock`.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text
            .strip_prefix("unix:")
            .filter(|path| path.starts_with('/'))
        {
            return Ok(Address::Unix(path.into()));
        }
        let url = url::Url::parse(text)
            .ok()
            .filter(|url| url.scheme() == "http");
        match url
            .as_ref()
            .and_then(|url| url.host_str().zip(url.port_or_known_default()))
        {
            Some((host, port)) => Ok(Address::Tcp(format!("{host}:{port}"))),
            None => {
                Err("write http://127.0.0.1:7717 or unix:/run/openseat/openseat.sock".to_owned())
            }
        }
    }
}

impl From<&Listen> for Address {
    fn from(listen: &Listen) -> Self {
        match listen {
            Listen::Tcp(address) => Address::Tcp(from_here(*address).to_string()),
            Listen::Unix(path) => Address::Unix(path.clone()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(authority) => write!(f, "http://{authority}"),
            Address::Tls(authority) => write!(f, "https://{authority}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Returns loopback for a daemon that listens on all addresses.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A daemon to ask. Its `Debug` shows no token.
#[derive(Debug)]
pub struct Daemon {
    /// The daemon's state folder, if it has one whose socket commands may use.
    control: Option<PathBuf>,
    address: Address,
    /// The file with the bearer token for its address.
    bearer_file: Option<PathBuf>,
    /// The file of its certificate, if it uses TLS.
    certificate: Option<PathBuf>,
}

/// A status and a body.
pub type Answer = (StatusCode, String);

impl Daemon {
    /// Returns the daemon that runs with this config.
    pub fn with_config(config: &Config) -> Self {
        Self {
            control: config.state_dir.clone(),
            bearer_file: config.server.bearer_token_file.clone(),
            ..Self::at_its_address(config)
        }
    }

    /// Returns a daemon at another address, which takes the bearer token of this config.
    pub fn elsewhere(address: &Address, config: &Config) -> Self {
        Self {
            bearer_file: config.server.bearer_token_file.clone(),
            ..Self::at(address)
        }
    }

    /// Returns the daemon that runs with this config, to be asked without a token at the first address of `listen`.
    pub fn at_its_address(config: &Config) -> Self {
        let listen = &config.server.listen[0];
        match (Address::from(listen), &config.server.tls) {
            (Address::Tcp(authority), Some(files)) => Self {
                certificate: Some(files.cert.clone()),
                ..Self::at(&Address::Tls(authority))
            },
            (address, _) => Self::at(&address),
        }
    }

    /// Returns the daemon at this address, to be asked without a token.
    pub fn at(address: &Address) -> Self {
        Self {
            control: None,
            address: address.clone(),
            bearer_file: None,
            certificate: None,
        }
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a GET, first to the control socket.
    ///
    /// # Errors
    /// No answer came in time, the answer is too long, or the bearer token cannot be read.
    pub async fn get(&self, target: &str) -> anyhow::Result<Answer> {
        if let Some(folder) = &self.control {
            match command(folder, Method::GET, target, DEADLINE).await {
                Ok(answer) => return Ok(answer),
                Err(Unreached::Nobody(_)) => {}
                Err(Unreached::Failed(error)) => return Err(error),
            }
        }
        self.get_at_address(target).await
    }

    /// Sends a GET to the control socket; `None` if there is no answer.
    pub async fn get_at_control(&self, target: &str) -> Option<Answer> {
        let folder = self.control.as_deref()?;
        command(folder, Method::GET, target, DEADLINE).await.ok()
    }

    async fn get_at_address(&self, target: &str) -> anyhow::Result<Answer> {
        let bearer = self.bearer_file.as_deref().map(BearerTokens::authorization);
        let bearer = bearer.transpose()?;
        let client = match &self.certificate {
            Some(path) if bearer.is_some() => {
                client_builder().tls_backend_preconfigured(certificate::trust_only(path)?)
            }
            // Without a token it does no harm that a certificate was just renewed and is not in force yet.
            Some(_) => client_builder().tls_danger_accept_invalid_certs(true),
            None => without_tls(),
        };
        let request = match &self.address {
            address @ (Address::Tcp(_) | Address::Tls(_)) => {
                client.build()?.get(format!("{address}{target}"))
            }
            Address::Unix(path) => {
                let client = client.unix_socket(path.as_path()).build()?;
                client.get(format!("http://localhost{target}"))
            }
        };
        let request = match bearer {
            Some(bearer) => request.header(header::AUTHORIZATION, bearer),
            None => request,
        };
        send(request).await
    }
}

/// Why the control socket did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// No daemon listens there.
    #[error("no daemon answers at {}", .0.display())]
    Nobody(PathBuf),
    /// A daemon listens, but something went wrong.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Unreached {
    fn from(error: anyhow::Error) -> Self {
        Unreached::Failed(error)
    }
}

/// Sends a request to the control socket of a state folder.
///
/// # Errors
/// [`Unreached`]
pub async fn command(
    folder: &Path,
    method: Method,
    target: &str,
    deadline: Duration,
) -> Result<Answer, Unreached> {
    let path = || folder.join(CONTROL_SOCKET);
    let socket = match ControlPath::new(folder) {
        Ok(socket) => socket,
        Err(error) => return Err(unreached(&error, path())),
    };
    let client = without_tls().unix_socket(socket.get());
    let client = client.build().context("no HTTP client")?;
    let request = client.request(method, format!("http://localhost{target}"));
    match request.timeout(deadline).send().await {
        Ok(response) => Ok(read(response, deadline).await?),
        Err(error) => Err(match innermost(&error).downcast_ref::<io::Error>() {
            Some(refusal) if error.is_connect() => unreached(refusal, path()),
            _ => explained(&error, deadline).into(),
        }),
    }
}

fn unreached(error: &io::Error, path: PathBuf) -> Unreached {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ConnectionRefused => Unreached::Nobody(path),
        io::ErrorKind::PermissionDenied => Unreached::Failed(anyhow::anyhow!(
            "{} belongs to another user; run this command as root or as the daemon's user",
            path.display()
        )),
        _ => Unreached::Failed(anyhow::anyhow!("{}: {error}", path.display())),
    }
}

/// Creates a client for plain HTTP, which needs none of this machine's certificate authorities.
fn without_tls() -> ClientBuilder {
    client_builder().tls_certs_only([])
}

async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    match request.timeout(DEADLINE).send().await {
        Ok(response) => read(response, DEADLINE).await,
        Err(error) => Err(explained(&error, DEADLINE)),
    }
}

async fn read(mut response: reqwest::Response, deadline: Duration) -> anyhow::Result<Answer> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| explained(&error, deadline))?
    {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            bail!("the answer has more than {MAX_ANSWER_BYTES} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Explains what went wrong, with the innermost cause only.
fn explained(error: &reqwest::Error, deadline: Duration) -> anyhow::Error {
    if error.is_timeout() {
        return anyhow::anyhow!("no answer within {}", humantime::format_duration(deadline));
    }
    let cause = innermost(error);
    let is_of_tls = chain(error).any(|cause| cause.is::<rustls::Error>());
    let what = match is_of_tls {
        true => {
            "the TLS handshake failed; a renewed certificate takes effect once the daemon has reloaded"
        }
        false if error.is_connect() => "no answer; is the daemon running?",
        false => "the connection was closed without an answer",
    };
    anyhow::anyhow!("{what}: {cause}")
}

fn innermost(error: &reqwest::Error) -> &(dyn Error + 'static) {
    chain(error)
        .last()
        .expect("an error is its own first cause")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_listens_on_all_addresses_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:7717", "http://127.0.0.1:7717"),
            ("[::]:7717", "http://[::1]:7717"),
            ("192.0.2.1:7717", "http://192.0.2.1:7717"),
        ] {
            let listen = Listen::Tcp(listen.parse().expect("an address"));
            assert_eq!(Address::from(&listen).to_string(), asked);
        }
    }

    #[test]
    fn addresses_are_parsed_as_people_write_them() {
        for (text, address) in [
            ("http://127.0.0.1:7717", Some("http://127.0.0.1:7717")),
            ("http://[::1]:7717/", Some("http://[::1]:7717")),
            ("http://openseat", Some("http://openseat:80")),
            ("unix:/run/a.sock", Some("unix:/run/a.sock")),
            ("unix:a.sock", None),
            ("https://openseat", None),
            ("127.0.0.1:7717", None),
        ] {
            let read = Address::parse(text).ok().map(|address| address.to_string());
            assert_eq!(read.as_deref(), address, "{text}");
        }
    }
}
