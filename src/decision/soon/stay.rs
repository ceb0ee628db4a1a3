//! How long an agent stays in a status, from looks that may come late, twice or out of order.
//!
//! CallTools dates each change of status. Without a date, a change is taken to be in the middle between the two looks around it. Looks also
//! limit the dates: a clock that jumps cannot make a stay longer or shorter than the looks allow.
//!
//! An account keeps one [`Packed`] stay for each agent, of whom there may be thousands.

mod packed;

use std::{sync::Arc, time::Duration};

#[cfg(test)]
pub use self::packed::NAME_BYTES;
pub use self::packed::{Packed, Statuses};
use super::nanos::Nanos;
use crate::model::known::Presence;

/// In bytes. Nobody picks a status with a longer name from a list, so stays in such a one are not followed.
pub const MAX_NAME: usize = 96;

/// A stay without dates is not used if its length is less certain than this. Wrap-ups are about this long.
const MAX_DOUBT: Duration = Duration::from_secs(15);

/// The status that an agent is in, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    status: Arc<str>,
    available: bool,
    /// The date that CallTools gave.
    since: Option<Nanos>,
    /// When it began, as boot time: by the date of the first look, or else in the middle between two looks. This and the next two are in whole
    /// milliseconds.
    began_ms: Option<u64>,
    /// The boot times of the last look before it began, and of the first one that showed it.
    before_ms: Option<u64>,
    first_ms: u64,
    /// The boot time of the newest look.
    seen: Nanos,
    /// Whether the first look had a date.
    is_dated: bool,
    stored: bool,
    had_call: bool,
}

/// As of when an agent's stay is known. Both are boot times, and later than the look at the agent's row if lists without the agent show more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// Until when it has lasted.
    pub lasted: Duration,
    /// Until when the agent was not available: no earlier than that.
    pub away: Duration,
}

/// Time that an agent was seen to spend in a status without calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The status.
    pub status: Arc<str>,
    /// The time since the previous look.
    pub time: Duration,
    /// Set if the stay has ended.
    pub ended: Option<Ended>,
}

/// The end of a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How long it lasted; `None` if that is not known well enough.
    pub lasted: Option<Duration>,
    /// Whether the agent has become available.
    pub available: bool,
}

impl Stay {
    /// The status.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// Whether the agent is available in it.
    pub fn is_available(&self) -> bool {
        self.available
    }

    /// When it began, as boot time, if known.
    pub fn began(&self) -> Option<Duration> {
        self.began_ms.map(Duration::from_millis)
    }

    /// The boot time of the first look that showed it.
    pub fn first_seen(&self) -> Duration {
        Duration::from_millis(self.first_ms)
    }

    /// The boot time of the newest look.
    pub fn seen(&self) -> Duration {
        self.seen.time()
    }

    /// Whether a look showed the agent on a call in it.
    pub fn had_call(&self) -> bool {
        self.had_call
    }

    /// Records that the newest look shows the agent on a call.
    pub fn saw_call(&mut self) {
        self.had_call = true;
    }

    /// What the newest look alone shows.
    pub fn as_seen(&self) -> AsOf {
        AsOf {
            lasted: self.seen(),
            away: self.seen(),
        }
    }

    /// Interprets the newest look again, which was `was` before: its status has another meaning or name now. This ends no stay.
    pub fn read_again(&mut self, look: &Presence, was: &Presence) {
        let Some(status) = look.status.as_ref().filter(|_| self.seen() == look.at.boot) else {
            return;
        };
        self.available = look.available;
        // A row that names its status still has the old name.
        if look.status != was.status {
            self.status = Arc::clone(status);
        }
    }

    /// Begins with a first look, or with the look after `before`.
    fn new(look: &Presence, before: Option<Duration>) -> Self {
        Self {
            status: look.status.clone().unwrap_or_default(),
            available: look.available,
            since: look.since.map(Nanos::since_1970),
            began_ms: began(look, before).map(whole_ms),
            before_ms: before.map(whole_ms),
            first_ms: whole_ms(look.at.boot),
            seen: look.at.boot.into(),
            is_dated: look.since.is_some(),
            stored: look.stored,
            had_call: false,
        }
    }

