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
    budget::Budget,
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
    /// The address that it is for, as the budget knows it.
    origin: String,
    transport: Arc<HttpTransport>,
    budget: Arc<Budget>,
    /// Shared with the server, because the drop-in API accepts the same token.
    digest: watch::Sender<Option<Digest>>,
    /// Whether a read is under way, so that no second one waits behind it.
    reading: AtomicBool,
    /// Why the last read failed, so that it is logged once; empty if it succeeded.
    trouble: Mutex<String>,
}

impl TokenKeeper {
    /// Creates the keeper of the token from `source`, which `transport` sends to `origin`, and whose requests `budget` counts.
    pub fn new(
        source: TokenSource,
        origin: String,
        transport: Arc<HttpTransport>,
        budget: Arc<Budget>,
        digest: watch::Sender<Option<Digest>>,
    ) -> Self {
        Self {
            source,
            origin,
            transport,
            budget,
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
            warn_of(&error);
        }
    }

    /// Reads the token again, and waits for the result.
    pub async fn read_again(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        if let Err(error) = aside::bounded(move || keeper.read_now()).await {
            warn_of(&error);
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
                if *self.trouble() != message {
                    warn_of(&error);
                    *self.trouble() = message;
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
        // All in one step, since a reload and a look may read different tokens at the same time.
        let changed = self.digest.send_if_modified(|known| {
            let changed = *known != Some(digest);
            if changed {
                // Known to the budget before the first request, so that no other hour ever counts a request with it.
                self.budget.goes_on_as(token.identity(&self.origin));
                self.transport.set_authorization(token.authorization());
                *known = Some(digest);
            }
            changed
        });
        if changed {
            tracing::info!(source = %self.source, "the token has changed; the new one is in use");
        }
        changed
    }
}

fn warn_of(error: &dyn std::error::Error) {
    tracing::warn!(%error, "the token cannot be read again; the old one is kept");
}
