//! Replaces one config with another while calls ring: completely, or not at all.
//!
//! An account with the same settings and certificate authorities continues unchanged. With others, or another name, it keeps its task and all its
//! knowledge: an account is its address and token. Queues that stay keep their counters and reservations.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use super::{
    RunningDaemon,
    accounts::{NewAccount, RunningAccount},
    desk,
    file_problems::with_all_mistakes,
    files::{AccountFiles, Callers, Files},
    until_told,
    wiring::{Prepared, configured, key, keys},
};
use crate::{
    config::{self, Config, QueueRef},
    decision::board::QueueKey,
    process::{aside, causes::causes},
    server::{
        App,
        reload_request::{ReloadError, Reloaded, Renamed},
    },
};

/// How long requests that began under the last config may still look at its queues: a refresh waits this long, and nothing waits longer.
const LAST_REQUESTS: Duration = Duration::from_secs(15);

/// What happens to an account.
enum Step {
    /// It stays as it is, with the secrets read again.
    Stays(RunningAccount),
    /// Its task takes other settings.
    GoesOn(Box<Prepared>, RunningAccount),
    /// It gets a new task, which may replace another.
    Starts(Box<Prepared>, Option<RunningAccount>),
}

impl RunningDaemon {
    /// Reads the config again. The result is in the log and the metrics.
    pub(super) async fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        self.notifier.reloading().await;
        let outcome = self.exchange().await;
        let now = self.wiring.clock.now();
        self.wiring.metrics.reloaded(outcome.is_ok(), now);
        match &outcome {
            Ok(reloaded) => {
                for warning in &reloaded.warnings {
                    tracing::warn!("{warning}");
                }
                tracing::info!(
                    file = reloaded.file,
                    queues_added = ?reloaded.queues_added,
                    queues_removed = ?reloaded.queues_removed,
                    accounts_started = ?reloaded.accounts_started,
                    accounts_renamed = ?reloaded.accounts_renamed,
                    accounts_removed = ?reloaded.accounts_removed,
                    "the config was read again and is in force"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the new config is rejected; the old one stays in force");
            }
        }
        self.tell_ready().await;
        outcome
    }

    async fn exchange(&mut self) -> Result<Reloaded, ReloadError> {
        let file = self.file.as_deref().ok_or(ReloadError::NoFile)?;
        let config = read(file).await?;
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let file = file.display().to_string();
        refuse_what_needs_a_restart(&self.config, &config)?;
        let exposed = self.exposed.check(&config.server);
        exposed.map_err(|error| ReloadError::Config(error.to_string()))?;
        let unusable = |error: anyhow::Error| ReloadError::Unusable(causes(error.as_ref()));
        let (tls, now) = (self.current.app().tls.clone(), self.wiring.clock.now());
        let files = match Files::read_again(&config, tls, now).await {
            Ok(files) => files,
            Err(error) => return Err(unusable(with_all_mistakes(error, &config, now).await)),
        };
        let prepared = self.prepare(&config, files.accounts).map_err(unusable)?;
        // Nothing can fail from here on.
        if let (Some(engine), Some(password)) = (&self.engine, &files.cluster_password) {
            engine.use_password(password);
        }
        let recipients = files.recipients;
        let reloaded = self.put_in_force(config, files.callers, prepared).await;
        self.recipients.send_replace(recipients);
        Ok(Reloaded { file, ..reloaded })
    }

    /// Prepares what the accounts of a new config need in addition to the running ones, in its order.
    fn prepare(
        &self,
        config: &Config,
        files: Vec<AccountFiles>,
    ) -> anyhow::Result<Vec<Result<Prepared, AccountFiles>>> {
        let prepare = |(account, files): (&config::Account, AccountFiles)| {
            let mut running = self.accounts.iter();
            if running.any(|one| one.has(account, files.trust.as_ref())) {
                return Ok(Err(files));
            }
            let account = Arc::new(account.clone());
            self.wiring.prepare(&account, files).map(Ok)
        };
        config.accounts.iter().zip(files).map(prepare).collect()
    }

