//! Trusts exactly one certificate: the daemon's.
//!
//! A command that sends the bearer token over TLS must not send it to another program at the daemon's address. The name in the certificate
//! does not help: it is the one that callers use, and the command connects to an address such as 127.0.0.1. The authority does not help either:
//! it issues certificates to everyone. So the command requires the certificate that the config names, and proof of its key. No option of
//! reqwest does this: it trusts anything that an authority in the file has signed.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::process::file;

/// A chain of a dozen large certificates.
const MAX_BYTES: u64 = 128 * 1024;

/// Returns the TLS settings of a client that trusts the first certificate in this file, which a daemon whose config names the file presents.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub(super) fn trust_only(path: &Path) -> anyhow::Result<ClientConfig> {
    let pem = file::read(path, MAX_BYTES).map_err(anyhow::Error::from);
    let certificate = pem
        .and_then(|pem| Ok(CertificateDer::from_pem_slice(&pem)?))
        .with_context(|| format!("tls_cert {}", path.display()))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = OneCertificate {
        certificate,
        algorithms: provider.signature_verification_algorithms,
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[derive(Debug)]
struct OneCertificate {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OneCertificate {
    /// Ignores the dates: the operator chose this certificate.
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.certificate == *shown {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
