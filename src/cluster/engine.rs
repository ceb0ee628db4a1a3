//! The engine that a cluster shares: Redis or Valkey, reached over connections that are dropped and made anew at the first doubt.
//!
//! A command that brings no answer in time may have happened or not. So nothing here is sent twice: callers know what may be.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisError, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    command::{Command, Listener, Reply},
    replies::{self, Foreign},
    scripts,
};

/// How long to wait for a connection: well below the shortest lease's third.
const CONNECT: Duration = Duration::from_millis(500);

/// How long to wait for an answer. Scripts take less than a millisecond; a lease of 3 s is renewed each second.
const ANSWER: Duration = Duration::from_millis(400);

/// How long to leave an engine alone that could not be reached. Until then commands fail at once.
const REST: Duration = Duration::from_millis(200);

/// How long replicas may take to confirm a write: within [`ANSWER`].
const CONFIRM_MS: u64 = 250;

/// How long the connection that listens waits after it was lost.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// How often the listening connection is checked: one that hangs is noticed within two of these.
const PING: Duration = Duration::from_secs(2);

/// Why a command brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No answer in time, or no connection.
    #[error("the engine does not answer")]
    Silent,
    /// The engine's error.
    #[error("the engine: {0}")]
    Redis(#[from] RedisError),
    /// Not our data.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// Fewer replicas confirmed than the config asks for.
    #[error("{confirmed} of {wanted} replicas confirmed a write")]
    Unconfirmed {
        /// How many did.
        confirmed: i64,
        /// How many should have.
        wanted: u32,
    },
    /// The engine may throw away what it must keep.
    #[error(
        "the engine's maxmemory-policy is {0}, so it may throw away leases and requests: set it to noeviction"
    )]
    Evicts(String),
    /// The engine is too old.
    #[error("the engine is Redis {0}; openseat needs Redis 6.2 or later, or Valkey")]
    TooOld(String),
}

/// Runs commands. The real engine does, and a simulated one in tests.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Runs a command for the account with this key, once.
    ///
    /// # Errors
    /// No answer: the command may have happened or not.
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>>;
}

/// Where to find the engine.
#[derive(Clone, Debug)]
pub struct Address {
    /// `redis://…` or `unix:///…`, without a password.
    pub url: String,
    /// The password, if it has one.
    pub password: Option<secrecy::SecretString>,
    /// Of all keys and channels.
    pub prefix: String,
    /// How many replicas must have a write before it counts.
    pub replicas: u32,
}

/// Redis or Valkey. See the [module](self).
pub struct RedisEngine {
    client: Client,
    prefix: String,
    replicas: u32,
    link: Mutex<Link>,
    up: Arc<AtomicBool>,
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client knows the password.
        f.debug_struct("RedisEngine")
            .field("prefix", &self.prefix)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// The connection, numbered, so that only its own users drop it.
#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    number: u64,
    failed: Option<Instant>,
}

impl RedisEngine {
    /// An engine that nothing was asked of yet.
    ///
    /// # Errors
    /// The URL is not one of an engine.
    pub fn new(address: &Address) -> Result<Self, RedisError> {
        crate::process::tls::use_ring();
        let info = address.url.as_str().into_connection_info()?;
        let mut settings = info.redis_settings().clone();
        if let Some(password) = &address.password {
            settings = settings.set_password(secrecy::ExposeSecret::expose_secret(password));
        }
        Ok(Self {
            client: Client::open(info.set_redis_settings(settings))?,
            prefix: address.prefix.clone(),
            replicas: address.replicas,
            link: Mutex::default(),
            up: Arc::default(),
        })
    }

    /// Whether the last command was answered.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), EngineError> {
        // Others wait for the one who connects, no longer than it takes.
        let mut link = self.link.lock().await;
        if let Some(connection) = &link.connection {
            return Ok((connection.clone(), link.number));
        }
        if link.failed.is_some_and(|failed| failed.elapsed() < REST) {
            return Err(EngineError::Silent);
        }
        let connected = timeout(CONNECT, self.connect()).await;
        match connected.unwrap_or(Err(EngineError::Silent)) {
            Ok(connection) => {
                link.number += 1;
                link.failed = None;
                link.connection = Some(connection.clone());
                Ok((connection, link.number))
            }
            Err(error) => {
                link.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, EngineError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        check(&info)?;
        Ok(connection)
    }

    async fn drop_connection(&self, number: u64) {
        let mut link = self.link.lock().await;
        if link.number == number {
            link.connection = None;
        }
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
            Listener::Node(node) => format!("{}:node:{node}", self.prefix),
        }
    }

