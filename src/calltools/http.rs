//! Sends requests to the account's origin, over HTTP/1.1 and TLS.
//!
//! The token goes to the configured origin only, and through a proxy only if the config names one. One call is one request on the wire, since it
//! was paid for with one permit. A call ends within its timeout. The size of a body is bounded before and after decompression.
//! [`Page`](super::Page) interprets the reply.

mod clients;
mod coding;
mod failure;
mod proxy;
mod resolver;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Response, dns::Resolve};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use url::Url;

pub(crate) use self::failure::tls_message;
use self::{
    coding::{Packed, unpack},
    failure::{kind, message},
    proxy::Via,
    resolver::{Resolver, WithTimeout},
};
use super::{Reply, Transport};
use crate::{
    model::fault::{Down, Fault},
    process::{
        authorities::{MachineAuthorities, Trust, TrustError},
        causes::causes,
    },
};

/// The size limit of a decompressed body: fifty times a page of 250 agents.
const MAX_BODY_BYTES: usize = 16 << 20;

/// The timeout for the body of a refusal. The status matters most, and the connection can be reused if the body ends soon.
const REFUSAL_BODY: Duration = Duration::from_secs(1);

/// The maximum length of a fault's detail: one line.
const MAX_DETAIL_CHARS: usize = 200;

/// The settings of a transport: plain values that were already checked.
pub struct HttpSettings {
    /// `https://east-1.calltools.io/api/`: ends in a slash.
    pub base_url: Url,
    /// The complete value of the header, `Token …`.
    pub authorization: HeaderValue,
    /// The timeout for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The timeout for a complete answer, connection and body included.
    pub timeout: Duration,
    /// The proxy; with `None`, no proxy is used even if the environment names one.
    pub proxy: Option<Url>,
    /// Whom to [trust]; `None` without TLS.
    pub trust: Option<Trust>,
}

/// Why a transport cannot be built. This is found at startup, never later.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Neither `http` nor `https`, or no host, or with a user and password in it.
    #[error("base_url must be an http or https address without user and password")]
    BaseUrl,
    /// The proxy's address cannot be used.
    #[error("proxy is not a usable address")]
    Proxy,
    /// The additional certificate authorities are not PEM, or the file has none.
    #[error("ca_file holds no certificate in PEM form")]
    CaFile,
    /// The machine trusts no authority, so TLS could not work.
    #[error(
        "this machine has no CA certificates to check CallTools' certificate with: install the package ca-certificates, set SSL_CERT_FILE, or set ca_file"
    )]
    NoCaStore,
    /// Any other objection of the TLS library.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// A [`Transport`] over real sockets.
pub struct HttpTransport {
    client: Arc<reqwest::Client>,
    /// Whom `client` trusts, held so that other accounts find and share it; `None` without TLS.
    trust: Option<Trust>,
    base_url: Url,
    /// The host we connect to, for messages: CallTools' or the proxy's.
    peer: String,
    via: Option<Via>,
    timeout: Duration,
    authorization: RwLock<HeaderValue>,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Creates a transport, which connects when it is first used.
    ///
    /// # Errors
    /// [`SetupError`] if the settings cannot be used.
    pub fn new(settings: HttpSettings) -> Result<Self, SetupError> {
        check_base_url(&settings.base_url)?;
        Ok(Self {
            client: clients::shared(&settings)?,
            peer: peer(&settings),
            via: settings
                .proxy
                .as_ref()
                .map(|url| Via::new(url, Resolver::shared())),
            timeout: settings.timeout,
            authorization: RwLock::new(sensitive(settings.authorization)),
            trust: settings.trust,
            base_url: settings.base_url,
        })
    }

    /// Returns whom it trusts; `None` without TLS.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// Replaces the token from the next request on. Requests that were created before keep the old one.
    pub fn set_authorization(&self, authorization: HeaderValue) {
        let mut current = self
            .authorization
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = sensitive(authorization);
    }

    fn authorization(&self) -> HeaderValue {
        let current = self.authorization.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the URL of a path. The origin stays the same for any path.
    fn url(&self, path_and_query: &str) -> Url {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}{path}", self.base_url.path()));
        url.set_query(query);
        url
    }

