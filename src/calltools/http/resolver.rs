//! Looks up host names for all accounts.
//!
//! The system's resolver blocks its thread for an unknown time. So it has a few threads of its own, equal names share a lookup, answers are cached
//! for a while, and each caller has its own timeout. If the system cannot start a thread, the lookup fails; nothing panics.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// How long an answer is used. The system's resolver does not report the time to live; load balancers mostly use a minute or more, and half of
/// that notices a move soon enough.
const FRESH: Duration = Duration::from_secs(30);

/// How long a stale answer is used if no new one comes. A resolver that hangs or fails should not cut us off from CallTools, whose certificate is
/// checked anyway.
const USABLE: Duration = Duration::from_secs(3600);

/// How long to wait for a new answer before a stale one is used.
const MAX_WAIT_WITH_OLD: Duration = Duration::from_millis(500);

/// How many lookups run at once, each on a thread. They may all hang, and the systemd unit allows 256 tasks.
const MAX_THREADS: usize = 48;

/// How many of them may look up names that failed last time, so that these do not delay others.
const MAX_DOUBTFUL: usize = 32;

/// How many names are cached: more than the accounts and proxies of any process.
const MAX_NAMES: usize = 4096;

/// The stack of a thread: enough for the system's resolver and its modules.
const STACK_BYTES: usize = 512 << 10;

type Addresses = Arc<[IpAddr]>;
type Answer = Result<Addresses, Arc<str>>;
type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

static SHARED: LazyLock<Arc<Resolver>> = LazyLock::new(|| Resolver::new(ask_the_system));

/// A name without addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {name} cannot be resolved: {why}")]
pub(super) struct Unresolved {
    name: String,
    why: Arc<str>,
}

/// See the [module](self).
pub(super) struct Resolver {
    look_up: Box<LookUp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<String, Known>,
    /// The names to look up: those that were tried less often come first, and of these those that worked last time.
    queue: VecDeque<String>,
    threads: usize,
    doubtful: usize,
}

/// The state of a name.
#[derive(Default)]
struct Known {
    addresses: Option<(Addresses, Instant)>,
    /// The callers that wait for the look-up in progress.
    pending: Option<watch::Sender<Option<Answer>>>,
    /// Whether the last lookup failed, or a caller gave up before it ended.
    is_doubtful: bool,
    /// Whether a thread is looking it up.
    is_begun: bool,
    /// How many lookups have begun since the last that succeeded.
    tries: u32,
}

impl Known {
    fn has_no_callers(&self) -> bool {
        let callers = self.pending.as_ref().map(watch::Sender::receiver_count);
        callers.unwrap_or_default() == 0
    }
}

