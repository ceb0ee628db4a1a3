//! An agent, as the roster knows them, and which of two rows is newer.

use std::time::Duration;

use jiff::Timestamp;

use super::seen::Seen;
use crate::{
    clock::Moment,
    model::{agent::Agent, known::Sighting},
};

/// The maximum lag of a copy of CallTools' data. If nothing has confirmed a date for longer, it is no lag: CallTools has set the date back, and its
/// current rows count again. (By then every usual `max_age` has made the answer unknown.)
pub(super) const MAX_LAG: Duration = Duration::from_secs(600);

/// The moment of a status: by CallTools' clock if the row has a date, and by the look that showed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) since: Option<Timestamp>,
    pub(super) at: Moment,
}

impl Mark {
    pub(super) fn new(agent: &Agent, at: Moment) -> Self {
        Self {
            since: agent.status_since,
            at,
        }
    }

    /// Returns whether this replaces `known`. `latest` is the latest date ever shown: after a row without a date, earlier dates must not count.
    pub(super) fn replaces(self, known: Mark, latest: Option<Timestamp>) -> bool {
        if self.at.boot > known.at.boot + MAX_LAG {
            return true;
        }
        match (self.since, known.since) {
            (Some(since), _) if latest.is_some_and(|latest| since < latest) => false,
            (Some(since), Some(known)) if since > known => true,
            _ => self.at.boot >= known.at.boot,
        }
    }
}

/// What later looks show of an agent: an older date than the newest row has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contradiction {
    /// The newest date of all agents that was known then, and is likely right.
    pub(super) newest: Option<Timestamp>,
    /// The boot time of the last of these looks.
    pub(super) last: Duration,
    /// As of when the newest row was known before.
    pub(super) known: Moment,
}

/// A queue whose last poll lists a person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    /// The queue's place.
    pub(super) queue: usize,
    /// The person's row in that poll.
    pub(super) row: usize,
}

/// What a row changed about an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// When the newest row was seen.
    pub(super) at: Moment,
    /// Whether it is the same row as before, perhaps renewed in place.
    pub(super) is_same: bool,
}

/// What makes a row another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Differs {
    /// What openseat reads of it.
    #[default]
    InFacts,
    /// Any field: a rule of the account may read it.
    InText,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Person {
    /// The newest row; `None` if only sweeps have shown the agent, and these lost trust.
    pub(super) newest: Option<Sighting>,
    /// Whether that is also the row of a queue's poll, which is not renewed in place: it has the log-in to the queue.
    is_of_poll: bool,
    /// The latest date of a status in any row.
    pub(super) latest: Option<Timestamp>,
    /// What the last look showed; not taken back with the rows.
    pub(super) seen: Option<Seen>,
    /// The queues whose last poll lists the agent, in the order of their places.
    pub(super) queues: Vec<Listed>,
    /// Whether another node's list of changes would have shown any change since the newest row was seen.
    pub(super) is_covered: bool,
    /// Whether the last list of available agents may have hidden the agent between two pages.
    pub(super) has_slipped: bool,
    /// The boot time of the last look that showed the latest date, or a later one.
    pub(super) looked: Duration,
    /// What later looks show instead of the newest row, if they do.
    pub(super) contradicted: Option<Contradiction>,
    /// The number of the roster's change that last renewed the newest row.
    pub(super) changed: u64,
}

impl Person {
    /// Applies a row, unless a newer one is known. Returns what is new then.
    pub(super) fn show(&mut self, sighting: Sighting, differs: Differs) -> Option<Shown> {
        let at = sighting.at;
        let mark = Mark::new(&sighting.agent, sighting.at);
        let Some(known) = &mut self.newest else {
            self.is_of_poll = !sighting.by_sweep;
            self.is_covered = false;
            self.newest = Some(sighting);
            self.latest = self.latest.max(mark.since);
            return Some(Shown { at, is_same: false });
        };
        if !mark.replaces(Mark::new(&known.agent, known.at), self.latest) {
            return None;
        }
        self.is_covered = false;
        let is_set_back = mark.since.is_some() && mark.since < self.latest;
        if is_set_back {
            self.latest = None;
        }
        self.latest = self.latest.max(mark.since);
        // The same row again: keep the old allocation, and with it the rows that it was joined to.
        let (old, new) = (&known.agent, &sighting.agent);
        let mut is_same = has_same_facts(old, new);
        if is_same && old.raw != new.raw {
            is_same = differs == Differs::InFacts && sighting.by_sweep && !self.is_of_poll;
            if is_same {
                old.raw.renew(&new.raw);
            }
        }
        if is_same {
            (known.at, known.by_sweep) = (sighting.at, sighting.by_sweep);
        } else {
            self.is_of_poll = !sighting.by_sweep;
            *known = sighting;
        }
        Some(Shown { at, is_same })
    }

    /// Records that the last poll of a queue lists the agent.
    pub(super) fn join(&mut self, listed: Listed) {
        let place = self
            .queues
            .binary_search_by_key(&listed.queue, |one| one.queue);
        match place {
            Ok(known) => self.queues[known] = listed,
            Err(between) => self.queues.insert(between, listed),
        }
    }

    pub(super) fn is_member(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Returns the boot time of the last look that showed the newest row, or its date.
    pub(super) fn last_shown(&self) -> Option<Duration> {
        let newest = self.newest.as_ref()?;
        Some(self.looked.max(newest.at.boot))
    }

    /// Returns as of when the newest row was known before later looks contradicted it, if they do.
    pub(super) fn known_until(&self) -> Option<Moment> {
        self.contradicted.map(|one| one.known)
    }

    pub(super) fn last_seen(&self) -> Option<Moment> {
        let seen = self.seen.as_ref().map(Seen::at);
        let newest = self.newest.as_ref().map(|newest| newest.at);
        seen.into_iter().chain(newest).max_by_key(|at| at.boot)
    }
}

/// Returns whether two rows of an agent are the same apart from fields that openseat does not read.
fn has_same_facts(one: &Agent, other: &Agent) -> bool {
    // The status' meaning comes from another list, and may change while the row stays the same.
    (one.available, &one.status, one.status_since)
        == (other.available, &other.status, other.status_since)
        && (one.queue_logged_in, one.logged_in, one.on_call, one.ready)
            == (
                other.queue_logged_in,
                other.logged_in,
                other.on_call,
                other.ready,
            )
        && one.name == other.name
}
