//! The sessions of browsers that have logged in.
//!
//! A browser sends a random id in a cookie, never the token. A stolen cookie can show pages until the session ends, and change nothing. Only digests
//! of ids are kept, and only in memory: a restart ends all sessions.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use rustix::rand::{GetRandomFlags, getrandom};
use subtle::Choice;

use super::guesses::Guesses;
use crate::{clock::Moment, model::digest::Digest, server::http::cookies::cookie};

/// The cookie's name.
const COOKIE: &str = "openseat_session";

/// The most open sessions; one more ends the oldest. Each is a person's browser, or one that has not logged out.
const MAX_SESSIONS: usize = 256;

/// See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct Sessions {
    /// Oldest first.
    open: Mutex<VecDeque<Session>>,
    /// Recent wrong tokens.
    pub guesses: Guesses,
}

#[derive(Debug)]
struct Session {
    id: Digest,
    since: Moment,
}

impl Sessions {
    /// How long a session lasts: a shift with overtime, so that nobody logs in twice a day and no forgotten browser stays logged in.
    pub const LIFE: Duration = Duration::from_secs(12 * 3_600);

    pub(in crate::server) fn new() -> Self {
        Self {
            open: Mutex::default(),
            guesses: Guesses::default(),
        }
    }

    /// Begins a session and returns its id: 256 random bits, which nobody can guess.
    ///
    /// # Errors
    /// The kernel provides no randomness.
    pub fn begin(&self, now: Moment) -> io::Result<String> {
        let mut random = [0; 32];
        let given = getrandom(&mut random, GetRandomFlags::empty())?;
        if given < random.len() {
            return Err(io::Error::other("the kernel gave too little randomness"));
        }
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut open = self.open();
        if open.len() == MAX_SESSIONS {
            open.pop_front();
        }
        open.push_back(Session {
            id: Digest::new(&id),
            since: now,
        });
        Ok(id)
    }

    /// Whether a request belongs to an open session. Compares with all of them, so that the time reveals nothing.
    pub(in crate::server) fn knows(&self, headers: &HeaderMap, now: Moment) -> bool {
        let Some(shown) = shown(headers) else {
            return false;
        };
        let open = self.open();
        let live = open.iter().filter(|session| session.lives(now));
        let same = live.fold(Choice::from(0), |known, session| {
            known | session.id.same(&shown)
        });
        same.into()
    }

    /// Ends the session of this request, and drops expired ones.
    pub fn end(&self, headers: &HeaderMap, now: Moment) {
        let shown = shown(headers);
        self.open().retain(|session| {
            let leaves = shown.is_some_and(|shown| session.id.same(&shown).into());
            session.lives(now) && !leaves
        });
    }

    fn open(&self) -> MutexGuard<'_, VecDeque<Session>> {
        // Each change is one step, so a panic leaves nothing half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn lives(&self, now: Moment) -> bool {
        now.longest_since(self.since) < Sessions::LIFE
    }
}

/// The digest of the id in the request's cookie.
fn shown(headers: &HeaderMap) -> Option<Digest> {
    cookie(headers, COOKIE).map(Digest::new)
}

/// The `Set-Cookie` header that starts a session. Scripts cannot read the cookie, and other sites' pages cannot make a browser send it.
pub fn set_cookie(id: &str, secure: bool) -> String {
    with_life(id, Sessions::LIFE, secure)
}

/// The `Set-Cookie` header that ends a session.
pub fn no_cookie(secure: bool) -> String {
    with_life("", Duration::ZERO, secure)
}

fn with_life(id: &str, life: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{COOKIE}={id}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        life.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::{clock::Clock, fixtures::Still};

    fn showing(id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let cookie = format!("theme=dark; {COOKIE}={id}; other=1");
        headers.insert(header::COOKIE, cookie.parse().expect("a header"));
        headers
    }

    #[test]
    fn a_session_expires() {
        let (sessions, now) = (Sessions::new(), Still::new().now());
        let id = sessions.begin(now).expect("randomness");
        assert!(sessions.knows(&showing(&id), now));
        let last = now.later(Sessions::LIFE - Duration::from_secs(1));
        assert!(sessions.knows(&showing(&id), last));
        assert!(!sessions.knows(&showing(&id), now.later(Sessions::LIFE)));
    }

    #[test]
    fn an_unknown_id_is_not_a_session() {
        let (sessions, now) = (Sessions::new(), Still::new().now());
        let (one, other) = (sessions.begin(now), sessions.begin(now));
        let (one, other) = (one.expect("randomness"), other.expect("randomness"));
        assert_ne!(one, other);
        for wrong in ["", &one[1..], &one.to_uppercase()] {
            assert!(!sessions.knows(&showing(wrong), now), "{wrong:?}");
        }
        assert!(!sessions.knows(&HeaderMap::new(), now));
        assert!(sessions.knows(&showing(&other), now));
    }

    #[test]
    fn ending_one_session_leaves_the_others() {
        let (sessions, now) = (Sessions::new(), Still::new().now());
        let (one, other) = (sessions.begin(now), sessions.begin(now));
        let (one, other) = (one.expect("randomness"), other.expect("randomness"));
        sessions.end(&showing(&one), now);
        assert!(!sessions.knows(&showing(&one), now));
        assert!(sessions.knows(&showing(&other), now));
    }

    #[test]
    fn one_session_too_many_ends_the_oldest() {
        let (sessions, now) = (Sessions::new(), Still::new().now());
        let first = sessions.begin(now).expect("randomness");
        let second = sessions.begin(now).expect("randomness");
        for _ in 2..=MAX_SESSIONS {
            sessions.begin(now).expect("randomness");
        }
        assert!(!sessions.knows(&showing(&first), now));
        assert!(sessions.knows(&showing(&second), now));
    }
}
