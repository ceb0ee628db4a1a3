//! The app: the board and everything else that handlers share.

use std::{
    collections::HashMap,
    sync::{Arc, Once},
    time::Duration,
};

use axum::Router;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    clients::Clients, pool::Pool, reload_request::ReloadRequest, sessions::Sessions,
    watch_hub::WatchHub,
};
use crate::{
    account::{Ask, Health},
    budget::Budget,
    clock::Clock,
    cluster::member::Member,
    config::{self, BearerTokens},
    decision::{
        Decision, Patience, Policy,
        board::{Board, NotOnBoard, QueueKey, QueueState, Version},
        decide_with,
        reservations::{Holds, Reservations},
        soon::report::AccountReport,
    },
    metrics::{Metrics, QueueMeters},
    model::{digest::Digest, names::Names, quantity::Quantity},
    process::heartbeat::Heartbeats,
    server::{
        http::call_id::NoCallId,
        limits::Limits,
        net::{limits::ConnectionLimits, tls::Tls},
    },
    state::{State, history::History},
};

/// The queue of the one thread that renders metrics, so that many scrapers use at most one core. One or two scrapers are usual.
const MAX_WAITING_SCRAPES: usize = 8;

/// Look-ups of calls that may wait for the one thread that makes them. Only people ask for them, and each takes some hundredths of a second.
const MAX_WAITING_LOOKUPS: usize = 8;

/// What the server knows about an account, and how to reach its task.
#[derive(Clone, Debug)]
pub struct AccountHandle {
    /// Its name in the config.
    pub name: Arc<str>,
    /// The digest of the account's CallTools token, which opens the drop-in API. `None` while the token cannot be read; it changes when the
    /// token is rotated.
    pub token: watch::Receiver<Option<Digest>>,
    /// Its budget, for reports: handlers spend nothing.
    pub budget: Arc<Budget>,
    /// The newest names of queues and statuses.
    pub names: watch::Receiver<Arc<Names>>,
    /// Its faults and its feed of statuses.
    pub health: watch::Receiver<Health>,
    /// Requests to the account's task. Bounded: a full channel rejects further requests.
    pub asks: mpsc::Sender<Ask>,
    /// The account's role in a cluster; `None` without a cluster.
    pub member: Option<Arc<Member>>,
}

impl AccountHandle {
    /// Returns the current health.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The newest names. Holding them does not block the task that updates them.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.borrow())
    }
}

/// What the config says about the decisions of a queue.
#[derive(Clone, Debug)]
pub struct QueueRules {
    /// How its snapshots become decisions.
    pub policy: Policy,
    /// Whether the built-in rule counts its seats, so that no count is below 0.
    pub counts_seats: bool,
    /// How long its decisions wait for a fresh answer by default; `None` if they do not wait.
    pub patience: Option<Patience>,
    /// Whether it accepts at zero seats if an agent will likely be free.
    pub soon: config::Soon,
    /// In a cluster, its rule and opening hours as lines of config: the leader decides by them about seats for this node's calls.
    pub lines: Option<Arc<str>>,
}

/// A queue, as handlers see it.
#[derive(Debug)]
pub struct Queue {
    /// Its key on the board.
    pub key: QueueKey,
    /// What the config says about its decisions.
    pub rules: QueueRules,
    /// Its counters, looked up once.
    pub meters: Arc<QueueMeters>,
    /// Its seats held for calls on their way, looked up once.
    pub holds: Arc<Holds>,
    /// The version of its state on the board.
    pub version: Arc<Version>,
    /// Whether the log already says that a router sends no usable call ids.
    pub call_id_warning: Once,
}

impl Queue {
    /// Logs once that a request has no usable call id, since such a router does it with every call.
    pub fn warn_of_call_id(&self, error: &NoCallId) {
        self.call_id_warning.call_once(|| {
            tracing::warn!(queue = %self.key, %error, "a router sends no usable call_id: set it to the id of the call");
        });
    }
}

