//! Everything that can go wrong between openseat and CallTools. Each fault has one sentence on what to do.

use std::{fmt, sync::Arc, time::Duration};

use strum::{IntoStaticStr, VariantArray};

use crate::{clock::Moment, model::config_name::unfit};

/// Why a request to CallTools returned no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 401: CallTools does not know the token. A wrong silo looks the same, since each silo has its own tokens.
    BadToken,
    /// 403: the token's user lacks a permission in CallTools.
    NoPermission,
    /// The queue is not one of the account's.
    NoSuchQueue(NoSuchQueue),
    /// 429, although our own window had room: other software spends the account's requests.
    Throttled {
        /// When the next request may be sent; `None` if CallTools did not say, or not in a readable way.
        until: Option<Moment>,
    },
    /// Our own window is full, so nothing was sent.
    BudgetSpent {
        /// When there will be a permit again.
        until: Moment,
    },
    /// No node of the cluster may send requests, since its engine does not answer or refuses what openseat needs; or this node's lease has ended.
    ClusterDown(Option<Arc<EngineRefusal>>),
    /// CallTools could not be reached, or its answer was unusable.
    UpstreamDown {
        /// How it failed.
        kind: Down,
        /// What was seen, for people: at most a line, never the token or raw bytes of the body.
        detail: String,
        /// What `Retry-After` asked for, at most an hour; `None` if it was absent or unreadable.
        wait: Option<Duration>,
    },
}

/// The cluster's engine answers, but refuses what openseat needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineRefusal {
    /// What it said, for people.
    pub said: String,
    /// What to do.
    pub advice: &'static str,
}

/// Which queue does not exist, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSuchQueue {
    /// No queue has this name.
    Name {
        /// The name in the config.
        asked: String,
        /// The nearest names of the account, best first.
        nearest: Vec<String>,
        /// The queues that exist, for people who may see all of them.
        there: QueueListing,
    },
    /// Several queues have this name, so the config must use one of their ids.
    Ambiguous {
        /// The name in the config.
        asked: String,
        /// The ids of the queues with this name.
        ids: Vec<u64>,
    },
    /// CallTools refused this id.
    Id(u64),
}

/// Queues of an account, those first whose names are most similar to one that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueListing {
    /// Id and name: as many as fit in a few lines.
    pub first: Vec<(u64, String)>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for QueueListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("The account has no queues");
        }
        let queue = |(id, name): &(u64, String)| format!("\"{name}\" (id {id})");
        let queues: Vec<_> = self.first.iter().map(queue).collect();
        write!(f, "The account has: {}", queues.join(", "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more; `openseat queues` lists all"),
        }
    }
}

/// The ways in which CallTools can be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Down {
    /// The host's name could not be resolved.
    Dns,
    /// Nothing listens at the address, or the network rejects the connection.
    Refused,
    /// The proxy, in the config or on the way, refused or cannot be reached, so the request did not reach CallTools.
    Proxy,
    /// The TLS handshake failed: certificate, host name or protocol version.
    Tls,
    /// No complete answer within the timeout.
    #[strum(serialize = "timeout")]
    TimeOut,
    /// The connection broke in the middle of an answer.
    ConnectionLost,
    /// 5xx.
    ServerError,
    /// A redirect. It is not followed, because it would carry the token elsewhere.
    Redirect,
    /// 404, but not CallTools' own: nothing is at this address.
    #[strum(serialize = "unexpected_status")]
    NotFound,
    /// An answer with another status that this endpoint never gives.
    UnexpectedStatus,
    /// A body that is not JSON, such as a maintenance page.
    NotJson,
    /// JSON, but not what this endpoint returns.
    UnexpectedShape,
    /// A body over the limit, or pages without end.
    TooLarge,
    /// A list with far fewer rows than CallTools counts, which would look like fewer agents.
    Incomplete,
}

