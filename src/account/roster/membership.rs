//! The members of a queue by its last poll, and their join with the newest rows.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    MAX_CLOCKS_APART, Roster,
    confirmed::Omissions,
    earlier, later,
    people::People,
    person::{MAX_LAG, Person, Shown},
    published::Published,
};
use crate::{
    account::newest::STRAY,
    clock::Moment,
    decision::criteria::Tally,
    model::{agent::Agent, known::Poll},
};

/// The members of a queue, from a poll of it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The earliest time at which CallTools may have read them.
    pub as_of: Moment,
    /// How long the poll took.
    pub took: Duration,
    /// Whether the number of rows is CallTools' own count.
    pub complete: bool,
    /// The rows of that poll.
    pub(super) polled: Arc<[Arc<Agent>]>,
    /// The agents of these rows, in the same order.
    pub(super) members: Vec<Member>,
    /// The rows whose members have a newer row than at the last join, each once.
    outdated: Vec<usize>,
    /// `None` if a newer look may have changed it.
    oldest: Option<OldestMembers>,
    /// The rows at the last join, which are published again while nothing changes.
    joined: Published,
    /// What the built-in rule counts in these.
    tally: Tally,
}

/// What each join reads of an agent. These are copies: each answer leads to a walk through the members of all queues, which would take most of its
/// time if it had to find each person and row.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The person's place among the people.
    pub(super) who: usize,
    /// When the person's newest row was seen; without one, when the queue was polled.
    seen: Moment,
    /// Whether the person was logged in to the queue.
    queue_logged_in: bool,
    /// Whether the last list of available agents may have hidden the person.
    has_slipped: bool,
    /// As of when the person's newest row is known, if later looks contradict it.
    known_until: Option<Moment>,
    /// Whether the row at the last join is another one than it would be now.
    is_outdated: bool,
}

/// When the oldest of some rows were seen.
#[derive(Clone, Copy, Debug, Default)]
struct Oldest {
    seen: Option<Moment>,
    /// The same of agents whom the last list of available agents may have hidden.
    slipped: Option<Moment>,
    /// As of when rows are known that later looks contradict.
    known_until: Option<Moment>,
}

/// When the members were seen who were not seen for longest. Each answer leads to a join of all queues, but shows only a few members of each, so
/// these are found again only once one of them is seen.
#[derive(Clone, Copy, Debug, Default)]
struct OldestMembers {
    all: Oldest,
    logged_in: Oldest,
}

/// A queue's agents with their newest rows.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The time of the oldest status of agents who are logged in to the queue, for counts of seats.
    pub as_of: Moment,
    /// The time of the oldest status of all, for criteria that may read any row.
    pub everybody_as_of: Moment,
    /// The time of the oldest row of all, for criteria that read fields which change without a date. Lists do not confirm these by omission.
    pub everybody_seen: Moment,
    /// When the queue itself was polled.
    pub members_as_of: Moment,
    /// How long that poll took.
    pub took: Duration,
    /// Whether that poll's number of rows is CallTools' own count.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Arc<[Arc<Agent>]>,
    /// What the built-in rule counts in these, if that is known.
    pub tally: Option<Tally>,
}

impl Membership {
    /// Creates the membership by this poll. Each member belongs to one of its rows.
    pub(super) fn new(poll: Poll, members: Vec<Member>) -> Self {
        let polled: Arc<[_]> = poll.agents.into();
        Self {
            as_of: poll.as_of,
            took: poll.took,
            complete: poll.complete,
            joined: Published::new(Arc::clone(&polled)),
            tally: Tally::of(&polled),
            polled,
            outdated: (0..members.len()).collect(),
            oldest: None,
            members,
        }
    }

    /// Replaces the rows of the poll, each by another of the same agent.
    pub(super) fn change_polled(&mut self, change: impl FnMut(&Arc<Agent>) -> Arc<Agent>) {
        let poll = Poll {
            as_of: self.as_of,
            took: self.took,
            complete: self.complete,
            agents: self.polled.iter().map(change).collect(),
        };
        let mut members = std::mem::take(&mut self.members);
        members
            .iter_mut()
            .for_each(|member| member.is_outdated = true);
        *self = Self::new(poll, members);
    }

