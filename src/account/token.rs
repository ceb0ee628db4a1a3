//! Keeps an account's token: reads it again when CallTools refuses it, so that a rotated token needs no restart.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{calltools::HttpTransport, config::TokenSource, server::TokenDigest};

/// See the [module](self).
#[derive(Debug)]
pub struct TokenKeeper {
    source: TokenSource,
    transport: Arc<HttpTransport>,
    /// Shared with the server, whose drop-in API is opened by the same token.
    digest: watch::Sender<Option<TokenDigest>>,
}
