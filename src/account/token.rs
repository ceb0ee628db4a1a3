//! Keeps an account's token: reads it again when CallTools refuses it, so that a rotated token needs no restart.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use crate::{
    aside,
    calltools::{HttpTransport, Token},
    config::TokenSource,
    digest::Digest,
};

/// See the [module](self).
#[derive(Debug)]
pub struct TokenKeeper {
    source: TokenSource,
    transport: Arc<HttpTransport>,
    /// Shared with the server, whose drop-in API is opened by the same token.
    digest: watch::Sender<Option<Digest>>,
    /// Whether it is being read: a file that hangs is waited for once.
    reading: AtomicBool,
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
            reading: AtomicBool::new(false),
        }
    }

    /// Reads the token again, and returns at once: from the moment it is read the new one is used, if there is one. Its file may hang, and the
    /// account must go on meanwhile.
    pub fn look(self: &Arc<Self>) {
        if self.reading.swap(true, Ordering::Relaxed) {
            return;
        }
        let keeper = Arc::clone(self);
        let started = aside::start(move || {
            keeper.read_now();
            keeper.reading.store(false, Ordering::Relaxed);
        });
        if let Err(error) = started {
            self.reading.store(false, Ordering::Relaxed);
            tracing::warn!(%error, "the token cannot be read again; the old one is kept");
        }
    }

    /// Reads the token again, and waits for it.
    pub async fn read_again(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        if let Err(error) = aside::bounded(move || keeper.read_now()).await {
            tracing::warn!(%error, "the token cannot be read again; the old one is kept");
        }
    }

    fn read_now(&self) {
        match self.source.read() {
            Ok(token) => self.take(&token),
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read again; the old one is kept");
            }
        }
    }

    /// Uses this token from now on.
    pub fn take(&self, token: &Token) {
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
