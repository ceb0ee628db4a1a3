//! Host names become addresses, for all accounts together.
//!
//! The system's resolver blocks the thread that asks it, for as long as it likes. So its threads are few and of its own, equal names are
//! looked up once at a time, answers are kept for a while, and who asks waits no longer than it wants to. Where no thread can be had, a
//! look-up fails; nothing panics.

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

/// How long an answer is used without asking again. The system's resolver does not tell how long it holds; a minute is the usual
/// shortest time in records of load balancers, and half of it notices a move soon enough.
const FRESH: Duration = Duration::from_secs(30);

/// How long an answer may stand in for one that does not come: a resolver that hangs is no reason to lose CallTools, whose certificate is
/// checked anyway.
const USABLE: Duration = Duration::from_secs(3600);

/// An old answer at hand is used after this long without a new one.
const PATIENCE_WITH_OLD: Duration = Duration::from_millis(500);

/// Look-ups under way at once, each a thread. They may all hang, and the unit allows 256 tasks.
const MAX_THREADS: usize = 48;

/// Of those, names that did not answer the last time may take this many, so that they never hold up the others.
const MAX_DOUBTFUL: usize = 32;

/// Names that are remembered: more than accounts and proxies that one process can serve.
const MAX_NAMES: usize = 4096;

/// Enough for the system's resolver and its modules.
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

/// Looks names up, and remembers them.
pub(super) struct Resolver {
    look_up: Box<LookUp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<String, Known>,
    /// Names to look up next; those that answered the last time come first.
    queue: VecDeque<String>,
    threads: usize,
    doubtful: usize,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    addresses: Option<(Addresses, Instant)>,
    /// Who waits for the look-up that is queued or under way.
    pending: Option<watch::Sender<Option<Answer>>>,
    /// The last look-up brought nothing, or nobody had the patience to see its end.
    is_doubtful: bool,
}

