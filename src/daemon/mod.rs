//! The daemon whole: what a config becomes, who owns which task, and how it stops.
//!
//! Every task is in one set, and those that must go on turning have a [heartbeat](crate::process::heartbeat). One that ends early ends the process with an
//! error, so that systemd starts it again, rather than leave answers to grow old unnoticed. On the way out: unready first, polling stopped,
//! answers finished, then gone, within [`GRACE`].
//!
//! `wiring` makes parts of a config, `accounts` are those at work, `reloading` exchanges one config for another, `desk` does what commands ask
//! for at the control socket.

mod accounts;
pub mod descriptors;
mod desk;
mod files;
mod reloading;
pub mod systemd;
mod wiring;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::bail;
use futures_util::future::join_all;
use tokio::{
    signal::unix::Signal,
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use self::systemd::Notifier;
pub use self::wiring::{owner, transport};
use self::{
    accounts::RunningAccount,
    files::Files,
    wiring::{Wiring, keys, reservations},
};
pub use crate::state::{HISTORY_FILE, LEDGER_FILE, STORE_FILE};
use crate::{
    account::Account,
    budget::BudgetOwner,
    clock::Clock,
    config::Config,
    decision::board::Board,
    metrics::Metrics,
    process::heartbeat::Heartbeats,
    server::{
        AccountHandle, App, Bound, Current, Detached, Listener, bind_all, check::Reach,
        reload_request::ReloadRequest, serve, serve_agent_checks, serve_control, serve_on_threads,
        status_line, watch_decisions,
    },
    state::{LAST_WRITES, State, history::Watched},
};

/// All has to be over this long after the wish to stop: well within what systemd, Kubernetes and people wait.
const GRACE: Duration = Duration::from_millis(2_800);

/// Wishes that the config be read again which may wait for the one that is being read. People wish; more at once are a mistake.
const RELOADS: usize = 4;

/// How a task of the set has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to, with the process or before.
    AsTold,
    /// Nobody told it.
    OfItself,
}

type Tasks = JoinSet<anyhow::Result<End>>;

/// A daemon that is wired but has not asked or answered anything.
#[derive(Debug)]
pub struct Daemon {
    wiring: Wiring,
    accounts: Vec<(Account, AccountHandle, Reach, BudgetOwner)>,
    config: Config,
    current: Arc<Current>,
    listeners: Vec<Listener>,
    /// For HAProxy's agent-checks.
    agent_checks: Option<Listener>,
    /// Of their own, for the listeners; 0 serves in the runtime that runs the daemon.
    threads: usize,
    notifier: Notifier,
    /// The config's file, to be read again.
    file: Option<PathBuf>,
    hangups: Option<Signal>,
    wishes: mpsc::Receiver<ReloadRequest>,
}

impl Daemon {
    /// Wires everything that a config asks for, and binds its addresses.
    ///
    /// # Errors
    /// A token or certificate that cannot be read, a state folder that cannot be used, an address that is taken.
    pub async fn new(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::with_sockets(config, clock, Vec::new()).await
    }

    /// The same, with sockets that were bound for it already.
    ///
    /// # Errors
    /// As [`new`](Self::new), and a passed socket that the config does not allow for.
    pub async fn with_sockets(
        config: &Config,
        clock: Arc<dyn Clock>,
        passed: Vec<Detached>,
    ) -> anyhow::Result<Self> {
        let files = Files::read(config, clock.now()).await?;
        let Bound {
            listeners,
            agent_checks,
        } = bind_all(&config.server, passed).await?;
        let state = State::open(config.state_dir.as_deref(), config.history_days, &clock).await?;
        let (reloads, wishes) = mpsc::channel(RELOADS);
        let wiring = Wiring {
            board: Arc::new(Board::new(keys(config))),
            metrics: Arc::new(Metrics::new(keys(config), clock.now())),
            reservations: Arc::new(reservations(&state)?),
            clock,
            state: Arc::new(state),
            heartbeats: Heartbeats::default(),
            stop: CancellationToken::new(),
            reloads,
        };
        let mut accounts = Vec::with_capacity(config.accounts.len());
        for (account, files) in config.accounts.iter().zip(files.accounts) {
            let prepared = wiring.prepare(&Arc::new(account.clone()), files)?;
            let (handle, known) = (prepared.handle.clone(), wiring.stored(&prepared));
            let (reach, owner) = (prepared.reach(), prepared.owner.clone());
            let employee = wiring.account(prepared, known);
            accounts.push((employee, handle, reach, owner));
        }
        let handles = accounts.iter().map(|(_, handle, ..)| handle.clone());
        let reaches = accounts.iter().map(|(_, _, reach, _)| reach.clone());
        let desk = desk::routes(config, reaches.collect(), &wiring.clock);
        let app = App::new(wiring.app(config, files.callers, handles.collect(), desk));
        Ok(Self {
            wiring,
            accounts,
            config: config.clone(),
            current: Current::new(Arc::new(app)),
            listeners,
            agent_checks,
            threads: 0,
            notifier: Notifier::default(),
            file: None,
            hangups: None,
            wishes,
        })
    }

