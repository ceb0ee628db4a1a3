//! Asks CallTools for a command. A running daemon asks, with its client and budget. If none runs, the command takes the state folder for itself and
//! asks as the daemon would.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};

use super::{
    EXIT_FAILURE, EXIT_USAGE,
    daemon::{Unreached, command},
    exit_with, failed, note,
    spinner::Spinner,
};
use crate::{
    budget::{Budget, Ledger, LedgerError},
    calltools::Token,
    clock::{Clock, SystemClock},
    config::{Account, Config, TokenSource, WRAPPED},
    daemon,
    server::check::{By, Reach},
    state::keep_ledger,
};

/// Enough for a thousand queues, four at a time, at half a second each, twice.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The daemon answers this from memory; one that does not is stopped or hangs, and would not answer anything else either.
const SOON: Duration = Duration::from_secs(5);

const OTHER_CONFIG: &str = "the daemon asks by its own config, which is not that of this file: it has not reloaded the file since it changed, or reads another one; `openseat reload` makes it read its file again";

const UNRECORDED: &str =
    "no request was sent, because requests are recorded there; run it as the daemon's user";

const SILENT: &str = "nothing was asked: a daemon runs with this state folder, but does not answer at its control socket";

/// In a cluster, the other nodes would not know what a command spends.
const UNCOUNTED: &str = "nothing was asked: in a cluster the running daemon sends a command's requests, so that all nodes count them, and no daemon answers in the folder that [state] dir names; start it";

/// The same without a folder through which to ask a daemon.
const UNREACHABLE: &str = "nothing was asked: in a cluster the running daemon sends a command's requests, so that all nodes count them, and without a folder it cannot be reached; set [state] dir";

/// Returns the daemon's answer to a POST of `target`; if no daemon runs with this state folder, that of `alone`.
pub(super) async fn ask(
    config: &Config,
    target: &str,
    alone: impl AsyncFnOnce(Ledger, By) -> Result<String, ExitCode>,
) -> Result<String, ExitCode> {
    let alone = async |ledger, by| match &config.cluster {
        None => alone(ledger, by).await,
        Some(_) if config.state_dir.is_none() => Err(exit_with(EXIT_FAILURE, UNREACHABLE)),
        Some(_) => Err(exit_with(EXIT_FAILURE, UNCOUNTED)),
    };
    let Some(folder) = config.state_dir.as_deref() else {
        let ledger = Ledger::in_memory(&SystemClock::new());
        return alone(ledger, By::CommandAlone).await;
    };
    if let Some(answer) = from_daemon(config, folder, target).await? {
        return Ok(answer);
    }
    match keep(folder).await? {
        Some(ledger) => alone(ledger, By::Command).await,
        // A daemon has started meanwhile and holds the folder.
        None => match from_daemon(config, folder, target).await? {
            Some(answer) => Ok(answer),
            None => Err(exit_with(
                EXIT_FAILURE,
                "nothing was asked: the daemon does not answer at its control socket",
            )),
        },
    }
}

/// Opens the ledger of a state folder that no daemon uses.
pub(super) async fn own_ledger(folder: Option<&Path>) -> Result<Ledger, ExitCode> {
    let Some(folder) = folder else {
        return Ok(Ledger::in_memory(&SystemClock::new()));
    };
    keep(folder).await?.ok_or_else(|| {
        let why = format!(
            "an openseat runs with the state folder {}; stop it first",
            folder.display()
        );
        exit_with(EXIT_FAILURE, &why)
    })
}

/// Takes a state folder for this command; `None` if another process has it.
async fn keep(folder: &Path) -> Result<Option<Ledger>, ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match keep_ledger(folder, &clock).await {
        Ok(ledger) if ledger.condition().is_degraded() => {
            let why = format!(
                "the state folder {} cannot be used; {UNRECORDED}",
                folder.display()
            );
            Err(exit_with(EXIT_FAILURE, &why))
        }
        Ok(ledger) => Ok(Some(ledger)),
        Err(error) if is_in_use(&error) => Ok(None),
        Err(error) => Err(failed(&error.context(UNRECORDED))),
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LedgerError::InUse(_)))
}

