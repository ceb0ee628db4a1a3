//! The configuration: a file becomes a [`Config`] that cannot be wrong.
//!
//! All mistakes are reported together, each with its place and with what to write instead. What is allowed but probably unintended is a warning.
//! The file has no secrets: it names where they are ([`TokenSource`], [`BearerTokens`], [`WebhookUrl`]). `config.example.toml` has every key.
//!
//! `source` holds the text and collects the mistakes; `section` and `value` walk through it, with their `place` for messages; `keys` lists what
//! may be written; `server`, `account`, `upstream`, `queue` and `notify` build the checked types, and `names` compares what they name.

use std::{
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::{
    budget::SharedBudget,
    decision::{
        OnUnknown, Patience,
        criteria::{Criteria, Renewal, SeatRule},
        soon,
    },
    model::{hours::OpeningHours, quantity::Quantity},
};

mod account;
mod client;
mod cluster;
mod keys;
mod names;
mod notify;
pub mod pasted;
mod place;
mod problem;
mod queue;
mod schedule;
mod secret;
mod section;
mod server;
mod show;
mod source;
mod state;
mod upstream;
mod value;
mod webhook;

pub use cluster::Cluster;
pub use names::NamedQueue;
pub use notify::{Condition, Notify, Subscription};
pub use problem::{ConfigError, Problem};
pub use schedule::ScheduleOptions;
pub use secret::{BearerTokens, SecretError, SecretFault, TokenSource, WRAPPED, read_password};
pub use state::{first_folder, probable_folder};
pub use webhook::WebhookUrl;

pub(crate) use server::MAX_SOCKET_PATH;

use section::Section;
use source::{Checked, Source, read};
use state::{NO_STATE, StateDir};

/// Where systemd puts the credentials of our unit while it runs.
const SERVICE_CREDENTIALS: &str = "/run/credentials/openseat.service";

/// Where systemd puts the state of our unit.
const SERVICE_STATE: &str = "/var/lib/openseat";

/// Looks up a variable of this process; adds the credentials of the service and, if the service reads the same file, its state folder.
fn service_env(path: &Path, name: &str) -> Option<String> {
    let of_service = || match name {
        CREDENTIALS_DIRECTORY => Some(SERVICE_CREDENTIALS.to_owned()),
        state::STATE_DIRECTORY => {
            let is_service = path == Path::new(SERVICE_CONFIG) && Path::new(SERVICE_STATE).exists();
            is_service.then(|| SERVICE_STATE.to_owned())
        }
        _ => None,
    };
    process_env(name).or_else(of_service)
}

/// The variable that names the folder of a unit's credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The default paths of the file, in order.
pub const DEFAULT_PATHS: [&str; 2] = ["openseat.toml", SERVICE_CONFIG];

/// The path that the service reads.
const SERVICE_CONFIG: &str = "/etc/openseat/openseat.toml";

/// Looks up environment variables; tests have their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up a variable of this process. One that is not UTF-8 counts as absent.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A completely checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// The folder for the ledger and everything else that outlives the process; `None` keeps it in memory, as `dir = false` requests.
    pub state_dir: Option<PathBuf>,
    /// How many days of history the folder keeps; 0 keeps none.
    pub history_days: u32,
    /// The engine that several nodes share; `None` without a cluster.
    pub cluster: Option<Cluster>,
    /// At least one, with unique names.
    pub accounts: Vec<Account>,
    /// Who gets messages and pushes.
    pub notify: Vec<Notify>,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
    /// How values were understood that are written differently from how they are used, one sentence each.
    pub notes: Vec<String>,
}

impl Config {
    /// Returns the first of the [default paths](DEFAULT_PATHS) that exists.
    ///
    /// # Errors
    /// [`ConfigError::NotFound`] if none exists.
    pub fn find() -> Result<PathBuf, ConfigError> {
        let mut paths = DEFAULT_PATHS.iter().map(PathBuf::from);
        paths
            .find(|path| path.exists())
            .ok_or(ConfigError::NotFound)
    }

