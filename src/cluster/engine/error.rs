//! Why the engine gave no usable answer, in words for people.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio_rustls::rustls;

use crate::{
    calltools::tls_message,
    cluster::{replies::Foreign, scripts::SPOILT},
    model::fault::EngineRefusal,
};

/// Why a command got no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// No answer in time, or no connection.
    #[error("the engine does not answer")]
    Silent,
    /// The engine returned an error.
    #[error("the engine: {}", words(.0))]
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
    /// The engine's user lacks the right to this command.
    #[error("the engine's user may not run {0}")]
    Lacks(String),
    /// Sentinels do not know the master, or do not answer.
    #[error("no Sentinel knows where the master \"{0}\" is")]
    NoMaster(String),
    /// Too few Sentinels say where the master is: the others may have another one.
    #[error("{heard} of {all} Sentinels say where the master is, and only a majority can know")]
    Minority {
        /// How many do.
        heard: usize,
        /// How many `url` names.
        all: usize,
    },
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

/// Where the text of an error begins to say in which script it came.
const IN_SCRIPT: &str = " script: ";

/// How the engine says in a script that its user lacks a right. It does not say which.
const LACKS: &str = "executing the script can't";

/// Returns what the engine said, without the script in which it did: that says nothing to people, and one cause shows in all scripts.
fn words(error: &RedisError) -> String {
    let text = error.to_string();
    let words = text.split(IN_SCRIPT).next();
    words.unwrap_or_default().to_owned()
}

/// Returns whether a replica has refused a write. Older engines report an error in a script by another code, with this one in the text.
fn is_read_only(error: &RedisError) -> bool {
    let is_code = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
    is_code || error.to_string().contains("READONLY")
}

/// Returns whether the user lacks the right to a command, and not only to its key or channel.
pub(super) fn is_of_command(error: &RedisError) -> bool {
    error.to_string().contains(" run the ")
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
            None if is_read_only(&error) => Self::Replica,
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
    pub(in crate::cluster) fn is_silence(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Redis(error) => {
                error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal()
            }
            _ => false,
        }
    }

    /// Returns whether the engine's user lacks a right, and the engine does not say which.
    pub(super) fn hides_a_right(&self) -> bool {
        let Self::Redis(error) = self else {
            return false;
        };
        let is_refusal = error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm);
        error.to_string().contains(LACKS) || (is_refusal && !is_of_command(error))
    }

    /// Returns what the engine refuses, if it answers but cannot be used until a person does something.
    pub fn refusal(&self) -> Option<EngineRefusal> {
        let advice = match self {
            Self::Silent | Self::Foreign(_) => return None,
            Self::Redis(_) if self.is_spoilt() => return None,
            Self::Redis(error) => advice(error)?,
            Self::Unconfirmed { .. } => {
                "start or replace the missing replica; `replicas` in [cluster] must not be more than there are"
            }
            Self::Lacks(_) => RIGHTS,
            Self::Evicts(_) => "set the engine's maxmemory-policy to noeviction",
            Self::Replica => {
                "point `url` in [cluster] at the master, or let Sentinel name it (redis-sentinel://)"
            }
            Self::NoMaster(_) | Self::Minority { .. } => {
                "check that the Sentinels in [cluster] run, that this machine reaches them, and the master's name in `url`"
            }
            Self::Tls(_) | Self::Authorities(_) | Self::IsCluster | Self::TooOld(_) => OTHER,
        };
        Some(EngineRefusal {
            said: self.to_string(),
            advice,
        })
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

const RIGHTS: &str = "give the engine's user in [cluster] the rights in deploy/cluster/users.acl";

const OTHER: &str = "correct what the message says; openseat keeps trying, and recovers by itself";

/// Returns what to do about an error; `None` if it passes by itself: a connection failed, or the engine starts or changes its masters.
fn advice(error: &RedisError) -> Option<&'static str> {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, TryAgain};
    let text = error.to_string();
    let advice = match error.kind() {
        ErrorKind::Server(Ask | BusyLoading | ClusterDown | MasterDown | Moved | TryAgain) => {
            return None;
        }
        ErrorKind::AuthenticationFailed => {
            "correct the user in `url` or the password in `password_file` of [cluster]"
        }
        _ if text.contains("OOM") => {
            "raise the engine's maxmemory, and set its maxmemory-policy to noeviction"
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => RIGHTS,
        _ if text.contains(LACKS) => RIGHTS,
        _ if error.code().is_some() => OTHER,
        _ => return None,
    };
    Some(advice)
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
