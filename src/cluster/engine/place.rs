//! Finds the engine: at one address, behind Sentinel, or on the nodes of a Redis Cluster.

use std::collections::HashMap;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo,
};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

use super::EngineError;

/// The port of Sentinels if the URL gives none.
const SENTINEL_PORT: u16 = 26_379;

/// The timeout for Sentinels. All are asked at once, and a dead one must leave time to reach the master.
const SENTINEL_ANSWERS: Duration = Duration::from_millis(200);

/// The maximum of hosts in a URL. Three Sentinels are usual, and a cluster's other nodes are discovered.
const MAX_HOSTS: usize = 16;

/// A URL that names no engine, with the reason for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub String);

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Place {
    kind: Kind,
    /// User, password and database of the engine.
    settings: RedisConnectionInfo,
}

#[derive(Clone, Debug)]
enum Kind {
    /// One address.
    Alone(ConnectionInfo),
    /// The master with this name, whose address Sentinels know.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// An example of the engine's addresses, which says whether they use TLS.
        pattern: ConnectionAddr,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<ConnectionInfo>),
}

const HAS_PASSWORD: &str = "has a password; this file is read by many and copied to backups: put it in a file and set password_file to its path";

impl Place {
    /// Parses `redis://…`, `rediss://…`, `unix:///…`, `redis-sentinel://host,host/master`, `redis-cluster://host,host`, and the last two with
    /// `rediss`.
    ///
    /// # Errors
    /// The URL is something else, or has a password.
    pub fn from_url(text: &str) -> Result<Self, BadUrl> {
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let mut query = url::form_urlencoded::parse(query.as_bytes());
        if query.any(|(name, _)| name.to_ascii_lowercase().starts_with("pass")) {
            return Err(bad(HAS_PASSWORD));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            bad("is not a URL; write for example \"redis://redis.internal:6379/0\" or \"unix:///run/redis/redis.sock\"")
        })?;
        let (base, kind) = scheme.split_once('-').unwrap_or((scheme, ""));
        match (base, kind) {
            ("redis" | "rediss" | "unix", "") => Self::alone(text),
            ("redis" | "rediss", "sentinel") => Self::sentinel(base, rest),
            ("redis" | "rediss", "cluster") => Self::cluster(base, rest),
            _ => Err(BadUrl(format!(
                "begins with {scheme}://, and openseat takes redis://, rediss:// (TLS), unix:///, redis-sentinel://, rediss-sentinel://, redis-cluster:// and rediss-cluster://"
            ))),
        }
    }

    fn alone(url: &str) -> Result<Self, BadUrl> {
        let info = connection(url)?;
        Ok(Self {
            settings: info.redis_settings().clone(),
            kind: Kind::Alone(info),
        })
    }

    fn sentinel(base: &str, rest: &str) -> Result<Self, BadUrl> {
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return Err(BadUrl(
                "names no master; write for example \"redis-sentinel://a.internal,b.internal,c.internal/mymaster\""
                    .to_owned(),
            ));
        }
        let (user, hosts) = user_and_hosts(hosts)?;
        let engine = connection(&format!("{base}://{user}127.0.0.1/{database}"))?;
        let sentinels = hosts.iter().map(|host| {
            let port = match Url::parse(&format!("redis://{host}")) {
                Ok(url) if url.port().is_none() => format!(":{SENTINEL_PORT}"),
                _ => String::new(),
            };
            connection(&format!("{base}://{host}{port}"))
        });
        Ok(Self {
            kind: Kind::Sentinel {
                sentinels: sentinels.collect::<Result<_, _>>()?,
                master: master.to_owned(),
                pattern: engine.addr().clone(),
            },
            settings: engine.redis_settings().clone(),
        })
    }

    fn cluster(base: &str, rest: &str) -> Result<Self, BadUrl> {
        let (user, hosts) = user_and_hosts(rest.trim_end_matches('/'))?;
        let seeds = hosts
            .iter()
            .map(|host| connection(&format!("{base}://{user}{host}")));
        let seeds: Vec<_> = seeds.collect::<Result<_, _>>()?;
        Ok(Self {
            settings: seeds[0].redis_settings().clone(),
            kind: Kind::Cluster(seeds),
        })
    }

    /// Sets the engine's password. Sentinels are asked without one.
    pub fn with_password(mut self, password: &str) -> Self {
        self.settings = self.settings.set_password(password);
        self
    }

    /// Returns whether accounts are on different nodes.
    pub fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }

    /// Returns whether the engine's address may change.
    pub fn is_sentinel(&self) -> bool {
        matches!(self.kind, Kind::Sentinel { .. })
    }

    /// Returns addresses to connect to now. Any of them will do.
    ///
    /// # Errors
    /// Most Sentinels do not say where the master is.
    pub async fn find(&self) -> Result<Vec<ConnectionInfo>, EngineError> {
        let found = match &self.kind {
            Kind::Alone(info) => vec![info.clone()],
            Kind::Cluster(seeds) => seeds.clone(),
            Kind::Sentinel {
                sentinels,
                master,
                pattern,
            } => {
                let (host, port) = ask_sentinels(sentinels, master).await?;
                let info = sentinels[0].clone();
                vec![info.set_addr(at(pattern, host, port))]
            }
        };
        let with_settings = |info: ConnectionInfo| info.set_redis_settings(self.settings.clone());
        Ok(found.into_iter().map(with_settings).collect())
    }

    /// Parses the address of a node as a cluster gives it: `10.0.0.7:6379`. Returns `None` without a host, which means the node that was asked.
    pub fn node(&self, address: &str) -> Option<ConnectionInfo> {
        let Kind::Cluster(seeds) = &self.kind else {
            return None;
        };
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok().filter(|_| !host.is_empty())?;
        let info = seeds[0].clone();
        let addr = at(info.addr(), host.to_owned(), port);
        Some(
            info.set_addr(addr)
                .set_redis_settings(self.settings.clone()),
        )
    }
}

