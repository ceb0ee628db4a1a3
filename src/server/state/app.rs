//! What all handlers share.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    reload_request::ReloadRequest,
    sessions::Sessions,
    watch_hub::{WatchHub, WatchLimits},
};
use crate::{
    account::{Ask, Health},
    budget::Budget,
    clock::Clock,
    config::BearerTokens,
    decision::{
        Decision, Patience, Policy,
        board::{Board, NotOnBoard, QueueKey, QueueState, Version},
        decide,
        reservations::{Holds, Reservations},
        snapshot::Snapshot,
    },
    metrics::{self, ByStatus, Metrics, QueueGauges, QueueMeters, Scrape},
    model::{digest::Digest, fault::FaultKind, names::Names, quantity::Quantity},
    process::pulse::Pulses,
    server::{
        dashboard::{Past, Press},
        net::{limits::Room, tls::Tls},
    },
    state::{State, history::History},
};

/// How long and how many: what keeps one client from hurting another.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections over all listeners; one more is closed at once. Some are kept for clients on this machine.
    pub connections: usize,
    /// From the first byte of a request (or from the connection, for the first one) to the end of its head. Five seconds is
    /// what a head of one packet needs, times a thousand.
    pub head: Duration,
    /// Between requests. A router that asks now and then shall not race against our closing its connection, so this is
    /// longer than the 60 s for which common HTTP clients and proxies keep theirs. It may begin a `head` late.
    pub idle: Duration,
    /// For the client to take an answer, whole: the longest list, about 1 MB, over a poor line.
    pub write: Duration,
    /// For answers that are under way when the server stops; less than the 3 s in which the whole process has to be gone.
    pub drain: Duration,
    /// Of streams of decisions.
    pub watch: WatchLimits,
}

impl Limits {
    /// The usual times, for so many connections.
    pub fn with_connections(connections: usize) -> Self {
        Self {
            connections,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            watch: WatchLimits::with_connections(connections),
        }
    }
}

/// What the server needs to know of an account, and how to reach its task.
#[derive(Clone, Debug)]
pub struct AccountHandle {
    /// As in the config.
    pub name: Arc<str>,
    /// Of the account's CallTools token, which opens the drop-in API. `None` while it cannot be read; it changes when the
    /// token is rotated.
    pub token: watch::Receiver<Option<Digest>>,
    /// For metrics only: handlers spend nothing.
    pub budget: Arc<Budget>,
    /// The newest reading.
    pub names: watch::Receiver<Arc<Names>>,
    /// What is wrong with it, and whence its statuses come.
    pub health: watch::Receiver<Health>,
    /// To the account's task. Bounded: a full channel refuses the next wish.
    pub asks: mpsc::Sender<Ask>,
}

impl AccountHandle {
    /// How it is now.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The newest names, to keep without holding up who writes them.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.borrow())
    }
}

/// One queue, as handlers see it.
#[derive(Debug)]
pub struct Queue {
    /// Its place on the board.
    pub key: QueueKey,
    /// How its snapshots become decisions.
    pub policy: Policy,
    /// Whether its decisions wait for a fresh answer unless the request says otherwise.
    pub patience: Option<Patience>,
    /// Its counters, looked up once.
    pub meters: Arc<QueueMeters>,
    /// Its seats that are held for calls on their way, looked up once.
    pub holds: Arc<Holds>,
    /// Of its state on the board.
    pub version: Arc<Version>,
}

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The cache to answer from.
    pub(crate) board: Arc<Board>,
    /// For every queue on the board.
    pub policies: HashMap<QueueKey, Policy>,
    /// For the queues whose decisions may wait.
    pub patience: HashMap<QueueKey, Patience>,
    /// Those whose queues are on the board.
    pub(crate) accounts: Vec<AccountHandle>,
    /// Made for the queues on the board.
    pub(crate) metrics: Arc<Metrics>,
    /// The seats held for calls on their way.
    pub(crate) reservations: Arc<Reservations>,
    /// For ages.
    pub(crate) clock: Arc<dyn Clock>,
    /// For metrics only; `None` where nothing outlives the process.
    pub state: Option<Arc<State>>,
    /// What callers must show, if anything.
    pub(crate) bearer: Option<BearerTokens>,
    /// Names of this server, as [the config](crate::config::Server::allowed_hosts) has them.
    pub(crate) allowed_hosts: Vec<String>,
    /// What TCP connections begin with; `None` where they are plain.
    pub(crate) tls: Option<Tls>,
    /// What bounds them.
    pub(crate) limits: Limits,
    /// Cancelled as soon as the process begins to stop: from then on it says that it is not ready, and refreshes end.
    pub(crate) stopping: CancellationToken,
    /// Where accept loops show that they turn.
    pub(crate) pulses: Pulses,
    /// To whom the wish is sent that the config be read again; `None` where nobody can.
    pub(crate) reloads: Option<mpsc::Sender<ReloadRequest>>,
    /// Routes that only `control.sock` answers.
    pub(crate) control: Router,
}

