//! TLS for callers: reading certificate and key, and the handshake.
//!
//! The files are read with the config and again at each reload, so a renewed certificate applies to connections that begin after a reload. Only
//! HTTP/1.1 is offered. `connection` limits the time of a handshake; the config decides who may connect without TLS.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, CertificateError, RootCertStore, ServerConfig,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
    server::TlsStream,
};

use zeroize::Zeroizing;

use super::unvectored::Unvectored;
use crate::{
    clock::Moment,
    config::TlsFiles,
    process::file::{self, FileError},
};

/// Enough for a chain of a dozen large certificates; a larger file was named by mistake.
const MAX_FILE: u64 = 128 * 1024;

/// The only protocol that the handlers speak.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why TLS cannot be offered. It reveals nothing of the key file's content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key} {} cannot be read: {source}{}", path.display(), source.advice())]
    Unreadable {
        /// The key of the config.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// A certificate that callers would refuse, as the replacement of one that they accept.
    #[error("tls_cert {}: {fault}, so callers would refuse it; renew it, or restore the current one", path.display())]
    OutOfDate {
        /// The file.
        path: PathBuf,
        /// What is wrong with its dates.
        fault: String,
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
    /// The two do not belong together, or are of an unsupported kind.
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

/// The TLS settings of new connections. Clones are cheap and share them.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    chain: Arc<[CertificateDer<'static>]>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files. Only warns if callers will refuse the certificate for its dates, since there is no other.
    ///
    /// # Errors
    /// A file cannot be read, or the files do not make a certificate with its key.
    pub fn read(files: &TlsFiles, now: Moment) -> Result<Self, TlsError> {
        let tls = Self::load(files)?;
        if let Some(fault) = tls.fault(now) {
            tracing::warn!(tls_cert = %files.cert.display(), "{fault}; callers that check it will refuse it");
        }
        Ok(tls)
    }

    /// Reads the files to replace `last`. A certificate whose dates callers refuse replaces neither one that they accept nor plain HTTP.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and [`TlsError::OutOfDate`].
    pub fn read_in_place_of(
        files: &TlsFiles,
        last: Option<&Tls>,
        now: Moment,
    ) -> Result<Self, TlsError> {
        let tls = Self::load(files)?;
        let Some(fault) = tls.fault(now) else {
            return Ok(tls);
        };
        // If the current one has expired too, it must not block a reload that has another reason.
        let is_no_worse = last.is_some_and(|last| last.fault(now).is_some());
        if is_no_worse {
            tracing::warn!(tls_cert = %files.cert.display(), "{fault}; callers that check it will refuse it");
            return Ok(tls);
        }
        let path = files.cert.clone();
        Err(TlsError::OutOfDate { path, fault })
    }

    /// Finds what is wrong with the files, with both of them if so, as a certificate that replaces none.
    pub fn mistakes(files: &TlsFiles, now: Moment) -> Vec<TlsError> {
        let of_cert = certificates(&files.cert).err();
        let of_key = private_key(&files.key).err();
        let mistakes: Vec<_> = of_cert.into_iter().chain(of_key).collect();
        if !mistakes.is_empty() {
            return mistakes;
        }
        let together = Self::read_in_place_of(files, None, now).err();
        together.into_iter().collect()
    }

    fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert)?;
        let key = private_key(&files.key)?;
        let config = || {
            let provider = Arc::new(ring::default_provider());
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain.clone(), key)?;
            config.alpn_protocols = vec![PROTOCOL.to_vec()];
            Ok(config)
        };
        let config = config().map_err(|source| TlsError::Unusable {
            files: files.clone(),
            source,
        })?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            chain: chain.into(),
        })
    }

    fn fault(&self, now: Moment) -> Option<String> {
        fault_of_dates(&self.chain, &Arc::new(ring::default_provider()), now)
    }

    /// Does the handshake, which takes as long as the client likes.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<Unvectored>> {
        self.acceptor.accept(Unvectored(stream)).await
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read("tls_cert", path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let path = || path.to_owned();
    chain.ok_or_else(|| TlsError::NoCertificate { path: path() })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read("tls_key", path)?;
    // The parser's error is left out: it can quote a line of the file.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey {
        path: path.to_owned(),
    })
}

fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    file::read(path, MAX_FILE).map_err(|source| TlsError::Unreadable {
        key,
        path: path.to_owned(),
        source,
    })
}

/// Says what a caller's clock would object to in the certificate. A client's verifier checks the dates before the signatures; its other objections
/// depend on the caller.
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
    fn a_certificate_that_is_out_of_date_is_recognized_by_its_dates() {
        let now = Still::new().now();
        let provider = Arc::new(ring::default_provider());
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
