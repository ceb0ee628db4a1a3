//! The running daemon, as commands ask it: at `control.sock` in its state folder, where no token is needed, or else at the address where it
//! answers callers, with the token that callers show.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, StatusCode, header, redirect};

use tokio_rustls::rustls;

use super::certificate;
use crate::{
    config::{BearerTokens, Config, Listen},
    process::causes::chain,
    server::{CONTROL_SOCKET, ControlPath},
};

/// A daemon that is well answers within a millisecond; health checks commonly have 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// All that is known of ten thousand queues, without their agents; a check of a thousand queues with them.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

const NOBODY: &str = "nobody answers; is the daemon running?";

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(String),
    /// The same, behind TLS.
    Tls(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// As people write it: `http://127.0.0.1:7717` or `unix:/run/openseat/openseat.sock`.
    ///
    /// # Errors
    /// What to write instead.
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

/// Who listens on all addresses listens on loopback, too.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A daemon to ask. `Debug` shows no token.
#[derive(Debug)]
pub struct Daemon {
    /// Its state folder.
    control: Option<PathBuf>,
    address: Address,
    /// What callers show at its address.
    bearer_file: Option<PathBuf>,
    /// Where it speaks TLS: the file of its certificate.
    certificate: Option<PathBuf>,
}

/// An answer: its status and its body.
pub type Answer = (StatusCode, String);

impl Daemon {
    /// The one that runs with this config.
    pub fn of(config: &Config) -> Self {
        Self {
            control: config.state_dir.clone(),
            bearer_file: config.server.bearer_token_file.clone(),
            ..Self::at_its_address(config)
        }
    }

    /// One that listens elsewhere and takes the token of this config.
    pub fn elsewhere(address: &Address, config: &Config) -> Self {
        Self {
            bearer_file: config.server.bearer_token_file.clone(),
            ..Self::at(address)
        }
    }

    /// The one that runs with this config, where callers reach it, and to be shown no token.
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

    /// One that speaks plain HTTP and wants no token.
    pub fn at(address: &Address) -> Self {
        Self {
            control: None,
            address: address.clone(),
            bearer_file: None,
            certificate: None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it answers to a GET.
    ///
    /// # Errors
    /// Nobody answers, not in time, or without end; or the token to show cannot be read.
    pub async fn get(&self, target: &str) -> anyhow::Result<Answer> {
        if let Some(folder) = &self.control {
            match command(folder, Method::GET, target, PATIENCE).await {
                Ok(answer) => return Ok(answer),
                Err(Unreached::Nobody(_)) => {}
                Err(Unreached::Failed(error)) => return Err(error),
            }
        }
        self.ask(target).await
    }

    /// What it answers to a GET at its control socket; `None` where it cannot be asked there.
    pub async fn get_at_control(&self, target: &str) -> Option<Answer> {
        let folder = self.control.as_deref()?;
        command(folder, Method::GET, target, PATIENCE).await.ok()
    }

    async fn ask(&self, target: &str) -> anyhow::Result<Answer> {
        let bearer = self.bearer_file.as_deref().map(BearerTokens::authorization);
        let bearer = bearer.transpose()?;
        let only = self.certificate.as_deref().filter(|_| bearer.is_some());
        let only = only.map(certificate::first_of).transpose()?;
        let client = client().tls_backend_preconfigured(certificate::tls(only)?);
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

/// Why a command was not answered at the control socket.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// No daemon listens there.
    #[error("no daemon answers at {}", .0.display())]
    Nobody(PathBuf),
    /// A daemon listens, and something went wrong.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Unreached {
    fn from(error: anyhow::Error) -> Self {
        Unreached::Failed(error)
    }
}

/// Asks the daemon at the control socket of a state folder.
///
/// # Errors
/// [`Unreached`]
pub async fn command(
    folder: &Path,
    method: Method,
    target: &str,
    patience: Duration,
) -> Result<Answer, Unreached> {
    let path = || folder.join(CONTROL_SOCKET);
    let socket = match ControlPath::of(folder) {
        Ok(socket) => socket,
        Err(error) => return Err(unreached(&error, path())),
    };
    let client = client().unix_socket(socket.get());
    let client = client.tls_backend_preconfigured(certificate::tls(None)?);
    let client = client.build().context("no HTTP client")?;
    let request = client.request(method, format!("http://localhost{target}"));
    match request.timeout(patience).send().await {
        Ok(response) => Ok(read(response, patience).await?),
        Err(error) => Err(match innermost(&error).downcast_ref::<io::Error>() {
            Some(refusal) if error.is_connect() => unreached(refusal, path()),
            _ => explained(&error, patience).into(),
        }),
    }
}

fn unreached(error: &io::Error, path: PathBuf) -> Unreached {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ConnectionRefused => Unreached::Nobody(path),
        io::ErrorKind::PermissionDenied => Unreached::Failed(anyhow::anyhow!(
            "{} belongs to another user; run this command as the daemon's user or as root",
            path.display()
        )),
        _ => Unreached::Failed(anyhow::anyhow!("{}: {error}", path.display())),
    }
}

/// A client that goes nowhere but to the daemon.
fn client() -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
}

async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    match request.timeout(PATIENCE).send().await {
        Ok(response) => read(response, PATIENCE).await,
        Err(error) => Err(explained(&error, PATIENCE)),
    }
}

async fn read(mut response: reqwest::Response, patience: Duration) -> anyhow::Result<Answer> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| explained(&error, patience))?
    {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            bail!("the answer has more than {LONGEST_ANSWER} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// In words, with the cause at the bottom and none of the layers between.
fn explained(error: &reqwest::Error, patience: Duration) -> anyhow::Error {
    if error.is_timeout() {
        return anyhow::anyhow!("no answer within {}", humantime::format_duration(patience));
    }
    let cause = innermost(error);
    let is_of_tls = chain(error).any(|cause| cause.is::<rustls::Error>());
    let what = match is_of_tls {
        true => {
            "no TLS handshake; a certificate that was renewed is in force once the daemon has reloaded"
        }
        false if error.is_connect() => NOBODY,
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
    fn a_daemon_on_all_addresses_is_asked_at_loopback() {
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
    fn addresses_are_read_as_people_write_them() {
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
