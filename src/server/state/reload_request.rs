//! A request to reload the config, and its result. It comes from [`server`](crate::server) or from a signal; [`daemon`](crate::daemon) does the work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Answered once the new config is in force, or rejected as a whole.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// What a new config has changed. Queues are spelt `account/queue`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Polled from now on.
    pub queues_added: Vec<String>,
    /// Gone.
    pub queues_removed: Vec<String>,
    /// Accounts whose settings changed, and those that are new. What is known of their queues and what they spent is kept.
    pub accounts_started: Vec<String>,
    /// Accounts that have another name, and go on with all that is known of them.
    pub accounts_renamed: Vec<Renamed>,
    /// Accounts that are gone.
    pub accounts_removed: Vec<String>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// An account that has another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renamed {
    /// What it was called.
    pub from: String,
    /// What it is called.
    pub to: String,
}

/// Why everything stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The file has mistakes, or cannot be read; all of them are in the text.
    #[error("{0}")]
    Config(String),
    /// A setting has changed that only a start can take in.
    #[error("{} cannot change while openseat runs: restart it, or put the old value back", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// What the config names cannot be used, such as a token that cannot be read.
    #[error("{0}")]
    Unusable(String),
    /// The config did not come from a file.
    #[error("openseat was started without a config file, so there is none to read again")]
    NoFile,
}
