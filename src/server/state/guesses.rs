//! Limits how fast each address can guess the token, without slowing anybody else down.
//!
//! Each address may send a few wrong tokens, and one more every second. After that, requests are rejected before their token is checked, so the wait
//! says nothing about the token.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName};

use crate::{
    clock::Moment,
    server::net::arrival::{Arrival, network},
};

/// Wrong tokens at once: a person who pastes a wrong one a few times need not wait.
const AT_ONCE: u32 = 4;

/// The time until an address may send another one. A person hardly notices; a program would need longer than the age of the universe to guess a
/// token.
const PERIOD: Duration = Duration::from_secs(1);

/// The most addresses to remember, in about 100 kB. A forgotten address gets its first few guesses back.
const MAX_SOURCES: usize = 1024;

/// The client's address, as a proxy reports it.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A source of guesses that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The peer, or the client of a proxy on this machine. A client can forge everything in the proxy's header except the last address.
    pub fn new(arrival: Arrival, headers: &HeaderMap) -> Self {
        let forwarded = arrival.near.then(|| last_forwarded(headers)).flatten();
        let address = forwarded.or(arrival.peer);
        Self(network(address.unwrap_or(Ipv6Addr::UNSPECIFIED.into())))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn last_forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let value = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let last = value.to_str().ok()?.rsplit(',').next()?.trim();
    let with_port = || Some(last.parse::<std::net::SocketAddr>().ok()?.ip());
    last.parse().ok().or_else(with_port)
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Guesses {
    /// When each address will have all its guesses back, as boot time. Past entries may be forgotten.
    settled: Mutex<HashMap<Source, Duration>>,
}

impl Guesses {
    /// Checks a token, unless this source has used up its guesses. A wrong token uses one.
    ///
    /// # Errors
    /// How long the source has to wait.
    pub fn look(
        &self,
        source: Source,
        now: Moment,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, Duration> {
        // Each change is one step, so a panic leaves nothing half changed.
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = settled.get(&source).copied().unwrap_or_default();
        let owed = owed.max(now.boot) + PERIOD;
        if let Some(wait) = owed.checked_sub(now.boot + AT_ONCE * PERIOD)
            && !wait.is_zero()
        {
            return Err(wait);
        }
        let is_right = is_right();
        if !is_right {
            make_room(&mut settled, source, now);
            settled.insert(source, owed);
        }
        Ok(is_right)
    }
}

fn make_room(settled: &mut HashMap<Source, Duration>, source: Source, now: Moment) {
    if settled.len() < MAX_SOURCES || settled.contains_key(&source) {
        return;
    }
    settled.retain(|_, owed| *owed > now.boot);
    if settled.len() >= MAX_SOURCES {
        // The entry that would be forgotten next anyway.
        let first = settled.iter().min_by_key(|(_, owed)| **owed);
        if let Some(first) = first.map(|(source, _)| *source) {
            settled.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, fixtures::Still};

    fn source(address: &str) -> Source {
        let peer = Some(address.parse().expect("an address"));
        Source::new(Arrival::by_tcp(peer, false), &HeaderMap::new())
    }

    #[test]
    fn only_a_source_that_guesses_waits() {
        let (guesses, clock) = (Guesses::default(), Still::new());
        let (guesser, person) = (source("203.0.113.7"), source("203.0.113.8"));
        for _ in 0..AT_ONCE {
            assert_eq!(guesses.look(guesser, clock.now(), || false), Ok(false));
        }
        let looked = guesses.look(guesser, clock.now(), || {
            panic!("the token must not be checked")
        });
        assert_eq!(looked, Err(PERIOD));
        assert_eq!(guesses.look(person, clock.now(), || true), Ok(true));
        clock.pass(PERIOD);
        assert_eq!(guesses.look(guesser, clock.now(), || false), Ok(false));
        assert_eq!(guesses.look(guesser, clock.now(), || true), Err(PERIOD));
        clock.pass(PERIOD);
        for _ in 0..20 {
            assert_eq!(guesses.look(guesser, clock.now(), || true), Ok(true));
        }
    }

    #[test]
    fn many_sources_neither_fill_memory_nor_lock_anyone_out() {
        let (guesses, clock) = (Guesses::default(), Still::new());
        for n in 0..3 * MAX_SOURCES as u32 {
            let source = source(&std::net::Ipv4Addr::from_bits(n).to_string());
            assert_eq!(guesses.look(source, clock.now(), || false), Ok(false));
        }
        assert!(guesses.settled.lock().expect("no panic").len() <= MAX_SOURCES);
        let person = source("203.0.113.8");
        assert_eq!(guesses.look(person, clock.now(), || true), Ok(true));
    }

    #[test]
    fn a_network_is_one_source_but_a_local_proxy_is_not() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        let source_of = |peer: &str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, value.parse().expect("a header"));
            let peer = Some(peer.parse().expect("an address"));
            Source::new(Arrival::by_tcp(peer, false), &headers)
        };
        for value in ["9.9.9.9", "1.1.1.1, 9.9.9.9", "junk,9.9.9.9:4711 "] {
            assert_eq!(source_of("127.0.0.1", value), source("9.9.9.9"), "{value}");
            assert_eq!(source_of("10.0.0.1", value), source("10.0.0.1"), "{value}");
        }
        for value in ["", "unknown", "1.1.1.1, _hidden"] {
            assert_eq!(
                source_of("127.0.0.1", value),
                source("127.0.0.1"),
                "{value}"
            );
        }
    }
}