    /// Reads and checks a file; warns about secrets that other users of this machine can read.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read, or has mistakes, which are all reported.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::parse(&read(path)?, path, &process_env)?;
        Ok(config.with_its_secrets_looked_at())
    }

    /// Reads and checks a file for a command beside the service. A token that only the service has counts as found. It looks at no other file, since
    /// most commands need none, and each may hang.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_beside_the_service(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path, &|name| service_env(path, name))
    }

    /// Adds a warning for each secret that other users of this machine can read. Blocks for a moment if files hang.
    #[must_use]
    pub fn with_its_secrets_looked_at(mut self) -> Self {
        let exposed = secret::exposures(self.secret_files());
        self.warnings.extend(exposed);
        self
    }

    /// Checks a text. `path` is for messages, and relative paths start at its folder.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`], with all of them.
    pub fn parse(text: &str, path: &Path, env: Environment<'_>) -> Result<Self, ConfigError> {
        let source = Source::new(path, text, env);
        let config = source.document().and_then(|document| {
            let root = Section::root(&source, &document);
            Self::check(&root)
        });
        let (mut config, remarks) = source.finish(config)?;
        config.warnings.splice(0..0, remarks.warnings);
        config.warnings.extend(names::doubtful(&config));
        config.notes = remarks.notes;
        Ok(config)
    }

    fn check(root: &Section<'_>) -> Checked<Self> {
        let server = root
            .table("server", &keys::SERVER, "server")
            .and_then(|section| server::server(section.as_ref()));
        let state = root
            .table("state", &keys::STATE, "state")
            .and_then(|section| state::state(root, section.as_ref()));
        let cluster = cluster::with_accounts(root);
        let notify = notify::recipients(root);
        let (state_dir, history_days) = state?;
        let (cluster, accounts) = cluster?;
        let (state_dir, warning) = match state_dir {
            StateDir::Folder(folder) => (Some(folder), None),
            StateDir::Memory => (None, None),
            StateDir::Nowhere => (None, Some(NO_STATE.to_owned())),
        };
        Ok(Self {
            server: server?,
            cluster,
            accounts,
            notify: notify?,
            warnings: warning.into_iter().collect(),
            notes: Vec::new(),
            state_dir,
            history_days,
        })
    }

    /// Returns the files with secrets that the operator names.
    fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let tokens = self.accounts.iter().map(|account| &account.upstream.token);
        let tokens = tokens.filter_map(|token| match token {
            TokenSource::File(path) => Some(path.as_path()),
            TokenSource::Credential(_) | TokenSource::Env(_) => None,
        });
        tokens
            .chain(self.server.bearer_token_file.as_deref())
            .chain(
                self.server
                    .clients
                    .iter()
                    .map(|client| client.token_file.as_path()),
            )
            .chain(self.server.tls.as_ref().map(|tls| tls.key.as_path()))
            .chain(self.notify.iter().map(|notify| notify.url_file.as_path()))
            .chain((self.cluster.as_ref()).and_then(|cluster| cluster.password_file.as_deref()))
    }
}

/// The server: its addresses, and who may ask.
#[derive(Clone, Debug)]
pub struct Server {
    /// At least one.
    pub listen: Vec<Listen>,
    /// The file with the bearer tokens; `None` only on loopback and Unix sockets, or with `insecure_no_auth`.
    pub bearer_token_file: Option<PathBuf>,
    /// Further callers. Only where there is a bearer token.
    pub clients: Vec<Client>,
    /// Names of this server besides `localhost`, IP addresses and names without a dot; in lower case, without a final dot. They matter only if
    /// callers need no token.
    pub allowed_hosts: Vec<String>,
    /// TLS for every TCP address of `listen`; `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The most open connections, over all listeners.
    pub max_connections: usize,
    /// Where HAProxy's agent-checks are answered. They have no token, so beyond loopback this needs `insecure_no_auth`.
    pub agent_check_listen: Option<SocketAddr>,
    /// How many threads serve requests. Polls have their own.
    pub threads: usize,
    /// Whether metrics count agents by status: a series for each queue and status.
    pub metrics_by_status: bool,
}

/// A caller with its own token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name in metrics and the log.
    pub name: Arc<str>,
    /// The file with its tokens, one a line.
    pub token_file: PathBuf,
    /// The queues that it may use, by name, id or `account/queue`; `None` for all.
    pub queues: Option<Arc<[Box<str>]>>,
    /// What it may do with them.
    pub may: May,
    /// Whether it may send its token as `?key=…`.
    pub in_url: bool,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum May {
    /// Ask for decisions.
    #[default]
    Ask,
    /// Ask, and hold and release seats.
    Reserve,
    /// Ask, and read everything that GET answers.
    Read,
}

