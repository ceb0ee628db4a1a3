//! Limits how fast each address can guess the token, without slowing anybody else down.
//!
//! Each address may send a few wrong tokens, and one more every second. After that, requests are rejected before their token is checked, so the wait
//! says nothing about the token. Only different tokens count: a caller that repeats one stale token learns nothing, and must not lock out another
//! caller behind the same address.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName};
use subtle::Choice;

use crate::{
    clock::Moment,
    model::digest::Digest,
    server::net::arrival::{Arrival, network},
};

/// Wrong tokens at once: a person who pastes a wrong one a few times need not wait.
const AT_ONCE: u32 = 4;

/// The time until an address may send another one. A person hardly notices; a program would need longer than the age of the universe to guess a
/// token.
const PERIOD: Duration = Duration::from_secs(1);

/// The most addresses to remember, in about 500 kB. A forgotten address gets its first few guesses back.
const MAX_SOURCES: usize = 1024;

/// How many wrong tokens to remember for each address: its callers with a stale one. One more, and the oldest counts again.
const MAX_REMEMBERED: usize = 8;

/// The most addresses that the log names at a time, to keep it short.
const MAX_LOGGED: usize = 16;

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
pub struct Guesses(Mutex<HashMap<Source, Wrong>>);

/// What is known about the wrong tokens of an address.
#[derive(Debug, Default)]
struct Wrong {
    /// When the address will have all its guesses back, as boot time. After that the entry may be forgotten.
    settled: Duration,
    /// The last different ones, oldest first.
    tokens: VecDeque<Digest>,
    /// Whether the log says that the address has to wait.
    is_logged: bool,
}

