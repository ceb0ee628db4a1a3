//! The whole daemon: turns a config into parts, owns every task, reloads and stops.
//!
//! The daemon's tasks are in one set; `ARCHITECTURE.md` lists them. Loops have a [heartbeat](crate::process::heartbeat). If a task ends early, the
//! process ends with an error and systemd restarts it; otherwise answers would become stale unnoticed. When stopping, readiness ends first, then
//! polling; then requests in progress are answered, all within [`GRACE`].
//!
//! `files` reads secrets and certificates, `wiring` builds the parts, `rules` says what the config means for decisions, and `accounts` are running.
//! `reloading` replaces the config, `desk` answers the control socket, `descriptors` fits limits to open files, and `systemd` is the notifier.

mod accounts;
pub mod descriptors;
mod desk;
mod file_problems;
mod files;
mod reloading;
mod rules;
pub mod systemd;
mod wiring;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::bail;
use futures_util::future::join_all;
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use self::systemd::Notifier;
use self::{
    accounts::{NewAccount, RunningAccount},
    file_problems::read_files,
    wiring::{Wiring, keys, reservations},
};
pub use self::{
    file_problems::{FileProblem, Severity, file_problems},
    wiring::{owner, transport},
};
pub use crate::process::state_folder::{CALLS_FILE, HISTORY_FILE, LEDGER_FILE, STORE_FILE};
use crate::{
    clock::Clock,
    cluster::{engine::RedisEngine, task::Task},
    config::Config,
    decision::board::Board,
    metrics::Metrics,
    notify::{self, Recipients},
    process::heartbeat::Heartbeats,
    server::{
        App, Bound, Current, Detached, Exposed, Listener, bind_all, check_spellings,
        reload_request::ReloadRequest, serve, serve_agent_checks, serve_control, serve_on_threads,
        status_line, watch_decisions,
    },
    state::{LAST_WRITES, State, history::Watched},
};

/// The longest time to stop: well within what systemd, Kubernetes and people wait.
const GRACE: Duration = Duration::from_millis(2_800);

/// How many reload requests may wait while one is served. People send them, so more at a time are a mistake.
const MAX_RELOADS: usize = 4;

/// How a task of the set ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was asked to stop.
    Told,
    /// By itself.
    Early,
}

type Tasks = JoinSet<anyhow::Result<End>>;

/// A daemon with all its parts that has not polled or answered yet.
#[derive(Debug)]
pub struct Daemon {
    wiring: Wiring,
    /// What the nodes of a cluster share.
    engine: Option<Arc<RedisEngine>>,
    accounts: Vec<NewAccount>,
    /// Those of budgets that accounts share in a cluster.
    budget_tasks: Vec<Task>,
    config: Config,
    current: Arc<Current>,
    listeners: Vec<Listener>,
    /// For HAProxy's agent-checks.
    agent_checks: Option<Listener>,
    /// Those of the listeners that each config must have a token for.
    exposed: Exposed,
    /// How many threads serve the listeners; with 0, the runtime that runs the daemon serves them.
    threads: usize,
    notifier: Notifier,
    /// The config's file, for reloads.
    file: Option<PathBuf>,
    hangups: Option<Signal>,
    reload_requests: mpsc::Receiver<ReloadRequest>,
    /// The recipients of messages and pushes.
    recipients: watch::Sender<Recipients>,
}

impl Daemon {
    /// Builds all parts of a config, and binds its addresses.
    ///
    /// # Errors
    /// A token or certificate cannot be read, the state folder cannot be used, or an address is taken.
    pub async fn new(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::with_sockets(config, clock, Vec::new()).await
    }

