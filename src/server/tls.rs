//! TLS towards callers: what the config's files become, and the handshake.
//!
//! The files are read with the config, and again with it, so a renewed certificate is shown on connections that begin after a reload.
//! HTTP/1.1 is all that is offered. Left to others: how long a handshake may take (`connection`), and who may ask without TLS (config).

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, CertificateError, RootCertStore, ServerConfig,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
    server::TlsStream,
};

use crate::{clock::Moment, config::TlsFiles};

/// A chain of a dozen large certificates; a larger file is another one, named by mistake.
const LARGEST_FILE: u64 = 128 * 1024;

/// What the handlers of requests speak.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why there is no TLS to offer. Says nothing of what a key's file holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key} {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The key of the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is something else.
    #[error("{key} {} has more than {LARGEST_FILE} bytes, so it is another file", path.display())]
    TooLarge {
        /// The key of the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// No certificate, or a broken one.
    #[error("tls_cert {} has no whole certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No private key, or a broken one.
    #[error(
        "tls_key {} has no whole private key in PEM form that could be read without a passphrase",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The two do not fit together, or are of a kind that is not spoken.
    #[error(
        "tls_cert {} and tls_key {} cannot be used together: {source}",
        files.cert.display(),
        files.key.display()
    )]
    Unusable {
        /// Both files.
        files: TlsFiles,
        /// Why.
        source: rustls::Error,
    },
}

/// What a connection begins with. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files, and warns of a certificate that callers will refuse for its dates.
    ///
    /// # Errors
    /// [`TlsError`]: a file that cannot be read, or files that do not make a certificate with its key.
    pub fn read(files: &TlsFiles, now: Moment) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert)?;
        let key = private_key(&files.key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        if let Some(fault) = fault_of_dates(&chain, &provider, now) {
            tracing::warn!(tls_cert = %files.cert.display(), "{fault}; callers that look will refuse it");
        }
        let config = || {
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain, key)?;
            config.alpn_protocols = vec![PROTOCOL.to_vec()];
            Ok(config)
        };
        let config = config().map_err(|source| TlsError::Unusable {
            files: files.clone(),
            source,
        })?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake, which takes as long as the client likes.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read("tls_cert", path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose_secret()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let path = || path.to_owned();
    chain.ok_or_else(|| TlsError::NoCertificate { path: path() })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read("tls_key", path)?;
    // The parser's error is left out: it can quote a line of the file.
    PrivateKeyDer::from_pem_slice(pem.expose_secret()).map_err(|_| TlsError::NoKey {
        path: path.to_owned(),
    })
}

/// Either file may hold a key: many tools write both into one.
fn read(key: &'static str, path: &Path) -> Result<SecretSlice<u8>, TlsError> {
    let (mut bytes, path) = (Vec::new(), || path.to_owned());
    File::open(path())
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Unreadable {
            key,
            path: path(),
            source,
        })?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(TlsError::TooLarge { key, path: path() });
    }
    Ok(bytes.into())
}

/// What a caller's clock would say against the certificate. A client's verifier looks at the dates before it asks who has signed; all else
/// that it could say depends on the caller.
fn fault_of_dates(
    chain: &[CertificateDer<'_>],
    provider: &Arc<CryptoProvider>,
    now: Moment,
) -> Option<String> {
    let (own, rest) = chain.split_first()?;
    let mut roots = RootCertStore::empty();
    roots.add(own.clone().into_owned()).ok()?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let name = ServerName::try_from("localhost").ok()?;
    let now = UnixTime::since_unix_epoch(now.wall);
    let verified = verifier
        .build()
        .ok()?
        .verify_server_cert(own, rest, &name, &[], now);
    match verified.err()? {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after, ..
        }) => Some(format!("the certificate expired at {}", date(not_after))),
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        }) => Some(format!(
            "the certificate is not valid before {}",
            date(not_before)
        )),
        _ => None,
    }
}

fn date(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).ok();
    let date = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    date.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::{clock::Clock, fixtures::Still};

    #[test]
    fn a_certificate_that_is_out_of_date_is_known_by_its_dates() {
        let now = Still::new().now();
        let provider = Arc::new(aws_lc_rs::default_provider());
        for (from, to, fault) in [
            (2000, 2100, None),
            (
                2000,
                2001,
                Some("the certificate expired at 2001-01-01T00:00:00Z"),
            ),
            (
                2099,
                2100,
                Some("the certificate is not valid before 2099-01-01T00:00:00Z"),
            ),
        ] {
            let key = KeyPair::generate().expect("a key");
            let names = ["openseat.example".to_owned()];
            let mut params = CertificateParams::new(names).expect("a name");
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
            let cert = params.self_signed(&key).expect("a certificate");
            let found = fault_of_dates(&[cert.der().clone()], &provider, now);
            assert_eq!(found.as_deref(), fault);
        }
    }
}
