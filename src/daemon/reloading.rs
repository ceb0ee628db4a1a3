//! One config for another, while calls ring: whole or not at all.
//!
//! An account whose settings are the same goes on as if nothing had happened. One whose settings have changed gets another task, which
//! takes over what the last one knew, with its age; what was spent is in the ledger anyway. Queues that stay keep their counters
//! and the seats that are held in them.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::{
    Work,
    accounts::Employed,
    desk,
    wiring::{Callers, Prepared, hook_secret, key, keys},
};
use crate::{
    board::QueueKey,
    config::{self, Config},
    digest::Digest,
    known::Known,
    names::Names,
    reload::{ReloadError, Reloaded},
    server::App,
};

/// How an account comes through.
enum Step {
    /// As it is, but for the secret with which CallTools posts.
    Stays(Employed),
    /// With a new task, in the place of another one or of none.
    Starts(Box<Prepared>, Option<Employed>),
}

impl Work {
    /// Reads the config again. What came of it is in the log and in the metrics, whoever wished for it.
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
                    queues_added = ?reloaded.queues_added,
                    queues_removed = ?reloaded.queues_removed,
                    accounts_started = ?reloaded.accounts_started,
                    accounts_removed = ?reloaded.accounts_removed,
                    "the config was read again and is in force"
                );
            }
            Err(error) => {
                tracing::error!(%error, "the config was read again and is refused; the old one stays in force");
            }
        }
        self.tell_ready().await;
        outcome
    }

    async fn exchange(&mut self) -> Result<Reloaded, ReloadError> {
        let file = self.file.as_deref().ok_or(ReloadError::NoFile)?;
        let config = read(file)?;
        refuse_what_needs_a_restart(&self.config, &config)?;
        let unusable = |error: anyhow::Error| ReloadError::Unusable(format!("{error:#}"));
        let callers = Callers::read(&config, self.wiring.clock.as_ref()).map_err(unusable)?;
        let prepared = self.prepare(&config).map_err(unusable)?;
        // Nothing fails from here on.
        Ok(self.put_in_force(config, callers, prepared).await)
    }

    /// What the accounts of a new config need beyond those at work; in its order.
    fn prepare(&self, config: &Config) -> anyhow::Result<Vec<Result<Prepared, Option<Digest>>>> {
        let prepare = |account: &config::Account| match self.at_work(account) {
            Some(_) => Ok(Err(hook_secret(account)?)),
            None => self.wiring.prepare(&Arc::new(account.clone())).map(Ok),
        };
        config.accounts.iter().map(prepare).collect()
    }

    fn at_work(&self, config: &config::Account) -> Option<&Employed> {
        self.accounts.iter().find(|one| *one.config == *config)
    }

    async fn put_in_force(
        &mut self,
        config: Config,
        callers: Callers,
        prepared: Vec<Result<Prepared, Option<Digest>>>,
    ) -> Reloaded {
        let was: HashSet<QueueKey> = keys(&self.config).into_iter().collect();
        self.wiring.board.welcome(keys(&config));
        self.wiring.metrics.count_for(keys(&config));
        let steps = self.steps(&config, prepared);
        let mut reloaded = Reloaded {
            warnings: config.warnings.clone(),
            ..Reloaded::default()
        };
        let mut accounts = Vec::with_capacity(steps.len());
        for step in steps {
            accounts.push(match step {
                Step::Stays(account) => account,
                Step::Starts(prepared, last) => {
                    reloaded
                        .accounts_started
                        .push(prepared.config.name.to_string());
                    self.start(*prepared, last).await
                }
            });
        }
        let gone = std::mem::replace(&mut self.accounts, accounts);
        let handles = self.accounts.iter().map(|one| one.handle.clone());
        let reaches = self.accounts.iter().map(|one| one.reach.clone());
        let desk = desk::routes(&config, reaches.collect(), &self.wiring.clock);
        let parts = self.wiring.app(&config, callers, handles.collect(), desk);
        let app = App::after(&self.current.app(), parts);
        self.current.replace(Arc::new(app));
        for account in gone {
            reloaded
                .accounts_removed
                .push(account.config.name.to_string());
            account.retire().await;
        }
        self.wiring.board.retire();
        let is = self.wiring.board.keys();
        self.wiring.reservations.retain(&is);
        self.config = config;
        self.record();
        reloaded.queues_added = spelt(is.iter().filter(|key| !was.contains(key)));
        reloaded.queues_removed = spelt(was.iter().filter(|key| !is.contains(key)));
        reloaded
    }

    /// Who comes through how, in the order of the new config. Those who are left behind are gone.
    fn steps(
        &mut self,
        config: &Config,
        prepared: Vec<Result<Prepared, Option<Digest>>>,
    ) -> Vec<Step> {
        let mut step = |(account, prepared): (&config::Account, _)| {
            let mut take = |fits: &dyn Fn(&config::Account) -> bool| {
                let place = self.accounts.iter().position(|one| fits(&one.config))?;
                Some(self.accounts.remove(place))
            };
            match prepared {
                Err(hook_secret) => {
                    let mut stays = take(&|one| *one == *account).expect("it is at work");
                    stays.handle.hook_secret = hook_secret;
                    stays.look_at_token();
                    Step::Stays(stays)
                }
                Ok(prepared) => {
                    let last = take(&|one| one.name == account.name);
                    Step::Starts(Box::new(prepared), last)
                }
            }
        };
        config
            .accounts
            .iter()
            .zip(prepared)
            .map(&mut step)
            .collect()
    }

    /// Puts an account to work in the place of another one of its name, if there is one.
    async fn start(&mut self, prepared: Prepared, last: Option<Employed>) -> Employed {
        let config = Arc::clone(&prepared.config);
        let heritage = match &last {
            Some(last) => inherited(last, &config).await,
            None => None,
        };
        let (known, names) = match heritage {
            Some((known, names)) => (known, Some(names)),
            None => (self.wiring.stored(&prepared), None),
        };
        let counted_anew = match &last {
            Some(last) => counted_by_another_rule(&last.config, &config),
            None => Vec::new(),
        };
        if let Some(last) = last {
            last.retire().await;
        }
        let board = &self.wiring.board;
        let shown = |key: &QueueKey| board.get(key).and_then(|state| state.snapshot.clone());
        let before: Vec<_> = counted_anew.iter().map(shown).collect();
        let (handle, reach) = (prepared.handle.clone(), prepared.reach());
        let account = self.wiring.account(prepared, known, names);
        for (key, before) in counted_anew.iter().zip(before) {
            let is_same = match (before, shown(key)) {
                (Some(before), Some(after)) => Arc::ptr_eq(&before, &after),
                _ => false,
            };
            if is_same {
                board.forget(key); // What the old rule measured must not answer for the new one.
            }
        }
        Employed::start(account, handle, reach, &self.wiring.stop, &mut self.tasks)
    }
}