    /// Builds all parts with sockets that are already bound.
    ///
    /// # Errors
    /// As [`new`](Self::new), or the config does not allow a passed socket.
    pub async fn with_sockets(
        config: &Config,
        clock: Arc<dyn Clock>,
        passed: Vec<Detached>,
    ) -> anyhow::Result<Self> {
        let files = read_files(config, clock.now()).await?;
        let Bound {
            listeners,
            agent_checks,
            exposed,
        } = bind_all(&config.server, passed).await?;
        let state = State::open(config.state_dir.as_deref(), config.history_days, &clock).await?;
        let (reloads, reload_requests) = mpsc::channel(MAX_RELOADS);
        let configured = wiring::all_configured(config, &files);
        let cluster = wiring::node(config, files.cluster_password, &clock)?;
        let wiring = Wiring {
            board: Arc::new(Board::new(keys(config))),
            metrics: Arc::new(Metrics::new(keys(config), clock.now())),
            reservations: Arc::new(reservations(&state, configured)?),
            clock,
            state: Arc::new(state),
            heartbeats: Heartbeats::default(),
            stop: CancellationToken::new(),
            reloads,
            node: cluster.as_ref().map(|(node, _)| Arc::clone(node)),
        };
        let mut accounts = Vec::with_capacity(config.accounts.len());
        let mut budget_tasks = Vec::new();
        for (account, files) in config.accounts.iter().zip(files.accounts) {
            let mut prepared = wiring.prepare(&Arc::new(account.clone()), files)?;
            budget_tasks.extend(prepared.budget_task.take());
            accounts.push(NewAccount::new(prepared, &wiring));
        }
        let handles = accounts.iter().map(|one| one.handle.clone());
        let reaches = accounts.iter().map(|one| one.reach.clone());
        let desk = desk::routes(config, reaches.collect(), &wiring.clock);
        let app = App::new(wiring.app(config, files.callers, handles.collect(), desk));
        Ok(Self {
            wiring,
            engine: cluster.map(|(_, engine)| engine),
            accounts,
            budget_tasks,
            config: config.clone(),
            current: Current::new(Arc::new(app)),
            listeners,
            agent_checks,
            exposed,
            threads: 0,
            notifier: Notifier::default(),
            file: None,
            hangups: None,
            reload_requests,
            recipients: watch::Sender::new(files.recipients),
        })
    }

    /// Serves on this number of threads instead of the runtime that runs it.
    pub fn serving_on(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Reports its state to a supervisor.
    pub fn reporting_to(self, notifier: Notifier) -> Self {
        Self { notifier, ..self }
    }

    /// Reloads from this file on request.
    pub fn reloading_from(self, file: PathBuf) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    /// Reloads on SIGHUP too.
    pub fn reloading_on(self, hangups: Signal) -> Self {
        Self {
            hangups: Some(hangups),
            ..self
        }
    }

    /// Returns where it listens. If the config left the port to the system, it is known here.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Returns where it answers HAProxy's agent-checks.
    pub fn agent_checks(&self) -> Option<&Listener> {
        self.agent_checks.as_ref()
    }

    /// Polls and answers until `shutdown`.
    ///
    /// # Errors
    /// A task ended early.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let stop = self.wiring.stop.clone();
        let mut tasks = Tasks::new();
        if let Some(listener) = self.agent_checks {
            let serving = serve_agent_checks(listener, Arc::clone(&self.current), stop.clone());
            tasks.spawn(until_stopped(serving));
        }
        if let (Some(node), Some(engine)) = (self.wiring.node.clone(), self.engine.clone()) {
            tasks.spawn(until_stopped(node.listen(engine)));
        }
        for task in self.budget_tasks {
            tasks.spawn(until_told(task.run(stop.clone())));
        }
        if let Some(folder) = self.config.state_dir.clone() {
            let serving = serve_control(folder, Arc::clone(&self.current), stop.clone());
            tasks.spawn(until_stopped(serving));
        }
        watch(&self.current, &stop, &mut tasks);
        let current = Arc::clone(&self.current);
        tasks.spawn(until_stopped(notify::run(
            move || current.app(),
            self.recipients.subscribe(),
            self.wiring.state.store.clone(),
            stop.clone(),
        )));
        let notifier = Arc::new(self.notifier);
        tasks.spawn(supervised(
            Arc::clone(&notifier),
            Arc::clone(&self.current),
            self.wiring.heartbeats.clone(),
            stop.clone(),
        ));
        let answering = answer(
            self.listeners,
            self.threads,
            Arc::clone(&self.current),
            stop.clone(),
        );
        let node = self.wiring.node.clone();
        tasks.spawn(async move {
            let ended = answering.await;
            // Requests in progress may have needed the next leader of the cluster.
            if let Some(node) = node {
                node.end();
            }
            ended
        });
        let start = |account: NewAccount| account.start(&stop, &mut tasks);
        let accounts = self.accounts.into_iter().map(start).collect();
        let mut running = RunningDaemon {
            wiring: self.wiring,
            engine: self.engine,
            config: self.config,
            exposed: self.exposed,
            current: self.current,
            notifier,
            file: self.file,
            accounts,
            recipients: self.recipients,
            tasks,
        };
        running.record();
        running.tell_ready().await;
        let early = running
            .work(shutdown, self.reload_requests, self.hangups)
            .await;
        running.stop(early).await
    }
}

/// A running daemon.
#[derive(Debug)]
struct RunningDaemon {
    wiring: Wiring,
    engine: Option<Arc<RedisEngine>>,
    /// The config in force.
    config: Config,
    exposed: Exposed,
    current: Arc<Current>,
    notifier: Arc<Notifier>,
    file: Option<PathBuf>,
    /// In the order of the config.
    accounts: Vec<RunningAccount>,
    /// Replaces the recipients of messages and pushes.
    recipients: watch::Sender<Recipients>,
    tasks: Tasks,
}

