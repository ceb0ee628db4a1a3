//! Quarantine: a damaged file is renamed, never deleted or overwritten.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{clock::Moment, process::file::create_private};

/// The suffixes of the files that SQLite keeps beside a database.
pub(super) const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Renames a damaged file and its companions within their folder, and returns the new name.
///
/// # Errors
/// The folder cannot be written to.
pub fn quarantine(path: &Path, now: Moment) -> io::Result<PathBuf> {
    let time = now.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = (1..).map(|n| match n {
        1 => with_suffix(path, &format!("{MARK}{time}")),
        n => with_suffix(path, &format!("{MARK}{time}-{n}")),
    });
    let mut free = names.filter(|name| !name.exists());
    let aside = free.next().expect("there is no end of numbers");
    // The file itself first: if the process is killed in between, `quarantine_orphan_wal` finds the rest.
    fs::rename(path, &aside)?;
    for companion in COMPANIONS {
        rename_if_there(
            &with_suffix(path, companion),
            &with_suffix(&aside, companion),
        )?;
    }
    Ok(aside)
}

/// Quarantines a WAL whose file is gone, so that SQLite does not apply it to the next file.
///
/// # Errors
/// The folder cannot be written to.
pub fn quarantine_orphan_wal(path: &Path, now: Moment) -> io::Result<()> {
    let left_over = COMPANIONS.map(|companion| with_suffix(path, companion));
    if path.exists() || !left_over.iter().any(|companion| companion.exists()) {
        return Ok(());
    }
    create_private(path)?;
    quarantine(path, now).map(drop)
}

/// Returns whether a file with this name was quarantined and is still there.
pub fn was_quarantined(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return false;
    };
    let prefix = format!("{name}{MARK}");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|name| name.starts_with(&prefix))
}

/// Separates a file's old name from the time in its new one.
const MARK: &str = ".corrupt-";

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
