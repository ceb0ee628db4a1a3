//! Whose certificates are trusted: TLS configurations with the machine's authorities and others.
//!
//! Clients that trust the same authorities share one configuration. With one for each, a thousand accounts would read and hold the machine's
//! authorities, some 150 certificates, a thousand times.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The machine has no authorities, and no others were given.
    #[error("no certificate authorities")]
    NoAuthorities,
    /// One of the others is not a certificate.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The configurations in use, by the digest of the authorities that they trust.
static SHARED: Mutex<Vec<([u8; 32], Weak<ClientConfig>)>> = Mutex::new(Vec::new());

/// A configuration that trusts certain authorities.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Returns the configuration.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }
}

impl PartialEq for Trust {
    /// Returns whether both trust the same authorities: while one of them exists, the other has the same configuration.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").finish_non_exhaustive()
    }
}

/// The machine's authorities, read when they are first needed. A new value reads them again.
#[derive(Debug, Default)]
pub struct MachineAuthorities(OnceLock<Machine>);

#[derive(Debug)]
struct Machine {
    certificates: Vec<CertificateDer<'static>>,
    digest: [u8; 32],
}

impl MachineAuthorities {
    /// Returns the configuration of an HTTP/1.1 client that trusts the machine's authorities and `others`.
    ///
    /// # Errors
    /// [`TrustError`]
    pub fn with(&self, others: &[CertificateDer<'static>]) -> Result<Trust, TrustError> {
        let machine = self.0.get_or_init(read);
        let digest = digest(&machine.digest, others);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.iter().find(|(known, _)| *known == digest);
        if let Some(config) = known.and_then(|(_, config)| config.upgrade()) {
            return Ok(Trust(config));
        }
        let config = Arc::new(config(&machine.certificates, others)?);
        shared.retain(|(_, config)| config.strong_count() > 0);
        shared.push((digest, Arc::downgrade(&config)));
        Ok(Trust(config))
    }
}

fn read() -> Machine {
    let read = rustls_native_certs::load_native_certs();
    for error in read.errors {
        tracing::warn!("some of this machine's CA certificates cannot be read: {error}");
    }
    Machine {
        digest: digest(&[], &read.certs),
        certificates: read.certs,
    }
}

/// Returns a digest of certificates, and of what comes `before` them.
fn digest(before: &[u8], certificates: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(before);
    for certificate in certificates {
        digest.update(certificate.len().to_le_bytes());
        digest.update(certificate);
    }
    digest.finalize().into()
}

fn config(
    machine: &[CertificateDer<'static>],
    others: &[CertificateDer<'static>],
) -> Result<ClientConfig, TrustError> {
    let mut authorities = RootCertStore::empty();
    // One of the machine's that cannot be used is no reason to trust none of them.
    authorities.add_parsable_certificates(machine.iter().cloned());
    for certificate in others {
        authorities.add(certificate.clone())?;
    }
    if authorities.is_empty() {
        return Err(TrustError::NoAuthorities);
    }
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
