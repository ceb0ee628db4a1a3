use std::sync::Arc;

use rustls::{AlertDescription, OtherError, PeerIncompatible};

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Named(&'static str);

#[test]
fn tls_errors_are_readable() {
    use rustls::Error as E;
    let other = |name| CertificateError::Other(OtherError(Arc::new(Named(name))));
    for (error, words) in [
        (
            E::InvalidCertificate(other("CaUsedAsEndEntity")),
            "the server's certificate is an authority's own certificate, which a server may not use",
        ),
        (
            E::InvalidCertificate(other("MaximumPathDepthExceeded")),
            "the server's certificate is refused: maximum path depth exceeded",
        ),
        (
            E::InvalidCertificate(CertificateError::UnknownIssuer),
            "the server's certificate is from an authority that this machine does not trust",
        ),
        (
            E::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
            "the server's certificate is refused: unhandled critical extension",
        ),
        (
            E::AlertReceived(AlertDescription::ProtocolVersion),
            "the server ended the handshake with the alert \"protocol version\"",
        ),
        (
            E::AlertReceived(AlertDescription::HandshakeFailure),
            "the server ended the handshake with the alert \"handshake failure\"",
        ),
        (
            E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            "the server offers no encryption that openseat accepts: server does not support tls12 or13",
        ),
        (E::DecryptError, "cannot decrypt peer's message"),
    ] {
        assert_eq!(tls_message(&error), words);
    }
}

#[test]
fn only_names_of_variants_are_split() {
    for (text, words) in [
        ("UnknownIssuer", "unknown issuer"),
        ("Other(BadDer)", "Other(bad der)"),
        (
            "Connection refused (os error 111)",
            "Connection refused (os error 111)",
        ),
        ("TLS 1.2 and HTTP", "TLS 1.2 and HTTP"),
        ("", ""),
    ] {
        assert_eq!(apart(text), words);
    }
}

#[test]
fn only_a_few_names_of_a_certificate_are_shown() {
    let named = |names: &[&str]| {
        let names: Vec<_> = names
            .iter()
            .map(|name| format!("DnsName(\"{name}\")"))
            .collect();
        super::names(&names)
    };
    assert_eq!(named(&[]), "no name at all");
    assert_eq!(named(&["a.example"]), "a.example");
    assert_eq!(named(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
}
