//! The state folder: private, and used by one process at a time.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::LedgerError;
use crate::process::state_folder::is_ours;

/// Only openseat's user may read the folder and its files: they contain names of people and ids of calls.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A folder that this process has locked. Dropping it, or the end of the process, unlocks it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: fs::File,
}

impl Folder {
    /// Locks the folder for this process. Creates it if it is missing, and makes it private.
    pub fn take(path: &Path) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::Folder(path.to_owned(), error);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path);
        let lock = made.and_then(|()| fs::File::open(path)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse(Holder::find(path))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if let Err(error) = close_to_others(path) {
            tracing::warn!(folder = %path.display(), %error, "the state folder cannot be made private");
        }
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Returns whether the folder at the path is still the locked one.
    pub fn is_still_there(&self) -> bool {
        let held = self.lock.metadata().ok();
        let named = fs::metadata(&self.path).ok();
        held.zip(named)
            .is_some_and(|(held, named)| same(&held, &named))
    }

    /// Syncs its entries to the disk, so that new and renamed files survive a power failure.
    pub fn sync(&self) -> io::Result<()> {
        self.lock.sync_all()
    }
}

/// Returns whether both describe the same file.
pub(super) fn same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// The process that holds a folder.
#[derive(Debug, thiserror::Error)]
#[error("another openseat{} runs with the state folder {}; each needs a folder of its own", in_parentheses(*.pid), .folder.display())]
pub struct Holder {
    /// The folder.
    pub folder: PathBuf,
    /// The process, if the kernel shows it.
    pub pid: Option<u32>,
}

fn in_parentheses(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl Holder {
    fn find(folder: &Path) -> Self {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let inode = fs::metadata(folder).map(|folder| folder.ino());
        Self {
            folder: folder.to_owned(),
            pid: inode.ok().and_then(|inode| holder(&locks, inode)),
        }
    }
}

/// Finds the process that locks this inode in the text of `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 4321 fd:01:131 0 EOF`.
fn holder(locks: &str, inode: u64) -> Option<u32> {
    let mut lines = locks.lines().map(|line| line.split_ascii_whitespace());
    lines.find_map(|mut words| {
        let (kind, pid, file) = (words.nth(1)?, words.nth(2)?, words.next()?);
        let is_it = kind == "FLOCK" && file.rsplit(':').next()? == inode.to_string();
        // 0 means a process of another namespace.
        pid.parse().ok().filter(|pid| is_it && *pid != 0)
    })
}

/// Makes openseat's files private, and the folder as well if it has no other files.
fn close_to_others(path: &Path) -> io::Result<()> {
    let mut shared = false;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_ours = is_ours(&entry.file_name());
        shared |= !is_ours;
        if is_ours && entry.file_type()?.is_file() {
            match restrict(&entry.path(), FILE_MODE) {
                // It was removed meanwhile, such as a journal of SQLite's.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                restricted => restricted?,
            }
        }
    }
    match shared {
        false => restrict(path, FOLDER_MODE),
        true if mode(path)? & !FOLDER_MODE == 0 => Ok(()),
        true => {
            tracing::warn!(
                folder = %path.display(),
                "the state folder is open to other users, but its mode is left as it is, because it holds files that are not openseat's; give openseat a folder of its own"
            );
            Ok(())
        }
    }
}

fn restrict(path: &Path, mode_for_us: u32) -> io::Result<()> {
    if mode(path)? & !mode_for_us == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode_for_us))
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}
