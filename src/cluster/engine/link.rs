//! A connection that is dropped at the first sign of trouble and then opened again.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::select_ok;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, aio::MultiplexedConnection};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant, timeout},
};

use super::{ANSWER, CONNECT, EngineError, Place};

/// How long to wait before connecting again to an unreachable engine. Until then, commands fail at once.
const REST: Duration = Duration::from_millis(200);

/// A connection with a number, so that only its own users drop it.
#[derive(Default)]
pub(super) struct Link {
    state: Mutex<State>,
    /// The most replicas that its engine had at the start of a connection.
    replicas: AtomicU32,
}

#[derive(Default)]
struct State {
    connection: Option<(MultiplexedConnection, ConnectionInfo)>,
    number: u64,
    failed: Option<Instant>,
}

impl Link {
    /// Returns the connection and its number.
    pub async fn connection(
        &self,
        place: &Place,
        node: Option<ConnectionInfo>,
    ) -> Result<(MultiplexedConnection, u64), EngineError> {
        // The first caller connects; others wait for it here, at most as long as that takes.
        let mut link = self.state.lock().await;
        if let Some((connection, _)) = &link.connection {
            return Ok((connection.clone(), link.number));
        }
        if link.failed.is_some_and(|failed| failed.elapsed() < REST) {
            return Err(EngineError::Silent);
        }
        let connected = timeout(CONNECT, connect(place, node)).await;
        match connected.unwrap_or(Err(EngineError::Silent)) {
            Ok((connection, info, replicas)) => {
                self.replicas.fetch_max(replicas, Ordering::Relaxed);
                link.number += 1;
                link.failed = None;
                link.connection = Some((connection.clone(), info));
                Ok((connection, link.number))
            }
            Err(error) => {
                link.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Returns the most replicas that its engine had at the start of a connection.
    pub fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed)
    }

    /// Drops the connection with this number.
    pub async fn drop_connection(&self, number: u64) {
        let mut link = self.state.lock().await;
        if link.number == number {
            link.connection = None;
        }
    }

    /// Drops the connection if it leads to another address. Returns whether it did.
    pub async fn leave_all_but(&self, info: &ConnectionInfo) -> bool {
        let mut link = self.state.lock().await;
        let is_elsewhere = |(_, there): &mut (_, ConnectionInfo)| there.addr() != info.addr();
        link.connection.take_if(is_elsewhere).is_some()
    }

    /// Drops the connection. Returns whether there was one.
    pub async fn leave(&self) -> bool {
        self.state.lock().await.connection.take().is_some()
    }
}

/// A connection, where it leads, and how many replicas there are.
type Opened = (MultiplexedConnection, ConnectionInfo, u32);

/// Connects to the given node of a cluster, or else to the first address that works.
async fn connect(place: &Place, node: Option<ConnectionInfo>) -> Result<Opened, EngineError> {
    let found = match node {
        Some(node) => vec![node],
        None => place.find().await?,
    };
    let tried = found.into_iter().map(|info| Box::pin(open(place, info)));
    let (connected, _) = select_ok(tried).await?;
    Ok(connected)
}

async fn open(place: &Place, info: ConnectionInfo) -> Result<Opened, EngineError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER));
    let mut connection = Client::open(info.clone())?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let info_text: String = redis::cmd("INFO").query_async(&mut connection).await?;
    let replicas = check(&info_text, place.is_cluster())?;
    Ok((connection, info, replicas))
}

/// Checks an engine's `INFO`. Returns how many replicas it has.
fn check(info: &str, is_cluster: bool) -> Result<u32, EngineError> {
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
    if version_is < (6, 2) {
        return Err(EngineError::TooOld(version.to_owned()));
    }
    let replicas = field("connected_slaves").and_then(|number| number.parse().ok());
    let replicas = replicas.unwrap_or_default();
    if is_cluster {
        return Ok(replicas); // A replica names the node that has the account.
    }
    if field("redis_mode") == Some("cluster") {
        return Err(EngineError::IsCluster);
    }
    match field("role") {
        Some("slave") => Err(EngineError::Replica),
        _ => Ok(replicas),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsuitable_engine_is_refused_with_a_reason() {
        let info = |policy: &str, version: &str, more: &str| {
            format!(
                "# Server\r\nredis_version:{version}\r\nmaxmemory_policy:{policy}\r\n{more}\r\n"
            )
        };
        let check = |info: String| check(&info, false);
        assert!(check(info("noeviction", "6.2.0", "")).is_ok());
        let master = "role:master\r\nconnected_slaves:2";
        assert_eq!(check(info("noeviction", "7.0.15", master)).unwrap(), 2);
        for (info, why) in [
            (info("allkeys-lru", "7.0.15", ""), "allkeys-lru"),
            (info("noeviction", "6.0.16", ""), "6.0.16"),
            (info("noeviction", "7.0.15", "role:slave"), "replica"),
            (
                info("noeviction", "7.0.15", "redis_mode:cluster"),
                "redis-cluster://",
            ),
            (String::new(), "6.2"),
        ] {
            let error = check(info).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