    async fn exchange(
        &self,
        path_and_query: &str,
        authorization: HeaderValue,
    ) -> Result<Reply, Fault> {
        let request = self
            .client
            .get(self.url(path_and_query))
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, coding::ACCEPTED)
            .header(header::CACHE_CONTROL, "no-cache");
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.fault(error).await),
        };
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = match status {
            StatusCode::OK => self.body(&headers, &mut response).await?,
            _ => self.refusal_body(&headers, &mut response).await,
        };
        self.pass(Reply {
            status,
            headers,
            body,
        })
    }

    /// Reports a reply of the proxy itself. A proxy that forwards plain requests can send one.
    fn pass(&self, reply: Reply) -> Result<Reply, Fault> {
        let own_answer = self
            .plain_proxy()
            .and_then(|proxy| proxy.own_answer(&reply));
        match own_answer {
            Some(fault) => Err(fault),
            None => Ok(reply),
        }
    }

    fn plain_proxy(&self) -> Option<&Via> {
        let is_plain = self.base_url.scheme() == "http";
        self.via.as_ref().filter(|_| is_plain)
    }

    /// Reads the body of a refusal; returns an empty one if it does not come soon and complete.
    async fn refusal_body(&self, headers: &HeaderMap, response: &mut Response) -> Bytes {
        let body = timeout(REFUSAL_BODY, self.body(headers, response)).await;
        body.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Reads the body, bounded before and after decompression.
    async fn body(&self, headers: &HeaderMap, response: &mut Response) -> Result<Bytes, Fault> {
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Err(error) => return Err(self.fault(error).await),
                Ok(None) => break,
                Ok(Some(piece)) if body.len() + piece.len() > MAX_BODY_BYTES => {
                    return Err(self.unpacked(&Packed::TooLarge, headers));
                }
                Ok(Some(piece)) => body.extend_from_slice(&piece),
            }
        }
        unpack(headers, body.freeze(), MAX_BODY_BYTES)
            .map_err(|packed| self.unpacked(&packed, headers))
    }

    /// Explains why a body could not be decompressed.
    fn unpacked(&self, why: &Packed, headers: &HeaderMap) -> Fault {
        let peer = &self.peer;
        let (kind, detail) = match why {
            Packed::TooLarge => {
                let max = MAX_BODY_BYTES >> 20;
                let detail = format!("{peer} answered with more than {max} MiB");
                (Down::TooLarge, detail)
            }
            Packed::CutShort => (
                Down::ConnectionLost,
                format!("the connection to {peer} broke off: the compressed body is incomplete"),
            ),
            Packed::Damaged => (
                Down::NotJson,
                format!("{peer} answered with a body that cannot be decompressed"),
            ),
            Packed::Unknown => {
                let coding = headers.get(header::CONTENT_ENCODING);
                let coding = coding.and_then(|coding| coding.to_str().ok());
                let coding = coding.unwrap_or_default();
                let detail = format!(
                    "{peer} answered in the content coding \"{coding}\", which openseat did not ask for"
                );
                (Down::NotJson, detail)
            }
        };
        Fault::down(kind, one_line(&detail))
    }

    async fn fault(&self, error: reqwest::Error) -> Fault {
        // The URL contains at most a queue's id, but is noise in every log line.
        let error = error.without_url();
        let kind = kind(&error);
        if let Some(proxy) = &self.via {
            if kind != Down::TimeOut
                && let Some(fault) = proxy.failure(&error, &self.base_url).await
            {
                return fault;
            }
            let is_between_us = self.plain_proxy().is_some() || failure::is_before_tunnel(&error);
            let is_unreachable =
                error.is_connect() && is_between_us && matches!(kind, Down::Refused | Down::Tls);
            // The proxy resolves CallTools' name, so only its own is resolved here.
            if kind == Down::Dns || is_unreachable {
                let host = proxy.host();
                let detail = format!("no connection to the proxy {host}: {}", message(&error));
                return Fault::down(Down::Proxy, one_line(&detail));
            }
        }
        let peer = &self.peer;
        let detail = match kind {
            Down::TimeOut if error.is_connect() => format!("no connection to {peer} in time"),
            Down::TimeOut => format!(
                "{peer} did not send its complete answer within {:?}",
                self.timeout
            ),
            Down::Dns => message(&error),
            Down::Refused => format!("no connection to {peer}: {}", message(&error)),
            Down::Tls => format!("no secure connection to {peer}: {}", message(&error)),
            Down::TooLarge => format!("{peer} answered with too many or too long headers"),
            Down::UnexpectedStatus => format!("{peer} does not answer in HTTP"),
            _ => format!("the connection to {peer} broke off: {}", message(&error)),
        };
        Fault::down(kind, one_line(&detail))
    }
}

impl Transport for HttpTransport {
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(self.exchange(path_and_query, self.authorization()))
    }
}

/// Returns why a request of another HTTP client in this process failed.
pub(crate) fn cause(error: &reqwest::Error) -> Down {
    kind(error)
}

/// Creates a name resolver for another HTTP client in this process; look-ups time out after `timeout`.
pub(crate) fn resolver(timeout: Duration) -> impl Resolve + 'static {
    WithTimeout {
        resolver: Resolver::shared(),
        max_wait: timeout,
    }
}

/// Returns whom to trust at this address: the machine's authorities, and those in `ca_pem`. Plain HTTP needs no certificates, so a machine without
/// any can run the demo.
///
/// # Errors
/// [`SetupError`] if the certificates cannot be used.
pub fn trust(
    base_url: &Url,
    proxy: Option<&Url>,
    ca_pem: Option<&[u8]>,
    machine: &MachineAuthorities,
) -> Result<Option<Trust>, SetupError> {
    let is_plain = base_url.scheme() == "http" && proxy.is_none();
    let others = match ca_pem {
        Some(pem) => certificates(pem)?,
        None if is_plain => return Ok(None),
        None => Vec::new(),
    };
    match machine.with(&others) {
        Ok(trust) => Ok(Some(trust)),
        Err(TrustError::NoAuthorities) => Err(SetupError::NoCaStore),
        Err(error) => Err(SetupError::Client(one_line(&causes(&error)))),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(SetupError::CaFile),
    }
}

fn check_base_url(url: &Url) -> Result<(), SetupError> {
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    // A user in the address would become a second Authorization header.
    let has_user = !url.username().is_empty() || url.password().is_some();
    if is_http && !has_user {
        Ok(())
    } else {
        Err(SetupError::BaseUrl)
    }
}

fn peer(settings: &HttpSettings) -> String {
    let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
    let origin = host(&settings.base_url);
    match &settings.proxy {
        Some(proxy) => format!("{origin} through the proxy {}", host(proxy)),
        None => origin,
    }
}

/// Marks a header value as sensitive, which keeps it out of debug output.
fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Turns an error into one line without control characters: errors quote certificates and the like.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(MAX_DETAIL_CHARS)
        .collect()
}

#[cfg(test)]
mod tests;
