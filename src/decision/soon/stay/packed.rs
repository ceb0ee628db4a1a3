//! How stays are kept: small, because there is one for each agent.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{MAX_NAME, Nanos, Stay};

/// Stands for a time that is not known.
const UNKNOWN: u32 = u32::MAX;

/// A [`Stay`], as an account keeps it. Its status is a number, and moments are milliseconds before the newest look: seven weeks fit.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    seen: Nanos,
    since: Option<Nanos>,
    began: u32,
    before: u32,
    first: u32,
    status: u8,
    /// Whether the agent is available, the first look had a date, the stay comes from a file, and a call was seen.
    flags: u8,
}

/// The most names that are kept: as many as there are numbers.
const MAX_NAMES: usize = u8::MAX as usize + 1;

/// The names of an account's statuses, by number. An account has a few dozen. After 256 that were seen since the start, stays in further ones are not
/// followed. Names are never removed, because an agent's stay may have the number for as long as the agent is known.
#[derive(Debug, Default)]
pub struct Statuses(Vec<Arc<str>>);

impl Statuses {
    /// Gives statuses the names that CallTools has given them: all at once, because two may swap their names.
    pub fn rename(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        for name in &mut self.0 {
            if let Some((_, is)) = renamed.iter().find(|(was, _)| was == name) {
                *name = Arc::clone(is);
            }
        }
    }

    fn number(&mut self, name: &Arc<str>) -> Option<u8> {
        let is_it = |one: &Arc<str>| Arc::ptr_eq(one, name) || one == name;
        if let Some(known) = self.0.iter().position(is_it) {
            return u8::try_from(known).ok();
        }
        let number = u8::try_from(self.0.len()).ok();
        let number = number.filter(|_| name.len() <= MAX_NAME)?;
        // A list that grows on its own has room for twice as many.
        self.0.reserve_exact(1);
        self.0.push(Arc::clone(name));
        if self.0.len() == MAX_NAMES {
            tracing::warn!(
                "agents were seen in {MAX_NAMES} different statuses; `soon` does not follow them in further ones until a restart"
            );
        }
        Some(number)
    }
}

/// The memory that a name takes, in bytes. Its text is shared with what was learnt about the status.
#[cfg(test)]
pub const NAME_BYTES: usize = size_of::<Arc<str>>();

impl Stay {
    /// Returns the stay as it is kept; `None` if the account has too many statuses, or this one too long a name.
    pub fn packed(&self, statuses: &mut Statuses) -> Option<Packed> {
        let seen = self.seen.whole_ms();
        let ago = |at: u64| u32::try_from(seen.saturating_sub(at)).unwrap_or(UNKNOWN - 1);
        let flags = [self.available, self.is_dated, self.stored, self.had_call];
        Some(Packed {
            seen: self.seen,
            since: self.since,
            began: self.began_ms.map_or(UNKNOWN, ago),
            before: self.before_ms.map_or(UNKNOWN, ago),
            first: ago(self.first_ms),
            status: statuses.number(&self.status)?,
            flags: (0..)
                .zip(flags)
                .map(|(bit, flag)| u8::from(flag) << bit)
                .sum(),
        })
    }
}

impl Packed {
    /// Lets the date be earlier than this one, which the next look shows: a later one was wrong.
    pub fn set_before(&mut self, date: Timestamp) {
        let before = Nanos::since_1970(date).time();
        let before = Nanos::from(before.saturating_sub(Duration::from_nanos(1)));
        self.since = self.since.map(|since| since.min(before));
    }

    /// Moves the date back by this time, as all dates.
    pub fn step_back(&mut self, by: Duration) {
        let stepped = |since: Nanos| Nanos::from(since.time().saturating_sub(by));
        self.since = self.since.map(stepped);
    }

    /// Returns the stay. The statuses are those that it was packed with.
    pub fn unpacked(&self, statuses: &Statuses) -> Stay {
        let seen = self.seen.whole_ms();
        let at = |ago: u32| seen.saturating_sub(ago.into());
        let known = |ago: u32| (ago != UNKNOWN).then(|| at(ago));
        let flag = |bit: u8| self.flags & (1 << bit) != 0;
        Stay {
            status: Arc::clone(&statuses.0[usize::from(self.status)]),
            available: flag(0),
            since: self.since,
            began_ms: known(self.began),
            before_ms: known(self.before),
            first_ms: at(self.first),
            seen: self.seen,
            is_dated: flag(1),
            stored: flag(2),
            had_call: flag(3),
        }
    }
}
