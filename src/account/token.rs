//! Keeps an account's token. It reads the token again when CallTools refuses it, so rotating a token needs no restart.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    calltools::{HttpTransport, Token},
    config::TokenSource,
    model::digest::Digest,
    process::aside,
};

/// How often a refused token is read again. The next request may be minutes away, but the person who has changed the file is waiting.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug)]
pub struct TokenKeeper {
    source: TokenSource,
    transport: Arc<HttpTransport>,
    /// Shared with the server, because the drop-in API accepts the same token.
    digest: watch::Sender<Option<Digest>>,
    /// Whether a read is under way, so that a hanging file occupies only one thread.
    reading: AtomicBool,
    /// Why the last read failed, so that it is logged once; empty if it succeeded.
    trouble: Mutex<String>,
}

impl TokenKeeper {
    /// Creates the keeper of the token from `source`, which `transport` sends.
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
            trouble: Mutex::default(),
        }
    }

    /// Returns the digest of the token in use.
    pub fn digest(&self) -> Option<Digest> {
        *self.digest.borrow()
    }

    /// Starts reading the token again, and returns at once, because its file may hang. A new token is used as soon as it is read.
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

    /// Reads the token again, and waits for the result.
    pub async fn read_again(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        if let Err(error) = aside::bounded(move || keeper.read_now()).await {
            tracing::warn!(%error, "the token cannot be read again; the old one is kept");
        }
    }

    fn read_now(&self) {
        match self.source.read() {
            Ok(token) => {
                self.trouble().clear();
                self.take(&token);
            }
            Err(error) => {
                let message = error.to_string();
                if std::mem::replace(&mut *self.trouble(), message.clone()) != message {
                    tracing::warn!(
                        error = message,
                        "the token cannot be read again; the old one is kept"
                    );
                }
            }
        }
    }

    fn trouble(&self) -> MutexGuard<'_, String> {
        // The text is replaced in one step, so a panic leaves nothing half done.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses a token from now on. Returns whether it is another one.
    pub fn take(&self, token: &Token) -> bool {
        let digest = token.digest();
        let changed = self.digest.send_if_modified(|known| {
            let changed = *known != Some(digest);
            *known = Some(digest);
            changed
        });
        if changed {
            self.transport.set_authorization(token.authorization());
            tracing::info!(source = %self.source, "the token has changed; the new one is in use");
        }
        changed
    }
}