impl Resolver {
    fn new(look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            look_up: Box::new(look_up),
            state: Mutex::default(),
        })
    }

    /// The one of this process.
    pub(super) fn shared() -> Arc<Self> {
        Arc::clone(&SHARED)
    }

    /// The addresses of a host, at the latest after `patience`.
    pub(super) async fn addresses(
        self: &Arc<Self>,
        host: &str,
        patience: Duration,
    ) -> Result<Addresses, Unresolved> {
        if let Some(addresses) = without_asking(host) {
            return Ok(addresses);
        }
        let host = host.to_ascii_lowercase();
        let (mut pending, old) = match self.begin(&host) {
            Begun::Known(addresses) => return Ok(addresses),
            Begun::Pending(pending, old) => (pending, old),
        };
        let patience = match &old {
            Some(_) => patience.min(PATIENCE_WITH_OLD),
            None => patience,
        };
        let answer = timeout(patience, pending.wait_for(Option::is_some)).await;
        let why: Arc<str> = match answer {
            Ok(Ok(answer)) => match answer.clone().expect("it was waited for") {
                Ok(addresses) => return Ok(addresses),
                Err(why) => why,
            },
            Ok(Err(_)) => "the look-up was given up".into(),
            Err(_) => {
                self.doubt(&host);
                if let Some(old) = old {
                    return Ok(old);
                }
                let waited = humantime::format_duration(patience);
                format!("this machine's resolver did not answer within {waited}").into()
            }
        };
        Err(Unresolved { name: host, why })
    }

    /// Joins the look-up of this name, or queues one.
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

    /// Starts a thread, if there may be one more.
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
            // Those that are at work will see to the queue.
            Err(_) if state.threads > 0 => {}
            Err(error) => state.give_up(&format!("no thread to look it up on: {error}").into()),
        }
    }

    /// A thread: one look-up after the other until none is left.
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

    fn doubt(&self, host: &str) {
        if let Some(known) = self.state().names.get_mut(host) {
            known.is_doubtful = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Begun {
    Known(Addresses),
    /// The look-up to wait for, and an answer from before.
    Pending(watch::Receiver<Option<Answer>>, Option<Addresses>),
}

impl State {
    /// The next name to look up, and whether it is a doubtful one. A name that nobody waits for any more is dropped.
    fn next(&mut self) -> Option<(String, bool)> {
        let mut place = 0;
        while let Some(host) = self.queue.get(place) {
            let Some(known) = self.names.get_mut(host) else {
                self.queue.remove(place);
                continue;
            };
            let waiting = known
                .pending
                .as_ref()
                .map_or(0, watch::Sender::receiver_count);
            if waiting == 0 {
                known.pending = None;
                self.queue.remove(place);
                continue;
            }
            if known.is_doubtful && self.doubtful >= MAX_DOUBTFUL {
                place += 1;
                continue;
            }
            let is_doubtful = known.is_doubtful;
            self.doubtful += usize::from(is_doubtful);
            let host = self.queue.remove(place)?;
            return Some((host, is_doubtful));
        }
        None
    }

    fn answered(&mut self, host: &str, answer: Answer) {
        let Some(known) = self.names.get_mut(host) else {
            return;
        };
        known.is_doubtful = answer.is_err();
        if let Ok(addresses) = &answer {
            known.addresses = Some((Arc::clone(addresses), Instant::now()));
        }
        if let Some(pending) = known.pending.take() {
            pending.send_replace(Some(answer));
        }
    }

    /// Nothing that is queued will be looked up.
    fn give_up(&mut self, why: &Arc<str>) {
        for host in std::mem::take(&mut self.queue) {
            self.answered(&host, Err(Arc::clone(why)));
        }
    }

    /// Forgets what nobody waits for, where there is more than can be in use.
    fn forget_some(&mut self) {
        if self.names.len() >= MAX_NAMES {
            self.names.retain(|_, known| known.pending.is_some());
        }
    }
}

/// What the system said, in our words: the library puts the same words before each cause.
fn read(answer: io::Result<Vec<IpAddr>>) -> Answer {
    match answer {
        Ok(addresses) if addresses.is_empty() => Err("it has no address".into()),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => {
            let said = error.to_string();
            let bare = said.strip_prefix("failed to lookup address information: ");
            Err(bare.unwrap_or(&said).into())
        }
    }
}

fn ask_the_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Addresses that stand for themselves, and this machine.
fn without_asking(host: &str) -> Option<Addresses> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Arc::new([address]));
    }
    // Never a name of the network: RFC 6761, section 6.3.
    let is_this_machine = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    is_this_machine.then(|| Arc::new(loopback) as Addresses)
}

/// The resolver as one account uses it.
pub(super) struct Patient {
    pub(super) resolver: Arc<Resolver>,
    pub(super) patience: Duration,
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").finish_non_exhaustive()
    }
}

