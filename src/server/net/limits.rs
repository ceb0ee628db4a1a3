//! Who gets one of the connections that may be open.
//!
//! A connection costs its client nothing, so whoever can reach an address could take all of them. Four bounds keep the others in:
//!
//! - The last eighth is kept for Unix sockets, where routers of this machine ask, and the eighth before it for those and for loopback.
//! - One listener gives half at most to clients from elsewhere, so that one that faces strangers cannot fill the others'.
//! - One address from elsewhere gets a quarter at most.
//! - The listener for agent-checks gives a quarter at most, to clients on this machine as well: a check ends within seconds, and
//!   anybody who reaches that port may send one.
//!
//! When a bound is met, one log line says so, and another one when it no longer is; the metric counts each refusal.

mod refusals;

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
    /// HAProxy's.
    AgentChecks,
}

/// Where connections are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    listener: Arc<str>,
    purpose: Purpose,
}

impl Door {
    /// `listener`: its address, by which all threads that accept there know it.
    pub(crate) fn new(listener: &impl fmt::Display, purpose: Purpose) -> Self {
        Self {
            listener: listener.to_string().into(),
            purpose,
        }
    }

    /// Whether a client counts among those of the listener.
    fn counts(&self, client: Client) -> bool {
        self.purpose == Purpose::AgentChecks || matches!(client, Client::Far(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Unix,
    Loopback,
    Far(IpAddr),
}

impl Client {
    fn of(arrival: Arrival) -> Self {
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

/// Which bound a client met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Full {
    #[error("all {0} connections that max_connections allows are open")]
    All(usize),
    #[error(
        "{0} connections are open, and the rest of max_connections is kept for clients on this machine"
    )]
    Kept(usize),
    #[error("{0} connections are open at this listener, the most that one may give")]
    Listener(usize),
    #[error("{0} connections from this address are open, the most that one may have")]
    Address(usize),
}

impl Full {
    fn bound(&self, door: &Door, client: Client) -> Bound {
        match (self, client) {
            (Full::All(_), _) => Bound::All,
            (Full::Listener(_), _) => Bound::Listener(Arc::clone(&door.listener)),
            (Full::Address(_), Client::Far(address)) => Bound::Address(address),
            (Full::Kept(_) | Full::Address(_), _) => Bound::Kept,
        }
    }
}

/// Whose bound was met: what the log tells apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Bound {
    All,
    Kept,
    Listener(Arc<str>),
    Address(IpAddr),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::All => f.write_str("max_connections"),
            Bound::Kept => f.write_str("what is kept for this machine"),
            Bound::Listener(listener) => write!(f, "listener {listener}"),
            Bound::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_listener: HashMap<Arc<str>, usize>,
    /// Of addresses with an open connection, so there are no more than connections.
    by_address: HashMap<IpAddr, usize>,
    refusals: Refusals,
}

impl Room {
    /// For so many connections.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Mutex::default(),
        }
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.taken().all
    }

    /// Takes a place, if there is one for this client.
    pub(crate) fn enter(self: &Arc<Self>, door: &Door, arrival: Arrival) -> Option<Place> {
        let client = Client::of(arrival);
        let mut taken = self.taken();
        if let Some(full) = self.full(&taken, door, client) {
            let bound = full.bound(door, client);
            if taken.refusals.note(&bound) {
                tracing::warn!(
                    %bound, listener = &*door.listener, %client, cause = %full,
                    "a connection is refused; further ones are counted in openseat_connections_dropped_total"
                );
            }
            return None;
        }
        taken.all += 1;
        if door.counts(client) {
            *taken
                .by_listener
                .entry(Arc::clone(&door.listener))
                .or_default() += 1;
        }
        if let Client::Far(address) = client {
            *taken.by_address.entry(address).or_default() += 1;
        }
        drop(taken);
        Some(Place {
            room: Arc::clone(self),
            door: door.clone(),
            client,
        })
    }

    /// Says so once a bound is no longer met.
    pub(crate) fn look(&self) {
        let ended = self.taken().refusals.ended();
        for (bound, refused) in ended {
            tracing::info!(%bound, refused, "connections are no longer refused");
        }
    }

    fn full(&self, taken: &Taken, door: &Door, client: Client) -> Option<Full> {
        let eighth = self.most / 8;
        let part = |divisor: usize| (self.most / divisor).max(1);
        let at_listener = || {
            taken
                .by_listener
                .get(&door.listener)
                .copied()
                .unwrap_or_default()
        };
        let most_at_listener = match door.purpose {
            Purpose::Requests => part(2),
            Purpose::AgentChecks => part(4),
        };
        if taken.all >= self.most {
            return Some(Full::All(taken.all));
        }
        if door.counts(client) && at_listener() >= most_at_listener {
            return Some(Full::Listener(most_at_listener));
        }
        let kept = match client {
            Client::Unix => 0,
            Client::Loopback => eighth,
            Client::Far(address) => {
                let from_address = taken.by_address.get(&address).copied().unwrap_or_default();
                if from_address >= part(4) {
                    return Some(Full::Address(from_address));
                }
                2 * eighth
            }
        };
        (taken.all + kept >= self.most).then_some(Full::Kept(taken.all))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it counts.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that may be open; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    door: Door,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all -= 1;
        if self.door.counts(self.client)
            && let Some(count) = taken.by_listener.get_mut(&self.door.listener)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::listen;

    fn by_tcp(address: &str) -> Arrival {
        Arrival::by_tcp(Some(address.parse().expect("an address")), false)
    }

    fn door(address: &str, purpose: Purpose) -> Door {
        Door::new(&address, purpose)
    }

    /// Takes as many places as there are.
    fn fill(room: &Arc<Room>, door: &Door, arrival: impl Fn(u32) -> Arrival) -> Vec<Place> {
        let places = (0..10_000).map_while(|n| room.enter(door, arrival(n)));
        places.collect()
    }

    #[test]
    fn one_address_leaves_room_for_others_and_many_leave_room_for_this_machine() {
        let room = Arc::new(Room::new(1024));
        let (tls, lan) = (
            door("0.0.0.0:7717", Purpose::Requests),
            door("10.0.0.1:7718", Purpose::Requests),
        );
        let one = fill(&room, &tls, |_| by_tcp("203.0.113.7"));
        assert_eq!(one.len(), 256);
        // A customer has 2^64 addresses, and they count as one.
        let same_net = |n: u32| by_tcp(&format!("2001:db8::{n:x}"));
        let other = fill(&room, &tls, same_net);
        assert_eq!(other.len(), 256);
        assert!(room.enter(&tls, by_tcp("203.0.113.8")).is_none());
        let many = |n: u32| by_tcp(&std::net::Ipv4Addr::from_bits(0x0b00_0000 + n).to_string());
        let others = fill(&room, &lan, many);
        assert_eq!(others.len(), 256);
        let near = fill(&room, &tls, |_| by_tcp("127.0.0.1"));
        assert_eq!(near.len(), 128);
        assert!(room.enter(&tls, by_tcp("::1")).is_none());
        let unix = fill(&room, &door("unix:/run/a", Purpose::Requests), |_| {
            Arrival::UNIX
        });
        assert_eq!((unix.len(), room.open()), (128, 1024));
        drop((one, other, others, near, unix));
        let taken = room.taken();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
        assert!(taken.by_listener.values().all(|count| *count == 0));
    }

    #[test]
    fn agent_checks_leave_room_for_decisions_wherever_they_come_from() {
        for from in ["127.0.0.1", "::1", "10.0.0.7"] {
            let room = Arc::new(Room::new(1024));
            let checks = door("127.0.0.1:7719", Purpose::AgentChecks);
            assert_eq!(fill(&room, &checks, |_| by_tcp(from)).len(), 256);
            let requests = door("127.0.0.1:7717", Purpose::Requests);
            assert!(fill(&room, &requests, |_| by_tcp("127.0.0.1")).len() >= 512);
        }
    }

    #[test]
    fn the_smallest_room_lets_somebody_in() {
        for client in [by_tcp("10.0.0.7"), by_tcp("127.0.0.1"), Arrival::UNIX] {
            for purpose in [Purpose::Requests, Purpose::AgentChecks] {
                let room = Arc::new(Room::new(1));
                let door = door("0.0.0.0:7717", purpose);
                let place = room.enter(&door, client);
                assert!(place.is_some() && room.enter(&door, client).is_none());
            }
        }
    }

    /// Lines of the log with these words.
    fn with<'l>(lines: &'l [String], words: &str) -> Vec<&'l String> {
        lines.iter().filter(|line| line.contains(words)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_bound_that_is_met_is_one_line_and_one_when_that_ends() {
        let (logged, _guard) = listen();
        let room = Arc::new(Room::new(64));
        let lan = door("10.0.0.1:7717", Purpose::Requests);
        let checks = door("127.0.0.1:7719", Purpose::AgentChecks);
        let places: Vec<_> = ["10.0.0.7", "10.0.0.8"]
            .iter()
            .flat_map(|address| fill(&room, &lan, |_| by_tcp(address)))
            .collect();
        assert_eq!(places.len(), 32);
        drop(places);
        for _ in 0..100 {
            let _ = fill(&room, &lan, |_| by_tcp("10.0.0.7"));
            let _ = fill(&room, &checks, |_| by_tcp("127.0.0.1"));
            room.look();
        }
        let lines = logged.lines();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        for (line, words) in lines.iter().zip([
            "address 10.0.0.7",
            "listener 10.0.0.1:7717",
            "listener 127.0.0.1:7719",
        ]) {
            let is_told = line.starts_with("WARN") && line.contains(&format!("bound={words} "));
            assert!(is_told, "{line}");
        }
        tokio::time::advance(refusals::QUIET).await;
        room.look();
        room.look();
        let lines = logged.lines().split_off(3);
        assert_eq!(with(&lines, "no longer refused").len(), 3, "{lines:#?}");
        for (bound, refused) in [("address", 101), ("listener 10", 1), ("listener 127", 100)] {
            let told = with(&lines, &format!("bound={bound}"));
            assert!(
                told[0].ends_with(&format!("refused={refused}")),
                "{lines:#?}"
            );
        }
        // It meets its bound again.
        let _ = fill(&room, &lan, |_| by_tcp("10.0.0.7"));
        assert_eq!(logged.lines().len(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bounds_of_everybody_are_told_as_well() {
        let (logged, _guard) = listen();
        let room = Arc::new(Room::new(8));
        let (tcp, unix) = (
            door("0.0.0.0:7717", Purpose::Requests),
            door("unix:/run/a", Purpose::Requests),
        );
        let _near = fill(&room, &tcp, |_| by_tcp("127.0.0.1"));
        let _unix = fill(&room, &unix, |_| Arrival::UNIX);
        let _ = fill(&room, &tcp, |_| by_tcp("::1"));
        let lines = logged.lines();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[0].contains("bound=what is kept for this machine")
                && lines[1].contains("bound=max_connections")
        );
    }
}
