//! How long an agent stays in a status, from looks that may come late, twice or out of order.
//!
//! CallTools dates each change of status. Without a date, a change is taken to be in the middle between the two looks around it. Looks also
//! limit the dates: a clock that jumps cannot make a stay longer or shorter than the looks allow.
//!
//! An account keeps one [`Packed`] stay for each agent, of whom there may be thousands.

mod packed;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

pub use self::packed::Packed;
use self::packed::{steps, steps_up, time};
use crate::model::known::Presence;

/// A stay without dates is not used if its length is less certain than this. Wrap-ups are about this long.
const MAX_DOUBT: Duration = Duration::from_secs(15);

/// The status that an agent is in, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// `None` for an agent without a status.
    status: Option<Arc<str>>,
    available: bool,
    /// The date that CallTools gave.
    since: Option<Timestamp>,
    /// When it began, as boot time: by the date of the first look, or else in the middle between two looks. This and the next two are in
    /// [steps](packed::STEP).
    began: Option<u64>,
    /// The boot times of the last look before it began, and of the first one that showed it.
    before: Option<u64>,
    first: u64,
    /// The boot time of the newest look.
    seen: Duration,
    /// Whether the first look had a date.
    is_dated: bool,
    origin: Origin,
    had_call: bool,
}

/// What is known about a stay's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Looks showed it.
    Looks,
    /// It was read from a file, so an earlier process may have counted it.
    File,
    /// It may be an earlier one, so it may have been counted, and tells nothing about the next one.
    Doubt,
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
    /// The status; empty for none.
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
    /// The status; empty for none.
    pub fn status(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }

    /// The status, if there is one.
    pub fn into_status(self) -> Option<Arc<str>> {
        self.status
    }

    /// Whether the agent is available in it.
    pub fn is_available(&self) -> bool {
        self.available
    }

    /// The date that CallTools gave.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// When it began, as boot time, if known.
    pub fn began(&self) -> Option<Duration> {
        self.began.map(time)
    }

    /// The boot time of the first look that showed it.
    pub fn first_seen(&self) -> Duration {
        time(self.first)
    }

    /// The boot time of the newest look.
    pub fn seen(&self) -> Duration {
        self.seen
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
            lasted: self.seen,
            away: self.seen,
        }
    }

    /// Lets the date be earlier than this one, which the next look shows: a later one was wrong.
    pub fn set_before(&mut self, date: Timestamp) {
        self.since = self.since.map(|since| since.min(just_before(date)));
    }

    /// Moves the date by this time, as all dates.
    pub fn step(&mut self, by: SignedDuration) {
        self.since = self.since.and_then(|since| since.checked_add(by).ok());
    }

    /// Begins with a look that contradicts the looks before it.
    pub fn doubted(look: &Presence) -> Self {
        Self {
            origin: Origin::Doubt,
            // Nor does it tell that the agent was not on a call.
            had_call: true,
            ..Self::new(look, None)
        }
    }

    /// Begins with a first look, or with the look after `before`.
    fn new(look: &Presence, before: Option<Duration>) -> Self {
        Self {
            status: look.status.clone(),
            available: look.available,
            since: look.since,
            began: began(look, before).map(steps),
            // The limits are rounded so that they are no narrower than the looks.
            before: before.map(steps),
            first: steps_up(look.at.boot),
            seen: look.at.boot,
            is_dated: look.since.is_some(),
            origin: match look.stored {
                true => Origin::File,
                false => Origin::Looks,
            },
            had_call: false,
        }
    }

    /// Whether the look still shows this stay. With a date, this works even if the status was renamed.
    fn continues_in(&self, look: &Presence) -> bool {
        match (self.since, look.since) {
            (Some(since), Some(shown)) => since == shown,
            _ => self.has_status_of(look),
        }
    }

    fn has_status_of(&self, look: &Presence) -> bool {
        self.status == look.status
    }

    /// Whether the look is newer than what is known: by its date, even if a list that was requested later has overtaken it, or else by its moment.
    pub fn is_older_than(&self, look: &Presence) -> bool {
        match (self.since, look.since) {
            (Some(since), Some(shown)) if since != shown => since < shown,
            _ => self.seen < look.at.boot,
        }
    }

    /// Whether something can be learnt from it if it goes on or ends in this look.
    fn counts(&self, look: &Presence) -> bool {
        !self.available && self.origin == Origin::Looks && !look.stored
    }

    /// Returns by how much its beginning may be wrong; `None` if nothing is known about that.
    fn doubt(&self) -> Option<Duration> {
        if self.is_dated {
            return Some(Duration::ZERO);
        }
        Some(time(self.first.saturating_sub(self.before?)) / 2)
    }

    /// Returns how long it lasted, if `next` followed it.
    fn lasted(&self, next: &Stay) -> Option<Duration> {
        let dated = || Duration::try_from(next.since?.duration_since(self.since?)).ok();
        let looked = || {
            let doubt = self.doubt()? + next.doubt()?;
            let (began, ended) = (self.began()?, next.began()?);
            (doubt <= MAX_DOUBT).then(|| ended.saturating_sub(began))
        };
        let lasted = dated().or_else(looked)?;
        let least = self.seen.saturating_sub(self.first_seen());
        // A look that was overtaken was read at a later moment, which is not known.
        let before = self.before.filter(|_| next.began.is_some()).map(time);
        let most = before.map(|before| next.first_seen().saturating_sub(before));
        Some(lasted.max(least).min(most.unwrap_or(Duration::MAX)))
    }
}

/// Returns the latest date before this one.
pub fn just_before(date: Timestamp) -> Timestamp {
    let before = date.checked_sub(SignedDuration::from_nanos(1));
    before.unwrap_or(date)
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
/// A look that is older than the newest, by its date or, with the same date or none, by its moment, changes nothing, so polls, sweeps and deltas that
/// show the same change count it once. A stay that was read from a file does not count, because the earlier process may have counted it.
pub fn follow(known: &mut Option<Stay>, look: &Presence) -> Option<Passed> {
    let Some(stay) = known else {
        *known = Some(Stay::new(look, None));
        return None;
    };
    if !stay.is_older_than(look) {
        return None;
    }
    if stay.continues_in(look) {
        if stay.began.is_none() && look.since.is_some() {
            stay.began = began(look, stay.before.map(time)).map(steps);
            stay.first = steps_up(look.at.boot);
        }
        let time = look.at.boot - stay.seen;
        stay.seen = look.at.boot;
        stay.since = stay.since.or(look.since);
        stay.available = look.available;
        // Otherwise the text stays the one that others share.
        if !stay.has_status_of(look) {
            stay.status.clone_from(&look.status);
        }
        let status = stay.status.as_ref().filter(|_| stay.counts(look))?;
        return Some(Passed {
            status: Arc::clone(status),
            time,
            ended: None,
        });
    }
    let before = (stay.origin != Origin::Doubt).then_some(stay.seen);
    // The same status with a later date: another status came in between, and no look saw when.
    let is_seen_ending = !stay.has_status_of(look);
    let mut next = Stay::new(look, before);
    if look.at.boot <= stay.seen {
        // The next look tells when it began.
        (next.began, next.first, next.seen) = (None, steps_up(stay.seen), stay.seen);
    }
    let was = std::mem::replace(stay, next);
    if !is_seen_ending || !was.counts(look) {
        return None;
    }
    Some(Passed {
        time: stay
            .began()
            .unwrap_or(look.at.boot)
            .saturating_sub(was.seen),
        ended: Some(Ended {
            lasted: was.lasted(stay),
            available: look.available,
        }),
        status: was.status.unwrap_or_default(),
    })
}