    async fn put_in_force(
        &mut self,
        config: Config,
        callers: Callers,
        prepared: Vec<Result<Prepared, AccountFiles>>,
    ) -> Reloaded {
        let was: HashSet<QueueKey> = keys(&self.config).into_iter().collect();
        self.wiring.board.set_queues(keys(&config));
        self.wiring.metrics.count_for(keys(&config));
        let steps = self.steps(&config, prepared);
        let mut reloaded = changes(&steps, &self.accounts);
        reloaded.warnings.clone_from(&config.warnings);
        let is_taken = |gone: &RunningAccount| {
            let mut names = config.accounts.iter().map(|account| &account.name);
            names.any(|name| *name == gone.config.name)
        };
        let gone = std::mem::take(&mut self.accounts).into_iter();
        let (replaced, gone): (Vec<_>, Vec<_>) = gone.partition(is_taken);
        let moves = moves(&steps);
        let taken = taken(&steps, &replaced, &moves, &config);
        for account in replaced {
            // From now on, another account writes under its name.
            account.retire().await;
        }
        self.wiring.board.carry(&moves);
        // Seats of another account that had such a name before.
        let is_left = |is: &QueueKey| was.contains(is) && moves.iter().all(|(from, _)| from != is);
        let left = moves.iter().map(|(_, is)| is).filter(|is| is_left(is));
        let left: Vec<_> = left.cloned().collect();
        self.wiring.reservations.drop_names(&left);
        self.wiring.reservations.carry(&moves);
        let late;
        (self.accounts, late) = self.continue_with(steps, &taken).await;
        self.tell_store();
        let handles = self.accounts.iter().map(|one| one.handle.clone());
        let reaches = self.accounts.iter().map(|one| one.reach.clone());
        let desk = desk::routes(&config, reaches.collect(), &self.wiring.clock);
        let parts = self.wiring.app(&config, callers, handles.collect(), desk);
        let app = App::after(&self.current.app(), parts);
        self.current.replace(Arc::new(app));
        for account in gone {
            account.retire().await;
        }
        self.wiring.board.retire_stale(&late);
        self.drop_retired_queues();
        let is = self.wiring.board.keys();
        self.wiring.state.calls.retain(&is);
        self.config = config;
        reloaded.queues_added = spelt(is.iter().filter(|key| !was.contains(key)));
        let is: HashSet<_> = is.iter().collect();
        self.retain_seats(&is, late);
        reloaded.queues_removed = spelt(was.iter().filter(|key| !is.contains(key)));
        reloaded
    }

    /// Drops the queues that were removed, once no request of the last config can need them.
    fn drop_retired_queues(&mut self) {
        let (current, number) = (Arc::clone(&self.current), self.current.app().number);
        let (board, stop) = (Arc::clone(&self.wiring.board), self.wiring.stop.clone());
        self.tasks.spawn(until_told(async move {
            tokio::select! {
                () = tokio::time::sleep(LAST_REQUESTS) => {}
                () = stop.cancelled() => return,
            }
            // The last of several reloads waits for the requests of all configs before.
            if current.app().number == number {
                board.drop_retired();
            }
        }));
    }

    /// Tells the store the accounts in force: a file that cannot be used now may be restored later.
    fn tell_store(&self) {
        if let Some(store) = &self.wiring.state.store {
            let configured =
                |one: &RunningAccount| configured(&one.config, one.handle.budget.owner());
            store.serves(self.accounts.iter().map(configured).collect());
        }
    }

    /// Forgets the seats held in queues that are gone. In a cluster, other nodes may still have these queues, and the tasks of `late` accounts still
    /// have to move their seats, and so do tasks that must look up a name first.
    fn retain_seats(&self, queues: &HashSet<&QueueKey>, late: Vec<Arc<str>>) {
        let names = self.config.accounts.iter().map(|account| &account.name);
        let keep: HashSet<_> = match self.wiring.node {
            Some(_) => names.cloned().collect(),
            None => late.into_iter().collect(),
        };
        self.wiring.reservations.retain(|key| {
            queues.contains(key)
                || keep.contains(&key.account)
                || may_have_a_name(&self.config, key)
        });
    }