/// Asks all Sentinels at once. The answer with the newest configuration counts. A majority suffices, because a failover needs one. It is also needed:
/// the others may have another master, and a few Sentinels that are cut off with the old one do not know.
async fn ask_sentinels(
    sentinels: &[ConnectionInfo],
    master: &str,
) -> Result<(String, u16), EngineError> {
    let asked = sentinels
        .iter()
        .map(|sentinel| timeout(SENTINEL_ANSWERS, ask_sentinel(sentinel, master)));
    let mut answers: FuturesUnordered<_> = asked.collect();
    let (mut newest, mut heard) = (None, 0);
    while let Some(answer) = answers.next().await {
        if let Ok(Ok(answer)) = answer {
            newest = newest.max(Some(answer));
            heard += 1;
        }
        if heard > sentinels.len() / 2 {
            break;
        }
    }
    match newest {
        None => Err(EngineError::NoMaster(master.to_owned())),
        Some((_, host, port)) if heard > sentinels.len() / 2 => Ok((host, port)),
        Some(_) => Err(EngineError::Minority {
            heard,
            all: sentinels.len(),
        }),
    }
}

/// Returns the number of the master's configuration, and its address.
async fn ask_sentinel(
    sentinel: &ConnectionInfo,
    master: &str,
) -> Result<(u64, String, u16), EngineError> {
    let client = Client::open(sentinel.clone())?;
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(SENTINEL_ANSWERS));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg(master);
    let mut fields: HashMap<String, String> = command.query_async(&mut connection).await?;
    let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
    let (epoch, port) = (number("config-epoch"), number("port"));
    let port = port.and_then(|port| u16::try_from(port).ok());
    match (epoch, fields.remove("ip"), port) {
        (Some(epoch), Some(host), Some(port)) => Ok((epoch, host, port)),
        _ => Err(EngineError::NoMaster(master.to_owned())),
    }
}

