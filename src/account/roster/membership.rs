//! Who belongs to a queue, by its last poll, and the join with the newest row of each.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Roster, earlier, person::MAX_LAG};
use crate::{clock::Moment, model::agent::Agent};

/// What a poll of a queue said about who belongs to it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// When CallTools looked, at the earliest.
    pub as_of: Moment,
    /// How long the poll took.
    pub took: Duration,
    /// Whether the rows were as many as CallTools counted.
    pub complete: bool,
    pub(super) members: Vec<Member>,
    /// The rows when they were last joined. While no row has changed they are published again, so that a queue costs no more than a look at its members.
    pub(super) joined: Option<Arc<[Arc<Agent>]>>,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Their place among the people.
    pub(super) who: usize,
    /// They were logged in to the queue: beside the place, so that a walk through all members need not look at their rows.
    pub(super) queue_logged_in: bool,
    /// As the poll of the queue saw them.
    pub(super) polled: Arc<Agent>,
    /// The newest row when the two were last joined, and what came of it: most rows are the same from sweep to sweep.
    pub(super) joined: Option<(Arc<Agent>, Arc<Agent>)>,
}

/// A queue's agents with the newest that is known of each.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The oldest status of those who are logged in to the queue: what a count of seats rests on.
    pub as_of: Moment,
    /// The oldest status of all: what criteria rest on that may read any row.
    pub everybody_as_of: Moment,
    /// The oldest row of all: what criteria rest on that may read what changes without a date, which no list confirms by leaving somebody out.
    pub everybody_seen: Moment,
    /// When the queue itself was polled.
    pub members_as_of: Moment,
    /// How long that poll took.
    pub took: Duration,
    /// Whether that poll's rows were as many as CallTools counted.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Arc<[Arc<Agent>]>,
}

impl Membership {
    /// Whether a poll says how things were before this one: its look was earlier, or it shows somebody with an older date. Who
    /// belongs to the queue is then known better from here.
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
}

impl Member {
    pub(super) fn new(who: usize, polled: Arc<Agent>) -> Self {
        Self {
            who,
            queue_logged_in: polled.queue_logged_in,
            polled,
            joined: None,
        }
    }

    /// Whether this was the newest row when they were last joined. (Never joined, or joined to nothing else, is the poll's own row.)
    fn is_joined_to(&self, newest: &Arc<Agent>) -> bool {
        let from = self.joined.as_ref().map_or(&self.polled, |(from, _)| from);
        Arc::ptr_eq(from, newest)
    }

    /// The newest row, with the log-in to this queue.
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

/// The row of `newest`, which came from elsewhere, with the log-in that the queue's own poll saw.
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
    /// A queue's agents with the newest that is known of each; `None` until the queue was polled.
    pub fn join(&mut self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_mut()?;
        let people = &self.people;
        let newest = |member: &Member| people.at(member.who)?.newest.as_ref();
        let (mut oldest_logged_in, mut oldest) = (None, None);
        let mut is_unchanged = true;
        for member in &membership.members {
            let newest = newest(member);
            let row = newest.map_or(&member.polled, |newest| &newest.agent);
            is_unchanged &= member.is_joined_to(row);
            let seen = newest.map_or(membership.as_of, |newest| newest.at);
            oldest = Some(earlier(seen, oldest));
            if member.queue_logged_in {
                oldest_logged_in = Some(earlier(seen, oldest_logged_in));
            }
        }
        let agents = match &membership.joined {
            Some(joined) if is_unchanged => Arc::clone(joined),
            _ => {
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
        // What lists confirm by leaving agents out keeps the order of looks, so the oldest look is the oldest status.
        let seen = oldest;
        let oldest = oldest.map(|seen| self.confirmed.status(seen));
        let oldest_logged_in = oldest_logged_in.map(|seen| self.confirmed.availability(seen));
        // A count rests on the statuses of those who are logged in to the queue. Of a queue without any it rests on nobody's, and
        // is as old as the last look at everybody.
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

    /// A queue's agents as its own last poll saw them.
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