    /// Decides what happens to each account, in the order of the new config. Accounts that are left over end.
    fn steps(
        &mut self,
        config: &Config,
        prepared: Vec<Result<Prepared, AccountFiles>>,
    ) -> Vec<Step> {
        let mut running: Vec<_> = self.accounts.drain(..).map(Some).collect();
        // An account is its address and token, so these are compared before names.
        let same = |one: &RunningAccount, prepared: &Prepared| {
            one.is_the_same(&prepared.config, &prepared.owner)
        };
        let same_of_that_name = |one: &RunningAccount, prepared: &Prepared| {
            one.config.name == prepared.config.name && same(one, prepared)
        };
        let name =
            |one: &RunningAccount, prepared: &Prepared| one.config.name == prepared.config.name;
        let mut places: Vec<Option<RunningAccount>> = prepared.iter().map(|_| None).collect();
        let mut take = |step: usize, fits: &dyn Fn(&RunningAccount) -> bool| {
            let is_it = |one: &Option<RunningAccount>| one.as_ref().is_some_and(fits);
            if places[step].is_none() {
                places[step] = running
                    .iter()
                    .position(is_it)
                    .and_then(|place| running[place].take());
            }
        };
        for (step, (account, prepared)) in config.accounts.iter().zip(&prepared).enumerate() {
            if prepared.is_err() {
                take(step, &|one| *one.config == *account);
            }
        }
        for fits in [
            &same_of_that_name as &dyn Fn(&RunningAccount, &Prepared) -> bool,
            &same,
            &name,
        ] {
            for (step, prepared) in prepared.iter().enumerate() {
                if let Ok(prepared) = prepared {
                    take(step, &|one| fits(one, prepared));
                }
            }
        }
        self.accounts = running.into_iter().flatten().collect();
        let steps = prepared.into_iter().zip(places);
        let step =
            |(prepared, last): (Result<Prepared, AccountFiles>, Option<RunningAccount>)| match (
                prepared, last,
            ) {
                (Err(files), last) => {
                    let stays = last.expect("only a running account may lack its files");
                    stays.show(&files.token);
                    Step::Stays(stays)
                }
                (Ok(prepared), Some(last)) if same(&last, &prepared) => {
                    Step::GoesOn(Box::new(prepared), last)
                }
                (Ok(prepared), last) => Step::Starts(Box::new(prepared), last),
            };
        steps.map(step).collect()
    }

    /// Starts an account that is new, or replaces another with its name.
    async fn start(&mut self, prepared: Prepared, last: Option<RunningAccount>) -> RunningAccount {
        if let Some(last) = last {
            last.retire().await;
            // The board shows data of another CallTools account.
            for queue in &prepared.config.queues {
                self.wiring.board.forget(&key(&prepared.config, queue));
            }
        }
        NewAccount::new(prepared, &self.wiring).start(&self.wiring.stop, &mut self.tasks)
    }

    /// Gives the running accounts their new settings, and starts the new ones. What is stored under `taken` names is of another account.
    /// Returns the running accounts, and the names of those whose tasks were too busy to apply the new config.
    async fn continue_with(
        &mut self,
        steps: Vec<Step>,
        taken: &[QueueKey],
    ) -> (Vec<RunningAccount>, Vec<Arc<str>>) {
        let mut accounts = Vec::with_capacity(steps.len());
        let mut late = Vec::new();
        // Renamed accounts first: until they know their names, they write under the old ones.
        for step in steps {
            accounts.push(match step {
                Step::Stays(account) => Ok(account),
                Step::GoesOn(prepared, mut account) => {
                    if !account.take(*prepared).await {
                        late.push(Arc::clone(&account.config.name));
                    }
                    Ok(account)
                }
                Step::Starts(prepared, last) => Err((prepared, last)),
            });
        }
        taken.iter().for_each(|key| self.wiring.board.forget(key));
        self.wiring.reservations.drop_names(taken);
        let mut running = Vec::with_capacity(accounts.len());
        for account in accounts {
            running.push(match account {
                Ok(account) => account,
                Err((prepared, last)) => self.start(*prepared, last).await,
            });
        }
        (running, late)
    }
}

/// Returns which accounts the steps start and rename, and which are removed.
fn changes(steps: &[Step], gone: &[RunningAccount]) -> Reloaded {
    let mut reloaded = Reloaded::default();
    for step in steps {
        let (Step::GoesOn(prepared, _) | Step::Starts(prepared, _)) = step else {
            continue;
        };
        let is = prepared.config.name.to_string();
        reloaded.accounts_started.push(is.clone());
        if let Step::GoesOn(_, last) = step
            && *last.config.name != *is
        {
            let (from, to) = (last.config.name.to_string(), is);
            reloaded.accounts_renamed.push(Renamed { from, to });
        }
    }
    let removed = gone.iter().map(|account| account.config.name.to_string());
    reloaded.accounts_removed = removed.collect();
    reloaded
}