impl Resolver {
    fn new(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            look_up: Box::new(look_up),
            state: Mutex::default(),
        })
    }

    /// Returns the resolver of this process.
    pub(super) fn shared() -> Arc<Self> {
        Arc::clone(&SHARED)
    }

    /// Returns the addresses of a host, within `max_wait`.
    pub(super) async fn addresses(
        self: &Arc<Self>,
        host: &str,
        max_wait: Duration,
    ) -> Result<Addresses, Unresolved> {
        if let Some(addresses) = without_asking(host) {
            return Ok(addresses);
        }
        let host = host.to_ascii_lowercase();
        let (mut pending, old) = match self.begin(&host) {
            Begun::Known(addresses) => return Ok(addresses),
            Begun::Pending(pending, old) => (pending, old),
        };
        let max_wait = match &old {
            Some(_) => max_wait.min(MAX_WAIT_WITH_OLD),
            None => max_wait,
        };
        let answer = timeout(max_wait, pending.wait_for(Option::is_some)).await;
        let why: Arc<str> = match answer {
            Ok(Ok(answer)) => match answer.clone().expect("the answer has come") {
                Ok(addresses) => return Ok(addresses),
                Err(why) => why,
            },
            Ok(Err(_)) => "the look-up was abandoned".into(),
            Err(_) => {
                self.doubt(&host);
                let waited = humantime::format_duration(max_wait);
                format!("this machine's resolver did not answer within {waited}").into()
            }
        };
        old.ok_or(Unresolved { name: host, why })
    }

    /// Joins the look-up of this name, or queues a new one.
    fn begin(self: &Arc<Self>, host: &str) -> Begun {
        let mut state = self.state();
        state.forget_some();
        let known = state.names.entry(host.to_owned()).or_default();
        let age = known.addresses.as_ref().map(|(_, at)| at.elapsed());
        let old = known.addresses.as_ref().map(|(old, _)| Arc::clone(old));
        if let (Some(age), Some(addresses)) = (age, &old)
            && age < FRESH
        {
            return Begun::Known(Arc::clone(addresses));
        }
        let old = old.filter(|_| age < Some(USABLE));
        if let Some(pending) = &known.pending {
            return Begun::Pending(pending.subscribe(), old);
        }
        let (sender, receiver) = watch::channel(None);
        known.pending = Some(sender);
        match known.addresses.is_some() && !known.is_doubtful {
            true => state.queue.push_front(host.to_owned()),
            false => state.queue.push_back(host.to_owned()),
        }
        self.staff(&mut state);
        Begun::Pending(receiver, old)
    }

    /// Starts a thread if another one is allowed.
    fn staff(self: &Arc<Self>, state: &mut State) {
        if state.threads >= MAX_THREADS {
            return;
        }
        let resolver = Arc::clone(self);
        let thread = thread::Builder::new()
            .name("resolver".to_owned())
            .stack_size(STACK_BYTES);
        match thread.spawn(move || resolver.work()) {
            Ok(_) => state.threads += 1,
            // The running threads will serve the queue.
            Err(_) if state.threads > 0 => {}
            Err(error) => state.give_up(&format!("no thread to look it up on: {error}").into()),
        }
    }

    /// Runs a thread: one look-up after another until none is left.
    fn work(&self) {
        let mut state = self.state();
        while let Some((host, is_doubtful)) = state.next() {
            drop(state);
            let answer = catch_unwind(AssertUnwindSafe(|| (self.look_up)(&host)));
            let answer = answer.unwrap_or_else(|_| Err(io::Error::other("the look-up panicked")));
            state = self.state();
            state.doubtful -= usize::from(is_doubtful);
            state.answered(&host, read(answer));
        }
        state.threads -= 1;
    }

    /// Records that a caller gave up. A name that still waits for its turn is no worse for that.
    fn doubt(&self, host: &str) {
        if let Some(known) = self.state().names.get_mut(host) {
            known.is_doubtful |= known.is_begun;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Begun {
    Known(Addresses),
    /// The look-up to wait for, and an earlier answer.
    Pending(watch::Receiver<Option<Answer>>, Option<Addresses>),
}

impl State {
    /// Takes the next name to look up, and whether it is doubtful: the first of those that were tried least. So names that hang delay a name that does
    /// not by one round at most. A name that was tried and has no waiting callers is dropped; others keep their place, so that the answer is there
    /// when the next caller comes.
    fn next(&mut self) -> Option<(String, bool)> {
        let names = &mut self.names;
        self.queue.retain(|host| match names.get_mut(host) {
            Some(known) if known.tries > 0 && known.has_no_callers() => {
                known.pending = None;
                false
            }
            known => known.is_some(),
        });
        let is_full = self.doubtful >= MAX_DOUBTFUL;
        let places = self.queue.iter().enumerate();
        let places = places.filter_map(|(place, host)| {
            let known = self.names.get(host)?;
            (!known.is_doubtful || !is_full).then_some((known.tries, place))
        });
        let (_, place) = places.min()?;
        let host = self.queue.remove(place)?;
        let known = self.names.get_mut(&host)?;
        known.is_begun = true;
        known.tries = known.tries.saturating_add(1);
        let is_doubtful = known.is_doubtful;
        self.doubtful += usize::from(is_doubtful);
        Some((host, is_doubtful))
    }

    fn answered(&mut self, host: &str, answer: Answer) {
        let Some(known) = self.names.get_mut(host) else {
            return;
        };
        known.is_begun = false;
        known.is_doubtful = answer.is_err();
        if let Ok(addresses) = &answer {
            known.addresses = Some((Arc::clone(addresses), Instant::now()));
            known.tries = 0;
        }
        if let Some(pending) = known.pending.take() {
            pending.send_replace(Some(answer));
        }
    }

    /// Fails all queued look-ups.
    fn give_up(&mut self, why: &Arc<str>) {
        for host in std::mem::take(&mut self.queue) {
            self.answered(&host, Err(Arc::clone(why)));
        }
    }

    /// Drops names without waiting callers if there are too many.
    fn forget_some(&mut self) {
        if self.names.len() >= MAX_NAMES {
            self.names.retain(|_, known| known.pending.is_some());
        }
    }
}

/// Returns the system's error, without the prefix that the library puts before it.
fn read(answer: io::Result<Vec<IpAddr>>) -> Answer {
    match answer {
        Ok(addresses) if addresses.is_empty() => Err("it has no address".into()),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => {
            let text = error.to_string();
            let bare = text.strip_prefix("failed to lookup address information: ");
            Err(bare.unwrap_or(&text).into())
        }
    }
}

fn ask_the_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Resolves literal addresses and `localhost`.
fn without_asking(host: &str) -> Option<Addresses> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Arc::new([address]));
    }
    // `localhost` is never looked up: RFC 6761, section 6.3.
    let is_this_machine = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    is_this_machine.then(|| Arc::new(loopback) as Addresses)
}

/// The resolver with the timeout of one account.
pub(super) struct WithTimeout {
    pub(super) resolver: Arc<Resolver>,
    pub(super) max_wait: Duration,
}

impl fmt::Debug for WithTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithTimeout").finish_non_exhaustive()
    }
}

impl Resolve for WithTimeout {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, max_wait) = (Arc::clone(&self.resolver), self.max_wait);
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str(), max_wait).await?;
            let addresses: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
