//! `openseat run`

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use rusqlite::ErrorCode;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    EXIT_CONFIG, EXIT_FAILURE, EXIT_NO_PERMISSION, args::ConfigFile, complain, exit_with, failed,
    file_of,
};
use crate::{
    budget::LedgerError,
    clock::SystemClock,
    config::{Config, ConfigError},
    daemon::{
        Daemon, descriptors,
        systemd::{self, Notifier, SocketError},
    },
    process::{aside, causes::causes, file::FileError, runtime::block_on, signals},
    server::{BindError, Detached},
    sqlite::OpenError,
};

/// The daemon.
pub fn run(file: &ConfigFile) -> ExitCode {
    let path = match file_of(file) {
        Ok(path) => path,
        Err(error) => return wrong_config(&error),
    };
    // Now, while there is one thread.
    let passed = systemd::take_sockets().map_err(anyhow::Error::from);
    match passed.and_then(|passed| block_on(daemon(path, passed))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref() {
            Some(error) => wrong_config(error),
            None => exit_with(exit_code(&error), &causes(error.as_ref())),
        },
    }
}

fn wrong_config(error: &ConfigError) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(code_of_config(error))
}

/// A file system that hangs now may answer the next start; every other fault of the config needs a person.
fn code_of_config(error: &ConfigError) -> u8 {
    match error {
        ConfigError::Unreadable {
            source: FileError::Unfinished(_),
            ..
        } => EXIT_FAILURE,
        _ => EXIT_CONFIG,
    }
}

async fn daemon(path: PathBuf, passed: Vec<Detached>) -> anyhow::Result<()> {
    // First, so that no signal during the start is lost or ends the process.
    let shutdown = signals::signaled()?;
    let hangups = signal(SignalKind::hangup())?;
    let mut shutdown = std::pin::pin!(shutdown);
    let started = tokio::select! {
        started = start(&path, passed) => started?,
        // A config that hangs, or another process that keeps the state folder, does not delay a stop.
        () = &mut shutdown => return Ok(()),
    };
    started
        .reloading_from(path)
        .reloading_on(hangups)
        .run(shutdown)
        .await
}

async fn start(path: &Path, passed: Vec<Detached>) -> anyhow::Result<Daemon> {
    let file = path.to_owned();
    let config = aside::bounded(move || Config::load(&file)).await??;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for note in &config.notes {
        tracing::info!("{note}");
    }
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    if let Some(shortage) = descriptors::shortage(&config) {
        tracing::warn!("{shortage}");
    }
    let notifier = Notifier::from_env();
    let daemon = Daemon::with_sockets(&config, Arc::new(SystemClock::new()), passed).await?;
    for listener in daemon.listeners() {
        tracing::info!(%listener, version = env!("CARGO_PKG_VERSION"), "openseat answers");
    }
    if let Some(listener) = daemon.agent_checks() {
        tracing::info!(%listener, "openseat answers agent-checks");
    }
    Ok(daemon
        .serving_on(config.server.threads)
        .reporting_to(notifier))
}

/// Distinguishes failures that a restart may fix from those that need people.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_of_the_config) {
        EXIT_CONFIG
    } else if error.chain().any(is_forbidden) {
        EXIT_NO_PERMISSION
    } else {
        EXIT_FAILURE
    }
}

/// Sockets from the unit are part of the configuration; so are a path that is not a regular file, and a program older than its state.
fn is_of_the_config(cause: &(dyn Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(OpenError::Newer { .. }))
        || matches!(cause.downcast_ref(), Some(FileError::Kind(_)))
        || cause.is::<SocketError>()
        || matches!(cause.downcast_ref(), Some(BindError::NeedsToken { .. }))
}

fn is_forbidden(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let forbids = |error: &io::Error| matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem);
    if let Some(FileError::System(error)) = cause.downcast_ref() {
        return forbids(error);
    }
    if let Some(LedgerError::Folder(_, error)) = cause.downcast_ref() {
        return forbids(error);
    }
    // SQLite does not pass on the system's error. If it cannot open its file, the folder exists.
    let sqlite = cause
        .downcast_ref()
        .and_then(rusqlite::Error::sqlite_error_code);
    matches!(
        sqlite,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly)
    ) || cause.downcast_ref().is_some_and(forbids)
}

/// Runs a command, and prints why it failed.
pub fn in_runtime(command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{SecretFault, TokenSource},
        process::aside::Unfinished,
    };

    fn secret(cause: SecretFault) -> anyhow::Error {
        // Root may read everything, so the error is built here.
        let mut error = TokenSource::File("/nowhere".into())
            .read()
            .expect_err("the file does not exist");
        error.cause = cause;
        anyhow::Error::from(error).context("account \"main\"")
    }

    #[test]
    fn failures_that_need_a_person_differ_from_temporary_ones() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let absent = io::Error::from(io::ErrorKind::NotFound);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for (error, code) in [
            (secret(SecretFault::Unreadable(denied().into())), 77),
            (secret(SecretFault::Unreadable(absent.into())), 1),
            (
                secret(SecretFault::Unreadable(FileError::Kind("a folder"))),
                78,
            ),
            (secret(SecretFault::NotSet), 1),
            (anyhow::Error::from(denied()).context("state"), 77),
            (anyhow::Error::from(full), 1),
            (
                anyhow::Error::from(OpenError::Newer { found: 9, known: 8 })
                    .context("state.sqlite3"),
                78,
            ),
            (anyhow::anyhow!("a task ended early"), 1),
        ] {
            assert_eq!(exit_code(&error), code, "{error:#}");
        }
    }

    #[test]
    fn a_config_that_hangs_is_tried_again() {
        let unreadable = |source| ConfigError::Unreadable {
            path: "openseat.toml".into(),
            source,
        };
        let late = Unfinished::Late(Duration::from_secs(5));
        for (error, code) in [
            (unreadable(late.into()), 1),
            (unreadable(FileError::Kind("a folder")), 78),
            (ConfigError::NotFound, 78),
        ] {
            assert_eq!(code_of_config(&error), code, "{error}");
        }
    }

    #[test]
    fn a_ledger_of_a_newer_openseat_needs_a_person() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("budget.sqlite3");
        let clock: Arc<dyn crate::clock::Clock> = Arc::new(SystemClock::new());
        let keep = || crate::budget::Ledger::keep(&path, Arc::clone(&clock));
        keep().expect("a new one").finish(Duration::from_secs(20));
        let newer = rusqlite::Connection::open(&path).expect("a ledger");
        newer
            .pragma_update(None, "user_version", 99)
            .expect("the database can be written");
        drop(newer);
        let error = anyhow::Error::new(
            keep()
                .map(drop)
                .expect_err("the ledger is from a newer version"),
        );
        assert_eq!(exit_code(&error), EXIT_CONFIG);
    }
}