/// Returns an address of the same kind as the pattern.
fn at(pattern: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match pattern {
        ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: None,
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

fn bad(why: &str) -> BadUrl {
    BadUrl(why.to_owned())
}

fn connection(url: &str) -> Result<ConnectionInfo, BadUrl> {
    let parsed = Url::parse(url).map_err(|error| BadUrl(format!("cannot be read: {error}")))?;
    if parsed.password().is_some() {
        return Err(bad(HAS_PASSWORD));
    }
    if parsed.scheme() != "unix" && parsed.host().is_none() {
        return Err(BadUrl("names no host".to_owned()));
    }
    url.into_connection_info()
        .map_err(|error| BadUrl(format!("cannot be read: {error}")))
}

/// Returns `user@` or nothing, and the hosts that follow it.
fn user_and_hosts(text: &str) -> Result<(String, Vec<&str>), BadUrl> {
    let (user, hosts) = match text.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), text),
    };
    let hosts: Vec<_> = hosts.split(',').collect();
    match hosts.iter().any(|host| host.is_empty()) || hosts.len() > MAX_HOSTS {
        true => Err(BadUrl(format!("must name 1 to {MAX_HOSTS} hosts"))),
        false => Ok((user, hosts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::engine::sentinels::Sentinels;

    fn addresses(infos: &[ConnectionInfo]) -> Vec<String> {
        infos.iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn sentinels_and_seeds_are_read_with_their_ports() {
        let place = Place::from_url("redis-sentinel://openseat@a,b:7001,10.0.0.3/calls/2").unwrap();
        let Kind::Sentinel {
            sentinels, master, ..
        } = &place.kind
        else {
            panic!("{place:?}")
        };
        assert_eq!(
            addresses(sentinels),
            ["a:26379", "b:7001", "10.0.0.3:26379"]
        );
        assert_eq!(master, "calls");
        let settings = &place.settings;
        assert_eq!((settings.username(), settings.db()), (Some("openseat"), 2));
        // The engine's user does not apply to the Sentinels.
        assert_eq!(sentinels[0].redis_settings().username(), None);

        let place = Place::from_url("rediss-cluster://openseat@a,b:7001/").unwrap();
        let place = place.with_password("secret");
        let Kind::Cluster(seeds) = &place.kind else {
            panic!("{place:?}")
        };
        assert_eq!(addresses(seeds), ["a:6379", "b:7001"]);
        let node = place.node("10.0.0.9:7002").unwrap();
        assert!(
            matches!(node.addr(), ConnectionAddr::TcpTls { host, port: 7002, insecure: false, .. } if host == "10.0.0.9")
        );
        assert_eq!(node.redis_settings().password(), Some("secret"));
        assert!(place.node(":7002").is_none() && place.node("a").is_none());
    }

    #[tokio::test]
    async fn what_a_minority_of_sentinels_says_does_not_count() {
        for (living, all, is_found) in [(2, 3, true), (1, 3, false), (1, 2, false), (1, 1, true)] {
            let sentinels = Sentinels::start(all, "10.0.0.1:7000").await;
            let place = Place::from_url(&sentinels.url()).unwrap();
            sentinels.end_all_but(living);
            let mut found = place.find().await;
            for _ in 0..100 {
                match &found {
                    Ok(_) => break,
                    Err(EngineError::Minority { heard, .. }) if *heard == living => break,
                    // This process was paused, so it has heard too few in time.
                    Err(_) => found = place.find().await,
                }
            }
            let found = found.map(|found| addresses(&found));
            let found = found.map_err(|error| error.to_string());
            match is_found {
                true => assert_eq!(found.unwrap(), ["10.0.0.1:7000"]),
                false => {
                    let error = found.unwrap_err();
                    let words = format!("{living} of {all} Sentinels say");
                    assert!(error.starts_with(&words), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_url_that_names_no_engine_is_refused_with_a_reason() {
        for (url, why) in [
            ("redis.internal", "is not a URL"),
            ("http://a", "begins with http://"),
            ("unix-cluster:///a", "begins with unix-cluster://"),
            ("redis://a:b@c", "password_file"),
            ("redis-sentinel://a:b@c/m", "password_file"),
            ("redis-cluster://x@a,:b@c", "password_file"),
            ("redis-sentinel://a,b", "names no master"),
            ("redis-sentinel://a,,b/m", "1 to 16 hosts"),
            ("redis-cluster://", "1 to 16 hosts"),
            ("redis-cluster://a:99999", "cannot be read"),
        ] {
            let error = Place::from_url(url).map(drop).unwrap_err();
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
    }
}