impl Guesses {
    /// Checks a token, unless this source has used up its guesses. A wrong token uses one, unless the source has shown it before.
    ///
    /// # Errors
    /// How long the source has to wait.
    pub fn look(
        &self,
        source: Source,
        token: &str,
        now: Moment,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, Duration> {
        // A panic leaves at most a guess that was not counted.
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = sources.get(&source).map(|wrong| wrong.settled);
        let owed = settled.unwrap_or_default().max(now.boot) + PERIOD;
        if let Some(wait) = owed.checked_sub(now.boot + AT_ONCE * PERIOD)
            && !wait.is_zero()
        {
            log_wait(&mut sources, source, now);
            return Err(wait);
        }
        let is_right = is_right();
        if !is_right {
            make_room(&mut sources, source, now);
            sources.entry(source).or_default().add(token, owed, now);
        }
        Ok(is_right)
    }
}

impl Wrong {
    /// Counts a wrong token, unless it is known.
    fn add(&mut self, token: &str, owed: Duration, now: Moment) {
        let token = Digest::new(token);
        let none = Choice::from(0);
        let known = self
            .tokens
            .iter()
            .fold(none, |known, one| known | one.same(&token));
        if known.into() {
            return;
        }
        // Only an address that stopped guessing for a while is named again.
        self.is_logged &= self.settled > now.boot;
        self.settled = owed;
        if self.tokens.len() == MAX_REMEMBERED {
            self.tokens.pop_front();
        }
        self.tokens.push_back(token);
    }
}

/// Logs once that an address has to wait.
fn log_wait(sources: &mut HashMap<Source, Wrong>, source: Source, now: Moment) {
    let is_logged = |source: &Source| sources.get(source).is_some_and(|wrong| wrong.is_logged);
    // Addresses that have stopped guessing must not keep others out of the log.
    let is_guessing = |wrong: &&Wrong| wrong.is_logged && wrong.settled > now.boot;
    let logged = || sources.values().filter(is_guessing).count();
    if is_logged(&source) || logged() >= MAX_LOGGED {
        return;
    }
    if let Some(wrong) = sources.get_mut(&source) {
        wrong.is_logged = true;
        tracing::warn!(
            client = %source,
            "too many wrong keys or tokens came from this address, so its next ones are not checked for a moment, even if they are right"
        );
    }
}

fn make_room(sources: &mut HashMap<Source, Wrong>, source: Source, now: Moment) {
    if sources.len() < MAX_SOURCES || sources.contains_key(&source) {
        return;
    }
    sources.retain(|_, wrong| wrong.settled > now.boot);
    if sources.len() >= MAX_SOURCES {
        // The entry that would be forgotten next anyway.
        let first = sources.iter().min_by_key(|(_, wrong)| wrong.settled);
        if let Some(first) = first.map(|(source, _)| *source) {
            sources.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, fixtures::Still, logged::listen};

    fn source(address: &str) -> Source {
        let peer = Some(address.parse().expect("an address"));
        Source::new(Arrival::by_tcp(peer, false), &HeaderMap::new())
    }

    #[test]
    fn only_a_source_that_guesses_waits() {
        let (guesses, clock) = (Guesses::default(), Still::new());
        let (guesser, person) = (source("203.0.113.7"), source("203.0.113.8"));
        let wrong = |token: &str| guesses.look(guesser, token, clock.now(), || false);
        let right = |source| guesses.look(source, "right", clock.now(), || true);
        for n in 0..AT_ONCE {
            assert_eq!(wrong(&n.to_string()), Ok(false));
        }
        let looked = guesses.look(guesser, "x", clock.now(), || {
            panic!("the token must not be checked")
        });
        assert_eq!(looked, Err(PERIOD));
        assert_eq!(right(person), Ok(true));
        clock.pass(PERIOD);
        assert_eq!(wrong("another"), Ok(false));
        assert_eq!(right(guesser), Err(PERIOD));
        clock.pass(PERIOD);
        for _ in 0..20 {
            assert_eq!(right(guesser), Ok(true));
        }
    }

    #[test]
    fn a_stale_token_does_not_lock_out_another_caller_of_its_address() {
        let (logged, _guard) = listen();
        let (guesses, clock) = (Guesses::default(), Still::new());
        let office = source("203.0.113.7");
        let wrong = |token: &str| guesses.look(office, token, clock.now(), || false);
        let right = || guesses.look(office, "right", clock.now(), || true);
        for _ in 0..100 {
            assert_eq!(wrong("stale"), Ok(false));
            assert_eq!(wrong("stale too"), Ok(false));
            assert_eq!(right(), Ok(true));
        }
        assert_eq!(logged.lines(), [""; 0]);
        // Guessing still ends, and is reported once until it has stopped for a while.
        for round in 0..3 {
            for n in 0..20 {
                let _ = wrong(&format!("guess {round} {n}"));
            }
            assert_eq!(right(), Err(PERIOD));
            clock.pass(PERIOD);
        }
        assert_eq!(logged.lines().len(), 1, "{:?}", logged.lines());
        assert!(logged.lines()[0].contains("client=203.0.113.7"));
        let sources = guesses.0.lock().expect("no panic");
        assert!(
            sources
                .values()
                .all(|wrong| wrong.tokens.len() <= MAX_REMEMBERED)
        );
    }

    #[test]
    fn sources_that_have_stopped_do_not_keep_others_out_of_the_log() {
        let (logged, _guard) = listen();
        let (guesses, clock) = (Guesses::default(), Still::new());
        let guess = |address: u32| {
            let source = source(&std::net::Ipv4Addr::from_bits(address).to_string());
            for n in 0..=AT_ONCE {
                let _ = guesses.look(source, &n.to_string(), clock.now(), || false);
            }
        };
        (0..100).for_each(guess);
        assert_eq!(logged.lines().len(), MAX_LOGGED);
        clock.pass(AT_ONCE * PERIOD);
        guess(100);
        assert_eq!(logged.lines().len(), MAX_LOGGED + 1);
    }

    #[test]
    fn many_sources_neither_fill_memory_nor_lock_anyone_out() {
        let (guesses, clock) = (Guesses::default(), Still::new());
        for n in 0..3 * MAX_SOURCES as u32 {
            let source = source(&std::net::Ipv4Addr::from_bits(n).to_string());
            assert_eq!(guesses.look(source, "x", clock.now(), || false), Ok(false));
        }
        assert!(guesses.0.lock().expect("no panic").len() <= MAX_SOURCES);
        let person = source("203.0.113.8");
        assert_eq!(guesses.look(person, "x", clock.now(), || true), Ok(true));
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
