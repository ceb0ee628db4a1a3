//! The engine that a cluster shares: Redis or Valkey. Connections are dropped at the first sign of trouble and opened again.
//!
//! A command without an answer in time may or may not have happened. So nothing here is retried: callers know which commands they may repeat.

mod error;
mod link;
mod listening;
mod place;
mod rights;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use redis::{Value, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

pub use self::error::EngineError;
use self::link::Link;
pub use self::listening::Heard;
pub use self::place::{BadUrl, Place};
use super::{
    command::{Command, Listener, Look, Position, Reply},
    replies, scripts,
};

/// The timeout for connecting: well below a third of the shortest lease.
const CONNECT: Duration = Duration::from_millis(500);

/// The timeout for an answer. Scripts take less than a millisecond, and a lease of 3 s is renewed each second.
const ANSWER: Duration = Duration::from_millis(400);

/// How long replicas may take to confirm a write: within [`ANSWER`].
const CONFIRM_MS: u64 = 250;

/// How soon all scripts are tried again after the engine has refused one. All accounts use one trial, and a person's change shows within a second.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How many nodes of a cluster a command may be sent to: the known one, the one that it names, and one more after a failover.
const MAX_MOVES: usize = 3;

/// The name of the dummy account on which each script is tried.
const TRIAL: &str = "trial";

/// Runs commands: implemented by the real engine, and by simulated ones in tests.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Runs a command once, for the account with this key.
    ///
    /// # Errors
    /// There was no usable answer: the command may or may not have happened.
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>>;

    /// Returns whether what it acknowledges survives a fail-over, because all replicas have it.
    fn keeps_what_it_confirms(&self) -> bool;
}

/// Where to find the engine.
#[derive(Clone, Debug)]
pub struct Address {
    /// A URL that [`Place`] can parse, without a password.
    pub url: String,
    /// The password, if it has one.
    pub password: Option<SecretString>,
    /// The prefix of all keys and channels.
    pub prefix: String,
    /// How many replicas must confirm a write before it counts.
    pub replicas: u32,
}

/// Redis or Valkey. See the [module](self).
pub struct RedisEngine {
    /// Another one replaces it with each new password.
    place: StdMutex<Arc<Place>>,
    prefix: String,
    replicas: u32,
    /// The connections by node. Nodes have names only in a Redis Cluster; the empty name is the only node, or any node of the cluster.
    links: StdMutex<HashMap<String, Arc<Link>>>,
    /// In a Redis Cluster, the node of each account, as nodes have named it.
    homes: StdMutex<HashMap<String, String>>,
    /// Whether every script has worked since the last command that was refused.
    is_tried: AtomicBool,
    /// Locked while all scripts are tried: what was refused last, and when.
    trial: Mutex<Option<(EngineError, Instant)>>,
    up: AtomicBool,
    /// The last error that was logged.
    last_logged: StdMutex<String>,
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The place has the password.
        f.debug_struct("RedisEngine")
            .field("prefix", &self.prefix)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// Locks a map. Only insertions and removals happen under the lock, so a panic leaves nothing half done.
fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisEngine {
    /// Creates an engine without connecting.
    ///
    /// # Errors
    /// The URL names no engine.
    pub fn new(address: &Address) -> Result<Self, BadUrl> {
        crate::process::tls::use_ring();
        let mut place = Place::from_url(&address.url)?;
        if let Some(password) = &address.password {
            place = place.with_password(password.expose_secret());
        }
        Ok(Self {
            place: StdMutex::new(Arc::new(place)),
            prefix: address.prefix.clone(),
            replicas: address.replicas,
            links: StdMutex::default(),
            homes: StdMutex::default(),
            is_tried: AtomicBool::new(false),
            trial: Mutex::default(),
            up: AtomicBool::new(false),
            last_logged: StdMutex::default(),
        })
    }

    /// Uses this password for connections from now on. Those that exist stay, since the engine has accepted them.
    pub fn use_password(&self, password: &SecretString) {
        let mut place = lock(&self.place);
        let changed = Place::clone(&place).with_password(password.expose_secret());
        *place = Arc::new(changed);
    }

    fn place(&self) -> Arc<Place> {
        Arc::clone(&lock(&self.place))
    }

    /// Returns whether the last command was answered, and every script works.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    fn link(&self, node: &str) -> Arc<Link> {
        let mut links = lock(&self.links);
        Arc::clone(links.entry(node.to_owned()).or_default())
    }

