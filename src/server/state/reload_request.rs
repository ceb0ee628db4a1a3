//! A request to reload the config, and its result. It comes from [`server`](crate::server) or a signal; [`daemon`](crate::daemon) does the work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// The receiver of a reload's result: the new config is in force, or rejected as a whole.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// What a reload changed. Queues are written `account/queue`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// The file that was read, with its whole path. Versions before this member do not say it.
    #[serde(default)]
    pub file: String,
    /// Queues that are polled from now on.
    pub queues_added: Vec<String>,
    /// Queues that are no longer configured.
    pub queues_removed: Vec<String>,
    /// New accounts, and accounts whose settings changed. The latter keep what is known about their queues and what they have spent.
    pub accounts_started: Vec<String>,
    /// Accounts with a new name. They keep everything that is known about them.
    pub accounts_renamed: Vec<Renamed>,
    /// Accounts that are no longer configured.
    pub accounts_removed: Vec<String>,
    /// Settings that are allowed but probably not intended.
    pub warnings: Vec<String>,
}

/// An account with a new name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renamed {
    /// Its old name.
    pub from: String,
    /// Its new name.
    pub to: String,
}

/// Why a reload was rejected and changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The file has mistakes or cannot be read. The text lists all of them.
    #[error("{0}")]
    Config(String),
    /// These settings changed, and they need a restart.
    #[error("{} cannot change while openseat runs: restart it, or restore the old value", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// Something named in the config cannot be used, such as an unreadable token file.
    #[error("{0}")]
    Unusable(String),
    /// The config did not come from a file.
    #[error("openseat was started without a config file, so there is none to reload")]
    NoFile,
}
