//! `openseat check`: asks CallTools now, and shows its answer and what openseat makes of it.
//!
//! If a daemon runs with the same state folder, the daemon asks, with its client and budget, and this command only shows the
//! report. Otherwise it takes the state folder for itself and asks as the daemon would.
//!
//! `report` turns the report into text; `curl` prints how to ask without openseat. `survey` is `--report`: how the account's API behaves.

mod curl;
mod report;
mod survey;

use std::{process::ExitCode, sync::Arc};

use url::form_urlencoded;

use super::{
    EXIT_FAILURE, EXIT_USAGE, args, asking, exit_after, exit_with, failed, load_with_secrets,
    print, spinner::Spinner, terminal::show,
};
use crate::{
    budget::Ledger,
    clock::{Clock, SystemClock},
    config::Config,
    process::{causes::causes, runtime::block_on},
    server::check::{self, By, Reach, Target, select},
    state::LAST_WRITES,
};

/// The daemon reads 16 KiB of a request's head; the rest is for other headers.
const MAX_NAMES: usize = 14 * 1024;

/// Runs the check. Exits with 0 if every queue was read and measured, with any decision.
pub fn run(options: &args::Check) -> ExitCode {
    let config = match load_with_secrets(&options.config) {
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
    if let Some(path) = &options.report {
        return survey::run(&config, &options.queues, path);
    }
    match block_on(async { Ok(report(&config, &options.queues).await) }) {
        Ok(Ok(json)) => tell(&json, options),
        Ok(Err(exit)) => exit,
        Err(error) => failed(&error),
    }
}

/// Returns the daemon's report, or our own if no daemon runs.
async fn report(config: &Config, asked: &[String]) -> Result<String, ExitCode> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for queue in asked {
        query.append_pair("queue", queue);
    }
    let query = query.finish();
    // The file comes first: the daemon may have read an older one.
    if let Err(unknown) = select(config, asked) {
        return Err(exit_with(EXIT_USAGE, &unknown.to_string()));
    }
    if query.len() > MAX_NAMES {
        let why = "these are too many queues at once; name fewer, or none to check all of them";
        return Err(exit_with(EXIT_USAGE, why));
    }
    let target = format!("/v1/check?{query}");
    let alone = async |ledger, by| ask(config, asked, ledger, by).await;
    asking::ask(config, &target, alone).await
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
    // The next process needs to know a pause that CallTools asked for, and when the last answers came.
    ledger.finish(LAST_WRITES);
    Ok(report.json)
}

/// Connects to all accounts. Reports all mistakes in tokens and certificates at once, and then asks none: the config names them,
/// so it must be corrected first.
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
    let token = asking::token(&target.account.upstream.token)?;
    asking::reach(target.account, &token, ledger, clock)
}

fn tell(json: &str, options: &args::Check) -> ExitCode {
    let report: report::Report = match serde_json::from_str(json) {
        Ok(report) => report,
        Err(error) => {
            let why = format!("the daemon's report cannot be read; is it another version? {error}");
            return exit_with(EXIT_FAILURE, &why);
        }
    };
    let printed = match options.json {
        true => print(json),
        false => show(&report::text(&report, options.all)),
    };
    let code = match report.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    };
    exit_after(printed, code)
}
