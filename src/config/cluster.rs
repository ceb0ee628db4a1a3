//! `[cluster]`: the engine that several nodes share.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{Account, account, keys, section::Section, source::Checked, value::Value};
use crate::cluster::engine::Place;

/// The prefix of all keys and channels in the engine.
const DEFAULT_PREFIX: &str = "openseat";

/// Long enough that a pause of a busy machine does not change the leader, short enough that no answer becomes unknown meanwhile.
const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// A leader acts for its lease minus a second, and renews it each third. After more than a minute answers would be too old.
const LEASE: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(60);

/// An engine that calls wait for has no more replicas than this.
const REPLICAS: RangeInclusive<u32> = 0..=8;

/// The engine that several nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The engine's URL, without a password.
    pub url: String,
    /// The file with the engine's password, if it has one.
    pub password_file: Option<PathBuf>,
    /// The prefix of all keys and channels.
    pub prefix: String,
    /// A leader that is silent for this long is replaced.
    pub lease: Duration,
    /// How many replicas must have a write before it counts.
    pub replicas: u32,
    /// The name of this node, which people see.
    pub node: String,
    /// The only node that may go on without the engine; `None`: none may.
    pub alone: Option<String>,
}

/// Reads `[cluster]`, and the accounts that it is for.
pub(super) fn with_accounts(root: &Section<'_>) -> Checked<(Option<Cluster>, Vec<Account>)> {
    let section = root.table("cluster", &keys::CLUSTER, "cluster");
    let accounts = account::accounts(root);
    let read = section?.as_ref().map(cluster).transpose();
    Ok((read?, accounts?))
}

/// Reads `[cluster]`.
fn cluster(section: &Section<'_>) -> Checked<Cluster> {
    let url = section.required("url", url);
    let password_file = section.optional("password_file", Value::secret_path);
    let prefix = section.optional("prefix", prefix);
    let lease = section.optional("lease", |value| {
        value.duration(
            LEASE,
            "a leader acts for its lease minus a second, and renews it each third",
        )
    });
    let replicas = section.optional("replicas", |value| value.integer(REPLICAS));
    if let (Ok(None | Some(0)), Ok(url)) = (&replicas, &url)
        && Place::from_url(url).is_ok_and(|place| place.is_sentinel())
        && let Some(value) = section.value("url")
    {
        value.warn("names Sentinels, and without `replicas` a fail-over loses the last writes, and a master that is cut off still takes some: the hour may then have more requests than its limit; set `replicas` to the number of all replicas");
    }
    let node = section.optional("node", Value::name);
    let alone = section.optional("alone", Value::name);
    Ok(Cluster {
        url: url?,
        password_file: password_file?,
        prefix: prefix?.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        lease: lease?.unwrap_or(DEFAULT_LEASE),
        replicas: replicas?.unwrap_or_default(),
        node: node?.map_or_else(host_name, str::to_owned),
        alone: alone?.map(str::to_owned),
    })
}

fn url(value: &Value<'_>) -> Checked<String> {
    let text = value.text()?;
    let database = text.split_once("-cluster://").map(|(_, rest)| rest);
    let database = database.and_then(|rest| Some(rest.split_once('/')?.1));
    if let Some(database) = database.filter(|database| !matches!(*database, "" | "0")) {
        return Err(value.wrong(format!(
            "names database {database}, and a Redis Cluster has only database 0; leave out \"/{database}\""
        )));
    }
    match Place::from_url(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(value.wrong(error.to_string())),
    }
}

/// Reads a prefix that is distinct from what follows it and needs no quoting in the engine's access rules.
fn prefix(value: &Value<'_>) -> Checked<String> {
    let text = value.text()?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match !text.is_empty() && text.len() <= 64 && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(value.wrong("must be of 1 to 64 letters, digits, `-`, `_` or `.`")),
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.into_owned()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// A config whose `[cluster]` has these lines.
    fn parse(cluster: &str) -> Result<Config, String> {
        let text = format!(
            "[cluster]\n{cluster}\n[state]\ndir = false\n[[account]]\nname = \"main\"\nsilo = \"east-1\"\n\
             token_env = \"TOKEN\"\nqueue = [{{ queue = 1 }}]\n"
        );
        let config = Config::parse(&text, "openseat.toml".as_ref(), &|_| None);
        config.map_err(|error| error.to_string())
    }

    #[test]
    fn sentinels_without_confirmations_of_replicas_are_warned_of() {
        for (lines, warns) in [
            ("url = \"redis-sentinel://a/master\"", true),
            ("url = \"rediss-sentinel://a/master\"\nreplicas = 0", true),
            ("url = \"redis-sentinel://a/master\"\nreplicas = 1", false),
            ("url = \"redis://a\"", false),
        ] {
            let warnings = parse(lines).unwrap().warnings;
            let is_of_sentinels = |warning: &String| warning.contains("`url` names Sentinels");
            assert_eq!(warnings.iter().any(is_of_sentinels), warns, "{warnings:?}");
        }
    }

    #[test]
    fn a_redis_cluster_has_only_database_0() {
        for (url, is_good) in [
            ("redis-cluster://a,b", true),
            ("redis-cluster://a,b/", true),
            ("redis-cluster://a,b/0", true),
            ("redis-cluster://a,b/3", false),
            ("rediss-cluster://a/3", false),
            ("redis://a/3", true),
            ("redis-sentinel://a/master/3", true),
        ] {
            let refused = parse(&format!("url = \"{url}\"")).err();
            let words = "names database 3, and a Redis Cluster has only database 0";
            let is_refused = refused.as_ref().is_some_and(|error| error.contains(words));
            assert_eq!(is_refused, !is_good, "{url}: {refused:?}");
        }
    }
}
