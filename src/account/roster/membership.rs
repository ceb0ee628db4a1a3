//! The members of a queue by its last poll, and their join with the newest rows.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Roster, earlier,
    people::People,
    person::{MAX_LAG, Shown},
};
use crate::{clock::Moment, model::agent::Agent};

/// The members of a queue, from a poll of it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The earliest time at which CallTools may have read them.
    pub as_of: Moment,
    /// How long the poll took.
    pub took: Duration,
    /// Whether the number of rows is CallTools' own count.
    pub complete: bool,
    pub(super) members: Vec<Member>,
    /// The rows at the last join, unless one has changed since. They are published again, so that a queue costs only a walk through its members.
    pub(super) joined: Option<Arc<[Arc<Agent>]>>,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The person's place among the people.
    pub(super) who: usize,
    /// When the person's newest row was seen; without one, when the queue was polled. This and the next are copies: each answer leads to a walk
    /// through the members of all queues, which would take most of its time if it had to find each person and row.
    seen: Moment,
    /// Whether the person was logged in to the queue.
    pub(super) queue_logged_in: bool,
    /// The row from the poll of the queue.
    pub(super) polled: Arc<Agent>,
    /// The newest row at the last join, and the joined row: most rows are the same from sweep to sweep.
    pub(super) joined: Option<(Arc<Agent>, Arc<Agent>)>,
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
}

impl Membership {
    /// Returns whether this poll is newer than another: its look was later, or the other shows an agent with an older date. Then the other's
    /// membership does not count.
    pub(super) fn overtakes(&self, as_of: Moment, agents: &[Arc<Agent>]) -> bool {
        if self.as_of.boot > as_of.boot {
            return true;
        }
        if as_of.boot > self.as_of.boot + MAX_LAG {
            return false;
        }
        let polled = self.members.iter().map(|member| &member.polled);
        let polled: HashMap<_, _> = polled.map(|agent| (&agent.id, agent)).collect();
        let mut agents = agents.iter();
        agents.any(|agent| {
            let known = polled.get(&agent.id);
            known.is_some_and(|known| agent.is_older_than(known))
        })
    }

    /// Records what a row has changed about a member.
    pub(super) fn show(&mut self, who: usize, shown: Shown) {
        if !shown.is_same {
            self.joined = None;
        }
        if let Some(member) = self.members.iter_mut().find(|member| member.who == who) {
            member.seen = shown.at;
        }
    }

    /// Records what is known about the members, after their newest rows were taken back.
    pub(super) fn look_again(&mut self, people: &People) {
        self.joined = None;
        for member in &mut self.members {
            let newest = people.at(member.who).and_then(|one| one.newest.as_ref());
            member.seen = newest.map_or(self.as_of, |newest| newest.at);
        }
    }
}

impl Member {
    pub(super) fn new(who: usize, polled: Arc<Agent>, seen: Moment) -> Self {
        Self {
            who,
            seen,
            queue_logged_in: polled.queue_logged_in,
            polled,
            joined: None,
        }
    }

    /// Returns the newest row, with the log-in to this queue.
    fn join(&mut self, newest: &Arc<Agent>) -> Arc<Agent> {
        if Arc::ptr_eq(newest, &self.polled) {
            self.joined = None;
            return Arc::clone(&self.polled);
        }
        match &self.joined {
            Some((from, joined)) if Arc::ptr_eq(from, newest) => Arc::clone(joined),
            _ => {
                let joined = Arc::new(joined(newest, &self.polled));
                self.joined = Some((Arc::clone(newest), Arc::clone(&joined)));
                joined
            }
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

pub(super) fn later(one: Moment, other: Moment) -> Moment {
    if one.boot > other.boot { one } else { other }
}

impl Roster {
    /// Returns a queue's agents with their newest rows; `None` until the queue was polled.
    pub fn join(&mut self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_mut()?;
        let (mut oldest_logged_in, mut oldest) = (None, None);
        for member in &membership.members {
            oldest = Some(earlier(member.seen, oldest));
            if member.queue_logged_in {
                oldest_logged_in = Some(earlier(member.seen, oldest_logged_in));
            }
        }
        let agents = match &membership.joined {
            Some(joined) => Arc::clone(joined),
            None => {
                let newest = |member: &Member| self.people.at(member.who)?.newest.as_ref();
                let members = membership.members.iter_mut();
                let agents = members.map(|member| match newest(member) {
                    Some(newest) => member.join(&newest.agent),
                    None => {
                        member.joined = None;
                        Arc::clone(&member.polled)
                    }
                });
                agents.collect()
            }
        };
        membership.joined = Some(Arc::clone(&agents));
        // Confirmations by omission keep the order of looks, so the oldest look has the oldest status.
        let seen = oldest;
        let oldest = oldest.map(|seen| self.confirmed.status(seen));
        let oldest_logged_in = oldest_logged_in.map(|seen| self.confirmed.availability(seen));
        // A count depends on the statuses of agents who are logged in to the queue. If there are none, it is as old as the last look at all
        // agents.
        let polled_or_swept = self
            .swept
            .map_or(membership.as_of, |swept| later(swept, membership.as_of));
        let polled_or_swept = self.confirmed.availability(polled_or_swept);
        Some(Joined {
            as_of: oldest_logged_in.or(oldest).unwrap_or(polled_or_swept),
            everybody_as_of: oldest.unwrap_or(polled_or_swept),
            everybody_seen: seen.unwrap_or(membership.as_of),
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents,
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
            agents: membership
                .members
                .iter()
                .map(|member| Arc::clone(&member.polled))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests;