impl Down {
    /// Its name in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn advice(self) -> &'static str {
        match self {
            Down::Dns => "check the spelling of the silo, and that this machine can resolve names",
            Down::Refused => {
                "check the network and firewall between this machine and CallTools, and base_url if one is set"
            }
            Down::Proxy => {
                "check the proxy's address in the config, and that the proxy lets this machine connect to CallTools"
            }
            Down::Tls => {
                "check this machine's clock and CA certificates (package ca-certificates), and that base_url names the right host"
            }
            Down::TimeOut => {
                "check the network; if CallTools is slow for everybody, its status page says so. openseat keeps trying"
            }
            Down::ConnectionLost => "check the network; openseat keeps trying",
            Down::ServerError => "CallTools has a problem of its own; openseat keeps trying",
            Down::Redirect => {
                "use the silo from the address you log in at; redirects are not followed because they would carry the token elsewhere"
            }
            Down::NotFound | Down::UnexpectedStatus => {
                "check the silo or base_url: this address does not answer like CallTools"
            }
            Down::NotJson => {
                "check the silo or base_url, and any proxy on the way: something else than JSON came back, such as a web page or half an answer; during maintenance this passes by itself"
            }
            Down::UnexpectedShape => {
                "CallTools' answer has changed or the address is not CallTools' API; `openseat check --report FILE` writes what comes back"
            }
            Down::TooLarge => {
                "the answer is larger than any list of agents should be; check the silo or base_url"
            }
            Down::Incomplete => {
                "a list without these agents would count too few seats, so it is not used; openseat keeps trying, and `openseat check --report FILE` writes what comes back"
            }
        }
    }
}

impl Fault {
    /// Creates a [`Fault::UpstreamDown`].
    pub fn down(kind: Down, detail: impl Into<String>) -> Self {
        Fault::UpstreamDown {
            kind,
            detail: detail.into(),
            wait: None,
        }
    }

    /// Returns when it will be over, if known.
    pub fn until(&self) -> Option<Moment> {
        match self {
            Fault::Throttled { until } => *until,
            Fault::BudgetSpent { until } => Some(*until),
            _ => None,
        }
    }

    /// Returns the message for people, with the remaining time if known.
    pub fn message(&self, now: Moment) -> String {
        let rest = self.until().map(|until| next_one(until, now));
        format!("{self}{}", rest.unwrap_or_default())
    }

    /// Returns the kind of fault.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::BadToken => FaultKind::BadToken,
            Fault::NoPermission => FaultKind::NoPermission,
            Fault::NoSuchQueue(_) => FaultKind::NoSuchQueue,
            Fault::BudgetSpent { .. } => FaultKind::BudgetSpent,
            Fault::Throttled { .. } => FaultKind::Throttled,
            Fault::ClusterDown(_) => FaultKind::ClusterDown,
            Fault::UpstreamDown { .. } => FaultKind::UpstreamDown,
        }
    }

    /// The value of the metrics' label `outcome`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Fault::UpstreamDown { kind, .. } => kind.as_str(),
            _ => self.kind().as_str(),
        }
    }

    /// The [advice](Self::advice), and for a misspelt queue the ones that exist. For the log and for commands, because callers may not see all queues.
    pub fn full_advice(&self) -> String {
        match self {
            Fault::NoSuchQueue(NoSuchQueue::Name { there, .. }) => {
                let advice = self.advice();
                let stop = if advice.ends_with('?') { "" } else { "." };
                format!("{advice}{stop} {there}")
            }
            _ => self.advice(),
        }
    }

    /// Returns one sentence on what to do.
    pub fn advice(&self) -> String {
        match self {
            Fault::BadToken => "check that the token was copied whole, without spaces inside, that it was not revoked, and that the silo is the one in the address you log in at; openseat reads a token file again by itself; a token from systemd's LoadCredential= needs `systemctl restart openseat`".to_owned(),
            Fault::NoPermission => "ask a CallTools administrator to give the token's user access to the API and to agent statuses".to_owned(),
            Fault::NoSuchQueue(queue) => queue.advice(),
            Fault::Throttled { .. } => "find out what else uses this account's API, or lower requests_per_hour if nothing does; openseat has lowered its own share and recovers by itself".to_owned(),
            Fault::BudgetSpent { .. } => "wait, or poll fewer queues, or raise requests_per_hour if CallTools allows the account more; `openseat plan` shows how the budget divides".to_owned(),
            Fault::ClusterDown(Some(refusal)) => refusal.advice.to_owned(),
            Fault::ClusterDown(None) => "check that the engine in [cluster] runs and that this machine reaches it; openseat keeps trying, and recovers by itself".to_owned(),
            Fault::UpstreamDown { kind, .. } => (*kind).advice().to_owned(),
        }
    }
}

