//! How many connections each client may have.
//!
//! A connection costs its client nothing, so any client that reaches an address could take all of them. Four limits prevent that:
//!
//! - The last eighth is kept for Unix sockets, which routers on this machine use, and the eighth before it for those and for loopback.
//! - Clients on other machines get at most half of the connections through one listener, so that a public listener leaves enough for the others.
//! - One address on another machine gets at most a quarter.
//! - The listener for agent-checks gets at most a quarter, and clients on this machine count too. A check takes seconds at most.
//!
//! The log has one line when a limit is reached, and one when that ends. The metric counts each refusal. In the same way, the log has one line for
//! a client whose requests cannot be parsed.

mod refusals;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::refusals::Refusals;
use crate::server::net::arrival::{Arrival, network};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// HTTP.
    Requests,
    /// HAProxy's agent-checks.
    AgentChecks,
}

/// A listener. All threads that accept at its address share it.
#[derive(Clone, Debug)]
pub(crate) struct ListenerId {
    address: Arc<str>,
    purpose: Purpose,
}

impl ListenerId {
    pub(crate) fn new(address: &impl fmt::Display, purpose: Purpose) -> Self {
        Self {
            address: address.to_string().into(),
            purpose,
        }
    }

    /// Whether a client counts towards the limit of the listener.
    fn counts(&self, client: Client) -> bool {
        self.purpose == Purpose::AgentChecks || matches!(client, Client::Far(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Unix,
    Loopback,
    Far(IpAddr),
}

impl Client {
    fn from_arrival(arrival: Arrival) -> Self {
        match arrival.peer {
            None if arrival.near => Client::Unix,
            Some(_) if arrival.near => Client::Loopback,
            peer => Client::Far(network(peer.unwrap_or(Ipv6Addr::UNSPECIFIED.into()))),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Unix => f.write_str("a Unix socket"),
            Client::Loopback => f.write_str("this machine"),
            Client::Far(address) => address.fmt(f),
        }
    }
}

/// Why a client gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("all {0} connections that max_connections allows are open")]
    All(usize),
    #[error(
        "{0} connections are open, and the rest of max_connections is kept for clients on this machine"
    )]
    Kept(usize),
    #[error("{0} connections are open at this listener, which is its limit")]
    Listener(usize),
    #[error("{0} connections from this address are open, which is its limit")]
    Address(usize),
}

impl Reason {
    fn limit(&self, listener: &ListenerId, client: Client) -> Limit {
        match (self, client) {
            (Reason::All(_), _) => Limit::All,
            (Reason::Listener(_), _) => Limit::Listener(Arc::clone(&listener.address)),
            (Reason::Address(_), Client::Far(address)) => Limit::Address(address),
            (Reason::Kept(_) | Reason::Address(_), _) => Limit::Kept,
        }
    }
}

/// A limit that was reached, or a client that goes wrong. Each has its own line in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Limit {
    All,
    Kept,
    Listener(Arc<str>),
    Address(IpAddr),
    /// What a client at a listener sends is no request.
    Malformed(Arc<str>, Client),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::All => f.write_str("max_connections"),
            Limit::Kept => f.write_str("kept for this machine"),
            Limit::Listener(listener) => write!(f, "listener {listener}"),
            Limit::Address(address) => write!(f, "address {address}"),
            Limit::Malformed(listener, client) => {
                write!(f, "malformed requests from {client} at {listener}")
            }
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_listener: HashMap<Arc<str>, usize>,
    /// Only addresses with an open connection, so no more than there are connections.
    by_address: HashMap<IpAddr, usize>,
    refusals: Refusals,
    /// Apart from the refusals, so that clients that send nonsense do not use up the lines for limits.
    malformed: Refusals,
}

impl ConnectionLimits {
    /// Creates limits for at most `max` connections.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            taken: Mutex::default(),
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.taken().all
    }

    /// Takes a connection for this client, if the limits allow it.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        listener: &ListenerId,
        arrival: Arrival,
    ) -> Option<ConnectionPermit> {
        let client = Client::from_arrival(arrival);
        let mut taken = self.taken();
        if let Some(reason) = self.why_not(&taken, listener, client) {
            let limit = reason.limit(listener, client);
            if taken.refusals.record(&limit) {
                tracing::warn!(
                    %limit, listener = &*listener.address, %client, cause = %reason,
                    "a connection is refused; further ones are counted in openseat_connections_dropped_total"
                );
            }
            return None;
        }
        taken.all += 1;
        if listener.counts(client) {
            *taken
                .by_listener
                .entry(Arc::clone(&listener.address))
                .or_default() += 1;
        }
        if let Client::Far(address) = client {
            *taken.by_address.entry(address).or_default() += 1;
        }
        drop(taken);
        Some(ConnectionPermit {
            limits: Arc::clone(self),
            listener: listener.clone(),
            client,
        })
    }

    /// Logs which limits are no longer reached.
    pub(crate) fn log_ended(&self) {
        let mut taken = self.taken();
        let mut ended = taken.refusals.ended();
        ended.append(&mut taken.malformed.ended());
        drop(taken);
        for (limit, refused) in ended {
            match limit {
                Limit::Malformed(listener, client) => {
                    tracing::info!(%listener, %client, refused, "no more malformed requests");
                }
                limit => tracing::info!(%limit, refused, "connections are no longer refused"),
            }
        }
    }

    /// Logs a request that cannot be parsed, unless the log says so already about this client at this listener.
    pub(crate) fn log_malformed(&self, listener: &Arc<str>, arrival: Arrival, cause: &str) {
        let client = Client::from_arrival(arrival);
        let limit = Limit::Malformed(Arc::clone(listener), client);
        if self.taken().malformed.record(&limit) {
            tracing::warn!(
                %listener, %client, cause,
                "a request cannot be parsed; further ones are counted in openseat_connections_dropped_total"
            );
        }
    }

    /// Returns why this client gets no connection now; `None` if it gets one.
    fn why_not(&self, taken: &Taken, listener: &ListenerId, client: Client) -> Option<Reason> {
        let eighth = self.max / 8;
        let part = |divisor: usize| (self.max / divisor).max(1);
        let at_listener = || {
            taken
                .by_listener
                .get(&listener.address)
                .copied()
                .unwrap_or_default()
        };
        let max_at_listener = match listener.purpose {
            Purpose::Requests => part(2),
            Purpose::AgentChecks => part(4),
        };
        if taken.all >= self.max {
            return Some(Reason::All(taken.all));
        }
        if listener.counts(client) && at_listener() >= max_at_listener {
            return Some(Reason::Listener(max_at_listener));
        }
        let kept = match client {
            Client::Unix => 0,
            Client::Loopback => eighth,
            Client::Far(address) => {
                let from_address = taken.by_address.get(&address).copied().unwrap_or_default();
                if from_address >= part(4) {
                    return Some(Reason::Address(from_address));
                }
                2 * eighth
            }
        };
        (taken.all + kept >= self.max).then_some(Reason::Kept(taken.all))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // No code panics while it holds the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one open connection. Dropping it frees the connection.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    listener: ListenerId,
    client: Client,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = self.limits.taken();
        taken.all -= 1;
        if self.listener.counts(self.client)
            && let Some(count) = taken.by_listener.get_mut(&self.listener.address)
        {
            *count -= 1;
        }
        if let Client::Far(address) = self.client
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}