    /// Serves on so many threads of its own, rather than in the runtime that runs it.
    pub fn serving_on(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Tells a supervisor how it goes.
    pub fn reporting_to(self, notifier: Notifier) -> Self {
        Self { notifier, ..self }
    }

    /// Reads its config again from this file when the server is asked to.
    pub fn reloading_from(self, file: PathBuf) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    /// Reads it again on SIGHUP, too.
    pub fn reloading_on(self, hangups: Signal) -> Self {
        Self {
            hangups: Some(hangups),
            ..self
        }
    }

    /// Where it listens; a port that the config left to the system is known here.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Where it answers HAProxy's agent-checks, if anywhere.
    pub fn agent_checks(&self) -> Option<&Listener> {
        self.agent_checks.as_ref()
    }

    /// Polls and answers until `shutdown`.
    ///
    /// # Errors
    /// A task that ended early, or a signal that cannot be listened for.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let stop = self.wiring.stop.clone();
        let mut tasks = Tasks::new();
        if let Some(listener) = self.agent_checks {
            let serving = serve_agent_checks(listener, Arc::clone(&self.current), stop.clone());
            tasks.spawn(of_itself(serving));
        }
        if let Some(folder) = self.config.state_dir.clone() {
            let serving = serve_control(folder, Arc::clone(&self.current), stop.clone());
            tasks.spawn(of_itself(serving));
        }
        let current = Arc::clone(&self.current);
        tasks.spawn(of_itself(watch_decisions(
            move || current.app(),
            stop.clone(),
        )));
        let notifier = Arc::new(self.notifier);
        tasks.spawn(supervised(
            Arc::clone(&notifier),
            Arc::clone(&self.current),
            self.wiring.heartbeats.clone(),
            stop.clone(),
        ));
        let current = Arc::clone(&self.current);
        tasks.spawn(answer(self.listeners, self.threads, current, stop.clone()));
        let start = |(account, handle, reach, owner)| {
            RunningAccount::start(account, handle, reach, owner, &stop, &mut tasks)
        };
        let accounts = self.accounts.into_iter().map(start).collect();
        let mut work = Work {
            wiring: self.wiring,
            config: self.config,
            current: self.current,
            notifier,
            file: self.file,
            accounts,
            recording: CancellationToken::new(),
            tasks,
        };
        work.record();
        work.tell_ready().await;
        let early = work.go_on(shutdown, self.wishes, self.hangups).await;
        work.stop(early).await
    }
}

/// A daemon that runs.
#[derive(Debug)]
struct Work {
    wiring: Wiring,
    /// The one that is in force.
    config: Config,
    current: Arc<Current>,
    notifier: Arc<Notifier>,
    file: Option<PathBuf>,
    /// In the order of the config.
    accounts: Vec<RunningAccount>,
    /// Ends the recording of these queues' history.
    recording: CancellationToken,
    tasks: Tasks,
}

/// What the set of tasks says of the one that ended.
type Ended = Result<anyhow::Result<End>, JoinError>;

impl Work {
    /// Until the wish to stop, or until a task ends that nobody has told to.
    async fn go_on(
        &mut self,
        shutdown: impl Future<Output = ()>,
        mut wishes: mpsc::Receiver<ReloadRequest>,
        mut hangups: Option<Signal>,
    ) -> Option<Ended> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let wish = tokio::select! {
                () = &mut shutdown => return None,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ok(End::AsTold)) => continue,
                    ended => return Some(ended),
                },
                Some(wish) = wishes.recv() => Some(wish),
                () = hangup(&mut hangups) => None,
            };
            let outcome = tokio::select! {
                outcome = self.reload() => outcome,
                // A file that hangs holds up no stop.
                () = &mut shutdown => return None,
            };
            if let Some(wish) = wish {
                // The caller may have gone.
                let _ = wish.send(outcome);
            }
        }
    }

    /// Records the history of the queues that there are now, and of no others.
    fn record(&mut self) {
        self.recording.cancel();
        self.recording = self.wiring.stop.child_token();
        let Some(history) = self.wiring.state.history.clone() else {
            return;
        };
        let watched = Watched::new(&self.wiring.board, &self.wiring.metrics);
        let recording = history.watch(watched, self.recording.clone());
        self.tasks.spawn(async move {
            recording.await;
            Ok(End::AsTold)
        });
    }

    async fn tell_ready(&self) {
        self.notifier.ready(&status_line(&self.current.app())).await;
    }

    /// Everybody gets to finish, within [`GRACE`].
    async fn stop(mut self, early: Option<Ended>) -> anyhow::Result<()> {
        self.wiring.stop.cancel();
        self.notifier.stopping().await;
        let rest = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            let state = Arc::clone(&self.wiring.state);
            let reservations = Arc::clone(&self.wiring.reservations);
            let write = move || {
                reservations.finish(LAST_WRITES);
                state.finish();
            };
            tokio::task::spawn_blocking(write).await?;
            anyhow::Ok(())
        };
        match tokio::time::timeout(GRACE, rest).await {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!("not everything ended in time"),
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

/// Work that nobody ends but with the process.
async fn of_itself(work: impl Future<Output = ()>) -> anyhow::Result<End> {
    work.await;
    Ok(End::OfItself)
}

/// The next SIGHUP; never, where nothing listens for it.
async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

/// Serves until told to stop.
async fn answer(
    listeners: Vec<Listener>,
    threads: usize,
    current: Arc<Current>,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    if threads > 0 {
        serve_on_threads(threads, listeners, current, stop).await?;
        return Ok(End::OfItself);
    }
    let serving = listeners
        .into_iter()
        .map(|listener| serve(listener, Arc::clone(&current), stop.clone()));
    join_all(serving).await;
    Ok(End::OfItself)
}

/// What a supervisor is told from time to time.
async fn supervised(
    notifier: Arc<Notifier>,
    current: Arc<Current>,
    heartbeats: Heartbeats,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    // Side by side: a ledger on a disk that hangs makes the status wait, and must not make the watchdog wait.
    let ((), watched) = tokio::join!(
        notifier.keep_status(&current, &stop),
        notifier.keep_watchdog(&heartbeats, &stop)
    );
    watched.map(|()| End::OfItself)
}