/// What all handlers share: the board, and what is needed to answer from it.
#[derive(Debug)]
pub struct App {
    pub(crate) board: Arc<Board>,
    pub(crate) accounts: Vec<AccountHandle>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reservations: Arc<Reservations>,
    pub(crate) clock: Arc<dyn Clock>,
    state: Option<Arc<State>>,
    pub(crate) bearer: Option<BearerTokens>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Limits,
    pub(crate) stopping: CancellationToken,
    pub(crate) pulses: Pulses,
    pub(crate) reloads: Option<mpsc::Sender<ReloadRequest>>,
    pub(crate) control: Router,
    /// Cancelled when another app takes this one's place, and when the process stops.
    pub(crate) retired: CancellationToken,
    /// Tells this app from those before it.
    pub(crate) number: u64,
    /// For connections.
    pub(crate) room: Arc<Room>,
    /// What streams of decisions read.
    pub(in crate::server) watch: WatchHub,
    /// Browsers that have logged in.
    pub(in crate::server) sessions: Arc<Sessions>,
    /// What pages show of the history.
    pub(in crate::server) past: Past,
    /// Where pages are made.
    pub(in crate::server) press: Press,
    /// In the order of the config.
    queues: Vec<Arc<Queue>>,
    by_key: HashMap<QueueKey, Arc<Queue>>,
}

/// What one app hands on to the next.
struct Kept {
    room: Arc<Room>,
    watch: WatchHub,
    sessions: Arc<Sessions>,
    past: Past,
    press: Press,
    number: u64,
}

impl App {
    /// Puts the parts together.
    ///
    /// # Panics
    /// If a queue of the board has no policy or no counters: whoever wires the process made a mistake.
    pub fn new(parts: Parts) -> Self {
        let kept = Kept {
            room: Arc::new(Room::new(parts.limits.connections)),
            watch: WatchHub::new(&parts.limits.watch),
            sessions: Arc::new(Sessions::new()),
            past: Past::new(),
            press: Press::new(),
            number: 0,
        };
        Self::assemble(parts, kept)
    }

