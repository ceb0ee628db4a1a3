//! `openseat reload`: makes the running daemon read its config and secret files again.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{anyhow, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::form_urlencoded;

use super::{
    EXIT_FAILURE, EXIT_USAGE,
    args::ConfigFile,
    complain,
    daemon::{Unreached, command},
    exit_after, exit_with, failed, file_of, print, warn,
};
use crate::{
    config::{Config, first_folder, probable_folder},
    process::{log::Levels, runtime::block_on},
    server::reload_request::Reloaded,
};

/// Longer than the daemon's own timeout for a reload.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reloads; exits with 0 once the new config is in force.
pub fn run(file: &ConfigFile, levels: Option<&Levels>) -> ExitCode {
    let folders = match folders(file) {
        Ok(folders) => folders,
        Err(error) => return exit_with(EXIT_USAGE, &error.to_string()),
    };
    match block_on(reload(&folders.paths, levels)) {
        Ok(Ok(reloaded)) => {
            for warning in &reloaded.warnings {
                warn(warning);
            }
            let printed = print(&text(&reloaded));
            exit_after(printed, unread(file, &reloaded.file))
        }
        Ok(Err(Nobody(path))) => match folders.mistakes {
            // The folder was a guess, and the mistakes in the file are what can be mended.
            Some(mistakes) => exit_with(EXIT_USAGE, &mistakes),
            None => exit_with(EXIT_FAILURE, &nobody(&path)),
        },
        Err(error) => failed(&error),
    }
}

/// No daemon answers at this socket.
struct Nobody(PathBuf);

fn nobody(path: &Path) -> String {
    format!(
        "no daemon answers at {}; is it running? If [state] dir was changed, restart it: until then it answers in its former folder",
        path.display()
    )
}

/// Says so if the daemon read another file than this command, which found the daemon by the state folder alone. Returns the exit code: a file that
/// was named and not read is not in force.
fn unread(file: &ConfigFile, read: &str) -> ExitCode {
    let Ok(own) = file_of(file) else {
        return ExitCode::SUCCESS;
    };
    // An earlier version does not say what it read.
    if read.is_empty() || is_same(&own, Path::new(read)) {
        return ExitCode::SUCCESS;
    }
    let own = own.display();
    match file.config {
        Some(_) => exit_with(
            EXIT_FAILURE,
            &format!(
                "the daemon was started with {read} and reads only that; {own} is not in force: start the daemon with it"
            ),
        ),
        None => {
            warn(&format!("the daemon does not read {own}"));
            ExitCode::SUCCESS
        }
    }
}

/// Returns whether two paths lead to the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let real = path.canonicalize().or_else(|_| std::path::absolute(path));
        let real = real.unwrap_or_else(|_| path.to_owned());
        // The daemon's answer is text.
        real.to_string_lossy().into_owned()
    };
    real(one) == real(other)
}

/// Where the daemon's state folder may be.
struct Folders {
    /// At least one.
    paths: Vec<PathBuf>,
    /// What is wrong with the file, if anything.
    mistakes: Option<String>,
}

/// Describes what has changed.
fn text(reloaded: &Reloaded) -> String {
    let renamed = reloaded.accounts_renamed.iter();
    let renamed: Vec<_> = renamed
        .map(|one| format!("{} to {}", one.from, one.to))
        .collect();
    let mut text = match &*reloaded.file {
        // An earlier version does not say what it read.
        "" => "The configuration was read again and is in force.\n".to_owned(),
        file => format!("The configuration {file} was read again and is in force.\n"),
    };
    for (what, names) in [
        ("Queues added", &reloaded.queues_added),
        ("Queues removed", &reloaded.queues_removed),
        ("Accounts added or changed", &reloaded.accounts_started),
        ("Accounts renamed", &renamed),
        ("Accounts removed", &reloaded.accounts_removed),
    ] {
        if !names.is_empty() {
            text += &format!("{what}: {}\n", names.join(", "));
        }
    }
    text
}

/// Returns where the daemon's state folder may be. The file may be broken or name a new one, so the folder that systemd gave the service is a
/// second guess; if there is none, the file's mistakes are reported.
fn folders(file: &ConfigFile) -> anyhow::Result<Folders> {
    let found = file_of(file);
    let probable = found.as_deref().ok().and_then(probable_folder);
    let loaded = found.and_then(|path| Config::load_beside_the_service(&path));
    let configured = match &loaded {
        Ok(config) => config.state_dir.clone(),
        Err(_) => probable,
    };
    let given = std::env::var("STATE_DIRECTORY").ok();
    let given = given.as_deref().and_then(first_folder);
    let paths: Vec<_> = configured.into_iter().chain(given).collect();
    let mistakes = loaded.err().map(|error| error.to_string());
    match (paths.is_empty(), mistakes) {
        (false, mistakes) => Ok(Folders { paths, mistakes }),
        (true, Some(mistakes)) => Err(anyhow!("{mistakes}")),
        (true, None) => bail!(
            "without a state folder there is no control socket; send SIGHUP to the daemon, or POST /v1/reload to its address"
        ),
    }
}

async fn reload(
    folders: &[PathBuf],
    levels: Option<&Levels>,
) -> anyhow::Result<Result<Reloaded, Nobody>> {
    let mut nobody = None;
    for folder in folders {
        match reload_at(folder, levels).await {
            Err(Unreached::Nobody(path)) => nobody = nobody.or(Some(path)),
            Err(Unreached::Failed(error)) => return Err(error),
            Ok(reloaded) => return Ok(Ok(reloaded)),
        }
    }
    let path = nobody.expect("there is at least one folder");
    Ok(Err(Nobody(path)))
}

async fn reload_at(folder: &Path, levels: Option<&Levels>) -> Result<Reloaded, Unreached> {
    if let Some(levels) = levels {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("levels", &levels.to_string());
        let target = format!("/v1/log?{}", query.finish());
        let (status, why) = command(folder, Method::POST, &target, TIMEOUT).await?;
        if !status.is_success() {
            complain(&format!("openseat: the log levels stay as they are: {why}"));
        }
    }
    let (status, body) = command(folder, Method::POST, "/v1/reload", TIMEOUT).await?;
    if status == StatusCode::OK {
        let read = serde_json::from_str(&body);
        return Ok(read.map_err(|error| {
            anyhow!("the daemon's answer cannot be read; is it another version? {error}")
        })?);
    }
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    Err(
        match (problem["title"].as_str(), problem["detail"].as_str()) {
            (Some(title), Some(detail)) => anyhow!("{title}: {detail}"),
            _ => anyhow!("the daemon answers {status}"),
        }
        .into(),
    )
}