/// Has the daemon ask; `None` if no daemon answers.
async fn from_daemon(
    config: &Config,
    folder: &Path,
    target: &str,
) -> Result<Option<String>, ExitCode> {
    let spinner = Spinner::waiting();
    let other = match command(folder, Method::POST, "/v1/config", SOON).await {
        Ok(other) => other,
        Err(Unreached::Nobody(_)) => return Ok(None),
        Err(Unreached::Failed(error)) => {
            drop(spinner);
            return Err(failed(&error.context(SILENT)));
        }
    };
    let answer = command(folder, Method::POST, target, TIMEOUT).await;
    drop(spinner);
    // An earlier version does not say what it has.
    if let (StatusCode::OK, digest) = other
        && digest != config.digest_of_accounts()
    {
        note(OTHER_CONFIG);
    }
    match answer {
        Ok((StatusCode::OK, answer)) => Ok(Some(answer)),
        Ok((StatusCode::UNPROCESSABLE_ENTITY, why)) => Err(exit_with(EXIT_USAGE, &why)),
        // The daemon reports CallTools' fault in whole sentences.
        Ok((StatusCode::BAD_GATEWAY, why)) => Err(exit_with(EXIT_FAILURE, &why)),
        Ok((status, why)) => Err(exit_with(EXIT_FAILURE, &format!("{status}: {why}"))),
        Err(Unreached::Nobody(_)) => Ok(None),
        Err(Unreached::Failed(error)) => Err(failed(&error)),
    }
}

/// Reads a token, and notes if there was something around it.
pub(super) fn token(source: &TokenSource) -> anyhow::Result<Token> {
    let token = source.read()?;
    if token.was_wrapped() {
        note(&format!("{source} {WRAPPED}"));
    }
    Ok(token)
}

/// Builds the connection to an account, paid for from this ledger.
pub(super) fn reach(
    account: &Account,
    token: &Token,
    ledger: &Arc<Ledger>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Reach> {
    let budget = Budget::shared(
        Arc::clone(ledger),
        daemon::owner(account, token),
        account.requests_per_hour,
        account.reserve,
        account.budget.as_ref(),
        Arc::clone(clock),
    );
    Ok(Reach {
        config: Arc::new(account.clone()),
        budget: Arc::new(budget),
        transport: Arc::new(daemon::transport(&account.upstream, token)?),
        token: None,
        health: None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::process::state_folder::CONTROL_SOCKET;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_hangs_is_reported_within_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let _hangs = UnixListener::bind(folder.path().join(CONTROL_SOCKET)).unwrap();
        let text = "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\nqueue = [{ queue = 1 }]\n";
        let config = Config::parse(text, "openseat.toml".as_ref(), &|_| None).unwrap();
        let begun = tokio::time::Instant::now();
        let answer = from_daemon(&config, folder.path(), "/v1/check").await;
        assert_eq!(answer, Err(ExitCode::from(EXIT_FAILURE)));
        assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn in_a_cluster_no_command_asks_without_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = [
            "false".to_owned(),
            format!("\"{}\"", folder.path().display()),
        ];
        for (dir, cluster) in dirs.iter().flat_map(|dir| [(dir, false), (dir, true)]) {
            let text = format!(
                "{}[state]\ndir = {dir}\n[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\nqueue = [{{ queue = 1 }}]\n",
                if cluster {
                    "[cluster]\nurl = \"unix:///run/redis.sock\"\n"
                } else {
                    ""
                }
            );
            let config = Config::parse(&text, "openseat.toml".as_ref(), &|_| None).unwrap();
            let alone = async |_, _| Ok("asked".to_owned());
            let answer = ask(&config, "/v1/check", alone).await.ok();
            let expected = (!cluster).then(|| "asked".to_owned());
            assert_eq!(answer, expected, "{text}");
        }
    }
}
