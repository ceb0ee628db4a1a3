//! The engine that a cluster shares: Redis or Valkey. Connections are dropped at the first sign of trouble and opened again.
//!
//! A command without an answer in time may or may not have happened. So nothing here is retried: callers know which commands they may repeat.

mod error;
mod link;
mod listening;
mod place;
mod rights;
#[cfg(test)]
mod sentinels;
mod server;
mod trial;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use redis::{Value, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

pub use self::error::EngineError;
pub use self::listening::Heard;
pub use self::place::{BadUrl, Place};
#[cfg(test)]
pub(super) use self::trial::{Trial, commands};
use self::{server::Server, trial::TRIAL};
use super::{
    command::{Command, Listener, Reply},
    replies, scripts,
};

/// The timeout for connecting: well below a third of the shortest lease.
const CONNECT: Duration = Duration::from_millis(500);

/// The timeout for an answer. Scripts take less than a millisecond, and a lease of 3 s is renewed each second.
const ANSWER: Duration = Duration::from_millis(400);

/// How long replicas may take to confirm a write: within [`ANSWER`].
const CONFIRM_MS: u64 = 250;

/// How many nodes of a cluster a command may be sent to: the known one, the one that it names, and one more after a failover.
const MAX_MOVES: usize = 3;

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
    place: Mutex<Arc<Place>>,
    prefix: String,
    replicas: u32,
    /// The servers by address. They have addresses only in a Redis Cluster; the empty one is the only server, or any server of the cluster.
    servers: Mutex<HashMap<String, Arc<Server>>>,
    /// In a Redis Cluster, the server of each account, as servers have named it.
    homes: Mutex<HashMap<String, String>>,
    /// How the names of the trial's keys begin. Two processes on the same keys would end each other's trial early, and so pass it.
    stem: String,
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
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            place: Mutex::new(Arc::new(place)),
            prefix: address.prefix.clone(),
            replicas: address.replicas,
            servers: Mutex::default(),
            homes: Mutex::default(),
            stem: format!("{TRIAL}-{:08x}:", fastrand::u32(..)),
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

    /// Returns whether each server that was used has answered its last command, and every command works there.
    pub fn is_up(&self) -> bool {
        let servers = lock(&self.servers);
        let mut used = servers.values().filter_map(|one| one.is_up()).peekable();
        used.peek().is_some() && used.all(|is_up| is_up)
    }

    fn server(&self, address: &str) -> Arc<Server> {
        let mut servers = lock(&self.servers);
        Arc::clone(servers.entry(address.to_owned()).or_default())
    }

    /// Asks the server that has the account. If a server names another one, it has not run the command, which then goes there.
    async fn ask_its_server(&self, account: &str, command: &Command) -> Result<Reply, EngineError> {
        for _ in 0..MAX_MOVES {
            let home = lock(&self.homes).get(account).cloned().unwrap_or_default();
            let (server, place) = (self.server(&home), self.place());
            let asked = async {
                let trial = self.try_all(&server, &place, &home, account);
                server.trial.pass(trial).await?;
                let names = Names::of(account);
                self.ask_server(&server, &place, &home, names, command)
                    .await
            };
            let answered = asked.await;
            let error = answered.as_ref().err();
            if let Some(to) = error.and_then(EngineError::moved_to)
                && place.is_cluster()
            {
                lock(&self.homes).insert(account.to_owned(), to);
                continue;
            }
            if error.is_some() {
                lock(&self.homes).remove(account);
            }
            server.note(&home, &answered);
            return answered;
        }
        lock(&self.homes).remove(account);
        Err(EngineError::Silent)
    }

