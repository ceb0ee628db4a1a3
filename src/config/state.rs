//! `[state]`: the folder, and the days of history.

use std::{ops::RangeInclusive, path::PathBuf};

use toml::de::DeValue;

use super::{section::Section, source::Checked, value::Value};

/// A week covers all shifts, and takes some 4 MB for each queue.
const DEFAULT_HISTORY_DAYS: u32 = 7;

/// Somewhat more than a year.
const HISTORY_DAYS: RangeInclusive<u32> = 0..=400;

/// The variable that names the folder which systemd creates for a unit with `StateDirectory=`.
pub(super) const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// Where the state is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StateDir {
    /// In this folder.
    Folder(PathBuf),
    /// In memory, as the operator chose.
    Memory,
    /// In memory, because the environment names no folder.
    Nowhere,
}

/// Reads `[state]`.
pub(super) fn state(root: &Section<'_>, section: Option<&Section<'_>>) -> Checked<(StateDir, u32)> {
    let Some(section) = section else {
        return Ok((usual(root), DEFAULT_HISTORY_DAYS));
    };
    let dir = section.optional("dir", dir);
    let days = section.optional("history_days", |value| value.integer(HISTORY_DAYS));
    let (dir, days) = (dir?, days?);
    Ok((
        dir.unwrap_or_else(|| usual(root)),
        days.unwrap_or(DEFAULT_HISTORY_DAYS),
    ))
}

fn dir(value: &Value<'_>) -> Checked<StateDir> {
    match value.node() {
        DeValue::Boolean(false) => Ok(StateDir::Memory),
        DeValue::String(_) => value.path().map(StateDir::Folder),
        _ => Err(value.not_a("a path, or false for memory only")),
    }
}

/// Returns systemd's folder for the service, else the user's own. A daemon that forgets its hour at each restart could spend more than CallTools
/// allows, so a folder is the default.
fn usual(root: &Section<'_>) -> StateDir {
    // The XDG specification says to ignore relative paths.
    let absolute = |name: &str| {
        let path = PathBuf::from(root.env(name)?);
        path.is_absolute().then_some(path)
    };
    // systemd separates several folders with a colon.
    let of_service = root.env(STATE_DIRECTORY);
    let of_service = of_service
        .as_deref()
        .and_then(|list| list.split(':').next());
    let of_service = of_service
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let of_user = || absolute("XDG_STATE_HOME").map(|home| home.join("openseat"));
    let at_home = || absolute("HOME").map(|home| home.join(".local/state/openseat"));
    match of_service.or_else(of_user).or_else(at_home) {
        Some(folder) => StateDir::Folder(folder),
        None => StateDir::Nowhere,
    }
}