fn read(file: &Path) -> Result<Config, ReloadError> {
    Config::load(file).map_err(|error| ReloadError::Config(error.to_string()))
}

/// What an account knows that one of the same name is to go on with; nothing, where that one speaks to another account of CallTools.
async fn inherited(last: &Employed, config: &config::Account) -> Option<(Known, Arc<Names>)> {
    if last.config.upstream != config.upstream {
        return None;
    }
    Some((last.known().await?, last.handle.names()))
}

fn counted_by_another_rule(was: &config::Account, is: &config::Account) -> Vec<QueueKey> {
    let changed = is.queues.iter().filter(|queue| {
        let last = was.queues.iter().find(|one| one.spelling == queue.spelling);
        last.is_some_and(|last| last.rule != queue.rule || was.upstream != is.upstream)
    });
    changed.map(|queue| key(is, queue)).collect()
}

/// Sockets, threads and files are made at the start.
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
    ];
    let changed = fixed.into_iter().filter(|(_, same)| !same);
    let changed: Vec<_> = changed.map(|(name, _)| name).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(ReloadError::NeedsRestart(changed))
}

fn spelt<'a>(keys: impl Iterator<Item = &'a QueueKey>) -> Vec<String> {
    let mut spelt: Vec<_> = keys.map(QueueKey::to_string).collect();
    spelt.sort_unstable();
    spelt
}
