//! `openseat hooks`: has CallTools post each call that has ended to this openseat, or ends that.
//!
//! The same client, budget and ledger as in the daemon; the reserve pays. Where a daemon runs, it counts a handful of requests for each account
//! in advance, and no more are sent. Whatever is asked for twice is done once: `install` and `remove`
//! look at what there is, and change only what openseat itself made for the same address. `ours` has these rules; here they
//! are carried out. No secret is printed: an address is shown through [`veiled`].

mod ours;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::bail;
use reqwest::{Method, StatusCode};
use url::form_urlencoded;

use self::ours::{Wish, veiled};
use super::{
    EXIT_FAILURE, EXIT_USAGE, complain,
    daemon::{Unreached, command as daemon_command},
    exit_after, exit_with, failed, ledger, load_or_explain,
    run::block_on,
    terminal::{Column, FAINT, MARK, STRONG, painted, plain, show, table},
};
use crate::{
    budget::{Budget, Ledger, LedgerError, Purpose},
    calltools::{Client, Setback, Subscription},
    cli::args,
    clock::{Clock, SystemClock},
    config::{Account, Config, HookSecret},
    daemon,
    model::fault::{Down, Fault},
    process::{causes::causes, spelling::nearest},
    state::LAST_WORDS,
};

/// Does it; exits with 0 if everything is as it was asked for.
pub fn run(command: &args::Hooks) -> ExitCode {
    let (args::Hooks::Install(options) | args::Hooks::List(options) | args::Hooks::Remove(options)) =
        command;
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let accounts = match select(&config, options.account.as_deref(), command) {
        Ok(accounts) => accounts,
        Err(why) => return exit_with(EXIT_USAGE, &why),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let purse = match purse(config.state_dir.as_deref(), &clock) {
        Ok(purse) => purse,
        Err(error) => return failed(&error),
    };
    let exit = match visitors(&accounts, &purse, &clock) {
        Ok(visitors) => visit(visitors, command),
        Err(exit) => exit,
    };
    if let Purse::Ledger(ledger) = &purse {
        ledger.finish(LAST_WORDS);
    }
    exit
}

/// What the requests are paid from.
enum Purse {
    /// The state folder's ledger, which this process holds.
    Ledger(Arc<Ledger>),
    /// The budget of the daemon that holds this folder.
    Daemon(PathBuf),
}

fn purse(folder: Option<&Path>, clock: &Arc<dyn Clock>) -> anyhow::Result<Purse> {
    match (ledger(folder, clock), folder) {
        (Ok(ledger), _) => Ok(Purse::Ledger(Arc::new(ledger))),
        (Err(error), Some(folder)) if is_in_use(&error) => Ok(Purse::Daemon(folder.to_owned())),
        (Err(error), _) => Err(error),
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LedgerError::InUse(_)))
}

/// So many requests are counted in advance for an account: pages of subscriptions, a new one, and old ones to end.
const IN_ADVANCE: NonZeroU32 = NonZeroU32::new(12).expect("more than nothing");

/// The daemon answers at once, or its disk hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The accounts that are meant. Without an address there is nothing to subscribe, and nothing that is surely ours to remove.
fn select<'a>(
    config: &'a Config,
    asked: Option<&str>,
    command: &args::Hooks,
) -> Result<Vec<&'a Account>, String> {
    let accounts = config.accounts.iter();
    let meant: Vec<_> = accounts
        .filter(|account| asked.is_none_or(|asked| *asked == *account.name))
        .collect();
    if let (Some(asked), true) = (asked, meant.is_empty()) {
        return Err(unknown(config, asked));
    }
    let is_fit = |account: &&Account| {
        let hooks = account.hooks.as_ref();
        matches!(command, args::Hooks::List(_)) || hooks.is_some_and(|hooks| hooks.url.is_some())
    };
    let fit: Vec<_> = meant.into_iter().filter(is_fit).collect();
    match (fit.is_empty(), asked) {
        (false, _) => Ok(fit),
        (true, Some(account)) => Err(format!("account {account:?} {UNFIT}")),
        (true, None) => Err(format!("no account {UNFIT_ALL}")),
    }
}

const UNFIT: &str = "needs hook_secret_file and hook_url in the configuration";
const UNFIT_ALL: &str = "has both hook_secret_file and hook_url in the configuration";

fn unknown(config: &Config, asked: &str) -> String {
    let names = || config.accounts.iter().map(|account| &*account.name);
    let hint = match nearest(asked, names()).as_slice() {
        [] => format!("configured are {}", names().collect::<Vec<_>>().join(", ")),
        nearest => format!("did you mean {}?", nearest.join(" or ")),
    };
    format!("no account {asked:?} is configured; {hint}")
}

