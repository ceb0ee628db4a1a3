//! Keeps an account's token: reads it again when CallTools refuses it, so that a rotated token needs no restart.

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

/// A token that CallTools refuses is read again this often: the next try may be minutes away, and whoever mends the file watches.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug)]
pub struct TokenKeeper {
    source: TokenSource,
    transport: Arc<HttpTransport>,
    /// Shared with the server, whose drop-in API is opened by the same token.
    digest: watch::Sender<Option<Digest>>,
    /// Whether it is being read: a file that hangs is waited for once.
    reading: AtomicBool,
    /// Why it could last not be read, so that this is told once; empty if it could.
    trouble: Mutex<String>,
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
            trouble: Mutex::default(),
        }
    }

    /// The token in use, to be compared.
    pub fn digest(&self) -> Option<Digest> {
        *self.digest.borrow()
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
            Ok(token) => {
                self.trouble().clear();
                self.take(&token);
            }
            Err(error) => {
                let words = error.to_string();
                if std::mem::replace(&mut *self.trouble(), words.clone()) != words {
                    tracing::warn!(
                        error = words,
                        "the token cannot be read again; the old one is kept"
                    );
                }
            }
        }
    }

    fn trouble(&self) -> MutexGuard<'_, String> {
        // A text is whole, whatever panicked.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
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
