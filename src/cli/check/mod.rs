//! `openseat check`: asks CallTools now, and shows what it says and what openseat makes of it.
//!
//! Where a daemon runs with the same state folder, the daemon asks, with its client and out of its budget; this command only shows the
//! report. Where none runs, it takes the state folder for itself and asks as the daemon would.
//!
//! `report` turns the report into text; `curl` tells how to ask without openseat.

mod curl;
mod report;
mod spinner;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};
use url::form_urlencoded;

use self::spinner::Spinner;
use super::{
    EXIT_FAILURE, EXIT_USAGE, args,
    daemon::{Unreached, command},
    exit_after, exit_with, failed, load_or_explain, note, print,
    run::block_on,
    terminal::show,
};
use crate::{
    budget::{Budget, Ledger, LedgerError},
    clock::{Clock, SystemClock},
    config::{Config, WRAPPED},
    daemon,
    process::causes::causes,
    server::check::{self, By, Reach, Target, select},
    state::{LAST_WRITES, keep_ledger},
};

/// A thousand queues, four at a time, at half a second each, twice over.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the daemon reads of a request's head is 16 KiB; the rest is for other headers.
const MAX_NAMES: usize = 14 * 1024;

const UNRECORDED: &str =
    "nothing was asked, since what is spent is written down there; run it as the daemon's user";

/// Checks. Exits with 0 if every queue was read and measured, whatever the decision.
pub fn run(options: &args::Check) -> ExitCode {
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if options.curl {
        return match select(&config, &options.queues) {
            Ok(targets) => {
                let script = curl::commands(&config, &targets);
                exit_after(print(&script), ExitCode::SUCCESS)
            }
            Err(unknown) => exit_with(EXIT_USAGE, &unknown.to_string()),
        };
    }
    match block_on(async { Ok(report(&config, &options.queues).await) }) {
        Ok(Ok(json)) => tell(&json, options.json),
        Ok(Err(exit)) => exit,
        Err(error) => failed(&error),
    }
}

/// The daemon's report, or one of our own where no daemon runs.
async fn report(config: &Config, asked: &[String]) -> Result<String, ExitCode> {
    let Some(folder) = &config.state_dir else {
        let ledger = Ledger::in_memory(&SystemClock::new());
        return ask(config, asked, ledger, By::CommandAlone).await;
    };
    if let Some(report) = from_daemon(folder, asked).await? {
        return Ok(report);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // A daemon may have started meanwhile, and hold the folder.
    match keep_ledger(folder, &clock).await {
        Ok(ledger) if ledger.condition().is_degraded() => {
            let why = format!(
                "the state folder {} cannot be used; {UNRECORDED}",
                folder.display()
            );
            Err(exit_with(EXIT_FAILURE, &why))
        }
        Ok(ledger) => ask(config, asked, ledger, By::Command).await,
        Err(error) if is_in_use(&error) => match from_daemon(folder, asked).await? {
            Some(report) => Ok(report),
            None => Err(failed(&error.context(
                "nothing was asked: the daemon does not answer at its control socket",
            ))),
        },
        Err(error) => Err(failed(&error.context(UNRECORDED))),
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LedgerError::InUse(_)))
}

/// Has the daemon ask; `None` where no daemon answers.
async fn from_daemon(folder: &Path, asked: &[String]) -> Result<Option<String>, ExitCode> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for queue in asked {
        query.append_pair("queue", queue);
    }
    let query = query.finish();
    if query.len() > MAX_NAMES {
        let why = "these are too many queues at once; name fewer, or none to check all of them";
        return Err(exit_with(EXIT_USAGE, why));
    }
    let spinner = Spinner::waiting();
    let answer = command(
        folder,
        Method::POST,
        &format!("/v1/check?{query}"),
        PATIENCE,
    )
    .await;
    drop(spinner);
    match answer {
        Ok((StatusCode::OK, report)) => Ok(Some(report)),
        Ok((StatusCode::UNPROCESSABLE_ENTITY, why)) => Err(exit_with(EXIT_USAGE, &why)),
        Ok((status, why)) => Err(exit_with(EXIT_FAILURE, &format!("{status}: {why}"))),
        Err(Unreached::Nobody(_)) => Ok(None),
        Err(Unreached::Failed(error)) => Err(failed(&error)),
    }
}

async fn ask(
    config: &Config,
    asked: &[String],
    ledger: Ledger,
    by: By,
) -> Result<String, ExitCode> {
    let targets = match select(config, asked) {
        Ok(targets) => targets,
        Err(unknown) => return Err(exit_with(EXIT_USAGE, &unknown.to_string())),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger = Arc::new(ledger);
    let reaches = reaches(&targets, &ledger, &clock)?;
    let spinner = Spinner::counting(targets.iter().map(|target| target.queues.len()).sum());
    let progress = || spinner.done();
    let report = check::check(&targets, &reaches, by, &clock, &progress).await;
    // A pause that CallTools asked for, and when the last answers came, are for the next process, too.
    ledger.finish(LAST_WRITES);
    Ok(report.json)
}

/// All that is wrong with tokens and certificates is told at once, and then nobody is asked: the config names them, so it is
/// the config that has to be put right.
fn reaches(
    targets: &[Target<'_>],
    ledger: &Arc<Ledger>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Reach>, ExitCode> {
    let mut reaches = Vec::with_capacity(targets.len());
    let mut exit = None;
    for target in targets {
        match reach(target, ledger, clock) {
            Ok(reach) => reaches.push(reach),
            Err(error) => {
                let error = error.context(format!("account \"{}\"", target.account.name));
                exit = Some(exit_with(EXIT_USAGE, &causes(error.as_ref())));
            }
        }
    }
    exit.map_or(Ok(reaches), Err)
}

fn reach(
    target: &Target<'_>,
    ledger: &Arc<Ledger>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Reach> {
    let account = target.account;
    let token = account.upstream.token.read()?;
    if token.was_wrapped() {
        note(&format!("{} {WRAPPED}", account.upstream.token));
    }
    let budget = Budget::shared(
        Arc::clone(ledger),
        daemon::owner(account, &token),
        account.requests_per_hour,
        account.reserve,
        account.budget.as_ref(),
        Arc::clone(clock),
    );
    Ok(Reach {
        config: Arc::new(account.clone()),
        budget: Arc::new(budget),
        transport: Arc::new(daemon::transport(&account.upstream, &token)?),
        token: None,
    })
}

fn tell(json: &str, as_it_is: bool) -> ExitCode {
    let report: report::Report = match serde_json::from_str(json) {
        Ok(report) => report,
        Err(error) => {
            let why = format!("the daemon's report cannot be read; is it another version? {error}");
            return exit_with(EXIT_FAILURE, &why);
        }
    };
    let printed = match as_it_is {
        true => print(json),
        false => show(&report::text(&report)),
    };
    let code = match report.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    };
    exit_after(printed, code)
}
