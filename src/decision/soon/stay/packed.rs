//! How stays are kept: small, because there is one for each agent.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Origin, Stay};

/// Times are kept in steps of this length, in numbers of 16 bits. Longer times count as the longest that fits, which is more than five minutes: no
/// stay of more than that is told from a longer one.
pub(super) const STEP: Duration = Duration::from_millis(10);

/// Stands for a time that is not known.
const UNKNOWN: u16 = u16::MAX;
const LONGEST: u16 = UNKNOWN - 1;

/// What of a [`Stay`] is kept beside its status and its date, and beside the moment at which its agent was last seen.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// How much later than that moment its newest look was: at most five minutes, as the other times. More is rare, and then the time spent in the status
    /// is known less well.
    seen: i16,
    /// How long before its newest look the first one was.
    first: u16,
    /// How long before its first look it began, and the look before it was. These do not change, so they are not rounded again with each look.
    began: u16,
    before: u16,
    available: bool,
    is_dated: bool,
    origin: Origin,
    had_call: bool,
}

impl Stay {
    /// Returns what is kept, with `at`, the boot time at which its agent was last seen.
    pub fn packed(&self, at: Duration) -> Packed {
        let later = steps(self.seen) as i64 - steps(at) as i64;
        let later = later.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        let ago = |time: u64, from: u64| {
            let ago = u16::try_from(from.saturating_sub(time));
            ago.unwrap_or(LONGEST).min(LONGEST)
        };
        let before_first = |time: Option<u64>| time.map_or(UNKNOWN, |time| ago(time, self.first));
        Packed {
            seen: later,
            first: ago(self.first, steps_up(seen(at, later))),
            began: before_first(self.began),
            before: before_first(self.before),
            available: self.available,
            is_dated: self.is_dated,
            origin: self.origin,
            had_call: self.had_call,
        }
    }
}

impl Packed {
    /// Returns the stay. `at` is the one with which it was packed.
    pub fn unpacked(
        &self,
        status: Option<Arc<str>>,
        since: Option<Timestamp>,
        at: Duration,
    ) -> Stay {
        let seen = seen(at, self.seen);
        let first = steps_up(seen).saturating_sub(self.first.into());
        let known = |ago: u16| (ago != UNKNOWN).then(|| first.saturating_sub(ago.into()));
        Stay {
            status,
            available: self.available,
            since,
            began: known(self.began),
            before: known(self.before),
            first,
            seen,
            is_dated: self.is_dated,
            origin: self.origin,
            had_call: self.had_call,
        }
    }

    /// Records whether the agent is available in it: its status has another meaning now.
    pub fn set_available(&mut self, yes: bool) {
        self.available = yes;
    }
}

fn seen(at: Duration, later: i16) -> Duration {
    match later {
        0 => at,
        later => time(steps(at).saturating_add_signed(later.into())),
    }
}

/// Returns a time in whole steps.
pub(super) fn steps(time: Duration) -> u64 {
    // Five hundred years fit.
    (time.as_nanos() / STEP.as_nanos()) as u64
}

/// The same, rounded up.
pub(super) fn steps_up(time: Duration) -> u64 {
    time.as_nanos().div_ceil(STEP.as_nanos()) as u64
}

/// Returns the time of so many steps.
pub(super) fn time(steps: u64) -> Duration {
    Duration::from_nanos(steps * STEP.as_nanos() as u64)
}