/// The parts of an [`App`].
#[derive(Debug)]
pub struct Deps {
    /// The cache to answer from.
    pub(crate) board: Arc<Board>,
    /// The rules of every queue on the board.
    pub queue_rules: HashMap<QueueKey, QueueRules>,
    /// The accounts whose queues are on the board.
    pub(crate) accounts: Vec<AccountHandle>,
    /// The metrics, created for the queues on the board.
    pub(crate) metrics: Arc<Metrics>,
    /// The seats held for calls on their way.
    pub(crate) reservations: Arc<Reservations>,
    /// The clock for ages.
    pub(crate) clock: Arc<dyn Clock>,
    /// The saved state, for history, calls and metrics; `None` if nothing outlives the process.
    pub state: Option<Arc<State>>,
    /// The bearer tokens, any of which admits a caller; `None` if no token is needed.
    pub(crate) bearer: Option<BearerTokens>,
    /// Further callers, with their tokens.
    pub(crate) clients: Vec<(config::Client, BearerTokens)>,
    /// The queues that the config names for clients and recipients.
    pub named_queues: Vec<config::NamedQueue>,
    /// Names of this server, as in [the config](crate::config::Server::allowed_hosts).
    pub(crate) allowed_hosts: Vec<String>,
    /// TLS for TCP connections; `None` if they are plain.
    pub(crate) tls: Option<Tls>,
    /// Limits on connections and time.
    pub(crate) limits: Limits,
    /// Whether metrics count agents by status.
    pub(crate) metrics_by_status: bool,
    /// Cancelled when the process begins to stop: it turns unready, and refreshes end.
    pub(crate) stopping: CancellationToken,
    /// Where accept loops report that they still run.
    pub(crate) heartbeats: Heartbeats,
    /// Where requests to reload the config go; `None` if it cannot be reloaded.
    pub(crate) reloads: Option<mpsc::Sender<ReloadRequest>>,
    /// Routes that only `control.sock` answers.
    pub(crate) control: Router,
}

/// See the [module](self).
#[derive(Debug)]
pub struct App {
    pub(crate) board: Arc<Board>,
    pub(crate) accounts: Vec<AccountHandle>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reservations: Arc<Reservations>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) state: Option<Arc<State>>,
    pub(crate) bearer: Option<BearerTokens>,
    pub(in crate::server) clients: Clients,
    pub(super) named_queues: Vec<config::NamedQueue>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Limits,
    pub(in crate::server) metrics_by_status: bool,
    pub(crate) stopping: CancellationToken,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) reloads: Option<mpsc::Sender<ReloadRequest>>,
    pub(crate) control: Router,
    /// Cancelled when another app replaces this one, and when the process stops.
    pub(crate) retired: CancellationToken,
    /// Larger than the number of every app before.
    pub(crate) number: u64,
    /// Places for connections.
    pub(crate) connections: Arc<ConnectionLimits>,
    /// What streams of decisions share.
    pub(in crate::server) watch: WatchHub,
    /// Browsers that have logged in.
    pub(in crate::server) sessions: Arc<Sessions>,
    /// Computes metrics off the serving threads.
    pub(in crate::server) scrapes: Arc<Pool>,
    /// Looks up calls off the serving threads.
    pub(super) lookups: Arc<Pool>,
    /// In the order of the config.
    queues: Vec<Arc<Queue>>,
    by_key: HashMap<QueueKey, Arc<Queue>>,
    by_account: HashMap<Arc<str>, Vec<Arc<Queue>>>,
    /// The place of each account in `accounts`, by its name.
    places: HashMap<Arc<str>, usize>,
}

/// What one app hands to the next.
struct Kept {
    connections: Arc<ConnectionLimits>,
    watch: WatchHub,
    sessions: Arc<Sessions>,
    scrapes: Arc<Pool>,
    lookups: Arc<Pool>,
    number: u64,
}

impl App {
    /// Assembles an app.
    ///
    /// # Panics
    /// If a queue on the board has no policy or no counters, which is a bug in the process.
    pub fn new(deps: Deps) -> Self {
        let kept = Kept {
            connections: Arc::new(ConnectionLimits::new(deps.limits.connections)),
            watch: WatchHub::new(&deps.limits.watch),
            sessions: Arc::new(Sessions::new()),
            scrapes: Arc::new(Pool::new("metrics", 1, MAX_WAITING_SCRAPES)),
            lookups: Arc::new(Pool::new("calls", 1, MAX_WAITING_LOOKUPS)),
            number: 0,
        };
        Self::assemble(deps, kept)
    }

    /// Creates an app that replaces `last`, with the same limits: open connections and streams still count, and sessions continue if the tokens are
    /// unchanged.
    ///
    /// # Panics
    /// As for [`new`](Self::new).
    pub fn after(last: &App, deps: Deps) -> Self {
        let deps = Deps {
            limits: last.limits,
            ..deps
        };
        let kept = Kept {
            connections: Arc::clone(&last.connections),
            watch: last.watch.successor(&last.limits.watch),
            sessions: match last.bearer == deps.bearer {
                true => Arc::clone(&last.sessions),
                false => Arc::new(Sessions::new()),
            },
            scrapes: Arc::clone(&last.scrapes),
            lookups: Arc::clone(&last.lookups),
            number: last.number + 1,
        };
        Self::assemble(deps, kept)
    }