impl NoSuchQueue {
    fn advice(&self) -> String {
        match self {
            NoSuchQueue::Name { nearest, .. } if nearest.is_empty() => {
                "queue names are case-sensitive; copy the name from CallTools' queue list, or use the id from the address of the queue's settings page".to_owned()
            }
            NoSuchQueue::Name { nearest, .. } => {
                let by_id = |name: &String| Some(format!(" (Write the queue's id instead of \"{name}\": that name {}.)", unfit(name)?));
                format!(
                    "queue names are case-sensitive; did you mean {}?{}",
                    nearest.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or "),
                    nearest.iter().filter_map(by_id).collect::<String>()
                )
            }
            NoSuchQueue::Ambiguous { ids, .. } => format!(
                "set queue to one of the ids {} instead of the name",
                ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
            ),
            NoSuchQueue::Id(_) => "compare the id with the last part of the address of the queue's settings page, and check that the token belongs to that account; if the config has the queue's name, the id is from CallTools' own list of queues, which openseat reads again by itself".to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::BadToken => write!(f, "CallTools does not accept the token"),
            Fault::NoPermission => write!(f, "the token's user may not read this from CallTools"),
            Fault::NoSuchQueue(NoSuchQueue::Name { asked, .. }) => {
                write!(f, "the account has no queue named \"{asked}\"")
            }
            Fault::NoSuchQueue(NoSuchQueue::Ambiguous { asked, ids }) => {
                write!(f, "the account has {} queues named \"{asked}\"", ids.len())
            }
            Fault::NoSuchQueue(NoSuchQueue::Id(id)) => {
                write!(f, "the account has no queue with the id {id}")
            }
            Fault::Throttled { .. } => write!(
                f,
                "others spend from this account, so CallTools refuses requests (429)"
            ),
            Fault::BudgetSpent { .. } => {
                write!(f, "the account's requests for this hour are spent")
            }
            Fault::ClusterDown(Some(refusal)) => write!(
                f,
                "this node may not send requests for the account, because it cannot use the cluster: {}",
                refusal.said
            ),
            Fault::ClusterDown(None) => write!(
                f,
                "this node may not send requests for the account: the engine does not answer, or the node's lease has ended"
            ),
            Fault::UpstreamDown { detail, .. } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Fault {}

/// The kinds of faults that an account can have, named like the decisions' reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FaultKind {
    /// CallTools does not accept the token.
    BadToken,
    /// The token's user may not read what openseat needs.
    NoPermission,
    /// The account has none of the configured queues.
    NoSuchQueue,
    /// The hour's requests are spent.
    BudgetSpent,
    /// CallTools asked for a pause.
    Throttled,
    /// CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
    /// The cluster's engine does not answer or refuses a command, so no node may send requests.
    ClusterDown,
}

impl FaultKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &[FaultKind] = Self::VARIANTS;

    /// The value of the metrics' label `kind`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns whether one request that fails in this way means that all will.
    pub(crate) fn is_of_the_account(self) -> bool {
        matches!(
            self,
            FaultKind::BadToken | FaultKind::BudgetSpent | FaultKind::Throttled
        )
    }

    /// Returns whether every retry will fail in this way until a person does something.
    pub(crate) fn is_definite(self) -> bool {
        matches!(self, FaultKind::NoPermission | FaultKind::NoSuchQueue)
    }
}

/// Returns the end of a sentence about refused requests: when the next one may be sent.
pub fn next_one(until: Moment, now: Moment) -> String {
    let left = until.boot.saturating_sub(now.boot);
    match left.is_zero() {
        true => String::new(),
        // Rounded up, so that it never says "in 0 s".
        false => format!(
            "; the next one may be sent in {} s",
            left.as_secs_f64().ceil()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_says_which_names_the_config_cannot_have() {
        let advice = |nearest: &[&str]| {
            let nearest = nearest.iter().map(ToString::to_string).collect();
            Fault::NoSuchQueue(NoSuchQueue::Name {
                asked: "sales".to_owned(),
                nearest,
                there: QueueListing::default(),
            })
            .advice()
        };
        let fit = advice(&["sales-1", "50% off? #1"]);
        assert!(!fit.contains("the queue's id"), "{fit}");
        for name in ["a/b", "sales ", "a\tb", ".."] {
            let advice = advice(&["sales-1", name]);
            let by_id = format!("(Write the queue's id instead of \"{name}\": that name ");
            assert!(advice.contains(&by_id), "{advice}");
        }
    }

    #[test]
    fn the_advice_about_an_id_also_fits_a_queue_that_the_config_names() {
        let advice = Fault::NoSuchQueue(NoSuchQueue::Id(5450)).advice();
        assert!(
            advice.contains("if the config has the queue's name"),
            "{advice}"
        );
    }
}
