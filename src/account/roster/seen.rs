//! What was last seen of an agent: whether they were available, and the stay that they are in. Mostly the last look showed both, so they share what it
//! showed: an account may have thousands of agents.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::Moment,
    decision::soon::stay::{Packed, Stay, just_before},
    model::known::Presence,
};

/// See the [module](self). It is not taken back with the rows of distrusted sweeps.
#[derive(Debug)]
pub(super) struct Seen {
    /// The status of the stay, or of the last look if there is no stay.
    status: Option<Arc<str>>,
    since: Option<Timestamp>,
    /// The moment of the last look.
    at: Moment,
    stay: Option<Packed>,
    /// Whether the last look showed the status. Otherwise it showed none.
    is_named: bool,
    dated: Dated,
    /// What the last look showed.
    available: bool,
    stored: bool,
}

/// The memory that the stay takes beside what is kept of the last look anyway, in bytes.
#[cfg(test)]
pub const STAY_BYTES: usize = size_of::<Option<Seen>>() - size_of::<Option<Presence>>();

/// What the date belongs to, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dated {
    Look,
    Stay,
    Both,
    /// The date of the look. That of the stay is [just before](Stay::set_before).
    BothButJustBefore,
}

impl Dated {
    /// Returns `None` if the last look has another date than the stay.
    fn of(look: &Presence, stay: &Stay) -> Option<Self> {
        match (look.since, stay.since()) {
            (None, _) => Some(Self::Stay),
            (_, None) => Some(Self::Look),
            (Some(shown), Some(since)) if shown == since => Some(Self::Both),
            (Some(shown), Some(since)) if just_before(shown) == since => {
                Some(Self::BothButJustBefore)
            }
            _ => None,
        }
    }
}

impl Seen {
    /// Keeps both. If the last look contradicts the stay, it begins another one, from which nothing is learnt.
    pub(super) fn new(look: Presence, stay: Option<Stay>) -> Self {
        let is_named = look.status.is_some();
        let Some(stay) = stay else {
            return Self {
                status: look.status,
                since: look.since,
                at: look.at,
                stay: None,
                is_named,
                dated: Dated::Look,
                available: look.available,
                stored: look.stored,
            };
        };
        let is_same = !is_named || look.status.as_deref() == Some(stay.status());
        let (stay, dated) = match Dated::of(&look, &stay).filter(|_| is_same) {
            Some(dated) => (stay, dated),
            None => (Stay::doubted(&look), Dated::Both),
        };
        Self {
            since: look.since.or(stay.since()),
            at: look.at,
            stay: Some(stay.packed(look.at.boot)),
            status: stay.into_status(),
            is_named,
            dated,
            available: look.available,
            stored: look.stored,
        }
    }

    /// Returns whether the agent was available when last seen.
    pub(super) fn presence(&self) -> Presence {
        Presence {
            available: self.available,
            status: self.status.clone().filter(|_| self.is_named),
            since: self.since.filter(|_| self.dated != Dated::Stay),
            at: self.at,
            stored: self.stored,
        }
    }

    /// Returns the stay that the agent is in.
    pub(super) fn stay(&self) -> Option<Stay> {
        let since = match self.dated {
            Dated::Look => None,
            Dated::BothButJustBefore => self.since.map(just_before),
            Dated::Stay | Dated::Both => self.since,
        };
        let stay = self.stay?;
        Some(stay.unpacked(self.status.clone(), since, self.at.boot))
    }

    /// Returns when the agent was last seen.
    pub(super) fn at(&self) -> Moment {
        self.at
    }

    /// Lets this date count as the newest one if it is seen later: a later one was wrong.
    pub(super) fn believe(&mut self, date: Timestamp) {
        let (mut presence, mut stay) = (self.presence(), self.stay());
        presence.since = presence.since.min(Some(date));
        if let Some(stay) = &mut stay {
            stay.set_before(date);
        }
        *self = Self::new(presence, stay);
    }

    /// Moves the dates by this time, as all dates.
    pub(super) fn step(&mut self, by: SignedDuration) {
        let (mut presence, mut stay) = (self.presence(), self.stay());
        presence.since = presence.since.and_then(|date| date.checked_add(by).ok());
        if let Some(stay) = &mut stay {
            stay.step(by);
        }
        *self = Self::new(presence, stay);
    }

    /// Gives the status the name that CallTools has given it.
    pub(super) fn rename(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        let is_it = |(was, _): &&(Arc<str>, Arc<str>)| self.status.as_ref() == Some(was);
        if let Some((_, is)) = renamed.iter().find(is_it) {
            self.status = Some(Arc::clone(is));
        }
    }

    /// Interprets the last look again, if it is this one: its status has another meaning or name now. `was` is the name that its row had before. This
    /// ends no stay.
    pub(super) fn read_again(&mut self, look: Presence, was: Option<Arc<str>>) {
        if self.at != look.at {
            return;
        }
        self.available = look.available;
        if !self.is_named {
            return;
        }
        if let Some(stay) = &mut self.stay {
            stay.set_available(look.available);
        }
        // A row that names its status still has the old name.
        if look.status.is_some() && look.status != was {
            self.status = look.status;
        }
    }
}
