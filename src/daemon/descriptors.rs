//! File descriptors: every connection takes one, and so does every request to CallTools.
//!
//! The usual soft limit of 1,024 is for old programs that use `select`; the hard one is the administrator's. If that is too low for
//! `max_connections`, callers get fewer connections, so that polls, files and listeners keep theirs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// The state folder's files and their logs (9), the runtimes, signals and standard streams (some 15), commands at the control socket (16),
/// and files that are read again, with room to spare.
const ROOM: u64 = 64;

/// The runtime and listeners of a serving thread.
const PER_THREAD: u64 = 8;

/// How many connections an account has open at once: eight lists on a cold start, a check and a refresh.
const PER_ACCOUNT: u64 = 16;

/// Raises the soft limit to the hard one.
///
/// # Errors
/// The system's.
pub fn raise() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Returns how many connections callers may have: `max_connections`, or fewer if descriptors are short.
pub fn connections(config: &Config) -> usize {
    let wanted = config.server.max_connections;
    match getrlimit(Resource::Nofile).current {
        None => wanted,
        Some(limit) => fitting(wanted, limit, room(config)),
    }
}

/// Warns if callers get fewer connections than configured.
pub fn shortage(config: &Config) -> Option<String> {
    let (wanted, given) = (config.server.max_connections, connections(config));
    let limit = getrlimit(Resource::Nofile).current?;
    let needed = wanted as u64 + room(config);
    (given < wanted).then(|| warning(limit, wanted, needed, given))
}

fn warning(limit: u64, wanted: usize, needed: u64, given: usize) -> String {
    format!(
        "this process may open {limit} files, and max_connections = {wanted} needs {needed}: callers get {given} of these {wanted} \
         connections; raise the limit (LimitNOFILE= of the unit, ulimit -Hn) or lower max_connections"
    )
}

fn room(config: &Config) -> u64 {
    let accounts = config.accounts.len() as u64;
    ROOM + PER_THREAD * config.server.threads as u64 + PER_ACCOUNT * accounts
}

/// Returns at least one: a daemon that answers no one is useless.
fn fitting(wanted: usize, limit: u64, room: u64) -> usize {
    let left = usize::try_from(limit.saturating_sub(room)).unwrap_or(usize::MAX);
    wanted.min(left).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_the_descriptors_that_polls_and_files_leave() {
        for (wanted, limit, room, given) in [
            (1024, 16_384, 88, 1024),
            (1024, 1024, 88, 936),
            (1024, 1112, 88, 1024),
            (1024, 100, 88, 12),
            (1024, 50, 88, 1),
            (1, 1024, 88, 1),
        ] {
            assert_eq!(fitting(wanted, limit, room), given, "{wanted} of {limit}");
        }
    }

    #[test]
    fn the_warning_is_a_sentence_with_any_number() {
        let said = warning(64, 1024, 1112, 1);
        assert!(
            said.contains("callers get 1 of these 1024 connections; "),
            "{said}"
        );
    }
}