    /// Asks the node that has the account. If a node names another one, it has not run the command, which then goes there.
    async fn ask_its_node(&self, account: &str, command: &Command) -> Result<Reply, EngineError> {
        for _ in 0..MAX_MOVES {
            let home = lock(&self.homes).get(account).cloned().unwrap_or_default();
            let (link, place) = (self.link(&home), self.place());
            let asked = async {
                let node = place.node(&home);
                let (mut connection, number) = link.connection(&place, node).await?;
                let asked = timeout(ANSWER, self.ask(&mut connection, account, command));
                let answered = match asked.await.unwrap_or(Err(EngineError::Silent)) {
                    Err(error) if error.hides_a_right() => {
                        let found = rights::lacking(&mut connection, &self.prefix);
                        let found = timeout(ANSWER, found).await;
                        Err(found.ok().flatten().unwrap_or(error))
                    }
                    answered => answered,
                };
                // Errors such as READONLY count as well: the engine's role has changed.
                let is_of_connection =
                    |error: &EngineError| error.moved_to().is_none() && !error.is_spoilt();
                if answered.as_ref().is_err_and(is_of_connection) {
                    link.drop_connection(number).await;
                }
                answered
            };
            match asked.await {
                Err(error) => match error.moved_to().filter(|_| place.is_cluster()) {
                    Some(to) => drop(lock(&self.homes).insert(account.to_owned(), to)),
                    None => {
                        lock(&self.homes).remove(account);
                        return Err(error);
                    }
                },
                answered => return answered,
            }
        }
        lock(&self.homes).remove(account);
        Err(EngineError::Silent)
    }

    /// Tries all scripts, unless they are known to work. After a refusal, all must work again before anything else is done: an engine that takes no
    /// writes often answers reads, and a lease must not be renewed by a node that cannot write its log.
    async fn is_usable(&self) -> Result<(), EngineError> {
        if self.is_tried.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut refused = self.trial.lock().await;
        if self.is_tried.load(Ordering::Relaxed) {
            return Ok(()); // Another command has waited for the same trial.
        }
        if let Some((error, at)) = &*refused
            && at.elapsed() < TRY_AGAIN
        {
            return Err(error.clone());
        }
        let tried = self.try_all().await;
        let error = tried
            .as_ref()
            .err()
            .filter(|error| error.refusal().is_some());
        *refused = error.map(|error| (error.clone(), Instant::now()));
        self.is_tried.store(tried.is_ok(), Ordering::Relaxed);
        tried
    }