    /// Runs every command once on keys beside those of the account, which are at the same server, and removes them.
    async fn try_all(
        &self,
        server: &Server,
        place: &Place,
        home: &str,
        account: &str,
    ) -> Result<(), EngineError> {
        let names = self.trial_names(account);
        let mut tried = Ok(());
        for command in trial::commands() {
            tried = self
                .ask_server(server, place, home, names, &command)
                .await
                .map(drop);
            if tried.is_err() {
                break;
            }
        }
        if tried.as_ref().is_err_and(|error| error.refusal().is_none()) {
            return tried; // The next trial removes what this one has left.
        }
        let mut expire = redis::pipe();
        for key in scripts::ALL_KEYS.into_iter().chain(["accounts", "right"]) {
            let key = self.key(names, key);
            expire.cmd("EXPIRE").arg(key).arg(0).ignore();
        }
        if let Ok((mut connection, _)) = server.link.connection(place, place.node(home)).await {
            // If it fails, they are few and short.
            let _ = timeout(ANSWER, expire.exec_async(&mut connection)).await;
        }
        tried
    }

    async fn ask_server(
        &self,
        server: &Server,
        place: &Place,
        home: &str,
        names: Names<'_>,
        command: &Command,
    ) -> Result<Reply, EngineError> {
        let (mut connection, number) = server.link.connection(place, place.node(home)).await?;
        let asked = timeout(ANSWER, self.ask(&mut connection, names, command));
        let answered = match asked.await.unwrap_or(Err(EngineError::Silent)) {
            Err(error) if error.hides_a_right() => {
                let key = self.key(self.trial_names(names.tag), "right");
                let found = rights::lacking(&mut connection, &self.prefix, &key);
                let found = timeout(ANSWER, found).await;
                Err(found.ok().flatten().unwrap_or(error))
            }
            answered => answered,
        };
        // Errors such as READONLY count as well: the engine's role has changed.
        let is_of_connection =
            |error: &EngineError| error.moved_to().is_none() && !error.is_spoilt();
        if answered.as_ref().is_err_and(is_of_connection) {
            server.link.drop_connection(number).await;
        }
        answered
    }

    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        names: Names<'_>,
        command: &Command,
    ) -> Result<Reply, EngineError> {
        let bell = self.channel(names.channel, &Listener::Bell);
        let Some(call) = scripts::call(command, &bell) else {
            let Command::Send { to, message } = command else {
                unreachable!("all other commands have scripts")
            };
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(self.channel(names.channel, to)).arg(message);
            return Ok(replies::read(
                command,
                publish.query_async(connection).await?,
            )?);
        };
        let mut invocation = call.script.prepare_invoke();
        for key in call.keys {
            invocation.key(self.key(names, key));
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

    fn trial_names<'a>(&'a self, account: &'a str) -> Names<'a> {
        Names {
            tag: account,
            stem: &self.stem,
            channel: TRIAL,
        }
    }

    fn key(&self, names: Names<'_>, key: &str) -> String {
        let Names { tag, stem, .. } = names;
        format!("{}:{{{tag}}}:{stem}{key}", self.prefix)
    }

    fn channel(&self, account: &str, to: &Listener) -> String {
        match to {
            Listener::Leader => format!("{}:ask:{account}", self.prefix),
            Listener::Bell => format!("{}:bell:{account}", self.prefix),
            Listener::Node(node) => format!("{}:node:{node}", self.prefix),
        }
    }
}

/// What the keys and channels of a command are called.
#[derive(Clone, Copy, Debug)]
struct Names<'a> {
    /// All keys with the same one are at the same server of a Redis Cluster.
    tag: &'a str,
    /// The beginning of each key's own name.
    stem: &'a str,
    channel: &'a str,
}

impl<'a> Names<'a> {
    fn of(account: &'a str) -> Self {
        Self {
            tag: account,
            stem: "",
            channel: account,
        }
    }
}

impl Engine for RedisEngine {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(self.ask_its_server(account, command))
    }

    fn keeps_what_it_confirms(&self) -> bool {
        let servers = lock(&self.servers);
        let most = servers.values().map(|one| one.link.replicas()).max();
        self.replicas > 0 && self.replicas >= most.unwrap_or_default()
    }
}
