//! The names of openseat's files in the state folder.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Makes the constants, and the list of all of them, so that a new file cannot be missing from it.
macro_rules! files {
    ($($(#[$doc:meta])+ $constant:ident = $name:literal;)+) => {
        $($(#[$doc])+ pub const $constant: &str = $name;)+
        /// All of them.
        pub const ALL: &[&str] = &[$($constant),+];
    };
}

files! {
    /// The budget ledger.
    LEDGER_FILE = "budget.sqlite3";
    /// Names, polls, statuses and held seats.
    STORE_FILE = "state.sqlite3";
    /// Past counts and decisions.
    HISTORY_FILE = "history.sqlite3";
    /// The answers that routers got about each call.
    CALLS_FILE = "calls.sqlite3";
    /// The socket for commands.
    CONTROL_SOCKET = "control.sock";
}

/// The endings of the files that SQLite and the ledger keep beside a file.
const COMPANIONS: [&str; 5] = ["", "-wal", "-shm", "-journal", "-witness"];

/// Returns the paths of all files that a daemon may read or write in this folder.
pub fn files_of(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = [LEDGER_FILE, STORE_FILE, HISTORY_FILE, CALLS_FILE];
    let names = files
        .into_iter()
        .flat_map(|file| COMPANIONS.map(|ending| format!("{file}{ending}")));
    names.map(|name| folder.join(name))
}

/// Returns whether a file with this name is one of openseat's, or belongs to one: a log or a witness beside it, or a damaged one that was renamed.
pub fn is_ours(name: &OsStr) -> bool {
    let is = |ours: &&str| name.as_encoded_bytes().starts_with(ours.as_bytes());
    ALL.iter().any(is)
}
