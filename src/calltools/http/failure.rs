//! Turns errors of the HTTP library into faults with a clear message.

#[cfg(test)]
mod tests;

use std::io;

use tokio_rustls::rustls::{self, CertificateError};

use crate::model::fault::Down;
use crate::process::causes::chain;

/// Classifies an error. The timeout is tested first, since it looks like the step that it interrupted.
pub(super) fn kind(error: &reqwest::Error) -> Down {
    if error.is_timeout() {
        Down::TimeOut
    } else if error.is_dns() {
        Down::Dns
    } else if error.is_connect() {
        connect_kind(error)
    } else {
        answer_kind(error)
    }
}

/// Returns whether TLS failed: with its own error, or because the stream ended. Anything else is the network.
fn connect_kind(error: &reqwest::Error) -> Down {
    match io_kind(error) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => Down::Tls,
        _ => Down::Refused,
    }
}

fn answer_kind(error: &reqwest::Error) -> Down {
    let http = chain(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    match http {
        Some(error) if error.is_parse_too_large() => Down::TooLarge,
        Some(error) if error.is_parse() => Down::UnexpectedStatus,
        _ => Down::ConnectionLost,
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .last()
}

/// Returns whether the connection to a proxy failed before it was asked for a tunnel.
pub(super) fn is_before_tunnel(error: &reqwest::Error) -> bool {
    chain(error)
        .any(|cause| cause.to_string() == "tunnel error: failed to create underlying connection")
}

/// Returns the message: a sentence for TLS errors, otherwise the innermost error. The outer errors mostly only say that something failed.
pub(super) fn message(error: &reqwest::Error) -> String {
    let tls = chain(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => tls_message(tls),
        None => chain(error)
            .last()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// Describes why TLS failed.
pub fn tls_message(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate(error),
        E::AlertReceived(alert) => {
            let alert = apart(&format!("{alert:?}"));
            format!("the server ended the handshake with the alert \"{alert}\"")
        }
        E::InvalidMessage(_) => "the server's answer is not TLS".to_owned(),
        E::PeerIncompatible(why) => format!(
            "the server offers no encryption that openseat accepts: {}",
            apart(&format!("{why:?}"))
        ),
        E::PeerMisbehaved(why) => {
            format!("the server breaks TLS: {}", apart(&format!("{why:?}")))
        }
        other => apart(&other.to_string()),
    }
}

/// Describes what is wrong with the server's certificate.
pub(super) fn certificate(error: &CertificateError) -> String {
    use CertificateError as C;
    let message = match error {
        C::ExpiredContext { not_after, .. } => {
            return format!(
                "the server's certificate expired on {}",
                day(not_after.as_secs())
            );
        }
        C::NotValidYetContext { not_before, .. } => {
            return format!(
                "the server's certificate is not valid before {}",
                day(not_before.as_secs())
            );
        }
        C::NotValidForNameContext {
            expected,
            presented,
        } => {
            return format!(
                "the server's certificate is not valid for {}, but for {}",
                expected.to_str(),
                names(presented)
            );
        }
        C::Expired => "has expired",
        C::NotValidYet => "is not valid yet",
        C::NotValidForName => "is for another name",
        C::UnknownIssuer => "is from an authority that this machine does not trust",
        C::BadSignature => "has a wrong signature: it is forged or damaged",
        C::Revoked => "was revoked",
        C::BadEncoding => "cannot be read",
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "is not for use by a server",
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that openseat does not accept"
        }
        C::Other(other) => return other_message(&other.0.to_string()),
        other => return other_message(&format!("{other:?}")),
    };
    format!("the server's certificate {message}")
}

/// Describes errors for which the certificate library only has a name.
fn other_message(name: &str) -> String {
    let message = match name {
        "CaUsedAsEndEntity" => "is an authority's own certificate, which a server may not use",
        "EndEntityUsedAsCa" => "is signed by a certificate that may not sign others",
        // The platform's verifier reports this for a certificate that is for clients, or for anything but servers.
        "certificate had invalid extensions" => "is not for use by a server",
        "UnsupportedCertVersion" => "has a version that is out of use",
        "PathLenConstraintViolated" => "has more authorities in its chain than they allow",
        "NameConstraintViolation" => "is for a name that its authority may not sign",
        _ => return format!("the server's certificate is refused: {}", apart(name)),
    };
    format!("the server's certificate {message}")
}

/// Lists the first few names in a certificate.
fn names(presented: &[String]) -> String {
    // As rustls writes them: `DnsName("a.example")`.
    let bare = |name: &String| match name.split('"').nth(1) {
        Some(bare) => bare.to_owned(),
        None => name.clone(),
    };
    let shown: Vec<_> = presented.iter().take(3).map(bare).collect();
    match (shown.is_empty(), presented.len() - shown.len()) {
        (true, _) => "no name at all".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Formats the day of a time in seconds since 1970.
fn day(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(moment) => moment.strftime("%Y-%m-%d").to_string(),
        Err(_) => "a day beyond any calendar".to_owned(),
    }
}

/// Turns the name of an enum variant into words: `CaUsedAsEndEntity` becomes `ca used as end entity`.
fn apart(text: &str) -> String {
    let mut message = String::with_capacity(text.len() + 8);
    for piece in text.split_inclusive(|char: char| !char.is_ascii_alphanumeric()) {
        if !is_camel_case(piece) {
            message += piece;
            continue;
        }
        for (place, char) in piece.chars().enumerate() {
            if place > 0 && char.is_ascii_uppercase() {
                message.push(' ');
            }
            message.push(char.to_ascii_lowercase());
        }
    }
    message
}

/// Returns whether a capital follows a small letter.
fn is_camel_case(piece: &str) -> bool {
    let mut pairs = piece.as_bytes().windows(2);
    piece.starts_with(|char: char| char.is_ascii_uppercase())
        && pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}
