//! The running daemon, as commands ask it: over its own HTTP, with its own token, and never for long.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use super::certificate;
use crate::config::{BearerToken, Config, Listen, SecretError};

/// A daemon that is well answers within a millisecond; health checks commonly have 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// All that is known of ten thousand queues, without their agents.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

const NOBODY: &str = "nobody answers; is the daemon running?";

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(String),
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
    address: Address,
    bearer: Option<HeaderValue>,
    /// Where it speaks TLS: the file of its certificate.
    certificate: Option<PathBuf>,
}

impl Daemon {
    /// The one that runs with this config, or one that listens elsewhere and takes the same token.
    ///
    /// # Errors
    /// The config's `bearer_token_file` cannot be read.
    pub fn of(config: &Config, elsewhere: Option<&Address>) -> Result<Self, SecretError> {
        let file = config.server.bearer_token_file.as_deref();
        let usual = match elsewhere {
            Some(address) => Self::at(address),
            None => Self::without_token(config),
        };
        Ok(Self {
            bearer: file.map(BearerToken::authorization).transpose()?,
            ..usual
        })
    }

    /// The one that runs with this config, to be shown no token.
    pub fn without_token(config: &Config) -> Self {
        let listen = &config.server.listen[0];
        let files = config.server.tls.as_ref();
        let files = files.filter(|_| matches!(listen, Listen::Tcp(_)));
        Self {
            certificate: files.map(|files| files.cert.clone()),
            ..Self::at(&Address::from(listen))
        }
    }

    /// One that speaks plain HTTP and wants no token.
    pub fn at(address: &Address) -> Self {
        Self {
            address: address.clone(),
            bearer: None,
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
    /// Nobody answers, not in time, or without end.
    pub async fn get(&self, target: &str) -> anyhow::Result<(StatusCode, String)> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(target)).await;
        asked.unwrap_or_else(|_| bail!("no answer within {}", humantime::format_duration(PATIENCE)))
    }

    async fn ask(&self, target: &str) -> anyhow::Result<(StatusCode, String)> {
        match &self.address {
            Address::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await.context(NOBODY)?;
                match &self.certificate {
                    None => self.exchange(stream, authority, target).await,
                    Some(file) => {
                        let secured = self.secure(stream, file).await?;
                        self.exchange(secured, authority, target).await
                    }
                }
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.context(NOBODY)?;
                self.exchange(stream, "localhost", target).await
            }
        }
    }

    async fn secure(&self, stream: TcpStream, file: &Path) -> anyhow::Result<TlsStream<TcpStream>> {
        let only = self.bearer.is_some().then(|| certificate::first_of(file));
        let connector = certificate::connector(only.transpose()?)?;
        let address = stream.peer_addr()?.ip();
        let secured = connector.connect(address.into(), stream).await;
        secured.context(
            "no TLS handshake; a certificate that was renewed is in force once the daemon has reloaded",
        )
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        host: &str,
        target: &str,
    ) -> anyhow::Result<(StatusCode, String)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::get(target).header(header::HOST, host);
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request = request.body(Empty::<bytes::Bytes>::new())?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST_ANSWER)
                .collect()
                .await;
            let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::select! {
            // First, lest an answer be missed that came with the end of the connection.
            biased;
            answer = exchange => answer,
            // It ends before the answer only if it breaks.
            ended = connection => {
                ended?;
                bail!("the connection was closed without an answer")
            }
        }
    }
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
