//! Everything that can go wrong between us and CallTools: a closed set, each with one sentence on what to do.

use std::{fmt, time::Duration};

use strum::{IntoStaticStr, VariantArray};

use crate::clock::Moment;

/// Why a request to CallTools brought no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 401: CallTools does not know the token. A wrong silo looks the same, since each silo has its own tokens.
    BadToken,
    /// 403: the token's user lacks a permission in CallTools.
    NoPermission,
    /// The queue is not one of the account's.
    NoSuchQueue(NoSuchQueue),
    /// 429, though our own window had room: other software spends from the account.
    Throttled {
        /// When CallTools wants to hear from us again; `None` if it did not say, in a way that can be read.
        until: Option<Moment>,
    },
    /// Our own window is full: nothing was sent.
    BudgetSpent {
        /// When there will be a permit again.
        until: Moment,
    },
    /// CallTools could not be reached, or what came back was no answer.
    UpstreamDown {
        /// How it failed.
        kind: Down,
        /// What was seen, for people: never the token, never more than a line, never raw bytes of the body.
        detail: String,
        /// What `Retry-After` asked for, at most an hour; `None` where it was absent or unreadable.
        wait: Option<Duration>,
    },
}

/// What is known about a queue that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSuchQueue {
    /// No queue has this name; the nearest spellings, best first.
    Name {
        /// The name that was asked for.
        asked: String,
        /// Names that the account does have.
        nearest: Vec<String>,
    },
    /// Several queues have this name: their ids, one of which must be configured instead.
    Ambiguous {
        /// The name that was asked for.
        asked: String,
        /// The ids of the queues so named.
        ids: Vec<u64>,
    },
    /// CallTools refused this id.
    Id(u64),
}

/// The ways in which CallTools can be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Down {
    /// The host's name could not be resolved.
    Dns,
    /// Nobody listens, or the network says no.
    Refused,
    /// The proxy that the config names, or one on the way, refused or cannot be reached: CallTools never heard of the request.
    Proxy,
    /// The TLS handshake failed: certificate, host name, protocol version.
    Tls,
    /// No complete answer within the time allowed.
    #[strum(serialize = "timeout")]
    TimeOut,
    /// The connection broke in the middle of an answer.
    ConnectionLost,
    /// 5xx.
    ServerError,
    /// A redirect, which is never followed: it would carry the token elsewhere.
    Redirect,
    /// 404, and not in CallTools' own words: nothing is at this address.
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
    /// A list with far fewer rows than CallTools counts, which would pass for fewer agents.
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
                "check the proxy's address, user and password in the config, and that the proxy lets this machine connect to CallTools"
            }
            Down::Tls => {
                "check this machine's clock and CA certificates (package ca-certificates), and that base_url names the right host"
            }
            Down::TimeOut => {
                "check the network; if CallTools is slow for everybody, its status page says so. openseat goes on trying"
            }
            Down::ConnectionLost => "check the network; openseat goes on trying",
            Down::ServerError => "CallTools has trouble of its own; openseat goes on trying",
            Down::Redirect => {
                "use the silo from the address you log in at; redirects are not followed because they would carry the token elsewhere"
            }
            Down::NotFound | Down::UnexpectedStatus => {
                "check the silo or base_url: this address does not answer like CallTools"
            }
            Down::NotJson => {
                "check the silo or base_url: a web page came back where CallTools' API answers with JSON; during maintenance this passes by itself"
            }
            Down::UnexpectedShape => {
                "CallTools' answer has changed or the address is not CallTools' API; `openseat check` shows what comes back"
            }
            Down::TooLarge => {
                "the answer is larger than any list of agents should be; check the silo or base_url"
            }
            Down::Incomplete => {
                "a list without these agents would count too few seats, so it is not used; openseat goes on trying, and `openseat check` shows what comes back"
            }
        }
    }
}

impl Fault {
    /// Shorthand for [`Fault::UpstreamDown`].
    pub fn down(kind: Down, detail: impl Into<String>) -> Self {
        Fault::UpstreamDown {
            kind,
            detail: detail.into(),
            wait: None,
        }
    }

    /// When it will be over, where that is known.
    pub fn until(&self) -> Option<Moment> {
        match self {
            Fault::Throttled { until } => *until,
            Fault::BudgetSpent { until } => Some(*until),
            _ => None,
        }
    }

    /// What people are told of it now: with how long it goes on, where that is known.
    pub fn told(&self, now: Moment) -> String {
        let rest = self.until().map(|until| next_one(until, now));
        format!("{self}{}", rest.unwrap_or_default())
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::BadToken => FaultKind::BadToken,
            Fault::NoPermission => FaultKind::NoPermission,
            Fault::NoSuchQueue(_) => FaultKind::NoSuchQueue,
            Fault::BudgetSpent { .. } => FaultKind::BudgetSpent,
            Fault::Throttled { .. } => FaultKind::Throttled,
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

    /// One sentence on what to do.
    pub fn advice(&self) -> String {
        match self {
            Fault::BadToken => "check that the token was copied whole, without spaces inside, that it was not revoked, and that the silo is the one in the address you log in at; a token in a file is read again by itself, one that systemd hands over (LoadCredential=) by `systemctl restart openseat`".to_owned(),
            Fault::NoPermission => "ask a CallTools administrator to give the token's user access to the API and to agent statuses".to_owned(),
            Fault::NoSuchQueue(queue) => queue.advice(),
            Fault::Throttled { .. } => "find out what else uses this account's API, or lower requests_per_hour if nothing does; openseat has lowered its own share and recovers by itself".to_owned(),
            Fault::BudgetSpent { .. } => "wait, or poll fewer queues, or raise requests_per_hour if CallTools allows the account more; `openseat plan` shows how the budget divides".to_owned(),
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
            NoSuchQueue::Name { nearest, .. } => format!(
                "queue names are case-sensitive; did you mean {}?",
                nearest.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
            ),
            NoSuchQueue::Ambiguous { ids, .. } => format!(
                "set queue to one of the ids {} instead of the name",
                ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
            ),
            NoSuchQueue::Id(_) => "compare the id with the last part of the address of the queue's settings page, and check that the token belongs to that account".to_owned(),
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
            Fault::UpstreamDown { detail, .. } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Fault {}

/// The kinds of faults that an account can have. The words are those of the decisions' reasons.
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
    /// CallTools asked for silence.
    Throttled,
    /// CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
}

impl FaultKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &[FaultKind] = Self::VARIANTS;

    /// The value of the metrics' label `kind`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether one request that failed so says that all will.
    pub(crate) fn is_of_the_account(self) -> bool {
        matches!(
            self,
            FaultKind::BadToken | FaultKind::BudgetSpent | FaultKind::Throttled
        )
    }

    /// Whether the same question will get the same answer until somebody does something.
    pub(crate) fn is_definite(self) -> bool {
        matches!(self, FaultKind::NoPermission | FaultKind::NoSuchQueue)
    }
}

/// The end of a sentence on requests that are refused: how long that goes on, seen from now.
pub fn next_one(until: Moment, now: Moment) -> String {
    let left = until.boot.saturating_sub(now.boot);
    match left.is_zero() {
        true => String::new(),
        // Rounded up: "in 0 s" helps nobody.
        false => format!(
            "; the next one may be sent in {} s",
            left.as_secs_f64().ceil()
        ),
    }
}