    /// Hears bells and messages until `stop`, over a connection of its own. A channel that is full loses some, as a connection does that is lost.
    pub async fn listen(&self, node: &str, heard: mpsc::Sender<Heard>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.listen_once(node, &heard) => {}
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    async fn listen_once(
        &self,
        node: &str,
        heard: &mpsc::Sender<Heard>,
    ) -> Result<(), EngineError> {
        let silent = |_| EngineError::Silent;
        let listening = timeout(CONNECT, self.client.get_async_pubsub());
        let (mut sink, mut messages) = listening.await.map_err(silent)??.split();
        let mine = format!("{}:node:{node}", self.prefix);
        sink.subscribe(mine.as_str()).await?;
        for kind in ["bell", "ask"] {
            sink.psubscribe(format!("{}:{kind}:*", self.prefix)).await?;
        }
        loop {
            match timeout(PING, messages.next()).await {
                Ok(Some(message)) => {
                    let rest = message.get_channel_name().strip_prefix(&self.prefix);
                    let data = message.get_payload_bytes().to_vec();
                    let parts: Option<Vec<&str>> = rest.map(|rest| rest.splitn(3, ':').collect());
                    let news = match parts.as_deref() {
                        Some(["", "bell", account]) => Heard::Bell((*account).to_owned()),
                        Some(["", "ask", account]) => Heard::Question((*account).to_owned(), data),
                        _ => Heard::Answer(data),
                    };
                    // Who is too busy to listen reads the log within a second anyway.
                    let _ = heard.try_send(news);
                }
                Ok(None) => return Err(EngineError::Silent),
                Err(_) => {
                    let () = timeout(PING, sink.ping()).await.map_err(silent)??;
                }
            }
        }
    }
}

/// What comes over the listening connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An account's log has grown.
    Bell(String),
    /// A message for the account's leader.
    Question(String, Vec<u8>),
    /// A message for this node.
    Answer(Vec<u8>),
}

impl Engine for RedisEngine {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            let answered = match self.connection().await {
                Err(error) => Err(error),
                Ok((mut connection, number)) => {
                    let asked = timeout(ANSWER, self.ask(&mut connection, account, command));
                    let answered = asked.await.unwrap_or(Err(EngineError::Silent));
                    // Also after READONLY and the like: this is not the engine that it was.
                    if answered.is_err() {
                        self.drop_connection(number).await;
                    }
                    answered
                }
            };
            let was_up = self.up.swap(answered.is_ok(), Ordering::Relaxed);
            match &answered {
                Err(error) if was_up => tracing::warn!(
                    %error,
                    "the cluster's engine is lost; this node answers from memory until it is back"
                ),
                Ok(_) if !was_up => tracing::info!("the cluster's engine answers"),
                _ => {}
            }
            answered
        })
    }
}

/// Checks what an engine tells of itself.
fn check(info: &str) -> Result<(), EngineError> {
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    if let Some(policy) = field("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        return Err(EngineError::Evicts(policy.to_owned()));
    }
    let version = field("redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    let version_is: (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    match version_is >= (6, 2) {
        true => Ok(()),
        false => Err(EngineError::TooOld(version.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_evicts_or_is_too_old_is_refused() {
        let info = |policy: &str, version: &str| {
            format!("# Server\r\nredis_version:{version}\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert!(check(&info("noeviction", "6.2.0")).is_ok());
        assert!(check(&info("noeviction", "7.0.15")).is_ok());
        let evicts = check(&info("allkeys-lru", "7.0.15")).unwrap_err();
        assert!(evicts.to_string().contains("allkeys-lru"), "{evicts}");
        let old = check(&info("noeviction", "6.0.16")).unwrap_err();
        assert!(old.to_string().contains("6.0.16"), "{old}");
        assert!(check("").is_err());
    }
}