    fn assemble(deps: Deps, kept: Kept) -> Self {
        let queue = |key: &QueueKey| {
            let rules = deps.queue_rules.get(key).expect("every queue has rules");
            Arc::new(Queue {
                key: key.clone(),
                rules: rules.clone(),
                meters: deps
                    .metrics
                    .queue(key)
                    .expect("the metrics were made for the queues of the board"),
                holds: deps.reservations.queue(key),
                version: deps.board.version(key).expect("the queue is on the board"),
                call_id_warning: Once::new(),
            })
        };
        let queues: Vec<_> = deps.board.keys().iter().map(queue).collect();
        let by_key = queues
            .iter()
            .map(|queue| (queue.key.clone(), Arc::clone(queue)))
            .collect();
        let mut by_account: HashMap<_, Vec<_>> = HashMap::new();
        for queue in &queues {
            let account = by_account.entry(Arc::clone(&queue.key.account));
            account.or_default().push(Arc::clone(queue));
        }
        let accounts = deps.accounts.iter().enumerate();
        let places = accounts.map(|(place, account)| (Arc::clone(&account.name), place));
        Self {
            by_account,
            places: places.collect(),
            board: deps.board,
            accounts: deps.accounts,
            metrics: deps.metrics,
            reservations: deps.reservations,
            clock: deps.clock,
            state: deps.state,
            bearer: deps.bearer,
            clients: Clients::new(deps.clients),
            named_queues: deps.named_queues,
            allowed_hosts: deps.allowed_hosts,
            tls: deps.tls,
            limits: deps.limits,
            metrics_by_status: deps.metrics_by_status,
            retired: deps.stopping.child_token(),
            number: kept.number,
            stopping: deps.stopping,
            heartbeats: deps.heartbeats,
            reloads: deps.reloads,
            control: deps.control,
            connections: kept.connections,
            watch: kept.watch,
            sessions: kept.sessions,
            scrapes: kept.scrapes,
            lookups: kept.lookups,
            queues,
            by_key,
        }
    }

    /// All queues, in the order of the config.
    pub(crate) fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    /// Finds a queue by its key on the board.
    pub(crate) fn queue(&self, key: &QueueKey) -> Option<&Arc<Queue>> {
        self.by_key.get(key)
    }

    /// Finds a queue by its name or id, in one account or in any.
    pub fn find(&self, account: Option<&str>, asked: &str) -> Result<Arc<Queue>, NotOnBoard> {
        let is_mine = |key: &QueueKey| self.by_key.contains_key(key);
        let key = self.board.find(account, asked, is_mine)?;
        let queue = self.by_key.get(&key).map(Arc::clone);
        queue.ok_or_else(|| NotOnBoard::Unknown {
            asked: asked.to_owned(),
        })
    }

    /// Finds a queue by its name or id, or as `account/queue`. Either name may contain slashes, so every split is tried.
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
        self.by_account.get(&account.name).into_iter().flatten()
    }

    /// Returns what is known about a queue: nothing once it is gone.
    pub(crate) fn state(&self, queue: &Queue) -> Arc<QueueState> {
        self.board.get(&queue.key).unwrap_or_default()
    }

    /// Notes that another app has replaced this one.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    /// Decides without counting the decision.
    pub(crate) fn decide(&self, queue: &Queue, state: &QueueState, policy: &Policy) -> Decision {
        let now = self.clock.now();
        decide_with(state, policy, queue.holds.held(now), now)
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

    /// Counts and logs a decision that was given.
    pub(crate) fn decided(&self, queue: &Queue, decision: &Decision, elapsed: Duration) {
        self.metrics.decision(&queue.meters, decision, elapsed);
        tracing::trace!(
            queue = %queue.key,
            accept = decision.accept,
            reason = decision.reason.as_str(),
            count = decision.count.map(Quantity::get),
            age = ?decision.age,
            "a decision"
        );
    }

    /// The recorded history; `None` if nothing is recorded.
    pub(crate) fn history(&self) -> Option<&History> {
        let recorder = self.state.as_ref()?.history.as_ref()?;
        Some(recorder.history())
    }

    /// Returns the parts of the state folder that cannot be written now.
    pub(crate) fn degraded(&self) -> Vec<&'static str> {
        let gauges = self.state.iter().flat_map(|state| state.gauges());
        let degraded = gauges.filter(|gauges| gauges.degraded);
        degraded.map(|gauges| gauges.part).collect()
    }

    /// What is known about calls at zero seats in an account; `None` before the account has reported it.
    pub(crate) fn account_report(&self, name: &str) -> Option<Arc<AccountReport>> {
        self.account(name)?.health.borrow().soon.clone()
    }

    /// Finds an account by its name in the config.
    pub(crate) fn account(&self, name: &str) -> Option<&AccountHandle> {
        self.accounts.get(*self.places.get(name)?)
    }
}
