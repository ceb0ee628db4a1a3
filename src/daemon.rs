//! The daemon whole: what a config becomes, who owns which task, and how it stops.
//!
//! Every task is in one set, and those that must go on turning have a [pulse](crate::pulse). One that ends early ends the process with an error, so that systemd starts it again, rather than leave answers
//! to grow old unnoticed. On the way out: unready first, polling stopped, answers finished, then gone, within [`GRACE`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account::{self, Account, Polled, TokenKeeper},
    board::{Board, QueueKey},
    budget::{Budget, Payer},
    calltools::{self, Client, Endpoint, HttpSettings, HttpTransport, Token, Transport},
    clock::Clock,
    config::{self, BearerToken, Config, HookSecret},
    decision::{Patience, Policy},
    digest::Digest,
    history,
    known::Known,
    metrics::Metrics,
    names::Names,
    plan,
    pulse::Pulses,
    reservations::{Reservations, journal::Journal},
    server::{
        AccountHandle, App, Bound, Brief, Current, Limits, Listener, Parts, Passed, bind_all,
        keep_watch, serve, serve_agent_checks, serve_on_threads,
    },
    state::State,
    systemd::Notifier,
};

pub use crate::state::{HISTORY_FILE, LEDGER_FILE, STORE_FILE, open_ledger};

/// All has to be over this long after the wish to stop: well within what systemd, Kubernetes and people wait.
const GRACE: Duration = Duration::from_millis(2_800);

/// Wishes that may wait for an account's task: a second of them from a busy router. Who comes then is answered from the board.
const ASKS: usize = 64;

/// A daemon that is wired but has not asked or answered anything.
#[derive(Debug)]
pub struct Daemon {
    accounts: Vec<Account>,
    current: Arc<Current>,
    listeners: Vec<Listener>,
    /// For HAProxy's agent-checks.
    agent_checks: Option<Listener>,
    /// Of their own, for the listeners; 0 serves in the runtime that runs the daemon.
    threads: usize,
    stop: CancellationToken,
    pulses: Pulses,
    notifier: Notifier,
    state: Arc<State>,
    watched: history::Watched,
}

