//! The configuration: a file becomes a [`Config`] that cannot be wrong.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use crate::{criteria::Criteria, decision::OnUnknown, quantity::Quantity};

/// A configuration that was checked whole. Nobody checks again.
#[derive(Debug)]
pub struct Config {
    pub server: Server,
    /// Where the budget ledger and what else survives a restart live; `None`: in memory only.
    pub state_dir: Option<PathBuf>,
    /// At least one, with different names.
    pub accounts: Vec<Account>,
    /// What is allowed but probably not meant, one sentence each; logged at start.
    pub warnings: Vec<String>,
}

/// Who may ask, and where.
#[derive(Debug)]
pub struct Server {
    /// At least one.
    pub listen: Vec<Listen>,
    /// What callers must show; `None` only on loopback and Unix sockets, or where the operator said `insecure_no_auth`.
    pub bearer_token_file: Option<PathBuf>,
    /// Open connections over all listeners; one more is closed at once.
    pub max_connections: usize,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One CallTools account.
#[derive(Debug)]
pub struct Account {
    pub name: Arc<str>,
    pub upstream: Upstream,
    /// Requests in any 3600 s, ours all told.
    pub requests_per_hour: NonZeroU32,
    /// How many of them are kept back from polling; always less than `requests_per_hour`.
    pub reserve: u32,
    /// At least one, with different names.
    pub queues: Vec<Queue>,
}

/// How an account is reached.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `https://east-1.calltools.io/api/`: ends in a slash.
    pub base_url: url::Url,
    pub token: TokenSource,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for a whole answer, body included.
    pub timeout: Duration,
    /// A proxy to use; without one none is used, whatever the environment says, since the token would pass through it.
    pub proxy: Option<url::Url>,
    /// More certificate authorities to trust, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// Where an account's token is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    File(PathBuf),
    /// The name of an environment variable.
    Env(String),
}

/// One queue of an account.
#[derive(Debug)]
pub struct Queue {
    /// As written in the file: what metrics and JSON call the queue.
    pub spelling: Arc<str>,
    pub reference: QueueRef,
    pub rule: Rule,
    /// What the count is compared with; `None` for rules that compare with no number.
    pub threshold: Option<Quantity>,
    /// `None`: three times the planned age, at least 60 s.
    pub max_age: Option<Duration>,
    pub on_unknown: OnUnknown,
}

/// How the config names a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueRef {
    Id(u64),
    Name(String),
}

/// How seats are counted.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Agents who are available and logged in to the queue.
    Seats {
        /// An agent available for longer than this has forgotten to log off, and is not counted.
        forgotten_after: Option<Duration>,
    },
    /// The operator's own rule.
    Custom(Arc<Criteria>),
}