    /// Whether the look still shows this stay. With a date, this works even if the status was renamed.
    fn continues_in(&self, look: &Presence) -> bool {
        match (self.since, look.since) {
            (Some(since), Some(shown)) => since == Nanos::since_1970(shown),
            _ => self.has_status_of(look),
        }
    }

    fn has_status_of(&self, look: &Presence) -> bool {
        *self.status == *look.status.as_deref().unwrap_or_default()
    }

    fn is_contradicted_by_date(&self, look: &Presence) -> bool {
        let shown = look.since.map(Nanos::since_1970);
        matches!((shown, self.since), (Some(shown), Some(since)) if shown < since)
    }

    /// Returns by how much its beginning may be wrong; `None` if nothing is known about that.
    fn doubt(&self) -> Option<Duration> {
        if self.is_dated {
            return Some(Duration::ZERO);
        }
        let between = self.first_ms.saturating_sub(self.before_ms?);
        Some(Duration::from_millis(between) / 2)
    }

    /// Returns how long it lasted, if `next` followed it.
    fn lasted(&self, next: &Stay) -> Option<Duration> {
        let dated = || {
            let (began, ended) = (self.since?.time(), next.since?.time());
            ended.checked_sub(began)
        };
        let looked = || {
            let doubt = self.doubt()? + next.doubt()?;
            let (began, ended) = (self.began()?, next.began()?);
            (doubt <= MAX_DOUBT).then(|| ended.saturating_sub(began))
        };
        let lasted = dated().or_else(looked)?;
        let least = self.seen() - self.first_seen();
        let most = self.before_ms.map_or(Duration::MAX, |before| {
            Duration::from_millis(next.first_ms.saturating_sub(before))
        });
        Some(lasted.max(least).min(most))
    }
}

fn whole_ms(time: Duration) -> u64 {
    Nanos::from(time).whole_ms()
}

/// Returns when a stay began that this look shows first, after the one at `before`.
fn began(look: &Presence, before: Option<Duration>) -> Option<Duration> {
    let (at, earliest) = (look.at, before.unwrap_or_default());
    if let Some(since) = look.since {
        let lasting = Duration::try_from(at.timestamp().duration_since(since));
        let began = at.boot.saturating_sub(lasting.unwrap_or_default());
        return Some(began.max(earliest));
    }
    before.map(|before| before + at.boot.saturating_sub(before) / 2)
}

/// Applies a look at an agent. Returns the time that passed in the previous status, if that is one without calls.
///
/// A look that is older than the newest, by its moment or by its date, changes nothing, so polls, sweeps and deltas that show the same
/// change count it once. A stay that was read from a file does not count, because the earlier process may have counted it.
pub fn follow(known: &mut Option<Stay>, look: &Presence) -> Option<Passed> {
    let Some(stay) = known else {
        *known = Some(Stay::new(look, None));
        return None;
    };
    if look.at.boot <= stay.seen() || stay.is_contradicted_by_date(look) {
        return None;
    }
    if stay.continues_in(look) {
        let time = look.at.boot - stay.seen();
        stay.seen = look.at.boot.into();
        stay.since = stay.since.or(look.since.map(Nanos::since_1970));
        stay.available = look.available;
        // Otherwise the text stays the one that others share.
        if !stay.has_status_of(look) {
            stay.status = look.status.clone().unwrap_or_default();
        }
        let counts = !stay.available && !stay.stored && !look.stored;
        return counts.then(|| Passed {
            status: Arc::clone(&stay.status),
            time,
            ended: None,
        });
    }
    let next = Stay::new(look, Some(stay.seen()));
    // The same status with a later date: another status came in between, and no look saw when.
    let is_seen_ending = !stay.has_status_of(look);
    let was = std::mem::replace(stay, next);
    let counts = is_seen_ending && !was.available && !was.stored && !look.stored;
    counts.then(|| Passed {
        time: stay
            .began()
            .unwrap_or(look.at.boot)
            .saturating_sub(was.seen()),
        ended: Some(Ended {
            lasted: was.lasted(stay),
            available: look.available,
        }),
        status: was.status,
    })
}