impl Daemon {
    /// Wires everything that a config asks for, and binds its addresses.
    ///
    /// # Errors
    /// A token that cannot be read, a state folder that cannot be used, an address that is taken.
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
        passed: Vec<Passed>,
    ) -> anyhow::Result<Self> {
        let Bound {
            listeners,
            agent_checks,
        } = bind_all(&config.server, passed).await?;
        let state = State::open(config.state_dir.as_deref(), config.history_days, &clock).await?;
        let state = Arc::new(state);
        let board = Arc::new(Board::new(keys(config)));
        let metrics = Arc::new(Metrics::new(keys(config), clock.now()));
        let reservations = Arc::new(reservations(&state, clock.as_ref())?);
        let shared = Shared {
            clock: Arc::clone(&clock),
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
            reservations: Arc::clone(&reservations),
            state: Arc::clone(&state),
            pulses: Pulses::default(),
        };
        let watched = history::Watched::of(&board, &metrics);
        let pulses = shared.pulses.clone();
        let mut accounts = Vec::with_capacity(config.accounts.len());
        let mut handles = Vec::with_capacity(config.accounts.len());
        for account in &config.accounts {
            let (account, handle) = shared
                .account(account)
                .with_context(|| format!("account \"{}\"", account.name))?;
            accounts.push(account);
            handles.push(handle);
        }
        let stop = CancellationToken::new();
        let app = App::new(Parts {
            board,
            policies: policies(config),
            patience: patience(config),
            accounts: handles,
            metrics,
            reservations,
            clock,
            state: Some(Arc::clone(&state)),
            bearer: bearer(config)?,
            limits: Limits::with_connections(config.server.max_connections),
            stopping: stop.clone(),
            pulses: pulses.clone(),
        });
        Ok(Self {
            accounts,
            current: Current::new(Arc::new(app)),
            listeners,
            agent_checks,
            threads: 0,
            stop,
            pulses,
            notifier: Notifier::default(),
            state,
            watched,
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
    /// A task that ended early.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for account in self.accounts {
            tasks.spawn(account.run(self.stop.clone()));
        }
        if let Some(listener) = self.agent_checks {
            let (current, stop) = (Arc::clone(&self.current), self.stop.clone());
            tasks.spawn(async move {
                serve_agent_checks(listener, current, stop).await;
                Ok(())
            });
        }
        let (current, stop) = (Arc::clone(&self.current), self.stop.clone());
        tasks.spawn(async move {
            keep_watch(current, stop).await;
            Ok(())
        });
        let notifier = Arc::new(self.notifier);
        let brief = Brief::new(Arc::clone(&self.current));
        notifier.ready(&brief.line().await).await;
        tasks.spawn(supervised(
            Arc::clone(&notifier),
            brief,
            self.pulses,
            self.stop.clone(),
        ));
        let (current, stop) = (self.current, self.stop.clone());
        tasks.spawn(answer(self.listeners, self.threads, current, stop));
        if let Some(history) = self.state.history.clone() {
            let work = history.watch(self.watched, self.stop.clone());
            tasks.spawn(async move {
                work.await;
                Ok(())
            });
        }
        let early = tokio::select! {
            () = shutdown => None,
            ended = tasks.join_next() => ended,
        };
        self.stop.cancel();
        notifier.stopping().await;
        let rest = async {
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            let state = self.state;
            tokio::task::spawn_blocking(move || state.finish()).await?;
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

/// Serves until told to stop.
async fn answer(
    listeners: Vec<Listener>,
    threads: usize,
    current: Arc<Current>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if threads > 0 {
        return serve_on_threads(threads, listeners, current, stop).await;
    }
    let serving = listeners
        .into_iter()
        .map(|listener| serve(listener, Arc::clone(&current), stop.clone()));
    join_all(serving).await;
    Ok(())
}

/// What a supervisor is told from time to time.
async fn supervised(
    notifier: Arc<Notifier>,
    brief: Brief,
    pulses: Pulses,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // Side by side: a ledger on a disk that hangs makes the status wait, and must not make the watchdog wait.
    tokio::join!(
        notifier.keep_status(brief, &stop),
        notifier.keep_watchdog(&pulses, &stop)
    );
    Ok(())
}

/// The seats that are held, with those that a restart has interrupted.
fn reservations(state: &State, clock: &dyn Clock) -> anyhow::Result<Reservations> {
    Ok(match &state.store {
        Some(store) => Reservations::restored(Journal::new(Arc::clone(store))?, clock.now()),
        None => Reservations::new(),
    })
}

/// What all accounts of a process share.
struct Shared {
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    reservations: Arc<Reservations>,
    state: Arc<State>,
    pulses: Pulses,
}

impl Shared {
    fn account(&self, config: &config::Account) -> anyhow::Result<(Account, AccountHandle)> {
        let token = config.upstream.token.read()?;
        let payer = payer(config, &token);
        let budget = Arc::new(Budget::new(
            Arc::clone(&self.state.ledger),
            payer.clone(),
            config.requests_per_hour,
            config.reserve,
            Arc::clone(&self.clock),
        )?);
        let transport = Arc::new(transport(&config.upstream, &token)?);
        let (digest, digests) = watch::channel(Some(token.digest()));
        let observer = UpstreamMeters {
            account: Arc::clone(&config.name),
            metrics: Arc::clone(&self.metrics),
        };
        let client = Client::new(
            Arc::clone(&transport) as Arc<dyn Transport>,
            Arc::clone(&budget),
            Arc::clone(&self.clock),
            Arc::new(observer),
        );
        let (names, named) = watch::channel(Arc::new(Names::default()));
        let (asks, wishes) = mpsc::channel(ASKS);
        let known = self.known(&payer);
        let account = Account::new(account::Parts {
            payer,
            queues: polled(config),
            client,
            budget: Arc::clone(&budget),
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            reservations: Arc::clone(&self.reservations),
            store: self.state.store.clone(),
            known,
            clock: Arc::clone(&self.clock),
            names,
            options: config.schedule,
            asks: wishes,
            token: Some(TokenKeeper::new(
                config.upstream.token.clone(),
                transport,
                digest,
            )),
            pulse: self
                .pulses
                .begin(format!("the account \"{}\"", config.name)),
        });
        let handle = AccountHandle {
            name: Arc::clone(&config.name),
            token: digests,
            hook_secret: hook_secret(config)?,
            budget,
            names: named,
            asks,
        };
        Ok((account, handle))
    }

    /// What the last run knew of an account.
    fn known(&self, payer: &Payer) -> Known {
        let Some(store) = &self.state.store else {
            return Known::default();
        };
        let names = store.names(payer, self.clock.now());
        store.known(payer, &names.map(|(names, _)| names).unwrap_or_default())
    }
}

/// Whose requests an account's are, in the ledger.
pub fn payer(account: &config::Account, token: &Token) -> Payer {
    Payer {
        account: account.name.to_string(),
        identity: token.identity(account.upstream.base_url.as_str()),
    }
}

/// The way to an account's CallTools.
///
/// # Errors
/// Certificates that cannot be read or used.
pub fn transport(upstream: &config::Upstream, token: &Token) -> anyhow::Result<HttpTransport> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).with_context(|| format!("ca_file {}", path.display()))
    };
    let ca_pem = upstream.ca_file.as_ref().map(read).transpose()?;
    let settings = HttpSettings {
        base_url: upstream.base_url.clone(),
        authorization: token.authorization(),
        connect_timeout: upstream.connect_timeout,
        timeout: upstream.timeout,
        proxy: upstream.proxy.clone(),
        ca_pem,
    };
    Ok(HttpTransport::new(settings)?)
}

