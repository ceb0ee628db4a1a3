//! Keeps an account's token: reads it again when CallTools refuses it, so that a rotated token needs no restart.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{calltools::HttpTransport, config::TokenSource, digest::Digest};

/// See the [module](self).
#[derive(Debug)]
pub struct TokenKeeper {
    source: TokenSource,
    transport: Arc<HttpTransport>,
    /// Shared with the server, whose drop-in API is opened by the same token.
    digest: watch::Sender<Option<Digest>>,
}

impl TokenKeeper {
    /// Watches over the token from `source` that `transport` was made with.
    pub fn new(
        source: TokenSource,
        transport: Arc<HttpTransport>,
        digest: watch::Sender<Option<Digest>>,
    ) -> Self {
        Self {
            source,
            transport,
            digest,
        }
    }

    /// Reads the token again; from now on the new one is used, if there is one.
    pub fn read_again(&self) {
        let token = match self.source.read() {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read again; the old one is kept");
                return;
            }
        };
        let digest = token.digest();
        let changed = self.digest.send_if_modified(|known| {
            let changed = *known != Some(digest);
            *known = Some(digest);
            changed
        });
        if changed {
            self.transport.set_authorization(token.authorization());
            tracing::info!(source = %self.source, "the token has changed; the new one is used from now on");
        }
    }
}