impl Resolve for Patient {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, patience) = (Arc::clone(&self.resolver), self.patience);
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str(), patience).await?;
            let addresses: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Condvar,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::future::join_all;

    use super::*;

    /// As long as it takes.
    const PLENTY: Duration = Duration::from_secs(300);
    const SHORT: Duration = Duration::from_millis(50);
    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// A system whose look-ups of names with "hang" in them wait until they are let go; "none" has no address.
    #[derive(Default)]
    struct System {
        asked: AtomicUsize,
        is_open: Mutex<bool>,
        opened: Condvar,
    }

    impl System {
        fn resolver() -> (Arc<Self>, Arc<Resolver>) {
            let system = Arc::new(Self::default());
            let asked = Arc::clone(&system);
            let resolver = Resolver::new(move |host| {
                asked.asked.fetch_add(1, Ordering::SeqCst);
                if host.contains("hang") {
                    let is_open = asked.is_open.lock().unwrap();
                    drop(asked.opened.wait_while(is_open, |is_open| !*is_open));
                }
                match host {
                    "none.test" => Err(io::Error::other(
                        "failed to lookup address information: Name or service not known",
                    )),
                    "empty.test" => Ok(vec![]),
                    "panic.test" => panic!("on purpose"),
                    _ => Ok(vec![ONE]),
                }
            });
            (system, resolver)
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        fn open(&self) {
            *self.is_open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    #[tokio::test]
    async fn equal_names_are_looked_up_once() {
        let (system, resolver) = System::resolver();
        let same = ["hang.test", "HANG.test", "hang.TEST", "hang.test"];
        let all = join_all(same.map(|host| resolver.addresses(host, PLENTY)));
        let release = async {
            while system.asked() == 0 {
                tokio::task::yield_now().await;
            }
            system.open();
        };
        let (all, ()) = tokio::join!(all, release);
        for addresses in all {
            assert_eq!(addresses.as_deref(), Ok(&[ONE][..]));
        }
        // From here on the answer is known.
        assert!(resolver.addresses("hang.test", PLENTY).await.is_ok());
        assert_eq!(system.asked(), 1);
    }

    #[tokio::test]
    async fn a_name_that_hangs_holds_nobody_up() {
        let (system, resolver) = System::resolver();
        let hosts: Vec<_> = (0..200).map(|n| format!("hang-{n}.test")).collect();
        // The first time they are strangers like any other; from the second on they are known for it.
        for _ in 0..2 {
            let all = hosts.iter().map(|host| resolver.addresses(host, SHORT));
            for unresolved in join_all(all).await {
                let said = unresolved.unwrap_err().to_string();
                let why = "this machine's resolver did not answer within 50ms";
                assert!(said.ends_with(why), "{said}");
            }
        }
        assert!(system.asked() <= MAX_THREADS);
        system.open();
        assert!(resolver.addresses("well.test", PLENTY).await.is_ok());
    }

    #[tokio::test]
    async fn names_known_to_hang_leave_room_for_others() {
        let (system, resolver) = System::resolver();
        let hosts: Vec<_> = (0..200).map(|n| format!("hang-{n}.test")).collect();
        {
            let mut state = resolver.state();
            for host in &hosts {
                state.names.entry(host.clone()).or_default().is_doubtful = true;
            }
        }
        let all = hosts.iter().map(|host| resolver.addresses(host, SHORT));
        assert!(join_all(all).await.iter().all(Result::is_err));
        for host in ["well.test", "better.test", "best.test"] {
            assert!(resolver.addresses(host, PLENTY).await.is_ok(), "{host}");
        }
        assert!(system.asked() <= MAX_DOUBTFUL + 3, "{}", system.asked());
        system.open();
    }

    #[tokio::test]
    async fn a_failure_says_why_and_is_not_kept() {
        let (system, resolver) = System::resolver();
        for (host, why) in [
            ("none.test", "Name or service not known"),
            ("empty.test", "it has no address"),
            ("panic.test", "the look-up panicked"),
        ] {
            for _ in 0..2 {
                let said = resolver.addresses(host, PLENTY).await.unwrap_err();
                let words = format!("the name {host} cannot be resolved: {why}");
                assert_eq!(said.to_string(), words);
            }
        }
        assert_eq!(system.asked(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_stands_in_for_one_that_does_not_come() {
        let (system, resolver) = System::resolver();
        let known = Known {
            addresses: Some((Arc::new([ONE]), Instant::now())),
            ..Known::default()
        };
        resolver.state().names.insert("hang.test".to_owned(), known);
        for (passes, is_known) in [(1, true), (60, true), (1800, true), (3600, false)] {
            tokio::time::advance(Duration::from_secs(passes)).await;
            let answer = resolver.addresses("hang.test", SHORT).await;
            assert_eq!(answer.is_ok(), is_known, "{passes}");
        }
        assert!(system.asked() <= 1);
        system.open();
    }

    #[tokio::test]
    async fn addresses_and_this_machine_are_not_looked_up() {
        let (system, resolver) = System::resolver();
        for host in [
            "127.0.0.1",
            "[::1]",
            "::1",
            "localhost",
            "LocalHost.",
            "192.0.2.1",
        ] {
            assert!(resolver.addresses(host, PLENTY).await.is_ok(), "{host}");
        }
        assert_eq!(system.asked(), 0);
    }

    #[test]
    fn without_a_thread_a_look_up_fails_in_words() {
        let mut state = State::default();
        let (sender, receiver) = watch::channel(None);
        let known = Known {
            pending: Some(sender),
            ..Known::default()
        };
        state.names.insert("a.test".to_owned(), known);
        state.queue.push_back("a.test".to_owned());
        state.give_up(&"no thread".into());
        assert_eq!(*receiver.borrow(), Some(Err("no thread".into())));
        assert!(state.queue.is_empty());
    }
}
