//! Whose certificates are trusted: TLS configurations with the machine's authorities and others.
//!
//! Clients that trust the same authorities share one configuration. With one for each, a thousand accounts would read and hold the machine's
//! authorities, some 150 certificates, a thousand times.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

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

/// The machine's authorities, read when they are first needed. A new value reads them again.
#[derive(Debug, Default)]
pub struct MachineAuthorities(OnceLock<Vec<CertificateDer<'static>>>);

impl MachineAuthorities {
    /// Returns the configuration of an HTTP/1.1 client that trusts the machine's authorities and `others`.
    ///
    /// # Errors
    /// [`TrustError`]
    pub fn with(
        &self,
        others: &[CertificateDer<'static>],
    ) -> Result<Arc<ClientConfig>, TrustError> {
        let machine = self.0.get_or_init(read);
        let digest = digest(machine, others);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.iter().find(|(known, _)| *known == digest);
        if let Some(config) = known.and_then(|(_, config)| config.upgrade()) {
            return Ok(config);
        }
        let config = Arc::new(config(machine, others)?);
        shared.retain(|(_, config)| config.strong_count() > 0);
        shared.push((digest, Arc::downgrade(&config)));
        Ok(config)
    }
}

fn read() -> Vec<CertificateDer<'static>> {
    let read = rustls_native_certs::load_native_certs();
    for error in read.errors {
        tracing::warn!("some of this machine's CA certificates cannot be read: {error}");
    }
    read.certs
}

fn digest(machine: &[CertificateDer<'_>], others: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for certificate in machine.iter().chain(others) {
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
