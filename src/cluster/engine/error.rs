//! Why the engine gave no usable answer, in words for people.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio_rustls::rustls;

use crate::{
    calltools::tls_message,
    cluster::{replies::Foreign, scripts::SPOILT},
};

/// Why a command got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No answer in time, or no connection.
    #[error("the engine does not answer")]
    Silent,
    /// The engine returned an error.
    #[error("the engine: {0}")]
    Redis(#[source] RedisError),
    /// Its TLS cannot be used.
    #[error(
        "the engine: {0}. openseat trusts this machine's authorities, or those in the file that SSL_CERT_FILE names"
    )]
    Tls(String),
    /// The machine's certificate authorities cannot all be read. For CallTools, those that can be read are enough; the engine's client wants all.
    #[error(
        "this machine's certificate authorities cannot be read: {0}: correct or unset SSL_CERT_FILE and SSL_CERT_DIR"
    )]
    Authorities(String),
    /// The data is not openseat's.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// Fewer replicas confirmed than the config requires.
    #[error("{confirmed} of {wanted} replicas confirmed a write")]
    Unconfirmed {
        /// How many did.
        confirmed: i64,
        /// How many should have.
        wanted: u32,
    },
    /// The engine may discard data that it must keep.
    #[error(
        "the engine's maxmemory-policy is {0}, so it may discard leases and requests: set it to noeviction"
    )]
    Evicts(String),
    /// Sentinels do not know the master, or do not answer.
    #[error("no Sentinel knows where the master \"{0}\" is")]
    NoMaster(String),
    /// It is a replica, which refuses writes.
    #[error(
        "the engine is a replica: name its master, or let Sentinel name it (redis-sentinel://)"
    )]
    Replica,
    /// It is a cluster, whose accounts are on several nodes.
    #[error("the engine is a Redis Cluster: begin its url with redis-cluster://")]
    IsCluster,
    /// The engine is too old.
    #[error("the engine is Redis {0}; openseat needs Redis 6.2 or later, or Valkey")]
    TooOld(String),
}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> Self {
        let source = error.source();
        let shared =
            source.and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
        let authorities =
            shared.and_then(|shared| shared.downcast_ref::<rustls_native_certs::Error>());
        if let Some(authorities) = authorities {
            return Self::Authorities(authorities.to_string());
        }
        let io = shared.and_then(|shared| shared.downcast_ref::<io::Error>());
        let inner = io.and_then(io::Error::get_ref);
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::Tls(tls_message(tls)),
            None => Self::Redis(error),
        }
    }
}

impl EngineError {
    /// Returns whether the engine answers, but the account's keys hold something that openseat has not written.
    pub fn is_spoilt(&self) -> bool {
        match self {
            Self::Foreign(_) => true,
            // Older engines report an error in a script by another code, with this one in the text.
            Self::Redis(error) => {
                let error = error.to_string();
                ["WRONGTYPE", SPOILT]
                    .iter()
                    .any(|code| error.contains(code))
            }
            _ => false,
        }
    }

    /// Returns whether the engine just did not answer, without a reason that a person could remove.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Redis(error) => {
                error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal()
            }
            _ => false,
        }
    }

    /// Returns the node of a cluster that has the account, if the asked node named it instead of running the command.
    pub(super) fn moved_to(&self) -> Option<String> {
        match self {
            Self::Redis(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                error.redirect_node().map(|(node, _)| node.to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_of_authorities_is_named_with_what_to_do() {
        let missing = Some("/nonexistent".as_ref());
        let mut read = rustls_native_certs::load_certs_from_paths(None, missing);
        let error = RedisError::from(read.errors.pop().unwrap());
        let error = EngineError::from(error).to_string();
        for words in ["/nonexistent", "SSL_CERT_DIR"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
