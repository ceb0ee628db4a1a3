//! `openseat check`: asks CallTools now, and shows what it says and what openseat makes of it.
//!
//! The same client, budget and rules as in the daemon, and the same ledger where a state folder is configured: so a check
//! beside a running daemon spends from the reserve and never makes the two together spend more than the hour has. Nothing is
//! kept but what was spent.
//!
//! `select` says which queues are meant, `ask` asks, `report` and `json` tell; `curl` tells how to ask without us.

mod ask;
mod curl;
mod json;
mod report;
mod select;
mod spinner;

use std::{path::Path, process::ExitCode, sync::Arc};

use futures_util::future::join_all;

use self::{
    ask::{Answers, Asker},
    select::Target,
    spinner::Spinner,
};
use super::{
    EXIT_FAILURE, EXIT_USAGE, exit_with, ledger, load_or_explain, print, run::block_on,
    terminal::show,
};
use crate::{
    budget::Ledger,
    cli,
    clock::{Clock, SystemClock},
};

/// Checks; exits with 0 if every queue could be asked and its criteria could measure it, whatever they decided.
pub fn run(options: &cli::Check) -> ExitCode {
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let targets = match select::select(&config, &options.queues) {
        Ok(targets) => targets,
        Err(unknown) => return exit_with(EXIT_USAGE, &unknown.to_string()),
    };
    if options.curl {
        print(&curl::commands(&targets));
        return ExitCode::SUCCESS;
    }
    match ask(config.state_dir.as_deref(), &targets) {
        Ok(answers) => tell(&answers, options.json),
        Err(exit) => exit,
    }
}

fn ask<'a>(
    state_dir: Option<&Path>,
    targets: &'a [Target<'a>],
) -> Result<Vec<Answers<'a>>, ExitCode> {
    let failed = |error: anyhow::Error| exit_with(EXIT_FAILURE, &format!("{error:#}"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger = Arc::new(ledger(state_dir, clock.as_ref()).map_err(failed)?);
    let askers = askers(targets, state_dir.is_some(), &ledger, &clock)?;
    let queues = targets.iter().map(|target| target.queues.len()).sum();
    let spinner = Spinner::start(queues);
    let answers = async { Ok(join_all(askers.iter().map(|asker| asker.ask(&spinner))).await) };
    block_on(answers).map_err(failed)
}

/// All that is wrong with tokens and certificates is told at once, and then nobody is asked: the config names them, so it is
/// the config that has to be put right.
fn askers<'a>(
    targets: &'a [Target<'a>],
    shared: bool,
    ledger: &Arc<Ledger>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Asker<'a>>, ExitCode> {
    let mut askers = Vec::with_capacity(targets.len());
    let mut exit = None;
    for target in targets {
        match Asker::new(target, shared, Arc::clone(ledger), Arc::clone(clock)) {
            Ok(asker) => askers.push(asker),
            Err(error) => {
                let why = format!("account \"{}\": {error:#}", target.account.name);
                exit = Some(exit_with(EXIT_USAGE, &why));
            }
        }
    }
    exit.map_or(Ok(askers), Err)
}

fn tell(answers: &[Answers<'_>], json: bool) -> ExitCode {
    if json {
        print(&json::document(answers));
    } else {
        show(&report::text(answers));
    }
    match answers.iter().all(Answers::are_good) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    }
}