    /// Returns whether this poll is newer than another: its look was later, or the other shows an agent with an older date, and no much later date
    /// that is likely right. Then the other's membership does not count.
    pub(super) fn overtakes(&self, as_of: Moment, agents: &[Arc<Agent>], people: &People) -> bool {
        if self.as_of.boot > as_of.boot {
            return true;
        }
        if as_of.boot > self.as_of.boot + MAX_LAG {
            return false;
        }
        let polled = self.polled.iter().map(|agent| (&agent.id, agent));
        let polled: HashMap<_, _> = polled.collect();
        let contradicted = agents.iter().filter_map(|agent| {
            let known = polled.get(&agent.id)?;
            // Otherwise the older date is believed.
            let is_contradicted = people.latest(&agent.id) > agent.status_since;
            (agent.is_older_than(known) && is_contradicted).then_some(known.status_since)
        });
        let Some(latest) = contradicted.max() else {
            return false;
        };
        let (known, _) = people.newest_dates();
        let dates = agents.iter().filter_map(|agent| agent.status_since);
        !has_all(newest_likely(dates, known), latest)
    }

    /// Records what a newer row has changed about the member in this row of the poll.
    pub(super) fn show(&mut self, row: usize, shown: Shown) {
        let Some(member) = self.members.get_mut(row) else {
            return;
        };
        self.oldest
            .take_if(|oldest| oldest.may_change(member, shown.at));
        member.seen = shown.at;
        if !shown.is_same && !member.is_outdated {
            member.is_outdated = true;
            self.outdated.push(row);
        }
    }

    /// Records whether the last list of available agents may have hidden the member in this row of the poll.
    pub(super) fn set_slipped(&mut self, row: usize, yes: bool) {
        if let Some(member) = self.members.get_mut(row) {
            member.has_slipped = yes;
            self.oldest = None;
        }
    }

    /// Records as of when the row of the member in this row of the poll is known, if later looks contradict it.
    pub(super) fn set_contradicted(&mut self, row: usize, known_until: Option<Moment>) {
        if let Some(member) = self.members.get_mut(row) {
            member.known_until = known_until;
            self.oldest = None;
        }
    }

    /// Records that nothing contradicts the members' rows any more.
    pub(super) fn settle_contradictions(&mut self) {
        for member in &mut self.members {
            member.known_until = None;
        }
        self.oldest = None;
    }

    /// Returns whether each member was seen at this moment or later, or not since `swept`.
    pub(super) fn are_members_seen_since(&self, at: Moment, swept: Option<Moment>) -> bool {
        let has_left = |seen: Moment| swept.is_some_and(|swept| seen.boot < swept.boot);
        let mut members = self.members.iter();
        members.all(|member| member.seen.boot >= at.boot || has_left(member.seen))
    }

    /// Returns whether the member in this row of the poll was logged in to the queue.
    pub(super) fn is_logged_in(&self, row: usize) -> bool {
        self.members
            .get(row)
            .is_some_and(|member| member.queue_logged_in)
    }

    /// Records what is known about the members, after their newest rows were taken back.
    pub(super) fn look_again(&mut self, people: &People) {
        for member in &mut self.members {
            let person = people.at(member.who);
            let newest = person.and_then(|one| one.newest.as_ref());
            member.seen = newest.map_or(self.as_of, |newest| newest.at);
            member.known_until = person.and_then(Person::known_until);
            member.is_outdated = true;
        }
        self.outdated = (0..self.members.len()).collect();
        self.oldest = None;
    }

    /// Records when the members were last seen, after the times of their rows have changed.
    pub(super) fn date_again(&mut self, people: &People) {
        for member in &mut self.members {
            if let Some(newest) = people.at(member.who).and_then(|one| one.newest.as_ref()) {
                member.seen = newest.at;
            }
        }
        self.oldest = None;
    }

    fn oldest(&mut self) -> OldestMembers {
        *self
            .oldest
            .get_or_insert_with(|| OldestMembers::of(&self.members))
    }

    /// Returns the rows of the poll, each replaced by the newest one with the log-in to this queue.
    fn join(&mut self, people: &People) -> Arc<[Arc<Agent>]> {
        let mut changed = Vec::new();
        for place in std::mem::take(&mut self.outdated) {
            let member = &mut self.members[place];
            member.is_outdated = false;
            let polled = &self.polled[place];
            let newest = people.at(member.who).and_then(|one| one.newest.as_ref());
            let row = match newest {
                Some(newest) if !Arc::ptr_eq(&newest.agent, polled) => {
                    Arc::new(joined(&newest.agent, polled))
                }
                _ => Arc::clone(polled),
            };
            let was = &self.joined.rows()[place];
            if !Arc::ptr_eq(&row, was) {
                self.tally.remove(was);
                self.tally.add(&row);
                changed.push((place, row));
            }
        }
        self.joined.replace(changed);
        Arc::clone(self.joined.rows())
    }
}

/// Returns the newest of a list's dates that is likely right, if `known` is the newest such date of all agents.
pub(super) fn newest_likely(
    dates: impl Iterator<Item = Timestamp>,
    known: Option<Timestamp>,
) -> Option<Timestamp> {
    let is_likely =
        |date: &Timestamp| known.is_none_or(|known| date.duration_since(known) <= STRAY);
    dates.filter(is_likely).max()
}

