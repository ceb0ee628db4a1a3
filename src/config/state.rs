//! `[state]`: the folder, and the days of history.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    keys,
    section::Section,
    source::{Checked, Source, read},
    value::Value,
};

/// A week covers all shifts, and takes some 4 MB for each queue.
const DEFAULT_HISTORY_DAYS: u32 = 7;

/// Somewhat more than a year.
const HISTORY_DAYS: RangeInclusive<u32> = 0..=400;

/// The variable that names the folder which systemd creates for a unit with `StateDirectory=`.
pub(super) const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// What to warn of if there is no folder although the config does not say so.
pub(super) const NO_STATE: &str = "no [state] dir is set, nor $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME to find one by: what was spent of the hour's requests is forgotten at every restart, and restarts in a row can spend more than CallTools allows; set [state] dir, or dir = false to keep it in memory on purpose";

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

/// Returns the first folder of `$STATE_DIRECTORY`. systemd separates several with a colon.
pub fn first_folder(list: &str) -> Option<PathBuf> {
    let first = list.split(':').next();
    first.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Returns the state folder of a file that may have mistakes, as far as they leave it readable. The daemon that runs with it reports them.
pub fn probable_folder(path: &Path) -> Option<PathBuf> {
    let text = read(path).ok()?;
    let env = |name: &str| super::service_env(path, name);
    let source = Source::new(path, &text, &env);
    let (document, _) = DeTable::parse_recoverable(&text);
    let root = Section::root(&source, document.get_ref());
    let section = root.table("state", &keys::STATE, "state").ok().flatten();
    let dir = section.and_then(|section| section.optional("dir", dir).ok().flatten());
    match dir.unwrap_or_else(|| usual(&root)) {
        StateDir::Folder(folder) => Some(folder),
        StateDir::Memory | StateDir::Nowhere => None,
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
    let of_service = root.env(STATE_DIRECTORY);
    let of_service = of_service.as_deref().and_then(first_folder);
    let of_user = || absolute("XDG_STATE_HOME").map(|home| home.join("openseat"));
    let at_home = || absolute("HOME").map(|home| home.join(".local/state/openseat"));
    match of_service.or_else(of_user).or_else(at_home) {
        Some(folder) => StateDir::Folder(folder),
        None => StateDir::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_still_names_its_folder() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("openseat.toml");
        let folder = |text: &str| {
            std::fs::write(&path, text).expect("the file can be written");
            probable_folder(&path)
        };
        let expected = Some(home.path().join("there"));
        for text in [
            "[sever]\n[state]\ndir = \"there\"\n",
            "[state]\ndir = \"there\"\n[server\n",
            "[server]\nlisten = 127.0.0.1:7717\n[state]\ndir = \"there\"\nhistory_days = 7\n",
        ] {
            assert_eq!(folder(text), expected, "{text}");
        }
        assert_eq!(folder("[state]\ndir = false\n[server"), None);
    }

    #[test]
    fn the_first_of_several_folders_is_the_state_folder() {
        for (list, first) in [
            ("/a", Some("/a")),
            ("/a:/b", Some("/a")),
            ("", None),
            (":/b", None),
        ] {
            assert_eq!(first_folder(list), first.map(PathBuf::from), "{list}");
        }
    }
}
