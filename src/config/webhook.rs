//! The addresses of notifications. They are secrets: anyone who has one may write there.

use std::{fmt, path::Path};

use secrecy::ExposeSecret;
use url::Url;

use super::secret::{self, SecretError, SecretFault};
use crate::calltools::address::is_readable_by_others;

/// The longest address. Chat services use some 100 characters, workflow services some 300.
const MAX_ADDRESS: usize = 2048;

/// An address, which no log, error or metric shows.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Reads it from a file that contains nothing else.
    ///
    /// # Errors
    /// [`SecretError`]: there is none, or others on the network could read it although `plain_http` is false.
    pub fn read(path: &Path, plain_http: bool) -> Result<Self, SecretError> {
        let address = || {
            Self::parse(
                secret::read_as("address", path)?.expose_secret(),
                plain_http,
            )
        };
        address()
            .map_err(|cause| SecretError::at(format!("the url file {}", path.display()), cause))
    }

    /// Reads it from a text. Space and quotes around it are removed.
    ///
    /// # Errors
    /// [`SecretFault`]: it is not an address, or others on the network could read it.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, SecretFault> {
        let text = text.trim().trim_matches(['"', '\'']).trim();
        if text.is_empty() || text.len() > MAX_ADDRESS || text.contains(char::is_whitespace) {
            return Err(SecretFault::NotAddress);
        }
        let url = Url::parse(text).map_err(|_| SecretFault::NotAddress)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(SecretFault::NotAddress);
        }
        if is_readable_by_others(&url) && !plain_http {
            return Err(SecretFault::PlainAddress);
        }
        Ok(Self(url))
    }

    /// Returns the address, to send to.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_address_is_accepted_and_never_shown() {
        for (text, taken) in [
            ("https://hooks.example/services/T0/B0/secret\n", true),
            (" \"https://hooks.example/secret\" ", true),
            ("https://user:secret@hooks.example:8443/x?sig=secret", true),
            ("http://127.0.0.1:9/secret", true),
            ("http://hooks.example/secret", false),
            ("ftp://hooks.example/secret", false),
            ("hooks.example/secret", false),
            ("https://a.example/secret\nhttps://b.example/secret", false),
            ("", false),
        ] {
            let address = WebhookUrl::parse(text, false);
            assert_eq!(address.is_ok(), taken, "{text}");
            assert!(!format!("{address:?}").contains("secret"), "{address:?}");
        }
        assert!(WebhookUrl::parse("http://hooks.example/secret", true).is_ok());
    }

    #[test]
    fn a_missing_file_should_get_an_address_and_no_token() {
        let error = WebhookUrl::read(Path::new("/nowhere/slack.url"), false);
        let error = error.expect_err("it is missing").to_string();
        assert_eq!(
            error,
            "the url file /nowhere/slack.url cannot be read: there is no such file; check the path, or write the address into it and chmod 600 it"
        );
    }
}