/// All that is wrong with secrets and certificates is told at once, and then nobody is asked.
fn visitors<'a>(
    accounts: &[&'a Account],
    purse: &Purse,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Visitor<'a>>, ExitCode> {
    let mut visitors = Vec::with_capacity(accounts.len());
    let mut exit = None;
    for account in accounts {
        match Visitor::new(account, purse, Arc::clone(clock)) {
            Ok(visitor) => visitors.push(visitor),
            Err(error) => {
                let error = error.context(format!("account \"{}\"", account.name));
                exit = Some(exit_with(EXIT_USAGE, &causes(error.as_ref())));
            }
        }
    }
    exit.map_or(Ok(visitors), Err)
}

/// One account after the other: each is a handful of requests. One that fails keeps no other from its turn.
fn visit(visitors: Vec<Visitor<'_>>, command: &args::Hooks) -> ExitCode {
    let visits = async {
        let mut exit = ExitCode::SUCCESS;
        let mut printed = Ok(());
        for visitor in &visitors {
            if let Err(error) = visitor.pay().await {
                let error = error.context(format!("account \"{}\"", visitor.account.name));
                exit = failed(&error);
                continue;
            }
            match visitor.visit(command).await {
                // The next account is asked all the same: it was told to be.
                Ok(told) => printed = printed.and(show(&told)),
                Err(failure) => {
                    failure.tell(&visitor.account.name);
                    exit = ExitCode::from(EXIT_FAILURE);
                }
            }
        }
        Ok(exit_after(printed, exit))
    };
    block_on(visits).unwrap_or_else(|error| failed(&error))
}

/// What could not be done, and why.
struct Failure {
    what: &'static str,
    why: Setback,
}

impl Failure {
    fn of(what: &'static str) -> impl FnOnce(Setback) -> Self {
        move |why| Self { what, why }
    }

    fn tell(&self, account: &str) {
        let Self { what, why } = self;
        complain(&format!(
            "openseat: account \"{account}\": {what}: {}",
            plain(&why.told(SystemClock::new().now()))
        ));
        if let Some(advice) = self.advice() {
            complain(&format!("What to do: {}", plain(&advice)));
        }
    }

    fn advice(&self) -> Option<String> {
        match &self.why {
            Setback::Refused(_) => None,
            Setback::Fault(Fault::NoPermission) => Some(
                "ask a CallTools administrator to let the token's user manage REST hook subscriptions"
                    .to_owned(),
            ),
            Setback::Fault(Fault::UpstreamDown {
                kind: Down::NotFound | Down::UnexpectedStatus,
                ..
            }) => Some(
                "check the silo or base_url, and that hook_url is an address that CallTools accepts"
                    .to_owned(),
            ),
            Setback::Fault(fault) => Some(fault.advice()),
        }
    }
}

/// One account, and what is needed to change its subscriptions.
struct Visitor<'a> {
    account: &'a Account,
    client: Client,
    /// The folder of the daemon that pays.
    daemon: Option<PathBuf>,
    /// `None` where the config says no address: such an account can only be looked at.
    wish: Option<Wish>,
}

impl<'a> Visitor<'a> {
    fn new(account: &'a Account, purse: &Purse, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let token = account.upstream.token.read()?;
        let transport = daemon::transport(&account.upstream, &token)?;
        let (budget, daemon) = match purse {
            Purse::Ledger(ledger) => {
                let budget = Budget::new(
                    Arc::clone(ledger),
                    daemon::payer(account, &token),
                    account.requests_per_hour,
                    account.reserve,
                    Arc::clone(&clock),
                );
                (budget, None)
            }
            Purse::Daemon(folder) => {
                let budget = Budget::in_memory(IN_ADVANCE, 0, Arc::clone(&clock));
                (budget, Some(folder.clone()))
            }
        };
        let client = Client::new(Arc::new(transport), Arc::new(budget), clock, Arc::new(()));
        Ok(Self {
            account,
            client,
            daemon,
            wish: wish(account)?,
        })
    }