/// Returns the accounts that get another name: their settings before and now.
fn renamed(steps: &[Step]) -> impl Iterator<Item = (&config::Account, &config::Account)> {
    steps.iter().filter_map(|step| match step {
        Step::GoesOn(is, was) if was.config.name != is.config.name => {
            Some((&*was.config, &*is.config))
        }
        _ => None,
    })
}

/// Returns under which names the queues of renamed accounts were stored, and under which they go on.
fn moves(steps: &[Step]) -> Vec<(QueueKey, QueueKey)> {
    let mut moves = Vec::new();
    for (was, is) in renamed(steps) {
        let stays = was.queues.iter().filter(|queue| {
            let same = |one: &config::Queue| one.reference == queue.reference;
            is.queues.iter().any(same)
        });
        moves.extend(stays.map(|queue| (key(was, queue), key(is, queue))));
    }
    moves
}

/// Returns the names of queues that were those of another account until now, and get no data from an account that goes on.
fn taken(
    steps: &[Step],
    replaced: &[RunningAccount],
    moves: &[(QueueKey, QueueKey)],
    config: &Config,
) -> Vec<QueueKey> {
    let replaced = replaced.iter().map(|account| &*account.config);
    let former = renamed(steps).map(|(was, _)| was).chain(replaced);
    let former: HashSet<_> = former
        .flat_map(|was| was.queues.iter().map(|queue| key(was, queue)))
        .collect();
    let targets: HashSet<_> = moves.iter().map(|(_, is)| is).collect();
    let is_taken = |key: &QueueKey| former.contains(key) && !targets.contains(key);
    keys(config).into_iter().filter(is_taken).collect()
}

/// Returns whether a queue's id may stand for one that the config now names. If no queue had a name before, the names are not known yet.
fn may_have_a_name(config: &Config, key: &QueueKey) -> bool {
    let is_by_name = |queue: &config::Queue| matches!(queue.reference, QueueRef::Name(_));
    let mut accounts = config.accounts.iter();
    let is_id = key.queue.bytes().all(|byte| byte.is_ascii_digit());
    is_id && accounts.any(|one| one.name == key.account && one.queues.iter().any(is_by_name))
}

async fn read(file: &Path) -> Result<Config, ReloadError> {
    let file = file.to_owned();
    let loaded = aside::bounded(move || Config::load(&file)).await;
    let loaded = loaded.map_err(|error| ReloadError::Unusable(error.to_string()))?;
    loaded.map_err(|error| ReloadError::Config(error.to_string()))
}

/// Rejects changes of settings that only take effect at a start: sockets, threads, files.
fn refuse_what_needs_a_restart(was: &Config, is: &Config) -> Result<(), ReloadError> {
    let fixed = [
        ("listen", was.server.listen == is.server.listen),
        (
            "agent_check_listen",
            was.server.agent_check_listen == is.server.agent_check_listen,
        ),
        (
            "max_connections",
            was.server.max_connections == is.server.max_connections,
        ),
        ("threads", was.server.threads == is.server.threads),
        ("state.dir", was.state_dir == is.state_dir),
        ("state.history_days", was.history_days == is.history_days),
        ("cluster", was.cluster == is.cluster),
        // Each has a place in the cluster that is taken at the start.
        (
            "the accounts of a cluster, their names, budgets and how they are reached",
            is.cluster.is_none() || is.accounts.iter().all(|one| is_among(one, &was.accounts)),
        ),
    ];
    let changed = fixed.into_iter().filter(|(_, same)| !same);
    let changed: Vec<_> = changed.map(|(name, _)| name).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(ReloadError::NeedsRestart(changed))
}

/// Returns whether one of the others has this account's name, connection and budget.
fn is_among(account: &config::Account, others: &[config::Account]) -> bool {
    let budget = |account: &config::Account| account.budget.as_ref().map(|one| one.name.clone());
    others.iter().any(|other| {
        other.name == account.name
            && other.upstream == account.upstream
            && budget(other) == budget(account)
    })
}

fn spelt<'a>(keys: impl Iterator<Item = &'a QueueKey>) -> Vec<String> {
    let mut spelt: Vec<_> = keys.map(QueueKey::to_string).collect();
    spelt.sort_unstable();
    spelt
}
