//! TLS towards our own daemon.
//!
//! Its certificate is made out to the name by which callers know it, which is not the address that commands ask, so names are not compared.
//! Who sends the token takes no other certificate than the one in the config's file. A health check sends no secret, so it takes any: the
//! file may have been renewed a moment ago and not be in force yet, which is no illness, and whoever could answer in the daemon's place
//! could do so in plain HTTP, too.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::process::file;

/// A chain of a dozen large certificates.
const LARGEST_FILE: u64 = 128 * 1024;

/// The certificate that a daemon shows whose config names this file.
///
/// # Errors
/// It cannot be read, or holds none.
pub(super) fn first_of(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let pem = file::read(path, LARGEST_FILE).map_err(anyhow::Error::from);
    pem.and_then(|pem| Ok(CertificateDer::from_pem_slice(&pem)?))
        .with_context(|| format!("tls_cert {}", path.display()))
}

/// Connects to whoever holds the key of the certificate that it shows, and shows `only` this one, if any is named.
///
/// # Errors
/// None that could be told in advance: rustls' own.
pub(super) fn tls(only: Option<CertificateDer<'static>>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    Ok(ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be spoken")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Shown { only, provider }))
        .with_no_client_auth())
}

#[derive(Debug)]
struct Shown {
    only: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.only {
            Some(only) if only != own => {
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