/// The result of a task that ended.
type Ended = Result<anyhow::Result<End>, JoinError>;

impl RunningDaemon {
    /// Serves reload requests until the process should stop, or until a task ends early.
    async fn work(
        &mut self,
        shutdown: impl Future<Output = ()>,
        mut requests: mpsc::Receiver<ReloadRequest>,
        mut hangups: Option<Signal>,
    ) -> Option<Ended> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let request = tokio::select! {
                () = &mut shutdown => return None,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ok(End::Told)) => continue,
                    ended => return Some(ended),
                },
                Some(request) = requests.recv() => Some(request),
                () = hangup(&mut hangups) => None,
            };
            let outcome = tokio::select! {
                outcome = self.reload() => outcome,
                // A file that hangs does not delay a stop.
                () = &mut shutdown => return None,
            };
            if let Some(request) = request {
                // The caller may have gone.
                let _ = request.send(outcome);
            }
        }
    }

    /// Records the history of all queues, also of those of later configs.
    fn record(&mut self) {
        let Some(history) = self.wiring.state.history.clone() else {
            return;
        };
        let watched = Watched::new(&self.wiring.board, &self.wiring.metrics);
        let recording = history.watch(watched, self.wiring.stop.clone());
        self.tasks.spawn(until_told(recording));
    }

    async fn tell_ready(&self) {
        self.notifier.ready(&status_line(&self.current.app())).await;
    }

    /// Lets every task finish, within [`GRACE`].
    async fn stop(mut self, early: Option<Ended>) -> anyhow::Result<()> {
        self.wiring.stop.cancel();
        self.notifier.stopping().await;
        let rest = async {
            let mut failed = None;
            while let Some(ended) = self.tasks.join_next().await {
                if !matches!(ended, Ok(Ok(_))) {
                    failed.get_or_insert(ended);
                }
            }
            let state = Arc::clone(&self.wiring.state);
            let reservations = Arc::clone(&self.wiring.reservations);
            let write = move || {
                reservations.finish(LAST_WRITES);
                state.finish();
            };
            tokio::task::spawn_blocking(write).await?;
            anyhow::Ok(failed)
        };
        let failed = match tokio::time::timeout(GRACE, rest).await {
            Ok(failed) => failed?,
            Err(_) => {
                tracing::warn!("some tasks did not end in time and were abandoned");
                None
            }
        };
        if let Some(failed) = failed {
            failed??;
        }
        match early {
            None => Ok(()),
            Some(ended) => {
                ended??;
                bail!("a task ended early");
            }
        }
    }
}

/// Starts the tasks that look at the decisions and names of each config.
fn watch(current: &Arc<Current>, stop: &CancellationToken, tasks: &mut Tasks) {
    let newest = |current: &Arc<Current>| {
        let current = Arc::clone(current);
        move || current.app()
    };
    let decisions = watch_decisions(newest(current), stop.clone());
    tasks.spawn(until_stopped(decisions));
    let spellings = check_spellings(newest(current), stop.clone());
    tasks.spawn(until_stopped(spellings));
}

/// Wraps work that may end by itself, because it was asked to.
async fn until_told(work: impl Future<Output = ()>) -> anyhow::Result<End> {
    work.await;
    Ok(End::Told)
}

/// Wraps work that runs until the process stops.
async fn until_stopped(work: impl Future<Output = ()>) -> anyhow::Result<End> {
    work.await;
    Ok(End::Early)
}

/// Waits for the next SIGHUP; forever if signals are not watched.
async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

/// Serves until `stop`.
async fn answer(
    listeners: Vec<Listener>,
    threads: usize,
    current: Arc<Current>,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    if threads > 0 {
        serve_on_threads(threads, listeners, current, stop).await?;
        return Ok(End::Early);
    }
    let serving = listeners
        .into_iter()
        .map(|listener| serve(listener, Arc::clone(&current), stop.clone()));
    join_all(serving).await;
    Ok(End::Early)
}

/// Keeps the supervisor informed.
async fn supervised(
    notifier: Arc<Notifier>,
    current: Arc<Current>,
    heartbeats: Heartbeats,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    // In parallel: a disk that hangs delays the status, but must not delay the watchdog.
    let ((), watched) = tokio::join!(
        notifier.keep_status(&current, &stop),
        notifier.keep_watchdog(&heartbeats, &stop)
    );
    watched.map(|()| End::Early)
}