/// Returns whether a list with this newest date has every change up to the other date.
pub(super) fn has_all(newest: Option<Timestamp>, by: Option<Timestamp>) -> bool {
    let (Some(newest), Some(by)) = (newest, by) else {
        return false;
    };
    newest.duration_since(by) > MAX_CLOCKS_APART
}

impl Oldest {
    fn add(&mut self, member: &Member) {
        self.seen = Some(earlier(member.seen, self.seen));
        if member.has_slipped {
            self.slipped = Some(earlier(member.seen, self.slipped));
        }
        if let Some(known) = member.known_until {
            self.known_until = Some(earlier(known, self.known_until));
        }
    }

    /// Returns as of when it is known of each of them whether they are available.
    fn known_as_of(self, omissions: &Omissions) -> Option<Moment> {
        let known = omissions.availability(self.seen?);
        let slipped = self.slipped.map(|seen| omissions.status(seen));
        Some(earlier(earlier(known, slipped), self.known_until))
    }

    /// Returns whether these may be others if this member, who is one of them, is seen at this moment.
    fn may_change(self, member: &Member, at: Moment) -> bool {
        // A row with a later date can come from an earlier look.
        let hangs_on_it = |oldest: Moment| member.seen.boot <= oldest.boot || at.boot < oldest.boot;
        self.seen.is_some_and(hangs_on_it)
            || member.has_slipped && self.slipped.is_some_and(hangs_on_it)
    }
}

impl OldestMembers {
    fn of(members: &[Member]) -> Self {
        let mut oldest = Self::default();
        for member in members {
            oldest.all.add(member);
            if member.queue_logged_in {
                oldest.logged_in.add(member);
            }
        }
        oldest
    }

    fn may_change(self, member: &Member, at: Moment) -> bool {
        self.all.may_change(member, at)
            || member.queue_logged_in && self.logged_in.may_change(member, at)
    }
}

impl Member {
    pub(super) fn new(who: usize, polled: &Agent, seen: Moment, person: &Person) -> Self {
        Self {
            who,
            seen,
            queue_logged_in: polled.queue_logged_in,
            has_slipped: person.has_slipped,
            known_until: person.known_until(),
            is_outdated: true,
        }
    }
}

/// Returns the row of `newest`, which came from another list, with the log-in from the queue's own poll.
fn joined(newest: &Agent, polled: &Agent) -> Agent {
    Agent {
        queue_logged_in: polled.queue_logged_in,
        raw: newest.raw.with_queue_login_of(&polled.raw),
        ..newest.clone()
    }
}

/// Returns when the oldest row of a queue was read. `seen` is the oldest time of a row, `polled` that of the queue's poll, and `recalled` that of
/// the newest row that was recalled.
///
/// Rows that were recalled have the time of their *status*, which lists may have confirmed by omission; but no member's row is older than the poll
/// of the queue.
fn rows_seen(seen: Moment, polled: Moment, recalled: Option<Moment>) -> Moment {
    match recalled {
        Some(recalled) if seen.boot <= recalled.boot => earlier(seen, Some(polled)),
        _ => seen,
    }
}

impl Roster {
    /// Returns a queue's agents with their newest rows; `None` until the queue was polled.
    pub fn join(&mut self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_mut()?;
        let OldestMembers { all, logged_in } = membership.oldest();
        let oldest = all.seen;
        // Confirmations by omission keep the order of looks, so the oldest look has the oldest status.
        let rows_seen = oldest.map(|seen| rows_seen(seen, membership.as_of, self.recalled));
        // A count depends on whether agents are available who are logged in to the queue. If there are none, it is as old as the last look at all members,
        // and without members at all agents.
        let counted = logged_in.seen.map_or(all, |_| logged_in);
        let counted = counted.known_as_of(&self.omissions);
        let oldest = oldest.map(|seen| earlier(self.omissions.status(seen), all.known_until));
        let polled_or_swept = self
            .swept
            .map_or(membership.as_of, |swept| later(swept, membership.as_of));
        let polled_or_swept = self.omissions.availability_of_all(polled_or_swept);
        Some(Joined {
            as_of: counted.unwrap_or(polled_or_swept),
            everybody_as_of: oldest.unwrap_or(polled_or_swept),
            everybody_seen: rows_seen.unwrap_or(membership.as_of),
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: membership.join(&self.people),
            tally: Some(membership.tally),
        })
    }

    /// Returns a queue's agents from its own last poll.
    pub fn as_polled(&self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_ref()?;
        Some(Joined {
            as_of: membership.as_of,
            everybody_as_of: membership.as_of,
            everybody_seen: membership.as_of,
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: Arc::clone(&membership.polled),
            tally: None,
        })
    }
}

#[cfg(test)]
mod tests;