    /// Runs every script once for a dummy account, so that a missing permission shows at startup instead of when a leader fails.
    async fn try_all(&self) -> Result<(), EngineError> {
        let run = |command| async move { self.ask_its_node(TRIAL, &command).await };
        let text = || TRIAL.to_owned();
        let discard = |generation| Command::Discard {
            generation,
            new: text(),
        };
        if let Reply::Discarded(Some(other)) = run(discard(text())).await? {
            run(discard(other)).await?; // Another user has set the mark.
        }
        let look = Command::Look {
            node: text(),
            info: Vec::new(),
            generation: text(),
        };
        let Reply::Seen(Look { lease, last, .. }) = run(look).await? else {
            return Ok(());
        };
        let (epoch, number) = (last.epoch + 1, 1);
        for command in [
            Command::Take {
                generation: text(),
                seen: lease,
                lease: format!("{TRIAL} 1 1"),
            },
            Command::Renew {
                generation: text(),
                holder: text(),
                lease: format!("{TRIAL} 2 1"),
            },
            Command::Publish {
                generation: text(),
                holder: text(),
                position: Position { epoch, number },
                entry: Vec::new(),
                checkpoint: Some(vec![vec![0]; 2]),
            },
            Command::Read {
                after: Position::default(),
                checkpoint: true,
            },
            Command::Mirror {
                generation: text(),
                node: text(),
                mirror: Vec::new(),
            },
            Command::Mirrors,
            Command::Forget {
                nodes: vec![text()],
                mirrors: vec![text()],
            },
            Command::Claim {
                account: text(),
                claims: vec![text()],
            },
            Command::Send {
                to: Listener::Leader,
                message: Vec::new(),
            },
        ] {
            run(command).await?;
        }
        Ok(())
    }

    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        account: &str,
        command: &Command,
    ) -> Result<Reply, EngineError> {
        let Some(call) = scripts::call(command, &self.bell(account)) else {
            let Command::Send { to, message } = command else {
                unreachable!("all other commands have scripts")
            };
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(self.channel(account, to)).arg(message);
            return Ok(replies::read(
                command,
                publish.query_async(connection).await?,
            )?);
        };
        let mut invocation = call.script.prepare_invoke();
        for key in call.keys {
            invocation.key(format!("{}:{{{account}}}:{key}", self.prefix));
        }
        for argument in &call.arguments {
            invocation.arg(argument.as_slice());
        }
        let value: Value = invocation.invoke_async(connection).await?;
        let counts = matches!(
            command,
            Command::Take { .. } | Command::Renew { .. } | Command::Publish { .. }
        );
        if counts && self.replicas > 0 {
            let mut wait = redis::cmd("WAIT");
            wait.arg(self.replicas).arg(CONFIRM_MS);
            let confirmed: i64 = wait.query_async(connection).await?;
            if confirmed < i64::from(self.replicas) {
                return Err(EngineError::Unconfirmed {
                    confirmed,
                    wanted: self.replicas,
                });
            }
        }
        Ok(replies::read(command, value)?)
    }

    fn bell(&self, account: &str) -> String {
        format!("{}:bell:{account}", self.prefix)
    }

    fn channel(&self, account: &str, to: &Listener) -> String {
        match to {
            Listener::Leader => format!("{}:ask:{account}", self.prefix),
            Listener::Bell => self.bell(account),
            Listener::Node(node) => format!("{}:node:{node}", self.prefix),
        }
    }

    /// Logs why the engine cannot be used, once until it works again. A lost connection shows in several ways, one after the other; only another
    /// reason is news.
    fn log(&self, error: &EngineError, was_up: bool) {
        let text = error.to_string();
        let mut last = lock(&self.last_logged);
        if was_up || last.is_empty() || (!error.is_silence() && *last != text) {
            tracing::warn!(
                %error,
                advice = error.refusal().map(|refusal| refusal.advice),
                "the cluster's engine is lost; this node answers from memory until it is back"
            );
            *last = text;
        }
    }
}

impl Engine for RedisEngine {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            let answered = match self.is_usable().await {
                Ok(()) => self.ask_its_node(account, command).await,
                Err(error) => Err(error),
            };
            if answered
                .as_ref()
                .is_err_and(|error| error.refusal().is_some())
            {
                self.is_tried.store(false, Ordering::Relaxed);
            }
            if answered.is_ok() && !self.is_tried.load(Ordering::Relaxed) {
                return answered; // It was sent before another one was refused.
            }
            let is_up = answered.as_ref().err().is_none_or(EngineError::is_spoilt);
            let was_up = self.up.swap(is_up, Ordering::Relaxed);
            match &answered {
                Err(error) if !is_up => self.log(error, was_up),
                _ if !was_up => {
                    let after = std::mem::take(&mut *lock(&self.last_logged));
                    let after = (!after.is_empty()).then_some(after);
                    tracing::info!(after, "the cluster's engine answers");
                }
                _ => {}
            }
            answered
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        let links = lock(&self.links);
        let most = links.values().map(|link| link.replicas()).max();
        self.replicas > 0 && self.replicas >= most.unwrap_or_default()
    }
}