    /// The same for an app that takes the place of `last` and has the same limits: connections and streams that are open still count, and who is
    /// logged in stays so while the token is the same.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn after(last: &App, parts: Parts) -> Self {
        let parts = Parts {
            limits: last.limits,
            ..parts
        };
        let kept = Kept {
            room: Arc::clone(&last.room),
            watch: last.watch.successor(&last.limits.watch),
            sessions: match last.bearer == parts.bearer {
                true => Arc::clone(&last.sessions),
                false => Arc::new(Sessions::new()),
            },
            past: last.past.successor(),
            press: last.press.successor(),
            number: last.number + 1,
        };
        Self::assemble(parts, kept)
    }

    fn assemble(parts: Parts, kept: Kept) -> Self {
        let queue = |key: &QueueKey| {
            Arc::new(Queue {
                key: key.clone(),
                policy: *parts.policies.get(key).expect("every queue has a policy"),
                patience: parts.patience.get(key).copied(),
                meters: parts
                    .metrics
                    .queue(key)
                    .expect("the metrics were made for the queues of the board"),
                holds: parts.reservations.queue(key),
                version: parts.board.version(key).expect("it is one of the board's"),
            })
        };
        let queues: Vec<_> = parts.board.keys().iter().map(queue).collect();
        let by_key = queues
            .iter()
            .map(|queue| (queue.key.clone(), Arc::clone(queue)))
            .collect();
        Self {
            board: parts.board,
            accounts: parts.accounts,
            metrics: parts.metrics,
            reservations: parts.reservations,
            clock: parts.clock,
            state: parts.state,
            bearer: parts.bearer,
            allowed_hosts: parts.allowed_hosts,
            tls: parts.tls,
            limits: parts.limits,
            retired: parts.stopping.child_token(),
            number: kept.number,
            stopping: parts.stopping,
            pulses: parts.pulses,
            reloads: parts.reloads,
            control: parts.control,
            room: kept.room,
            watch: kept.watch,
            sessions: kept.sessions,
            past: kept.past,
            press: kept.press,
            queues,
            by_key,
        }
    }

    /// What TCP connections begin with.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// All queues, in the order of the config.
    pub(crate) fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    /// The queue that a request means.
    pub fn find(&self, account: Option<&str>, asked: &str) -> Result<Arc<Queue>, NotOnBoard> {
        let key = self.board.find(account, asked)?;
        // While another app takes this one's place, the board has the queues of both.
        let queue = self.by_key.get(&key).map(Arc::clone);
        queue.ok_or_else(|| NotOnBoard::Unknown {
            asked: asked.to_owned(),
        })
    }

    /// A queue by its name or id, or as `account/queue`. Either name may contain slashes itself, so every split is tried.
    pub(crate) fn find_named(&self, name: &str) -> Result<Arc<Queue>, NotOnBoard> {
        let unknown = match self.find(None, name) {
            Err(error @ NotOnBoard::Unknown { .. }) => error,
            answer => return answer,
        };
        let mut splits = name.match_indices('/');
        splits
            .find_map(|(slash, _)| self.find(Some(&name[..slash]), &name[slash + 1..]).ok())
            .ok_or(unknown)
    }

    /// The queues of an account, in the order of the config.
    pub(crate) fn queues_of<'a>(
        &'a self,
        account: &'a AccountHandle,
    ) -> impl Iterator<Item = &'a Arc<Queue>> {
        let queues = self.queues.iter();
        queues.filter(|queue| queue.key.account == account.name)
    }

    /// What is known about a queue: nothing, once it is gone.
    pub(crate) fn state(&self, queue: &Queue) -> Arc<QueueState> {
        self.board.get(&queue.key).unwrap_or_default()
    }

    /// Another app has taken this one's place.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    /// Decides without counting: for those who look on.
    pub(crate) fn decide(&self, queue: &Queue, state: &QueueState, policy: &Policy) -> Decision {
        let now = self.clock.now();
        decide(state, policy, queue.holds.held(now), now)
    }

    /// Decides and counts the decision.
    pub(crate) fn decide_and_count(
        &self,
        queue: &Queue,
        policy: &Policy,
    ) -> (Arc<QueueState>, Decision) {
        let begun = Instant::now();
        let state = self.state(queue);
        let decision = self.decide(queue, &state, policy);
        self.decided(queue, &decision, begun.elapsed());
        (state, decision)
    }

    /// Counts a decision that was given, and logs it.
    pub(crate) fn decided(&self, queue: &Queue, decision: &Decision, took: Duration) {
        self.metrics.decision(&queue.meters, decision, took);
        tracing::trace!(
            queue = %queue.key,
            accept = decision.accept,
            reason = decision.reason.as_str(),
            count = decision.count.map(Quantity::get),
            age = ?decision.age,
            "a decision"
        );
    }

    /// What was, for those who look back; `None` where nothing is recorded.
    pub(crate) fn history(&self) -> Option<&History> {
        let recorder = self.state.as_ref()?.history.as_ref()?;
        Some(recorder.history())
    }

    /// The parts of the state folder that cannot be written now.
    pub(crate) fn degraded(&self) -> Vec<&'static str> {
        let gauges = self.state.iter().flat_map(|state| state.gauges());
        let degraded = gauges.filter(|gauges| gauges.degraded);
        degraded.map(|gauges| gauges.part).collect()
    }

    /// An account by its name in the config.
    pub(crate) fn account(&self, name: &str) -> Option<&AccountHandle> {
        self.accounts.iter().find(|account| *account.name == *name)
    }

    /// Everything that metrics show, as it is now.
    pub(crate) fn scrape(&self) -> Scrape {
        let budgets = self.accounts.iter();
        let budgets = budgets.map(|account| (Arc::clone(&account.name), account.budget.usage()));
        Scrape {
            queues: self.queues.iter().map(|queue| self.gauges(queue)).collect(),
            budgets: budgets.collect(),
            agents: self.agents(),
            faults: self.accounts.iter().map(fault).collect(),
            open_connections: self.room.open(),
            open_streams: self.watch.open_streams(&self.limits.watch),
            state: self.state.iter().flat_map(|state| state.gauges()).collect(),
        }
    }

    /// The agents of each account, as far as its queues are known now.
    fn agents(&self) -> Vec<(Arc<str>, ByStatus)> {
        let mut known: HashMap<&str, Vec<Arc<Snapshot>>> = HashMap::new();
        for queue in &self.queues {
            let state = self.state(queue);
            if self.decide(queue, &state, &queue.policy).is_fresh {
                let snapshots = known.entry(&queue.key.account).or_default();
                snapshots.extend(state.snapshot.clone());
            }
        }
        let of_account = |account: &AccountHandle| {
            let snapshots = known.get(&*account.name)?;
            let agents = metrics::each_once(snapshots, &account.names());
            Some((Arc::clone(&account.name), agents))
        };
        self.accounts.iter().filter_map(of_account).collect()
    }

    fn gauges(&self, queue: &Queue) -> QueueGauges {
        let account = self.account(&queue.key.account);
        let names = account.map(AccountHandle::names).unwrap_or_default();
        let (state, now) = (self.state(queue), self.clock.now());
        QueueGauges::of(&queue.key, &state, &queue.policy, &queue.holds, &names, now)
    }
}

/// An account's name, and the kind of its present fault.
fn fault(account: &AccountHandle) -> (Arc<str>, Option<FaultKind>) {
    let fault = account.health().fault;
    (Arc::clone(&account.name), fault.map(|fault| fault.kind()))
}
