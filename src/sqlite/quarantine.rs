//! Damaged files get another name, and stay.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::schema::make_private;
use crate::clock::Moment;

/// What SQLite keeps beside a file.
pub(super) const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Gives a damaged file, and what SQLite keeps beside it, another name in the same folder; returns that name.
///
/// # Errors
/// The folder cannot be written to.
pub fn set_aside(path: &Path, now: Moment) -> io::Result<PathBuf> {
    let time = now.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = (1..).map(|n| match n {
        1 => with_suffix(path, &format!("{SET_ASIDE}{time}")),
        n => with_suffix(path, &format!("{SET_ASIDE}{time}-{n}")),
    });
    let mut free = names.filter(|name| !name.exists());
    let aside = free.next().expect("there is no end of numbers");
    // The file itself first: if we are killed in between, a log without its file is what `clear_the_way` looks for.
    fs::rename(path, &aside)?;
    for companion in COMPANIONS {
        rename_if_there(
            &with_suffix(path, companion),
            &with_suffix(&aside, companion),
        )?;
    }
    Ok(aside)
}

/// A log whose file is gone must not be taken for the next file's.
///
/// # Errors
/// The folder cannot be written to.
pub fn clear_the_way(path: &Path, now: Moment) -> io::Result<()> {
    let left_over = COMPANIONS.map(|companion| with_suffix(path, companion));
    if path.exists() || !left_over.iter().any(|companion| companion.exists()) {
        return Ok(());
    }
    make_private(path)?;
    set_aside(path, now).map(drop)
}

/// Whether a file of this name was ever set aside, and what was can still be found.
pub fn was_set_aside(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return false;
    };
    let prefix = format!("{name}{SET_ASIDE}");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|name| name.starts_with(&prefix))
}

/// What stands between a file's old name and the time in its new one.
const SET_ASIDE: &str = ".corrupt-";

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