fn polled(account: &config::Account) -> Vec<Polled> {
    let queue = |queue: &config::Queue| Polled {
        key: key(account, queue),
        reference: queue.reference.clone(),
        rule: queue.rule.clone(),
        threshold: queue.threshold,
        max_age: queue.max_age,
    };
    account.queues.iter().map(queue).collect()
}

fn key(account: &config::Account, queue: &config::Queue) -> QueueKey {
    QueueKey::new(Arc::clone(&account.name), Arc::clone(&queue.spelling))
}

fn keys(config: &Config) -> Vec<QueueKey> {
    let keys = |account: &config::Account| {
        account
            .queues
            .iter()
            .map(|queue| key(account, queue))
            .collect::<Vec<_>>()
    };
    config.accounts.iter().flat_map(keys).collect()
}

fn policies(config: &Config) -> HashMap<QueueKey, Policy> {
    let of_account = |account| plan::policies(account);
    keys(config)
        .into_iter()
        .zip(config.accounts.iter().flat_map(of_account))
        .collect()
}

fn patience(config: &Config) -> HashMap<QueueKey, Patience> {
    let of_account = |account: &config::Account| {
        let patient = account
            .queues
            .iter()
            .filter_map(|queue| Some((key(account, queue), queue.patience?)));
        patient.collect::<Vec<_>>()
    };
    config.accounts.iter().flat_map(of_account).collect()
}

/// Counts the requests of one account.
#[derive(Debug)]
struct UpstreamMeters {
    account: Arc<str>,
    metrics: Arc<Metrics>,
}

impl calltools::Observer for UpstreamMeters {
    fn request(&self, endpoint: Endpoint, outcome: &'static str, took: Duration) {
        self.metrics
            .upstream_request(&self.account, endpoint.word(), outcome, took);
    }
}

/// What CallTools must show that posts to us; without it nothing is taken.
fn hook_secret(account: &config::Account) -> anyhow::Result<Option<Digest>> {
    let hooks = account.hooks.as_ref();
    let secret = hooks.map(|hooks| HookSecret::read(&hooks.secret_file));
    Ok(secret.transpose()?.map(|secret| secret.digest()))
}

/// What callers must show, if anything.
fn bearer(config: &Config) -> anyhow::Result<Option<Digest>> {
    let file = config.server.bearer_token_file.as_deref();
    Ok(file
        .map(BearerToken::read)
        .transpose()?
        .map(|token| token.digest()))
}
