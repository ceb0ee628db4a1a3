//! `openseat status`: what the running daemon knows, in a terminal.
//!
//! It only asks the daemon, over its API: it costs no request, does not count as demand, and shows what routers get. `seen` is the answer, `report`
//! turns it into text, `screen` redraws it on a terminal.

mod report;
mod screen;
mod seen;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use http::StatusCode;

use self::{screen::Screen, seen::Seen};
use super::{
    EXIT_FAILURE, EXIT_USAGE, complain, daemon::Daemon, exit_after, exit_with, failed,
    load_or_explain, print, terminal::show, to_json,
};
use crate::{
    cli::args,
    config::SecretError,
    process::{causes::causes, runtime::block_on, signals},
};

/// The time between two looks: ages are shown in seconds.
const LOOK: Duration = Duration::from_secs(1);

/// Shows the status once, or with `--watch` until stopped.
pub fn run(options: &args::Status) -> ExitCode {
    let daemon = match daemon(options) {
        Ok(daemon) => daemon,
        Err(exit) => return exit,
    };
    let ended = if options.watch {
        block_on(watch(&daemon, options.json))
    } else {
        block_on(async { Ok(once(&daemon, options.json).await) })
    };
    ended.unwrap_or_else(|error| failed(&error))
}

/// Returns the daemon to ask. With another address no config is needed: the one found may be another daemon's.
fn daemon(options: &args::Status) -> Result<Daemon, ExitCode> {
    if let (Some(url), None) = (&options.url, &options.config.config) {
        return Ok(Daemon::at(url));
    }
    let config = load_or_explain(&options.config)?;
    Ok(match &options.url {
        Some(url) => Daemon::elsewhere(url, &config),
        None => Daemon::with_config(&config),
    })
}

async fn once(daemon: &Daemon, json: bool) -> ExitCode {
    match ask(daemon).await {
        Ok(seen) => {
            let printed = match json {
                true => print(&to_json(&seen.document())),
                false => show(&report::text(&seen)),
            };
            let code = match seen.is_known() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(EXIT_FAILURE),
            };
            exit_after(printed, code)
        }
        Err(unheard) => exit_with(
            unheard.exit,
            &format!("{}: {}", daemon.address(), causes(unheard.why.as_ref())),
        ),
    }
}

/// The daemon did not answer; has the exit code.
struct Unheard {
    exit: u8,
    why: anyhow::Error,
}

impl From<anyhow::Error> for Unheard {
    fn from(why: anyhow::Error) -> Self {
        let exit = match why.is::<SecretError>() {
            true => EXIT_USAGE,
            false => EXIT_FAILURE,
        };
        Self { exit, why }
    }
}

async fn ask(daemon: &Daemon) -> Result<Seen, Unheard> {
    let accounts = get(daemon, "/v1/accounts").await?;
    let queues = get(daemon, "/v1/queues").await?;
    let seen =
        Seen::read(&accounts, &queues).context("this is not openseat, or it has another version");
    Ok(seen?)
}

async fn get(daemon: &Daemon, target: &str) -> Result<String, Unheard> {
    let (status, body) = daemon.get(target).await?;
    let exit = match status {
        StatusCode::OK => return Ok(body),
        StatusCode::UNAUTHORIZED => EXIT_USAGE,
        _ => EXIT_FAILURE,
    };
    let problem = serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default();
    let why = match (problem["title"].as_str(), problem["detail"].as_str()) {
        (Some(title), Some(detail)) => anyhow::anyhow!("{title}: {detail}"),
        _ => anyhow::anyhow!("{target} is answered with {status}"),
    };
    Err(Unheard { exit, why })
}

/// Looks every second until stopped. A terminal shows the newest status; elsewhere it is printed whenever an answer, a fault or the way of polling
/// has changed.
async fn watch(daemon: &Daemon, json: bool) -> anyhow::Result<ExitCode> {
    let interrupted = signals::interrupted()?;
    let looking = async {
        let mut screen = (!json).then(Screen::open).flatten();
        let mut last = None;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let heard = ask(daemon).await;
            let text = match &heard {
                Ok(seen) if json => seen.document().to_string() + "\n",
                Ok(seen) => report::text(seen),
                Err(unheard) => report::unheard(daemon.address(), &unheard.why),
            };
            if let Some(screen) = &mut screen {
                screen.draw(&text);
                continue;
            }
            let essence = heard.as_ref().ok().map(Seen::essence);
            if last.as_ref() != Some(&essence) {
                last = Some(essence);
                let printed = match &heard {
                    Err(_) if json => {
                        complain(&text);
                        Ok(())
                    }
                    _ => show(&text),
                };
                if printed.is_err() {
                    return exit_after(printed, ExitCode::SUCCESS);
                }
            }
        }
    };
    tokio::select! {
        // Standard output is closed.
        exit = looking => Ok(exit),
        () = interrupted => Ok(ExitCode::SUCCESS),
    }
}