/// The files for TLS, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to an authority which callers trust.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// An IP address and a port; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// The absolute path of a socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    /// As in the config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One CallTools account.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its name in metrics and JSON: one line without a slash.
    pub name: Arc<str>,
    /// How to connect to it.
    pub upstream: Upstream,
    /// The limit of our requests in any 3600 s.
    pub requests_per_hour: NonZeroU32,
    /// How many of them polls may not use; always less than `requests_per_hour`.
    pub reserve: u32,
    /// The budget that it shares with the accounts that name the same one.
    pub budget: Option<SharedBudget>,
    /// Settings of its schedule.
    pub schedule: ScheduleOptions,
    /// At least one, with different names.
    pub queues: Vec<Queue>,
}

impl Account {
    /// Returns the requests per hour for polling: this account's part, if it shares its budget.
    pub fn polls_per_hour(&self) -> NonZeroU32 {
        let accounts = self
            .budget
            .as_ref()
            .map_or(1, |budget| budget.accounts.get());
        let polls = (self.requests_per_hour.get() - self.reserve) / accounts;
        NonZeroU32::new(polls).unwrap_or(NonZeroU32::MIN)
    }
}

/// How to connect to an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// `https://east-1.calltools.io/api/`: ends in a slash.
    pub base_url: url::Url,
    /// Where its token is.
    pub token: TokenSource,
    /// The timeout for a connection.
    pub connect_timeout: Duration,
    /// The timeout for a complete answer, body included.
    pub timeout: Duration,
    /// The proxy. Proxies named in the environment are not used, since the token would pass through them.
    pub proxy: Option<url::Url>,
    /// More certificate authorities to trust, as PEM.
    pub ca_file: Option<PathBuf>,
    /// The name by which its API sorts agents by date of change.
    pub ordering_field: Arc<str>,
}

/// One queue of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// The name or id as text, as in metrics and JSON.
    pub spelling: Arc<str>,
    /// The name or the id.
    pub reference: QueueRef,
    /// How seats are counted.
    pub rule: Rule,
    /// The value to compare the count with; `None` for rules that do not compare numbers.
    pub threshold: Option<Quantity>,
    /// `None` for three times the planned age, at least 60 s.
    pub max_age: Option<Duration>,
    /// The answer while the queue is unknown.
    pub on_unknown: OnUnknown,
    /// When it is open; `None` for always.
    pub hours: Option<Arc<OpeningHours>>,
    /// Whether its decisions wait for fresh answers by default.
    pub patience: Option<Patience>,
    /// Whether it accepts at zero seats if an agent will be free when the call arrives.
    pub soon: Soon,
}

/// Whether a queue accepts at zero seats if an agent will be free when the call arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Soon {
    /// It does. Otherwise openseat only measures whether that would help.
    pub is_on: bool,
    /// What the operator knows about the queue's calls.
    pub terms: soon::rule::Terms,
}

/// How the config names a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueRef {
    /// CallTools' id. A name of digits only counts as an id.
    Id(u64),
    /// Its exact name.
    Name(String),
}

impl fmt::Display for QueueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueRef::Id(id) => id.fmt(f),
            QueueRef::Name(name) => f.write_str(name),
        }
    }
}

/// How seats are counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Agents who are available, logged in to the queue, and on no call.
    Seats(SeatRule),
    /// Custom criteria.
    Custom(Arc<Criteria>),
}

impl Rule {
    /// Returns whether the same rows may count differently as time passes.
    pub fn reads_time(&self) -> bool {
        matches!(self, Rule::Seats(rule) if rule.forgotten_after.is_some())
    }

    /// Returns which lists renew its result. The built-in rule counts by status.
    pub fn renewal(&self) -> Renewal {
        match self {
            Rule::Seats(_) => Renewal::Statuses,
            Rule::Custom(criteria) => criteria.renewal(),
        }
    }

    /// Returns whether it may read why an agent is not available, from rows of other lists than the queue's own. Lists of available agents do not
    /// contain that.
    pub fn reads_reasons(&self) -> bool {
        matches!(self, Rule::Custom(_)) && self.renewal() != Renewal::Polls
    }
}