    /// Has the daemon count what will be sent; nothing where none runs.
    async fn pay(&self) -> anyhow::Result<()> {
        let Some(folder) = &self.daemon else {
            return Ok(());
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("account", &self.account.name)
            .append_pair("requests", &IN_ADVANCE.to_string())
            .finish();
        let target = format!("/v1/spend?{query}");
        match daemon_command(folder, Method::POST, &target, PATIENCE).await {
            Ok((StatusCode::NO_CONTENT, _)) => Ok(()),
            Ok((_, why)) => bail!("nothing was asked: {why}"),
            Err(Unreached::Nobody(path)) => bail!(
                "nothing was asked: a process holds the state folder, and nobody answers at {}",
                path.display()
            ),
            Err(Unreached::Failed(error)) => Err(error.context("nothing was asked")),
        }
    }

    /// What came of it, in words.
    async fn visit(&self, command: &args::Hooks) -> Result<String, Failure> {
        let list = self.client.subscriptions(Purpose::OnDemand).await;
        let there = list.map_err(Failure::of("the subscriptions could not be read"))?;
        match (command, &self.wish) {
            (args::Hooks::Install(_), Some(wish)) => self.install(wish, &there).await,
            (args::Hooks::Remove(_), Some(wish)) => self.remove(wish, &there).await,
            _ => Ok(self.list(&there)),
        }
    }

    /// The new one first: between the two CallTools posts twice rather than not at all.
    async fn install(&self, wish: &Wish, there: &[Subscription]) -> Result<String, Failure> {
        let kept = there.iter().find(|one| wish.is_met_by(one));
        if kept.is_none() {
            let wanted = wish.wanted();
            let made = self.client.subscribe(&wanted, Purpose::OnDemand).await;
            made.map_err(Failure::of("the subscription could not be made"))?;
        }
        let kept = kept.map(|kept| &kept.id);
        let old = there
            .iter()
            .filter(|one| wish.is_ours(one) && Some(&one.id) != kept);
        let replaced = self.unsubscribe(old).await?;
        Ok(self.told(match (kept, replaced) {
            (Some(_), 0) => format!("CallTools posts calls to {wish} already"),
            (Some(_), _) => format!("CallTools posts calls to {wish}, and no longer twice"),
            (None, 0) => format!("CallTools now posts calls to {wish}"),
            (None, _) => format!("CallTools now posts calls to {wish}, with the new secret"),
        }))
    }

    async fn remove(&self, wish: &Wish, there: &[Subscription]) -> Result<String, Failure> {
        let ours = there.iter().filter(|one| wish.is_ours(one));
        Ok(self.told(match self.unsubscribe(ours).await? {
            0 => format!("no subscription of openseat's posts to {wish}"),
            _ => format!("CallTools no longer posts calls to {wish}"),
        }))
    }

    async fn unsubscribe(
        &self,
        subscriptions: impl Iterator<Item = &Subscription>,
    ) -> Result<usize, Failure> {
        let mut gone = 0;
        for subscription in subscriptions {
            let ended = self.client.unsubscribe(subscription, Purpose::OnDemand);
            ended.await.map_err(Failure::of(
                "an old subscription is left, which the same command will remove",
            ))?;
            gone += 1;
        }
        Ok(gone)
    }

    fn told(&self, what: String) -> String {
        format!("{}: {what}\n", plain(&self.account.name))
    }

    fn list(&self, there: &[Subscription]) -> String {
        let count = match there.len() {
            0 => "no subscriptions".to_owned(),
            1 => "1 subscription".to_owned(),
            count => format!("{count} subscriptions"),
        };
        let mut text = format!(
            "{}{}\n",
            painted(STRONG, plain(&self.account.name)),
            painted(FAINT, format!("  {count}"))
        );
        if !there.is_empty() {
            text += &format!(
                "\n{}",
                table(&COLUMNS, there.iter().map(|one| self.row(one)))
            );
        }
        text + "\n"
    }

    fn row(&self, one: &Subscription) -> Vec<String> {
        let ours = self.wish.as_ref().is_some_and(|wish| wish.is_ours(one));
        let mark = if ours {
            MARK.to_string()
        } else {
            String::new()
        };
        let shown = |text: &str| plain(text).into_owned();
        vec![
            mark,
            shown(&one.id),
            shown(&one.model),
            if ours { "yes" } else { "no" }.to_owned(),
            shown(&veiled(&one.url)),
        ]
    }
}

const COLUMNS: [Column; 5] = [
    Column::words(""),
    Column::words("id"),
    Column::words("model"),
    Column::words("ours"),
    Column::names("address"),
];

fn wish(account: &Account) -> anyhow::Result<Option<Wish>> {
    let Some(hooks) = &account.hooks else {
        return Ok(None);
    };
    let Some(url) = &hooks.url else {
        return Ok(None);
    };
    let secret = HookSecret::read(&hooks.secret_file)?;
    Ok(Some(Wish::new(&account.name, url, &secret)))
}
